{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- Grain: episode handed off by its decision after the bot had helped. Key: episode_key.
-- Left out: other episodes. The bot helped when it gave a sourced answer or completed a flow at or
-- before the handoff.
with completed_flows as (

    select
        episode_key,
        min(occurred_at) as completed_at
    from {{ changed('int_episode_events') }}
    where event_type = 'flow_completed'
    group by episode_key

)

select
    episodes.episode_key,
    episodes.conversation_key
from {{ changed('int_episodes') }} as episodes
left join completed_flows on episodes.episode_key = completed_flows.episode_key
where
    episodes.has_handoff
    and (
        coalesce(episodes.first_sourced_answer_at <= episodes.handoff_initiated_at, false)
        or coalesce(completed_flows.completed_at <= episodes.handoff_initiated_at, false)
    )
