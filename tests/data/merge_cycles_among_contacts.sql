{{ config(severity='warn') }}

-- No merges of CRM contacts lead back to where they began; the contacts listed do.
select
    contact_id,
    survivor_id
from {{ ref('int_contact_survivors') }}
where is_cycle
