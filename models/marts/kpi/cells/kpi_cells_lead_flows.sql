{{ kpi_cells(ref('fct_lead_flows'), 'lead_flows') }}
