{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_id',
) }}

-- Grain: rating at or before as-of. Key: feedback_id.
-- Left out: tests and spam; comments. It is attributed to who wrote the last bot or agent message
-- of the conversation at or before it.
with writers as (

    select
        feedback.feedback_id,
        max_by(messages.sender_type, messages.activity_number) as attributed_to
    from {{ changed('int_feedback') }} as feedback
    inner join {{ changed('int_messages') }} as messages
        on
            feedback.conversation_key = messages.conversation_key
            and feedback.submitted_at >= messages.sent_at
    where messages.sender_type in ('bot', 'agent')
    group by feedback.feedback_id

),

rated as (

    select
        feedback.*,
        owned.episode_key,
        feedback.score / nullif(feedback.scale_max, 0) as score_share,
        row_number() over (
            partition by owned.episode_key, feedback.kind
            order by feedback.submitted_at desc, feedback.feedback_id desc
        ) as newest_first
    from {{ changed('int_feedback') }} as feedback
    left join {{ changed('int_episode_feedback') }} as owned
        on feedback.feedback_id = owned.feedback_id

)

select
    rated.feedback_id,
    episodes.episode_id,
    conversations.conversation_id,
    persons.person_id,
    {{ conversation_attributes() }},
    {{ episode_attributes() }},
    rated.kind,
    rated.category,
    writers.attributed_to,
    rated.score,
    rated.scale_max,
    case
        when rated.kind = 'nps' and rated.score_share * 10 >= 9 then 100
        when rated.kind = 'nps' and rated.score_share * 10 <= 6 then -100
        when rated.kind = 'nps' and rated.score_share is not null then 0
    end as nps_points,
    case when rated.kind <> 'nps' then rated.score_share >= 0.8e0 end as is_satisfied,
    rated.episode_key is not null and rated.newest_first = 1 as is_last_of_episode,
    {{ local_day('rated.submitted_at') }} as submitted_date,
    rated.submitted_at
from rated
inner join {{ changed('int_conversations') }} as conversations
    on rated.conversation_key = conversations.conversation_key
inner join {{ ref('int_persons') }} as persons
    on conversations.person_key = persons.person_key
left join {{ changed('int_episode_dimensions') }} as episodes
    on rated.episode_key = episodes.episode_key
left join writers on rated.feedback_id = writers.feedback_id
