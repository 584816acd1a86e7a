{#- Which days of a semantic model a run touched: the local days whose rows were added, changed or removed
    since its cells were computed, as the name of a relation with a column `day`; none when all are to
    be computed. -#}
{% macro touched_days(semantic_model) -%}
    {{ return(none) }}
{%- endmacro %}


{#- CTEs about the days a run touched: `touched`, the weeks and months they lie in, and all days of these. -#}
{% macro touched_ctes(relation) -%}
touched as (

    select distinct day as touched_day
    from {{ relation }}
    where day is not null

),

touched_periods as (

    select
        'day' as grain,
        touched_day as first_day,
        cast(touched_day + interval '1' day as date) as end_day
    from touched
    union
    select
        'week' as grain,
        {{ period_start('week', 'touched_day') }} as first_day,
        cast({{ period_start('week', 'touched_day') }} + interval '7' day as date) as end_day
    from touched
    union
    select
        'month' as grain,
        {{ period_start('month', 'touched_day') }} as first_day,
        cast({{ period_start('month', 'touched_day') }} + interval '1' month as date) as end_day
    from touched

),

days_to_read as (

    select distinct date_day
    from (
        {{ days_between('touched_periods', 'first_day', 'end_day') }}
    ) as days

)
{%- endmacro %}


{#- Whether the period of a grain that a day lies in was touched. -#}
{% macro in_touched_periods(grain, day) -%}
    {{ period_start(grain, day) }} in (
        select first_day from touched_periods where grain = '{{ grain }}'
    )
{%- endmacro %}


{#- Incremental strategy of cells: the periods a run touched are replaced, whatever is left of them; all
    of them when it touched no days in particular. -#}
{% macro get_incremental_touched_periods_sql(arg_dict) -%}
    {%- set touched = touched_days(model.name.removeprefix('kpi_cells_')) -%}
    {%- set columns = arg_dict.dest_columns | map(attribute='quoted') | join(', ') -%}
    delete from {{ arg_dict.target_relation }}
    {%- if touched is not none %}
    where
        {%- for grain in ['day', 'week', 'month'] %}
        {{ 'or ' if not loop.first }}(
            grain = '{{ grain }}'
            and period_start in (
                select {{ period_start(grain, 'day') }} from {{ touched }}
            )
        )
        {%- endfor %}
    {%- endif %};
    insert into {{ arg_dict.target_relation }} ({{ columns }})
    select {{ columns }} from {{ arg_dict.temp_relation }}
{%- endmacro %}
