{{ config(alias='exchange_rates') }}

{{ conform(source('raw', 'exchange_rates'), seed=ref('exchange_rates')) }}
