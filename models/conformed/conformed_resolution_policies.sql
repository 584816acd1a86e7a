{{ config(alias='resolution_policies') }}

{{ conform(source('raw', 'resolution_policies'), seed=ref('resolution_policies')) }}
