{{ config(
    materialized='incremental',
    incremental_strategy='revised',
    unique_key='conversation_key',
    meta={'in_batches': true},
) }}

-- depends_on: {{ ref('int_revised_conversations') }}
-- Grain: involved episode and policy. Key: episode_key, policy.
-- Left out: episodes the bot was not involved in. Only facts at or before the decision count.
with involved as (

    select * from {{ rows_of_batch(ref('int_episodes')) }}
    where
        is_involved
        and {{ is_revised('conversation_key') }}

),

decisions as (

    select
        decisions.*,
        policies.answer_rule,
        policies.agent_reply_blocks,
        policies.request_blocks,
        policies.negative_feedback_blocks,
        policies.abandonment_blocks,
        policies.return_blocks_hours
    from {{ ref('int_decisions') }} as decisions
    inner join involved on decisions.episode_key = involved.episode_key
    inner join {{ ref('conformed_resolution_policies') }} as policies
        on decisions.policy = policies.policy

),

-- an episode that went on after the decision is looked at as it stood then
early_states as (

    select
        decisions.episode_key,
        decisions.policy,
        max(case when messages.is_answer then messages.sent_at end) as last_answer_at,
        max_by(messages.message_key, messages.activity_number) filter (
            where messages.is_answer
        ) as last_answer_key,
        max_by(messages.is_prompt, messages.activity_number) as ends_with_prompt
    from decisions
    inner join {{ ref('int_messages') }} as messages
        on decisions.episode_key = messages.episode_key
    where
        not decisions.is_complete
        and messages.sent_at <= decisions.decided_at
    group by decisions.episode_key, decisions.policy

),

early_answers as (

    {{ message_ids(ref('conformed_messages'), 'early_states', 'last_answer_key') }}

),

states as (

    select
        decisions.*,
        involved.person_key,
        involved.first_answer_at,
        involved.first_sourced_answer_at,
        involved.first_agent_at,
        case
            when decisions.is_complete then involved.last_answer_at
            else early_states.last_answer_at
        end as last_answer_at,
        case
            when decisions.is_complete then involved.last_answer_id
            else early_answers.message_id
        end as last_answer_id,
        case
            when decisions.is_complete then involved.ends_with_prompt
            else early_states.ends_with_prompt
        end as is_abandoned
    from decisions
    inner join involved on decisions.episode_key = involved.episode_key
    left join early_states
        on
            decisions.episode_key = early_states.episode_key
            and decisions.policy = early_states.policy
    left join early_answers
        on early_states.last_answer_key = early_answers._row_id

),

ratings as (

    select
        states.episode_key,
        states.policy,
        feedback.score / nullif(feedback.scale_max, 0) as rating,
        row_number() over (
            partition by states.episode_key, states.policy
            order by feedback.submitted_at desc, feedback.feedback_id desc
        ) as newest_first
    from states
    inner join {{ ref('int_episode_feedback') }} as feedback
        on states.episode_key = feedback.episode_key
    where
        feedback.kind in ('csat', 'thumbs')
        and feedback.submitted_at <= states.decided_at
        and (
            feedback.message_id = states.last_answer_id
            or (
                feedback.message_id is null
                and feedback.submitted_at >= states.last_answer_at
            )
        )

),

event_times as (

    select
        episode_key,
        min(case when event_type = 'handoff_initiated' then occurred_at end) as handed_off_at,
        min(case when event_type = 'handoff_requested' then occurred_at end) as requested_at,
        min(case when event_type = 'resolution_confirmed' then occurred_at end) as confirmed_at
    from {{ rows_of_batch(ref('int_episode_events')) }}
    where
        event_type in ('handoff_initiated', 'handoff_requested', 'resolution_confirmed')
        and {{ is_revised('conversation_key') }}
    group by episode_key

),

returns as (

    select
        states.episode_key,
        states.policy,
        count(*) as return_count
    from states
    inner join {{ ref('int_episodes') }} as others
        on
            states.person_key = others.person_key
            and states.episode_key <> others.episode_key
            and states.anchor_at < others.started_at
            and others.started_at
            <= {{ plus_hours('states.anchor_at', 'states.return_blocks_hours') }}
            and others.started_at <= states.decided_at
    where states.return_blocks_hours is not null
    group by states.episode_key, states.policy

),

judged as (

    select
        states.episode_key,
        states.conversation_key,
        states.policy,
        states.decided_at,
        states.decided_at <= {{ as_of() }} as is_mature,
        case states.answer_rule
            when 'any' then coalesce(states.first_answer_at <= states.decided_at, false)
            when 'sourced'
                then coalesce(states.first_sourced_answer_at <= states.decided_at, false)
            else true
        end as is_answered,
        -- an agent's takeover is an agent message, so it blocks where those block
        coalesce(event_times.handed_off_at <= states.decided_at, false)
        or (
            states.agent_reply_blocks
            and coalesce(states.first_agent_at <= states.decided_at, false)
        ) as is_handed_off,
        states.request_blocks
        and coalesce(event_times.requested_at <= states.decided_at, false) as is_request_unmet,
        states.negative_feedback_blocks and coalesce(ratings.rating <= 0.4e0, false) as is_rejected,
        states.abandonment_blocks and coalesce(states.is_abandoned, false) as is_abandoned,
        coalesce(event_times.confirmed_at <= states.decided_at, false) as is_confirmed,
        coalesce(ratings.rating >= 0.8e0, false) as is_rated_well,
        returns.episode_key is not null as has_returned
    from states
    left join event_times on states.episode_key = event_times.episode_key
    left join ratings
        on
            states.episode_key = ratings.episode_key
            and states.policy = ratings.policy
            and ratings.newest_first = 1
    left join returns
        on
            states.episode_key = returns.episode_key
            and states.policy = returns.policy

)

select
    episode_key,
    conversation_key,
    policy,
    decided_at,
    is_mature,
    is_answered
    and not is_handed_off
    and not is_request_unmet
    and not is_rejected
    and not is_abandoned
    and not has_returned as is_resolved,
    case
        when not is_mature then 'pending'
        when is_handed_off then 'handed_off'
        when is_request_unmet then 'request_unmet'
        when not is_answered then 'unanswered'
        when is_rejected then 'negative_feedback'
        when is_abandoned then 'abandoned'
        when is_confirmed or is_rated_well then 'confirmed'
        else 'assumed'
    end as outcome
from judged
order by decided_at
