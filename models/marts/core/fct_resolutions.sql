{{ config(
    materialized='incremental',
    incremental_strategy='revised',
    unique_key='conversation_id',
) }}

-- Grain: involved episode and policy. Key: episode_id, policy.
-- Left out: episodes the bot was not involved in.
select
    episodes.episode_id,
    conversations.conversation_id,
    verdicts.policy,
    case
        when not verdicts.is_mature then 'pending'
        when verdicts.is_resolved then 'resolved'
        else 'not_resolved'
    end as verdict,
    {{ local_day('episodes.started_at') }} as started_date,
    episodes.started_at,
    verdicts.decided_at
from {{ fresh_rows('int_verdicts') }} as verdicts
inner join {{ ref('int_episodes') }} as episodes
    on verdicts.episode_key = episodes.episode_key
inner join {{ ref('int_conversations') }} as conversations
    on episodes.conversation_key = conversations.conversation_key
