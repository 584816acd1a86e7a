{{ config(alias='model_prices') }}

{{ conform(source('raw', 'model_prices'), seed=ref('model_prices')) }}
