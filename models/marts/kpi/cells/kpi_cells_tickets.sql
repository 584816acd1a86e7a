{{ kpi_cells(ref('fct_tickets'), 'tickets') }}
