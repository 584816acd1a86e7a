{#- Whether two topics are the same as far as anybody can tell: an unknown one matches any. -#}
{% macro same_topic(topic, other_topic) -%}
    ({{ topic }} = {{ other_topic }} or {{ topic }} = 'unknown' or {{ other_topic }} = 'unknown')
{%- endmacro %}
