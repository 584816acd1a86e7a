-- Grain: month and cost category. Key: month, category.
-- Left out: nothing; the amount is null where a currency had no rate on the first of the month.
select
    costs.month,
    costs.category,
    case
        when count(*) = count(rates.rate) then sum(costs.amount * rates.rate)
    end as amount
from {{ ref('conformed_costs') }} as costs
left join {{ ref('int_exchange_rates') }} as rates
    on {{ rate_in_force('rates', 'costs.currency', 'costs.month') }}
group by costs.month, costs.category
