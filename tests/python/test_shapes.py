"""Landings of unusual shape: days that are no 24 hours, one row, very long, no row at all."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from harness import BuildError, Row, Warehouse, build_anew, scratch_directory, write_landing

AS_OF = datetime(2026, 6, 30)
BERLIN = "Europe/Berlin"
EMOJI = "Wo ist mein Paket? 👩‍👩‍👧‍👦 🇩🇪 naïve"
CHINESE = "我的订单在哪里？请尽快回复，谢谢。"
NULL_BYTE = "zebra\x00quagga"
LONG = 10_000


def local(text: str, zone: str = BERLIN, fold: int = 0) -> str:
    """A local time of a zone as an instant with its offset."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).isoformat()


def conversation(name: str, opened_at: Any, **columns: Any) -> Row:
    return {
        "conversation_id": name,
        "platform": "neutral",
        "channel": "web",
        "opened_at": opened_at,
        "bot_id": "b",
        **columns,
    }


def message(name: str, chat: str, sent_at: Any, sender: str = "contact", **columns: Any) -> Row:
    return {
        "message_id": name,
        "conversation_id": chat,
        "sent_at": sent_at,
        "sender_type": sender,
        **columns,
    }


def tables() -> dict[str, list[Row]]:
    """All shapes that may stand in one landing; a conversation each."""
    at = datetime(2026, 5, 4, 10)
    conversations: list[Row] = []
    messages: list[Row] = []

    def tell(name: str, opened_at: Any, *rows: Row) -> None:
        conversations.append(conversation(name, opened_at, campaign=name))
        messages.extend(rows)

    # Clocks go forward on 29 March 2026: 01:50 to 03:05 are 15 minutes, one session.
    tell(
        "spring",
        local("2026-03-29T01:50"),
        message("sp1", "spring", local("2026-03-29T01:50")),
        message("sp2", "spring", local("2026-03-29T03:05"), "bot"),
    )
    # Clocks go back on 26 October 2025: 02:50 and the second 02:10 are 20 minutes apart, the first
    # 02:10 was 40 minutes earlier than 02:50.
    tell(
        "autumn",
        local("2025-10-26T02:50"),
        message("au1", "autumn", local("2025-10-26T02:50")),
        message("au2", "autumn", local("2025-10-26T02:10", fold=1), "bot"),
    )
    # The day's last minute and its first in Berlin, on the day of 25 hours.
    tell("first minute", local("2025-10-26T00:00"))
    tell("last minute", local("2025-10-26T23:59"))
    tell("leap", "2024-02-29T22:59:59Z", message("le1", "leap", "2024-02-29T22:59:59Z"))
    # Equal timestamps: the id decides, so the question comes before its answer.
    tell("equal", at, message("eq1", "equal", at), message("eq2", "equal", at, "bot"))
    tell("reversed", at, message("re2", "reversed", at), message("re1", "reversed", at, "bot"))
    tell(
        "texts",
        at,
        message("te1", "texts", at, text=EMOJI),
        message("te2", "texts", at + timedelta(seconds=5), "bot", text=CHINESE),
        message("te3", "texts", at + timedelta(seconds=9), text=NULL_BYTE),
    )
    long = datetime(2026, 1, 5)
    tell(
        "long",
        long,
        *(
            message(f"lo{n:05}", "long", long + timedelta(seconds=n), ("contact", "bot")[n % 2])
            for n in range(LONG)
        ),
    )
    years = datetime(2023, 5, 1)
    tell(
        "years",
        years,
        *(
            message(f"ye{n:03}", "years", years + timedelta(days=n * 10), ("contact", "bot")[n % 2])
            for n in range(110)
        ),
    )
    return {"conversations": conversations, "messages": messages}


@pytest.fixture(scope="module")
def warehouse() -> Warehouse:
    landing = write_landing(scratch_directory("shapes"), tables())
    return build_anew(landing, AS_OF, variables={"reporting_timezone": BERLIN})


def opens_of(warehouse: Warehouse, day: date) -> float | None:
    row = warehouse.kpis("chat_opens").get(("chat_opens", "day", day, "all", "all"))
    return row["value"] if row else None


def episodes_of(warehouse: Warehouse, name: str) -> list[Row]:
    return warehouse.query(
        "select * from marts.fct_episodes where conversation_id = ? order by started_at", [name]
    )


def sessions_of(warehouse: Warehouse, name: str) -> list[Row]:
    return warehouse.query(
        "select * from marts.fct_sessions where conversation_id = ? order by started_at", [name]
    )


def test_nothing_is_rejected(warehouse: Warehouse) -> None:
    assert warehouse.rows("rejected_rows") == []


def test_the_hour_that_does_not_exist(warehouse: Warehouse) -> None:
    (session,) = sessions_of(warehouse, "spring")
    assert session["conversation_seconds"] == 15 * 60
    assert session["started_at"] == datetime(2026, 3, 29, 0, 50)
    assert opens_of(warehouse, date(2026, 3, 29)) == 1


def test_the_hour_that_comes_twice(warehouse: Warehouse) -> None:
    (session,) = sessions_of(warehouse, "autumn")
    assert session["conversation_seconds"] == 20 * 60


