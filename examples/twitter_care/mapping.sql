-- From the columns of the export to the columns of the landing contract: one view per table, named
-- like the table. run.py reads files from the source directory and lands the views.

create view exported_messages as
select * from read_csv('messages.csv', all_varchar = true);

-- One row per thread. The company that was asked is the inbox; there is no bot, so bot_id is left
-- out, as is every other optional column the export knows nothing about.
create view conversations as
select
    'twitter:' || session_id as conversation_id,
    'twitter' as platform,
    'other' as channel,
    'inbound' as direction,
    company as entry_point,
    min(sent_at_utc) as opened_at,
    min_by(author_pseudonym, cast(seq as integer)) as visitor_id
from exported_messages
group by all;

-- One row per tweet of a thread. A tweet may belong to two threads, so the id names the thread; it
-- is padded because messages of one instant are ordered by id. A second customer is role client1.
create view messages as
select
    'twitter:' || session_id || ':' || lpad(seq, 3, '0') as message_id,
    'twitter:' || session_id as conversation_id,
    sent_at_utc as sent_at,
    case when role = 'agent' then 'agent' else 'contact' end as sender_type,
    case when role = 'agent' then author_pseudonym end as sender_id
from exported_messages;
