{#- JSON as exports write it; json_str() in text.sql takes a field out of it. -#}

{#- Whether a text is one JSON object; null is not. -#}
{% macro is_json_object(text) -%}
    {{ return(adapter.dispatch('is_json_object', 'parley')(text)) }}
{%- endmacro %}

{% macro default__is_json_object(text) -%}
    coalesce(case when json_valid({{ text }}) then json_type({{ text }}) = 'OBJECT' end, false)
{%- endmacro %}

{% macro spark__is_json_object(text) -%}
    {%- set array = spark_json_in_array(text) -%}
    coalesce(
        array_size({{ array }}) = 1 and schema_of_variant(get({{ array }}, 0)) like 'OBJECT<%', false
    )
{%- endmacro %}

{#- A JSON text as an array of one variant; null or of another size when it is not JSON. Alone, Spark's
    parser takes no notice of what follows a value. -#}
{% macro spark_json_in_array(text) -%}
    cast(try_parse_json('[' || {{ text }} || ']') as array<variant>)
{%- endmacro %}

{#- Seconds since 1970 as a number in text (`1558516038.3219311`) to whole microseconds, rounded in
    decimal so that no digit is lost to a float; null when it is not such a number. -#}
{% macro epoch_microseconds(text) -%}
    {{ return(adapter.dispatch('epoch_microseconds', 'parley')(text)) }}
{%- endmacro %}

{% macro default__epoch_microseconds(text) -%}
    case
        when {{ text }} not like '%!_%' escape '!'
            then cast(round(try_cast({{ text }} as decimal(20, 9)) * 1000000) as bigint)
    end
{%- endmacro %}

{#- Microseconds since 1970 to a UTC timestamp. -#}
{% macro microseconds_to_utc(microseconds) -%}
    {{ return(adapter.dispatch('microseconds_to_utc', 'parley')(microseconds)) }}
{%- endmacro %}

{% macro default__microseconds_to_utc(microseconds) -%}
    make_timestamp({{ microseconds }})
{%- endmacro %}

{% macro spark__microseconds_to_utc(microseconds) -%}
    timestamp_micros({{ microseconds }})
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

{% macro spark__json_row(columns) -%}
    to_json(
        named_struct(
            {%- for column in columns %}
            '{{ column.name }}', {{ mask_all(column.name) if column.personal else column.name }}
            {%- if not loop.last %},{% endif %}
            {%- endfor %}
        ),
        map('ignoreNullFields', 'false')
    )
{%- endmacro %}
