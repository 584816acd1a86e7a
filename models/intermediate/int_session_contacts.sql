{{ config(
    materialized='incremental',
    incremental_strategy='revised',
    unique_key='conversation_key',
) }}

-- depends_on: {{ ref('int_revised_conversations') }}
-- Grain: bot session. Key: session_key.
-- Left out: other sessions. Whether the person met a human (a handoff, an agent's message or a
-- ticket) from its start until its window ends, and whether outside the conversation.
with human_contacts as (

    select
        conversations.person_key,
        events.conversation_key,
        events.occurred_at as happened_at
    from {{ ref('int_episode_events') }} as events
    inner join {{ ref('int_conversations') }} as conversations
        on events.conversation_key = conversations.conversation_key
    where
        events.event_type = 'handoff_initiated'
        and {{ is_of_revised_person('conversations.person_key') }}
    union all
    select
        episodes.person_key,
        episodes.conversation_key,
        messages.sent_at as happened_at
    from {{ ref('int_messages') }} as messages
    inner join {{ ref('int_episodes') }} as episodes
        on messages.episode_key = episodes.episode_key
    where
        messages.sender_type = 'agent'
        and {{ is_of_revised_person('episodes.person_key') }}
    union all
    select
        person_key,
        cast(null as bigint) as conversation_key,
        created_at as happened_at
    from {{ ref('int_tickets') }}

),

bot_sessions as (

    select * from {{ ref('int_sessions') }}
    where
        is_bot_session
        and {{ is_revised('conversation_key') }}

),

met as (

    select
        bot_sessions.session_key,
        max(
            case
                when human_contacts.conversation_key = bot_sessions.conversation_key then 0
                else 1
            end
        ) as is_elsewhere
    from bot_sessions
    inner join human_contacts
        on
            bot_sessions.person_key = human_contacts.person_key
            and bot_sessions.started_at <= human_contacts.happened_at
            and human_contacts.happened_at <= bot_sessions.window_ends_at
    group by bot_sessions.session_key

)

select
    bot_sessions.session_key,
    bot_sessions.conversation_key,
    met.session_key is not null as has_contact_action,
    coalesce(met.is_elsewhere, 0) = 1 as has_other_channel_action
from bot_sessions
left join met on bot_sessions.session_key = met.session_key
