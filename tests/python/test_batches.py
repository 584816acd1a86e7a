"""Tables built in batches are those built at once, to the row."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from harness import CONFORMANCE, Warehouse, assert_same_rows, build_anew, scratch_directory
from test_add_a_kpi import copy_of_the_project
from test_kills import DECISIVE, split_landing
from test_touched_days import KEY, cells

LANDING = CONFORMANCE / "case11" / "landing"
AS_OF = datetime(2026, 6, 30)
ROWS = 25


def project(name: str, week_start: str, rows: int) -> Path:
    """The project with another first day of the week and other sizes of a batch."""
    copy = copy_of_the_project(f"{name}_{week_start}".replace(" ", "_"))
    for path, former, value in (
        ("dbt_project.yml", "week_start: monday", f"week_start: {week_start}"),
        ("macros/kpi/batches.sql", "getvariable('parley_facts_of_a_batch')", str(rows)),
        ("macros/incremental/batches.sql", "getvariable('parley_messages_of_a_batch')", str(rows)),
    ):
        text = (copy / path).read_text(encoding="utf-8")
        assert former in text
        (copy / path).write_text(text.replace(former, value), encoding="utf-8")
    return copy


@pytest.fixture(scope="module", params=["monday", "sunday"])
def warehouses(request: pytest.FixtureRequest) -> dict[str, Warehouse]:
    """The same landing with batches of a few rows, and of more than there are."""
    return {
        name: build_anew(LANDING, AS_OF, project=project(name, request.param, rows))
        for name, rows in (("at once", 2_000_000), ("in batches", ROWS))
    }


def test_there_are_batches(warehouses: dict[str, Warehouse]) -> None:
    def batches(name: str) -> dict[str, Any]:
        found = [t for t in warehouses[name].tables("touched") if t.startswith("batches_of_")]
        query = "select count(distinct batch) as batches from touched."
        return {table: warehouses[name].query(query + table)[0]["batches"] for table in found}

    assert batches("at once") == {}
    several = batches("in batches")
    assert {"batches_of_turns", "batches_of_agent_messages"} <= several.keys()
    assert min(several["batches_of_turns"], several["batches_of_sessions"]) > 1


def test_cells_are_the_same(warehouses: dict[str, Warehouse]) -> None:
    expected, actual = cells(warehouses["at once"]), cells(warehouses["in batches"])
    assert expected.keys() == actual.keys()
    for name, rows in expected.items():
        assert_same_rows(rows, actual[name], KEY, list(rows[0]) if rows else [], name)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("intermediate.int_verdicts", ("episode_key", "policy")),
        ("marts.fct_messages", ("message_id",)),
        ("marts.fct_turns", ("turn_id",)),
    ],
)
def test_long_tables_are_the_same(
    warehouses: dict[str, Warehouse], table: str, key: tuple[str, ...]
) -> None:
    expected, actual = (
        warehouses[name].query(f"select * from {table}") for name in ("at once", "in batches")
    )
    assert len(expected) > 2 * ROWS
    # Batches stand one after the other.
    assert [[row[name] for name in key] for row in expected] != [
        [row[name] for name in key] for row in actual
    ]
    assert_same_rows(expected, actual, key, list(expected[0]), table)


def test_verdicts_are_in_order_within_each_batch(warehouses: dict[str, Warehouse]) -> None:
    decided = {
        name: [row["decided_at"] for row in warehouse.query("from intermediate.int_verdicts")]
        for name, warehouse in warehouses.items()
    }
    assert decided["at once"] == sorted(decided["at once"])
    assert decided["in batches"] != sorted(decided["in batches"])


def test_values_are_the_same(warehouses: dict[str, Warehouse]) -> None:
    expected, actual = (warehouses[name].rows("kpi_values") for name in ("at once", "in batches"))
    assert_same_rows(expected, actual, ("kpi", *KEY), list(expected[0]), "kpi_values")


def test_a_long_fact_of_which_no_row_counts_has_no_cells() -> None:
    landing = scratch_directory("without_agents")
    for table, lines in (
        (
            "conversations",
            ["conversation_id,platform,channel,opened_at", "c,p,web,2026-03-01T09:00:00Z"],
        ),
        (
            "messages",
            ["message_id,conversation_id,sent_at,sender_type"]
            + [f"m{n},c,2026-03-01T09:00:{n}Z,contact" for n in range(10, 20 + ROWS)],
        ),
    ):
        (landing / table).mkdir()
        (landing / table / "a.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    built = build_anew(landing, AS_OF, project=project("nobody", "monday", ROWS))
    assert len(built.rows("fct_messages")) > ROWS
    assert built.query("from touched.batches_of_agent_messages") == []
    assert built.query("from intermediate.kpi_cells_agent_messages") == []


def test_cells_of_many_touched_months_are_the_same() -> None:
    """A run on what is new computes all cells in batches if it touched more than fits into one."""

    def built(name: str, rows: int) -> Warehouse:
        copy, place = project(name, "monday", rows), scratch_directory("touched_months")
        split_landing(place, DECISIVE)
        build_anew(place / "landing", AS_OF, project=copy, directory=place)
        shutil.copytree(place / "rest", place / "landing", dirs_exist_ok=True)
        warehouse = build_anew(place / "landing", AS_OF, project=copy, directory=place)
        assert warehouse.query("select mode from touched.runs") == [{"mode": "touched"}]
        return warehouse

    at_once, in_batches = built("months_at_once", 2_000_000), built("months_in_batches", ROWS)
    table = "kpi_cells_turns"
    written = [
        each.query(f"select count(*) as count from touched.{table}")[0]["count"]
        < each.query(f"select count(*) as count from intermediate.{table}")[0]["count"]
        for each in (at_once, in_batches)
    ]
    assert written == [True, False]
    expected, actual = cells(at_once), cells(in_batches)
    for name, rows in expected.items():
        assert_same_rows(rows, actual[name], KEY, list(rows[0]) if rows else [], name)
