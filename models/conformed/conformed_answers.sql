{{ config(
    alias='answers',
    materialized='incremental',
    incremental_strategy='arrived',
    unique_key='answer_id',
) }}

{{ conform(source('raw', 'answers'), parent=ref('conformed_conversations')) }}
