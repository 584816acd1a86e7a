{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- Grain: episode. Key: episode_key.
-- Left out: nothing. What facts of an episode are cut by, beside its conversation's attributes.
select
    episodes.episode_key,
    episodes.conversation_key,
    episodes.person_key,
    episodes.episode_id,
    topics.intent,
    topics.topic,
    hours.is_out_of_hours,
    case
        when hours.is_out_of_hours then 'out'
        when not hours.is_out_of_hours then 'in'
    end as business_hours,
    episodes.started_at
from {{ changed('int_episodes') }} as episodes
inner join {{ changed('int_episode_topics') }} as topics
    on episodes.episode_key = topics.episode_key
inner join {{ changed('int_episode_hours') }} as hours
    on episodes.episode_key = hours.episode_key
