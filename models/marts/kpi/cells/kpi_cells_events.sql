{{ kpi_cells(ref('fct_events'), 'events') }}
