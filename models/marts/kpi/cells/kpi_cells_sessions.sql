{{ kpi_cells(ref('fct_sessions'), 'sessions') }}
