{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_id',
    meta={'in_batches': true},
) }}

-- Grain: public message of an episode. Key: message_id.
-- Left out: tests and spam, private and system messages, every text; and what fct_episodes says of
-- the episode, since this is the longest table.
with moods as (

    select
        messages.episode_key,
        min_by(messages.message_key, messages.activity_number) as first_message_key,
        case
            when count(*) > 1
                then max_by(scores.sentiment, messages.activity_number)
                    - min_by(scores.sentiment, messages.activity_number)
        end as sentiment_shift
    from {{ changed('int_messages') }} as messages
    inner join {{ changed('conformed_messages') }} as scores
        on messages.message_key = scores._row_id
    where
        messages.sender_type = 'contact'
        and scores.sentiment is not null
    group by messages.episode_key

)

select
    scores.message_id,
    episodes.episode_id,
    conversations.conversation_id,
    messages.sender_type,
    scores.kind,
    scores.intent,
    case when messages.sender_type = 'contact' then scores.sentiment end as sentiment,
    moods.sentiment_shift,
    scores.llm_cost,
    scores.agent_day,
    messages.is_answer,
    messages.is_sourced_answer,
    messages.sender_type = 'contact' and scores.is_labelled as is_labelled,
    messages.sender_type = 'contact' and scores.is_labelled and scores.is_label_met as is_label_met,
    case when messages.sender_type = 'bot' then scores.is_grounded end as is_grounded,
    messages.is_answer and scores.is_citing as is_citing_answer,
    messages.is_answer and scores.is_stale as is_stale_answer,
    case when recommendations.is_mature then recommendations.is_accepted end as is_accepted,
    recommendations.message_key is not null as is_recommendation,
    {{ local_day('messages.sent_at') }} as sent_date,
    {{ local_day('turns.started_at') }} as turn_started_date,
    {{ local_day('episodes.started_at') }} as episode_started_date,
    messages.sent_at
from {{ changed('int_messages') }} as messages
inner join {{ changed('int_episode_dimensions') }} as episodes
    on messages.episode_key = episodes.episode_key
inner join {{ changed('int_conversations') }} as conversations
    on messages.conversation_key = conversations.conversation_key
inner join {{ ref('int_message_scores') }} as scores
    on messages.message_key = scores.message_key
left join {{ changed('int_turns') }} as turns
    on
        messages.conversation_key = turns.conversation_key
        and messages.session_number = turns.session_number
        and messages.episode_key = turns.episode_key
        and case when messages.sender_type = 'contact' then messages.replies_before end
        = turns.replies_before
left join moods on messages.message_key = moods.first_message_key
left join {{ changed('int_recommendations') }} as recommendations
    on messages.message_key = recommendations.message_key
