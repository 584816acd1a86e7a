"""Independent reference implementation of the parley specification, in plain Python.

`landing` judges the rows of a landing directory, `facts` derives the fact tables, `kpis` the KPI
values, and `random_landing` writes adversarial landings to compare the warehouse with them:

    instants = write_random_landing(directory, seed=7)
    landing = read_landing(directory)
    facts = derive(landing, as_of=instants[3])
    rows = kpi_values(facts, landing, as_of=instants[3])

Nothing here shares code, SQL or intermediate results with the models under test.
"""
