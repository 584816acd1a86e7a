-- Grain: bot on duty in a conversation. Key: bot_id.
-- Left out: bots without a conversation.
select
    bot_id,
    count(*) as conversation_count,
    min(opened_at) as first_seen_at,
    max(opened_at) as last_seen_at
from {{ ref('int_conversations') }}
where
    bot_id is not null
    and is_reportable
group by bot_id
