"""The warehouse against the independent reference in plain Python: facts and KPI values.

Every fact column of the public interface and every row of kpi_values must be equal, on the
conformance cases and on random adversarial landings. PARLEY_PARITY_SEEDS sets how many random
landings are built (default 3), each as seen from two instants; PARLEY_PARITY_FIRST the first.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness import (
    CONFORMANCE,
    ROOT,
    SALT,
    Warehouse,
    assert_same_rows,
    build,
    pseudonym,
    scratch_directory,
)

sys.path.insert(0, str(ROOT))
from tests.reference.facts import COLUMNS, Params, derive
from tests.reference.kpis import kpi_values
from tests.reference.landing import Landing, read_landing
from tests.reference.random_landing import write_random_landing

SEEDS = [
    int(os.environ.get("PARLEY_PARITY_FIRST") or 101) + number
    for number in range(int(os.environ.get("PARLEY_PARITY_SEEDS") or 3))
]
CASES = [("case11", "2026-04-20"), ("case12", "2026-09-20")]
KEYS = {
    "fct_conversations": ["conversation_id"],
    "fct_episodes": ["episode_id"],
    "fct_sessions": ["session_id"],
    "fct_turns": ["turn_id"],
    "fct_handoffs": ["episode_id"],
    "fct_resolutions": ["episode_id", "policy"],
    "fct_leads": ["person_id"],
    "fct_lead_flows": ["conversation_id", "flow_id"],
    "fct_lead_fields": ["conversation_id", "flow_id", "field"],
    "fct_meetings": ["meeting_id"],
    "fct_attribution": ["deal_id", "episode_id", "model"],
    "fct_feedback": ["feedback_id"],
    "fct_costs": ["month", "category"],
}
KPI_KEY = ["kpi", "grain", "period_start", "dimension", "dimension_value"]
KPI_CELLS = ["numerator", "denominator", "value", "pending"]

# Parameters other than the defaults. The random landings reach over the changes of the clock in
# March and October 2025.
OTHER = {
    "reporting_timezone": "Europe/Berlin",
    "week_start": "sunday",
    "session_timeout_minutes": 45,
    "episode_idle_hours": 48,
    "idle_cap_seconds": 120,
    "self_service_window_hours": 12,
    "fcr_window_days": 3,
    "conversion_window_days": 4,
    "attribution_window_days": 10,
    "lead_to_sale_window_days": 20,
    "low_confidence_threshold": 0.6,
    "stale_after_days": 60,
    "reporting_currency": "EUR",
}


def published_persons(landing: Landing, as_of: datetime) -> dict[str, str]:
    """Contacts the reference ends a walk at although they are merged, and who they stand for.

    That is the last contact before a cycle of merges repeats; the warehouse names the person by
    the first one it meets again, which is the contact that one was merged into.
    """
    return {
        row["contact_id"]: row["merged_into"]
        for row in landing.tables["contacts"]
        if row["merged_into"] is not None and row["created_at"] <= as_of
    }


def with_pseudonyms(
    rows: list[dict[str, Any]], columns: list[str], persons: dict[str, str]
) -> list[dict[str, Any]]:
    """Rows of the reference with person ids as they are published, only the columns given."""
    kept = [{column: row[column] for column in columns} for row in rows]
    for row in kept:
        person = row.get("person_id")
        if person is not None:
            row["person_id"] = pseudonym(persons.get(person, person), SALT)
    return kept


def compare(
    warehouse: Warehouse, landing: Landing, as_of: datetime, params: Params | None = None
) -> None:
    """Fail where the warehouse and the reference differ."""
    facts = derive(landing, as_of, params)
    persons = published_persons(landing, as_of)
    for table, columns in COLUMNS.items():
        actual = warehouse.rows(table, columns)
        expected = with_pseudonyms(facts[table], columns, persons)
        assert_same_rows(expected, actual, KEYS[table], columns, table)
    reference = kpi_values(facts, landing, as_of, params)
    published = warehouse.rows("kpi_values")
    assert_same_rows(reference, published, KPI_KEY, KPI_CELLS, "kpi_values")
    assert all(row["as_of"] == as_of for row in published)
    assert all(row["is_final"] == (row["pending"] == 0) for row in published)


@cache
def random_landing(seed: int) -> tuple[Path, list[datetime]]:
    """A random landing and the instants worth looking from."""
    directory = scratch_directory(f"random{seed}")
    return directory, write_random_landing(directory, seed)


@cache
def judged(directory: Path) -> Landing:
    """A landing as the reference judges it."""
    return read_landing(directory)


@pytest.mark.parametrize(("case", "instant"), CASES)
def test_conformance_cases(case: str, instant: str) -> None:
    as_of = datetime.fromisoformat(instant)
    landing = CONFORMANCE / case / "landing"
    compare(build(landing, as_of), judged(landing), as_of)


@pytest.mark.parametrize("which", ["early", "late"])
@pytest.mark.parametrize("seed", SEEDS)
def test_random_landings(seed: int, which: str) -> None:
    """Early: an instant in the thick of the data, on a boundary; late: after all of it."""
    directory, instants = random_landing(seed)
    as_of = instants[-1] if which == "late" else instants[seed % (len(instants) - 1)]
    compare(build(directory, as_of), judged(directory), as_of)


def test_other_parameters() -> None:
    """Every parameter at another value, on days the clock changes in the reporting zone."""
    assert OTHER.keys() == asdict(Params()).keys() - {"policies"}
    directory, instants = random_landing(SEEDS[0] if SEEDS else 101)
    days = {row["opened_at"].date() for row in judged(directory).tables["conversations"]}
    assert min(days) < datetime(2025, 3, 30).date() < max(days)
    as_of = instants[-2] + timedelta(hours=1)
    warehouse = build(directory, as_of, variables=OTHER)
    compare(warehouse, judged(directory), as_of, Params(**OTHER))  # type: ignore[arg-type]
