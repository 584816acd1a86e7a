{#- A select of the KPIs as their metrics define them, one row each. -#}
{% macro kpi_definitions() -%}
    {%- if not execute %}{{ return('select 1 as parsed') }}{% endif -%}
    {%- set metrics = graph.metrics.values() | sort(attribute='name') -%}
    {%- set rows = [] -%}
    {%- set of_all = ['as_of=' ~ as_of().split("'")[1][:19]] -%}
    {%- for name in ('reporting_timezone', 'week_start') -%}
        {%- do of_all.append(name ~ '=' ~ var(name)) -%}
    {%- endfor -%}
    {%- for metric in metrics if metric.config.meta.get('title') -%}
        {%- set meta = metric.config.meta -%}
        {%- set parameters = [] -%}
        {%- for name in meta.get('parameters', []) -%}
            {%- do parameters.append(name ~ '=' ~ var(name)) -%}
        {%- endfor -%}
        {%- set values = [
            metric.name, meta.title, meta.title_zh, metric.description, meta.formula, meta.unit,
            meta.direction, meta.source | join(', '), (of_all + parameters) | join(', '),
            meta.get('maturity', ''), meta.owner, meta.requires,
        ] -%}
        {%- set literals = [] -%}
        {%- for value in values -%}
            {%- do literals.append(text_literal(value)) -%}
        {%- endfor -%}
        {%- do rows.append('select ' ~ literals | join(', ')) -%}
    {%- endfor -%}
    select * from (
        {{ rows | join('\n        union all ') }}
    ) as definitions (
        kpi, title, title_zh, description, formula, unit, direction, source, parameters,
        maturity, owner, requires
    )
{%- endmacro %}
