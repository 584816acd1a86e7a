{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_id',
) }}

-- Grain: conversation and lead flow. Key: conversation_id, flow_id.
-- Left out: flows with another purpose, tests and spam. Complete when every required field has a
-- valid answer; without required fields, when the flow was reported complete.
with flows as (

    select * from {{ ref('conformed_flows') }}
    where purpose = 'lead'

),

flow_events as (

    select
        events.conversation_key,
        events.flow_id,
        min(case when events.event_type = 'flow_started' then events.occurred_at end)
            as reported_start_at,
        min(case when events.event_type = 'flow_completed' then events.occurred_at end)
            as reported_complete_at
    from {{ changed('int_events') }} as events
    inner join flows on events.flow_id = flows.flow_id
    group by events.conversation_key, events.flow_id

),

fields as (

    select
        conversation_key,
        flow_id,
        field,
        min(asked_at) as asked_at,
        min(case when is_valid then answered_at end) as valid_at
    from {{ changed('int_answers') }}
    where purpose = 'lead'
    group by conversation_key, flow_id, field

),

flow_fields as (

    select
        fields.conversation_key,
        fields.flow_id,
        min(fields.asked_at) as first_asked_at,
        count(
            case
                when {{ is_required_field('flows.required_fields', 'fields.field') }}
                    then fields.valid_at
            end
        ) as valid_required_count,
        max(
            case
                when {{ is_required_field('flows.required_fields', 'fields.field') }}
                    then fields.valid_at
            end
        ) as last_valid_at
    from fields
    inner join flows on fields.flow_id = flows.flow_id
    group by fields.conversation_key, fields.flow_id

),

started as (

    select
        coalesce(flow_events.conversation_key, flow_fields.conversation_key) as conversation_key,
        coalesce(flow_events.flow_id, flow_fields.flow_id) as flow_id,
        case
            when flow_events.reported_start_at is null then flow_fields.first_asked_at
            when flow_fields.first_asked_at is null then flow_events.reported_start_at
            else least(flow_events.reported_start_at, flow_fields.first_asked_at)
        end as started_at,
        flow_events.reported_complete_at,
        coalesce(flow_fields.valid_required_count, 0) as valid_required_count,
        flow_fields.last_valid_at
    from flow_events
    full outer join flow_fields
        on
            flow_events.conversation_key = flow_fields.conversation_key
            and flow_events.flow_id = flow_fields.flow_id

)

select
    conversations.conversation_id,
    started.flow_id,
    {{ conversation_attributes() }},
    {{ local_day('started.started_at') }} as started_date,
    started.started_at,
    case
        when {{ required_field_count('flows.required_fields') }} = 0
            then started.reported_complete_at
        when started.valid_required_count = {{ required_field_count('flows.required_fields') }}
            then started.last_valid_at
    end as completed_at
from started
inner join flows on started.flow_id = flows.flow_id
inner join {{ changed('int_conversations') }} as conversations
    on started.conversation_key = conversations.conversation_key
where started.started_at is not null
