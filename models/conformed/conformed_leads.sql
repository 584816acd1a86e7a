{{ config(
    alias='leads',
    materialized='incremental',
    incremental_strategy='arrived',
    unique_key='lead_id',
) }}

{{ conform(source('raw', 'leads')) }}
