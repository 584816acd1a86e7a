"""Dirt through a whole build: each landed row is accepted, superseded or rejected with its reason.

The loader takes any text into `raw`; here the conformed models judge it. What a cell should come to
is written beside it. Counts are taken by a plain Python reader of the same files.
"""

from __future__ import annotations

import csv
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

import load
from harness import Warehouse, build_anew, scratch_directory
from personal_data import mask

AS_OF = datetime(2026, 4, 20)
GOOD = "2026-03-01T09:30:00Z"

INSTANTS = {  # as written: whether it is one
    GOOD: True,
    "2026-03-01 09:30:00": True,
    "2026-03-01T09:30:00.123456Z": True,
    "2026-03-01T09:30:00+14:00": True,
    "01/03/2026 09:30": False,
    "1/3/26": False,
    "03-01-2026": False,
    "20260301T093000Z": False,
    "1772357400": False,
    "46082.39": False,
    "10000-01-01T00:00:00Z": False,
    "2026-03-01T25:00:00Z": False,
    "2026-03-01T23:59:61Z": False,
    "2026-03-01T09:30:00+25:99": False,
    "2026-02-30T00:00:00Z": False,
    "9999-12-31T23:59:59Z": False,  # in the future
    "infinity": False,
    "now": False,
    "=1+1": False,
}
NUMBERS = {  # as written: what it is; None is no number
    "5": 5.0,
    "-5": -5.0,
    "5.25": 5.25,
    "1e3": 1000.0,
    "1.234": 1.234,
    "1,234.56": None,
    "1.234,56": None,
    "1 234": None,
    "5,5": None,
    "NaN": None,
    "Infinity": None,
    "1e400": None,
    "€5": None,
    "5%": None,
    "(5)": None,
    "=5": None,
}
FORMULAS = ["=cmd|' /C calc'!A0", "+49 30 123456", "-5", "@SUM(1)", "\tx"]


def put(landing: Path, name: str, header: str, rows: list[list[str]]) -> None:
    path = landing / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header.split(","), *rows])


@pytest.fixture(scope="module")
def landing() -> Path:
    made = scratch_directory("dirt")
    conversations = [[f"c{number}", text, "web", GOOD] for number, text in enumerate(FORMULAS)]
    conversations += [conversations[0], ["c8", "x", "fax", GOOD], ["", "x", "web", GOOD]]
    put(
        made,
        "conversations/a.csv",
        "conversation_id,platform,channel,opened_at",
        conversations,
    )
    messages = [
        [f"t{number}", "c0", instant, "contact", f"hello {number}"]
        for number, instant in enumerate(INSTANTS)
    ]
    messages += [["t0", "c0", GOOD, "contact", "corrected"]]  # supersedes
    messages += [["orphan", "nobody", GOOD, "bot", "x"], ["nul", "c0", GOOD, "bot", "a\0b"]]
    put(made, "messages/a.csv", "message_id,conversation_id,sent_at,sender_type,text", messages)
    put(
        made,
        "messages/b.csv",
        "sent_at,message_id,conversation_id,sender_type,mood",
        [
            [GOOD, "changed schema", "c1", "bot", "sunny"],
            [GOOD, "no such sender", "c1", "robot", "sunny"],
        ],
    )
    deals = [[f"d{number}", GOOD, text] for number, text in enumerate(NUMBERS)]
    put(made, "deals/a.csv", "deal_id,created_at,amount", deals)
    put(
        made,
        "agents/a.csv",
        "agent_id,team,hourly_cost",
        [["a1", "north", "1,5"], ["a2", "north", "1.5"], ["a2", "south", "1.5"]],
    )
    return made


@pytest.fixture(scope="module")
def warehouse(landing: Path) -> Warehouse:
    return build_anew(landing, AS_OF)


def test_raw_rows_are_accepted_superseded_or_rejected(landing: Path, warehouse: Warehouse) -> None:
    counted: Counter[str] = Counter()
    for path in landing.rglob("*.csv"):
        with path.open(newline="", encoding="utf-8") as stream:
            counted[path.parent.name] += sum(1 for _ in csv.reader(stream)) - 1
    reconciled = {
        row["table_name"]: row for row in warehouse.rows("reconciliation") if row["raw_rows"]
    }
    assert {table: row["raw_rows"] for table, row in reconciled.items()} == counted
    for row in reconciled.values():
        assert row["raw_rows"] == row["accepted"] + row["superseded"] + row["rejected"]
    assert {
        table: (row["accepted"], row["superseded"], row["rejected"])
        for table, row in reconciled.items()
    } == {
        "conversations": (5, 1, 2),
        "messages": (
            sum(INSTANTS.values()) + 2,
            1,
            len(INSTANTS) - sum(INSTANTS.values()) + 2,
        ),
        "deals": (
            sum(text is not None for text in NUMBERS.values()),
            0,
            sum(text is None for text in NUMBERS.values()),
        ),
        "agents": (1, 1, 1),
    }


def test_each_rejected_row_has_its_place_and_reason(warehouse: Warehouse) -> None:
    reasons = {
        (row["file"], row["row_number"]): row["reason"]
        for row in warehouse.rows("rejected_rows")
        if row["reason"]
    }
    for number, (instant, is_good) in enumerate(INSTANTS.items(), start=1):
        reason = reasons.get(("messages/a.csv", number))
        if is_good:
            assert reason is None, instant
        elif instant.startswith("9999"):
            assert reason == "future: sent_at is more than a day after the load"
        else:
            assert reason == "sent_at does not cast to timestamp", instant
    for number, (text, value) in enumerate(NUMBERS.items(), start=1):
        reason = reasons.get(("deals/a.csv", number))
        assert reason == (None if value is not None else "amount does not cast to double"), text
    assert reasons["messages/a.csv", len(INSTANTS) + 2] == "orphan: conversation_id is unknown"
    assert reasons["messages/b.csv", 2] == "sender_type is not an accepted value"
    assert reasons["conversations/a.csv", 7] == "channel is not an accepted value"
    assert reasons["conversations/a.csv", 8] == "primary key conversation_id is null"
    assert reasons["agents/a.csv", 1] == "hourly_cost does not cast to double"


def test_accepted_values_are_what_was_written(warehouse: Warehouse) -> None:
    deals = warehouse.query("select deal_id, amount from conformed.deals")
    assert {row["deal_id"]: row["amount"] for row in deals} == {
        f"d{number}": value for number, value in enumerate(NUMBERS.values()) if value is not None
    }
    platforms = warehouse.query("select platform from conformed.conversations order by 1")
    # Formulas stay as they are; one of them looks like a telephone number, and is masked as such.
    assert [row["platform"] for row in platforms] == sorted(map(mask, FORMULAS))
    texts = warehouse.query(
        "select raw.text from conformed.messages inner join raw.messages as raw using (_row_id) "
        "where raw.message_id in ('t0', 'nul') order by raw.message_id"
    )
    assert [row["text"] for row in texts] == ["a\0b", "corrected"]


def test_a_second_load_of_the_same_files_adds_nothing(landing: Path, warehouse: Warehouse) -> None:
    with load.opened_warehouse(warehouse.path) as con:
        report = load.load_landing(con, landing, progress=False, now=datetime.now(UTC))
    assert (report.rows, report.skipped) == (0, 5)
