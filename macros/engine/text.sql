{#- Text, keys and secrets. -#}

{#- A 64-bit integer key of a text: what the intermediate models join, sort and group by. It is not
    published, so engines may compute it differently. Null stays null. -#}
{% macro text_key(text) -%}
    {{ return(adapter.dispatch('text_key', 'parley')(text)) }}
{%- endmacro %}

{% macro default__text_key(text) -%}
    case when {{ text }} is not null then cast(hash({{ text }}) >> 1 as bigint) end
{%- endmacro %}

{#- HMAC-SHA-256 of a text under the secret salt, as 64 hexadecimal digits. The two padded keys are
    session variables, set when the connection opens, so the salt is in no SQL text. -#}
{% macro keyed_hash(text) -%}
    {{ return(adapter.dispatch('keyed_hash', 'parley')(text)) }}
{%- endmacro %}

{% macro default__keyed_hash(text) -%}
    sha256(getvariable('parley_hmac_outer') || unhex(sha256(getvariable('parley_hmac_inner') || encode({{ text }}))))
{%- endmacro %}

{#- The values of a column in one text, sorted by `order_by`. -#}
{% macro ordered_concat(text, separator, order_by) -%}
    {{ return(adapter.dispatch('ordered_concat', 'parley')(text, separator, order_by)) }}
{%- endmacro %}

{% macro default__ordered_concat(text, separator, order_by) -%}
    string_agg({{ text }}, '{{ separator }}' order by {{ order_by }})
{%- endmacro %}

{#- A field of a JSON text as text; null when the text is not JSON or has no such field. `path` holds
    keys with a dot between. -#}
{% macro json_str(json, path) -%}
    {{ return(adapter.dispatch('json_str', 'parley')(json, path)) }}
{%- endmacro %}

{% macro default__json_str(json, path) -%}
    (case when json_valid({{ json }}) then json_extract_string({{ json }}, '$.{{ path }}') end)
{%- endmacro %}
