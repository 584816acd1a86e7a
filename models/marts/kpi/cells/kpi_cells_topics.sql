{{ config(schema='intermediate') }}

{{ kpi_cells(ref('fct_topic_trends'), 'topics') }}
