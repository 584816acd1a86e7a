-- Every open and every public message of a reportable conversation lies in exactly one session.
with conversations as (

    select * from {{ ref('conformed_conversations') }}
    where
        opened_at <= {{ as_of() }}
        and not is_test
        and not is_spam
        and {{ is_tested('conversation_key') }}

),

activities as (

    select
        conversation_id,
        sent_at as happened_at,
        message_id as activity
    from {{ ref('conformed_messages') }}
    where
        visibility = 'public'
        and sender_type in ('contact', 'bot', 'agent')
        and {{ is_tested('conversation_key') }}
    union all
    select
        conversation_id,
        occurred_at as happened_at,
        event_id as activity
    from {{ ref('conformed_events') }}
    where
        event_type = 'opened'
        and {{ is_tested('conversation_key') }}
    union all
    select
        conversation_id,
        opened_at as happened_at,
        'opened_at' as activity
    from conversations
    where direction = 'inbound'

)

select
    activities.conversation_id,
    activities.activity,
    activities.happened_at,
    count(sessions.session_id) as session_count
from activities
inner join conversations
    on activities.conversation_id = conversations.conversation_id
left join {{ rows_to_test(ref('fct_sessions')) }} as sessions
    on
        activities.conversation_id = sessions.conversation_id
        and activities.happened_at between sessions.started_at and sessions.ended_at
where activities.happened_at <= {{ as_of() }}
group by activities.conversation_id, activities.activity, activities.happened_at
having count(sessions.session_id) <> 1
