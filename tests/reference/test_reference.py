"""The reference implementation against the conformance cases, cell by cell."""

from __future__ import annotations

import csv
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from .facts import derive
from .landing import Landing, read_landing

ROOT = Path(os.environ.get("PARLEY_CONFORMANCE") or Path(__file__).parents[1] / "conformance")
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
LOADED_AT = datetime(2026, 11, 1)

pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason=f"no conformance cases under {ROOT}")
_cache: dict[str, Landing] = {}


def landing_of(case: str) -> Landing:
    """The judged landing of a case, read once."""
    if case not in _cache:
        _cache[case] = read_landing(ROOT / case / "landing", LOADED_AT)
    return _cache[case]


def as_text(value: Any) -> str:
    """A cell as the conformance files write it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat() + "Z"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def normal(text: str) -> str:
    """A cell of a conformance file, whole numbers without a decimal point."""
    return text.removesuffix(".0")


@pytest.mark.parametrize("case", CASES)
def test_reconciliation(case: str) -> None:
    """Raw, accepted, superseded and rejected rows per table are the expected ones."""
    expected = json.loads((ROOT / case / "expected_reconciliation.json").read_text())
    actual = landing_of(case).reconciliation
    assert {t: actual[t] for t in expected} == expected


@pytest.mark.parametrize("table", sorted(KEYS))
@pytest.mark.parametrize("instant", INSTANTS)
@pytest.mark.parametrize("case", CASES)
def test_facts(case: str, instant: str, table: str) -> None:
    """Every row and cell of every expected table is derived."""
    path = ROOT / case / f"expected_as_of_{instant}" / f"{table}.csv"
    with path.open(newline="", encoding="utf-8") as handle:
        expected_rows = [{k: normal(v) for k, v in row.items()} for row in csv.DictReader(handle)]
    facts = derive(landing_of(case), datetime.fromisoformat(instant))
    expected = {tuple(r[k] for k in KEYS[table]): r for r in expected_rows}
    actual = {
        tuple(as_text(r[k]) for k in KEYS[table]): {c: as_text(r[c]) for c in expected_rows[0]}
        for r in facts[table]
    }
    differences = [
        (key, column, f"expected {expected[key][column]!r}", f"got {actual[key][column]!r}")
        for key in sorted(expected.keys() & actual.keys())
        for column in expected_rows[0]
        if expected[key][column] != actual[key][column]
    ]
    assert sorted(actual.keys() - expected.keys()) == []
    assert sorted(expected.keys() - actual.keys()) == []
    assert differences == []
    assert len(facts[table]) == len(expected_rows)
