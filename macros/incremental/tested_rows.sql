{#- Which rows data tests look at. In a run on what is new or ripe those it wrote, because all others passed
    the same tests in the run it goes on from, or stand where rows of theirs were replaced; in any other
    run, and in `dbt test`, all. -#}

{#- The rows of a model a test looks at, for conditions on single rows. -#}
{% macro rows_to_test(relation) -%}
    {{ return((written_rows(relation) if execute else none) or relation) }}
{%- endmacro %}


{#- The rows of a model that this run wrote; none when all are to be looked at. -#}
{% macro written_rows(relation) -%}
    {%- set node = kept_node(relation) -%}
    {{ return(fresh_name(node) if node is not none else none) }}
{%- endmacro %}


{#- The rows of a model that this run took out, among them those it wrote again unchanged; none when all
    are to be looked at. -#}
{% macro removed_rows(relation) -%}
    {%- set node = kept_node(relation) -%}
    {{ return('touched.' ~ node.name ~ '__before' if node is not none else none) }}
{%- endmacro %}


{#- Condition: a test that looks at whole conversations looks at this one. -#}
{% macro is_tested(conversation_key) -%}
    {%- if tests_what_was_written() -%}
        {{ conversation_key }} in (select conversation_key from touched.int_revised_conversations)
    {%- else -%} true
    {%- endif -%}
{%- endmacro %}


{#- Condition: the value of a column, in whatever row it stands, is among those this run wrote. -#}
{% macro is_written(relation, column) -%}
    {%- set written = written_rows(relation) -%}
    {%- if written -%} {{ column }} in (select {{ column }} from {{ written }})
    {%- else -%} true
    {%- endif -%}
{%- endmacro %}


{#- The node of a model of which this run replaced some rows; none for others, and in other runs. -#}
{% macro kept_node(relation) -%}
    {%- if tests_what_was_written() and relation is not string -%}
        {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.config.materialized == 'incremental' -%}
            {%- if node.schema == relation.schema and node.alias == relation.identifier -%}
                {{ return(node) }}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(none) }}
{%- endmacro %}


{#- Where a run on what is new or ripe keeps the rows of a model it wrote. -#}
{% macro fresh_name(node) -%}
    {{ return('touched.' ~ node.name ~ ('__arrived' if node.config.incremental_strategy == 'arrived' else '')) }}
{%- endmacro %}


{% macro tests_what_was_written() -%}
    {{ return(execute and flags.WHICH == 'build' and keeps_run_state() and noted_run().mode == 'touched') }}
{%- endmacro %}
