{{ config(
    materialized='incremental',
    incremental_strategy='persons',
    unique_key='person_key',
) }}

-- depends_on: {{ ref('int_changed_persons') }}
-- Grain: won deal, touching episode and model. Key: deal_id, episode_key, model.
-- Left out: deals no episode touched in the window before they were created. The credits of a deal
-- add up to one under each model.
with touches as (

    select
        touches.deal_id,
        touches.episode_key,
        touches.person_key,
        count(*) over (partition by touches.deal_id) as touch_count,
        row_number() over (
            partition by touches.deal_id
            order by touches.newest_first desc
        ) as oldest_first,
        row_number() over (
            partition by touches.deal_id
            order by touches.newest_first
        ) as newest_first
    from {{ fresh_rows('int_touches') }} as touches
    where touches.is_before_deal

)

select
    deal_id,
    episode_key,
    person_key,
    'first_touch' as model,
    1e0 as credit
from touches
where oldest_first = 1
union all
select
    deal_id,
    episode_key,
    person_key,
    'last_touch' as model,
    1e0 as credit
from touches
where newest_first = 1
union all
select
    deal_id,
    episode_key,
    person_key,
    'linear' as model,
    1e0 / touch_count as credit
from touches
