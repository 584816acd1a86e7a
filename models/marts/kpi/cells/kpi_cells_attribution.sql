{{ kpi_cells(ref('fct_attribution'), 'attribution') }}
