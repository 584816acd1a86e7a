{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- Grain: session. Key: conversation_key, session_number.
-- Left out: nothing.
with per_session as (

    select
        conversation_key,
        session_number,
        min(happened_at) as started_at,
        max(happened_at) as ended_at,
        min_by(coalesce(sender_type, 'open'), activity_number) as begins_with,
        count(case when sender_type = 'contact' then 1 end) as contact_message_count,
        count(case when sender_type = 'bot' then 1 end) as bot_message_count,
        min(case when sender_type = 'contact' then happened_at end) as first_contact_at,
        max(case when message_key is not null then happened_at end) as last_message_at,
        max(episode_number) as last_episode_number
    from {{ changed('int_activities') }}
    group by conversation_key, session_number

),

turns as (

    select
        conversation_key,
        session_number,
        count(*) as turn_count
    from {{ changed('int_turns') }}
    group by conversation_key, session_number

)

select
    {{ text_key("per_session.conversation_key || ':s' || per_session.session_number") }}
        as session_key,
    per_session.conversation_key,
    conversations.person_key,
    conversations.conversation_id || ':s' || per_session.session_number as session_id,
    per_session.session_number,
    conversations.direction = 'inbound'
    and per_session.begins_with in ('open', 'contact') as is_chat_open,
    per_session.contact_message_count > 0 as is_engaged,
    per_session.contact_message_count > 0 and per_session.bot_message_count > 0 as is_bot_session,
    coalesce(turns.turn_count, 0) as turn_count,
    case
        when per_session.contact_message_count > 0
            then {{ seconds_between(
                'per_session.first_contact_at', 'per_session.last_message_at'
            ) }}
    end as conversation_seconds,
    per_session.started_at,
    per_session.ended_at,
    {{ plus_hours('per_session.ended_at', var('self_service_window_hours')) }} as window_ends_at
from per_session
inner join {{ changed('int_conversations') }} as conversations
    on per_session.conversation_key = conversations.conversation_key
left join turns
    on
        per_session.conversation_key = turns.conversation_key
        and per_session.session_number = turns.session_number
