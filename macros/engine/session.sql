{#- What a run needs of its engine before the first model; called on-run-start. On DuckDB the loader's
    plugin has done it. -#}
{% macro prepare_session() -%}
    {{ return(adapter.dispatch('prepare_session', 'parley')()) }}
{%- endmacro %}

{% macro default__prepare_session() -%}
{%- endmacro %}

{#- Spark: the session's zone is UTC, the salt is at hand, and the raw tables are the Parquet that
    scripts/spark_raw.py wrote. -#}
{% macro spark__prepare_session() -%}
    {%- if execute and flags.WHICH in ('build', 'run', 'test', 'seed') -%}
        {%- set zone = run_query('select current_timezone()').rows[0][0] -%}
        {%- if zone not in ('UTC', 'Etc/UTC', 'Z') -%}
            {{ exceptions.raise_compiler_error("The Spark session's time zone is " ~ zone ~ "; set spark.sql.session.timeZone to UTC, or instants would be shifted.") }}
        {%- endif -%}
        {%- do run_query('create schema if not exists raw') -%}
        {%- for source in graph.sources.values() if source.schema == 'raw' -%}
            {%- do run_query('drop table if exists raw.' ~ source.identifier) -%}
            {%- do run_query('create table raw.' ~ source.identifier ~ ' using parquet location ' ~ text_literal(env_var('PARLEY_SPARK_RAW') ~ '/' ~ source.identifier)) -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
