{{ config(
    alias='feedback',
    materialized='incremental',
    incremental_strategy='arrived',
    unique_key='feedback_id',
) }}

{{ conform(source('raw', 'feedback'), parent=ref('conformed_conversations')) }}
