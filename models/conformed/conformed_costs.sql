{{ config(alias='costs') }}

{{ conform(source('raw', 'costs'), seed=ref('costs')) }}
