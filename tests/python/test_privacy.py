"""Nobody identifiable: masks, keyed hashes of ids that identify, and errors without values."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

import personal_data
from harness import ROOT, Warehouse, build_anew, scratch_directory, write_landing
from quiet_errors import without_values

AS_OF = datetime(2026, 4, 1)
EMAIL = "alice.planted@example.com"
PHONE = "+49 30 2312 5002"
MOBILE = "13812345678"
ID_CARD = "11010519491231002X"  # the example of the standard
CARD = "4111 1111 1111 1111"  # the test number of payment providers
PLANTED = (EMAIL, PHONE, MOBILE, ID_CARD, CARD)
ORDINARY = ("cv-00012:3", "120212345678901234", "4111111111111112", "2026-03-01 09:30", "gpt-4o")


@pytest.mark.parametrize(
    ("text", "kind", "masked"),
    [
        (f"ask {EMAIL}.", "email", "ask ***@***."),
        (f"call {PHONE} now", "phone_international", "call +49**** 5002 now"),
        (f"tel{MOBILE}x", "mobile_cn", "tel138****5678x"),
        (f"{MOBILE} {MOBILE}", "mobile_cn", "138****5678 138****5678"),
        (f"id {ID_CARD}", "id_card_cn", "id 110105********002X"),
        (f"card {CARD}", "payment_card", "card 4111********1111"),
        ("378282246310005", "payment_card", "3782********0005"),
        (f"{CARD} {CARD}", "payment_card", "4111********1111 4111********1111"),
    ],
)
def test_what_identifies_is_found_and_masked_in_its_form(text: str, kind: str, masked: str) -> None:
    assert personal_data.find(text) == [kind]
    assert personal_data.mask(text) == masked
    assert personal_data.find(masked) == []
    assert personal_data.mask(masked) == masked


@pytest.mark.parametrize("text", [*ORDINARY, "110105194912310021", "", "@"])
def test_what_is_ordinary_stays(text: str) -> None:
    assert personal_data.find(text) == []
    assert personal_data.mask(text) == text


@pytest.fixture(scope="module")
def planted() -> Warehouse:
    """A warehouse whose every column a user fills with words of his own holds identifiers."""
    everything = " / ".join(PLANTED)
    at = datetime(2026, 3, 1, 9)
    conversation = {
        "conversation_id": f"whatsapp:{PHONE.replace(' ', '')}",
        "platform": everything,
        "channel": "web",
        "opened_at": at,
        "bot_id": PHONE,
        "contact_id": "c-1",
        "visitor_id": EMAIL,
        "entry_point": f"/page?mail={EMAIL}",
        "campaign": everything,
        "device_type": "mobile",
        "os": everything,
        "browser": everything,
        "language": EMAIL,
        "country": EMAIL,
    }
    ordinary = conversation | {"conversation_id": "cv-1", "campaign": "120212345678901234"}
    tables = {
        "conversations": [conversation, ordinary],
        "messages": [
            {
                "message_id": f"{EMAIL}:{number}",
                "conversation_id": conversation["conversation_id"],
                "sent_at": at.replace(minute=number),
                "sender_type": sender,
                "text": everything,
                "intent": f"ask {everything}" if sender == "contact" else None,
            }
            for number, sender in enumerate(["contact", "bot", "contact", "agent"])
        ],
        "events": [
            {
                "event_id": f"+49302312500{number}",
                "conversation_id": conversation["conversation_id"],
                "occurred_at": at.replace(minute=number),
                "event_type": kind,
                "reason": everything,
                "flow_id": EMAIL,
                "step_id": PHONE,
            }
            for number, kind in enumerate(["handoff_requested", "flow_started", "step_reached"])
        ],
        "feedback": [
            {
                "feedback_id": EMAIL,
                "conversation_id": conversation["conversation_id"],
                "submitted_at": at.replace(minute=9),
                "kind": "csat",
                "score": 5,
                "scale_max": 5,
                "category": everything,
                "comment": everything,
            }
        ],
        "tickets": [
            {
                "ticket_id": PHONE,
                "contact_id": "c-1",
                "conversation_id": conversation["conversation_id"],
                "channel": EMAIL,
                "topic": everything,
                "url": f"https://desk.example.com/{EMAIL}",
                "created_at": at,
            }
        ],
        "contacts": [
            {
                "contact_id": "c-1",
                "created_at": at,
                "name": "Alice Planted",
                "email": EMAIL,
                "phone": PHONE,
                "country": MOBILE,
            },
            {"contact_id": None, "created_at": at, "country": everything, "email": EMAIL},
        ],
    }
    landing = write_landing(scratch_directory("planted"), tables)
    refused = landing / "feedback" / f"{EMAIL}.csv"
    refused.write_text(
        "feedback_id,conversation_id,submitted_at,kind,score,scale_max\n,a,b,c,d,e\n"
    )
    return build_anew(landing, AS_OF)


def test_no_text_of_a_mart_holds_what_was_planted(planted: Warehouse) -> None:
    for table in planted.tables():
        for row in planted.rows(table):
            for column, value in row.items():
                if isinstance(value, str) and not re.fullmatch("[0-9a-f]{64}.*", value):
                    assert personal_data.find(value) == [], f"{table}.{column}"
                    assert "Planted" not in value, f"{table}.{column}"


def test_intermediate_holds_no_names(planted: Warehouse) -> None:
    for table in planted.tables("intermediate"):
        for row in planted.query(f"select * from intermediate.{table}"):
            for column, value in row.items():
                if isinstance(value, str) and not re.fullmatch("[0-9a-f]{64}.*", value):
                    assert personal_data.find(value) == [], f"{table}.{column}"
                    assert value != "c-1", f"{table}.{column}"


def test_masked_text_keeps_its_form_and_ordinary_text_stays(planted: Warehouse) -> None:
    rows = planted.rows("fct_conversations", ["conversation_id", "entry_point", "campaign"])
    by_id = {row["conversation_id"]: row for row in rows}
    assert by_id["cv-1"]["campaign"] == "120212345678901234"
    assert {row["entry_point"] for row in rows} == {"/page?mail=***@***"}
    (hashed,) = by_id.keys() - {"cv-1"}
    assert re.fullmatch("[0-9a-f]{64}", hashed)
    assert {row["conversation_id"] for row in planted.rows("fct_messages")} == {hashed}


def test_masks_in_sql_are_those_in_python(planted: Warehouse) -> None:
    texts = [*PLANTED, *ORDINARY, " / ".join(PLANTED), f"{CARD} {CARD} {MOBILE} {MOBILE}"]
    row = {"conversation_id": "x", "platform": "p", "channel": "web", "opened_at": AS_OF}
    rows = [row | {"conversation_id": f"x{n}", "campaign": text} for n, text in enumerate(texts)]
    warehouse = build_anew(
        write_landing(scratch_directory("masks"), {"conversations": rows}), datetime(2026, 4, 2)
    )
    campaigns = {r["conversation_id"]: r["campaign"] for r in warehouse.rows("fct_conversations")}
    assert campaigns == {f"x{n}": personal_data.mask(text) for n, text in enumerate(texts)}


def test_messages_of_one_instant_are_in_the_order_of_the_ids_they_landed_with() -> None:
    """A hash stands for each of these ids, and the salt must not decide what is a question."""
    at = datetime(2026, 3, 1, 9)
    row = {"platform": "mail", "channel": "email", "opened_at": at, "bot_id": "b"}
    messages = [
        {
            "message_id": f"<{number}.{sender}@mail.example.com>",
            "conversation_id": f"c{number}",
            "sent_at": at,
            "sender_type": "contact" if sender == "a" else "bot",
            "kind": "answer" if sender == "b" else None,
        }
        for number in range(8)
        for sender in "ba"
    ]
    landing = write_landing(
        scratch_directory("mail"),
        {
            "conversations": [row | {"conversation_id": f"c{number}"} for number in range(8)],
            "messages": messages,
        },
    )
    warehouse = build_anew(landing, AS_OF)
    assert [r["answer_count"] for r in warehouse.rows("fct_episodes")] == [1] * 8


def compiled_check(warehouse: Warehouse) -> str:
    """The SQL of the data test, compiled for a warehouse."""
    import os
    import subprocess
    import sys

    from harness import environment

    target = scratch_directory("compiled")
    subprocess.run(
        [
            *(sys.executable, "-m", "dbt.cli.main", "--quiet", "--log-level-file", "none"),
            *("compile", "--target-path", str(target)),
            *("--select", "no_personal_data_is_published", "--log-path", str(target)),
        ],
        cwd=ROOT,
        check=True,
        env=environment(PARLEY_WAREHOUSE=str(warehouse.path), PATH=os.environ["PATH"]),
        capture_output=True,
    )
    path = target / "compiled/parley/tests/data/no_personal_data_is_published.sql"
    return path.read_text(encoding="utf-8")


def test_data_test_finds_each_kind_in_each_mart(planted: Warehouse, tmp_path: Path) -> None:
    check = compiled_check(planted)
    path = tmp_path / planted.path.name
    path.write_bytes(planted.path.read_bytes())
    with duckdb.connect(str(path)) as con:
        assert con.execute(check).fetchall() == []
        con.execute("update marts.fct_conversations set campaign = $1", [f"x {EMAIL}"])
        con.execute("update marts.fct_messages set message_id = $1", [f"m:{PHONE}"])
        con.execute("update marts.fct_events set reason = $1", [f"{MOBILE} {CARD}"])
        con.execute("update marts.fct_tickets set ticket_topic = $1", [ID_CARD])
        con.execute("update marts.fct_feedback set category = $1", [CARD])
        found = {row[:3] for row in con.execute(check).fetchall()}
    assert found == {
        ("fct_conversations", "campaign", "email"),
        ("fct_messages", "message_id", "phone_international"),
        ("fct_events", "reason", "mobile_cn"),
        ("fct_tickets", "ticket_topic", "id_card_cn"),
        ("fct_feedback", "category", "payment_card"),
    }


@pytest.mark.parametrize(
    "statement",
    [
        f"select cast('{EMAIL}' as int)",
        f"select cast('it''s {EMAIL}\nor {EMAIL}' as timestamp)",
        f"create table k (i text primary key); insert into k values ('{EMAIL}'), ('{EMAIL}')",
        f"select json_extract('{{{EMAIL}', '$.a')",
        "select cast(13812345678 as int)",
    ],
)
def test_errors_of_the_engine_name_no_value(statement: str) -> None:
    with duckdb.connect() as con, pytest.raises(duckdb.Error) as failure:
        con.execute(statement).fetchall()
    quiet = without_values(failure.value)
    assert EMAIL not in quiet
    assert MOBILE not in quiet
    assert quiet.split(":")[0].endswith("Error")


def test_errors_about_sql_keep_their_words() -> None:
    with duckdb.connect() as con, pytest.raises(duckdb.Error) as failure:
        con.execute("select missing_column from (select 1 as present)")
    assert "missing_column" in without_values(failure.value)


def test_dbt_writes_down_no_value_of_a_row(planted: Warehouse, tmp_path: Path) -> None:
    """A statement that fails on a value, in a project of this one's profile."""
    import subprocess
    import sys

    from harness import environment

    path = tmp_path / planted.path.name
    path.write_bytes(planted.path.read_bytes())
    done = subprocess.run(
        [
            *(sys.executable, "-m", "dbt.cli.main", "--log-level", "debug", "show"),
            *("--inline", "select cast(email as int) as broken from conformed.contacts"),
            *("--target-path", str(tmp_path / "target"), "--log-path", str(tmp_path / "logs")),
        ],
        cwd=ROOT,
        env=environment(PARLEY_WAREHOUSE=str(path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    written = done.stdout + done.stderr
    for file in [*(tmp_path / "target").rglob("*"), *(tmp_path / "logs").rglob("*")]:
        written += file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    assert "Conversion Error" in written
    assert EMAIL not in written
