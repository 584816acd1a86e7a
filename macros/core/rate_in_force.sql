{#- Join condition: `rates` holds the rate of a currency in force on a local day. An amount without a
    currency is in the reporting one. -#}
{% macro rate_in_force(rates, currency, day) -%}
    coalesce({{ currency }}, '{{ var("reporting_currency") }}') = {{ rates }}.currency
    and {{ day }} >= {{ rates }}.valid_from
    and ({{ rates }}.valid_until is null or {{ day }} < {{ rates }}.valid_until)
{%- endmacro %}

{#- The day of an instant in the reporting time zone. -#}
{% macro local_day(instant) -%}
    cast({{ to_local(instant, "'" ~ var('reporting_timezone') ~ "'") }} as date)
{%- endmacro %}
