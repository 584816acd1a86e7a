{{ config(
    materialized='incremental',
    incremental_strategy='persons',
    unique_key='person_id',
) }}

-- Grain: person. Key: person_id.
-- Left out: everything that identifies anybody.
select
    person_id,
    country,
    language,
    least(
        coalesce(first_opened_at, contact_created_at, first_named_at),
        coalesce(contact_created_at, first_opened_at, first_named_at),
        coalesce(first_named_at, first_opened_at, contact_created_at)
    ) as first_seen_at
from {{ fresh_rows('int_persons') }}
