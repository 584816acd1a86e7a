{#- The cells of one semantic model: a row per grain, period, dimension and dimension value with a column
    per measure, in one pass over its fact, `fact`.

    A measure that adds up or counts gives one column of its name. An average gives <name>_sum,
    <name>_count and <name>_variance; a median <name>, <name>_count, <name>_low and <name>_high, the
    order statistics that bound it; another percentile <name> and <name>_count. -#}
{% macro kpi_cells(fact, semantic_model) -%}
    {%- if not execute %}{{ return('select 1 as parsed') }}{% endif -%}
    {%- set model = graph.semantic_models['semantic_model.parley.' ~ semantic_model] -%}
    {%- set dimensions = kpi_dimensions(model) -%}
    {%- set grains = ['day', 'week', 'month'] -%}
    {%- set day = time_expression(model) -%}
    {%- set expressions = measure_expressions(model) -%}

with members as (

    select
        {%- for grain in grains %}
        {{ period_start(grain, day) }} as period_{{ grain }},
        {%- endfor %}
        {%- for dimension in dimensions %}
        coalesce(cast({{ dimension.expr or dimension.name }} as string), '(none)')
            as cut_{{ dimension.name }},
        {%- endfor %}
        {%- for expression in expressions %}
        {{ expression }} as part_{{ loop.index }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ fact }}
    where {{ day }} is not null

),

