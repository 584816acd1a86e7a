{{ config(alias='leads') }}

{{ conform(source('raw', 'leads')) }}
