{#- A milestone of a row that exists, null while it lies after as-of. -#}
{% macro known(instant, value=none) -%}
    case when {{ instant }} <= {{ as_of() }} then {{ value or instant }} end
{%- endmacro %}
