{#- Whether a field is among those a flow requires, a text with | between. -#}
{% macro is_required_field(required_fields, field) -%}
    coalesce(
        instr('|' || replace({{ required_fields }}, ' ', '') || '|', '|' || {{ field }} || '|')
        > 0,
        false
    )
{%- endmacro %}

{#- How many fields a flow requires, from a text with | between. -#}
{% macro required_field_count(required_fields) -%}
    (case
        when coalesce(replace({{ required_fields }}, ' ', ''), '') = '' then 0
        else
            length(replace({{ required_fields }}, ' ', ''))
            - length(replace(replace({{ required_fields }}, ' ', ''), '|', ''))
            + 1
    end)
{%- endmacro %}
