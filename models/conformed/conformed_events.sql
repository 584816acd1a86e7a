{{ config(alias='events') }}

{{ conform(
    source('raw', 'events'),
    adapters=[ref('stg_rasa__events')],
    parent=ref('conformed_conversations'),
) }}
