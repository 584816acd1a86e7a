{#- What dbt remembers of its last run, in the schema `touched`: table `runs`, one row, and the rows the
    last incremental run worked on, which are there to look at and mean nothing to the next run.

    A run is continued incrementally when the run before it was whole and succeeded, nothing but data
    has changed since, and time has not gone back. Anything else builds everything anew: a first run,
    --full-refresh, a run that was killed or failed, a selection of models, other code, parameters,
    policies or salt, a reference table landed anew, a platform's own export with new rows, rows taken
    out of `raw`. There is no third way, so there is no state to repair. -#}

{#- on-run-start: note that a run begins, and whether it is `full` or `touched`. -#}
{% macro begin_run() -%}
    {%- if execute and flags.WHICH in ('build', 'run') and keeps_run_state() -%}
        {%- set facts = run_facts() -%}
        {%- set last = last_run() -%}
        {%- set reason = why_all_rows(last, facts) -%}
        {%- set mode = 'full' if reason else 'touched' -%}
        {%- if last is not none and not last.is_complete and last.build_number -%}
            {%- do forget_history_of(last.build_number) -%}
        {%- endif -%}
        {%- if mode == 'full' -%}
            {%- do run_query('drop schema if exists touched cascade') -%}
            {%- do run_query('create schema touched') -%}
        {%- else -%}
            {%- do run_query(
                "create or replace table touched.orphans as select table_name, _row_id "
                "from intermediate.int_set_aside where reason like 'orphan:%'"
            ) -%}
        {%- endif -%}
        {%- do run_query(
            "create or replace table touched.runs as select '" ~ invocation_id ~ "' as run_id, '"
            ~ mode ~ "' as mode, " ~ ("'" ~ reason ~ "'" if reason else 'cast(null as varchar)')
            ~ ' as reason, ' ~ as_of() ~ " as as_of, '" ~ facts.fingerprint
            ~ "' as fingerprint, cast(" ~ facts.last_row_id ~ " as bigint) as last_row_id, '"
            ~ facts.taken_out ~ "' as taken_out, "
            ~ ('cast(' ~ last.last_row_id ~ ' as bigint)' if mode == 'touched' else 'cast(0 as bigint)')
            ~ ' as previous_row_id, '
            ~ ("'" ~ last.run_id ~ "'" if mode == 'touched' else 'cast(null as varchar)')
            ~ ' as previous_run_id, '
            ~ ("timestamp '" ~ last.as_of ~ "'" if mode == 'touched' else 'cast(null as timestamp)')
            ~ ' as previous_as_of, ' ~ (is_whole_project() | string | lower) ~ ' as is_whole, '
            ~ next_build_number(last) ~ ' as build_number, false as is_complete'
        ) -%}
        {%- do log('parley: ' ~ ('only what is new or ripe since ' ~ last.as_of if mode == 'touched' else 'all rows, since ' ~ reason), info=true) -%}
    {%- endif -%}
{%- endmacro %}


{#- on-run-end: a whole run in which every model was built and every test passed may be continued by the
    next one. -#}
{% macro end_run(results) -%}
    {%- if execute and flags.WHICH in ('build', 'run') and keeps_run_state() -%}
        {%- set failed = [] -%}
        {%- set built = [] -%}
        {%- for result in results -%}
            {%- if result.status | string in ('error', 'fail', 'skipped', 'runtime error', 'partial success') -%}
                {%- do failed.append(result.node.name) -%}
            {%- elif result.node.resource_type == 'model' -%}
                {%- do built.append(result.node.name) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if built and not failed -%}
            {%- do run_query(
                "update touched.runs set is_complete = is_whole where run_id = '" ~ invocation_id ~ "'"
            ) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}


{#- Take back what a run that came to no end, and so was not published, added to the histories. -#}
{% macro forget_history_of(build_number) -%}
    {%- for node in graph.nodes.values() if node.config.incremental_strategy == 'history' -%}
        {%- set relation = load_relation(api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias)) -%}
        {%- if relation is not none -%}
            {%- do run_query('delete from ' ~ relation ~ ' where build_number = ' ~ build_number) -%}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}


{#- The number of a run: one more than of all that histories know of, and than the last one's. -#}
{% macro next_build_number(last) -%}
    {%- set numbers = [(last.build_number or 0) | int if last else 0] -%}
    {%- for node in graph.nodes.values() if node.config.incremental_strategy == 'history' -%}
        {%- set relation = load_relation(api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias)) -%}
        {%- if relation is not none -%}
            {%- do numbers.append(run_query('select coalesce(max(build_number), 0) as newest from ' ~ relation).rows[0].newest | int) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(numbers | max + 1) }}
{%- endmacro %}


{#- Whether this target keeps state: a DuckDB file does; in memory, DuckLake and Spark build all. -#}
{% macro keeps_run_state() -%}
    {{ return(target.type == 'duckdb' and target.name == 'dev') }}
{%- endmacro %}


{#- Whether all models are selected. -#}
{% macro is_whole_project() -%}
    {%- set left_out = [] -%}
    {%- for node in graph.nodes.values() if node.resource_type in ('model', 'seed') -%}
        {%- if node.unique_id not in selected_resources -%}
            {%- do left_out.append(node.name) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(left_out | length == 0) }}
{%- endmacro %}


{#- What the next run will be compared by: digest of everything but data and time, the last raw row, and
    how many loads were taken out again and when the loader last changed rows that it had loaded before,
    since somebody erased turned out to be in them. -#}
{% macro run_facts() -%}
    {%- set row = run_query(
        "select coalesce(getvariable('parley_build_digest'), 'none') as digest, "
        "(select coalesce(max(first_row_id + row_count - 1), 0) from raw._loads) as last_row_id, "
        "(select cast(count(*) as varchar) from raw._loads where removed_at is not null) "
        "|| coalesce(' ' || getvariable('parley_rewritten_at'), '') as taken_out"
    ).rows[0] -%}
    {%- set arguments = local_md5(invocation_args_dict.get('vars', {}) | string) -%}
    {{ return({
        'fingerprint': 'md5:' ~ local_md5(row['digest'] ~ arguments),
        'last_row_id': row['last_row_id'],
        'taken_out': row['taken_out'],
    }) }}
{%- endmacro %}


{#- The row of the last run; none when there is none. -#}
{% macro last_run() -%}
    {%- if run_query(
        "select 1 from information_schema.tables where table_catalog = current_database() "
        "and table_schema = 'touched' and table_name = 'runs'"
    ).rows | length == 0 -%}
        {{ return(none) }}
    {%- endif -%}
    {{ return(run_query('select * from touched.runs').rows[0]) }}
{%- endmacro %}


{#- Why a run may not go on from the last one, in words; empty when it may. -#}
{% macro why_all_rows(last, facts) -%}
    {%- if flags.FULL_REFRESH %}{{ return('that was asked for') }}{% endif -%}
    {%- if last is none %}{{ return('there was no run before') }}{% endif -%}
    {%- if not is_whole_project() %}{{ return('some models are left out') }}{% endif -%}
    {%- if not last.is_complete %}{{ return('the last run failed, was killed or left models out') }}{% endif -%}
    {%- if last.fingerprint != facts.fingerprint -%}
        {{ return('models, parameters, salt or versions are not those of the last run') }}
    {%- endif -%}
    {%- if facts.taken_out != last.taken_out %}{{ return('rows that had landed were taken out or changed') }}{% endif -%}
    {%- if run_query("select timestamp '" ~ last.as_of ~ "' > " ~ as_of() ~ " as is_back").rows[0].is_back -%}
        {{ return('as-of lies before that of the last run, ' ~ last.as_of) }}
    {%- endif -%}
    {%- set decisive = ['intents', 'flows', 'business_hours', 'holidays', 'model_prices', 'resolution_policies'] -%}
    {%- for node in graph.sources.values() if node.source_name != 'raw' -%}
        {%- if node.schema != 'raw' %}{{ return('the source ' ~ node.source_name ~ ' is not in raw') }}{% endif -%}
        {%- do decisive.append(node.identifier) -%}
    {%- endfor -%}
    {%- set landed = run_query(
        "select table_name from raw._loads where first_row_id > " ~ last.last_row_id
        ~ " and table_name in ('" ~ decisive | join("', '") ~ "') order by 1 limit 1"
    ).rows -%}
    {%- if landed | length %}{{ return(landed[0].table_name ~ ' landed, which decides over all rows') }}{% endif -%}
    {%- set missing = missing_tables() -%}
    {{ return('the table of ' ~ missing[0] ~ ' is missing' if missing else '') }}
{%- endmacro %}


{#- Whether a table that is kept from run to run is not there. -#}
{% macro missing_tables() -%}
    {%- set missing = [] -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.config.materialized == 'incremental' -%}
        {%- if load_relation(api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias)) is none -%}
            {%- do missing.append(node.name) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(missing) }}
{%- endmacro %}


{#- `touched` when this run works on what is new or ripe only, else `full`; `full` outside a run. -#}
{% macro run_mode() -%}
    {{ return(this_run().mode if this_run() else 'full') }}
{%- endmacro %}


{#- The row of this run; none outside a run and in unit tests. -#}
{% macro this_run() -%}
    {%- if not execute or flags.WHICH not in ('build', 'run') or not keeps_run_state() -%}
        {{ return(none) }}
    {%- endif -%}
    {%- if model is defined and model.resource_type not in ('model', 'seed') -%}
        {{ return(none) }}
    {%- endif -%}
    {{ return(noted_run()) }}
{%- endmacro %}


{#- The row of this run, read once: `graph` is the one place all nodes of a run share. -#}
{% macro noted_run() -%}
    {%- set noted = graph.get('parley_run') -%}
    {%- if noted is none or noted.run_id != invocation_id -%}
        {%- set noted = {} -%}
        {%- set row = run_query('select * from touched.runs').rows[0] -%}
        {%- for name in row.keys() -%}{%- do noted.update({name: row[name]}) -%}{%- endfor -%}
        {%- if noted.run_id == invocation_id -%}{%- do graph.update({'parley_run': noted}) -%}{%- endif -%}
    {%- endif -%}
    {{ return(noted) }}
{%- endmacro %}
