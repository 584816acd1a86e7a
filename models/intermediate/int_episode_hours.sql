{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- Grain: episode. Key: episode_key.
-- Left out: nothing; is_out_of_hours is null without a default schedule. The opening instant is
-- inside, the closing instant outside; holidays and validity are those of the opening day.
with zones as (

    select distinct time_zone
    from {{ ref('int_business_hours') }}

),

starts as (

    select
        spans.episode_key,
        zones.time_zone,
        {{ to_local('spans.started_at', 'zones.time_zone') }} as local_at
    from {{ changed('int_episode_spans') }} as spans
    cross join zones

),

opening_days as (

    select
        episode_key,
        time_zone,
        cast(local_at as date) as opening_day,
        extract(hour from local_at) * 60 + extract(minute from local_at) as minute_of_opening_day
    from starts
    union all
    select
        episode_key,
        time_zone,
        cast(local_at - interval '1' day as date) as opening_day,
        extract(hour from local_at) * 60 + extract(minute from local_at) + 1440
            as minute_of_opening_day
    from starts

),

holidays as (

    select holiday
    from {{ ref('conformed_holidays') }}
    where schedule_id = 'default'

),

open_episodes as (

    select distinct opening_days.episode_key
    from opening_days
    inner join {{ ref('int_business_hours') }} as hours
        on
            opening_days.time_zone = hours.time_zone
            and {{ iso_dow('opening_days.opening_day') }} = hours.weekday
            and opening_days.opening_day between hours.valid_from and hours.valid_to
            and opening_days.minute_of_opening_day >= hours.opens_minute
            and opening_days.minute_of_opening_day < hours.closes_minute
    where opening_days.opening_day not in (select holidays.holiday from holidays)

)

select
    spans.episode_key,
    spans.conversation_key,
    case
        when (select count(*) from {{ ref('int_business_hours') }}) > 0
            then open_episodes.episode_key is null
    end as is_out_of_hours
from {{ changed('int_episode_spans') }} as spans
left join open_episodes on spans.episode_key = open_episodes.episode_key
