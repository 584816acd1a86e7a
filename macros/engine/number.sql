{#- Numbers. -#}

{#- Text to a finite double; null when it is not one. -#}
{% macro to_number(text) -%}
    {{ return(adapter.dispatch('to_number', 'parley')(text)) }}
{%- endmacro %}

{% macro default__to_number(text) -%}
    case when isfinite(try_cast({{ text }} as double)) then try_cast({{ text }} as double) end
{%- endmacro %}

{#- Text to a whole number, `631.0` included; null when it is not one. Engines round 2.5 differently,
    so a fraction is refused. -#}
{% macro to_integer(text) -%}
    {{ return(adapter.dispatch('to_integer', 'parley')(text)) }}
{%- endmacro %}

{% macro default__to_integer(text) -%}
    case
        when try_cast({{ text }} as double) = floor(try_cast({{ text }} as double))
            then try_cast({{ text }} as bigint)
    end
{%- endmacro %}
