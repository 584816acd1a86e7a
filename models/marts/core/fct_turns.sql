{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_id',
    meta={'in_batches': true},
) }}

-- Grain: turn. Key: turn_id.
-- Left out: tests and spam.
select
    turns.turn_id,
    conversations.conversation_id || ':s' || turns.session_number as session_id,
    episodes.episode_id,
    conversations.conversation_id,
    {{ conversation_attributes() }},
    {{ episode_attributes() }},
    turns.intent,
    turns.replied_by,
    turns.responsible,
    case
        when turns.replied_at is not null
            then {{ seconds_between('turns.started_at', 'turns.replied_at') }}
    end as response_seconds,
    turns.needs_answer,
    turns.is_recognised,
    turns.is_fallback,
    {{ is_missed_turn() }}
    and turns.last_message_at + interval '{{ var("session_timeout_minutes") }}' minute
    <= {{ as_of() }} as is_missed,
    {{ is_missed_turn() }}
    and turns.last_message_at + interval '{{ var("session_timeout_minutes") }}' minute
    > {{ as_of() }} as is_awaiting_reply,
    turns.is_rephrase,
    turns.is_low_confidence,
    turns.is_handled_with_care,
    {{ local_day('turns.started_at') }} as started_date,
    turns.started_at,
    turns.replied_at
from {{ changed('int_turns') }} as turns
inner join {{ changed('int_episode_dimensions') }} as episodes
    on turns.episode_key = episodes.episode_key
inner join {{ changed('int_conversations') }} as conversations
    on turns.conversation_key = conversations.conversation_key
