"""What holds for every landing: as-of, load order, and the identities of the marts."""

from __future__ import annotations

import csv
import gzip
import random
import shutil
import sys
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness import (
    CONFORMANCE,
    ROOT,
    Row,
    Warehouse,
    assert_same_rows,
    build,
    build_anew,
    scratch_directory,
)

sys.path.insert(0, str(ROOT))
from tests.reference.landing import read_landing
from tests.reference.random_landing import write_random_landing
from tests.reference.test_properties import write_cut

SEED = 31
LOADING = {"reconciliation", "rejected_rows"}  # tables about files, not about facts
# Numerators that count distinct things of a period or are no sums at all.
NOT_ADDITIVE = {
    "visitors",
    "returning_rate",
    "agent_daily_load",
    "surge_absorption",
    "emerging_topics",
}


@cache
def full_landing() -> tuple[Path, datetime]:
    """A random landing with every kind of dirt, and an instant in the middle of it."""
    directory = scratch_directory("full")
    instants = write_random_landing(directory, SEED)
    return directory, instants[len(instants) // 2]


@cache
def cut_landing() -> Path:
    """What the same sources would have exported at that instant."""
    directory, as_of = full_landing()
    cut = scratch_directory("cut")
    write_cut(read_landing(directory), as_of, cut)
    return cut


def full() -> Warehouse:
    return build(*full_landing())


def cell(value: Any) -> Any:
    """A cell as it is compared: sums may differ in the last digits with the order of rows.

    What is left of a sum that cancels out is no digit of it: below 1e-12 a value is 0.
    """
    if not isinstance(value, float):
        return value
    return "0" if abs(value) < 1e-12 else f"{value:.9g}"


def contents(warehouse: Warehouse, table: str) -> Counter[tuple[Any, ...]]:
    """The rows of a mart, without order."""
    return Counter(tuple(map(cell, row.values())) for row in warehouse.rows(table))


def assert_same_marts(one: Warehouse, other: Warehouse, without: set[str] | None = None) -> None:
    """Fail where two warehouses publish different rows; histories tell of the builds themselves."""
    assert one.tables() == other.tables()
    for table in one.tables():
        if table not in (without or set()) | {"fct_resolution_history"}:
            before, after = contents(one, table), contents(other, table)
            lost, new = list((before - after).elements()), list((after - before).elements())
            assert not lost + new, (table, len(lost), lost[:2], len(new), new[:2])


# ------------------------------------------------------------------------------- builds compared


def test_as_of_equals_an_export_of_that_instant() -> None:
    """All data seen from T are the data of T: every mart, to the row, person ids included."""
    _, as_of = full_landing()
    assert_same_marts(full(), build(cut_landing(), as_of), LOADING)


def test_the_cut_left_something_out() -> None:
    """Else the comparison above would say nothing."""
    directory, _ = full_landing()
    landing, cut = read_landing(directory), read_landing(cut_landing())
    for table in ("conversations", "messages", "events", "deals"):
        assert 0 < len(cut.tables[table]) < len(landing.tables[table])
    blanked = 0
    for table, key, milestone in [
        ("conversations", "conversation_id", "closed_at"),
        ("answers", "answer_id", "answered_at"),
        ("deals", "deal_id", "closed_at"),
        ("tickets", "ticket_id", "closed_at"),
    ]:
        seen = {row[key]: row[milestone] for row in cut.tables[table]}
        blanked += sum(
            row[milestone] is not None and seen[row[key]] is None
            for row in landing.tables[table]
            if row[key] in seen
        )
    assert blanked > 0


def test_order_of_rows_and_files_does_not_matter() -> None:
    """The cut landing with shuffled rows, in two files a table, the columns in another order."""
    _, as_of = full_landing()
    shuffled = scratch_directory("shuffled")
    chance = random.Random(SEED)
    for path in sorted(cut_landing().rglob("*.csv")):
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        columns = list(rows[0])
        chance.shuffle(rows)
        chance.shuffle(columns)
        (shuffled / path.parent.name).mkdir()
        for name, part in (("b", rows[::2]), ("a", rows[1::2])):
            target = shuffled / path.parent.name / f"{name}.csv"
            with target.open("w", newline="", encoding="utf-8") as stream:
                writer = csv.DictWriter(stream, columns)
                writer.writeheader()
                writer.writerows(part)
    assert_same_marts(build(cut_landing(), as_of), build_anew(shuffled, as_of))


def test_the_same_rows_again_change_nothing() -> None:
    """The last file of every table once more under another name, and once more with an empty line
    at its end, so that it is no longer the same file."""
    directory, as_of = full_landing()
    again = scratch_directory("again")
    shutil.copytree(directory, again, dirs_exist_ok=True)
    for folder in again.iterdir():
        last = max(folder.iterdir())
        data = last.read_bytes()
        rows = gzip.decompress(data) if last.suffix == ".gz" else data
        rows += b"\r\n" if rows.endswith(b"\r\n") else b"\n"
        (folder / f"zy_{last.name}").write_bytes(data)
        (folder / f"zz_{last.name.removesuffix('.gz')}").write_bytes(rows)
    assert_same_marts(full(), build_anew(again, as_of), LOADING)


def test_loading_twice_changes_nothing() -> None:
    """The same landing built into the same warehouse again; reconciliation and rejects too."""
    directory, as_of = full_landing()
    home = scratch_directory("twice")
    shutil.copy(full().path, home)
    assert_same_marts(full(), build_anew(directory, as_of, directory=home))


# ----------------------------------------------------------------------------------- identities


@pytest.fixture(params=["random", "case11", "case12"], scope="module")
def built(request: pytest.FixtureRequest) -> Warehouse:
    """Warehouses the identities are looked at in; two with open outcomes."""
    if request.param == "random":
        return full()
    instant = {"case11": datetime(2026, 4, 20), "case12": datetime(2026, 9, 20)}[request.param]
    return build(CONFORMANCE / request.param / "landing", instant)


def test_outcomes_add_up(built: Warehouse) -> None:
    """Every involved episode has exactly one outcome, which agrees with its house verdict."""
    episodes = built.rows("fct_episodes")
    house = {
        row["episode_id"]: row["verdict"]
        for row in built.rows("fct_resolutions")
        if row["policy"] == "house"
    }
    for episode in episodes:
        outcome = episode["outcome"]
        assert (outcome is not None) == episode["is_involved"]
        if outcome is not None:
            verdict = house.pop(episode["episode_id"])
            resolved = {"pending": None, "resolved": True, "not_resolved": False}[verdict]
            assert resolved == episode["is_resolved"]
            assert (outcome == "pending") == (verdict == "pending")
            assert (outcome in ("confirmed", "assumed")) == (verdict == "resolved")
    assert not house
    handled = built.query(
        "select sum(numerator) as n from marts.kpi_values "
        "where kpi = 'handled_conversations' and grain = 'month' and dimension = 'all'"
    )
    assert handled[0]["n"] == sum(episode["outcome"] is not None for episode in episodes)


def test_sessions_partition_activities(built: Warehouse) -> None:
    """Every activity lies in one session; gaps within it are at most 30 minutes, between longer."""
    sessions = built.query(
        "select conversation_key, session_number, started_at, ended_at "
        "from intermediate.int_sessions order by 1, 2"
    )
    times: dict[tuple[int, int], list[datetime]] = defaultdict(list)
    for row in built.query(
        "select conversation_key, session_number, happened_at "
        "from intermediate.int_activities order by conversation_key, activity_number"
    ):
        times[row["conversation_key"], row["session_number"]].append(row["happened_at"])
    assert len(sessions) == len(times)
    limit = timedelta(minutes=30)
    previous: Row | None = None
    for session in sessions:
        mine = times[session["conversation_key"], session["session_number"]]
        assert (session["started_at"], session["ended_at"]) == (mine[0], mine[-1])
        assert all(b - a <= limit for a, b in pairwise(mine))
        if previous and previous["conversation_key"] == session["conversation_key"]:
            assert session["session_number"] == previous["session_number"] + 1
            assert session["started_at"] - previous["ended_at"] > limit
        previous = session


def test_turns_partition_contact_messages(built: Warehouse) -> None:
    """Walking the messages of a session in order, a turn begins wherever a contact message follows
    none, a reply or another episode's; these are the turns published, no more and no fewer."""
    begun = []
    previous: Row | None = None
    for row in built.query(
        "select m.conversation_key, m.session_number, m.episode_number, said.message_id, "
        "m.sender_type from intermediate.int_messages as m "
        "inner join conformed.messages as said on m.message_key = said._row_id "
        "inner join marts.fct_messages using (message_id) order by 1, m.activity_number"
    ):
        here = (row["conversation_key"], row["session_number"], row["episode_number"])
        if row["sender_type"] == "contact":
            continues = (
                previous is not None
                and previous["sender_type"] == "contact"
                and here
                == tuple(
                    previous[name]
                    for name in ("conversation_key", "session_number", "episode_number")
                )
            )
            if not continues:
                begun.append(row["message_id"])
        previous = row
    turns = built.rows("fct_turns")
    assert sorted(begun) == sorted(turn["turn_id"] for turn in turns)
    sessions = {row["session_id"]: row for row in built.rows("fct_sessions")}
    counted = Counter(turn["session_id"] for turn in turns)
    assert all(row["turn_count"] == counted[name] for name, row in sessions.items())
    for turn in turns:
        session = sessions[turn["session_id"]]
        assert session["started_at"] <= turn["started_at"] <= session["ended_at"]


def test_nothing_is_lost(built: Warehouse) -> None:
    """Raw rows = accepted + superseded + rejected, and every rejected row is shown."""
    rejected = Counter(row["table_name"] for row in built.rows("rejected_rows"))
    tables = built.rows("reconciliation")
    assert sum(row["raw_rows"] for row in tables) > 0
    for row in tables:
        assert row["raw_rows"] == row["accepted"] + row["superseded"] + row["rejected"], row
        assert row["rejected"] == rejected[row["table_name"]], row
        raw = built.query(f"select count(*) as n from raw.{row['table_name']}")
        assert row["raw_rows"] == raw[0]["n"], row


def week_of(day: date) -> date:
    return day - timedelta(days=day.weekday())


def test_days_add_up_to_weeks_and_months(built: Warehouse) -> None:
    """Numerators and pending members, in every cell; percentiles have no numerator."""
    cells = built.kpis()
    monthly = {key[0] for key in cells} - {key[0] for key in cells if key[1] == "day"}
    sums: dict[tuple[Any, ...], float] = defaultdict(float)
    for (kpi, grain, start, *dimension), row in cells.items():
        if grain == "day":
            for name, period in (("week", week_of(start)), ("month", start.replace(day=1))):
                sums[kpi, name, period, *dimension, "numerator"] += row["numerator"] or 0
                sums[kpi, name, period, *dimension, "pending"] += row["pending"]
    for key, row in cells.items():
        if key[1] != "day" and key[0] not in monthly | NOT_ADDITIVE:
            assert sums[*key, "numerator"] == pytest.approx(row["numerator"] or 0), key
            assert sums[*key, "pending"] == row["pending"], key


def test_dimensions_add_up_to_all(built: Warehouse) -> None:
    """Every member stands under one value of every dimension its KPI has."""
    cells = built.kpis()
    sums: dict[tuple[Any, ...], float] = defaultdict(float)
    for (kpi, grain, start, dimension, _), row in cells.items():
        sums[kpi, grain, start, dimension] += row["numerator"] or 0
    dimensions = defaultdict(set)
    for kpi, _, _, dimension, _ in cells:
        dimensions[kpi].add(dimension)
    for (kpi, grain, start, dimension, _), row in cells.items():
        if dimension == "all" and kpi not in NOT_ADDITIVE:
            for other in dimensions[kpi] - {"all", "policy"}:
                total = sums[kpi, grain, start, other]
                assert total == pytest.approx(row["numerator"] or 0), (kpi, grain, start, other)


def test_rates_lie_between_0_and_1(built: Warehouse) -> None:
    """A value is never below 0 or above 1, never a quotient by 0, and agrees with its parts."""
    units = {row["kpi"]: row["unit"] for row in built.rows("kpi_catalog")}
    seen = set()
    for key, row in built.kpis().items():
        value, denominator = row["value"], row["denominator"]
        if denominator == 0:
            assert value is None, key
        if units[key[0]] == "rate":
            seen.add(key[0])
            assert value is None or 0 <= value <= 1, key
            assert value is None or value == pytest.approx(row["numerator"] / denominator), key
    assert len(seen) > 30


def test_keys_are_unique(built: Warehouse) -> None:
    key = ["kpi", "grain", "period_start", "dimension", "dimension_value"]
    rows = built.rows("kpi_values", key)
    assert_same_rows(rows, rows, key, [])
