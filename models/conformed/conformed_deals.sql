{{ config(
    alias='deals',
    materialized='incremental',
    incremental_strategy='arrived',
    unique_key='deal_id',
) }}

{{ conform(source('raw', 'deals')) }}
