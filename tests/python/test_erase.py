"""Erasure: nothing of a person is left, nothing else changes, and nobody comes back."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

import erase as erasing
from build import Settings
from contract import read_contract
from erase import EraseError, erase
from erasures import JOURNAL, pending_file
from harness import ROOT, SALT, Warehouse, build_anew, is_same, write_landing, write_table
from load import load_landing, opened_warehouse, rewrite_mark
from persons import PersonError
from prune import main as prune_main
from publish import publish, releases_in
from subject_access import main as access_main
from subject_access import subject_access

AS_OF = datetime(2026, 4, 1)
START = datetime(2026, 2, 2, 9)
EMAIL = "erin.erased@example.com"
PHONE = "+49 30 7765 4321"
NAME = "Erin Zzyzx Erased"
IDENTIFIERS = (
    EMAIL,
    "Erin.Erased@Example.com",
    PHONE,
    PHONE.replace(" ", ""),
    "030 77654321",
    NAME,
    "crm-erin-1",
    "crm-erin-2",
    "device-erin",
)


def landing_tables() -> dict[str, list[dict[str, Any]]]:
    """Twelve people with two conversations each; one of them is Erin, under two contact ids."""
    tables: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("conversations", "messages", "feedback", "answers", "events")
    }
    tables |= {name: [] for name in ("contacts", "leads", "deals", "tickets", "meetings")}
    for number in range(24):
        who = number % 12
        is_erin = who == 3
        at = START + timedelta(days=number, hours=who)
        conversation = f"wa:{PHONE.replace(' ', '')}:{number}" if is_erin else f"cv-{number:02}"
        contact = f"crm-{who:02}" if who % 3 else None
        if is_erin:
            contact = "crm-erin-1" if number < 12 else "crm-erin-2"
        tables["conversations"].append(
            {
                "conversation_id": conversation,
                "platform": "desk",
                "channel": "web",
                "opened_at": at,
                "bot_id": "bot",
                "contact_id": contact,
                "visitor_id": "device-erin" if is_erin else f"device-{who:02}",
                "entry_point": f"/hello?{EMAIL}" if is_erin else "/",
            }
        )
        for step, sender in enumerate(["contact", "bot", "contact", "bot"]):
            tables["messages"].append(
                {
                    "message_id": f"{conversation}/{step}",
                    "conversation_id": conversation,
                    "sent_at": at + timedelta(minutes=step),
                    "sender_type": sender,
                    "sender_id": {"bot": "bot"}.get(sender, contact),
                    "text": f"I am {NAME}, {EMAIL}, 030 77654321" if is_erin else "hello",
                    "kind": "answer" if sender == "bot" else None,
                    "intent": "ask" if sender == "contact" else None,
                }
            )
        tables["feedback"].append(
            {
                "feedback_id": f"f-{number:02}",
                "conversation_id": conversation,
                "message_id": f"{conversation}/3",
                "submitted_at": at + timedelta(minutes=9),
                "kind": "csat",
                "score": 1 + number % 5,
                "scale_max": 5,
                "comment": f"from {NAME}" if is_erin else "fine",
            }
        )
        tables["answers"].append(
            {
                "answer_id": f"a-{number:02}",
                "conversation_id": conversation,
                "flow_id": "newsletter",
                "field": "email",
                "asked_at": at + timedelta(minutes=2),
                "answered_at": at + timedelta(minutes=3),
                "value": EMAIL.title() if is_erin else f"p{who}@example.org",
                "is_valid": True,
            }
        )
        tables["tickets"].append(
            {
                "ticket_id": f"t-{number:02}",
                "contact_id": contact,
                "conversation_id": conversation,
                "topic": "orders",
                "url": f"https://desk.example.com/{contact}",
                "created_at": at + timedelta(hours=1),
            }
        )
        if contact:
            tables["deals"].append(
                {
                    "deal_id": f"d-{number:02}",
                    "contact_id": contact,
                    "created_at": at + timedelta(days=1),
                    "closed_at": at + timedelta(days=2),
                    "is_won": True,
                    "amount": 10 + number,
                    "currency": "USD",
                }
            )
    tables["messages"][0]["text"] = f"please also tell {EMAIL}"
    people = sorted({row["contact_id"] for row in tables["deals"]})
    for contact in people:
        is_erin = contact.startswith("crm-erin")
        tables["contacts"].append(
            {
                "contact_id": contact,
                "created_at": START - timedelta(days=3),
                "name": NAME if is_erin else f"Somebody {contact}",
                "email": EMAIL if is_erin else f"{contact}@example.org",
                "phone": PHONE if is_erin else "",
                "merged_into": "crm-erin-1" if contact == "crm-erin-2" else None,
            }
        )
    return tables


def settings_in(directory: Path, landing: Path) -> Settings:
    return Settings(str(landing), directory / "warehouse.duckdb", directory / "published", 3)


def make(settings: Settings) -> None:
    """A full build with the harness, published as the only release."""
    assert settings.landing
    build_anew(Path(settings.landing), AS_OF, directory=settings.warehouse.parent)
    publish(settings.warehouse, settings.published, keep=1)


def make_nothing(_: Settings) -> None:
    """For tests of raw rows."""


@pytest.fixture(autouse=True)
def _places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PARLEY_SALT", SALT)
    monkeypatch.setenv("PARLEY_SPILL", str(tmp_path / "spill"))
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "target"))
    monkeypatch.setenv("DBT_LOG_PATH", str(tmp_path / "logs"))


def load(settings: Settings) -> None:
    assert settings.landing
    settings.warehouse.parent.mkdir(parents=True, exist_ok=True)
    with opened_warehouse(settings.warehouse) as con:
        load_landing(con, Path(settings.landing), progress=False, now=None)


@pytest.fixture
def loaded(tmp_path: Path) -> Settings:
    settings = settings_in(tmp_path / "w", write_landing(tmp_path / "landing", landing_tables()))
    load(settings)
    return settings


def scan(directory: Path) -> list[str]:
    """Erin's identifiers in all files below a directory, in decoded rows and in bytes."""
    found = []
    for path in sorted(directory.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        content = path.read_bytes().lower()
        texts = {word for word in IDENTIFIERS if word.lower().encode() in content}
        texts |= {word for word in IDENTIFIERS if word.lower().encode("utf-16-le") in content}
        for row in decoded(path):
            texts |= {word for word in IDENTIFIERS if word.lower() in row}
        found += [f"{path.name}: {word}" for word in sorted(texts)]
    return found


def decoded(path: Path) -> Iterator[str]:
    """The rows of a database or Parquet file, as text in lower case."""
    if path.suffix == ".parquet":
        with duckdb.connect() as con:
            yield from (repr(row).lower() for row in con.read_parquet(str(path)).fetchall())
    if path.suffix == ".duckdb":
        with duckdb.connect(str(path), read_only=True) as con:
            for schema, table in con.execute(
                "select schema_name, table_name from duckdb_tables() where not internal"
            ).fetchall():
                for row in con.execute(f'from "{schema}"."{table}"').fetchall():
                    yield repr(row).lower()


def counts(settings: Settings) -> dict[str, int]:
    with duckdb.connect(str(settings.warehouse), read_only=True) as con:
        return {
            table.raw_name: con.execute(f"select count(*) from raw.{table.raw_name}").fetchone()[0]  # type: ignore[index]
            for table in read_contract().values()
        }


def test_nothing_is_left_and_no_kpi_changes(tmp_path: Path) -> None:
    directory = tmp_path / "w"
    settings = settings_in(directory, write_landing(tmp_path / "landing", landing_tables()))
    directory.mkdir()
    make(settings)
    publish(settings.warehouse, settings.published)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "dbt.log").write_text(f"select '{EMAIL}'")
    assert scan(directory), "the scan finds what is there"
    before = Warehouse(settings.warehouse).kpis()

    certificate = erase(settings, "crm-erin-2", make=make)

    assert certificate is not None
    assert certificate.contacts == 2
    assert certificate.rows["messages"] == 8
    assert not any(word.lower() in certificate.text().lower() for word in IDENTIFIERS)
    assert "contacts/contacts.csv" in certificate.landed
    assert len(releases_in(settings.published)) == 1
    assert scan(directory) == []
    assert scan(tmp_path / "logs") == []
    after = Warehouse(settings.warehouse).kpis()
    assert before.keys() == after.keys()
    for key, row in before.items():
        assert all(is_same(row[name], after[key][name]) for name in row), key
    assert erase(settings, "crm-erin-2", make=make) is None
    assert erase(settings, EMAIL, make=make) is None
    journal = directory / JOURNAL
    assert journal.stat().st_mode & 0o777 == 0o600
    assert not pending_file(settings.warehouse).exists()


