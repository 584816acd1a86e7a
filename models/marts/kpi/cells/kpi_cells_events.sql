{{ config(schema='intermediate') }}

{{ kpi_cells(ref('fct_events'), 'events') }}
