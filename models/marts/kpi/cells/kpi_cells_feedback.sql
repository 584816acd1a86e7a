{{ kpi_cells(ref('fct_feedback'), 'feedback') }}
