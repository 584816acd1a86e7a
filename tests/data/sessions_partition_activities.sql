-- Every open and every public message of a reportable conversation lies in exactly one session: in
-- one at least, and no two sessions of a conversation share an instant.
with conversations as (

    select
        conversation_key,
        opened_at,
        direction
    from {{ ref('conformed_conversations') }}
    where
        opened_at <= {{ as_of() }}
        and not is_test
        and not is_spam
        and {{ is_tested('conversation_key') }}

),

activities as (

    select
        conversation_key,
        sent_at as happened_at
    from {{ ref('conformed_messages') }}
    where
        visibility = 'public'
        and sender_type in ('contact', 'bot', 'agent')
        and sent_at <= {{ as_of() }}
        and {{ is_tested('conversation_key') }}
    union all
    select
        conversation_key,
        occurred_at as happened_at
    from {{ ref('conformed_events') }}
    where
        event_type = 'opened'
        and occurred_at <= {{ as_of() }}
        and {{ is_tested('conversation_key') }}
    union all
    select
        conversation_key,
        opened_at as happened_at
    from conversations
    where direction = 'inbound'

),

sessions as (

    select
        {{ text_key('conversation_id') }} as conversation_key,
        started_at,
        ended_at
    from {{ rows_to_test(ref('fct_sessions')) }}

),

followed as (

    select
        conversation_key,
        ended_at,
        lead(started_at) over (
            partition by conversation_key
            order by started_at, ended_at
        ) as next_started_at
    from sessions

)

select
    activities.conversation_key,
    activities.happened_at,
    'in no session' as fault
from activities
inner join conversations on activities.conversation_key = conversations.conversation_key
left join sessions
    on
        activities.conversation_key = sessions.conversation_key
        and activities.happened_at between sessions.started_at and sessions.ended_at
where sessions.conversation_key is null
union all
select
    conversation_key,
    next_started_at as happened_at,
    'in two sessions' as fault
from followed
where next_started_at <= ended_at
