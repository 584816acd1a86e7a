-- Under each model an attributed deal's revenue is its amount, no other deal has any, and the
-- revenue of the episodes is that of last touch.
with attributed as (

    select
        deal_id,
        model,
        sum(revenue) as revenue
    from {{ ref('fct_attribution') }}
    group by deal_id, model

),

of_last_touch as (

    select coalesce(sum(revenue), 0) as revenue
    from attributed
    where model = 'last_touch'

),

of_episodes as (

    select coalesce(sum(attributed_revenue), 0) as revenue
    from {{ ref('fct_episodes') }}

)

select
    attributed.deal_id,
    attributed.model,
    attributed.revenue,
    deals.amount as expected
from attributed
left join {{ ref('fct_deals') }} as deals
    on
        attributed.deal_id = deals.deal_id
        and deals.is_attributed
where
    deals.deal_id is null
    or (attributed.revenue is null) <> (deals.amount is null)
    or abs(attributed.revenue - deals.amount) > 1e-9 * greatest(abs(deals.amount), 1)
union all
select
    'all' as deal_id,
    'last_touch' as model,
    of_episodes.revenue,
    of_last_touch.revenue as expected
from of_episodes
cross join of_last_touch
where
    abs(of_episodes.revenue - of_last_touch.revenue)
    > 1e-9 * greatest(abs(of_last_touch.revenue), 1)
