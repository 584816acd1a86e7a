{{ config(alias='tickets') }}

{{ conform(source('raw', 'tickets')) }}
