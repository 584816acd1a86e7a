{#- The attributes of an episode its facts carry. `episodes`: alias of int_episode_dimensions. -#}
{% macro episode_attributes(episodes='episodes') -%}
    {{ episodes }}.topic,
    {{ episodes }}.business_hours
{%- endmacro %}
