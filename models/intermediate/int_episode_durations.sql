{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- Grain: episode. Key: episode_key.
-- Left out: nothing. A gap between two messages is the bot's if it ends at or before the handoff,
-- else the agent's; the bot's service lasts, in every session, from the episode's first message
-- there to the last bot message there at or before the handoff.
with gaps as (

    select
        *,
        {{ seconds_between('previous_message_at', 'sent_at') }} as silence_seconds
    from {{ changed('int_messages') }}

),

messages as (

    select
        messages.episode_key,
        messages.conversation_key,
        messages.session_number,
        messages.sender_type,
        messages.sent_at,
        coalesce(messages.sent_at <= episodes.handoff_initiated_at, true) as is_before_handoff,
        case
            when not messages.starts_episode
                then least(messages.silence_seconds, {{ var('idle_cap_seconds') }})
        end as gap_seconds
    from gaps as messages
    inner join {{ changed('int_episodes') }} as episodes
        on messages.episode_key = episodes.episode_key

),

per_session as (

    select
        episode_key,
        conversation_key,
        session_number,
        min(sent_at) as first_message_at,
        max(case when sender_type = 'bot' and is_before_handoff then sent_at end) as last_bot_at,
        sum(case when is_before_handoff then gap_seconds end) as bot_gap_seconds,
        sum(case when not is_before_handoff then gap_seconds end) as agent_gap_seconds
    from messages
    group by episode_key, conversation_key, session_number

)

select
    episode_key,
    conversation_key,
    coalesce(sum({{ seconds_between('first_message_at', 'last_bot_at') }}), 0e0)
        as bot_service_seconds,
    coalesce(sum(bot_gap_seconds), 0e0) as bot_handle_seconds,
    coalesce(sum(agent_gap_seconds), 0e0) as agent_handle_seconds
from per_session
group by episode_key, conversation_key