@pytest.mark.parametrize("wanted", [EMAIL.upper(), PHONE, "030 77654321", "device-erin"])
def test_the_person_is_found_by_whatever_name(loaded: Settings, wanted: str) -> None:
    before = counts(loaded)
    certificate = erase(loaded, wanted, make=make_nothing)
    assert certificate is not None
    assert certificate.contacts == 2
    assert scan(loaded.warehouse.parent) == []
    assert counts(loaded) == before


def test_nobody_else_is_touched(loaded: Settings) -> None:
    def others() -> list[tuple[Any, ...]]:
        with duckdb.connect(str(loaded.warehouse), read_only=True) as con:
            return con.execute(
                "select _row_id, contact_id, name, email, phone, null from raw.contacts "
                "where contact_id not like 'crm-erin%' and contact_id not like 'erased%' union all "
                "select _row_id, message_id, conversation_id, text, sender_id, null "
                "from raw.messages where conversation_id like 'cv-%' and _row_number > 1 "
                "order by all"
            ).fetchall()

    before = others()
    assert erase(loaded, EMAIL, make=make_nothing) is not None
    assert others() == before


@pytest.mark.parametrize("is_late", [False, True])
def test_rows_without_an_id_are_known_by_their_address(tmp_path: Path, is_late: bool) -> None:
    landing = write_landing(tmp_path / "landing", landing_tables())
    settings = settings_in(tmp_path / "w", landing)
    rows = [
        {"contact_id": None, "created_at": START, "name": NAME, "email": f" {EMAIL.upper()}"},
        {"contact_id": None, "created_at": START, "name": NAME, "phone": "0049 (30) 7765-4321"},
        {"contact_id": None, "created_at": START, "name": "Olga Other", "email": "o@example.org"},
    ]
    if is_late:
        load(settings)
    else:
        write_table(landing, "contacts", rows, name="without")
        load(settings)
    assert erase(settings, "crm-erin-1", make=make_nothing) is not None
    if is_late:
        write_table(landing, "contacts", rows, name="without")
        load(settings)
    with duckdb.connect(str(settings.warehouse), read_only=True) as con:
        names = con.execute(
            "select name from raw.contacts where contact_id is null order by _row_number"
        ).fetchall()
    assert names == [("[erased]",), ("[erased]",), ("Olga Other",)]


