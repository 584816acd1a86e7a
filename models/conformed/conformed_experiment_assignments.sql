{{ config(
    alias='experiment_assignments',
    materialized='incremental',
    incremental_strategy='arrived',
    unique_key='assignment_id',
) }}

{{ conform(source('raw', 'experiment_assignments'), parent=ref('conformed_conversations')) }}
