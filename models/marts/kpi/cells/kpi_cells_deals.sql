{{ kpi_cells(ref('fct_deals'), 'deals') }}
