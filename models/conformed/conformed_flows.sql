{{ config(alias='flows') }}

{{ conform(source('raw', 'flows'), seed=ref('flows')) }}
