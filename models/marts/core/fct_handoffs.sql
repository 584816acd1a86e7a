{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_id',
) }}

-- Grain: first handoff of an episode. Key: episode_id.
-- Left out: tests and spam. Eligible or not, every handed-off episode is here.
with known_fields as (

    select
        handoffs.episode_key,
        handoffs.initiated_at,
        answers.conversation_key,
        answers.field
    from {{ changed('int_handoffs') }} as handoffs
    inner join {{ changed('int_episodes') }} as episodes
        on handoffs.episode_key = episodes.episode_key
    inner join {{ changed('int_answers') }} as answers
        on episodes.conversation_key = answers.conversation_key
    where
        answers.is_valid
        and answers.answered_at < handoffs.initiated_at

),

asked_again as (

    select distinct known_fields.episode_key
    from known_fields
    inner join {{ changed('int_answers') }} as answers
        on
            known_fields.conversation_key = answers.conversation_key
            and known_fields.field = answers.field
            and known_fields.initiated_at < answers.asked_at

)

select
    episodes.episode_id,
    conversations.conversation_id,
    {{ conversation_attributes() }},
    {{ episode_attributes() }},
    handoffs.initiated_by,
    handoffs.reason,
    {{ seconds_between('handoffs.initiated_at', 'handoffs.accepted_at') }} as wait_seconds,
    case
        when handoffs.accepted_at is not null then asked_again.episode_key is null
    end as is_continuous,
    {{ local_day('handoffs.initiated_at') }} as initiated_date,
    handoffs.requested_at,
    handoffs.initiated_at,
    handoffs.accepted_at
from {{ changed('int_handoffs') }} as handoffs
inner join {{ changed('int_episode_dimensions') }} as episodes
    on handoffs.episode_key = episodes.episode_key
inner join {{ changed('int_conversations') }} as conversations
    on episodes.conversation_key = conversations.conversation_key
left join asked_again on handoffs.episode_key = asked_again.episode_key
