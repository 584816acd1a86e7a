{#- A select of the keys and ids of the messages named by a column of another relation: `_row_id` and
    `message_id`. They are looked up before they are joined, because they are few and a join with all
    messages would hold the ids of all in memory.
    `messages`: conformed_messages, or rows of it; `keys`: the relation; `key`: its column. -#}
{% macro message_ids(messages, keys, key) -%}
    select
        _row_id,
        message_id
    from {{ messages }}
    where _row_id in (select {{ keys }}.{{ key }} from {{ keys }})
{%- endmacro %}
