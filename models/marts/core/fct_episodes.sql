{{ config(
    materialized='incremental',
    incremental_strategy='revised',
    unique_key='conversation_id',
) }}

-- Grain: episode. Key: episode_id.
-- Left out: tests and spam. What looks ahead is null until it can no longer change.
with episodes as (

    select
        *,
        decided_at <= {{ as_of() }} as is_mature
    from {{ ref('int_episodes') }}
    where {{ is_revised('conversation_key') }}

),

house_verdicts as (

    select * from {{ fresh_rows('int_verdicts') }}
    where policy = 'house'

),

first_responses as (

    select
        episode_key,
        min_by({{ seconds_between('started_at', 'replied_at') }}, turn_number)
            as first_response_seconds
    from {{ ref('int_turns') }}
    where
        responsible = 'bot'
        and replied_by = 'bot'
        and episode_key in (select episodes.episode_key from episodes)
    group by episode_key

),

errors as (

    select distinct episode_key
    from {{ ref('int_episode_events') }}
    where
        event_type = 'error'
        and {{ is_revised('conversation_key') }}

),

revenues as (

    select
        attribution.episode_key,
        sum(attribution.credit * deals.amount) as attributed_revenue
    from {{ ref('int_attribution') }} as attribution
    inner join {{ ref('int_deals') }} as deals
        on attribution.deal_id = deals.deal_id
    where
        attribution.model = 'last_touch'
        and {{ is_of_revised_person('attribution.person_key') }}
    group by attribution.episode_key

),

surges as (

    select
        local_hour,
        max(case when grain = 'day' and is_surge then 1 else 0 end) = 1 as is_surge_of_day,
        max(case when grain = 'week' and is_surge then 1 else 0 end) = 1 as is_surge_of_week,
        max(case when grain = 'month' and is_surge then 1 else 0 end) = 1 as is_surge_of_month
    from {{ ref('int_surges') }}
    group by local_hour

),

joined as (

    select
        episodes.*,
        dimensions.intent,
        dimensions.topic,
        dimensions.business_hours,
        dimensions.is_out_of_hours,
        intents.tier = 1 as is_first_tier,
        intents.is_repetitive,
        intents.baseline_handle_minutes,
        contacts.has_earlier,
        contacts.has_later,
        contacts.is_reopened as has_next_in_conversation,
        contacts.has_ticket,
        house_verdicts.outcome,
        house_verdicts.is_resolved as is_resolved_at_decision,
        durations.bot_service_seconds,
        durations.bot_handle_seconds,
        durations.agent_handle_seconds,
        first_responses.first_response_seconds,
        coalesce(revenues.attributed_revenue, 0) as attributed_revenue,
        errors.episode_key is not null as has_error,
        partial_automation.episode_key is not null as is_partly_automated,
        conversions.episode_key is not null as is_followed_by_sale,
        episodes.is_mature
        and episodes.ended_at + interval '{{ var("fcr_window_days") }}' day <= {{ as_of() }}
            as is_past_return_window,
        episodes.is_mature
        and episodes.started_at + interval '{{ var("conversion_window_days") }}' day
        <= {{ as_of() }} as is_past_conversion_window
    from episodes
    inner join {{ ref('int_episode_dimensions') }} as dimensions
        on episodes.episode_key = dimensions.episode_key
    inner join {{ fresh_rows('int_episode_contacts') }} as contacts
        on episodes.episode_key = contacts.episode_key
    inner join {{ ref('int_episode_durations') }} as durations
        on episodes.episode_key = durations.episode_key
    left join {{ ref('conformed_intents') }} as intents
        on dimensions.intent = intents.intent
    left join house_verdicts on episodes.episode_key = house_verdicts.episode_key
    left join first_responses on episodes.episode_key = first_responses.episode_key
    left join errors on episodes.episode_key = errors.episode_key
    left join revenues on episodes.episode_key = revenues.episode_key
    left join {{ ref('int_partial_automation') }} as partial_automation
        on episodes.episode_key = partial_automation.episode_key
    left join {{ fresh_rows('int_episode_conversions') }} as conversions
        on episodes.episode_key = conversions.episode_key

)

select
    joined.episode_id,
    conversations.conversation_id,
    persons.person_id,
    {{ conversation_attributes() }},
    joined.topic,
    joined.business_hours,
    joined.intent,
    joined.outcome,
    joined.answer_count,
    joined.sourced_answer_count,
    case when joined.is_involved then joined.bot_service_seconds end as bot_service_seconds,
    case when joined.is_involved then joined.bot_handle_seconds end as bot_handle_seconds,
    case
        when joined.handoff_initiated_at is not null then joined.agent_handle_seconds
    end as agent_handle_seconds,
    case when joined.is_eligible then joined.first_response_seconds end as first_response_seconds,
    joined.attributed_revenue,
    joined.baseline_handle_minutes,
    joined.is_eligible,
    joined.is_involved,
    joined.is_mature,
    joined.first_agent_at is not null as has_agent_message,
    joined.has_error,
    case
        when joined.is_involved and joined.is_mature then joined.is_resolved_at_decision
    end as is_resolved,
    case
        when joined.is_involved and joined.is_mature
            then not joined.has_handoff and not joined.has_agent_message
    end as is_contained,
    case
        when joined.is_eligible and joined.is_mature
            then
                joined.has_answer
                and not joined.has_handoff
                and not joined.has_agent_message
                and not joined.has_ticket
    end as is_deflected,
    case
        when joined.is_eligible and joined.is_mature then joined.is_partly_automated
    end as is_partly_automated,
    case when joined.is_involved then not joined.has_earlier end as is_first_contact,
    case
        when joined.is_involved and not joined.has_earlier and joined.is_past_return_window
            then joined.is_resolved_at_decision and not joined.has_later
    end as is_fcr,
    case
        when joined.is_involved and joined.is_past_return_window and joined.is_resolved_at_decision
            then joined.has_next_in_conversation
    end as is_reopened,
    case
        when
            joined.is_involved
            and joined.is_past_conversion_window
            and joined.is_resolved_at_decision
            then joined.is_followed_by_sale
    end as is_converted,
    case when joined.intent is not null then coalesce(joined.is_first_tier, false) end
        as is_first_tier,
    case when joined.intent is not null then coalesce(joined.is_repetitive, false) end
        as is_repetitive,
    joined.is_out_of_hours,
    coalesce(surges.is_surge_of_day, false) as is_surge_of_day,
    coalesce(surges.is_surge_of_week, false) as is_surge_of_week,
    coalesce(surges.is_surge_of_month, false) as is_surge_of_month,
    {{ local_day('joined.started_at') }} as started_date,
    joined.started_at,
    joined.ended_at,
    joined.handoff_initiated_at,
    joined.decided_at
from joined
inner join {{ ref('int_conversations') }} as conversations
    on joined.conversation_key = conversations.conversation_key
inner join {{ ref('int_persons') }} as persons
    on joined.person_key = persons.person_key
left join surges on {{ local_hour('joined.started_at') }} = surges.local_hour
