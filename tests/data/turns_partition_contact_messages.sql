-- Each contact message is in exactly one turn: a turn begins with each one that no contact message
-- precedes in its session and episode, and nowhere else.
with messages as (

    select
        message_key,
        sender_type,
        lag(sender_type) over (
            partition by conversation_key, session_number, episode_number
            order by activity_number
        ) as previous_sender_type
    from {{ rows_to_test(ref('int_messages')) }}

),

expected as (

    select said.message_id
    from messages
    inner join {{ ref('conformed_messages') }} as said
        on messages.message_key = said._row_id
    where
        messages.sender_type = 'contact'
        and coalesce(messages.previous_sender_type, 'none') <> 'contact'

)

select
    expected.message_id,
    turns.turn_id
from expected
full outer join {{ rows_to_test(ref('fct_turns')) }} as turns
    on expected.message_id = turns.turn_id
where
    expected.message_id is null
    or turns.turn_id is null
union all
select
    message_id,
    cast(null as string) as turn_id
from {{ rows_to_test(ref('fct_messages')) }}
where (sender_type = 'contact') <> (turn_started_date is not null)
