{{ kpi_cells(ref('fct_months'), 'months') }}
