"""The warehouse against the conformance cases, cell by cell."""

from __future__ import annotations

import csv
import json
from datetime import datetime
from typing import Any

import pytest

from harness import CONFORMANCE, build

CASES = ["case11", "case12"]
INSTANTS = ["2026-04-20", "2026-09-20"]
KEYS = {
    "fct_episodes": ["episode_id"],
    "fct_handoffs": ["episode_id"],
    "fct_leads": ["lead_at", "conversation_id"],
    "fct_resolutions": ["episode_id", "policy"],
    "fct_sessions": ["session_id"],
    "fct_turns": ["turn_id"],
}


def as_text(value: Any) -> str:
    """A cell as the files of the cases write it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat() + "Z"
    return str(value).removesuffix(".0")


def expected_rows(case: str, instant: str, table: str) -> list[dict[str, str]]:
    """The rows of a mart as the case has them."""
    path = CONFORMANCE / case / f"expected_as_of_{instant}" / f"{table}.csv"
    with path.open(newline="", encoding="utf-8") as stream:
        return [
            {column: cell.removesuffix(".0") for column, cell in row.items()}
            for row in csv.DictReader(stream)
        ]


def test_every_expected_file_is_compared() -> None:
    for case in CASES:
        for instant in INSTANTS:
            directory = CONFORMANCE / case / f"expected_as_of_{instant}"
            assert {path.stem for path in directory.iterdir()} == KEYS.keys()


@pytest.mark.parametrize("case", CASES)
def test_reconciliation(case: str) -> None:
    expected = json.loads((CONFORMANCE / case / "expected_reconciliation.json").read_text())
    warehouse = build(CONFORMANCE / case / "landing", datetime.fromisoformat(INSTANTS[-1]))
    actual = {row.pop("table_name"): row for row in warehouse.rows("reconciliation")}
    assert {
        table: {name: actual[table][name] for name in counts} for table, counts in expected.items()
    } == expected


@pytest.mark.parametrize("table", sorted(KEYS))
@pytest.mark.parametrize("instant", INSTANTS)
@pytest.mark.parametrize("case", CASES)
def test_facts(case: str, instant: str, table: str) -> None:
    expected = expected_rows(case, instant, table)
    warehouse = build(CONFORMANCE / case / "landing", datetime.fromisoformat(instant))
    columns = list(expected[0])
    actual = [
        {column: as_text(cell) for column, cell in row.items()}
        for row in warehouse.rows(table, columns)
    ]
    assert len(actual) == len(expected)

    def keyed(rows: list[dict[str, str]]) -> dict[tuple[str, ...], dict[str, str]]:
        return {tuple(row[name] for name in KEYS[table]): row for row in rows}

    wanted, found = keyed(expected), keyed(actual)
    assert sorted(wanted.keys() - found.keys()) == []
    assert sorted(found.keys() - wanted.keys()) == []
    assert [
        (key, column, wanted[key][column], found[key][column])
        for key in sorted(wanted)
        for column in columns
        if wanted[key][column] != found[key][column]
    ] == []
