{{ config(
    materialized='incremental',
    incremental_strategy='persons',
    unique_key='person_id',
) }}

-- Grain: won deal, touching episode and attribution model. Key: deal_id, episode_id, model.
-- Left out: deals no episode touched. Revenue is null where the deal's currency has no rate.
select
    attribution.deal_id,
    episodes.episode_id,
    attribution.model,
    persons.person_id,
    {{ conversation_attributes() }},
    {{ episode_attributes() }},
    attribution.credit,
    attribution.credit * deals.amount as revenue,
    attribution.credit * deals.margin as margin,
    {{ local_day('deals.closed_at') }} as closed_date,
    deals.closed_at
from {{ fresh_rows('int_attribution') }} as attribution
inner join {{ ref('int_deals') }} as deals
    on attribution.deal_id = deals.deal_id
inner join {{ ref('int_episode_dimensions') }} as episodes
    on attribution.episode_key = episodes.episode_key
inner join {{ ref('int_conversations') }} as conversations
    on episodes.conversation_key = conversations.conversation_key
inner join {{ fresh_rows('int_persons') }} as persons
    on deals.person_key = persons.person_key
