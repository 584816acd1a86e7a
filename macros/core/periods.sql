{#- First day of the day, week or month a date lies in; weeks begin as var `week_start` says. -#}
{% macro period_start(grain, day) -%}
    {%- if grain == 'week' and var('week_start') | lower == 'sunday' -%}
        cast(date_trunc('week', {{ day }} + interval '1' day) - interval '1' day as date)
    {%- else -%}
        cast(date_trunc('{{ grain }}', {{ day }}) as date)
    {%- endif -%}
{%- endmacro %}

{#- The clock hour of an instant in the reporting time zone, as a timestamp. -#}
{% macro local_hour(instant) -%}
    date_trunc('hour', {{ to_local(instant, "'" ~ var('reporting_timezone') ~ "'") }})
{%- endmacro %}
