{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- Grain: event that belongs to an episode. Key: event_id.
-- Left out: events of conversations without a public message. An event belongs to the last episode
-- started at or before it, else to the first.
{{ assign_to_episode('int_events', 'event_id', 'occurred_at') }}

select
    assigned.episode_key,
    events.*
from {{ changed('int_events') }} as events
inner join assigned on events.event_id = assigned.event_id
