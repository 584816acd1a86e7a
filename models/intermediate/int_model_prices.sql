-- Grain: language model and period of one price. Key: model, valid_from.
-- Left out: nothing. Of two prices from the same day the one loaded last holds.
with prices as (

    select
        model,
        valid_from,
        max_by(input_per_million, _row_id) as input_per_million,
        max_by(output_per_million, _row_id) as output_per_million,
        max_by(currency, _row_id) as currency
    from {{ ref('conformed_model_prices') }}
    group by model, valid_from

)

select
    *,
    lead(valid_from) over (partition by model order by valid_from) as valid_until
from prices
