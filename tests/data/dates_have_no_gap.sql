-- Each day of dim_dates follows the one before, and the local day of as-of is among them.
with days as (

    select
        date_day,
        lag(date_day) over (order by date_day) as previous_day
    from {{ ref('dim_dates') }}

)

select date_day
from days
where date_day <> previous_day + interval '1' day
union all
select {{ local_day(as_of()) }} as date_day
where {{ local_day(as_of()) }} not in (select date_day from days)
