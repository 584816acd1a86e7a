-- A rate lies within 0 and 1, and each value within its interval.
select
    kpi_values.kpi,
    kpi_values.grain,
    kpi_values.period_start,
    kpi_values.dimension,
    kpi_values.dimension_value,
    kpi_values.ci_low,
    kpi_values.value,
    kpi_values.ci_high
from {{ ref('kpi_values') }} as kpi_values
inner join {{ ref('kpi_catalog') }} as kpi_catalog
    on kpi_values.kpi = kpi_catalog.kpi
where
    (
        kpi_catalog.unit = 'rate'
        and kpi_values.value not between 0 and 1
    )
    or kpi_values.ci_low > kpi_values.value + 1e-9 * greatest(abs(kpi_values.value), 1)
    or kpi_values.ci_high < kpi_values.value - 1e-9 * greatest(abs(kpi_values.value), 1)
    or (kpi_values.ci_low is null) <> (kpi_values.ci_high is null)
