{{ config(
    materialized='incremental',
    incremental_strategy='persons',
    unique_key='person_key',
) }}

-- depends_on: {{ ref('int_changed_persons') }}
-- Grain: won deal and involved episode of its person that may have led to it. Key: deal_id,
-- episode_key.
-- Left out: open and lost deals, and episodes outside both windows.
select
    deals.deal_id,
    episodes.episode_key,
    deals.person_key,
    deals.created_at - interval '{{ var("attribution_window_days") }}' day <= episodes.started_at
    and episodes.started_at <= deals.created_at as is_before_deal,
    deals.created_at <= episodes.started_at as is_during_deal,
    row_number() over (
        partition by deals.deal_id
        order by episodes.started_at desc, episodes.episode_id desc
    ) as newest_first
from {{ ref('int_deals') }} as deals
inner join {{ ref('int_episodes') }} as episodes
    on
        deals.person_key = episodes.person_key
        and deals.created_at - interval '{{ var("attribution_window_days") }}' day
        <= episodes.started_at
        and episodes.started_at <= deals.closed_at
where
    deals.is_won
    and episodes.is_involved
    and {{ is_changed_person('deals.person_key') }}
    and {{ is_changed_person('episodes.person_key') }}
