{{ config(alias='answers') }}

{{ conform(source('raw', 'answers'), parent=ref('conformed_conversations')) }}
