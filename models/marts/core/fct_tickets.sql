-- Grain: ticket at or before as-of. Key: ticket_id.
-- Left out: tickets that name a test or spam conversation.
select
    tickets.ticket_id,
    persons.person_id,
    conversations.conversation_id,
    {{ conversation_attributes() }},
    tickets.channel as ticket_channel,
    tickets.topic as ticket_topic,
    {{ seconds_between('tickets.bot_assigned_at', 'tickets.closed_at') }} as resolution_seconds,
    {{ local_day('tickets.closed_at') }} as closed_date,
    tickets.created_at,
    tickets.bot_assigned_at,
    tickets.closed_at
from {{ ref('int_tickets') }} as tickets
left join {{ ref('int_conversations') }} as conversations
    on tickets.conversation_key = conversations.conversation_key
left join {{ ref('int_persons') }} as persons
    on tickets.person_key = persons.person_key
where coalesce(conversations.is_reportable, true)
