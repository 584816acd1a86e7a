"""Identities of the specification, on random landings, for the reference implementation."""

from __future__ import annotations

import csv
from collections import defaultdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from .facts import COLUMNS, Params, derive
from .kpis import kpi_values
from .landing import CONTRACT, Landing, read_landing
from .random_landing import write_random_landing

LOADED_AT = datetime(2026, 11, 1)
SEEDS = [1, 2, 3, 4, 5, 6]
OWN_TIME = {name: table.own_time for name, table in CONTRACT.items()}
LATER = {
    "conversations": {"closed_at": ["closed_at"]},
    "answers": {"answered_at": ["answered_at", "value", "is_valid"]},
    "leads": {"qualified_at": ["qualified_at"], "disqualified_at": ["disqualified_at"]},
    "deals": {"closed_at": ["closed_at", "is_won"]},
    "tickets": {"bot_assigned_at": ["bot_assigned_at"], "closed_at": ["closed_at"]},
}


def make(directory: Path, seed: int, unsettled: bool = False) -> tuple[Landing, list[datetime]]:
    """A random landing, judged, and instants to look at it."""
    instants = write_random_landing(directory, seed, conversations=30, unsettled=unsettled)
    step = max(1, len(instants) // 4)
    return read_landing(directory, LOADED_AT), [*instants[::step], instants[-1]]


def visible(facts: dict[str, list[dict[str, Any]]]) -> dict[str, list[tuple[Any, ...]]]:
    """Published columns only, in an order that does not depend on load order."""
    return {
        table: sorted(
            (tuple((k, str(v)) for k, v in sorted(row.items()) if k[0] != "_") for row in rows),
        )
        for table, rows in facts.items()
    }


def write_cut(landing: Landing, as_of: datetime, directory: Path) -> None:
    """Write what a source would have exported at `as_of`: no later row, no later milestone."""
    existing = {r["conversation_id"] for r in landing["conversations"] if r["opened_at"] <= as_of}
    children = ["messages", "events", "feedback", "answers", "experiment_assignments"]
    for table, rows in landing.tables.items():
        kept = []
        for original in rows:
            row = dict(original)
            own = OWN_TIME[table]
            if own is not None and row[own] > as_of:
                continue
            if table in children and row["conversation_id"] not in existing:
                continue
            for milestone, blanked in LATER.get(table, {}).items():
                if row[milestone] is not None and row[milestone] > as_of:
                    row.update(dict.fromkeys(blanked))
            kept.append(row)
        if kept:
            (directory / table).mkdir(parents=True)
            with (directory / table / "cut.csv").open("w", newline="") as handle:
                writer = csv.DictWriter(handle, list(kept[0]))
                writer.writeheader()
                writer.writerows(kept)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost(tmp_path: Path, seed: int) -> None:
    """Raw rows = accepted + superseded + rejected, and dirt changes no fact."""
    landing, instants = make(tmp_path / "dirty", seed)
    for counts in landing.reconciliation.values():
        lost = counts["superseded"] + counts["rejected"]
        assert counts["raw_rows"] == counts["accepted"] + lost
    clean = tmp_path / "clean"
    write_random_landing(clean, seed, dirty=False)
    spotless = read_landing(clean, LOADED_AT)
    assert visible(derive(spotless, instants[-2])) == visible(derive(landing, instants[-2]))
    for table, counts in spotless.reconciliation.items():
        assert counts["accepted"] == counts["raw_rows"]
        assert landing.reconciliation[table]["accepted"] == counts["accepted"]


def test_every_reason_occurs(tmp_path: Path) -> None:
    """The generator makes every kind of rejection."""
    reasons = set()
    for seed in SEEDS:
        landing, _ = make(tmp_path / str(seed), seed)
        reasons |= {row["reason"] for row in landing.rejected}
    expected = {"primary_key_null", "required_null", "uncastable", "enum", "orphan", "future"}
    assert reasons == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_loading_a_file_twice_changes_nothing(tmp_path: Path, seed: int) -> None:
    """A copy of the last file of every table, under another name, changes no fact."""
    landing, instants = make(tmp_path, seed)
    before = visible(derive(landing, instants[-1]))
    for folder in tmp_path.iterdir():
        last = max(folder.iterdir())
        (folder / f"zz_{last.name}").write_bytes(last.read_bytes())
    assert visible(derive(read_landing(tmp_path, LOADED_AT), instants[-1])) == before


@pytest.mark.parametrize("seed", SEEDS)
def test_identities(tmp_path: Path, seed: int) -> None:
    """Outcomes, verdicts, turns, credits and nulls are consistent at several instants."""
    landing, instants = make(tmp_path, seed)
    for as_of in instants:
        facts = derive(landing, as_of)
        assert facts.keys() == COLUMNS.keys()
        assert all(set(COLUMNS[t]) <= row.keys() for t, rows in facts.items() for row in rows)
        episodes = facts["fct_episodes"]
        involved = [e for e in episodes if e["is_involved"]]
        assert {e["episode_id"] for e in episodes if e["outcome"]} == {
            e["episode_id"] for e in involved
        }
        house = {
            r["episode_id"]: r["verdict"]
            for r in facts["fct_resolutions"]
            if r["policy"] == "house"
        }
        assert len(facts["fct_resolutions"]) == len(involved) * len(Params().policies)
        for e in episodes:
            mature = e["is_mature"]
            assert mature == (as_of >= e["decided_at"])
            assert (e["is_resolved"] is not None) == (e["is_involved"] and mature)
            assert (e["is_deflected"] is not None) == (e["is_eligible"] and mature)
            assert not e["is_involved"] or e["is_eligible"]
            if e["is_involved"]:
                assert e["is_resolved"] == (
                    None if not mature else e["outcome"] in ("confirmed", "assumed")
                )
                assert house[e["episode_id"]] == (
                    "pending" if not mature else "resolved" if e["is_resolved"] else "not_resolved"
                )
        sessions = {s["session_id"]: s for s in facts["fct_sessions"]}
        for turn in facts["fct_turns"]:
            session = sessions[turn["session_id"]]
            assert session["started_at"] <= turn["started_at"] <= session["ended_at"]
        assert sum(s["turn_count"] for s in sessions.values()) == len(facts["fct_turns"])
        credits: dict[tuple[str, str], float] = defaultdict(float)
        for row in facts["fct_attribution"]:
            credits[(row["deal_id"], row["model"])] += row["credit"]
        assert all(abs(total - 1) < 1e-9 for total in credits.values())
        people = [lead["person_id"] for lead in facts["fct_leads"]]
        assert len(people) == len(set(people))


@pytest.mark.parametrize("unsettled", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_as_of_equals_data_cut(tmp_path: Path, seed: int, unsettled: bool) -> None:
    """`as_of = T` over all data equals the same over data exported at T."""
    landing, instants = make(tmp_path / "full", seed, unsettled)
    for number, as_of in enumerate(instants):
        directory = tmp_path / f"cut{number}"
        write_cut(landing, as_of, directory)
        exported = read_landing(directory, LOADED_AT)
        assert all(not c["rejected"] for c in exported.reconciliation.values())
        assert visible(derive(exported, as_of)) == visible(derive(landing, as_of))


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_a_decided_verdict_never_changes(tmp_path: Path, seed: int) -> None:
    """Growing data never changes a verdict once its instant has passed.

    Only `dialogflow_no_callback` looks at other conversations of the person, and merges may
    bring persons together later; the other policies are closed.
    """
    landing, instants = make(tmp_path, seed)
    known: dict[tuple[str, str], str] = {}
    for as_of in instants:
        for row in derive(landing, as_of)["fct_resolutions"]:
            key = (row["episode_id"], row["policy"])
            if row["policy"] != "dialogflow_no_callback" and key in known:
                assert known[key] == row["verdict"]
            if row["verdict"] != "pending":
                known[key] = row["verdict"]


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_kpi_values_add_up(tmp_path: Path, seed: int) -> None:
    """One row per key; days add up to months; dimensions add up to all; numerator / denominator."""
    landing, instants = make(tmp_path, seed)
    as_of = instants[-2]
    params = Params(reporting_timezone="America/New_York", week_start="sunday")
    facts = derive(landing, as_of, params)
    rows = kpi_values(facts, landing, as_of, params)
    keys = [
        (r["kpi"], r["grain"], r["period_start"], r["dimension"], r["dimension_value"])
        for r in rows
    ]
    assert len(keys) == len(set(keys))
    additive = ["chat_opens", "conversations", "handled_conversations", "resolution_rate"]
    for name in additive:
        mine = [r for r in rows if r["kpi"] == name]
        months: dict[date, float] = defaultdict(float)
        dims: dict[tuple[str, date, str], float] = defaultdict(float)
        for r in mine:
            if r["grain"] == "day" and r["dimension"] == "all":
                months[r["period_start"].replace(day=1)] += r["numerator"]
            dims[(r["grain"], r["period_start"], r["dimension"])] += r["numerator"]
        for r in mine:
            if r["dimension"] == "all" and r["grain"] == "month":
                assert months[r["period_start"]] == r["numerator"]
            if r["dimension"] == "all":
                key = (r["grain"], r["period_start"], "channel")
                assert dims[key] == r["numerator"]
    for r in rows:
        if r["grain"] == "week":
            assert r["period_start"].weekday() == 6
        if r["numerator"] is not None and r["denominator"]:
            assert r["value"] == pytest.approx(r["numerator"] / r["denominator"])


def test_generator_is_deterministic(tmp_path: Path) -> None:
    """The same seed writes the same bytes."""
    for name in ("one", "two"):
        write_random_landing(tmp_path / name, 11)
    one = {p.relative_to(tmp_path / "one"): p for p in (tmp_path / "one").rglob("*.*")}
    two = {p.relative_to(tmp_path / "two"): p for p in (tmp_path / "two").rglob("*.*")}
    assert one.keys() == two.keys()
    assert all(one[p].read_bytes() == two[p].read_bytes() for p in one)
