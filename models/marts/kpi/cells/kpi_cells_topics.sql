{{ kpi_cells(ref('fct_topic_trends'), 'topics') }}
