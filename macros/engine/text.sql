{#- Text, keys and secrets. -#}

{#- A 64-bit integer key of a text: what the intermediate models join, sort and group by. It is not
    published, so engines may compute it differently. Null stays null. -#}
{% macro text_key(text) -%}
    {{ return(adapter.dispatch('text_key', 'parley')(text)) }}
{%- endmacro %}

{% macro default__text_key(text) -%}
    case when {{ text }} is not null then cast(hash({{ text }}) >> 1 as bigint) end
{%- endmacro %}

{% macro spark__text_key(text) -%}
    case when {{ text }} is not null then shiftrightunsigned(xxhash64({{ text }}), 1) end
{%- endmacro %}

{#- HMAC-SHA-256 of a text under the secret salt, as 64 hexadecimal digits. The two padded keys are
    session variables, set when the connection opens, so the salt is in no SQL text. -#}
{% macro keyed_hash(text) -%}
    {{ return(adapter.dispatch('keyed_hash', 'parley')(text)) }}
{%- endmacro %}

{% macro default__keyed_hash(text) -%}
    sha256(getvariable('parley_hmac_outer') || unhex(sha256(getvariable('parley_hmac_inner') || encode({{ text }}))))
{%- endmacro %}

{% macro spark__keyed_hash(text) -%}
    sha2(
        (select parley_hmac.outer_block from parley_hmac)
        || unhex(sha2(
            (select parley_hmac.inner_block from parley_hmac) || cast({{ text }} as binary), 256
        )),
        256
    )
{%- endmacro %}

{#- The values of a column in one text, sorted by `order_by`. -#}
{% macro ordered_concat(text, separator, order_by) -%}
    {{ return(adapter.dispatch('ordered_concat', 'parley')(text, separator, order_by)) }}
{%- endmacro %}

{% macro default__ordered_concat(text, separator, order_by) -%}
    string_agg({{ text }}, '{{ separator }}' order by {{ order_by }})
{%- endmacro %}

{% macro spark__ordered_concat(text, separator, order_by) -%}
    listagg({{ text }}, '{{ separator }}') within group (order by {{ order_by }})
{%- endmacro %}

{#- A field of a JSON text as text; null when the text is not JSON or has no such field. `path` holds
    keys with a dot between. -#}
{% macro json_str(json, path) -%}
    {{ return(adapter.dispatch('json_str', 'parley')(json, path)) }}
{%- endmacro %}

{% macro default__json_str(json, path) -%}
    (case when json_valid({{ json }}) then json_extract_string({{ json }}, '$.{{ path }}') end)
{%- endmacro %}

{% macro spark__json_str(json, path) -%}
    (case
        when array_size({{ spark_json_in_array(json) }}) = 1
            then get_json_object({{ json }}, '$.{{ path }}')
    end)
{%- endmacro %}

{#- A text literal of a value; none is null. -#}
{% macro text_literal(value) -%}
    {{ return(adapter.dispatch('text_literal', 'parley')(value)) }}
{%- endmacro %}

{% macro default__text_literal(value) -%}
    {{ 'null' if value is none else "'" ~ (value | string).replace("'", "''") ~ "'" }}
{%- endmacro %}

{% macro spark__text_literal(value) -%}
    {{ 'null' if value is none else "'" ~ (value | string).replace("\\", "\\\\").replace("'", "\\'") ~ "'" }}
{%- endmacro %}
