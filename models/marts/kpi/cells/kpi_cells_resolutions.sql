{{ kpi_cells(ref('fct_resolutions'), 'resolutions') }}
