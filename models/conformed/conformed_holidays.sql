{{ config(alias='holidays') }}

{{ conform(source('raw', 'holidays'), seed=ref('holidays')) }}
