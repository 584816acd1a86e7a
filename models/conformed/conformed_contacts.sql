{{ config(
    alias='contacts',
    materialized='incremental',
    incremental_strategy='arrived',
    unique_key='contact_id',
) }}

{{ conform(source('raw', 'contacts')) }}
