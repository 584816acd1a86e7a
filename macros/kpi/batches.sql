{#- Cells of a long fact in a full run: computed batch by batch, since distinct counts and percentiles hold
    all rows they are about in memory, and cannot spill. A batch is some months; a week belongs to that in
    which it begins. -#}

{#- Whether the cells of a semantic model are computed in batches, when some do not add up over days: in a
    full run if the fact has more rows than a batch; in a run on what is new if the months it touched have
    more rows than any batch of them would. All cells are computed then, touched or not. -#}
{% macro is_in_batches(semantic_model) -%}
    {%- set model_of_cells = graph.semantic_models['semantic_model.parley.' ~ semantic_model] -%}
    {%- set distinct_counts = model_of_cells.measures | selectattr('agg', 'equalto', 'count_distinct') | list -%}
    {%- if this_run() is none or not (distinct_counts or percentile_expressions(model_of_cells)) -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set counted = run_query('select count(*) as row_count from ' ~ fact_of(semantic_model).relation_name) -%}
    {%- if counted.rows[0].row_count <= rows_of_a_batch() %}{{ return(false) }}{% endif -%}
    {%- if run_mode() == 'full' %}{{ return(true) }}{% endif -%}
    {%- if touched_days(semantic_model) is none or not is_incremental() %}{{ return(false) }}{% endif -%}
    {%- do note_touched_days(semantic_model) -%}
    {{ return(run_query(touched_months_outgrow_a_batch(model_of_cells)).rows[0].is_more) }}
{%- endmacro %}


{#- A select of whether the months with touched days have more rows than a batch that ends with the longest
    of them. -#}
{% macro touched_months_outgrow_a_batch(model_of_cells) -%}
{%- set month = period_start('month', time_expression(model_of_cells)) -%}
with months as (

    select count(*) as row_count
    from {{ fact_of(model_of_cells.name).relation_name }}
    where {{ month }} in (
        select {{ period_start('month', 'day') }} from {{ touched_days(model_of_cells.name) }}
    )
    group by {{ month }}

)

select coalesce(sum(row_count) > max(row_count) + {{ rows_of_a_batch() }}, false) as is_more
from months
{%- endmacro %}


{#- Rows of a batch, by the memory limit (scripts/resources.py). -#}
{% macro rows_of_a_batch() -%}
    {{ return(run_query("select getvariable('parley_facts_of_a_batch') as row_count").rows[0].row_count) }}
{%- endmacro %}


{#- Note which days belong to which batch; the numbers of the batches, of which there is one at least. -#}
{% macro note_batches(semantic_model) -%}
    {%- do run_query(
        'create or replace table ' ~ batches_of(semantic_model) ~ ' as '
        ~ batches_of_days(graph.semantic_models['semantic_model.parley.' ~ semantic_model])
    ) -%}
    {%- set found = run_query('select distinct batch from ' ~ batches_of(semantic_model) ~ ' order by batch') -%}
    {{ return(found.rows | map(attribute='batch') | list or [0]) }}
{%- endmacro %}


{#- The relation of days and their batches. -#}
{% macro batches_of(semantic_model) -%}
    {{ return('touched.batches_of_' ~ semantic_model) }}
{%- endmacro %}


{#- The days of the batch a query reads. -#}
{% macro days_of_batch(semantic_model) -%}
    (select day from {{ batches_of(semantic_model) }} where batch = {{ batch_number() }}) as days
{%- endmacro %}


{#- A select of all days from the first week and month of a semantic model's rows to their last day, each
    with the number of its batch. -#}
{% macro batches_of_days(model_of_cells) -%}
{%- set day = time_expression(model_of_cells) -%}
with months as (

    select
        {{ period_start('month', day) }} as month_start,
        count(*) as row_count,
        min({{ period_start('week', day) }}) as first_week,
        max({{ day }}) as last_day
    from {{ fact_of(model_of_cells.name).relation_name }}
    where
        {{ day }} is not null
        and ({{ counted_anywhere(model_of_cells) }})
    group by {{ period_start('month', day) }}

),

numbered as (

    select
        month_start,
        cast(
            floor((sum(row_count) over (order by month_start) - row_count) / {{ rows_of_a_batch() }})
            as integer
        ) as batch
    from months

),

bounds as (

    select
        least(min(first_week), min(month_start)) as first_day,
        cast(max(last_day) + interval '1' day as date) as end_day
    from months

)

select
    days.date_day as day,
    coalesce(max(numbered.batch), 0) as batch
from (
    {{ days_between('bounds', 'first_day', 'end_day') }}
) as days
left join numbered on days.date_day >= numbered.month_start
group by days.date_day
{%- endmacro %}
