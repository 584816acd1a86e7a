-- The credits of each attributed deal add up to 1 under each of the three models.
with models as (

    select distinct model
    from {{ ref('fct_attribution') }}

),

deals as (

    select deal_id
    from {{ ref('fct_deals') }}
    where is_attributed

),

credits as (

    select
        deal_id,
        model,
        sum(credit) as credit
    from {{ ref('fct_attribution') }}
    group by deal_id, model

)

select
    deals.deal_id,
    models.model,
    credits.credit
from deals
cross join models
left join credits
    on
        deals.deal_id = credits.deal_id
        and models.model = credits.model
where coalesce(abs(credits.credit - 1), 1) > 1e-9
