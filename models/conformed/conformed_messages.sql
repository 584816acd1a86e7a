{{ config(alias='messages') }}

{{ conform(source('raw', 'messages'), parent=ref('conformed_conversations')) }}
