{{ config(alias='conversations') }}

{{ conform(source('raw', 'conversations')) }}
