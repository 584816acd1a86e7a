{{ config(alias='conversations') }}

{{ conform(source('raw', 'conversations'), adapters=[ref('stg_rasa__conversations')]) }}
