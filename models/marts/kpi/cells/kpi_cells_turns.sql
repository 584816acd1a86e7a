{{ kpi_cells(ref('fct_turns'), 'turns') }}
