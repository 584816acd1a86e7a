{#- Instants. All are UTC without a zone; engines differ in how text becomes one. -#}

{#- Text in ISO 8601 to a UTC timestamp; null when it is not one. Without an offset the text is read
    in `zone`, an expression giving an IANA name (null: UTC). -#}
{% macro to_utc(text, zone="'UTC'") -%}
    {{ return(adapter.dispatch('to_utc', 'parley')(text, zone)) }}
{%- endmacro %}

{% macro default__to_utc(text, zone) -%}
    case
        when {{ text }} not like '____-__-__%' or {{ text }} like '0000%' or {{ text }} like '%(BC)%'
            then null
        when {{ text }} like '____-__-__T__:__:__' and coalesce({{ zone }}, 'UTC') = 'UTC'
            then try_cast({{ text }} as timestamp)
        when {{ text }} like '____-__-__T__:__Z'
            then try_cast(substr({{ text }}, 1, 16) as timestamp)
        when {{ text }} like '%Z' then try_cast({{ text }} as timestamp)
        when substr({{ text }}, -6, 1) in ('+', '-') and substr({{ text }}, -3, 1) = ':'
            then try_cast(
                case when length({{ text }}) = 22 then substr({{ text }}, 1, 16) else {{ text }} end
                as timestamp
            ) - to_minutes(
                cast(substr({{ text }}, -6, 1) || '1' as bigint) * (
                    60 * case
                        when try_cast(substr({{ text }}, -5, 2) as bigint) between 0 and 15
                            then try_cast(substr({{ text }}, -5, 2) as bigint)
                    end
                    + case
                        when try_cast(substr({{ text }}, -2, 2) as bigint) between 0 and 59
                            then try_cast(substr({{ text }}, -2, 2) as bigint)
                    end
                )
            )
        when regexp_matches({{ text }}, '[T ].*([+-][0-9]{2}([0-9]{2})?|z)$')
            then timezone('UTC', try_cast(
                case
                    when substr({{ text }}, 14, 1) = ':' and substr({{ text }}, 17, 1) in ('+', '-')
                        then substr({{ text }}, 1, 16) || ':00' || substr({{ text }}, 17)
                    else {{ text }}
                end as timestamptz
            ))
        else timezone('UTC', timezone(coalesce({{ zone }}, 'UTC'), try_cast({{ text }} as timestamp)))
    end
{%- endmacro %}

{% macro spark__to_utc(text, zone) -%}
    {%- set clock = '[T ][0-9]{1,2}:[0-9]{1,2}' -%}
    {%- set seconds = ':[0-9]{1,2}([.][0-9]+)?' -%}
    {%- set offset = '(Z|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)' -%}
    {%- set minutes = '[0-9]{2}:[0-9]{2}' -%}
    case
        when {{ text }} like '0000%' then null
        when {{ text }}
            rlike '^[0-9]{4}-[0-9]{2}-[0-9]{2}(T{{ minutes }}Z|[T ]{{ minutes }}[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)$'
            then try_cast(
                concat(substr({{ text }}, 1, 16), ':00', substr({{ text }}, 17)) as timestamp
            )
        when {{ text }} rlike '^[0-9]{4}-[0-9]{2}-[0-9]{2}{{ clock }}{{ seconds }}{{ offset }}$'
            then try_cast({{ text }} as timestamp)
        when {{ text }} rlike '^[0-9]{4}-[0-9]{2}-[0-9]{2}({{ clock }}({{ seconds }})?)?$'
            then {{ spark_local_to_utc('try_cast(' ~ text ~ ' as timestamp)', "coalesce(" ~ zone ~ ", 'UTC')") }}
    end
{%- endmacro %}

{#- A clock reading of a zone to UTC; of the two instants that show it when clocks are set back, the
    later one, as DuckDB has it. -#}
{% macro spark_local_to_utc(local, zone) -%}
    {%- set earlier = 'to_utc_timestamp(' ~ local ~ ', ' ~ zone ~ ')' -%}
    {%- set afterwards = '(' ~ earlier ~ " + interval '3' hour)" -%}
    {%- set later = '(' ~ local ~ ' - (from_utc_timestamp(' ~ afterwards ~ ', ' ~ zone ~ ') - ' ~ afterwards ~ '))' -%}
    case
        when from_utc_timestamp({{ later }}, {{ zone }}) = {{ local }} then {{ later }}
        else {{ earlier }}
    end
{%- endmacro %}

{#- A UTC timestamp on the clock of `zone`, an IANA name in quotes. -#}
{% macro to_local(instant, zone) -%}
    {{ return(adapter.dispatch('to_local', 'parley')(instant, zone)) }}
{%- endmacro %}

{% macro default__to_local(instant, zone) -%}
    {%- if zone == "'UTC'" -%}
    {{ instant }}
    {%- else -%}
    timezone({{ zone }}, timezone('UTC', {{ instant }}))
    {%- endif -%}
{%- endmacro %}

{% macro spark__to_local(instant, zone) -%}
    {%- if zone == "'UTC'" -%}
    {{ instant }}
    {%- else -%}
    from_utc_timestamp({{ instant }}, {{ zone }})
    {%- endif -%}
{%- endmacro %}

{#- Seconds from one instant to a later one, with fractions, as double. -#}
{% macro seconds_between(earlier, later) -%}
    {{ return(adapter.dispatch('seconds_between', 'parley')(earlier, later)) }}
{%- endmacro %}

{% macro default__seconds_between(earlier, later) -%}
    ((epoch_us({{ later }}) - epoch_us({{ earlier }})) / 1e6)
{%- endmacro %}

{% macro spark__seconds_between(earlier, later) -%}
    ((unix_micros({{ later }}) - unix_micros({{ earlier }})) / 1e6)
{%- endmacro %}

{#- `instant` plus a number of hours, an expression that may have a fraction. -#}
{% macro plus_hours(instant, hours) -%}
    {{ return(adapter.dispatch('plus_hours', 'parley')(instant, hours)) }}
{%- endmacro %}

{% macro default__plus_hours(instant, hours) -%}
    ({{ instant }} + to_microseconds(cast(round({{ hours }} * 3600e6) as bigint)))
{%- endmacro %}

{% macro spark__plus_hours(instant, hours) -%}
    timestamp_micros(unix_micros({{ instant }}) + cast(round({{ hours }} * 3600e6) as bigint))
{%- endmacro %}

{#- Day of the week of a date, 1 is Monday. -#}
{% macro iso_dow(day) -%}
    {{ return(adapter.dispatch('iso_dow', 'parley')(day)) }}
{%- endmacro %}

{% macro default__iso_dow(day) -%}
    isodow({{ day }})
{%- endmacro %}

{% macro spark__iso_dow(day) -%}
    cast(weekday({{ day }}) + 1 as bigint)
{%- endmacro %}
