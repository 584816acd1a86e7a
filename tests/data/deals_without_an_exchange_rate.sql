{{ config(severity='warn') }}

-- Each deal with an amount has an exchange rate in force; those listed count in no revenue.
select
    deal_id,
    currency,
    cast(coalesce(closed_at, created_at) as date) as rate_date
from {{ ref('fct_deals') }}
where is_rate_missing
