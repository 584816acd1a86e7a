{{ kpi_cells(ref('fct_handoffs'), 'handoffs') }}
