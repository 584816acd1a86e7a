{{ config(
    alias='events',
    materialized='incremental',
    incremental_strategy='arrived',
    unique_key='event_id',
) }}

{{ conform(
    source('raw', 'events'),
    adapters=[ref('stg_rasa__events')],
    parent=ref('conformed_conversations'),
) }}
