{{ config(
    materialized='incremental',
    incremental_strategy='whole',
) }}

-- Grain: currency and period of one rate. Key: currency, valid_from.
-- Left out: landed rates of the reporting currency, whose rate is one by definition. Of two rates
-- from the same day the one loaded last holds.
with rates as (

    select
        currency,
        valid_from,
        max_by(rate, _row_id) as rate
    from {{ ref('conformed_exchange_rates') }}
    where currency <> '{{ var("reporting_currency") }}'
    group by currency, valid_from
    union all
    select
        '{{ var("reporting_currency") }}' as currency,
        cast('0001-01-01' as date) as valid_from,
        1e0 as rate

)

select
    currency,
    rate,
    valid_from,
    lead(valid_from) over (partition by currency order by valid_from) as valid_until
from rates
