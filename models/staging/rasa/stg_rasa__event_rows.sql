-- Grain: landed row of either event table. Key: _row_id.
-- Left out: nothing; a row is accepted, superseded by a copy loaded later, or rejected. Copies
-- agree in sender, type, instant and rank among such events of their own file.
with tracker_store as (

    select
        _row_id,
        'rasa__events' as raw_table,
        'sender_id' as sender_column,
        id as source_id,
        sender_id,
        type_name,
        timestamp as epoch_text,
        intent_name,
        action_name,
        data,
        _file,
        _load_id,
        _loaded_at
    from {{ source('rasa', 'events') }}

),

rasa_x as (

    select
        _row_id,
        'rasa__conversation_event' as raw_table,
        'conversation_id' as sender_column,
        id as source_id,
        conversation_id as sender_id,
        type_name,
        timestamp as epoch_text,
        intent_name,
        action_name,
        data,
        _file,
        _load_id,
        _loaded_at
    from {{ source('rasa', 'conversation_event') }}

),

landed as (

    select * from tracker_store
    union all
    select * from rasa_x

),

parsed as (

    select
        _row_id,
        raw_table,
        sender_column,
        source_id,
        sender_id,
        type_name,
        epoch_text,
        data is not null as has_data,
        {{ is_json_object('data') }} as has_json_object,
        case
            when type_name in ('user', 'bot', 'agent') then {{ json_str('data', 'text') }}
        end as message_text,
        case when type_name = 'user' then {{ json_str('data', 'input_channel') }} end
            as input_channel,
        case
            when type_name = 'user'
                then coalesce({{ json_str('data', 'parse_data.intent.name') }}, intent_name)
        end as intent,
        case
            when type_name = 'user'
                then {{ to_number(json_str('data', 'parse_data.intent.confidence')) }}
        end as intent_confidence,
        case
            when type_name = 'user'
                then coalesce({{ json_str('data', 'metadata.is_external') }} = 'true', false)
        end as is_external,
        case
            when type_name = 'action' then coalesce({{ json_str('data', 'name') }}, action_name)
            when type_name = 'bot' then {{ json_str('data', 'metadata.utter_action') }}
        end as action_name,
        case when type_name like 'flow%' then {{ json_str('data', 'flow_id') }} end as flow_id,
        case when type_name like 'flow%' then {{ json_str('data', 'step_id') }} end as step_id,
        {{ epoch_microseconds('epoch_text') }} as occurred_us,
        _file,
        _load_id,
        _loaded_at
    from landed

),

judged as (

    select
        *,
        {{ microseconds_to_utc('occurred_us') }} as occurred_at,
        case
            when source_id is null then 'primary key id is null'
            when sender_id is null then 'required ' || sender_column || ' is null'
            when type_name is null then 'required type_name is null'
            when epoch_text is null then 'required timestamp is null'
            when not has_data then 'required data is null'
            when occurred_us is null then 'timestamp does not cast to timestamp'
            when not has_json_object then 'data is not a JSON object'
            when {{ microseconds_to_utc('occurred_us') }} > _loaded_at + interval '1' day
                then 'future: timestamp is more than a day after the load'
        end as reason
    from parsed

),

ranked as (

    select
        *,
        dense_rank() over (
            partition by raw_table, _file, _load_id, sender_id, occurred_us, type_name
            order by try_cast(source_id as bigint) nulls last, source_id
        ) as rank_in_type,
        dense_rank() over (
            partition by raw_table, _file, _load_id, sender_id, occurred_us
            order by try_cast(source_id as bigint) nulls last, source_id
        ) as rank_in_instant
    from judged

),

compared as (

    select
        *,
        row_number() over (
            partition by reason, sender_id, occurred_us, type_name, rank_in_type
            order by _row_id desc
        ) as copy_number
    from ranked

)

select
    _row_id,
    raw_table,
    case
        when reason is not null then 'rejected'
        when copy_number > 1 then 'superseded'
        else 'accepted'
    end as status,
    reason,
    sender_id,
    type_name,
    message_text,
    input_channel,
    intent,
    intent_confidence,
    is_external,
    action_name,
    flow_id,
    step_id,
    rank_in_instant,
    occurred_us,
    occurred_at
from compared
