{#- Whether a row of int_activities is an answer: a bot message after a contact message of its episode
    that is of kind answer or recommendation, of unknown kind, or sourced.
    `activity`: alias of int_activities; `first_contact_number`: number of the episode's first contact
    message, an expression. -#}
{% macro is_answer(activity, first_contact_number) -%}
    ({{ activity }}.sender_type = 'bot'
    and coalesce({{ activity }}.activity_number > {{ first_contact_number }}, false)
    and ({{ activity }}.is_answering or {{ activity }}.has_source))
{%- endmacro %}
