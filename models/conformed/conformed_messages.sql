{{ config(alias='messages') }}

{{ conform(
    source('raw', 'messages'),
    adapters=[ref('stg_rasa__messages')],
    parent=ref('conformed_conversations'),
) }}
