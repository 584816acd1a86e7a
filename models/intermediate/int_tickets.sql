{{ config(
    materialized='incremental',
    incremental_strategy='whole',
) }}

-- Grain: ticket at or before as-of. Key: ticket_id.
-- Left out: tickets of the future. The person is the contact's, else the conversation's.
select
    tickets.ticket_id,
    {{ text_key('coalesce(survivors.survivor_id, tickets.contact_id, conversations.person_name)') }}
        as person_key,
    conversations.conversation_key,
    tickets.channel,
    tickets.topic,
    tickets.created_at,
    {{ known('tickets.bot_assigned_at') }} as bot_assigned_at,
    {{ known('tickets.closed_at') }} as closed_at
from {{ ref('conformed_tickets') }} as tickets
left join {{ ref('int_contact_survivors') }} as survivors
    on tickets.contact_id = survivors.contact_id
left join {{ ref('int_conversations') }} as conversations
    on tickets.conversation_id = conversations.conversation_id
where tickets.created_at <= {{ as_of() }}
