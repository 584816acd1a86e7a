-- Grain: grain, period and topic with an episode. Key: grain, period_start, topic.
-- Left out: periods without an episode on the topic. Growth is against the mean of the four periods
-- before, where none counts as zero.
with counts as (

    {% for grain in ['day', 'week', 'month'] -%}
    select
        '{{ grain }}' as grain,
        {{ period_start(grain, 'started_date') }} as period_start,
        topic,
        count(*) as episode_count
    from {{ ref('fct_episodes') }}
    group by {{ period_start(grain, 'started_date') }}, topic
    {% if not loop.last %}union all
    {% endif %}
    {%- endfor %}

),

before as (

    select
        counts.grain,
        counts.period_start,
        counts.topic,
        sum(earlier.episode_count) / 4e0 as mean_before
    from counts
    inner join counts as earlier
        on
            counts.grain = earlier.grain
            and counts.topic = earlier.topic
            and counts.period_start > earlier.period_start
            and earlier.period_start >= case
                when counts.grain = 'day' then counts.period_start - interval '4' day
                when counts.grain = 'week' then counts.period_start - interval '28' day
                else counts.period_start - interval '4' month
            end
    group by counts.grain, counts.period_start, counts.topic

),

growths as (

    select
        counts.grain,
        counts.period_start,
        counts.topic,
        counts.episode_count,
        counts.episode_count
        / cast(sum(counts.episode_count) over period as double) as share,
        coalesce(before.mean_before, 0e0) as mean_before,
        counts.episode_count / before.mean_before as growth
    from counts
    left join before
        on
            counts.grain = before.grain
            and counts.period_start = before.period_start
            and counts.topic = before.topic
    window period as (partition by counts.grain, counts.period_start)

)

select
    grain,
    period_start,
    topic,
    episode_count,
    share,
    mean_before,
    growth,
    cast(rank() over (
        partition by grain, period_start
        order by growth desc nulls last, episode_count desc
    ) as bigint) as growth_rank
from growths
