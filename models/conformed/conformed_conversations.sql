{{ config(
    alias='conversations',
    materialized='incremental',
    incremental_strategy='arrived',
    unique_key='conversation_id',
) }}

{{ conform(source('raw', 'conversations'), adapters=[ref('stg_rasa__conversations')]) }}
