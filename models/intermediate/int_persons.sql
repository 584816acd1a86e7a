{{ config(
    materialized='incremental',
    incremental_strategy='persons',
    unique_key='person_key',
) }}

-- depends_on: {{ ref('int_changed_persons') }}
-- Grain: person with a conversation or a row in the CRM. Key: person_key.
-- Left out: nobody. The only place where a name turns into its keyed hash.
with contacts as (

    select
        coalesce(survivors.survivor_id, contacts.contact_id) as person_name,
        contacts.created_at,
        contacts.country,
        contacts.language,
        coalesce(survivors.survivor_id, contacts.contact_id) = contacts.contact_id as is_survivor
    from {{ ref('conformed_contacts') }} as contacts
    left join {{ ref('int_contact_survivors') }} as survivors
        on contacts.contact_id = survivors.contact_id
    where contacts.created_at <= {{ as_of() }}

),

contact_persons as (

    select
        person_name,
        min(created_at) as contact_created_at,
        max(case when is_survivor then country end) as country,
        max(case when is_survivor then language end) as language
    from contacts
    group by person_name

),

conversation_persons as (

    select
        person_name,
        min(opened_at) as first_opened_at,
        min_by(country, (opened_at, conversation_id)) filter (
            where country is not null
        ) as country,
        min_by(language, (opened_at, conversation_id)) filter (
            where language is not null
        ) as language
    from {{ ref('int_conversations') }}
    where {{ is_changed_person('person_key') }}
    group by person_name

),

-- the CRM may speak of contacts it did not export
named_contacts as (

    select
        contact_id,
        created_at
    from {{ ref('conformed_leads') }}
    union all
    select
        contact_id,
        created_at
    from {{ ref('conformed_deals') }}
    union all
    select
        contact_id,
        created_at
    from {{ ref('conformed_tickets') }}
    union all
    select
        contact_id,
        booked_at as created_at
    from {{ ref('conformed_meetings') }}

),

named_persons as (

    select
        coalesce(survivors.survivor_id, named_contacts.contact_id) as person_name,
        min(named_contacts.created_at) as first_named_at
    from named_contacts
    left join {{ ref('int_contact_survivors') }} as survivors
        on named_contacts.contact_id = survivors.contact_id
    where
        named_contacts.contact_id is not null
        and named_contacts.created_at <= {{ as_of() }}
    group by coalesce(survivors.survivor_id, named_contacts.contact_id)

),

names as (

    select person_name from contact_persons
    where {{ is_changed_person(text_key('person_name')) }}
    union
    select person_name from conversation_persons
    union
    select person_name from named_persons
    where {{ is_changed_person(text_key('person_name')) }}

),

persons as (

    select
        names.person_name,
        conversation_persons.first_opened_at,
        contact_persons.contact_created_at,
        named_persons.first_named_at,
        coalesce(contact_persons.country, conversation_persons.country) as country,
        coalesce(contact_persons.language, conversation_persons.language) as language
    from names
    left join contact_persons on names.person_name = contact_persons.person_name
    left join conversation_persons on names.person_name = conversation_persons.person_name
    left join named_persons on names.person_name = named_persons.person_name

)

select
    {{ text_key('person_name') }} as person_key,
    {{ keyed_hash('person_name') }} as person_id,
    first_opened_at,
    contact_created_at,
    first_named_at,
    country,
    language
from persons
