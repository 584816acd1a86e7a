{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- Grain: episode. Key: episode_key.
-- Left out: nothing. What its messages add up to, over the whole episode.
with episodes as (

    select
        episode_key,
        conversation_key,
        count(case when is_answer then 1 end) as answer_count,
        count(case when is_sourced_answer then 1 end) as sourced_answer_count,
        min(case when is_answer then sent_at end) as first_answer_at,
        min(case when is_sourced_answer then sent_at end) as first_sourced_answer_at,
        max(case when is_answer then sent_at end) as last_answer_at,
        max_by(message_key, activity_number) filter (where is_answer) as last_answer_key,
        max_by(is_prompt, activity_number) as ends_with_prompt
    from {{ changed('int_messages') }}
    group by episode_key, conversation_key

),

last_answers as (

    {{ message_ids(changed('conformed_messages'), 'episodes', 'last_answer_key') }}

)

select
    episodes.episode_key,
    episodes.conversation_key,
    episodes.answer_count,
    episodes.sourced_answer_count,
    episodes.first_answer_at,
    episodes.first_sourced_answer_at,
    episodes.last_answer_at,
    last_answers.message_id as last_answer_id,
    episodes.ends_with_prompt
from episodes
left join last_answers on episodes.last_answer_key = last_answers._row_id
