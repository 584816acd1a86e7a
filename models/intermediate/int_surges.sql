{{ config(
    materialized='incremental',
    incremental_strategy='whole',
) }}

-- Grain: local hour and grain of a period. Key: local_hour, grain.
-- Left out: hours without an eligible episode. The busiest 5 % of a period's hours, the earlier one
-- first when two are as busy.
with hours as (

    select
        {{ local_hour('started_at') }} as local_hour,
        count(*) as episode_count
    from {{ ref('int_episodes') }}
    where is_eligible
    group by {{ local_hour('started_at') }}

),

periods as (

    {% for grain in ['day', 'week', 'month'] -%}
    select
        local_hour,
        '{{ grain }}' as grain,
        {{ period_start(grain, 'cast(local_hour as date)') }} as period_start,
        episode_count
    from hours
    {% if not loop.last %}union all
    {% endif %}
    {%- endfor %}

),

ranked as (

    select
        local_hour,
        grain,
        row_number() over (
            partition by grain, period_start
            order by episode_count desc, local_hour asc
        ) as busiest_first,
        count(*) over (partition by grain, period_start) as hour_count
    from periods

)

select
    local_hour,
    grain,
    busiest_first <= ceil(hour_count * 0.05e0) as is_surge
from ranked
