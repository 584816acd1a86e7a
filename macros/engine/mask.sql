{#- Personal data in text: what it looks like, and masks that keep the form of what they hide. The
    same in Python is scripts/personal_data.py; tests/python/test_privacy.py compares the two. -#}

{#- The patterns, in the subset RE2 and Java share. Those of numbers hold between characters that are
    no digits. -#}
{% macro personal_pattern(kind) -%}
    {{- {
        'email': '[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+',
        'phone_international': '[+][1-9]([ ().-]{0,2}[0-9]){6,14}',
        'mobile_cn': '1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}',
        'id_card_cn': '[1-9][0-9]{5}(18|19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])'
            ~ '[0-9]{3}[0-9Xx]',
        'payment_card': '((4[0-9]{3}|5[1-5][0-9]{2}|2[2-7][0-9]{2}|3[0568][0-9]{2}|6[0-9]{3})'
            ~ '[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{1,7}|3[47][0-9]{2}[ -]?[0-9]{6}[ -]?[0-9]{5})',
    }[kind] -}}
{%- endmacro %}

{#- Whether a pattern is found in a text. -#}
{% macro matches(text, pattern) -%}
    {{ return(adapter.dispatch('matches', 'parley')(text, pattern)) }}
{%- endmacro %}

{% macro default__matches(text, pattern) -%}
    regexp_matches({{ text }}, '{{ pattern }}')
{%- endmacro %}

{% macro spark__matches(text, pattern) -%}
    regexp_like({{ text }}, '{{ pattern }}')
{%- endmacro %}

{#- A text with another in place of every match of a pattern; $1 is what the first group matched. -#}
{% macro replace_matches(text, pattern, replacement) -%}
    {{ return(adapter.dispatch('replace_matches', 'parley')(text, pattern, replacement)) }}
{%- endmacro %}

{% macro default__replace_matches(text, pattern, replacement) -%}
    regexp_replace({{ text }}, '{{ pattern }}', '{{ replacement.replace("$", "\\") }}', 'g')
{%- endmacro %}

{% macro spark__replace_matches(text, pattern, replacement) -%}
    regexp_replace({{ text }}, '{{ pattern }}', '{{ replacement }}')
{%- endmacro %}

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

{#- A text with e-mail addresses as `***@***` and the middle of telephone numbers (international and
    Chinese mobile), identity cards and payment cards as asterisks: `138****5678`. A long number with
    a wrong checksum is somebody's order number and stays. Texts without an @ or seven digits close
    together are spared the work. -#}
{% macro mask_identifiers(text) -%}
    {{ return(adapter.dispatch('mask_identifiers', 'parley')(text)) }}
{%- endmacro %}

{% macro default__mask_identifiers(text) -%}
    {%- set numbers = {'masked': text} -%}
    {#- Twice: the character between two numbers belongs to the first one's match. -#}
    {%- for _ in range(2) -%}
        {%- do numbers.update({'masked': replace_matches(
            numbers.masked,
            '(^|[^0-9])([0-9]{6})[0-9]{8}([0-9]{3}[0-9Xx])([^0-9]|$)',
            '$1$2********$3$4'
        )}) -%}
        {%- do numbers.update({'masked': replace_matches(
            numbers.masked,
            '(^|[^0-9])([2-6][0-9]{3})[ -]?([0-9]{4,6}[ -]?){1,2}[0-9]{0,3}([0-9]{4})([^0-9]|$)',
            '$1$2********$4$5'
        )}) -%}
    {%- endfor -%}
    {%- set rest = {'masked': "case when " ~ has_checked_number(text) ~ " then " ~ numbers.masked
        ~ " else " ~ text ~ " end"} -%}
    {%- for _ in range(2) -%}
        {%- do rest.update({'masked': replace_matches(
            rest.masked,
            '(^|[^0-9])(1[3-9][0-9])[ -]?[0-9]{4}[ -]?([0-9]{4})([^0-9]|$)',
            '$1$2****$3$4'
        )}) -%}
    {%- endfor -%}
    {%- set rest = replace_matches(
        rest.masked,
        '([+][1-9][0-9]{0,2})([ ().-]{0,2}[0-9]){2,10}([ ().-]{0,2}[0-9]{4})',
        '$1****$3'
    ) -%}
    case
        when not {{ may_be_personal(text) }} then {{ text }}
        else {{ replace_matches(rest, personal_pattern('email'), '***@***') }}
    end
{%- endmacro %}

{% macro may_be_personal(text) -%}
    {{ matches(text, '@|[0-9]([ ().-]{0,2}[0-9]){6}') }}
{%- endmacro %}

{#- Whether a text holds the number of an identity card or of a payment card with a right checksum. -#}
{% macro has_checked_number(text) -%}
    {{ return(adapter.dispatch('has_checked_number', 'parley')(text)) }}
{%- endmacro %}

{% macro default__has_checked_number(text) -%}
    {{ has_id_card(text) }} or {{ has_payment_card(text) }}
{%- endmacro %}

{% macro has_id_card(text) -%}
    {{ return(adapter.dispatch('has_id_card', 'parley')(text)) }}
{%- endmacro %}

{% macro default__has_id_card(text) -%}
    coalesce(len(list_filter(
        regexp_extract_all({{ text }}, '(?:^|[^0-9])({{ personal_pattern("id_card_cn") }})(?:[^0-9]|$)', 1),
        lambda number: upper(substr(number, 18, 1)) = substr('10X98765432', 1 + cast(list_sum(
            list_transform(
                range(1, 18),
                lambda place: cast(substr(number, place, 1) as int)
                * [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2][place]
            )
        ) % 11 as int), 1)
    )), 0) > 0
{%- endmacro %}

{% macro spark__has_id_card(text) -%}
    coalesce(array_size(filter(
        regexp_extract_all({{ text }}, '(?:^|[^0-9])({{ personal_pattern("id_card_cn") }})(?:[^0-9]|$)', 1),
        number -> upper(substr(number, 18, 1)) = substr('10X98765432', 1 + aggregate(
            sequence(1, 17),
            0,
            (total, place) -> total + cast(substr(number, place, 1) as int)
            * element_at(array(7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2), place)
        ) % 11, 1)
    )), 0) > 0
{%- endmacro %}

{% macro has_payment_card(text) -%}
    {{ return(adapter.dispatch('has_payment_card', 'parley')(text)) }}
{%- endmacro %}

{% macro default__has_payment_card(text) -%}
    coalesce(len(list_filter(
        list_transform(
            regexp_extract_all({{ text }}, '(?:^|[^0-9])({{ personal_pattern("payment_card") }})(?:[^0-9]|$)', 1),
            lambda number: regexp_replace(number, '[^0-9]', '', 'g')
        ),
        lambda number: list_sum(list_transform(
            range(1, length(number) + 1),
            lambda place: case
                when (length(number) - place) % 2 = 0 then cast(substr(number, place, 1) as int)
                else cast(substr('0246813579', 1 + cast(substr(number, place, 1) as int), 1) as int)
            end
        )) % 10 = 0
    )), 0) > 0
{%- endmacro %}

{% macro spark__has_payment_card(text) -%}
    coalesce(array_size(filter(
        transform(
            regexp_extract_all({{ text }}, '(?:^|[^0-9])({{ personal_pattern("payment_card") }})(?:[^0-9]|$)', 1),
            found -> regexp_replace(found, '[^0-9]', '')
        ),
        number -> aggregate(
            sequence(1, length(number)),
            0,
            (total, place) -> total + case
                when (length(number) - place) % 2 = 0 then cast(substr(number, place, 1) as int)
                else cast(substr('0246813579', 1 + cast(substr(number, place, 1) as int), 1) as int)
            end
        ) % 10 = 0
    )), 0) > 0
{%- endmacro %}

{#- The middle of whatever longer number is left, telephone numbers without a country code included:
    for rows nobody vouches for. -#}
{% macro mask_long_numbers(text) -%}
    {{ return(adapter.dispatch('mask_long_numbers', 'parley')(text)) }}
{%- endmacro %}

{% macro default__mask_long_numbers(text) -%}
    {%- set masked = replace_matches(
        text, '([0-9]{3})[ ()-]*[0-9]([ ()-]?[0-9]){3,10}([ -]?[0-9]{4})', '$1****$3'
    ) -%}
    {{ replace_matches(masked, '([0-9]{6})[0-9]{8}([0-9]{3}[0-9Xx])', '$1********$2') }}
{%- endmacro %}

{#- An id, or its keyed hash where it is an e-mail address or a telephone number (`+4915123456789`,
    `whatsapp:+4915123456789`). Other ids are opaque and stay to the letter. -#}
{% macro opaque_id(text) -%}
    {{ return(adapter.dispatch('opaque_id', 'parley')(text)) }}
{%- endmacro %}

{% macro default__opaque_id(text) -%}
    case
        when {{ is_personal_id(text) }} then {{ keyed_hash(text) }}
        else {{ text }}
    end
{%- endmacro %}

{% macro is_personal_id(text) -%}
    (contains({{ text }}, '@') or contains({{ text }}, '+'))
        and {{ matches(
            text, personal_pattern('email') ~ '|' ~ personal_pattern('phone_international')
        ) }}
{%- endmacro %}

{#- The name of a file, masked; one that needed it gets eight digits of its keyed hash, so that two
    files stay two. -#}
{% macro mask_file_name(text) -%}
    case
        when {{ mask_identifiers(text) }} = {{ text }} then {{ text }}
        else {{ mask_identifiers(text) }} || '~' || substr({{ keyed_hash(text) }}, 1, 8)
    end
{%- endmacro %}

{#- The first kind of personal data a text holds, null for none. Written apart from the masks, so that
    it tells when they fail. Where `is_id` is true only addresses and numbers with a plus sign count: ids
    are long numbers by nature. -#}
{% macro personal_kind(text, is_id) -%}
    {{ return(adapter.dispatch('personal_kind', 'parley')(text, is_id)) }}
{%- endmacro %}

{% macro default__personal_kind(text, is_id) -%}
    case
        when not {{ may_be_personal(text) }} then null
        when {{ matches(text, personal_pattern('email')) }} then 'email'
        when {{ matches(text, personal_pattern('phone_international')) }}
            then 'phone_international'
        when {{ is_id }} then null
        when {{ matches(text, '(^|[^0-9])' ~ personal_pattern('mobile_cn') ~ '([^0-9]|$)') }}
            then 'mobile_cn'
        when {{ has_id_card(text) }} then 'id_card_cn'
        when {{ has_payment_card(text) }} then 'payment_card'
    end
{%- endmacro %}

{#- A landed row as JSON: personal columns masked character by character, in the others every address
    and longer number. -#}
{% macro mask_row(columns) -%}
    {{ return(adapter.dispatch('mask_row', 'parley')(columns)) }}
{%- endmacro %}

{% macro default__mask_row(columns) -%}
    (
        select {{ mask_long_numbers(mask_identifiers('row_text')) }}
        from (select {{ json_row(columns) }} as row_text)
    )
{%- endmacro %}

{#- A lambda stands for the subquery, which Spark could not correlate. -#}
{% macro spark__mask_row(columns) -%}
    get(transform(
        array({{ json_row(columns) }}),
        row_text -> {{ mask_long_numbers(mask_identifiers('row_text')) }}
    ), 0)
{%- endmacro %}
