{#- Whether a turn of int_turns, aliased `turns`, got no reply where the bot owed one; whether it is
    missed or may still be answered is a matter of the session timeout. -#}
{% macro is_missed_turn() -%}
    (turns.needs_answer and turns.responsible = 'bot' and turns.replied_at is null)
{%- endmacro %}
