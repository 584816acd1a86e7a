{{ config(
    alias='messages',
    materialized='incremental',
    incremental_strategy='arrived',
    unique_key='message_id',
) }}

{{ conform(
    source('raw', 'messages'),
    adapters=[ref('stg_rasa__messages')],
    parent=ref('conformed_conversations'),
) }}
