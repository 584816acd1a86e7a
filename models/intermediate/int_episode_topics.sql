{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- Grain: episode. Key: episode_key.
-- Left out: nothing. The topic of the first recognised turn; unknown without one.
with first_recognised as (

    select
        episode_key,
        min_by(topic, turn_number) as topic,
        min_by(intent, turn_number) as intent
    from {{ changed('int_turns') }}
    where is_recognised
    group by episode_key

)

select
    episodes.episode_key,
    episodes.conversation_key,
    first_recognised.intent,
    coalesce(first_recognised.topic, 'unknown') as topic
from {{ changed('int_episodes') }} as episodes
left join first_recognised on episodes.episode_key = first_recognised.episode_key
