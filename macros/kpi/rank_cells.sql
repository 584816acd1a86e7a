{#- What does not add up over days: distinct counts and percentiles, for the same cells as kpi_cells.

    Rows carry the value of a dimension as a 64-bit key, and a dimension by its number, 0 for all: a
    day has many members and few texts. -#}

{#- A CTE `distinct_<measure>`: the distinct values of a measure per cell, `members`. -#}
{% macro distinct_counts(fact, model, measure, touched) -%}
{%- set dimensions = kpi_dimensions(model) -%}
distinct_members_of_{{ measure.name }} as (

    select distinct
        period_day,
        {%- for dimension in dimensions %}
        cut_{{ dimension.name }},
        {%- endfor %}
        {{ text_key('member') }} as member_key
    from (
        {{ keyed_members(fact, model, measure.expr or measure.name, touched) }}
    ) as members

),

distinct_{{ measure.name }} as (

    {%- for grain in ['day', 'week', 'month'] %}
    select
        '{{ grain }}' as grain,
        period_day as period_start,
        {{ cut_columns(dimensions) }},
        cast(count(distinct member_key) as double) as members
    from (
        select
            {{ period_start(grain, 'period_day') }} as period_day,
            {%- for dimension in dimensions %}
            cut_{{ dimension.name }},
            {%- endfor %}
            member_key
        from distinct_members_of_{{ measure.name }}
        {%- if touched is not none %}
        where {{ in_touched_periods(grain, 'period_day') }}
        {%- endif %}
    ) as members
    group by grouping sets (
        {{ grouping_sets(dimensions, ['period_day']) }}
    )
    {{ 'union all' if not loop.last }}
    {%- endfor %}

)
{%- endmacro %}


{#- CTEs up to `percentiles_<number>`: the percentiles of an expression per cell that measures ask for.

    Percentiles are read from the sorted values of a cell. The values stand in it as codes, their
    position among all different values: four bytes that sort fast. A cell of a day is sorted once; weeks
    and months merge the sorted cells of their days. -#}
{% macro percentiles(fact, model, expression, number, touched) -%}
{%- set dimensions = kpi_dimensions(model) -%}
codes_{{ number }} as (

    select
        member,
        cast(row_number() over (order by member) as integer) as code
    from (
        select distinct member
        from (
            {{ keyed_members(fact, model, expression, touched) }}
        ) as keyed_members
    ) as members

),

members_by_code_{{ number }} as (

    select {{ sorted_values('member') }} as members
    from codes_{{ number }}

),

coded_days_{{ number }} as (

    select
        period_day,
        {{ cut_columns(dimensions) }},
        {{ sorted_values('code') }} as codes
    from (
        select
            members.*,
            codes.code
        from (
            {{ keyed_members(fact, model, expression, touched) }}
        ) as members
        inner join codes_{{ number }} as codes
            on members.member = codes.member
    ) as members
    group by grouping sets (
        {{ grouping_sets(dimensions, ['period_day']) }}
    )

),

coded_{{ number }} as (

    select
        'day' as grain,
        period_day as period_start,
        dimension_number,
        value_key,
        codes
    from coded_days_{{ number }}
    {%- if touched is not none %}
    where {{ in_touched_periods('day', 'period_day') }}
    {%- endif %}
    {%- for grain in ['week', 'month'] %}
    union all
    select
        '{{ grain }}' as grain,
        {{ period_start(grain, 'period_day') }} as period_start,
        dimension_number,
        value_key,
        {{ merged_arrays('codes') }} as codes
    from coded_days_{{ number }}
    {%- if touched is not none %}
    where {{ in_touched_periods(grain, 'period_day') }}
    {%- endif %}
    group by {{ period_start(grain, 'period_day') }}, dimension_number, value_key
    {%- endfor %}

),

percentiles_{{ number }} as (

    select
        grain,
        period_start,
        dimension_number,
        value_key
        {%- for measure in model.measures if measure.agg in ('median', 'percentile') and (measure.expr or measure.name) == expression %},
        {{ percentile_of('codes', 'members', 0.5 if measure.agg == 'median' else measure.agg_params.percentile) }}
            as of_{{ measure.name }}
        {%- if measure.agg == 'median' %}
        {%- set rank = median_rank(array_size('codes')) %},
        case
            when {{ rank }} >= 1
                then {{ coded_at('codes', 'members', rank) }}
        end as median_low,
        case
            when {{ rank }} >= 1
                then {{ coded_at('codes', 'members', array_size('codes') ~ ' + 1 - ' ~ rank) }}
        end as median_high
        {%- endif %}
        {%- endfor %}
    from coded_{{ number }}
    cross join members_by_code_{{ number }}

)
{%- endmacro %}


{#- A select of the rows of a fact that have a value of an expression: `period_day`, a key per dimension
    and the value, `member`. -#}
{% macro keyed_members(fact, model, expression, touched) -%}
    {%- set day = time_expression(model) -%}
    select
        {{ day }} as period_day,
        {%- for dimension in kpi_dimensions(model) %}
        {{ text_key(cut_expression(model, dimension)) }} as cut_{{ dimension.name }},
        {%- endfor %}
        {{ expression }} as member
    from {{ fact }}
    where
        {{ day }} is not null
        and ({{ expression }}) is not null
        {%- if touched is not none %}
        and {{ day }} in (select date_day from days_to_read)
        {%- endif %}
{%- endmacro %}


{#- Which dimension a row of grouping sets is about, and the key of its value; 0 and 0 for all. -#}
{% macro cut_columns(dimensions) -%}
        case
            {%- for dimension in dimensions %}
            when grouping(cut_{{ dimension.name }}) = 0 then {{ loop.index }}
            {%- endfor %}
            when true then 0
        end as dimension_number,
        case
            {%- for dimension in dimensions %}
            when grouping(cut_{{ dimension.name }}) = 0 then cut_{{ dimension.name }}
            {%- endfor %}
            when true then 0
        end as value_key
{%- endmacro %}
