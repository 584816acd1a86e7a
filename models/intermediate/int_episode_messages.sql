{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- Grain: episode. Key: episode_key.
-- Left out: nothing. What its messages add up to, over the whole episode.
select
    episode_key,
    conversation_key,
    count(case when is_answer then 1 end) as answer_count,
    count(case when is_sourced_answer then 1 end) as sourced_answer_count,
    min(case when is_answer then sent_at end) as first_answer_at,
    min(case when is_sourced_answer then sent_at end) as first_sourced_answer_at,
    max(case when is_answer then sent_at end) as last_answer_at,
    max_by(message_id, activity_number) filter (where is_answer) as last_answer_id,
    max_by(is_prompt, activity_number) as ends_with_prompt
from {{ changed('int_messages') }}
group by episode_key, conversation_key
