{{ config(alias='deals') }}

{{ conform(source('raw', 'deals')) }}
