{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- Grain: public message of an episode. Key: conversation_key, activity_number.
-- Left out: opens.
select
    activities.conversation_key,
    spans.episode_key,
    activities.activity_number,
    activities.episode_number,
    activities.session_number,
    activities.message_key,
    activities.sender_type,
    activities.starts_episode,
    activities.bot_messages_before,
    activities.replies_before,
    {{ is_answer('activities', 'spans.first_contact_number') }} as is_answer,
    {{ is_answer('activities', 'spans.first_contact_number') }}
    and activities.has_source as is_sourced_answer,
    activities.sender_type = 'bot' and activities.is_prompt as is_prompt,
    activities.sender_type = 'bot' and activities.is_fallback as is_fallback,
    activities.sender_type = 'bot' and activities.is_recommendation as is_recommendation,
    activities.sender_type = 'agent'
    and coalesce(activities.activity_number > spans.first_bot_number, false) as is_takeover,
    activities.previous_message_at,
    case
        when activities.bot_messages_before > spans.bot_messages_before
            then activities.previous_bot_at
    end as previous_bot_at,
    activities.happened_at as sent_at
from {{ changed('int_activities') }} as activities
inner join {{ changed('int_episode_spans') }} as spans
    on
        activities.conversation_key = spans.conversation_key
        and activities.episode_number = spans.episode_number
where activities.message_key is not null
