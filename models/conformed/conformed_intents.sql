{{ config(alias='intents') }}

{{ conform(source('raw', 'intents'), seed=ref('intents')) }}
