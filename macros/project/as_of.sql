{#- The one instant every model looks from, as a UTC timestamp literal: var `as_of`, else the
    environment variable PARLEY_AS_OF, else, for the demo, its last moment, else the start of the
    run. No model reads the clock. -#}
{% macro as_of() -%}
    {%- set given = var('as_of') or env_var('PARLEY_AS_OF', '') -%}
    {%- if not given and not env_var('PARLEY_LANDING', '') and not env_var('PARLEY_WAREHOUSE', '') -%}
        {%- set given = var('demo_as_of') -%}
    {%- endif -%}
    {%- set utc = modules.pytz.utc -%}
    {%- if given -%}
        {%- set pattern = '^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?$' -%}
        {%- if not modules.re.match(pattern, given | string) -%}
            {{ exceptions.raise_compiler_error("AS_OF '" ~ given ~ "' is not an ISO 8601 instant; write it like 2026-04-20T00:00:00Z.") }}
        {%- endif -%}
        {%- set instant = modules.datetime.datetime.fromisoformat((given | string).replace('Z', '+00:00')) -%}
        {%- if instant.tzinfo is none -%}
            {%- set instant = instant.replace(tzinfo=utc) -%}
        {%- endif -%}
    {%- else -%}
        {%- set instant = run_started_at -%}
    {%- endif -%}
    timestamp '{{ instant.astimezone(utc).strftime("%Y-%m-%d %H:%M:%S.%f") }}'
{%- endmacro %}
