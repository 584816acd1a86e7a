-- No text of a mart holds an e-mail address, a telephone number, or the number of an identity or
-- payment card, and no column marked personal stands in `intermediate` or
-- `marts` under its name. Which columns there are is read from the project. Values are looked at
-- once each; ids, being long numbers by nature, for addresses and numbers with a plus sign. The
-- names below make dbt run this after the marts; a mart that is missing there is told as a failure.
{% for mart in [
    'dim_bots', 'dim_dates', 'dim_intents', 'dim_persons', 'fct_attribution', 'fct_conversations',
    'fct_costs', 'fct_deals', 'fct_episodes', 'fct_events', 'fct_feedback', 'fct_handoffs',
    'fct_lead_fields', 'fct_lead_flows', 'fct_leads', 'fct_meetings', 'fct_messages', 'fct_months',
    'fct_resolution_history', 'fct_resolutions', 'fct_sessions', 'fct_tickets', 'fct_topic_trends',
    'fct_turns', 'kpi_catalog', 'kpi_values', 'reconciliation', 'rejected_rows',
] -%}
-- depends_on: {{ ref(mart) }}
{% endfor %}
{%- set personal_names = [] -%}
{%- set published = [] -%}
{%- set misplaced = [] -%}
{%- if execute -%}
    {%- for node in graph.nodes.values() -%}
        {%- for column in node.columns.values() -%}
            {%- set meta = (column.config.meta if column.config else {}) or column.meta or {} -%}
            {%- if meta.get('personal') and column.name not in personal_names -%}
                {%- do personal_names.append(column.name) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' -%}
        {%- set is_mart = 'marts' in node.fqn and 'cells' not in node.fqn -%}
        {%- if is_mart and node.unique_id not in model.depends_on.nodes -%}
            {%- do misplaced.append((node.name, '', 'not named in this test')) -%}
        {%- endif -%}
        {%- for column in node.columns.values() -%}
            {%- set is_text = (column.data_type or 'string') | lower in ('string', 'varchar', 'text') -%}
            {%- if is_text and column.name in personal_names
                and node.schema not in ('raw', 'staging', 'conformed') -%}
                {%- do misplaced.append((node.name, column.name, 'marked personal')) -%}
            {%- endif -%}
            {%- if is_mart and is_text -%}
                {%- do published.append((node, column.name)) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
{%- endif %}
with suspicious as (
    {% for node, column in published %}
    {%- set is_id = column.endswith('_id') or column in ('file', 'agent_day') %}
    select
        '{{ node.name }}' as table_name,
        '{{ column }}' as column_name,
        {{ is_id | lower }} as is_id,
        text_value
    from (
        select {{ 'distinct ' if not is_id }}{{ column }} as text_value
        from {{ rows_to_test(api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias)) }}
        {%- if is_id %}
        where contains({{ column }}, '@') or contains({{ column }}, '+')
        {%- endif %}
    ) as text_values
    where {{ may_be_personal('text_value') }}
    union all
    {%- endfor %}
    select
        cast(null as string) as table_name,
        cast(null as string) as column_name,
        cast(null as boolean) as is_id,
        cast(null as string) as text_value
    where false
),

judged as (
    select
        table_name,
        column_name,
        {{ personal_kind('text_value', 'is_id') }} as kind
    from suspicious
)

select
    table_name,
    column_name,
    kind,
    count(*) as value_count
from judged
where kind is not null
group by table_name, column_name, kind
{%- for mart, column, kind in misplaced %}
union all
select
    '{{ mart }}' as table_name,
    '{{ column }}' as column_name,
    '{{ kind }}' as kind,
    cast(1 as bigint) as value_count
{%- endfor %}