cells as (

    select
        case
            {%- for grain in grains %}
            when grouping(period_{{ grain }}) = 0 then '{{ grain }}'
            {%- endfor %}
        end as grain,
        case
            {%- for grain in grains %}
            when grouping(period_{{ grain }}) = 0 then period_{{ grain }}
            {%- endfor %}
        end as period_start,
        case
            {%- for dimension in dimensions %}
            when grouping(cut_{{ dimension.name }}) = 0 then '{{ dimension.name }}'
            {%- endfor %}
            when true then 'all'
        end as dimension,
        case
            {%- for dimension in dimensions %}
            when grouping(cut_{{ dimension.name }}) = 0 then cut_{{ dimension.name }}
            {%- endfor %}
            when true then 'all'
        end as dimension_value,
        {%- for expression in sorted_expressions(model) %}
        {{ sorted_values('part_' ~ (expressions.index(expression) + 1)) }}
            as sorted_{{ expressions.index(expression) + 1 }},
        {%- endfor %}
        {%- for column in aggregated_columns(model, expressions) %}
        {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from members
    group by grouping sets (
        {%- for grain in grains %}
        {%- set is_last_grain = loop.last %}
        (period_{{ grain }}){{ ',' if dimensions or not is_last_grain }}
        {%- for dimension in dimensions %}
        (period_{{ grain }}, cut_{{ dimension.name }}){{ ',' if not (loop.last and is_last_grain) }}
        {%- endfor %}
        {%- endfor %}
    )

)

select
    grain,
    period_start,
    dimension,
    dimension_value
    {%- for column in published_columns(model, expressions) %},
    {{ column }}
    {%- endfor %}
from cells
{%- endmacro %}


{#- The dimensions of a semantic model that cut KPIs: those whose meta names `cuts`, all or a list of KPIs. -#}
{% macro kpi_dimensions(model) -%}
    {%- set dimensions = [] -%}
    {%- for dimension in model.dimensions if (dimension.config.meta if dimension.config else {}).get('cuts') -%}
        {%- do dimensions.append(dimension) -%}
    {%- endfor -%}
    {{ return(dimensions) }}
{%- endmacro %}


{#- The local date a semantic model's cohort time is counted by: its default time dimension. -#}
{% macro time_expression(model) -%}
    {%- for dimension in model.dimensions if dimension.name == model.defaults.agg_time_dimension -%}
        {{ return(dimension.expr or dimension.name) }}
    {%- endfor -%}
{%- endmacro %}


{#- The distinct SQL expressions of a semantic model's measures, in order. -#}
{% macro measure_expressions(model) -%}
    {%- set expressions = [] -%}
    {%- for measure in model.measures if (measure.expr or measure.name) not in expressions -%}
        {%- do expressions.append(measure.expr or measure.name) -%}
    {%- endfor -%}
    {{ return(expressions) }}
{%- endmacro %}


{#- The expressions a percentile is taken of, once each. -#}
{% macro sorted_expressions(model) -%}
    {%- set expressions = [] -%}
    {%- for measure in model.measures if measure.agg in ('median', 'percentile') -%}
        {%- if (measure.expr or measure.name) not in expressions -%}
            {%- do expressions.append(measure.expr or measure.name) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(expressions) }}
{%- endmacro %}


{#- What is summed and counted per cell: SQL with aliases. -#}
{% macro aggregated_columns(model, expressions) -%}
    {%- set columns = [] -%}
    {%- for measure in model.measures -%}
        {%- set part = 'part_' ~ (expressions.index(measure.expr or measure.name) + 1) -%}
        {%- if measure.agg == 'sum' -%}
            {%- do columns.append('cast(sum(' ~ part ~ ') as double) as ' ~ measure.name) -%}
        {%- elif measure.agg == 'sum_boolean' -%}
            {%- do columns.append('cast(sum(case when ' ~ part ~ ' then 1 else 0 end) as double) as ' ~ measure.name) -%}
        {%- elif measure.agg == 'count' -%}
            {%- do columns.append('cast(count(' ~ part ~ ') as double) as ' ~ measure.name) -%}
        {%- elif measure.agg == 'count_distinct' -%}
            {%- do columns.append('cast(count(distinct ' ~ text_key(part) ~ ') as double) as ' ~ measure.name) -%}
        {%- elif measure.agg == 'average' -%}
            {%- do columns.append('cast(sum(' ~ part ~ ') as double) as ' ~ measure.name ~ '_sum') -%}
            {%- do columns.append('cast(count(' ~ part ~ ') as double) as ' ~ measure.name ~ '_count') -%}
            {%- do columns.append('var_samp(' ~ part ~ ') as ' ~ measure.name ~ '_variance') -%}
        {%- elif measure.agg in ('median', 'percentile') -%}
            {%- do columns.append('cast(count(' ~ part ~ ') as double) as ' ~ measure.name ~ '_count') -%}
        {%- else -%}
            {{ exceptions.raise_compiler_error("Measure " ~ measure.name ~ " of semantic model " ~ model.name ~ " has the aggregation '" ~ measure.agg ~ "', which kpi_values does not know; use sum, sum_boolean, count, count_distinct, average, median or percentile.") }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}


{#- The columns of the cells, percentiles read from the sorted values. -#}
{% macro published_columns(model, expressions) -%}
    {%- set columns = [] -%}
    {%- for measure in model.measures -%}
        {%- set values = 'sorted_' ~ (expressions.index(measure.expr or measure.name) + 1) -%}
        {%- if measure.agg == 'average' -%}
            {%- do columns.extend([measure.name ~ '_sum', measure.name ~ '_count', measure.name ~ '_variance']) -%}
        {%- elif measure.agg in ('median', 'percentile') -%}
            {%- set share = 0.5 if measure.agg == 'median' else measure.agg_params.percentile -%}
            {%- set rank = median_rank(array_size(values)) -%}
            {%- do columns.append(percentile_of(values, share) ~ ' as ' ~ measure.name) -%}
            {%- do columns.append(measure.name ~ '_count') -%}
            {%- if measure.agg == 'median' -%}
                {%- do columns.append('case when ' ~ rank ~ ' >= 1 then ' ~ array_at(values, rank) ~ ' end as ' ~ measure.name ~ '_low') -%}
                {%- do columns.append('case when ' ~ rank ~ ' >= 1 then ' ~ array_at(values, array_size(values) ~ ' + 1 - ' ~ rank) ~ ' end as ' ~ measure.name ~ '_high') -%}
            {%- endif -%}
        {%- else -%}
            {%- do columns.append(measure.name) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}
