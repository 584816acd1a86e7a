{{ config(
    materialized='incremental',
    incremental_strategy='persons',
    unique_key='person_id',
) }}

-- depends_on: {{ ref('int_changed_persons') }}
-- Grain: deal at or before as-of. Key: deal_id.
-- Left out: nothing. Money is in the reporting currency, null where there is no rate: those deals
-- are marked is_rate_missing. Cut by the latest episode that touched it before it was closed.
with last_touches as (

    select
        deal_id,
        max(case when is_before_deal then 1 else 0 end) = 1 as is_attributed,
        max(case when is_during_deal then 1 else 0 end) = 1 as is_influenced,
        max(case when newest_first = 1 then episode_key end) as episode_key
    from {{ fresh_rows('int_touches') }}
    group by deal_id

)

select
    deals.deal_id,
    persons.person_id,
    episodes.episode_id,
    {{ conversation_attributes() }},
    {{ episode_attributes() }},
    deals.currency,
    deals.amount,
    deals.margin,
    deals.is_rate_missing,
    deals.is_won,
    coalesce(last_touches.is_attributed, false) as is_attributed,
    coalesce(last_touches.is_influenced, false) as is_influenced,
    {{ local_day('deals.closed_at') }} as closed_date,
    deals.created_at,
    deals.closed_at
from {{ ref('int_deals') }} as deals
left join {{ fresh_rows('int_persons') }} as persons
    on deals.person_key = persons.person_key
left join last_touches on deals.deal_id = last_touches.deal_id
left join {{ ref('int_episode_dimensions') }} as episodes
    on last_touches.episode_key = episodes.episode_key
left join {{ ref('int_conversations') }} as conversations
    on episodes.conversation_key = conversations.conversation_key
where
    deals.person_key is null
    or {{ is_changed_person('deals.person_key') }}
