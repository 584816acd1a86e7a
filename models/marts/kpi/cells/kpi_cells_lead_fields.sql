{{ kpi_cells(ref('fct_lead_fields'), 'lead_fields') }}
