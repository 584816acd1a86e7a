-- Grain: KPI. Key: kpi.
-- Left out: metrics that are only a part of a KPI.
with definitions as (

    {{ kpi_definitions() }}

),

found as (

    select
        kpi,
        max(case when value is not null then 1 else 0 end) as has_value
    from {{ ref('kpi_values') }}
    group by kpi

)

select
    definitions.kpi,
    definitions.title,
    definitions.title_zh,
    definitions.description,
    definitions.formula,
    definitions.unit,
    definitions.direction,
    definitions.source,
    definitions.parameters,
    definitions.maturity,
    definitions.owner,
    case
        when coalesce(found.has_value, 0) = 1 then 'available'
        else 'no value: needs ' || definitions.requires
    end as availability
from definitions
left join found on definitions.kpi = found.kpi
