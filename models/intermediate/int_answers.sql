{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- Grain: question asked in a flow of a reportable conversation, at or before as-of. Key: answer_id.
-- Left out: questions of tests and spam; the answers' values.
select
    answers.answer_id,
    answers.conversation_key,
    answers.flow_id,
    answers.field,
    flows.purpose,
    answers.asked_at,
    {{ known('answers.answered_at') }} as answered_at,
    {{ known('answers.answered_at', 'answers.is_valid') }} as is_valid
from {{ changed('conformed_answers') }} as answers
inner join {{ changed('int_conversations') }} as conversations
    on answers.conversation_key = conversations.conversation_key
left join {{ ref('conformed_flows') }} as flows on answers.flow_id = flows.flow_id
where
    answers.asked_at <= {{ as_of() }}
    and conversations.is_reportable
