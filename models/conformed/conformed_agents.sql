{{ config(alias='agents') }}

{{ conform(source('raw', 'agents')) }}
