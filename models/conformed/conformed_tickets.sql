{{ config(
    alias='tickets',
    materialized='incremental',
    incremental_strategy='arrived',
    unique_key='ticket_id',
) }}

{{ conform(source('raw', 'tickets')) }}
