{{ config(
    schema='conformed',
    alias='contact_survivors',
    materialized='incremental',
    incremental_strategy='whole',
) }}

-- Grain: contact that was merged into another one. Key: contact_id.
-- Left out: contacts never merged (they stand for themselves) and those created after as-of.
with recursive contact_links as (

    select
        contact_id,
        merged_into
    from {{ ref('conformed_contacts') }}
    where
        merged_into is not null
        and created_at <= {{ as_of() }}

),

{{ follow_links('contact_links', 'contact_id', 'merged_into') }}

select
    contact_id,
    survivor_id,
    is_cycle
from followed
