{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- Grain: open or public message of a reportable conversation at or before as-of, numbered by
-- episode and session. Key: conversation_key, activity_number.
-- Left out: private and system messages, and closes, which only end episodes.
with conversations as (

    select * from {{ changed('int_conversations') }}
    where is_reportable

),

messages as (

    select
        messages.conversation_key,
        messages.sent_at as happened_at,
        'message' as activity,
        messages._row_id as message_key,
        coalesce(messages._landed_id, messages.message_id) as message_id,
        messages.sender_type,
        messages.kind is null
        or messages.kind in ('answer', 'recommendation') as is_answering,
        messages.cited_sources is not null
        or coalesce(messages.action_status = 'success', false) as has_source,
        coalesce(messages.kind = 'prompt', false) as is_prompt,
        coalesce(messages.kind = 'fallback', false) as is_fallback,
        coalesce(messages.kind = 'recommendation', false) as is_recommendation
    from {{ changed('conformed_messages') }} as messages
    inner join conversations on messages.conversation_key = conversations.conversation_key
    where
        messages.sent_at <= {{ as_of() }}
        and messages.visibility = 'public'
        and messages.sender_type in ('contact', 'bot', 'agent')

),

marks as (

    select
        conversation_key,
        opened_at as happened_at,
        'open' as activity
    from conversations
    where direction = 'inbound'
    union all
    select
        conversation_key,
        closed_at as happened_at,
        'close' as activity
    from conversations
    where closed_at is not null
    union all
    select
        conversation_key,
        occurred_at as happened_at,
        case when event_type = 'opened' then 'open' else 'close' end as activity
    from {{ changed('int_events') }}
    where event_type in ('opened', 'closed')

),

walk as (

    select * from messages
    union all
    select
        conversation_key,
        happened_at,
        activity,
        cast(null as bigint) as message_key,
        cast(null as string) as message_id,
        cast(null as string) as sender_type,
        false as is_answering,
        false as has_source,
        false as is_prompt,
        false as is_fallback,
        false as is_recommendation
    from marks

),

looked_back as (

    select
        walk.*,
        row_number() over so_far as activity_number,
        {{ last_known("case when activity <> 'close' then happened_at end") }} over before
            as previous_activity_at,
        {{ last_known("case when activity = 'message' then happened_at end") }} over before
            as previous_message_at,
        min(case when activity = 'message' then happened_at end) over throughout
            as first_message_at,
        {{ last_known("case when sender_type = 'contact' then happened_at end") }} over before
            as previous_contact_at,
        {{ last_known("case when sender_type = 'bot' then happened_at end") }} over before
            as previous_bot_at,
        {{ last_known("case when activity = 'close' then happened_at end") }} over before
            as last_closed_at,
        count(case when sender_type = 'bot' then 1 end) over before as bot_messages_before,
        count(case when sender_type in ('bot', 'agent') then 1 end) over before as replies_before
    from walk
    window
        so_far as (
            partition by conversation_key
            order by happened_at, (case when activity = 'message' then 1 else 0 end), message_id
        ),
        before as (
            partition by conversation_key
            order by happened_at, (case when activity = 'message' then 1 else 0 end), message_id
            rows between unbounded preceding and 1 preceding
        ),
        throughout as (
            partition by conversation_key
            order by happened_at, (case when activity = 'message' then 1 else 0 end), message_id
            rows between unbounded preceding and unbounded following
        )

),

cut as (

    select
        *,
        case
            when activity <> 'message' then false
            when previous_message_at is null then true
            when {{ seconds_between('previous_message_at', 'happened_at') }}
                > {{ var('episode_idle_hours') }} * 3600 then true
            when sender_type <> 'contact' then false
            else coalesce(last_closed_at >= coalesce(previous_contact_at, first_message_at), false)
        end as starts_episode,
        activity <> 'close' and (
            previous_activity_at is null
            or {{ seconds_between('previous_activity_at', 'happened_at') }}
            > {{ var('session_timeout_minutes') }} * 60
        ) as starts_session
    from looked_back

),

numbered as (

    select
        cut.*,
        sum(case when starts_episode then 1 else 0 end) over up_to_here as episode_number,
        sum(case when starts_session then 1 else 0 end) over up_to_here as session_number
    from cut
    window up_to_here as (
        partition by conversation_key
        order by activity_number
        rows between unbounded preceding and current row
    )

)

select
    conversation_key,
    activity_number,
    cast(episode_number as integer) as episode_number,
    cast(session_number as integer) as session_number,
    message_key,
    sender_type,
    is_answering,
    has_source,
    is_prompt,
    is_fallback,
    is_recommendation,
    starts_episode,
    bot_messages_before,
    replies_before,
    previous_message_at,
    previous_bot_at,
    happened_at
from numbered
where activity <> 'close'
order by happened_at
