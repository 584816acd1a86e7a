{#- Which days of a semantic model a run touched: the local days whose rows were added, changed or removed
    since its cells were computed, as the name of a relation with a column `day`; none when all are to
    be computed. -#}
{% macro touched_days(semantic_model) -%}
    {%- if run_mode() == 'touched' and fact_of(semantic_model).config.incremental_strategy in ['changed', 'revised', 'persons'] -%}
        {{ return('touched.days_of_' ~ semantic_model) }}
    {%- endif -%}
    {{ return(none) }}
{%- endmacro %}


{#- Fill the relation touched_days names, from the rows of the fact this run wrote and replaced, with what
    they are cut by. -#}
{% macro note_touched_days(semantic_model) -%}
    {%- set model = graph.semantic_models['semantic_model.parley.' ~ semantic_model] -%}
    {%- set fact = fact_of(semantic_model) -%}
    {%- set columns = fact.columns.keys() | list -%}
    {%- set written = 'touched.' ~ fact.name -%}
    {%- set replaced = written ~ '__before' -%}
    {%- if cutting_model(model) is not none -%}
        {%- set cut = 'touched.' ~ fact_of(cutting_model(model).name).name -%}
        {%- do columns.extend(shared_cuts(cutting_model(model)) | map(attribute='name')) -%}
        {%- set written = with_cuts(model, written, cut) -%}
        {%- set replaced = with_cuts(model, replaced, cut ~ '__before') -%}
    {%- endif -%}
    {%- do run_query(
        'create or replace table touched.days_of_' ~ semantic_model ~ ' as select distinct '
        ~ time_expression(model) ~ ' as day from '
        ~ rows_not_shared(written, replaced, columns) ~ ' as rows'
    ) -%}
{%- endmacro %}


{#- The fact a semantic model is built on, as dbt's node. -#}
{% macro fact_of(semantic_model) -%}
    {{ return(graph.nodes[graph.semantic_models['semantic_model.parley.' ~ semantic_model].depends_on.nodes[0]]) }}
{%- endmacro %}


{#- CTEs about the days a run touched: `touched`, the weeks and months they lie in, and all days of these.
    Of the days of a batch only the weeks and months that begin in it, so that each is in one batch. -#}
{% macro touched_ctes(relation, is_batch) -%}
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
    {%- if is_batch %}
    where touched_day = {{ period_start('week', 'touched_day') }}
    {%- endif %}
    union
    select
        'month' as grain,
        {{ period_start('month', 'touched_day') }} as first_day,
        cast({{ period_start('month', 'touched_day') }} + interval '1' month as date) as end_day
    from touched
    {%- if is_batch %}
    where touched_day = {{ period_start('month', 'touched_day') }}
    {%- endif %}

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


{#- Condition on the cells a run replaces: those of the periods it touched, whatever is left of them; all
    of them when it touched no days in particular. -#}
{% macro is_touched_cell() -%}
    {%- set touched = touched_days(model.name.removeprefix('kpi_cells_')) -%}
    {%- if touched is none -%} true
    {%- else -%}
        {%- for grain in ['day', 'week', 'month'] %}
        {{ 'or ' if not loop.first }}(
            grain = '{{ grain }}'
            and period_start in (
                select {{ period_start(grain, 'day') }} from {{ touched }}
            )
        )
        {%- endfor %}
    {%- endif -%}
{%- endmacro %}
