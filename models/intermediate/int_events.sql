{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- Grain: event of a reportable conversation at or before as-of. Key: event_id.
-- Left out: events of tests and spam, and of conversations that do not exist yet.
select
    events.event_id,
    events.conversation_key,
    events.occurred_at,
    events.event_type,
    events.actor_type,
    events.reason,
    events.flow_id,
    events.step_id
from {{ changed('conformed_events') }} as events
inner join {{ changed('int_conversations') }} as conversations
    on events.conversation_key = conversations.conversation_key
where
    events.occurred_at <= {{ as_of() }}
    and conversations.is_reportable
order by events.occurred_at
