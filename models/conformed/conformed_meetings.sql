{{ config(alias='meetings') }}

{{ conform(source('raw', 'meetings')) }}