def test_exported_again_the_person_stays_erased(loaded: Settings, tmp_path: Path) -> None:
    landing = Path(str(loaded.landing))
    assert erase(loaded, "crm-erin-1", make=make_nothing) is not None
    load(loaded)
    assert scan(loaded.warehouse.parent) == []
    tables = landing_tables()
    for table, rows in tables.items():
        if rows:
            write_table(landing, table, [*rows, rows[-1]], name=f"{table}_again")
    new = {"created_at": START, "name": NAME, "email": EMAIL.upper(), "phone": ""}
    write_table(landing, "contacts", [new | {"contact_id": "crm-erin-3"}], name="new")
    new_conversation = tables["conversations"][3] | {
        "conversation_id": "cv-new",
        "contact_id": "crm-erin-3",
    }
    write_table(landing, "conversations", [new_conversation], name="new")
    message = tables["messages"][0] | {"message_id": "m-new", "conversation_id": "cv-new"}
    write_table(landing, "messages", [message | {"text": NAME}], name="new")
    load(loaded)
    with duckdb.connect(str(loaded.warehouse), read_only=True) as con:
        texts = con.execute("select text from raw.messages where message_id = 'm-new'").fetchall()
        contacts = con.execute(
            "select count(distinct contact_id) from raw.contacts where contact_id like 'erased%'"
        ).fetchone()
        assert (
            con.execute("select 1 from raw.contacts where contact_id = 'crm-erin-3'").fetchall()
            == []
        )
    assert texts == [("[erased]",)]
    assert contacts == (3,)
    from compact import compact_if_asked

    compact_if_asked(loaded.warehouse)
    assert scan(loaded.warehouse.parent) == []


def test_rows_loaded_earlier_that_had_to_change_are_noted(loaded: Settings) -> None:
    """A contact merged into one who lands later, under an erased address."""
    landing = Path(str(loaded.landing))
    assert erase(loaded, "crm-erin-1", make=make_nothing) is not None
    contact = {"contact_id": "crm-late", "created_at": START, "merged_into": "crm-unseen"}
    write_table(landing, "contacts", [contact], name="late")
    load(loaded)
    assert not rewrite_mark(loaded.warehouse).exists()
    contact = {"contact_id": "crm-unseen", "created_at": START, "email": EMAIL}
    write_table(landing, "contacts", [contact], name="unseen")
    load(loaded)
    with duckdb.connect(str(loaded.warehouse), read_only=True) as con:
        found = dict(
            con.execute(
                "select _file, coalesce(merged_into, contact_id) from raw.contacts "
                "where _file in ('contacts/late.csv', 'contacts/unseen.csv')"
            ).fetchall()
        )
    assert found["contacts/late.csv"] == found["contacts/unseen.csv"] != "crm-unseen"
    assert rewrite_mark(loaded.warehouse).exists()


