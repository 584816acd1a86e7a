{#- Numbers, booleans and dates in text. -#}

{#- Text to a finite double; null when it is not one. -#}
{% macro to_number(text) -%}
    {{ return(adapter.dispatch('to_number', 'parley')(text)) }}
{%- endmacro %}

{% macro default__to_number(text) -%}
    case
        when {{ text }} not like '%!_%' escape '!' and isfinite(try_cast({{ text }} as double))
            then try_cast({{ text }} as double)
    end
{%- endmacro %}

{% macro spark__to_number(text) -%}
    case
        when
            trim({{ text }}) rlike '^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$'
            and abs(try_cast({{ text }} as double)) < double('Infinity')
            then try_cast({{ text }} as double)
    end
{%- endmacro %}

{#- Text to a whole number, `631.0` included; null when it is not one. Engines round 2.5 differently,
    so a fraction is refused. -#}
{% macro to_integer(text) -%}
    {{ return(adapter.dispatch('to_integer', 'parley')(text)) }}
{%- endmacro %}

{% macro default__to_integer(text) -%}
    case
        when
            {{ text }} not like '%!_%' escape '!'
            and try_cast({{ text }} as double) = floor(try_cast({{ text }} as double))
            then try_cast({{ text }} as bigint)
    end
{%- endmacro %}

{% macro spark__to_integer(text) -%}
    case
        when try_cast({{ text }} as decimal(38, 9)) = floor(try_cast({{ text }} as decimal(38, 9)))
            then try_cast(try_cast({{ text }} as decimal(38, 9)) as bigint)
    end
{%- endmacro %}

{#- Text to a boolean; null when it is not one. -#}
{% macro to_boolean(text) -%}
    {{ return(adapter.dispatch('to_boolean', 'parley')(text)) }}
{%- endmacro %}

{% macro default__to_boolean(text) -%}
    try_cast({{ text }} as boolean)
{%- endmacro %}

{% macro spark__to_boolean(text) -%}
    try_cast(case when {{ text }} not like '% %' then {{ text }} end as boolean)
{%- endmacro %}

{#- Text to a date, the day of an instant included; null when it is not one. -#}
{% macro to_date(text) -%}
    {{ return(adapter.dispatch('to_date', 'parley')(text)) }}
{%- endmacro %}

{% macro default__to_date(text) -%}
    case
        when {{ text }} like '%-%' and {{ text }} not like '0000%' and {{ text }} not like '%(BC)%'
            then try_cast({{ text }} as date)
    end
{%- endmacro %}

{% macro spark__to_date(text) -%}
    try_cast(
        regexp_extract(
            {{ text }}, '^ *((?!0000)[0-9]{4}-[0-9]{1,2}-[0-9]{1,2})([T ].*)?$', 1
        ) as date
    )
{%- endmacro %}
