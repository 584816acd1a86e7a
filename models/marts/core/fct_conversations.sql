{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_id',
) }}

-- Grain: conversation opened at or before as-of. Key: conversation_id.
-- Left out: nothing; tests and spam are marked as not reportable.
select
    conversations.conversation_id,
    persons.person_id,
    {{ conversation_attributes() }},
    conversations.direction,
    conversations.is_reportable,
    conversations.opened_at,
    conversations.closed_at
from {{ changed('int_conversations') }} as conversations
inner join {{ ref('int_persons') }} as persons
    on conversations.person_key = persons.person_key
