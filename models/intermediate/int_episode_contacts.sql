{{ config(
    materialized='incremental',
    incremental_strategy='revised',
    unique_key='conversation_key',
) }}

-- depends_on: {{ ref('int_revised_conversations') }}
-- Grain: episode. Key: episode_key.
-- Left out: nothing. What the same person did before and after: episodes and tickets, on the topic
-- where both topics are known.
with episodes as (

    select
        episodes.episode_key,
        episodes.person_key,
        episodes.conversation_key,
        episodes.episode_number,
        episodes.started_at,
        episodes.ended_at,
        episodes.decided_at,
        topics.topic
    from {{ ref('int_episodes') }} as episodes
    inner join {{ ref('int_episode_topics') }} as topics
        on episodes.episode_key = topics.episode_key
    where {{ is_of_revised_person('episodes.person_key') }}

),

revised as (

    select * from episodes
    where {{ is_revised('conversation_key') }}

),

other_episodes as (

    select
        episodes.episode_key,
        max(
            case
                when others.started_at < episodes.started_at
                    and others.started_at
                    >= episodes.started_at - interval '{{ var("fcr_window_days") }}' day
                    and {{ same_topic('episodes.topic', 'others.topic') }} then 1
                else 0
            end
        ) as has_earlier,
        max(
            case
                when others.started_at > episodes.ended_at
                    and others.started_at
                    <= episodes.ended_at + interval '{{ var("fcr_window_days") }}' day
                    and {{ same_topic('episodes.topic', 'others.topic') }} then 1
                else 0
            end
        ) as has_later,
        max(
            case
                when others.conversation_key = episodes.conversation_key
                    and others.episode_number > episodes.episode_number
                    and others.started_at
                    <= episodes.ended_at + interval '{{ var("fcr_window_days") }}' day then 1
                else 0
            end
        ) as is_reopened
    from revised as episodes
    inner join episodes as others
        on
            episodes.person_key = others.person_key
            and episodes.episode_key <> others.episode_key
    group by episodes.episode_key

),

tickets as (

    select
        episodes.episode_key,
        max(
            case
                when tickets.created_at > episodes.ended_at
                    and tickets.created_at
                    <= episodes.ended_at + interval '{{ var("fcr_window_days") }}' day
                    and {{ same_topic('episodes.topic', "coalesce(tickets.topic, 'unknown')") }}
                    then 1
                else 0
            end
        ) as has_later_ticket,
        max(
            case
                when tickets.created_at >= episodes.started_at
                    and tickets.created_at <= episodes.decided_at then 1
                else 0
            end
        ) as has_ticket
    from revised as episodes
    inner join {{ ref('int_tickets') }} as tickets
        on episodes.person_key = tickets.person_key
    group by episodes.episode_key

)

select
    episodes.episode_key,
    episodes.conversation_key,
    coalesce(other_episodes.has_earlier, 0) = 1 as has_earlier,
    coalesce(other_episodes.has_later, 0) = 1 or coalesce(tickets.has_later_ticket, 0) = 1
        as has_later,
    coalesce(other_episodes.is_reopened, 0) = 1 as is_reopened,
    coalesce(tickets.has_ticket, 0) = 1 as has_ticket
from revised as episodes
left join other_episodes on episodes.episode_key = other_episodes.episode_key
left join tickets on episodes.episode_key = tickets.episode_key
