{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- Grain: public message of an episode. Key: conversation_key, activity_number.
-- Left out: opens.
with sources as (

    select
        _row_id,
        message_id,
        kind,
        intent,
        intent_confidence,
        cited_sources is not null or coalesce(action_status = 'success', false) as has_source
    from {{ changed('conformed_messages') }}

)

select
    activities.conversation_key,
    spans.episode_key,
    activities.activity_number,
    activities.episode_number,
    activities.session_number,
    activities.message_key,
    messages.message_id,
    activities.sender_type,
    messages.kind,
    messages.intent,
    messages.intent_confidence,
    activities.starts_episode,
    activities.bot_messages_before,
    activities.replies_before,
    {{ is_answer('activities', 'messages', 'spans.first_contact_number') }} as is_answer,
    {{ is_answer('activities', 'messages', 'spans.first_contact_number') }}
    and messages.has_source as is_sourced_answer,
    activities.sender_type = 'agent'
    and coalesce(activities.activity_number > spans.first_bot_number, false) as is_takeover,
    activities.sender_type = 'bot' and coalesce(messages.kind = 'prompt', false) as is_prompt,
    activities.previous_message_at,
    case
        when activities.bot_messages_before > spans.bot_messages_before
            then activities.previous_bot_at
    end as previous_bot_at,
    activities.happened_at as sent_at
from sources as messages
inner join {{ changed('int_activities') }} as activities
    on messages._row_id = activities.message_key
inner join {{ changed('int_episode_spans') }} as spans
    on
        activities.conversation_key = spans.conversation_key
        and activities.episode_number = spans.episode_number
