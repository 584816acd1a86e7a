-- The raw rows of a landed table are its accepted, superseded and rejected ones, and each rejected
-- one stands in rejected_rows.
with listed as (

    select
        table_name,
        count(*) as listed_count
    from {{ ref('rejected_rows') }}
    group by table_name

)

select
    reconciliation.*,
    coalesce(listed.listed_count, 0) as listed_count
from {{ ref('reconciliation') }} as reconciliation
left join listed on reconciliation.table_name = listed.table_name
where
    reconciliation.raw_rows
    <> reconciliation.accepted + reconciliation.superseded + reconciliation.rejected
    or reconciliation.rejected <> coalesce(listed.listed_count, 0)
