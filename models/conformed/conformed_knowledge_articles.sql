{{ config(alias='knowledge_articles') }}

{{ conform(source('raw', 'knowledge_articles')) }}
