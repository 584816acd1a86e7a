{{ config(alias='baseline') }}

{{ conform(source('raw', 'baseline'), seed=ref('baseline')) }}
