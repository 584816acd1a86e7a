{{ kpi_cells(ref('fct_messages'), 'messages', ref('fct_episodes')) }}
