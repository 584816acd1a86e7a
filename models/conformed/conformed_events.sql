{{ config(alias='events') }}

{{ conform(source('raw', 'events'), parent=ref('conformed_conversations')) }}
