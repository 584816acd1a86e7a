{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- Grain: episode. Key: episode_key.
-- Left out: nothing. Eligibility and involvement look at facts up to the house decision, that
-- instant included, so that a closed cohort never changes its members.
with house as (

    select * from {{ changed('int_decisions') }}
    where policy = 'house'

),

bot_handoffs as (

    select
        episode_key,
        min(occurred_at) as initiated_at
    from {{ changed('int_episode_events') }}
    where
        event_type = 'handoff_initiated'
        and actor_type = 'bot'
    group by episode_key

),

answers as (

    select * from {{ changed('int_episode_messages') }}

),

episodes as (

    select
        spans.episode_key,
        spans.conversation_key,
        conversations.person_key,
        conversations.conversation_id || ':' || spans.episode_number as episode_id,
        spans.episode_number,
        answers.answer_count,
        answers.sourced_answer_count,
        answers.first_answer_at,
        answers.last_answer_at,
        answers.last_answer_id,
        answers.first_sourced_answer_at,
        answers.ends_with_prompt,
        spans.started_at,
        spans.ended_at,
        spans.first_agent_at,
        handoffs.initiated_at as handoff_initiated_at,
        house.decided_at,
        conversations.bot_id is not null
        or spans.first_bot_at is not null as is_bot_ever_on_duty,
        conversations.direction = 'inbound'
        and coalesce(spans.first_contact_at <= house.decided_at, false)
        and (
            conversations.bot_id is not null
            or coalesce(spans.first_bot_at <= house.decided_at, false)
        ) as is_eligible,
        coalesce(answers.first_answer_at <= house.decided_at, false) as has_answer,
        coalesce(handoffs.initiated_at <= house.decided_at, false) as has_handoff,
        coalesce(bot_handoffs.initiated_at <= house.decided_at, false) as has_bot_handoff,
        coalesce(spans.first_agent_at <= house.decided_at, false) as has_agent_message
    from {{ changed('int_episode_spans') }} as spans
    inner join {{ changed('int_conversations') }} as conversations
        on spans.conversation_key = conversations.conversation_key
    inner join answers on spans.episode_key = answers.episode_key
    inner join house on spans.episode_key = house.episode_key
    left join {{ changed('int_handoffs') }} as handoffs on spans.episode_key = handoffs.episode_key
    left join bot_handoffs on spans.episode_key = bot_handoffs.episode_key

)

select
    *,
    is_eligible and (has_answer or has_bot_handoff) as is_involved
from episodes
