"""Spark builds the same tables as DuckDB, row by row."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engines import ROOT, Table, Warehouse, plain

TOLERANCE = 1e-9
CASES = {
    "case11": ("tests/conformance/case11/landing", "2026-09-20"),
    "case12": ("tests/conformance/case12/landing", "2026-04-20"),
    "demo": ("seeds/demo", "2026-07-05T18:00:00Z"),
}
CONFORMANCE = ROOT / "tests" / "conformance"

Both = Callable[[str, str], tuple[Warehouse, Warehouse]]


def is_same(expected: Any, found: Any) -> bool:
    """Whether two cells are equal: type and value, doubles to 1e-9."""
    if isinstance(expected, float) and isinstance(found, float):
        return math.isclose(expected, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return type(expected) is type(found) and plain(expected) == plain(found)


def in_order(table: Table) -> list[tuple[Any, ...]]:
    """The rows, sorted by their exact cells first and by their doubles last."""

    def key(row: tuple[Any, ...]) -> tuple[list[Any], list[float]]:
        exact = [cell for cell in row if not isinstance(cell, float)]
        doubles = [cell for cell in row if isinstance(cell, float)]
        return [(cell is None, str(plain(cell))) for cell in exact], doubles

    return sorted(table.rows, key=key)


def differences(expected: Table, found: Table) -> list[str]:
    """The cells in which two tables differ, in words; at most ten."""
    if expected.columns != found.columns:
        return [f"columns {found.columns} instead of {expected.columns}"]
    if len(expected.rows) != len(found.rows):
        return [f"{len(found.rows)} rows instead of {len(expected.rows)}"]
    pairs = zip(in_order(expected), in_order(found), strict=True)
    return [
        f"row {number}, {column}: {has!r} instead of {wants!r}"
        for number, (wanted, row) in enumerate(pairs)
        for column, wants, has in zip(expected.columns, wanted, row, strict=True)
        if not is_same(wants, has)
    ][:10]


def test_a_difference_is_seen() -> None:
    table = Table(["name", "share"], [("a", 1.0), ("b", None), (None, 2.0)])
    assert differences(table, Table(table.columns, table.rows[::-1])) == []
    assert differences(table, Table(table.columns, [("a", 1 + 1e-12), *table.rows[1:]])) == []
    for rows in (
        [("a", 1 + 1e-6), *table.rows[1:]],
        [("a", 1), *table.rows[1:]],
        [("a", None), ("b", 1.0), (None, 2.0)],
        table.rows[1:],
        [*table.rows, ("a", 1.0)],
    ):
        assert differences(table, Table(table.columns, rows)) != []
    assert differences(table, Table(["name", "part"], table.rows)) != []


@pytest.mark.parametrize("case", CASES)
def test_marts_are_equal(both: Both, case: str) -> None:
    expected, found = both(*CASES[case])
    assert sorted(found) == sorted(expected)
    assert {
        name: lines for name in expected if (lines := differences(expected[name], found[name]))
    } == {}
    assert {"kpi_values", "fct_episodes", "rejected_rows"} <= expected.keys()
    assert all(len(expected[name].rows) > 50 for name in ("kpi_values", "fct_episodes"))


def as_text(value: Any) -> str:
    """A cell as the files of the conformance cases write it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    text = str(plain(value))
    return (text + "Z" if hasattr(value, "hour") else text).removesuffix(".0")


def case_files() -> list[tuple[str, Path]]:
    """The expected files of the instants built here, each with its case."""
    return [
        (case, path)
        for case, (_, as_of) in CASES.items()
        for path in sorted((CONFORMANCE / case / f"expected_as_of_{as_of}").glob("*.csv"))
    ]


@pytest.mark.parametrize(
    ("case", "path"), case_files(), ids=lambda part: part if isinstance(part, str) else part.stem
)
def test_facts_of_the_conformance_cases(both: Both, case: str, path: Path) -> None:
    table = both(*CASES[case])[1][path.stem]
    with path.open(newline="", encoding="utf-8") as stream:
        expected = [
            {name: cell.removesuffix(".0") for name, cell in row.items()}
            for row in csv.DictReader(stream)
        ]
    places = [(name, table.columns.index(name)) for name in expected[0]]
    found = [{name: as_text(row[place]) for name, place in places} for row in table.rows]

    def ordered(rows: list[dict[str, str]]) -> list[list[str]]:
        return sorted(list(row.values()) for row in rows)

    assert ordered(found) == ordered(expected)


@pytest.mark.parametrize("case", ["case11", "case12"])
def test_reconciliation_of_the_conformance_cases(both: Both, case: str) -> None:
    expected = json.loads((CONFORMANCE / case / "expected_reconciliation.json").read_text())
    table = both(*CASES[case])[1]["reconciliation"]
    found = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert {
        name: {column: found[name][column] for column in counts}
        for name, counts in expected.items()
    } == expected
