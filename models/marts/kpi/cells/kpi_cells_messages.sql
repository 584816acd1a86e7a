{{ kpi_cells(ref('fct_messages'), 'messages') }}
