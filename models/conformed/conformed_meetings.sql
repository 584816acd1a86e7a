{{ config(
    alias='meetings',
    materialized='incremental',
    incremental_strategy='arrived',
    unique_key='meeting_id',
) }}

{{ conform(source('raw', 'meetings')) }}
