{{ config(
    materialized='incremental',
    incremental_strategy='whole',
) }}

-- Grain: deal at or before as-of. Key: deal_id.
-- Left out: deals of the future. Money is in the reporting currency at the rate in force on the
-- day the deal was closed, else created; null when there is no rate.
with deals as (

    select
        deals.deal_id,
        coalesce(survivors.survivor_id, deals.contact_id) as person_name,
        deals.created_at,
        {{ known('deals.closed_at') }} as closed_at,
        {{ known('deals.closed_at', 'deals.is_won') }} as is_won,
        deals.amount,
        deals.margin,
        deals.currency
    from {{ ref('conformed_deals') }} as deals
    left join {{ ref('int_contact_survivors') }} as survivors
        on deals.contact_id = survivors.contact_id
    where deals.created_at <= {{ as_of() }}

)

select
    deals.deal_id,
    {{ text_key('deals.person_name') }} as person_key,
    deals.amount * rates.rate as amount,
    deals.margin * rates.rate as margin,
    deals.currency,
    deals.amount is not null and rates.rate is null as is_rate_missing,
    coalesce(deals.is_won, false) as is_won,
    deals.created_at,
    deals.closed_at
from deals
left join {{ ref('int_exchange_rates') }} as rates
    on
        {{ rate_in_force(
            'rates', 'deals.currency', local_day('coalesce(deals.closed_at, deals.created_at)')
        ) }}
