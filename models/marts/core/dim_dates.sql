-- Grain: day. Key: date_day.
-- Left out: days before the year of the first conversation, deal, ticket or cost, and after the
-- year of as-of.
with beginnings as (

    select min(opened_at) as begins_at
    from {{ ref('int_conversations') }}
    union all
    select min(created_at) as begins_at
    from {{ ref('int_deals') }}
    union all
    select min(created_at) as begins_at
    from {{ ref('int_tickets') }}
    union all
    select cast(min(month) as timestamp) as begins_at
    from {{ ref('conformed_costs') }}

),

bounds as (

    select
        cast(date_trunc('year', coalesce(min(begins_at), {{ as_of() }})) as date) as first_day,
        cast(date_trunc('year', {{ as_of() }}) as date) + interval '1' year as end_day
    from beginnings

),

days as (

    {{ days_between('bounds', 'first_day', 'end_day') }}

)

select
    date_day,
    {{ period_start('week', 'date_day') }} as week_start,
    {{ period_start('month', 'date_day') }} as month_start,
    cast(extract(year from date_day) as integer) as year_number,
    cast(extract(month from date_day) as integer) as month_number,
    cast({{ iso_dow('date_day') }} as integer) as weekday_number,
    {{ iso_dow('date_day') }} >= 6 as is_weekend
from days
