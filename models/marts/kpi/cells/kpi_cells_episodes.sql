{{ kpi_cells(ref('fct_episodes'), 'episodes') }}
