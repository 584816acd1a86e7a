{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_id',
) }}

-- Grain: event of a reportable conversation at or before as-of. Key: event_id.
-- Left out: tests and spam.
select
    events.event_id,
    episodes.episode_id,
    conversations.conversation_id,
    {{ conversation_attributes() }},
    {{ episode_attributes() }},
    events.event_type,
    events.actor_type,
    events.reason,
    events.flow_id,
    events.step_id,
    {{ local_day('events.occurred_at') }} as occurred_date,
    events.occurred_at
from {{ changed('int_events') }} as events
inner join {{ changed('int_conversations') }} as conversations
    on events.conversation_key = conversations.conversation_key
left join {{ changed('int_episode_events') }} as owned
    on events.event_id = owned.event_id
left join {{ changed('int_episode_dimensions') }} as episodes
    on owned.episode_key = episodes.episode_key
