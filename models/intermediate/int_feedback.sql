{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- Grain: rating of a reportable conversation at or before as-of. Key: feedback_id.
-- Left out: ratings of tests and spam, and of conversations that do not exist yet; free comments.
select
    feedback.feedback_id,
    feedback.conversation_key,
    feedback.message_id,
    feedback.submitted_at,
    feedback.kind,
    feedback.score,
    feedback.scale_max,
    feedback.category
from {{ changed('conformed_feedback') }} as feedback
inner join {{ changed('int_conversations') }} as conversations
    on feedback.conversation_key = conversations.conversation_key
where
    feedback.submitted_at <= {{ as_of() }}
    and conversations.is_reportable
