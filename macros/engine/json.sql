{#- JSON as exports write it; json_str() in text.sql takes a field out of it. -#}

{#- Whether a text is one JSON object; null is not. -#}
{% macro is_json_object(text) -%}
    {{ return(adapter.dispatch('is_json_object', 'parley')(text)) }}
{%- endmacro %}

{% macro default__is_json_object(text) -%}
    coalesce(case when json_valid({{ text }}) then json_type({{ text }}) = 'OBJECT' end, false)
{%- endmacro %}

{#- Seconds since 1970 as a number in text (`1558516038.3219311`) to whole microseconds, rounded in
    decimal so that no digit is lost to a float; null when it is not such a number. -#}
{% macro epoch_microseconds(text) -%}
    {{ return(adapter.dispatch('epoch_microseconds', 'parley')(text)) }}
{%- endmacro %}

{% macro default__epoch_microseconds(text) -%}
    cast(round(try_cast({{ text }} as decimal(20, 9)) * 1000000) as bigint)
{%- endmacro %}

{#- Microseconds since 1970 to a UTC timestamp. -#}
{% macro microseconds_to_utc(microseconds) -%}
    {{ return(adapter.dispatch('microseconds_to_utc', 'parley')(microseconds)) }}
{%- endmacro %}

{% macro default__microseconds_to_utc(microseconds) -%}
    make_timestamp({{ microseconds }})
{%- endmacro %}

{#- A row of landed text as one JSON object, personal columns masked character by character. -#}
{% macro json_row(columns) -%}
    {{ return(adapter.dispatch('json_row', 'parley')(columns)) }}
{%- endmacro %}

{% macro default__json_row(columns) -%}
    cast(json_object(
        {%- for column in columns %}
        '{{ column.name }}', {{ mask_all(column.name) if column.personal else column.name }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    ) as string)
{%- endmacro %}
