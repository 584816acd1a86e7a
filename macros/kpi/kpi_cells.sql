{#- The cells of one semantic model: a row per grain, period, dimension and dimension value with a column
    per measure, read from its fact, `fact`, and where another one has its dimensions (`cut_by`) from
    that one too, `cut_fact`.

    A measure that adds up or counts gives one column of its name. An average gives <name>_sum,
    <name>_count and <name>_squares; a median <name>, <name>_count, <name>_low and <name>_high, the
    order statistics that bound it; another percentile <name> and <name>_count.

    What adds up is taken from the rows by day, and weeks and months from their days. Distinct counts
    and percentiles do not add up: distinct_counts and percentiles take them from rows.

    A run that knows which days it touched (touched_days) gives the cells of these days and of the
    weeks and months they lie in, and reads the other days of these from the cells it replaces. -#}
{% macro kpi_cells(fact, semantic_model, cut_fact=none) -%}
    {%- if not execute %}{{ return('select 1 as parsed') }}{% endif -%}
    {%- set model = graph.semantic_models['semantic_model.parley.' ~ semantic_model] -%}
    {%- set is_batch = is_in_batches(semantic_model) -%}
    {%- set touched = touched_days(semantic_model) if is_incremental() else none -%}
    {%- if is_batch %}{% set touched = days_of_batch(semantic_model) %}{% endif -%}
    {%- set fact = with_cuts(model, fact, cut_fact, 'days_to_read' if touched is not none else none) -%}
    {%- set dimensions = kpi_dimensions(model) -%}
    {%- set day = time_expression(model) -%}
    {%- set expressions = measure_expressions(model) -%}
    {%- set sums = cell_sums(model, expressions) -%}

with
{%- if touched is not none %}
{{ touched_ctes(touched, is_batch) }},
{%- endif %}

members as (

    select
        {{ day }} as period_day,
        {%- for dimension in dimensions %}
        {{ cut_expression(model, dimension) }} as cut_{{ dimension.name }},
        {%- endfor %}
        {%- for expression in expressions %}
        {{ expression }} as part_{{ loop.index }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ fact }}
    where
        {{ day }} is not null
        and ({{ counted_anywhere(model) }})
        {%- if touched is not none %}
        and {{ day }} in (select {{ 'date_day from days_to_read' if is_batch else 'touched_day from touched' }})
        {%- endif %}

),

