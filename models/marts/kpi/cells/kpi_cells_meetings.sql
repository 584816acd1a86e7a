{{ kpi_cells(ref('fct_meetings'), 'meetings') }}
