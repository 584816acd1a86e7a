{#- A table built anew, in one transaction and under its own name. The adapter's own way, a table of
    another name that is renamed twice, costs five statements more for each model and guards readers
    of the warehouse, of which there are none: they read releases. -#}
{% materialization table, adapter='duckdb' %}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- set existing = load_cached_relation(this) -%}
    {%- set target_relation = this.incorporate(type='table') -%}
    {% call statement('main') -%}
        {% if existing is not none %}drop {{ existing.type }} {{ existing }};{% endif %}
        {{ create_table_as(False, target_relation, compiled_code) }}
    {%- endcall %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {%- do persist_docs(target_relation, model) -%}
    {%- do adapter.commit() -%}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}


{#- A table kept from run to run. A full run replaces it; a run on what is new or ripe replaces the rows
    its strategy names, in one transaction, and leaves in the schema `touched` the rows it wrote, under
    the model's name (<name>__arrived for the first strategy), and those it took out, under
    <name>__before.

    `incremental_strategy` says which rows are replaced, by `unique_key`:
    arrived         rows of a key that landed again
    changed         rows of changed conversations (int_changed_conversations)
    revised         rows of revised conversations (int_revised_conversations)
    persons         rows of changed persons (int_changed_persons), and those of nobody
    set_aside       rows of raw judged again
    touched_periods cells of periods in which rows of the fact differ (macros/kpi/touched_days.sql)
    whole           all of them; kept apart only to see what differs from the last run
    history         none, rows are only added; not even a full refresh takes any out -#}
{% materialization incremental, adapter='duckdb' %}
    {%- set strategy = config.require('incremental_strategy') -%}
    {%- set is_new = load_cached_relation(this) is none -%}
    {%- set is_full = run_mode() == 'full' and strategy != 'history' -%}
    {%- set semantic_model = model.name.removeprefix('kpi_cells_') if strategy == 'touched_periods' -%}
    {%- set is_in_batches = batch_number() in compiled_code -%}
    {%- set batches = [0] -%}
    {%- if is_in_batches -%}
        {%- set batches = note_batches(semantic_model) if semantic_model else range(conversation_batches()) -%}
    {%- endif -%}
    {%- if is_in_batches and run_mode() == 'full' -%}
        {{ return(build_in_batches(batches)) }}
    {%- endif -%}
    {%- if is_new or is_full or not keeps_run_state() -%}
        {{ return(materialization_table_duckdb()) }}
    {%- endif -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set fresh = fresh_name(model) -%}
    {%- set before = 'touched.' ~ model.name ~ '__before' -%}
    {%- if semantic_model and touched_days(semantic_model) is not none -%}
        {%- do note_touched_days(semantic_model) -%}
    {%- endif -%}
    {%- set is_replaced = 'true' if is_in_batches else replaced_rows(strategy, config.get('unique_key'), fresh) -%}
    {%- for number in batches -%}
        {%- set query = compiled_code | replace(batch_number(), number | string) -%}
        {% call statement('main') -%}
            {{ 'create or replace table ' ~ fresh ~ ' as' if loop.first else 'insert into ' ~ fresh ~ ' by name' }}
            ({{ query }})
        {%- endcall %}
    {%- endfor -%}
    {%- set replaced = copy_rows(target_relation, is_replaced, before) -%}
    {%- if replaced != 'false' and is_long(target_relation) -%}
        {%- do write_anew(target_relation, '(' ~ replaced ~ ') is not true', fresh) -%}
    {%- else -%}
        {%- if replaced != 'false' -%}
            {%- do run_query('delete from ' ~ target_relation ~ ' where ' ~ replaced) -%}
        {%- endif -%}
        {%- do run_query('insert into ' ~ target_relation ~ ' by name select * from ' ~ fresh) -%}
    {%- endif %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {%- do adapter.commit() -%}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}


{#- Whether a table is so long that its rows are not deleted: what DuckDB keeps of deleted rows would fill
    memory (scripts/resources.py). -#}
{% macro is_long(relation) -%}
    {%- set noted = graph.get('parley_long_tables') -%}
    {%- if noted is none or noted.run_id != invocation_id -%}
        {%- set rows = run_query(
            "select schema_name || '.' || table_name as name from duckdb_tables() "
            "where database_name = current_database() "
            "and estimated_size > getvariable('parley_most_rows_to_delete_from')"
        ).rows -%}
        {%- set noted = {'run_id': invocation_id, 'names': rows | map(attribute='name') | list} -%}
        {%- do graph.update({'parley_long_tables': noted}) -%}
    {%- endif -%}
    {{ return(relation.schema ~ '.' ~ relation.identifier in noted.names) }}
{%- endmacro %}


{#- Copy the rows of a table on which a condition on its key holds into a new one. Returns a condition that
    holds on the same rows until another model is built, false when there are none: it is by their
    places in the table. So the key of all rows is read once, and all columns only where the rows lie. -#}
{% macro copy_rows(relation, condition, copy) -%}
    {%- if not execute %}{{ return('false') }}{% endif -%}
    {%- do run_query(
        'create or replace temp table copied as select rowid as place from ' ~ relation
        ~ ' where ' ~ condition
    ) -%}
    {%- set stretches = run_query(stretches_of_copied()).rows -%}
    {%- set parts = [] -%}
    {%- for stretch in stretches -%}
        {%- set is_within = ' between ' ~ stretch.first_place ~ ' and ' ~ stretch.last_place -%}
        {%- do parts.append(
            'select * from ' ~ relation ~ ' where rowid' ~ is_within
            ~ ' and rowid in (select place from copied where place' ~ is_within ~ ')'
        ) -%}
    {%- endfor -%}
    {%- do run_query(
        'create or replace table ' ~ copy ~ ' as '
        ~ (parts | join(' union all ') or 'select * from ' ~ relation ~ ' where false')
    ) -%}
    {{ return('false' if not parts else (
        'rowid between ' ~ stretches[0].first_place ~ ' and ' ~ stretches[-1].last_place
        ~ ' and rowid in (select place from copied)'
    )) }}
{%- endmacro %}


{#- A select of the stretches in which all places lie that copy_rows has found, in their order: sixteen at
    most, parted where most rows between two places are skipped, and ten thousand at least. -#}
{% macro stretches_of_copied() -%}
with places as (

    select
        place,
        lag(place) over (order by place) as previous_place
    from copied

),

starts as (

    select
        place as first_place,
        previous_place
    from places
    where previous_place is null or place - previous_place > 10000
    order by place - previous_place desc nulls first
    limit 16

)

select
    first_place,
    coalesce(
        lead(previous_place) over (order by first_place),
        (select max(place) from copied)
    ) as last_place
from starts
order by first_place
{%- endmacro %}


{#- Write a table anew: the rows of it that are kept, and those of `fresh`. -#}
{% macro write_anew(relation, is_kept, fresh) -%}
    {%- set anew = relation.incorporate(path={'identifier': relation.identifier ~ '__anew'}) -%}
    {%- set query = 'select * from ' ~ relation ~ ' where ' ~ is_kept
        ~ ' union all by name select * from ' ~ fresh -%}
    {%- do run_query(create_table_as(False, anew, query)) -%}
    {%- do run_query('drop table ' ~ relation) -%}
    {%- do run_query('alter table ' ~ anew ~ ' rename to ' ~ relation.identifier) -%}
    {%- do persist_docs(relation, model) -%}
{%- endmacro %}


{#- Seeds are part of the project, so a run that goes on from another one has them as they are. -#}
{% materialization seed, adapter='duckdb' %}
    {%- if run_mode() == 'touched' and load_cached_relation(this) is not none -%}
        {%- do store_result('agate_table', response='OK', agate_table=run_query('select 0 as loaded_rows')) -%}
        {% call noop_statement('main', 'KEPT') %}{% endcall %}
        {{ return({'relations': [this.incorporate(type='table')]}) }}
    {%- endif -%}
    {{ return(materialization_seed_default()) }}
{% endmaterialization %}


{#- Spark builds everything in every run. -#}
{% materialization incremental, adapter='spark' %}
    {{ return(materialization_table_spark()) }}
{% endmaterialization %}


{#- Condition on the rows of a table that a strategy replaces; `fresh` holds those to be written. Marts name
    persons by the ids that int_persons had for them before this run. -#}
{% macro replaced_rows(strategy, key, fresh) -%}
    {%- if strategy == 'whole' -%} true
    {%- elif strategy == 'history' -%} false
    {%- elif strategy == 'touched_periods' -%} {{ is_touched_cell() }}
    {%- elif strategy == 'arrived' -%} {{ key }} in (select {{ key }} from {{ fresh }})
    {%- elif strategy == 'persons' -%}
        {{ key }} is null
        or {{ key }} in (
            select {{ key }}
            from touched.{{ 'int_changed_persons' if key == 'person_key' else 'int_persons__before' }}
        )
    {%- elif strategy in ('changed', 'revised') -%}
        {{ key }} in (select {{ key }} from touched.int_{{ strategy }}_conversations)
    {%- elif strategy == 'set_aside' -%}
        table_name not in ('{{ arriving_entities() | join("', '") }}')
        or reason like 'orphan:%'
        or _row_id in (select _row_id from {{ fresh }})
    {%- else -%}
        {{ exceptions.raise_compiler_error("Model " ~ model.name ~ " has the incremental strategy '" ~ strategy ~ "', which is none of arrived, changed, revised, persons, set_aside, touched_periods, whole and history.") }}
    {%- endif -%}
{%- endmacro %}
