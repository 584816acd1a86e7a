{#- The attributes of a conversation every fact carries, so that each can be cut by them.
    `conversations`: alias of int_conversations. -#}
{% macro conversation_attributes(conversations='conversations') -%}
    {%- for column in ['platform', 'channel', 'bot_id', 'device_type', 'language', 'country', 'entry_point', 'campaign'] -%}
    {{ conversations }}.{{ column }}
    {%- if not loop.last %},
    {% endif -%}
    {%- endfor -%}
{%- endmacro %}
