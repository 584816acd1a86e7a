-- Grain: first handoff of an episode. Key: episode_id.
-- Left out: tests and spam. Eligible or not, every handed-off episode is here.
select
    episodes.episode_id,
    conversations.conversation_id,
    {{ conversation_attributes() }},
    handoffs.initiated_by,
    handoffs.reason,
    {{ seconds_between('handoffs.initiated_at', 'handoffs.accepted_at') }} as wait_seconds,
    handoffs.requested_at,
    handoffs.initiated_at,
    handoffs.accepted_at
from {{ ref('int_handoffs') }} as handoffs
inner join {{ ref('int_episodes') }} as episodes
    on handoffs.episode_key = episodes.episode_key
inner join {{ ref('int_conversations') }} as conversations
    on episodes.conversation_key = conversations.conversation_key
