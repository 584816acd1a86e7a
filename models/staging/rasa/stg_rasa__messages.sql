-- Grain: message of a thread. Key: message_id.
-- Left out: events that are no message. What a trigger or the chat window sent in the contact's
-- name is a system message; a rewind takes nothing back that people have read.
{%- set fallback_actions = "'" ~ var('rasa_fallback_actions') | join("', '") ~ "'" %}
{%- set handoff_actions = "'" ~ var('rasa_handoff_actions') | join("', '") ~ "'" %}
{%- set technical_intents = "'" ~ var('rasa_technical_intents') | join("', '") ~ "'" %}
with messages as (

    select * from {{ ref('stg_rasa__tracker_events') }}
    where type_name in ('user', 'bot', 'agent')

),

classified as (

    select
        *,
        case
            when type_name <> 'user' then type_name
            when is_external or intent in ({{ technical_intents }}) then 'system'
            else 'contact'
        end as sender_type,
        case
            when type_name <> 'bot' then null
            when action_name in ({{ fallback_actions }}) then 'fallback'
            when response_name in ({{ fallback_actions }}) then 'fallback'
            when action_name in ({{ handoff_actions }}) then 'handoff_notice'
            when response_name in ({{ handoff_actions }}) then 'handoff_notice'
            {%- for name, kind in var('rasa_message_kinds').items() %}
            when '{{ name }}' in (action_name, response_name) then '{{ kind }}'
            {%- endfor %}
        end as kind
    from messages

)

select
    event_id as message_id,
    conversation_id,
    occurred_at as sent_at,
    sender_type,
    case when type_name = 'bot' then '{{ var("rasa_bot_id") }}' end as sender_id,
    'public' as visibility,
    message_text as text,
    kind,
    case when sender_type = 'contact' then intent end as intent,
    case when sender_type = 'contact' then intent_confidence end as intent_confidence,
    cast(null as string) as intent_label,
    cast(null as double) as sentiment,
    cast(null as string) as language,
    cast(null as string) as cited_sources,
    action_name,
    cast(null as string) as action_status,
    cast(null as string) as flow_id,
    cast(null as string) as step_id,
    cast(null as string) as model,
    cast(null as bigint) as input_tokens,
    cast(null as bigint) as output_tokens,
    cast(null as boolean) as is_grounded,
    _row_id
from classified
