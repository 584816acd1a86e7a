{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- Grain: recommendation the bot sent. Key: message_key.
-- Left out: nothing. Accepted by an event of the conversation, or by a deal of the person created
-- in the window and won since.
with recommendations as (

    select
        messages.message_key,
        messages.conversation_key,
        episodes.person_key,
        messages.sent_at,
        messages.sent_at + interval '{{ var("conversion_window_days") }}' day as window_ends_at
    from {{ changed('int_messages') }} as messages
    inner join {{ changed('int_episodes') }} as episodes
        on messages.episode_key = episodes.episode_key
    where messages.is_recommendation

),

accepted as (

    select recommendations.message_key
    from recommendations
    inner join {{ changed('int_events') }} as events
        on
            recommendations.conversation_key = events.conversation_key
            and events.event_type = 'recommendation_accepted'
            and events.occurred_at
            between recommendations.sent_at and recommendations.window_ends_at
    union
    select recommendations.message_key
    from recommendations
    inner join {{ ref('int_deals') }} as deals
        on
            recommendations.person_key = deals.person_key
            and deals.is_won
            and deals.created_at
            between recommendations.sent_at and recommendations.window_ends_at

)

select
    recommendations.message_key,
    recommendations.conversation_key,
    recommendations.person_key,
    recommendations.window_ends_at,
    recommendations.window_ends_at <= {{ as_of() }} as is_mature,
    accepted.message_key is not null as is_accepted
from recommendations
left join accepted on recommendations.message_key = accepted.message_key
