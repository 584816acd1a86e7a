-- depends_on: {{ ref('conformed_deals') }}
-- depends_on: {{ ref('conformed_tickets') }}
-- depends_on: {{ ref('int_conversations') }}
-- depends_on: {{ ref('int_deals') }}
-- depends_on: {{ ref('int_tickets') }}
-- depends_on: {{ ref('int_contact_survivors') }}
-- depends_on: {{ ref('conformed_contacts') }}
-- depends_on: {{ ref('conformed_leads') }}
-- depends_on: {{ ref('conformed_meetings') }}

-- Grain: person of whom a conversation or a row of the CRM may have changed since the last run.
-- Key: person_key.
-- Left out: all others; in a full run everything is built and nothing stands here.
{{ config(post_hook="{{ keep_touched() }}") }}
{% if run_mode() == 'full' -%}
select person_key
from {{ ref('int_conversations') }}
where false
{%- else -%}
with crm_rows as (

    {% for entity, instant in crm_entities().items() -%}
    select contact_id from touched.conformed_{{ entity }}__arrived
    union all
    select contact_id from touched.conformed_{{ entity }}__before
    union all
    select contact_id from {{ ref('conformed_' ~ entity) }}
    where {{ has_passed(instant) }}
    union all
    {% endfor -%}
    select contact_id
    from {{ differing_rows('int_contact_survivors', ['contact_id', 'survivor_id']) }}

),

survivors as (

    select
        contact_id,
        survivor_id
    from {{ ref('int_contact_survivors') }}
    union
    select
        contact_id,
        survivor_id
    from touched.int_contact_survivors__before

),

names as (

    select contact_id as person_name
    from crm_rows
    where contact_id is not null
    union
    select survivors.survivor_id as person_name
    from survivors
    inner join crm_rows on survivors.contact_id = crm_rows.contact_id

)

select {{ text_key('person_name') }} as person_key from names
union
select person_key from touched.int_conversations
union
select person_key from touched.int_conversations__before
union
select person_key
from {{ differing_rows('int_deals', deal_columns()) }}
where person_key is not null
union
select person_key
from {{ differing_rows('int_tickets', ticket_columns()) }}
where person_key is not null
{%- endif %}
