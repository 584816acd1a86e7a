-- Grain: thing that happened in a thread beside messages. Key: event_id.
-- Left out: events that change nothing for the contact (slots, entities, listening, rewinds,
-- resumes, ordinary actions) and Rasa's own pattern flows; they stay in stg_rasa__tracker_events.
{%- set handoff_actions = "'" ~ var('rasa_handoff_actions') | join("', '") ~ "'" %}
{%- set handoff_intents = "'" ~ var('rasa_handoff_intents') | join("', '") ~ "'" %}
with translated as (

    select
        *,
        case
            when type_name in ('restart', 'session_started') then 'opened'
            when type_name = 'user' and intent in ({{ handoff_intents }}) then 'handoff_requested'
            when type_name = 'action' and action_name in ({{ handoff_actions }})
                then 'handoff_initiated'
            when type_name = 'pause' then 'handoff_initiated'
            when
                type_name in ('flow_started', 'flow_completed')
                and flow_id not like 'pattern!_%' escape '!'
                then type_name
        end as event_type
    from {{ ref('stg_rasa__tracker_events') }}

),

kept as (

    select
        *,
        case when event_type in ('opened', 'handoff_requested') then 'contact' else 'bot' end
            as actor_type
    from translated
    where event_type is not null

)

select
    event_id,
    conversation_id,
    occurred_at,
    event_type,
    actor_type,
    case when actor_type = 'bot' then '{{ var("rasa_bot_id") }}' end as actor_id,
    case
        when type_name = 'user' then intent
        when type_name = 'action' then action_name
        when type_name in ('restart', 'session_started', 'pause') then type_name
    end as reason,
    flow_id,
    step_id,
    _row_id
from kept