def test_a_day_of_25_hours_is_one_day(warehouse: Warehouse) -> None:
    """In UTC it begins on the 25th at 22:00."""
    assert opens_of(warehouse, date(2025, 10, 26)) == 3
    assert opens_of(warehouse, date(2025, 10, 25)) is None
    assert opens_of(warehouse, date(2025, 10, 27)) is None


def test_a_leap_day(warehouse: Warehouse) -> None:
    assert opens_of(warehouse, date(2024, 2, 29)) == 1
    key = ("chat_opens", "month", date(2024, 2, 1), "campaign", "leap")
    assert warehouse.kpis("chat_opens")[key]["value"] == 1


def test_equal_timestamps_are_ordered_by_id(warehouse: Warehouse) -> None:
    (asked_first,), (answered_first,) = (
        episodes_of(warehouse, name) for name in ("equal", "reversed")
    )
    assert (asked_first["answer_count"], answered_first["answer_count"]) == (1, 0)
    assert asked_first["first_response_seconds"] == 0


def test_text_survives_and_is_not_published(warehouse: Warehouse) -> None:
    """Byte for byte in raw, null characters included; nowhere in marts, and no second time."""
    texts = warehouse.query("select message_id, text from raw.messages where message_id like 'te_'")
    assert {row["message_id"]: row["text"] for row in texts} == {
        "te1": EMOJI,
        "te2": CHINESE,
        "te3": NULL_BYTE,
    }
    assert not warehouse.query("from conformed.messages where text is not null")
    for table in warehouse.tables():
        published = repr(warehouse.rows(table))
        for text in ("Wo ist mein", "👩", "订单", "zebra", "quagga"):
            assert text not in published, (table, text)


def test_a_conversation_of_ten_thousand_messages(warehouse: Warehouse) -> None:
    (episode,) = episodes_of(warehouse, "long")
    (session,) = sessions_of(warehouse, "long")
    assert session["turn_count"] == LONG // 2
    assert episode["answer_count"] == LONG // 2
    assert session["conversation_seconds"] == episode["bot_handle_seconds"] == LONG - 1


def test_a_thread_of_three_years(warehouse: Warehouse) -> None:
    """A message every ten days: each an episode and a session of its own."""
    episodes = episodes_of(warehouse, "years")
    assert len(episodes) == 110
    assert len(sessions_of(warehouse, "years")) == 110
    assert episodes[-1]["episode_id"] == "years:110"
    assert episodes[-1]["started_at"] - episodes[0]["started_at"] == timedelta(days=1090)


@pytest.mark.parametrize("offset", ["+02:00", "+0200", "+02"])
def test_an_instant_without_seconds(tmp_path: Path, offset: str) -> None:
    rows = [conversation("c", f"2026-03-01T09:30{offset}")]
    warehouse = build_anew(write_landing(tmp_path, {"conversations": rows}), AS_OF)
    (row,) = warehouse.rows("fct_conversations")
    assert row["opened_at"] == datetime(2026, 3, 1, 7, 30)


def test_one_row(tmp_path: Path) -> None:
    """One conversation, no message: every mart is there, one chat was opened."""
    opened = {"conversations": [conversation("only", datetime(2026, 5, 4, 10, tzinfo=UTC))]}
    warehouse = build_anew(write_landing(tmp_path, opened), AS_OF)
    assert len(warehouse.rows("fct_conversations")) == 1
    assert len(warehouse.rows("fct_sessions")) == 1
    assert warehouse.rows("fct_episodes") == []
    assert opens_of(warehouse, date(2026, 5, 4)) == 1
    assert {row["availability"] == "available" for row in warehouse.rows("kpi_catalog")} == {
        True,
        False,
    }


def test_one_message_without_its_conversation(tmp_path: Path) -> None:
    """A landing of one orphan: all marts are there and empty, the row is shown as rejected."""
    line = json.dumps(message("m", "absent", "2026-05-04T10:00:00Z", text=CHINESE))
    (tmp_path / "messages").mkdir()
    with gzip.open(tmp_path / "messages" / "one.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.write(line + "\n")
    warehouse = build_anew(tmp_path, AS_OF)
    (rejected,) = warehouse.rows("rejected_rows")
    assert (rejected["table_name"], rejected["row_number"]) == ("messages", 1)
    assert "orphan" in rejected["reason"]
    assert CHINESE not in rejected["raw"]
    assert warehouse.rows("kpi_values") == []


@pytest.mark.parametrize("tables", [{}, {"contacts": [{"contact_id": "k", "created_at": AS_OF}]}])
def test_an_empty_landing_is_refused(tmp_path: Path, tables: dict[str, list[Row]]) -> None:
    """With one sentence that says what is missing."""
    with pytest.raises(BuildError) as refusal:
        build_anew(write_landing(tmp_path, tables), AS_OF)
    sentence = next(
        line.strip() for line in str(refusal.value).splitlines() if "landing" in line.lower()
    )
    assert re.fullmatch(r"The landing has no rows in conversations, messages .*\.", sentence)
    assert "Traceback" not in str(refusal.value)
