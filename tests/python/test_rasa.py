"""A Rasa bot's export in both shapes and its tracker store read in place give the vendor's counts.

The real export lies in `$PARLEY_REAL_DATA/rasa_adorsys`; without it only the made-up tracker store
is tested.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

ROOT = Path(__file__).resolve().parents[2]
REAL_DATA = os.environ.get("PARLEY_REAL_DATA")
needs_real_data = pytest.mark.skipif(
    not REAL_DATA, reason="set PARLEY_REAL_DATA to the directory that holds rasa_adorsys"
)

BUILD = (sys.executable, "-m", "dbt.cli.main", "build", "--exclude", "test_type:unit")
EXPORTS = {
    "events": "tracker_store_events.csv",
    "conversation_event": "conversation_event.csv",
}
SHAPES = {
    "tracker_store": ("events",),
    "rasa_x": ("conversation_event",),
    "both": ("events", "conversation_event"),
}
EVENTS_DDL = """
create table events (
    id integer primary key, sender_id varchar(255), type_name varchar(255), timestamp float,
    intent_name varchar(255), action_name varchar(255), data text
)"""

Build = Callable[[Path], duckdb.DuckDBPyConnection]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Load a landing into a warehouse of its own, build all models, and open it."""
    target = tmp_path_factory.mktemp("target")
    warehouses: dict[Path, Path] = {}

    def built(landing: Path) -> duckdb.DuckDBPyConnection:
        if landing not in warehouses:
            warehouse = tmp_path_factory.mktemp("warehouse") / "rasa.duckdb"
            environment = os.environ | {
                "PARLEY_LANDING": str(landing),
                "PARLEY_WAREHOUSE": str(warehouse),
                "PARLEY_SPILL": str(warehouse.parent / "spill"),
                "PARLEY_SALT": "for tests",
                "PARLEY_AS_OF": "2026-06-01T00:00:00Z",
            }
            run = subprocess.run(
                [*BUILD, "--target-path", str(target), "--log-path", str(target / "logs")],
                check=False,
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
            )
            assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-1000:]
            warehouses[landing] = warehouse
        return duckdb.connect(str(warehouses[landing]), read_only=True)

    return built


def real(name: str) -> Path:
    """Path of a file of the real export."""
    assert REAL_DATA is not None
    return Path(REAL_DATA) / "rasa_adorsys" / name


