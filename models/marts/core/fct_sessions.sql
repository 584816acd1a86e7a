{{ config(
    materialized='incremental',
    incremental_strategy='revised',
    unique_key='conversation_id',
) }}

-- Grain: session. Key: session_id.
-- Left out: tests and spam. What looks ahead is null until it can no longer change.
with sessions as (

    select * from {{ ref('int_sessions') }}
    where {{ is_revised('conversation_key') }}

),

first_opens as (

    select
        person_key,
        min(started_at) as first_open_at
    from {{ ref('int_sessions') }}
    where
        is_chat_open
        and {{ is_of_revised_person('person_key') }}
    group by person_key

),

last_episodes as (

    select
        conversation_key,
        session_number,
        max_by(episode_key, activity_number) as episode_key
    from {{ ref('int_messages') }}
    where {{ is_revised('conversation_key') }}
    group by conversation_key, session_number

),

house_verdicts as (

    select * from {{ fresh_rows('int_verdicts') }}
    where policy = 'house'

)

select
    sessions.session_id,
    conversations.conversation_id,
    persons.person_id,
    {{ conversation_attributes() }},
    house_verdicts.outcome,
    sessions.turn_count,
    sessions.conversation_seconds,
    sessions.is_chat_open,
    sessions.is_chat_open
    and coalesce(first_opens.first_open_at < sessions.started_at, false) as is_returning,
    sessions.is_engaged,
    sessions.is_bot_session,
    case
        when sessions.window_ends_at <= {{ as_of() }} then contacts.has_contact_action
    end as has_contact_action,
    case
        when sessions.window_ends_at <= {{ as_of() }} then contacts.has_other_channel_action
    end as has_other_channel_action,
    {{ local_day('sessions.started_at') }} as started_date,
    sessions.started_at,
    sessions.ended_at
from sessions
inner join {{ ref('int_conversations') }} as conversations
    on sessions.conversation_key = conversations.conversation_key
inner join {{ ref('int_persons') }} as persons
    on sessions.person_key = persons.person_key
left join {{ fresh_rows('int_session_contacts') }} as contacts
    on sessions.session_key = contacts.session_key
left join first_opens on sessions.person_key = first_opens.person_key
left join last_episodes
    on
        sessions.conversation_key = last_episodes.conversation_key
        and sessions.session_number = last_episodes.session_number
left join house_verdicts on last_episodes.episode_key = house_verdicts.episode_key
