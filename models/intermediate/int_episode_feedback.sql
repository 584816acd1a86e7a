{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- Grain: rating that belongs to an episode. Key: feedback_id.
-- Left out: ratings of conversations without a public message.
{{ assign_to_episode('int_feedback', 'feedback_id', 'submitted_at') }}

select
    assigned.episode_key,
    feedback.*
from {{ changed('int_feedback') }} as feedback
inner join assigned on feedback.feedback_id = assigned.feedback_id
