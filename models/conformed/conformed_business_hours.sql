{{ config(alias='business_hours') }}

{{ conform(source('raw', 'business_hours'), seed=ref('business_hours')) }}
