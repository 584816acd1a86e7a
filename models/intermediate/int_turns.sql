{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
    meta={'in_batches': true},
) }}

-- Grain: turn. Key: conversation_key, turn_number.
-- Left out: nothing. Contact messages of one session and episode with no bot or agent message
-- between them have the same number of replies before them; the reply is the next one of the
-- session, unless another turn begins before it.
with contact_messages as (

    select
        messages.conversation_key,
        messages.episode_key,
        messages.session_number,
        messages.episode_number,
        messages.activity_number,
        messages.replies_before,
        messages.sent_at,
        said.message_id,
        said.intent,
        said.intent_confidence,
        coalesce(intents.needs_answer, true) as intent_needs_answer
    from {{ changed('int_messages') }} as messages
    inner join {{ changed('conformed_messages') }} as said
        on messages.message_key = said._row_id
    left join {{ ref('conformed_intents') }} as intents on said.intent = intents.intent
    where messages.sender_type = 'contact'

),

turns as (

    select
        conversation_key,
        episode_key,
        session_number,
        episode_number,
        replies_before,
        min(activity_number) as turn_number,
        min_by(message_id, activity_number) as turn_id,
        min(sent_at) as started_at,
        max(sent_at) as last_message_at,
        min_by(intent, activity_number) filter (where intent is not null) as intent,
        min_by(coalesce(intent_confidence, 1e0), activity_number) filter (
            where intent is not null
        ) as intent_confidence,
        max(case when intent_needs_answer then 1 else 0 end) = 1 as needs_answer
    from contact_messages
    group by conversation_key, episode_key, session_number, episode_number, replies_before

),

followed as (

    -- another turn with as many replies before it begins before the reply comes
    select
        *,
        case
            when coalesce(lead(replies_before) over session_order <> replies_before, true)
                then replies_before
        end as reply_number
    from turns
    window session_order as (
        partition by conversation_key, session_number
        order by turn_number
    )

),

replies as (

    select
        conversation_key,
        session_number,
        replies_before,
        activity_number,
        sender_type,
        is_prompt,
        is_fallback,
        sent_at
    from {{ changed('int_messages') }}
    where sender_type in ('bot', 'agent')

),

replied as (

    select
        followed.*,
        replies.sent_at as replied_at,
        replies.sender_type as replied_by,
        coalesce(replies.is_prompt or replies.is_fallback, false) as is_asked_back,
        coalesce(replies.is_fallback, false) as is_answered_by_fallback
    from followed
    left join replies
        on
            followed.conversation_key = replies.conversation_key
            and followed.session_number = replies.session_number
            and followed.reply_number = replies.replies_before

),

recognised as (

    select
        replied.*,
        intents.topic,
        coalesce(intents.is_fallback, false) as has_fallback_intent,
        replied.intent is not null and not coalesce(intents.is_fallback, false) as is_recognised
    from replied
    left join {{ ref('conformed_intents') }} as intents on replied.intent = intents.intent

),

episodes as (

    select
        episode_key,
        person_key,
        is_bot_ever_on_duty,
        handoff_initiated_at,
        least(
            coalesce(handoff_initiated_at, first_agent_at),
            coalesce(first_agent_at, handoff_initiated_at)
        ) as agent_responsible_from
    from {{ changed('int_episodes') }}

),

paired as (

    select
        *,
        lag(intent) over session_order as previous_intent,
        lag(replied_by) over session_order as previous_replied_by,
        lead(started_at) over (
            partition by episode_key
            order by turn_number
        ) as next_turn_at
    from recognised
    window session_order as (
        partition by conversation_key, session_number
        order by turn_number
    )

)

select
    paired.conversation_key,
    paired.episode_key,
    episodes.person_key,
    paired.session_number,
    paired.turn_number,
    paired.replies_before,
    paired.turn_id,
    paired.replied_by,
    case
        when not episodes.is_bot_ever_on_duty then 'agent'
        when episodes.agent_responsible_from <= paired.started_at then 'agent'
        else 'bot'
    end as responsible,
    paired.intent,
    case when paired.is_recognised then coalesce(paired.topic, 'unknown') end as topic,
    coalesce(
        paired.intent_confidence < {{ var('low_confidence_threshold') }}, false
    ) as is_low_confidence,
    paired.is_asked_back
    or coalesce(
        episodes.handoff_initiated_at >= paired.started_at
        and (
            paired.next_turn_at is null
            or episodes.handoff_initiated_at < paired.next_turn_at
        ),
        false
    ) as is_handled_with_care,
    paired.needs_answer,
    paired.is_recognised,
    paired.has_fallback_intent or paired.is_answered_by_fallback as is_fallback,
    paired.is_recognised
    and coalesce(paired.intent = paired.previous_intent, false)
    and coalesce(paired.previous_replied_by = 'bot', false) as is_rephrase,
    paired.started_at,
    paired.last_message_at,
    paired.replied_at
from paired
inner join episodes on paired.episode_key = episodes.episode_key
order by paired.started_at
