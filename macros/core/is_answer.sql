{#- Whether a message is an answer: a bot message after a contact message of its episode that is of kind
    answer or recommendation, of unknown kind, or sourced.
    `activity`: alias of int_activities; `message`: alias with the message's kind and has_source;
    `first_contact_number`: number of the episode's first contact message, an expression. -#}
{% macro is_answer(activity, message, first_contact_number) -%}
    ({{ activity }}.sender_type = 'bot'
    and coalesce({{ activity }}.activity_number > {{ first_contact_number }}, false)
    and (
        {{ message }}.kind is null
        or {{ message }}.kind in ('answer', 'recommendation')
        or {{ message }}.has_source
    ))
{%- endmacro %}
