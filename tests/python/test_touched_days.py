"""A run that knows which days it touched leaves the cells a run over all days computes.

The facts of a built warehouse are changed by hand: days lose all their rows, rows move to another
day, values change, days come up that no row had. Both runs then compute the same changed facts.
"""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from harness import (
    CONFORMANCE,
    NAME,
    Warehouse,
    assert_same_rows,
    build_anew,
    scratch_directory,
    semantic_manifest,
)
from test_add_a_kpi import copy_of_the_project

AS_OF = datetime(2026, 6, 30)
LANDING = CONFORMANCE / "case11" / "landing"
KEY = ("grain", "period_start", "dimension", "dimension_value")
# Macros of the copied project: days are read from tables the test fills, and a run is said to go on
# from the last one unless it is told otherwise.
REPLACED = {
    "macros/kpi/touched_days.sql": {
        "touched_days(semantic_model)": "'intermediate.touched_days_of_' ~ semantic_model",
        "note_touched_days(semantic_model)": "none",
    },
    "macros/incremental/run_state.sql": {
        "run_mode()": "'full' if flags.FULL_REFRESH else 'touched'",
    },
}


def semantic_models(project: Path) -> dict[str, tuple[str, str]]:
    """The fact and the SQL of the local day of each semantic model."""
    models = {}
    for model in json.loads(semantic_manifest(project))["semantic_models"]:
        (time,) = [
            dimension
            for dimension in model["dimensions"]
            if dimension["name"] == model["defaults"]["agg_time_dimension"]
        ]
        models[model["name"]] = (model["node_relation"]["alias"], time["expr"] or time["name"])
    return models


def change(con: duckdb.DuckDBPyConnection, fact: str, day: str) -> None:
    """Empty a day, move a day's rows, repeat rows on an old and on two new days."""
    found = con.execute(f"select distinct {day} from {fact} where {day} is not null order by 1")
    days = [row[0] for row in found.fetchall()]
    moved, emptied, repeated = days[0], days[len(days) // 2], days[-1]
    con.execute(f"delete from {fact} where {day} = ?", [emptied])
    con.execute(f"update {fact} set {day} = ? where {day} = ?", [repeated, moved])
    for distance in (0, 3, 80):
        con.execute(
            f"insert into {fact} select * replace ({day} + {distance} as {day}) "
            f"from {fact} where {day} = ?",
            [repeated],
        )


@pytest.fixture(scope="module")
def project() -> Path:
    """The project with the days touched read from a table per semantic model."""
    copy = copy_of_the_project("touched")
    for name, macros in REPLACED.items():
        text = (copy / name).read_text(encoding="utf-8")
        for macro, value in macros.items():
            start = text.index(f"{{% macro {macro} ")
            end = text.index("{%- endmacro %}", start)
            text = f"{text[:start]}{{% macro {macro} -%}}{{{{ return({value}) }}}}{text[end:]}"
        (copy / name).write_text(text, encoding="utf-8")
    return copy


@pytest.fixture(scope="module")
def warehouses(project: Path) -> dict[str, Warehouse]:
    """Before the change, and after it with the days touched and with all days computed."""
    before = build_anew(LANDING, AS_OF, project=project, arguments=["--full-refresh"])
    models = semantic_models(project)
    changed = scratch_directory("touched_days")
    shutil.copy(before.path, changed / before.path.name)
    with duckdb.connect(str(changed / before.path.name)) as con:
        con.execute(f"attach '{before.path}' as before (read_only)")
        for fact, day in sorted(set(models.values())):
            if con.execute(f"select count({day}) from marts.{fact}").fetchone() != (0,):
                change(con, f"marts.{fact}", day)
        for model, (fact, day) in models.items():
            con.execute(
                f"create table intermediate.touched_days_of_{model} as "
                f"select distinct {day} as day from ("
                f"(from marts.{fact} except all from before.marts.{fact}) union all "
                f"(from before.marts.{fact} except all from marts.{fact}))"
            )
    built = {"before": before}
    for name, arguments in (("touched", []), ("all", ["--full-refresh"])):
        directory = scratch_directory(name)
        shutil.copy(changed / before.path.name, directory / f"{NAME}.duckdb")
        built[name] = build_anew(
            LANDING,
            AS_OF,
            project=project,
            directory=directory,
            arguments=["--select", "path:models/marts/kpi", *arguments],
        )
    return built


def cells(warehouse: Warehouse) -> dict[str, list[dict[str, Any]]]:
    """The rows of each table of cells."""
    names = [name for name in warehouse.tables("intermediate") if name.startswith("kpi_cells_")]
    return {name: warehouse.query(f"from intermediate.{name}") for name in names}


def test_cells_of_touched_days_are_those_of_all_days(warehouses: dict[str, Warehouse]) -> None:
    expected, actual = cells(warehouses["all"]), cells(warehouses["touched"])
    assert len(expected) == 19
    for name, rows in expected.items():
        columns = list(rows[0]) if rows else []
        assert_same_rows(rows, actual[name], KEY, columns, name)


def test_the_change_is_one_that_matters(warehouses: dict[str, Warehouse]) -> None:
    """Each table of cells has lost cells, kept some as they were and changed others."""
    before, after = cells(warehouses["before"]), cells(warehouses["touched"])
    for name in ("kpi_cells_turns", "kpi_cells_sessions", "kpi_cells_episodes"):
        old = {tuple(row[column] for column in KEY): row for row in before[name]}
        new = {tuple(row[column] for column in KEY): row for row in after[name]}
        assert old.keys() - new.keys(), name
        assert new.keys() - old.keys(), name
        kept = old.keys() & new.keys()
        assert any(old[key] == new[key] for key in kept), name
        assert any(old[key] != new[key] for key in kept), name


def test_values_follow(warehouses: dict[str, Warehouse]) -> None:
    expected, actual = (warehouses[name].rows("kpi_values") for name in ("all", "touched"))
    key = ("kpi", *KEY)
    assert_same_rows(expected, actual, key, list(expected[0]), "kpi_values")
