{{ kpi_cells(ref('fct_messages'), 'agent_messages', ref('fct_episodes')) }}
