-- Grain: opening of the default schedule. Key: none.
-- Left out: other schedules. A closing time at or before the opening time lies on the next day.
select
    time_zone,
    weekday,
    coalesce(valid_from, cast('0001-01-01' as date)) as valid_from,
    coalesce(valid_to, cast('9999-12-31' as date)) as valid_to,
    {{ minute_of_day('opens_at') }} as opens_minute,
    case
        when {{ minute_of_day('closes_at') }} <= {{ minute_of_day('opens_at') }}
            then {{ minute_of_day('closes_at') }} + 1440
        else {{ minute_of_day('closes_at') }}
    end as closes_minute
from {{ ref('conformed_business_hours') }}
where schedule_id = 'default'
