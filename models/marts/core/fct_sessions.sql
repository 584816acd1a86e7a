-- Grain: session. Key: session_id.
-- Left out: tests and spam.
select
    sessions.session_id,
    conversations.conversation_id,
    persons.person_id,
    {{ conversation_attributes() }},
    sessions.turn_count,
    sessions.conversation_seconds,
    sessions.is_chat_open,
    sessions.is_engaged,
    sessions.is_bot_session,
    case
        when sessions.window_ends_at <= {{ as_of() }} then contacts.has_contact_action
    end as has_contact_action,
    sessions.started_at,
    sessions.ended_at
from {{ ref('int_sessions') }} as sessions
inner join {{ ref('int_conversations') }} as conversations
    on sessions.conversation_key = conversations.conversation_key
inner join {{ ref('int_persons') }} as persons
    on sessions.person_key = persons.person_key
left join {{ ref('int_session_contacts') }} as contacts
    on sessions.session_key = contacts.session_key