def test_a_fresh_warehouse_beside_the_journal_knows_too(loaded: Settings) -> None:
    assert erase(loaded, "crm-erin-1", make=make_nothing) is not None
    before = counts(loaded)
    loaded.warehouse.unlink()
    load(loaded)
    assert scan(loaded.warehouse.parent) == []
    assert counts(loaded) == before


@pytest.mark.parametrize("point", ["note", "rewrite_raw", "clean_files", "compact", "verify"])
@pytest.mark.parametrize("is_after", [False, True])
def test_killed_half_way_the_next_run_finishes(
    loaded: Settings, point: str, is_after: bool
) -> None:
    child = os.fork()
    if child == 0:
        step: Callable[..., Any] = getattr(erasing, point)

        def killed(*arguments: Any) -> None:
            if is_after:
                step(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(erasing, point, killed)
        erase(loaded, "crm-erin-1", make=make_nothing)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    certificate = erase(loaded, "crm-erin-1", make=make_nothing)
    assert certificate is not None
    assert certificate.contacts == 2
    assert scan(loaded.warehouse.parent) == []


def test_a_trace_left_is_told_and_nothing_certified(loaded: Settings) -> None:
    (loaded.warehouse.parent / "notes.txt").write_text(f"remember {EMAIL}")
    with pytest.raises(EraseError, match=r"notes\.txt") as refusal:
        erase(loaded, "crm-erin-1", make=make_nothing)
    assert EMAIL not in str(refusal.value)
    (loaded.warehouse.parent / "notes.txt").unlink()
    assert erase(loaded, "crm-erin-1", make=make_nothing) is not None


def test_a_damaged_warehouse_set_aside_must_go_first(loaded: Settings) -> None:
    before = counts(loaded)
    aside = loaded.warehouse.with_name(f"{loaded.warehouse.name}.damaged-20260101T000000Z")
    aside.write_bytes(b"nobody can tell who is in here")
    with pytest.raises(EraseError, match=r"damaged-2026\S+ is a damaged warehouse .* Remove it"):
        erase(loaded, EMAIL, make=make_nothing)
    assert scan(loaded.warehouse.parent), "nothing was done"
    aside.rename(aside.with_name("others.duckdb.damaged-20260101T000000Z"))
    certificate = erase(loaded, EMAIL, make=make_nothing)
    assert certificate is not None
    assert certificate.kept_elsewhere == ["others.duckdb.damaged-20260101T000000Z"]
    assert counts(loaded) == before


Command = Callable[[Sequence[str]], int]
COMMANDS: list[tuple[Command, list[str]]] = [
    (erasing.main, [EMAIL]),
    (access_main, [EMAIL, "--out", "out"]),
    (prune_main, ["--before", "2030-01-01"]),
]


@pytest.fixture
def settings_of_a_command(loaded: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The loaded warehouse is what commands in this process work on."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["command"])
    monkeypatch.setenv("PARLEY_LANDING", str(loaded.landing))
    monkeypatch.setenv("PARLEY_WAREHOUSE", str(loaded.warehouse))
    monkeypatch.setenv("PARLEY_PUBLISHED", str(loaded.published))
    return loaded


@pytest.mark.parametrize(("command", "arguments"), COMMANDS)
def test_a_wrong_warehouse_does_not_look_like_an_empty_one(
    settings_of_a_command: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: Command,
    arguments: list[str],
) -> None:
    absent = settings_of_a_command.warehouse.parent / "misspelt" / "w.duckdb"
    monkeypatch.setenv("PARLEY_WAREHOUSE", str(absent))
    assert command(arguments) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(f"There is no warehouse {absent}; name the one")
    assert printed.out == ""
    assert not absent.parent.exists()


@pytest.mark.parametrize(("command", "arguments"), [COMMANDS[0], COMMANDS[2]])
def test_a_build_that_refuses_is_one_sentence_and_the_next_run_finishes(
    settings_of_a_command: Settings,
    capsys: pytest.CaptureFixture[str],
    command: Command,
    arguments: list[str],
) -> None:
    (settings_of_a_command.published / "current").mkdir(parents=True)
    assert command(arguments) == 1
    printed = capsys.readouterr()
    assert printed.err.endswith("is not a link; move it away, it is kept by the build.\n")
    assert len(printed.err.splitlines()) == 1
    if command is erasing.main:
        assert pending_file(settings_of_a_command.warehouse).exists()
        assert erase(settings_of_a_command, EMAIL, make=make_nothing) is not None


@pytest.mark.parametrize(("command", "arguments"), [COMMANDS[0], COMMANDS[2]])
def test_a_command_that_is_interrupted_says_so(
    settings_of_a_command: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: Command,
    arguments: list[str],
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"{command.__module__}.compact", interrupted)
    assert command(arguments) == 130
    assert capsys.readouterr().err.startswith("Interrupted; ")


def test_a_device_several_contacts_used_names_nobody(tmp_path: Path) -> None:
    tables = landing_tables()
    tables["conversations"][4]["visitor_id"] = "device-erin"
    settings = settings_in(tmp_path / "w", write_landing(tmp_path / "landing", tables))
    load(settings)
    with pytest.raises(PersonError):
        erase(settings, "device-erin", make=make_nothing)
    assert erase(settings, "crm-erin-1", make=make_nothing) is not None
    assert scan(settings.warehouse.parent) == []


def test_subject_access_writes_all_of_one_and_nothing_of_others(
    loaded: Settings, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    summary = subject_access(loaded, PHONE, out)
    assert summary is not None
    assert out.stat().st_mode & 0o777 == 0o700
    assert summary["rows"] == {
        "landed_conversations.csv": 2,
        "landed_messages.csv": 8,
        "landed_feedback.csv": 2,
        "landed_answers.csv": 2,
        "landed_contacts.csv": 2,
        "landed_deals.csv": 2,
        "landed_tickets.csv": 2,
    }
    written = "".join(path.read_text() for path in out.iterdir())
    assert EMAIL in written
    assert "Somebody" not in written
    assert "cv-0" not in written
    assert subject_access(loaded, "nobody@example.org", tmp_path / "none") is None
    assert not (tmp_path / "none").exists()


def test_what_is_handed_out_holds_no_formula(tmp_path: Path) -> None:
    tables = landing_tables()
    theirs = [row for row in tables["messages"] if row["conversation_id"].startswith("wa:")]
    texts = ["=cmd|' /C calc'!A0", "@SUM(1)", "\t=1", "-5", "-", "plain = text", "+1e3", ""]
    for row, text in zip(theirs, texts, strict=True):
        row["text"] = text
    settings = settings_in(tmp_path / "w", write_landing(tmp_path / "landing", tables))
    load(settings)
    assert subject_access(settings, EMAIL, tmp_path / "out") is not None
    with (tmp_path / "out" / "landed_messages.csv").open(newline="") as stream:
        written = [row["text"] for row in csv.DictReader(stream)]
    assert written == [
        *("'=cmd|' /C calc'!A0", "'@SUM(1)", "'\t=1", "-5", "'-", "plain = text", "+1e3", "")
    ]


def test_a_copy_that_fails_leaves_nothing_behind(
    loaded: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("subject_access._published", full)
    (tmp_path / "copies").mkdir()
    with pytest.raises(OSError, match="No space"):
        subject_access(loaded, EMAIL, tmp_path / "copies" / "out")
    assert list((tmp_path / "copies").iterdir()) == []
    monkeypatch.undo()
    monkeypatch.setenv("PARLEY_SALT", SALT)
    assert subject_access(loaded, EMAIL, tmp_path / "copies" / "out") is not None
    assert [path.name for path in (tmp_path / "copies").iterdir()] == ["out"]


def test_a_rasa_sender_is_erased_with_the_events(tmp_path: Path) -> None:
    sender = "whatsapp:+493077654321"
    events = [
        {
            "id": number,
            "sender_id": sender,
            "type_name": "user",
            "timestamp": START.timestamp() + number,
            "intent_name": "ask",
            "action_name": None,
            "data": '{"event": "user", "text": "I am Erin Zzyzx Erased", '
            '"parse_data": {"intent": {"name": "ask", "confidence": 0.9}}}',
        }
        for number in range(1, 4)
    ]
    settings = settings_in(tmp_path / "w", tmp_path / "landing")
    write_table(tmp_path / "landing" / "rasa", "events", events)
    load(settings)
    certificate = erase(settings, PHONE, make=make_nothing)
    assert certificate is not None
    assert certificate.rows == {"rasa__events": 3}
    assert scan(settings.warehouse.parent) == []
    with duckdb.connect(str(settings.warehouse), read_only=True) as con:
        kept = con.execute(
            "select distinct sender_id like 'whatsapp:erased-%', "
            "json_extract_string(data, '$.parse_data.intent.name') from raw.rasa__events"
        ).fetchall()
    assert kept == [(True, "ask")]
    shutil.rmtree(tmp_path / "landing")
