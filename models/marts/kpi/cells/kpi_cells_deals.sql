{{ config(schema='intermediate') }}

{{ kpi_cells(ref('fct_deals'), 'deals') }}
