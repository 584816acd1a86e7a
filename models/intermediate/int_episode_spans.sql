{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- Grain: episode. Key: episode_key; conversation_key, episode_number.
-- Left out: conversations without a public message.
select
    conversation_key,
    episode_number,
    {{ text_key("conversation_key || ':' || episode_number") }} as episode_key,
    min(happened_at) as started_at,
    max(happened_at) as ended_at,
    min(case when sender_type = 'contact' then activity_number end) as first_contact_number,
    min(case when sender_type = 'bot' then activity_number end) as first_bot_number,
    min(case when sender_type = 'bot' then bot_messages_before end) as bot_messages_before,
    min(case when sender_type = 'contact' then happened_at end) as first_contact_at,
    min(case when sender_type = 'bot' then happened_at end) as first_bot_at,
    max(case when sender_type = 'bot' then happened_at end) as last_bot_at,
    min(case when sender_type = 'agent' then happened_at end) as first_agent_at
from {{ changed('int_activities') }}
where message_key is not null
group by conversation_key, episode_number
