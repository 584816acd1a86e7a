-- A count or sum of a week or month is that of its days, for every KPI published by day but
-- distinct visitors.
with counts as (

    select kpi_values.*
    from {{ ref('kpi_values') }} as kpi_values
    inner join {{ ref('kpi_catalog') }} as kpi_catalog
        on kpi_values.kpi = kpi_catalog.kpi
    where
        kpi_values.denominator is null
        and kpi_catalog.unit in ('count', 'currency', 'hours')
        and kpi_values.kpi <> 'visitors'

),

added_up as (

    {% for grain in ['week', 'month'] -%}
    select
        kpi,
        '{{ grain }}' as grain,
        {{ period_start(grain, 'period_start') }} as period_start,
        dimension,
        dimension_value,
        sum(numerator) as numerator
    from counts
    where grain = 'day'
    group by
        kpi,
        {{ period_start(grain, 'period_start') }},
        dimension,
        dimension_value
    {% if not loop.last %}union all
    {% endif %}
    {%- endfor %}

),

periods as (

    select * from counts
    where
        grain in ('week', 'month')
        and kpi in (select added_up.kpi from added_up)

)

select
    coalesce(periods.kpi, added_up.kpi) as kpi,
    coalesce(periods.grain, added_up.grain) as grain,
    coalesce(periods.period_start, added_up.period_start) as period_start,
    coalesce(periods.dimension, added_up.dimension) as dimension,
    coalesce(periods.dimension_value, added_up.dimension_value) as dimension_value,
    periods.numerator,
    added_up.numerator as sum_of_days
from periods
full outer join added_up
    on
        periods.kpi = added_up.kpi
        and periods.grain = added_up.grain
        and periods.period_start = added_up.period_start
        and periods.dimension = added_up.dimension
        and periods.dimension_value = added_up.dimension_value
where
    abs(coalesce(periods.numerator, 0) - coalesce(added_up.numerator, 0))
    > 1e-9 * greatest(abs(coalesce(periods.numerator, 0)), 1)
