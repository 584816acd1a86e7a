{{ config(alias='kpi_targets') }}

{{ conform(source('raw', 'kpi_targets'), seed=ref('kpi_targets')) }}
