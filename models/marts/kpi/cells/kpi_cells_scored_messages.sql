{{ kpi_cells(ref('fct_messages'), 'scored_messages', ref('fct_episodes')) }}
