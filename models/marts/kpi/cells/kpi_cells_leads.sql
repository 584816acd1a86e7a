{{ kpi_cells(ref('fct_leads'), 'leads') }}
