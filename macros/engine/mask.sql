{#- Masks. A mask keeps the form of what it hides. -#}

{#- Every letter and digit of a text as an asterisk. -#}
{% macro mask_all(text) -%}
    {{ return(adapter.dispatch('mask_all', 'parley')(text)) }}
{%- endmacro %}

{% macro default__mask_all(text) -%}
    regexp_replace({{ text }}, '[^[:space:][:punct:]]', '*', 'g')
{%- endmacro %}

{% macro spark__mask_all(text) -%}
    regexp_replace({{ text }}, r'[^\s\p{Punct}]', '*')
{%- endmacro %}

{#- A text with e-mail addresses as `***@***` and the middle of longer numbers (phone, identity and
    payment cards) as asterisks: `138****5678`. -#}
{% macro mask_identifiers(text) -%}
    {{ return(adapter.dispatch('mask_identifiers', 'parley')(text)) }}
{%- endmacro %}

{% macro default__mask_identifiers(text) -%}
    regexp_replace(
        regexp_replace(
            regexp_replace(
                {{ text }},
                '[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+', '***@***', 'g'
            ),
            '([+][0-9]{1,3}|[0-9]{3})[ ()-]*[0-9]([ ()-]?[0-9]){3,10}([ -]?[0-9]{4})', '\1****\3', 'g'
        ),
        '([0-9]{6})[0-9]{8}([0-9]{3}[0-9Xx])', '\1********\2', 'g'
    )
{%- endmacro %}

{% macro spark__mask_identifiers(text) -%}
    regexp_replace(
        regexp_replace(
            regexp_replace(
                {{ text }},
                '[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+', '***@***'
            ),
            '([+][0-9]{1,3}|[0-9]{3})[ ()-]*[0-9]([ ()-]?[0-9]){3,10}([ -]?[0-9]{4})', '$1****$3'
        ),
        '([0-9]{6})[0-9]{8}([0-9]{3}[0-9Xx])', '$1********$2'
    )
{%- endmacro %}
