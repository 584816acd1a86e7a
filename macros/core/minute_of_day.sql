{#- Minutes since midnight of a time in HH:MM. -#}
{% macro minute_of_day(clock) -%}
    (try_cast(split_part({{ clock }}, ':', 1) as bigint) * 60
    + try_cast(split_part({{ clock }}, ':', 2) as bigint))
{%- endmacro %}
