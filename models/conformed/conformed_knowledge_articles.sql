{{ config(alias='knowledge_articles', materialized='incremental', incremental_strategy='whole') }}

{{ conform(source('raw', 'knowledge_articles')) }}
