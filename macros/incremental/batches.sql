{#- A long table in a full run: built batch by batch where a query over all rows would not fit into memory,
    or would spill all of them several times. The SQL of such a model reads one batch, whose number stands
    in it as batch_number(). -#}

{#- The number of the batch a query reads: that of the first, which build_in_batches replaces. -#}
{% macro batch_number() -%} 0 /* batch */ {%- endmacro %}


{#- Build the table of this model batch by batch, in one transaction; `numbers` are those of the batches. -#}
{% macro build_in_batches(numbers) -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- for number in numbers -%}
        {%- set query = compiled_code | replace(batch_number(), number | string) -%}
        {% call statement('main') -%}
            {%- if loop.first -%}
                {% if existing is not none %}drop {{ existing.type }} {{ existing }};{% endif %}
                {{ create_table_as(False, target_relation, query) }}
            {%- else -%}
                insert into {{ target_relation }} by name ({{ query }})
            {%- endif -%}
        {%- endcall %}
    {%- endfor -%}
    {%- do persist_docs(target_relation, model) -%}
    {%- do adapter.commit() -%}
    {{ return({'relations': [target_relation]}) }}
{%- endmacro %}


{#- In how many batches of conversations this model is built: in one, unless its meta says `in_batches` and
    this is a full run over more messages than a batch has. -#}
{% macro conversation_batches() -%}
    {%- if not model.config.meta.get('in_batches') or this_run() is none or run_mode() != 'full' -%}
        {{ return(1) }}
    {%- endif -%}
    {%- set messages = graph.nodes['model.parley.conformed_messages'].relation_name -%}
    {%- set counted = run_query('select count(*) as row_count from ' ~ messages).rows[0].row_count -%}
    {%- set batch = messages_of_a_batch() -%}
    {{ return(((counted + batch - 1) // batch) | int or 1) }}
{%- endmacro %}


{#- Messages of a batch, by the memory limit (scripts/resources.py). -#}
{% macro messages_of_a_batch() -%}
    {{ return(run_query("select getvariable('parley_messages_of_a_batch') as row_count").rows[0].row_count) }}
{%- endmacro %}


{#- The rows of a relation with a conversation_key that belong to the batch a query reads; all of them
    where no model is built, as when its SQL is linted. -#}
{% macro rows_of_batch(relation) -%}
    {%- if model is not defined -%}{{ return(relation) }}{%- endif -%}
    {%- set batches = conversation_batches() -%}
    {%- if batches == 1 -%}{{ return(relation) }}{%- endif -%}
    (select * from {{ relation }} where abs(conversation_key % {{ batches }}) = {{ batch_number() }})
{%- endmacro %}
