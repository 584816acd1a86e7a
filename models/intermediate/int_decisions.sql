{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- Grain: episode and policy. Key: episode_key, policy.
-- Left out: nothing. The anchor is the first message of its kind not followed by another one of the
-- episode within the policy's window; the verdict is due one window later.
with policies as (

    select * from {{ ref('conformed_resolution_policies') }}

),

shortest_window as (

    select min(window_hours) * 3600 as window_seconds
    from policies

),

silences as (

    -- only gaps longer than the shortest window can end the wait
    select
        episode_key,
        'last_activity' as anchor,
        previous_message_at as silent_from,
        {{ seconds_between('previous_message_at', 'sent_at') }} as silent_seconds
    from {{ changed('int_messages') }}
    where
        not starts_episode
        and {{ seconds_between('previous_message_at', 'sent_at') }}
        > (select shortest_window.window_seconds from shortest_window)
    union all
    select
        episode_key,
        'last_bot_reply' as anchor,
        previous_bot_at as silent_from,
        {{ seconds_between('previous_bot_at', 'sent_at') }} as silent_seconds
    from {{ changed('int_messages') }}
    where
        sender_type = 'bot'
        and {{ seconds_between('previous_bot_at', 'sent_at') }}
        > (select shortest_window.window_seconds from shortest_window)

),

episode_policies as (

    select
        spans.episode_key,
        spans.conversation_key,
        spans.ended_at,
        spans.last_bot_at,
        policies.policy,
        policies.window_hours,
        case
            when spans.last_bot_at is null then 'last_activity' else policies.anchor
        end as anchor
    from {{ changed('int_episode_spans') }} as spans
    cross join policies

),

first_silences as (

    select
        episode_policies.episode_key,
        episode_policies.policy,
        min(silences.silent_from) as silent_from
    from episode_policies
    inner join silences
        on
            episode_policies.episode_key = silences.episode_key
            and episode_policies.anchor = silences.anchor
            and silences.silent_seconds > episode_policies.window_hours * 3600
    group by episode_policies.episode_key, episode_policies.policy

),

anchored as (

    select
        episode_policies.*,
        coalesce(
            first_silences.silent_from,
            case
                when episode_policies.anchor = 'last_bot_reply' then episode_policies.last_bot_at
                else episode_policies.ended_at
            end
        ) as anchor_at
    from episode_policies
    left join first_silences
        on
            episode_policies.episode_key = first_silences.episode_key
            and episode_policies.policy = first_silences.policy

)

select
    episode_key,
    conversation_key,
    policy,
    anchor_at,
    {{ plus_hours('anchor_at', 'window_hours') }} as decided_at,
    ended_at <= {{ plus_hours('anchor_at', 'window_hours') }} as is_complete
from anchored
order by decided_at
