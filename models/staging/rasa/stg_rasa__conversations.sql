-- Grain: sender, one long thread. Key: conversation_id.
-- Left out: nothing. Channel and entry point are those of the first message that names one;
-- sessions and episodes are told apart further on.
{%- set channels = var('rasa_channels') %}
with threads as (

    select
        conversation_id,
        sender_id,
        min(occurred_at) as opened_at,
        min_by(input_channel, event_id) filter (where input_channel is not null) as input_channel,
        max(_row_id) as _row_id
    from {{ ref('stg_rasa__tracker_events') }}
    group by conversation_id, sender_id

)

select
    conversation_id,
    'rasa' as platform,
    case
        when sender_id like 'whatsapp:%' then 'whatsapp'
        {%- for input_channel, channel in channels.items() %}
        when input_channel = '{{ input_channel }}' then '{{ channel }}'
        {%- endfor %}
        else 'other'
    end as channel,
    opened_at,
    cast(null as timestamp) as closed_at,
    'inbound' as direction,
    '{{ var("rasa_bot_id") }}' as bot_id,
    cast(null as string) as contact_id,
    sender_id as visitor_id,
    input_channel as entry_point,
    cast(null as string) as campaign,
    cast(null as string) as device_type,
    cast(null as string) as os,
    cast(null as string) as browser,
    cast(null as string) as language,
    cast(null as string) as country,
    false as is_test,
    false as is_spam,
    _row_id
from threads
