{#- Which rows a model reads. In a full run all of them; in a run on what is new or ripe those concerned. -#}

{#- A model of which only the rows of changed conversations are read, and in a model built in batches those
    of the batch. The model must be one of those kept by the strategy `changed`, or a conformed child of
    conversations. -#}
{% macro changed(model_name) -%}
    {{ return(rows_of_batch(fresh_rows(model_name))) }}
{%- endmacro %}


{#- Condition: the row belongs to a revised conversation; true in a full run. -#}
{% macro is_revised(conversation_key) -%}
    {{ is_touched(conversation_key, 'conversation_key', 'int_revised_conversations') }}
{%- endmacro %}


{#- Condition: the row belongs to a person with a revised conversation; true in a full run. -#}
{% macro is_of_revised_person(person_key) -%}
    {{ is_touched(person_key, 'person_key', 'int_revised_conversations') }}
{%- endmacro %}


{#- Condition: the row belongs to a changed person; true in a full run. -#}
{% macro is_changed_person(person_key) -%}
    {{ is_touched(person_key, 'person_key', 'int_changed_persons') }}
{%- endmacro %}


{#- Condition: a key stands in a column of a model that says what is touched; true in a full run. -#}
{% macro is_touched(key, column, model_name) -%}
    {%- if run_mode() == 'touched' -%}
        {{ key }} in (select {{ column }} from touched.{{ model_name }})
    {%- else -%} true
    {%- endif -%}
{%- endmacro %}


{#- Condition: an instant, or a window that begins with it, has passed since the last run looked. The
    column stands alone, so that a scan skips what is far away. `window` is such as '7 days'. -#}
{% macro has_passed(instant, window='0 days') -%}
    (
        {{ instant }} > timestamp '{{ this_run().previous_as_of }}' - interval '{{ window }}'
        and {{ instant }} <= {{ as_of() }} - interval '{{ window }}'
    )
{%- endmacro %}


{#- The rows in which what a run wrote of a kept model and what it replaced differ, in the columns named;
    `name` is that of the model, after it ran. -#}
{% macro differing_rows(name, columns) -%}
    {{ rows_not_shared('touched.' ~ name, 'touched.' ~ name ~ '__before', columns) }}
{%- endmacro %}


{#- The rows two relations do not share, in the columns named, from either side. -#}
{% macro rows_not_shared(one, other, columns) -%}
    {%- set names = columns | join(', ') -%}
    (
        (select {{ names }} from {{ one }} except select {{ names }} from {{ other }})
        union all
        (select {{ names }} from {{ other }} except select {{ names }} from {{ one }})
    )
{%- endmacro %}


{#- Post-hook of the models that say what is touched: their rows, with the ids marts are keyed by, in
    `touched`; behind int_revised_conversations also the persons they belong to, behind
    int_changed_conversations the conformed rows of these conversations. One that a correction moved
    behind as-of belongs to nobody, and is touched all the same: its rows have to go. -#}
{% macro keep_touched() -%}
    {%- if run_mode() == 'touched' -%}
        {%- if model.name == 'int_changed_persons' -%}
            {%- do run_query('create or replace table touched.' ~ model.name ~ ' as from ' ~ this) -%}
        {%- else -%}
            {%- set is_named = model.name == 'int_revised_conversations' -%}
            {%- do run_query(
                'create or replace table touched.' ~ model.name
                ~ ' as select conversation_key, conversations.conversation_id'
                ~ (', named_conversations.person_key' if is_named else '')
                ~ ' from ' ~ this ~ ' inner join conformed.conversations using (conversation_key)'
                ~ (' left join conformed.named_conversations using (conversation_key)' if is_named else '')
            ) -%}
        {%- endif -%}
        {%- for entity in conversation_entities() if model.name == 'int_changed_conversations' -%}
            {%- do copy_rows(
                'conformed.' ~ entity, 'conversation_key in (select conversation_key from ' ~ this ~ ')',
                'touched.conformed_' ~ entity
            ) -%}
        {%- endfor -%}
    {%- endif -%}
    select 1
{%- endmacro %}


{#- The entities a conversation is made of. -#}
{% macro conversation_entities() -%}
    {{ return(['conversations', 'messages', 'events', 'feedback', 'answers']) }}
{%- endmacro %}


{#- The entities of the CRM that name a person, with the instant a row came into being. -#}
{% macro crm_entities() -%}
    {{ return({
        'contacts': 'created_at', 'leads': 'created_at', 'deals': 'created_at',
        'tickets': 'created_at', 'meetings': 'booked_at',
    }) }}
{%- endmacro %}


{#- The columns of int_tickets that matter to persons and episodes. -#}
{% macro ticket_columns() -%}
    {{ return(['ticket_id', 'person_key', 'conversation_key', 'topic', 'created_at']) }}
{%- endmacro %}


{#- The columns of int_deals that matter to persons and episodes. -#}
{% macro deal_columns() -%}
    {{ return(['deal_id', 'person_key', 'amount', 'margin', 'is_won', 'created_at', 'closed_at']) }}
{%- endmacro %}


{#- The rows of a kept table that this run wrote: all of them in a full run. -#}
{% macro fresh_rows(model_name) -%}
    {%- set relation = ref(model_name) -%}
    {{ return('touched.' ~ model_name if run_mode() == 'touched' else relation) }}
{%- endmacro %}


{#- Whether the history a model only adds to exists already. -#}
{% macro knows_history() -%}
    {{ return(execute and this_run() is not none and load_cached_relation(this) is not none) }}
{%- endmacro %}
