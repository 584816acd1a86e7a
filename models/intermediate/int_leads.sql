-- Grain: CRM lead at or before as-of. Key: lead_id.
-- Left out: leads of the future. The person is the contact's, else the conversation's.
select
    leads.lead_id,
    {{ text_key('coalesce(survivors.survivor_id, leads.contact_id, conversations.person_name)') }}
        as person_key,
    case when conversations.is_reportable then conversations.conversation_key end
        as conversation_key,
    leads.created_at,
    {{ known('leads.qualified_at') }} as qualified_at,
    {{ known('leads.disqualified_at') }} as disqualified_at
from {{ ref('conformed_leads') }} as leads
left join {{ ref('int_contact_survivors') }} as survivors
    on leads.contact_id = survivors.contact_id
left join {{ ref('int_conversations') }} as conversations
    on leads.conversation_id = conversations.conversation_id
where leads.created_at <= {{ as_of() }}