day_cells as (

    select
        period_day,
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
        {%- for sum in sums %}
        {{ sum.sql }} as {{ sum.column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from members
    group by grouping sets (
        {{ grouping_sets(dimensions, ['period_day']) }}
    )

),
{%- if touched is not none and not is_batch %}

days_of_touched_periods as (

    select * from day_cells
    union all
    select
        period_start as period_day,
        dimension,
        dimension_value,
        {%- for sum in sums %}
        {{ sum.column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ this }}
    where
        grain = 'day'
        and period_start in (select date_day from days_to_read)
        and period_start not in (select touched_day from touched)

),
{%- endif %}

cells as (

    select
        'day' as grain,
        period_day as period_start,
        dimension,
        dimension_value,
        {%- for sum in sums %}
        {{ sum.column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from day_cells
    {%- if is_batch %}
    where period_day in (select touched_day from touched)
    {%- endif %}
    {%- for grain in ['week', 'month'] %}
    union all
    select
        '{{ grain }}' as grain,
        {{ period_start(grain, 'period_day') }} as period_start,
        dimension,
        dimension_value,
        {%- for sum in sums %}
        sum({{ sum.column }}) as {{ sum.column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ 'day_cells' if touched is none or is_batch else 'days_of_touched_periods' }}
    {%- if touched is not none %}
    where {{ in_touched_periods(grain, 'period_day') }}
    {%- endif %}
    group by {{ period_start(grain, 'period_day') }}, dimension, dimension_value
    {%- endfor %}

)
{%- for measure in model.measures if measure.agg == 'count_distinct' %},

{{ distinct_counts(fact, model, measure, touched) }}
{%- endfor %}
{%- for expression in percentile_expressions(model) %},

{{ percentiles(fact, model, expression, expressions.index(expression) + 1, touched) }}
{%- endfor %}

select
    cells.grain,
    cells.period_start,
    cells.dimension,
    cells.dimension_value
    {%- for column in published_columns(model, expressions, sums) %},
    {{ column }}
    {%- endfor %}
from (
    select
        cells.*,
        case
            {%- for dimension in dimensions %}
            when dimension = '{{ dimension.name }}' then {{ loop.index }}
            {%- endfor %}
            when true then 0
        end as dimension_number,
        case
            when dimension = 'all' then 0
            when true then {{ text_key('dimension_value') }}
        end as value_key
    from cells
) as cells
{%- for measure in model.measures if measure.agg == 'count_distinct' %}
left join distinct_{{ measure.name }}
    on {{ same_cell('distinct_' ~ measure.name) }}
{%- endfor %}
{%- for expression in percentile_expressions(model) %}
{%- set name = 'percentiles_' ~ (expressions.index(expression) + 1) %}
left join {{ name }}
    on {{ same_cell(name) }}
{%- endfor %}
{%- endmacro %}


{#- The dimensions of a semantic model that cut KPIs: those whose meta names `cuts`, all or a list of KPIs;
    and those that cut all KPIs of the model of its entity `cut_by`. -#}
{% macro kpi_dimensions(model) -%}
    {%- set dimensions = [] -%}
    {%- for dimension in model.dimensions if (dimension.config.meta if dimension.config else {}).get('cuts') -%}
        {%- do dimensions.append(dimension) -%}
    {%- endfor -%}
    {%- if cutting_model(model) is not none -%}
        {%- do dimensions.extend(shared_cuts(cutting_model(model))) -%}
    {%- endif -%}
    {{ return(dimensions) }}
{%- endmacro %}


{#- The dimensions of a semantic model that cut all its KPIs. -#}
{% macro shared_cuts(model) -%}
    {{ return(kpi_dimensions(model) | selectattr('config.meta.cuts', 'equalto', 'all') | list) }}
{%- endmacro %}


{#- The semantic model whose dimensions cut another one: that of the entity its meta names as `cut_by`;
    none when it has its own. -#}
{% macro cutting_model(model) -%}
    {%- set name = model.config.meta.get('cut_by') -%}
    {%- for other in graph.semantic_models.values() if name -%}
        {%- if entity_key(other, name, 'primary') is not none -%}
            {{ return(other) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(none) }}
{%- endmacro %}


{#- The column a semantic model keeps an entity's key in, for an entity of a type; none without it. -#}
{% macro entity_key(model, name, type) -%}
    {%- for entity in model.entities if entity.name == name and entity.type == type -%}
        {{ return(entity.expr or entity.name) }}
    {%- endfor -%}
    {{ return(none) }}
{%- endmacro %}


{#- The rows of a fact with what its KPIs are cut by, as something to select from. `fact` and `cut_fact`
    are relations of the facts of the model and of its cutting_model; of many rows those of `days` are
    joined alone, a relation with a column date_day. -#}
{% macro with_cuts(model, fact, cut_fact, days=none) -%}
    {%- set cutting = cutting_model(model) -%}
    {%- if cutting is none -%}{{ return(fact) }}{%- endif -%}
    {%- set entity = model.config.meta.cut_by -%}
    {%- set cuts = shared_cuts(cutting) -%}
    (
        select
            rows_of_fact.*,
            {%- for dimension in cuts %}
            cuts.{{ dimension.name }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ fact }} as rows_of_fact
        inner join (
            select
                {{ entity_key(cutting, entity, 'primary') }} as cut_key,
                {%- for dimension in cuts %}
                {{ dimension.expr or dimension.name }} as {{ dimension.name }}{{ ',' if not loop.last }}
                {%- endfor %}
            from {{ cut_fact }}
        ) as cuts
            on rows_of_fact.{{ entity_key(model, entity, 'foreign') }} = cuts.cut_key
        {%- if days is not none %}
        where rows_of_fact.{{ time_expression(model) }} in (select date_day from {{ days }})
        {%- endif %}
    ) as rows_with_cuts
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


{#- What adds up per cell, each once: the SQL over the rows of a day and the column it stands in. -#}
{% macro cell_sums(model, expressions) -%}
    {%- set named = {'cast(count(*) as double)': 'member_count'} -%}
    {%- for measure in model.measures -%}
        {%- set part = 'part_' ~ (expressions.index(measure.expr or measure.name) + 1) -%}
        {%- for column, sql in summed_columns(measure, part).items() -%}
            {%- do named.setdefault(sql, column) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- set sums = [] -%}
    {%- for sql, column in named.items() -%}
        {%- do sums.append({'sql': sql, 'column': column}) -%}
    {%- endfor -%}
    {{ return(sums) }}
{%- endmacro %}


{#- What adds up of one measure: columns of the cells and their SQL over the expression of a row. -#}
{% macro summed_columns(measure, part) -%}
    {%- set total = 'cast(sum(' ~ part ~ ') as double)' -%}
    {%- set count = 'cast(count(' ~ part ~ ') as double)' -%}
    {%- set true_count = 'cast(count(case when ' ~ part ~ ' then 1 end) as double)' -%}
    {%- set squares = 'sum(cast(' ~ part ~ ' as double) * ' ~ part ~ ')' -%}
    {%- if measure.agg == 'sum' -%}
        {{ return({measure.name: total}) }}
    {%- elif measure.agg == 'sum_boolean' -%}
        {{ return({measure.name: true_count}) }}
    {%- elif measure.agg == 'count' -%}
        {{ return({measure.name: count}) }}
    {%- elif measure.agg == 'average' -%}
        {{ return({measure.name ~ '_sum': total, measure.name ~ '_count': count, measure.name ~ '_squares': squares}) }}
    {%- elif measure.agg in ('median', 'percentile') -%}
        {{ return({measure.name ~ '_count': count}) }}
    {%- elif measure.agg == 'count_distinct' -%}
        {{ return({}) }}
    {%- endif -%}
    {{ exceptions.raise_compiler_error("Measure " ~ measure.name ~ " has the aggregation '" ~ measure.agg ~ "', which kpi_values does not know; use sum, sum_boolean, count, count_distinct, average, median or percentile.") }}
{%- endmacro %}


{#- The columns of the cells besides their key, as SQL: what was summed, under its own name and under
    those of the measures that share it, distinct counts and percentiles. -#}
{% macro published_columns(model, expressions, sums) -%}
    {%- set columns = [] -%}
    {%- for sum in sums -%}
        {%- do columns.append('cells.' ~ sum.column) -%}
    {%- endfor -%}
    {%- for measure in model.measures -%}
        {%- set number = expressions.index(measure.expr or measure.name) + 1 -%}
        {%- if measure.agg == 'count_distinct' -%}
            {%- do columns.append('coalesce(distinct_' ~ measure.name ~ '.members, 0e0) as ' ~ measure.name) -%}
        {%- elif measure.agg in ('median', 'percentile') -%}
            {%- do columns.append('percentiles_' ~ number ~ '.' ~ 'of_' ~ measure.name ~ ' as ' ~ measure.name) -%}
            {%- if measure.agg == 'median' -%}
                {%- do columns.append('percentiles_' ~ number ~ '.median_low as ' ~ measure.name ~ '_low') -%}
                {%- do columns.append('percentiles_' ~ number ~ '.median_high as ' ~ measure.name ~ '_high') -%}
            {%- endif -%}
        {%- endif -%}
        {%- for column, sql in summed_columns(measure, 'part_' ~ number).items() -%}
            {%- for sum in sums if sum.sql == sql and sum.column != column -%}
                {%- do columns.append('cells.' ~ sum.column ~ ' as ' ~ column) -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}


{#- A dimension of a row of with_cuts as text: what cells are cut by. -#}
{% macro cut_expression(model, dimension) -%}
    {%- set expression = dimension.expr if dimension in model.dimensions else none -%}
    coalesce(cast({{ expression or dimension.name }} as string), '(none)')
{%- endmacro %}


{#- Grouping sets: all members, and those of each value of each dimension, each with `columns`. -#}
{% macro grouping_sets(dimensions, columns) -%}
        ({{ columns | join(', ') }}){{ ',' if dimensions }}
        {%- for dimension in dimensions %}
        ({{ columns | join(', ') }}, cut_{{ dimension.name }}){{ ',' if not loop.last }}
        {%- endfor %}
{%- endmacro %}


{#- Whether a row counts in a measure: rows that count in none are in no cell. -#}
{% macro counted_anywhere(model) -%}
    {%- set conditions = [] -%}
    {%- for measure in model.measures -%}
        {%- set expression = measure.expr or measure.name -%}
        {%- do conditions.append('(' ~ expression ~ ')' ~ ('' if measure.agg == 'sum_boolean' else ' is not null')) -%}
    {%- endfor -%}
    {{ conditions | unique | join(' or ') }}
{%- endmacro %}


{#- Whether a row of distinct_counts or percentiles is about the cell in `cells`. -#}
{% macro same_cell(name, dimensions) -%}
        cells.grain = {{ name }}.grain
        and cells.period_start = {{ name }}.period_start
        and cells.dimension_number = {{ name }}.dimension_number
        and cells.value_key = {{ name }}.value_key
{%- endmacro %}


{#- The expressions percentiles are taken of, once each. -#}
{% macro percentile_expressions(model) -%}
    {%- set expressions = [] -%}
    {%- for measure in model.measures if measure.agg in ('median', 'percentile') -%}
        {%- do expressions.append(measure.expr or measure.name) -%}
    {%- endfor -%}
    {{ return(expressions | unique | list) }}
{%- endmacro %}
