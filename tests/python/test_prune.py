"""Retention: what is old goes with the people it is about, and kept periods keep their KPIs."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from build import Settings
from harness import SALT, Warehouse, build_anew, is_same, write_landing
from load import load_landing, opened_warehouse
from prune import GUARD_DAYS, _limit, prune
from publish import publish

AS_OF = datetime(2026, 6, 1)
LIMIT = date(2026, 4, 1)


def landing_tables() -> dict[str, list[dict[str, Any]]]:
    """People whose last day lies before, at and after the guard, some of whom come back."""
    tables: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("conversations", "messages", "contacts", "deals", "tickets")
    }
    guard = datetime.combine(LIMIT, datetime.min.time()) - timedelta(days=GUARD_DAYS)
    starts = {
        "gone": [guard - timedelta(days=40), guard - timedelta(hours=2)],
        "stays": [guard - timedelta(days=40), guard + timedelta(hours=2)],
        "returns": [guard - timedelta(days=200), datetime(2026, 4, 5, 9)],
        "buys": [guard - timedelta(days=30)],
        "new": [datetime(2026, 4, 5, 10), datetime(2026, 5, 5, 10)],
        "merged": [guard - timedelta(days=100)],
        "survivor": [datetime(2026, 4, 7, 10)],
    }
    for who, instants in starts.items():
        for number, at in enumerate(instants):
            conversation = f"cv-{who}-{number}"
            tables["conversations"].append(
                {
                    "conversation_id": conversation,
                    "platform": "desk",
                    "channel": "web",
                    "opened_at": at,
                    "bot_id": "bot",
                    "contact_id": None if who == "gone" else who,
                    "visitor_id": f"v-{who}",
                }
            )
            for step, sender in enumerate(["contact", "bot"]):
                tables["messages"].append(
                    {
                        "message_id": f"{conversation}-{step}",
                        "conversation_id": conversation,
                        "sent_at": at + timedelta(minutes=step),
                        "sender_type": sender,
                        "kind": "answer" if sender == "bot" else None,
                        "intent": "ask" if sender == "contact" else None,
                        "text": "x",
                    }
                )
        if who != "gone":
            tables["contacts"].append(
                {
                    "contact_id": who,
                    "created_at": instants[0],
                    "merged_into": "survivor" if who == "merged" else None,
                }
            )
    tables["deals"].append(
        {
            "deal_id": "d-1",
            "contact_id": "buys",
            "created_at": datetime(2026, 4, 9, 9),
            "closed_at": datetime(2026, 4, 10, 9),
            "is_won": True,
            "amount": 5,
            "currency": "USD",
        }
    )
    tables["tickets"].append(
        {
            "ticket_id": "t-1",
            "conversation_id": "cv-gone-0",
            "created_at": guard - timedelta(days=9),
        }
    )
    return tables


@pytest.fixture(autouse=True)
def _places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PARLEY_SALT", SALT)
    monkeypatch.setenv("PARLEY_SPILL", str(tmp_path / "spill"))


def make(settings: Settings) -> None:
    build_anew(Path(str(settings.landing)), AS_OF, directory=settings.warehouse.parent)
    publish(settings.warehouse, settings.published, keep=1)


def test_old_people_go_and_kept_periods_keep_their_kpis(tmp_path: Path) -> None:
    landing = write_landing(tmp_path / "landing", landing_tables())
    directory = tmp_path / "w"
    directory.mkdir()
    settings = Settings(str(landing), directory / "warehouse.duckdb", directory / "published", 3)
    make(settings)
    warehouse = Warehouse(settings.warehouse)
    before = warehouse.kpis()

    pruned = prune(settings, LIMIT, make=make)

    assert pruned.removed == {"conversations": 2, "messages": 4, "tickets": 1}
    left = {row["conversation_id"] for row in warehouse.query("from raw.conversations")}
    assert left == {
        *("cv-stays-0", "cv-stays-1", "cv-returns-0", "cv-returns-1", "cv-buys-0"),
        *("cv-new-0", "cv-new-1", "cv-merged-0", "cv-survivor-0"),
    }
    after = warehouse.kpis()

    def kept(rows: dict[Any, Any]) -> dict[Any, Any]:
        return {key: row for key, row in rows.items() if row["period_start"] >= LIMIT}

    assert kept(before)
    assert kept(before).keys() == kept(after).keys()
    for key, row in kept(before).items():
        assert all(is_same(row[name], after[key][name]) for name in row), key
    assert len(after) < len(before)
    assert b"cv-gone-0" not in settings.warehouse.read_bytes()
    with opened_warehouse(settings.warehouse) as con:
        assert load_landing(con, landing, progress=False).rows == 0
    assert prune(settings, LIMIT, make=make).removed == {}


@pytest.mark.parametrize("given", [("", ""), ("2026-01-01", "5"), ("soon", ""), ("", "-5")])
def test_a_limit_is_one_date_or_one_number_of_days(given: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=r"one date|isoformat"):
        _limit(*given)


def test_rows_pruned_of_a_database_are_not_read_again(tmp_path: Path) -> None:
    import sqlite3

    from landing import Source
    from load import load_source

    tracker = tmp_path / "tracker.db"
    with sqlite3.connect(tracker) as database:
        database.execute(
            "create table events (id integer primary key, sender_id text, type_name text, "
            "timestamp real, intent_name text, action_name text, data text)"
        )
        for number, at in enumerate([datetime(2025, 1, 1), datetime(2026, 5, 1)], start=1):
            database.execute(
                "insert into events values (?, ?, 'user', ?, 'ask', null, '{}')",
                (number, f"sender-{number}", at.timestamp()),
            )
    settings = Settings(None, tmp_path / "w" / "warehouse.duckdb", tmp_path / "published", 3)
    source = Source(f"sqlite:///{tracker}")
    with opened_warehouse(settings.warehouse) as con:
        assert load_source(con, source, progress=False).rows == 2
    assert prune(settings, LIMIT, make=lambda _: None).removed == {"rasa__events": 1}
    with sqlite3.connect(tracker) as database:
        database.execute(
            "insert into events values (3, 'sender-3', 'user', 1780000000.0, 'ask', null, '{}')"
        )
    with opened_warehouse(settings.warehouse) as con:
        assert load_source(con, source, progress=False).rows == 1
    with duckdb.connect(str(settings.warehouse), read_only=True) as con:
        assert con.execute("select id from raw.rasa__events order by id").fetchall() == [
            ("2",),
            ("3",),
        ]
