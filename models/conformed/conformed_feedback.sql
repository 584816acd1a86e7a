{{ config(alias='feedback') }}

{{ conform(source('raw', 'feedback'), parent=ref('conformed_conversations')) }}
