{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- Grain: first handoff of an episode. Key: episode_key.
-- Left out: episodes never handed off. The first handoff_initiated event, or an agent message that
-- follows a bot message if that is earlier; on the same instant the event wins.
with initiations as (

    select
        episode_key,
        conversation_key,
        occurred_at,
        actor_type,
        reason,
        row_number() over (partition by episode_key order by occurred_at, event_id) as event_number
    from {{ changed('int_episode_events') }}
    where event_type = 'handoff_initiated'

),

first_initiations as (

    select * from initiations
    where event_number = 1

),

requests as (

    select
        episode_key,
        min(occurred_at) as requested_at
    from {{ changed('int_episode_events') }}
    where event_type = 'handoff_requested'
    group by episode_key

),

agent_messages as (

    select
        episode_key,
        conversation_key,
        is_takeover,
        sent_at
    from {{ changed('int_messages') }}
    where sender_type = 'agent'

),

takeovers as (

    select
        episode_key,
        conversation_key,
        min(sent_at) as taken_over_at
    from agent_messages
    where is_takeover
    group by episode_key, conversation_key

),

initiated as (

    select
        coalesce(initiations.episode_key, takeovers.episode_key) as episode_key,
        coalesce(initiations.conversation_key, takeovers.conversation_key) as conversation_key,
        initiations.occurred_at as event_at,
        coalesce(
            initiations.occurred_at <= takeovers.taken_over_at, takeovers.taken_over_at is null
        ) as is_event,
        initiations.actor_type,
        initiations.reason,
        takeovers.taken_over_at
    from first_initiations as initiations
    full outer join takeovers on initiations.episode_key = takeovers.episode_key

),

handoffs as (

    select
        episode_key,
        conversation_key,
        event_at,
        case when is_event then event_at else taken_over_at end as initiated_at,
        case when is_event then actor_type else 'agent' end as initiated_by,
        case when is_event then reason end as reason
    from initiated

),

acceptances as (

    select
        handoffs.episode_key,
        min(agent_messages.sent_at) as accepted_at
    from handoffs
    inner join agent_messages
        on
            handoffs.episode_key = agent_messages.episode_key
            and handoffs.initiated_at <= agent_messages.sent_at
    group by handoffs.episode_key

)

select
    handoffs.episode_key,
    handoffs.conversation_key,
    handoffs.initiated_by,
    handoffs.reason,
    requests.requested_at,
    handoffs.event_at,
    handoffs.initiated_at,
    acceptances.accepted_at
from handoffs
left join requests on handoffs.episode_key = requests.episode_key
left join acceptances on handoffs.episode_key = acceptances.episode_key
