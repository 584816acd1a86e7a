{{ config(
    schema='conformed',
    alias='named_conversations',
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- depends_on: {{ ref('int_changed_conversations') }}
-- Grain: conversation opened at or before as-of. Key: conversation_key.
-- Left out: conversations of the future. Tests and spam are kept and marked, facts leave them out.
with conversations as (

    select * from {{ changed('conformed_conversations') }}
    where opened_at <= {{ as_of() }}

),

named as (

    select
        conversations.*,
        coalesce(
            survivors.survivor_id,
            conversations.contact_id,
            'visitor:' || conversations.visitor_id,
            'conversation:' || conversations.conversation_id
        ) as person_name
    from conversations
    left join {{ ref('int_contact_survivors') }} as survivors
        on conversations.contact_id = survivors.contact_id

)

select
    conversation_key,
    {{ text_key('person_name') }} as person_key,
    conversation_id,
    person_name,
    platform,
    channel,
    direction,
    bot_id,
    entry_point,
    campaign,
    device_type,
    language,
    country,
    not is_test and not is_spam as is_reportable,
    opened_at,
    {{ known('closed_at') }} as closed_at
from named
