-- Each KPI of the catalogue has a value in kpi_values, or says what is missing for one.
with valued as (

    select distinct kpi
    from {{ ref('kpi_values') }}
    where value is not null

)

select
    kpi_catalog.kpi,
    kpi_catalog.availability
from {{ ref('kpi_catalog') }} as kpi_catalog
left join valued on kpi_catalog.kpi = valued.kpi
where
    (valued.kpi is not null) <> (kpi_catalog.availability = 'available')
    or (
        valued.kpi is null
        and (
            kpi_catalog.availability not like 'no value: needs _%'
            or kpi_catalog.availability = 'no value: needs None'
        )
    )
