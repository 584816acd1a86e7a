-- Grain: episode. Key: episode_id.
-- Left out: tests and spam. What looks ahead is null until it can no longer change.
with episodes as (

    select * from {{ ref('int_episodes') }}

),

house_verdicts as (

    select * from {{ ref('int_verdicts') }}
    where policy = 'house'

),

first_responses as (

    select
        episode_key,
        min_by({{ seconds_between('started_at', 'replied_at') }}, turn_number)
            as first_response_seconds
    from {{ ref('int_turns') }}
    where
        responsible = 'bot'
        and replied_by = 'bot'
    group by episode_key

),

joined as (

    select
        episodes.*,
        topics.topic,
        contacts.has_earlier,
        contacts.has_later,
        contacts.is_reopened as has_next_in_conversation,
        contacts.has_ticket,
        house_verdicts.outcome,
        house_verdicts.is_resolved as is_resolved_at_decision,
        durations.bot_service_seconds,
        durations.bot_handle_seconds,
        durations.agent_handle_seconds,
        first_responses.first_response_seconds,
        episodes.is_mature
        and episodes.ended_at + interval '{{ var("fcr_window_days") }}' day <= {{ as_of() }}
            as is_past_return_window
    from episodes
    inner join {{ ref('int_episode_topics') }} as topics
        on episodes.episode_key = topics.episode_key
    inner join {{ ref('int_episode_contacts') }} as contacts
        on episodes.episode_key = contacts.episode_key
    inner join {{ ref('int_episode_durations') }} as durations
        on episodes.episode_key = durations.episode_key
    left join house_verdicts on episodes.episode_key = house_verdicts.episode_key
    left join first_responses on episodes.episode_key = first_responses.episode_key

)

select
    joined.episode_id,
    conversations.conversation_id,
    persons.person_id,
    {{ conversation_attributes() }},
    joined.topic,
    joined.outcome,
    joined.answer_count,
    joined.sourced_answer_count,
    case when joined.is_involved then joined.bot_service_seconds end as bot_service_seconds,
    case when joined.is_involved then joined.bot_handle_seconds end as bot_handle_seconds,
    case
        when joined.handoff_initiated_at is not null then joined.agent_handle_seconds
    end as agent_handle_seconds,
    case when joined.is_eligible then joined.first_response_seconds end as first_response_seconds,
    joined.is_eligible,
    joined.is_involved,
    joined.is_mature,
    case
        when joined.is_involved and joined.is_mature then joined.is_resolved_at_decision
    end as is_resolved,
    case
        when joined.is_involved and joined.is_mature
            then not joined.has_handoff and not joined.has_agent_message
    end as is_contained,
    case
        when joined.is_eligible and joined.is_mature
            then
                joined.has_answer
                and not joined.has_handoff
                and not joined.has_agent_message
                and not joined.has_ticket
    end as is_deflected,
    case when joined.is_involved then not joined.has_earlier end as is_first_contact,
    case
        when joined.is_involved and not joined.has_earlier and joined.is_past_return_window
            then joined.is_resolved_at_decision and not joined.has_later
    end as is_fcr,
    case
        when joined.is_involved and joined.is_past_return_window and joined.is_resolved_at_decision
            then joined.has_next_in_conversation
    end as is_reopened,
    joined.started_at,
    joined.ended_at,
    joined.handoff_initiated_at,
    joined.decided_at
from joined
inner join {{ ref('int_conversations') }} as conversations
    on joined.conversation_key = conversations.conversation_key
inner join {{ ref('int_persons') }} as persons
    on joined.person_key = persons.person_key
