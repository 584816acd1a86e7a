{#- A select that makes one row of every part of a text with | between, parts trimmed. -#}
{% macro split_rows(relation, columns, text, part) -%}
    {{ return(adapter.dispatch('split_rows', 'parley')(relation, columns, text, part)) }}
{%- endmacro %}

{% macro default__split_rows(relation, columns, text, part) -%}
select distinct
    {{ columns | join(', ') }},
    trim({{ part }}) as {{ part }}
from (
    select
        {{ columns | join(', ') }},
        unnest(string_split({{ text }}, '|')) as {{ part }}
    from {{ relation }}
    where {{ text }} is not null
) as parts
{%- endmacro %}

{% macro spark__split_rows(relation, columns, text, part) -%}
select distinct
    {{ columns | join(', ') }},
    trim({{ part }}) as {{ part }}
from (
    select
        {{ columns | join(', ') }},
        explode(split({{ text }}, '[|]')) as {{ part }}
    from {{ relation }}
    where {{ text }} is not null
) as parts
{%- endmacro %}

{#- A select of one row a day, `date_day`, from the first day to before the end, both columns of a
    relation with one row. -#}
{% macro days_between(bounds, first_day, end_day) -%}
    {{ return(adapter.dispatch('days_between', 'parley')(bounds, first_day, end_day)) }}
{%- endmacro %}

{% macro default__days_between(bounds, first_day, end_day) -%}
select cast(unnest(generate_series(
    {{ first_day }}, {{ end_day }} - interval '1' day, interval '1' day
)) as date) as date_day
from {{ bounds }}
{%- endmacro %}

{% macro spark__days_between(bounds, first_day, end_day) -%}
select explode(sequence(
    cast({{ first_day }} as date), date_sub(cast({{ end_day }} as date), 1), interval '1' day
)) as date_day
from {{ bounds }}
{%- endmacro %}

{#- The last value of a window's frame that is not null: what goes before `over`. As cheap as looking at
    one row, where max() of what only ever grows looks at them all. -#}
{% macro last_known(value) -%}
    {{ return(adapter.dispatch('last_known', 'parley')(value)) }}
{%- endmacro %}

{% macro default__last_known(value) -%}
    last_value({{ value }} ignore nulls)
{%- endmacro %}

{% macro spark__last_known(value) -%}
    last_value({{ value }}) ignore nulls
{%- endmacro %}
