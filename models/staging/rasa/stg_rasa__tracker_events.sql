{{ config(materialized='table') }}

-- Grain: event of a tracker. Key: event_id.
-- Left out: superseded and rejected rows. Events of one microsecond keep the order of their export;
-- a bot message names the action that ran before it, no user event or action_listen in between.
with events as (

    select
        *,
        sender_id like 'whatsapp:%'
        or sender_id like '+%'
        or sender_id like '%@%'
        or (try_cast(sender_id as bigint) is not null and length(sender_id) >= 7)
            as is_sender_personal
    from {{ ref('stg_rasa__event_rows') }}
    where status = 'accepted'

),

numbered as (

    select
        *,
        'rasa:' || case
            when is_sender_personal then {{ keyed_hash('sender_id') }} else sender_id
        end as conversation_id,
        row_number() over (
            partition by sender_id, occurred_us
            order by rank_in_instant, type_name
        ) as number_in_instant
    from events

),

stepped as (

    select
        *,
        sum(case when type_name in ('user', 'action') then 1 else 0 end) over (
            partition by sender_id
            order by occurred_us, number_in_instant
            rows between unbounded preceding and current row
        ) as step_number
    from numbered

),

explained as (

    select
        *,
        max(
            case when type_name = 'action' then nullif(action_name, 'action_listen') end
        ) over (partition by sender_id, step_number) as running_action
    from stepped

)

select
    conversation_id || ':' || occurred_us || ':'
    || lpad(cast(number_in_instant as string), 3, '0') as event_id,
    conversation_id,
    sender_id,
    type_name,
    message_text,
    input_channel,
    intent,
    intent_confidence,
    is_external,
    case when type_name = 'bot' then coalesce(running_action, action_name) else action_name end
        as action_name,
    case when type_name = 'bot' then action_name end as response_name,
    flow_id,
    step_id,
    occurred_at,
    _row_id
from explained