@pytest.fixture(scope="module")
def landings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One landing per shape of the real export."""
    made = {}
    for shape, tables in SHAPES.items():
        made[shape] = tmp_path_factory.mktemp(shape)
        for table in tables:
            folder = made[shape] / "rasa" / table
            folder.mkdir(parents=True)
            shutil.copy(real(EXPORTS[table]), folder)
    return made


def count(con: duckdb.DuckDBPyConnection, sql: str) -> int:
    """Only value of a query."""
    row = con.execute(f"select count(*) from {sql}").fetchone()
    assert row is not None
    return int(row[0])


def marts(con: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[Any, ...]]]:
    """All facts and dimensions, rows in order, without what tells of the builds themselves."""
    content = {}
    for (name,) in con.execute(
        "select table_name from duckdb_tables() where schema_name = 'marts' "
        "and (table_name like 'fct!_%' escape '!' or table_name like 'dim!_%' escape '!') "
        "and table_name <> 'fct_resolution_history'"
    ).fetchall():
        rows = con.execute(f"select columns('^[^_].*') from marts.{name} order by all")
        content[name] = rows.fetchall()
    assert content["fct_conversations"]
    return content


def tracker_store(path: Path, rows: list[tuple[Any, ...]]) -> None:
    """Write a SQLite tracker store as Rasa creates it."""
    with sqlite3.connect(path) as connection:
        connection.execute(EVENTS_DDL)
        connection.executemany("insert into events values (?, ?, ?, ?, ?, ?, ?)", rows)
    connection.close()


@needs_real_data
@pytest.mark.parametrize("shape", SHAPES)
def test_counts_are_the_vendors(shape: str, landings: dict[str, Path], build: Build) -> None:
    with real("conversation_statistic.csv").open(encoding="utf-8") as stream:
        vendor = next(csv.DictReader(stream))
    with real("conversation_action_statistic.csv").open(encoding="utf-8") as stream:
        actions = {row["action"]: int(row["count"]) for row in csv.DictReader(stream)}

    with build(landings[shape]) as con:
        assert count(con, "conformed.conversations") == 32
        assert count(con, "conformed.messages where sender_type = 'contact'") == 143
        assert count(con, "conformed.messages where sender_type = 'bot'") == 201
        assert count(con, "conformed.messages") == 143 + 201
        assert count(con, "conformed.events where reason = 'restart'") == 15
        assert count(con, "conformed.events") == 15
        assert count(con, "conformed.messages where kind = 'fallback'") == 3
        assert count(con, "marts.fct_turns where is_fallback") == 3
    assert vendor["total_user_messages"] == "143"
    assert vendor["total_bot_messages"] == "201"
    assert (actions["action_restart"], actions["action_default_fallback"]) == (15, 3)


@needs_real_data
@pytest.mark.parametrize("shape", SHAPES)
def test_counts_of_each_thread_action_and_intent_are_the_vendors(
    shape: str, landings: dict[str, Path], build: Build
) -> None:
    with real("conversation.csv").open(encoding="utf-8") as stream:
        threads = {
            f"rasa:{row['sender_id']}": int(row["number_user_messages"])
            for row in csv.DictReader(stream)
        }
    with real("conversation_intent_statistic.csv").open(encoding="utf-8") as stream:
        intents = {row["intent"]: int(row["count"]) for row in csv.DictReader(stream)}
    with build(landings[shape]) as con:
        by_thread = con.execute(
            "select conversation_id, count(message_id) from conformed.conversations "
            "left join (from conformed.messages where sender_type = 'contact') "
            "using (conversation_id) group by all"
        ).fetchall()
        by_intent = con.execute(
            "select intent, count(*) from conformed.messages where intent is not null group by all"
        ).fetchall()
    assert dict(by_thread) == threads
    assert dict(by_intent) == intents


@needs_real_data
@pytest.mark.parametrize("shape", SHAPES)
def test_every_landed_row_is_accounted_for(
    shape: str, landings: dict[str, Path], build: Build
) -> None:
    with build(landings[shape]) as con:
        counted = con.execute(
            "select raw_table, count(*) from staging.stg_rasa__event_rows "
            "where status in ('accepted', 'superseded') or reason is not null group by all"
        ).fetchall()
        accepted = count(con, "staging.stg_rasa__event_rows where status = 'accepted'")
        raw = {table: count(con, f"raw.rasa__{table}") for table in SHAPES[shape]}
    assert dict(counted) == {f"rasa__{table}": rows for table, rows in raw.items()}
    assert raw == dict.fromkeys(SHAPES[shape], 738)
    assert accepted == 738


@needs_real_data
def test_one_shape_the_other_and_both_give_equal_marts(
    landings: dict[str, Path], build: Build
) -> None:
    with build(landings["tracker_store"]) as con:
        expected = marts(con)
    for shape in ("rasa_x", "both"):
        with build(landings[shape]) as con:
            assert marts(con) == expected


@needs_real_data
def test_tracker_store_read_in_place_gives_the_marts_of_its_export(
    landings: dict[str, Path], build: Build, tmp_path: Path
) -> None:
    with real(EXPORTS["events"]).open(encoding="utf-8", newline="") as stream:
        rows = [tuple(value or None for value in row.values()) for row in csv.DictReader(stream)]
    tracker_store(tmp_path / "rasa.db", rows)
    (tmp_path / "landing.yml").write_text("sources:\n  - {platform: rasa, url: rasa.db}\n")

    with build(landings["tracker_store"]) as con:
        expected = marts(con)
    with build(tmp_path) as con:
        assert marts(con) == expected


PHONE = "+4915550001234"


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A landing that names a tracker store in which a WhatsApp contact asks for a person."""
    landing = tmp_path_factory.mktemp("made_up")
    start = 1772355600.25  # 2026-03-01T09:00:00.25Z
    sender = f"whatsapp:{PHONE}"
    parsed = {"intent": {"name": "human_handoff", "confidence": 0.97}}
    events: list[tuple[str, dict[str, Any]]] = [
        ("action", {"name": "action_session_start"}),
        ("session_started", {}),
        ("action", {"name": "action_listen"}),
        ("user", {"text": "A person!", "input_channel": "twilio", "parse_data": parsed}),
        ("action", {"name": "action_human_handoff"}),
        ("bot", {"text": "One moment", "data": {}, "metadata": {}}),
        ("pause", {}),
        ("agent", {"text": "Hello, I am Eve"}),
    ]
    tracker_store(
        landing / "rasa.db",
        [
            (
                number,
                sender,
                name,
                start + number,
                None,
                data.get("name"),
                json.dumps({"event": name, "timestamp": start + number} | data),
            )
            for number, (name, data) in enumerate(events)
        ]
        + [(99, "bad", "user", start, None, None, '{"text": ')],
    )
    (landing / "landing.yml").write_text("sources:\n  - {platform: rasa, url: rasa.db}\n")
    return landing


def test_handoff_in_a_tracker_store_is_a_handoff(made_up: Path, build: Build) -> None:
    with build(made_up) as con:
        handoffs = con.execute(
            "select initiated_by, reason, wait_seconds, channel from marts.fct_handoffs"
        ).fetchall()
        requested = con.execute(
            "select initiated_at - requested_at = interval 1 second from marts.fct_handoffs"
        ).fetchall()
        messages = con.execute(
            "select messages.sender_type, messages.kind, staged.text from conformed.messages "
            "inner join staging.stg_rasa__messages as staged using (message_id) "
            "order by message_id"
        ).fetchall()
    assert handoffs == [("bot", "action_human_handoff", 3.0, "whatsapp")]
    assert requested == [(True,)]
    assert messages == [
        ("contact", None, "A person!"),
        ("bot", "handoff_notice", "One moment"),
        ("agent", None, "Hello, I am Eve"),
    ]


def test_event_that_does_not_parse_is_rejected_and_counted(made_up: Path, build: Build) -> None:
    with build(made_up) as con:
        statuses = con.execute(
            "select status, reason, count(*) from staging.stg_rasa__event_rows "
            "group by all order by all"
        ).fetchall()
    assert statuses == [("accepted", None, 8), ("rejected", "data is not a JSON object", 1)]


def test_phone_number_of_a_sender_and_text_are_in_no_mart(made_up: Path, build: Build) -> None:
    with build(made_up) as con:
        row = con.execute("select conversation_id, visitor_id from conformed.conversations")
        conversation_id, visitor_id = row.fetchall()[0]
        for name, rows in marts(con).items():
            for secret in (PHONE, "A person!"):
                assert not any(secret in str(value) for row in rows for value in row), name
    assert visitor_id == f"whatsapp:{PHONE}"
    assert conversation_id.startswith("rasa:")
    assert len(conversation_id) == len("rasa:") + 64
