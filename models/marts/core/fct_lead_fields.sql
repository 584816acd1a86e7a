{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_id',
) }}

-- Grain: conversation, lead flow and field asked for. Key: conversation_id, flow_id, field.
-- Left out: flows with another purpose, tests and spam, and the answers themselves. A field asked
-- more than once counts once, from the first question, and is filled by any valid answer.
with fields as (

    select
        conversation_key,
        flow_id,
        field,
        min(asked_at) as asked_at,
        min(case when is_valid then answered_at end) as valid_at,
        min(answered_at) as answered_at,
        max(case when is_valid then 1 when not is_valid then 0 end) = 1 as is_valid
    from {{ changed('int_answers') }}
    where purpose = 'lead'
    group by conversation_key, flow_id, field

)

select
    conversations.conversation_id,
    fields.flow_id,
    fields.field,
    {{ conversation_attributes() }},
    fields.is_valid,
    {{ local_day('fields.asked_at') }} as asked_date,
    fields.asked_at,
    coalesce(fields.valid_at, fields.answered_at) as answered_at
from fields
inner join {{ changed('int_conversations') }} as conversations
    on fields.conversation_key = conversations.conversation_key
