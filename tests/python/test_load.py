"""The loader keeps the landing contract: what it accepts, how it reads it, what it refuses.

All names and addresses are invented.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import hmac
import json
import os
import re
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import landing_plugin
import load
from contract import ContractError, read_contract
from landing import LandingError, Source
from load import LoadReport, load_landing, load_source
from postgres_server import running_postgres

if TYPE_CHECKING:
    from dbt.adapters.duckdb.environments.local import LocalEnvironment

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
MESSAGES = ("message_id", "conversation_id", "sent_at", "sender_type")
HEADER = "message_id,conversation_id,sent_at,sender_type,text\n"
ROW = "m1,c1,2026-03-01T09:30:00Z,contact,hello\n"
SECRET = "Wilma Wunder"  # stands in a value; must never appear in an error


class Landing:
    """A landing directory and an in-memory warehouse to load it into."""

    def __init__(self, path: Path) -> None:
        self.path = path / "landing"
        self.path.mkdir()
        self.con = duckdb.connect()

    def put(self, name: str, content: str | bytes) -> Path:
        """Write a file of the landing."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        return path

    def parquet(self, name: str, select: str) -> Path:
        """Write a Parquet file with the rows of a query."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        duckdb.execute(f"copy ({select}) to '{path}' (format parquet)")
        return path

    def load(self) -> LoadReport:
        """Load it all."""
        return load_landing(self.con, self.path, progress=False, now=NOW)

    def refusal(self) -> str:
        """Load it all, which must be refused; the sentence."""
        with pytest.raises(LandingError) as caught:
            self.load()
        text = str(caught.value)
        assert SECRET not in text
        assert "\n" not in text
        assert text.endswith((".", "?"))
        return text

    def rows(self, columns: str = "*", table: str = "messages") -> list[tuple[Any, ...]]:
        """Rows of a raw table, in the order they were loaded."""
        return self.con.execute(f"select {columns} from raw.{table} order by _row_id").fetchall()

    def value(self, column: str, table: str = "messages") -> Any:
        """The one value of a raw table with one row."""
        ((value,),) = self.rows(column, table)
        return value


@pytest.fixture
def landing(tmp_path: Path) -> Iterator[Landing]:
    made = Landing(tmp_path)
    yield made
    made.con.close()


# --------------------------------------------------------------------------- raw tables


def test_every_table_of_the_contract_exists_with_its_columns_in_order(landing: Landing) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    landing.load()
    for table in read_contract().values():
        columns = landing.con.execute(
            "select column_name, data_type from duckdb_columns() where schema_name = 'raw' "
            "and table_name = ? order by column_index",
            [table.raw_name],
        ).fetchall()
        assert columns == [
            *((column.name, "VARCHAR") for column in table.columns),
            ("_extra", "VARCHAR"),
            ("_time_zone", "VARCHAR"),
            ("_file", "VARCHAR"),
            ("_row_number", "BIGINT"),
            ("_load_id", "BIGINT"),
            ("_loaded_at", "TIMESTAMP"),
            ("_row_id", "BIGINT"),
        ]


def test_contract_has_the_tables_and_required_columns_of_the_specification() -> None:
    tables = read_contract()
    assert tables["messages"].required == MESSAGES
    assert tables["conversations"].required == (
        *("conversation_id", "platform", "channel", "opened_at"),
    )
    assert tables["holidays"].required == ("schedule_id", "holiday")
    assert not any(name.startswith("_") for name in tables["messages"].required)
    assert "conversation_key" not in [column.name for column in tables["messages"].columns]


def test_platform_sources_are_part_of_the_contract(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "models" / "conformed", tmp_path / "models" / "conformed")
    assert all(table.platform is None for table in read_contract(tmp_path).values())
    folder = tmp_path / "models" / "staging" / "acme"
    folder.mkdir(parents=True)
    (folder / "_acme__sources.yml").write_text(
        "sources: [{name: acme, tables: [{name: notes, columns: [{name: id, config: {meta: "
        "{role: required}}}, {name: body}]}]}, {name: other, tables: [{name: x}]}]"
    )
    table = read_contract(tmp_path)["acme/notes"]
    assert (table.raw_name, table.required, table.side) == ("acme__notes", ("id",), "platform")
    assert [column.name for column in table.columns] == ["id", "body"]


def test_a_contract_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"cannot be read: FileNotFoundError\.$"):
        read_contract(tmp_path)


def test_a_column_the_contract_gained_is_added_to_an_older_warehouse(landing: Landing) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    landing.load()
    landing.con.execute("alter table raw.messages drop column sentiment")
    landing.put(
        "messages/b.csv",
        "message_id,conversation_id,sent_at,sender_type,sentiment\n2,c,t,bot,0.5\n",
    )
    landing.load()
    assert landing.rows("sentiment") == [(None,), ("0.5",)]


# --------------------------------------------------------------------------- origin and order


def test_rows_keep_their_origin(landing: Landing) -> None:
    landing.put("messages/a.csv", HEADER + ROW + ROW.replace("m1", "m2"))
    report = landing.load()
    assert landing.rows("message_id, _file, _row_number, _load_id, _loaded_at, _time_zone") == [
        ("m1", "messages/a.csv", 1, 1, NOW.replace(tzinfo=None), None),
        ("m2", "messages/a.csv", 2, 1, NOW.replace(tzinfo=None), None),
    ]
    assert (report.load_id, report.rows, report.files) == (1, 2, 1)


def test_row_ids_rise_by_load_then_file_name_then_row_over_all_tables(landing: Landing) -> None:
    landing.put("messages/b.csv", HEADER + ROW + ROW)
    landing.put("messages/a.csv", HEADER + ROW.replace("m1", "first"))
    landing.put("events/z.csv", "event_id,conversation_id,occurred_at,event_type\ne,c,t,opened\n")
    landing.load()
    landing.put("messages/0.csv", HEADER + ROW.replace("m1", "later"))
    landing.load()
    found = landing.con.execute(
        "select _row_id, _load_id, _file from raw.messages union all "
        "select _row_id, _load_id, _file from raw.events order by all"
    ).fetchall()
    assert found == [
        (1, 1, "messages/a.csv"),
        (2, 1, "messages/b.csv"),
        (3, 1, "messages/b.csv"),
        (4, 1, "events/z.csv"),
        (5, 2, "messages/0.csv"),
    ]


def test_row_numbers_follow_the_file_in_every_format(landing: Landing) -> None:
    count = 300_000
    rows = (
        "select 'm' || i as message_id, 'c' as conversation_id, 't' as sent_at, "
        f"'bot' as sender_type from range({count}) t(i)"
    )
    (landing.path / "messages").mkdir()
    for suffix, kind in {"csv": "csv", "jsonl": "json", "parquet": "parquet"}.items():
        duckdb.execute(f"copy ({rows}) to '{landing.path}/messages/m.{suffix}' (format {kind})")
    landing.load()
    found = landing.con.execute(
        "select _file, count(*), bool_and(message_id = 'm' || (_row_number - 1)), "
        "max(_row_id - _row_number) - min(_row_id - _row_number) from raw.messages group by 1"
    ).fetchall()
    assert sorted(found) == [
        (f"messages/m.{suffix}", count, True, 0) for suffix in ("csv", "jsonl", "parquet")
    ]
    assert landing.con.execute("select count(distinct _row_id) from raw.messages").fetchone() == (
        3 * count,
    )


def test_each_file_has_a_line_in_loads(landing: Landing) -> None:
    path = landing.put("messages/a.csv", "message_id,conversation_id,sent_at,sender_type,mood\n")
    landing.put("conversations/c.csv", "conversation_id,platform,channel,opened_at\nc,p,web,t\n")
    landing.load()
    (line,) = landing.con.execute(
        "select load_id, table_name, file, landing, sha256, bytes, row_count, first_row_id, "
        "loaded_at, encoding, delimiter, 'text' in missing_columns, unknown_columns, removed_at "
        "from raw._loads where table_name = 'messages'"
    ).fetchall()
    assert line == (
        *(1, "messages", "messages/a.csv", str(landing.path.resolve())),
        *(hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size, 0, 2),
        *(NOW.replace(tzinfo=None), "utf-8", ",", True, ["mood"], None),
    )


def test_now_may_be_in_any_zone_but_is_stored_in_utc(landing: Landing) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    now = NOW.astimezone(timezone(timedelta(hours=8)))
    load_landing(landing.con, landing.path, progress=False, now=now)
    assert landing.value("_loaded_at") == NOW.replace(tzinfo=None)


# --------------------------------------------------------------------------- idempotence


def test_loading_twice_adds_nothing(landing: Landing) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    landing.load()
    report = landing.load()
    assert (report.rows, report.files, report.skipped, report.load_id) == (0, 0, 1, None)
    assert len(landing.rows()) == 1


def test_the_same_content_under_another_name_adds_nothing(landing: Landing) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    landing.put("messages/b.csv", HEADER + ROW)
    landing.load()
    (landing.path / "messages" / "a.csv").rename(landing.path / "messages" / "c.csv")
    landing.load()
    assert [row[0] for row in landing.rows("_file")] == ["messages/a.csv"]


def test_the_same_content_in_another_table_is_loaded(landing: Landing) -> None:
    landing.put("messages/m.csv", HEADER + ROW)
    text = '{"contact_id": "k", "agent_id": "k", "created_at": "t"}\n'
    landing.put("contacts/a.jsonl", text)
    landing.put("agents/a.jsonl", text)
    landing.load()
    assert len(landing.rows(table="contacts")) == len(landing.rows(table="agents")) == 1


def test_new_content_under_the_same_name_is_appended(landing: Landing) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    landing.load()
    landing.put("messages/a.csv", HEADER + ROW.replace("hello", "changed"))
    landing.load()
    assert landing.rows("text, _load_id") == [("hello", 1), ("changed", 2)]


def test_an_unchanged_file_is_not_hashed_again(
    landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    monkeypatch.setattr(load, "SETTLED_NS", 0)
    landing.load()
    monkeypatch.setattr(load, "_sha256", lambda _: pytest.fail("hashed again"))
    assert landing.load().skipped == 1


def test_a_file_changed_within_the_clocks_tick_is_noticed(landing: Landing) -> None:
    path = landing.put("messages/a.csv", HEADER + ROW)
    landing.load()
    assert landing.con.execute("select count(*) from raw._files_seen").fetchone() == (0,)
    before = path.stat()
    landing.put("messages/a.csv", HEADER + ROW.replace("hello", "world"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    landing.load()
    assert landing.rows("text") == [("hello",), ("world",)]


def test_settled_files_are_remembered_by_path_size_and_times(
    landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = landing.put("messages/a.csv", HEADER + ROW)
    monkeypatch.setattr(load, "SETTLED_NS", 0)
    landing.load()
    landing.load()
    status = path.stat()
    assert landing.con.execute(
        "select path, table_name, bytes, modified_ns, changed_ns from raw._files_seen"
    ).fetchall() == [
        (str(path), "messages", status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    ]


# --------------------------------------------------------------------------- transactions


def test_a_refused_file_leaves_nothing_and_those_before_it_stay(landing: Landing) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    landing.put("messages/b.csv", HEADER + ROW + "short,row\n")
    landing.put("messages/c.csv", HEADER + ROW.replace("m1", "m3"))
    assert "messages/b.csv" in landing.refusal()
    assert landing.rows("_file") == [("messages/a.csv",)]
    landing.put("messages/b.csv", HEADER + ROW.replace("m1", "m2"))
    landing.load()
    assert landing.rows("message_id, _file") == [
        ("m1", "messages/a.csv"),
        ("m2", "messages/b.csv"),
        ("m3", "messages/c.csv"),
    ]


@pytest.mark.parametrize("together", [True, False])
def test_a_load_that_dies_in_the_middle_of_a_file_leaves_whole_files_only(
    landing: Landing, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    end = "\n" if together else "\r\n"
    landing.put("messages/b.csv", (HEADER + ROW.replace("m1", "m2")).replace("\n", end))
    append = load._Loader.append

    def dying(self: Any, reading: Any, arrivals: Any, *rest: Any) -> Any:
        added = append(self, reading, arrivals, *rest)
        if any(arrival.name.endswith("b.csv") for arrival in arrivals.values()):
            raise KeyboardInterrupt
        return added

    monkeypatch.setattr(load._Loader, "append", dying)
    with pytest.raises(KeyboardInterrupt):
        landing.load()
    monkeypatch.undo()
    kept = 0 if together else 1
    assert landing.rows("message_id") == [("m1",)][:kept]
    assert landing.con.execute("select count(*) from raw._loads").fetchone() == (kept,)
    landing.load()
    assert landing.rows("message_id, _row_id") == [("m1", 1), ("m2", 2)]


def test_a_killed_process_leaves_whole_files_only(landing: Landing, tmp_path: Path) -> None:
    for number in range(60):
        landing.put(f"messages/{number:03}.csv", HEADER + ROW.replace("m1", f"m{number}") * 50)
    warehouse = tmp_path / "w.duckdb"
    command = [sys.executable, str(ROOT / "scripts" / "load.py")]
    command += ["--landing", str(landing.path), "--warehouse", str(warehouse)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not warehouse.with_name("w.duckdb.wal").exists() and process.poll() is None:
        time.sleep(0.005)
    time.sleep(0.1)
    process.kill()
    process.wait()
    with duckdb.connect(str(warehouse)) as con:
        assert con.execute(
            "select count(*) from (select _file from raw.messages group by _file "
            "having count(*) <> 50)"
        ).fetchone() == (0,)
        files = con.execute("select count(distinct _file) from raw.messages").fetchone()
        assert con.execute("select count(*) from raw._loads").fetchone() == files
        load_landing(con, landing.path, progress=False)
        assert con.execute("select count(*), max(_row_id) from raw.messages").fetchone() == (
            *(3000, 3000),
        )


def test_a_file_that_grows_while_it_is_read_is_refused(
    landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = landing.put("messages/a.csv", HEADER + ROW)
    append = load._Loader.append

    def growing(self: Any, *rest: Any) -> int:
        with path.open("a") as stream:
            stream.write(ROW)
        return append(self, *rest)

    monkeypatch.setattr(load._Loader, "append", growing)
    assert landing.refusal().startswith("messages/a.csv changed while it was read")
    assert landing.rows() == []


# --------------------------------------------------------------------------- CSV


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_by_the_columns_it_yields(landing: Landing, delimiter: str) -> None:
    lines = [HEADER.strip(), "m1,c1,t,bot,"]
    text = "\n".join(line.replace(",", delimiter) for line in lines)
    landing.put("messages/a.csv", text + '"a,b;c|d\te"\n')
    landing.load()
    assert landing.value("text") == "a,b;c|d\te"


def test_the_delimiter_is_not_the_one_that_yields_most_columns(landing: Landing) -> None:
    landing.put("messages/a.csv", ",".join(MESSAGES) + ",a;b;c;d;e;f;g\nm1,c1,t,bot,x\n")
    landing.load()
    assert landing.rows("message_id, _extra") == [("m1", '{"a;b;c;d;e;f;g":"x"}')]


def test_a_declared_delimiter_is_used(landing: Landing) -> None:
    landing.put("landing.yml", "tables: {messages: {delimiter: semicolon}}")
    landing.put("messages/a.csv", HEADER.replace(",", ";") + ROW.replace(",", ";"))
    landing.load()
    assert landing.value("sender_type") == "contact"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_quoted_newlines(landing: Landing, end: str) -> None:
    text = f'{HEADER.strip()}{end}m1,c1,t,bot,"one\r\ntwo\nthree ""four"""{end}m2,c1,t,bot,x{end}'
    landing.put("messages/a.csv", text)
    landing.load()
    assert landing.rows("text, _row_number") == [('one\r\ntwo\nthree "four"', 1), ("x", 2)]


def test_columns_in_any_order_case_and_space(landing: Landing) -> None:
    landing.put("messages/a.csv", "Sender_Type , SENT_AT,message_id,Conversation_ID\nbot,t,m,c\n")
    landing.load()
    assert landing.rows("message_id, conversation_id, sent_at, sender_type") == [
        ("m", "c", "t", "bot")
    ]


def test_an_exact_name_wins_over_one_in_another_case(landing: Landing) -> None:
    landing.put("messages/a.csv", "TEXT," + HEADER + "shout,m,c,t,bot,talk\n")
    landing.load()
    assert landing.rows("text, _extra") == [("talk", '{"TEXT":"shout"}')]


def test_missing_optional_columns_are_null_and_unknown_ones_are_kept_aside(
    landing: Landing,
) -> None:
    landing.put(
        "messages/a.csv",
        ',mood "now",message_id,conversation_id,sent_at,sender_type\n'
        '0,"so ""so""",m1,c,t,bot\n,,m2,c,t,bot\n',
    )
    report = landing.load()
    assert landing.rows("text, _extra") == [
        (None, '{"unnamed_1":"0","mood \\"now\\"":"so \\"so\\""}'),
        (None, None),
    ]
    assert json.loads(landing.rows("_extra")[0][0]) == {"unnamed_1": "0", 'mood "now"': 'so "so"'}
    assert report.tables["messages"].unknown_columns == {"unnamed_1", 'mood "now"'}
    assert "text" in report.tables["messages"].missing_columns


def test_empty_strings_are_null_except_in_text(landing: Landing) -> None:
    landing.put("messages/a.csv", HEADER.strip() + ",reason,intent\n" + 'm1,c,t,bot,,,""\n')
    landing.put(
        "messages/b.jsonl", json.dumps({**dict.fromkeys(MESSAGES, "x"), "text": "", "intent": ""})
    )
    landing.parquet(
        "messages/c.parquet",
        "select 'x' message_id, 'x' conversation_id, 'x' sent_at, 'x' sender_type, '' as text, "
        "'' intent",
    )
    landing.load()
    assert landing.rows("text, intent, _extra") == [("", None, None)] * 3


def test_a_null_text_stays_null(landing: Landing) -> None:
    landing.put("messages/b.jsonl", json.dumps({**dict.fromkeys(MESSAGES, "x"), "text": None}))
    landing.parquet(
        "messages/c.parquet",
        "select 'x' message_id, 'x' conversation_id, 'x' sent_at, 'x' sender_type, "
        "null::varchar as text",
    )
    landing.load()
    assert landing.rows("text") == [(None,)] * 2


def test_a_header_without_rows_is_an_empty_table(landing: Landing) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    landing.put("events/e.csv", "event_id,conversation_id,occurred_at,event_type")
    assert landing.load().tables["events"].files == 1
    assert landing.rows(table="events") == []


def test_empty_lines_are_no_rows(landing: Landing) -> None:
    landing.put("messages/a.csv", HEADER + "\n" + ROW + "\n\n" + ROW.replace("m1", "m2") + "\n")
    landing.load()
    assert landing.rows("message_id, _row_number") == [("m1", 1), ("m2", 2)]


def test_spaces_and_control_characters_in_values_are_kept(landing: Landing) -> None:
    landing.put("messages/a.csv", HEADER + "m1,c1,t,bot,  two \x00\x1b\u2028\ufeff \n")
    landing.load()
    assert landing.value("text") == "  two \x00\x1b\u2028\ufeff "


def test_other_characters_than_latin_survive(landing: Landing) -> None:
    text = "你好,世界 👩‍👩‍👧 naïve Ω \U0001f9d1"
    landing.put("messages/a.csv", HEADER + f'm1,c1,t,bot,"{text}"\n')
    landing.put("messages/b.jsonl", json.dumps({**dict.fromkeys(MESSAGES, "x"), "text": text}))
    landing.put(
        "messages/c.ndjson",
        json.dumps({**dict.fromkeys(MESSAGES, "y"), "text": text}, ensure_ascii=False),
    )
    landing.load()
    assert landing.rows("text") == [(text,)] * 3


@pytest.mark.parametrize(
    ("name", "content", "place", "advice"),
    [
        ("short", HEADER + ROW + f"m2,c1,t,{SECRET}\n", "row 2", "4 values where the header"),
        ("long", HEADER + f"m2,c1,t,bot,x,{SECRET}\n", "row 1", "names 5 columns; export"),
        ("after_quoted_newline", HEADER + 'm1,c,t,bot,"a\n\nb"\nm2\n', "row 2", "1 value where"),
        ("open_quote", HEADER + f'm1,c,t,bot,"{SECRET}\n', "row 1", "quoted value is not closed"),
        ("after_quote", HEADER + ROW + f'm1,c,t,"{SECRET}"x,y\n', "row 2", "goes on after its"),
        ("backslash_quote", HEADER + f'm1,c,t,bot,"{SECRET}\\"s"\n', "row 1", "double the quotes"),
        ("mixed_ends", HEADER + f"m1,c,t,bot,{SECRET}\r\n", "messages/", "line ends are mixed"),
        ("no_utf8", f"{HEADER}m1,c,t,bot,{SECRET}ö\n".encode("cp1252"), "row 1", "cp1252"),
        ("no_utf8_later", (HEADER + ROW * 9999).encode() + b"m,c,\xff\n", "row 10000", "gb18030"),
        ("no_utf8_header", HEADER.replace("x", "ä").encode("cp1252"), "header", "not UTF-8"),
        ("surrogate", HEADER.encode() + b"m,c,t,bot,\xed\xa0\x80\n", "row 1", "not UTF-8"),
        ("twice", HEADER.replace("text", "sent_at") + ROW, "sent_at", "is there 2 times"),
        ("twice_by_case", "TEXT,Text," + HEADER[:-6] + "\n" + ROW, "text", "is there 2 times"),
        ("unknown_twice", f"{SECRET},{SECRET},{HEADER}1,2,{ROW}", "two columns", "same name"),
        ("empty", "", "is empty", "header row"),
        ("empty_line", "\n" + HEADER + ROW, "begins with an empty line", "header row"),
        ("no_header", f"m1,c1,{SECRET},bot,x\n", "message_id", "is missing"),
        ("too_long", HEADER + f"m1,c,t,bot,{'x' * 17_000_000}\n", "row 1", "longer than 16 MB"),
    ],
)  # fmt: skip
def test_csv_refusals(
    landing: Landing, name: str, content: str | bytes, place: str, advice: str
) -> None:
    landing.put(f"messages/{name}.csv", content)
    text = landing.refusal()
    assert text.startswith(f"messages/{name}.csv")
    assert place in text
    assert advice in text
    assert landing.rows() == []


@pytest.mark.parametrize("column", MESSAGES)
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_missing_required_column_is_named(landing: Landing, column: str, suffix: str) -> None:
    columns = [name for name in MESSAGES if name != column]
    name = f"messages/a.{suffix}"
    if suffix == "csv":
        landing.put(name, ",".join(columns) + "\n" + ",".join(columns) + "\n")
    elif suffix == "jsonl":
        landing.put(name, json.dumps(dict.fromkeys(columns, "x")) + "\n")
    else:
        landing.parquet(name, "select " + ", ".join(f"'x' as {column}" for column in columns))
    assert landing.refusal().startswith(f"{name}: the required column {column} is missing")


def test_noise_named_csv_is_refused(landing: Landing) -> None:
    landing.put("messages/a.csv", bytes(range(256)) * 40)
    assert landing.refusal().startswith("messages/a.csv")


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(
        st.tuples(*[st.text(st.characters(exclude_categories=["Cs"]), max_size=12)] * 3),
        min_size=1,
        max_size=8,
    ),
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_any_text_survives_csv_exactly(
    rows: list[tuple[str, str, str]],
    delimiter: str,
    end: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    landing = Landing(tmp_path_factory.mktemp("csv"))
    (landing.path / "messages").mkdir()
    with (landing.path / "messages" / "a.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
        writer.writerow([*MESSAGES, "text", "intent"])
        writer.writerows([("m", "c", "t", *row) for row in rows])
    landing.load()
    found = landing.rows("sender_type, text, intent")
    assert found == [(row[0] or None, row[1], row[2] or None) for row in rows]


# --------------------------------------------------------------------------- encodings


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_byte_order_mark_is_allowed(landing: Landing, suffix: str) -> None:
    row = json.dumps(dict.fromkeys(MESSAGES, "x"))
    text = HEADER + ROW if suffix == "csv" else row
    landing.put(f"messages/a.{suffix}", codecs.BOM_UTF8 + text.encode())
    landing.put(f"messages/b.{suffix}.gz", gzip.compress(codecs.BOM_UTF8 + text.encode()))
    landing.load()
    assert [row[0] for row in landing.rows("message_id")] == (
        ["m1"] if suffix == "csv" else ["x"]
    ) * 2


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_known_by_its_mark(landing: Landing, encoding: str) -> None:
    mark = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}.get(encoding, b"")
    landing.put("messages/a.csv", mark + (HEADER + ROW.replace("hello", "你好")).encode(encoding))
    landing.load()
    assert landing.value("text") == "你好"


@pytest.mark.parametrize(
    ("encoding", "text"), [("gb18030", "订单 €𠀀 在哪里"), ("cp1252", "Größe – 5 €")]
)
@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "jsonl"])
def test_a_declared_encoding_is_converted(
    landing: Landing, encoding: str, text: str, suffix: str
) -> None:
    landing.put("landing.yml", f"tables: {{messages: {{encoding: {encoding}}}}}")
    row = json.dumps({**dict.fromkeys(MESSAGES, "x"), "text": text}, ensure_ascii=False)
    content = (row if suffix == "jsonl" else HEADER + ROW.replace("hello", text)).encode(encoding)
    landing.put(f"messages/a.{suffix}", gzip.compress(content) if "gz" in suffix else content)
    landing.load()
    assert landing.value("text") == text
    assert landing.con.execute("select encoding from raw._loads").fetchone() == (encoding,)


def test_a_large_file_is_converted_in_pieces(landing: Landing) -> None:
    landing.put("landing.yml", "encoding: gb18030")
    row = ROW.replace("hello", "订单在哪里" * 40)
    landing.put("messages/a.csv", (HEADER + row * 9_000).encode("gb18030"))
    landing.load()
    assert len(landing.rows()) == 9_000
    assert {text for (text,) in landing.rows("text")} == {"订单在哪里" * 40}


def test_bytes_that_are_not_of_the_declared_encoding_are_refused_by_row(landing: Landing) -> None:
    landing.put("landing.yml", "encoding: cp1252")
    content = HEADER + 'm0,c,t,bot,"two\nlines"\n' + ROW * 30_000
    landing.put("messages/a.csv", content.encode() + f"m,c,t,bot,{SECRET}".encode() + b"\x81\n")
    assert landing.refusal().startswith("messages/a.csv, row 30002: the bytes are not cp1252")
    landing.put("messages/a.csv", b"message_id\x81,\n")
    assert "messages/a.csv, the header row" in landing.refusal()


def test_an_encoding_declared_too_late_is_refused_and_not_ignored(landing: Landing) -> None:
    landing.put("landing.yml", "encoding: cp1252")
    landing.put("messages/a.csv", (HEADER + ROW.replace("hello", "é")).encode("cp1252"))
    landing.load()
    landing.put("landing.yml", "encoding: gb18030")
    assert "loaded under another encoding" in landing.refusal()


# --------------------------------------------------------------------------- compression


@pytest.mark.parametrize("suffix", ["csv.gz", "jsonl.gz", "ndjson.gz", "tsv.gz"])
def test_gzip(landing: Landing, suffix: str) -> None:
    text = HEADER + ROW
    if "json" in suffix:
        text = json.dumps({**dict.fromkeys(MESSAGES, "m1")}) + "\n"
    landing.put(f"messages/a.{suffix}", gzip.compress(text.encode()))
    landing.load()
    assert landing.value("message_id") == "m1"


@pytest.mark.parametrize("cut", [-4, -9, 40, 12])
def test_a_truncated_gzip_is_refused(landing: Landing, cut: int) -> None:
    rows = "".join(ROW.replace("m1", f"m{number}") for number in range(2_000))
    landing.put("messages/a.csv.gz", gzip.compress((HEADER + rows).encode())[:cut])
    assert (
        landing.refusal() == "messages/a.csv.gz is cut short or not gzip at all; export it again."
    )
    assert landing.rows() == []


def test_a_gzip_that_is_none_is_refused(landing: Landing) -> None:
    landing.put("messages/a.csv.gz", HEADER + ROW)
    assert "messages/a.csv.gz is cut short or not gzip at all" in landing.refusal()


def test_no_temporary_copy_is_left(
    landing: Landing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    landing.put("messages/a.csv.gz", gzip.compress((HEADER + ROW).encode()))
    landing.put("messages/b.csv.gz", gzip.compress((HEADER + "short\n").encode()))
    landing.refusal()
    assert list(folder.iterdir()) == []


# --------------------------------------------------------------------------- JSON lines


def test_json_values_become_text_and_nested_ones_stay_json(landing: Landing) -> None:
    row = {
        **dict.fromkeys(MESSAGES, "x"),
        "text": 'say "hi"\n',
        "input_tokens": 12345678901234567890123,
        "intent_confidence": 0.25,
        "is_grounded": True,
        "sentiment": None,
        "cited_sources": {"a": [1, None, {"b": "ü"}]},
        "mood": {"k": [True]},
        'od"d/~k': 1.5,
        "nothing": None,
    }
    landing.put("messages/a.jsonl", json.dumps(row) + "\n\n")
    report = landing.load()
    assert landing.rows(
        "text, input_tokens, intent_confidence, is_grounded, sentiment, cited_sources"
    ) == [
        ('say "hi"\n', "12345678901234567890123", "0.25", "true", None, '{"a":[1,null,{"b":"ü"}]}')
    ]
    assert json.loads(landing.value("_extra")) == {"mood": {"k": [True]}, 'od"d/~k': 1.5}
    assert report.tables["messages"].unknown_columns == {"mood", 'od"d/~k', "nothing"}


def test_json_keys_may_come_and_go(landing: Landing) -> None:
    lines = [dict.fromkeys(MESSAGES, "1"), {**dict.fromkeys(MESSAGES, "2"), "text": "t", "x": 1}]
    landing.put("messages/a.jsonl", "\n".join(map(json.dumps, lines)))
    landing.load()
    assert landing.rows("message_id, text, _extra, _row_number") == [
        ("1", None, None, 1),
        ("2", "t", '{"x":1}', 2),
    ]


def test_an_empty_jsonl_is_an_empty_table(landing: Landing) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    landing.put("events/a.jsonl", "")
    assert landing.load().tables["events"].rows == 0


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (f'{{"text": "{SECRET}"', "row 2: the line is not one complete JSON object"),
        (f'["{SECRET}"]', "row 2: the line is not one complete JSON object"),
        ("3", "row 2: the line is not one complete JSON object"),
        ('{"a": 1} {"a": 2}', "row 2: the line is not one complete JSON object"),
        ('{"text": "\\ud83d"}', "row 2: the line is not one complete JSON object"),
        ('{"a": 1, "a": 2}', "row 2: a key is there twice"),
        ('{"text": "a", "text": "b"}', "row 2: a key is there twice"),
        (b'{"text": "\xff"}', "row 2: the bytes are not UTF-8"),
    ],
)
def test_jsonl_refusals(landing: Landing, content: str | bytes, problem: str) -> None:
    first = json.dumps(dict.fromkeys(MESSAGES, "x")) + "\n\n"
    content = content.encode() if isinstance(content, str) else content
    landing.put("messages/a.jsonl", first.encode() + content + b"\n")
    assert f"messages/a.jsonl, {problem}" in landing.refusal()
    assert landing.rows() == []


def test_very_long_rows_are_read(landing: Landing) -> None:
    text = "x" * 15_000_000
    landing.put("messages/a.csv", HEADER + f"m1,c,t,bot,{text}\n")
    landing.put("messages/b.jsonl", json.dumps({**dict.fromkeys(MESSAGES, "m2"), "text": text}))
    landing.load()
    assert landing.rows("length(text)") == [(15_000_000,)] * 2


# --------------------------------------------------------------------------- Parquet


def test_parquet_types_become_exact_text(landing: Landing) -> None:
    landing.con.execute("set timezone = 'Asia/Shanghai'")
    landing.parquet(
        "messages/a.parquet",
        """
        select 18446744073709551615::ubigint as message_id, 'c' as conversation_id,
            timestamptz '2026-03-01 09:30:00.25+08' as sent_at, 'bot' as sender_type,
            timestamp '2026-03-01 09:30:00' as a_naive, date '2026-03-01' as b_date,
            0.1::double as c_double, 1.50::decimal(9, 2) as d_decimal, true as e_bool,
            ['x', null] as f_list, {'k': 1} as g_struct, 'bytes'::blob as h_blob,
            timestamp_ns '2026-03-01 09:30:00.123456789' as i_ns, null as j_null,
            0.1::float as k_float, (-9007199254740993)::bigint as l_int
        """,
    )
    landing.load()
    assert landing.rows("message_id, sent_at") == [
        ("18446744073709551615", "2026-03-01T01:30:00.25Z")
    ]
    assert json.loads(landing.value("_extra")) == {
        "a_naive": "2026-03-01T09:30:00",
        "b_date": "2026-03-01",
        "c_double": "0.1",
        "d_decimal": "1.50",
        "e_bool": "true",
        "f_list": '["x",null]',
        "g_struct": '{"k":1}',
        "h_blob": "bytes",
        "i_ns": "2026-03-01T09:30:00.123456789",
        "k_float": "0.1",
        "l_int": "-9007199254740993",
    }


@pytest.mark.parametrize("cut", [200, -1, 3, 0])
def test_half_a_parquet_file_is_refused(landing: Landing, cut: int) -> None:
    path = landing.parquet("messages/a.parquet", "select 'x' as message_id from range(100)")
    path.write_bytes(path.read_bytes()[:cut])
    assert (
        landing.refusal() == "messages/a.parquet is not a complete Parquet file; export it again."
    )


def test_a_damaged_parquet_file_is_refused_as_a_whole(landing: Landing) -> None:
    path = landing.parquet(
        "messages/a.parquet",
        "select uuid()::varchar message_id, 'c' conversation_id, 't' sent_at, 'bot' sender_type "
        "from range(300000)",
    )
    content = bytearray(path.read_bytes())
    middle = len(content) * 3 // 4
    content[middle : middle + 5000] = b"\x5a" * 5000
    path.write_bytes(content)
    assert landing.refusal().startswith("messages/a.parquet")
    assert landing.rows() == []


def test_bytes_in_parquet_that_are_no_text_are_refused(landing: Landing) -> None:
    landing.parquet(
        "messages/a.parquet",
        "select 'm' message_id, 'c' conversation_id, 't' sent_at, 'bot' sender_type, "
        "'\\xFF\\xFE'::blob as text",
    )
    assert landing.refusal().startswith("messages/a.parquet holds text that is not UTF-8")


# --------------------------------------------------------------------------- landing.yml


def test_a_declared_time_zone_is_recorded_with_each_row(landing: Landing) -> None:
    landing.put(
        "landing.yml", "time_zone: Europe/Berlin\ntables: {events: {time_zone: Asia/Shanghai}}"
    )
    landing.put("messages/a.csv", HEADER + ROW)
    landing.put("events/e.csv", "event_id,conversation_id,occurred_at,event_type\ne,c,t,opened\n")
    landing.load()
    assert landing.value("_time_zone") == "Europe/Berlin"
    assert landing.value("_time_zone", "events") == "Asia/Shanghai"


def test_a_time_zone_declared_too_late_is_refused_and_not_ignored(landing: Landing) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    landing.load()
    landing.put("landing.yml", "time_zone: Europe/Berlin")
    assert "messages/a.csv was loaded under another time_zone" in landing.refusal()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("timezone: UTC", "unknown key 'timezone'; did you mean time_zone?"),
        ("tables: {mesages: {}}", "unknown key 'mesages'; did you mean messages?"),
        ("tables: {messages: {zone: UTC}}", "messages in landing.yml has the unknown key 'zone'"),
        ("tables: [messages]", "tables in landing.yml must be a mapping"),
        ("- 1", "landing.yml must be a mapping"),
        ("time_zone: +08:00", "no IANA time zone"),
        ("time_zone: Europe/Nowhere", "no IANA time zone"),
        ("time_zone: ../../etc/passwd", "no IANA time zone"),
        ("time_zone: 8", "no IANA time zone"),
        ("encoding: utf-99", "encoding that is not known"),
        ("encoding: rot13", "encoding that is not known"),
        ("encoding: unicode_escape", "encoding that is not known"),
        ("encoding: 1252", "encoding that is not known"),
        ("delimiter: ':'", "not one of comma, semicolon, tab or pipe"),
        ("delimiter: [x]", "not one of comma, semicolon, tab or pipe"),
        ("a: [", "landing.yml is not readable as YAML (line"),
        ("sources: {}", "must be a list"),
        ("sources: [{platform: rassa, url: x.db}]", "must name a platform"),
        ("sources: [{platform: rasa}]", "either url or url_env"),
        ("sources: [{platform: rasa, url_env: NOT_SET_HERE}]", "NOT_SET_HERE is not set"),
        ("sources: [{platform: rasa, url: 'postgresql://u:geheim@h/d'}]", "holds a password"),
        ("sources: [{platform: rasa, url: x.db}]", "does not exist; check the path"),
        ("sources: [{platform: rasa, url: 'mysql://h/d'}]", "must begin with sqlite:///"),
    ],
)
def test_landing_yml_refusals(landing: Landing, content: str, problem: str) -> None:
    landing.put("landing.yml", content)
    landing.put("messages/a.csv", HEADER + ROW)
    text = landing.refusal()
    assert problem in text
    assert "geheim" not in text


# --------------------------------------------------------------------------- what is in the way


def test_what_matches_no_table_is_named_and_not_read(landing: Landing) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    for name in (
        *("mesages/a.csv", "events.csv", "notes.txt", "landing.yaml", "messages/b.xlsx"),
        *("messages/2026/c.csv", ".hidden/x", "messages/.d.csv", "rasa/event/a.csv"),
        "messages/e.parquet.gz",
    ):
        landing.put(name, "x")
    report = landing.load()
    assert report.files == 1
    kinds = "a table's files end in .csv, .tsv, .jsonl, .ndjson (each also .gz) or .parquet."
    no_table = "is no table of the landing contract and was not read"
    nested = "is a folder inside a table's folder and was not read"
    assert report.warnings == [
        "events.csv was not read; put it into the folder events/.",
        f"landing.yaml {no_table}; did you mean landing.yml?",
        f"mesages {no_table}; did you mean messages?",
        f"messages/2026 {nested}; put its files into messages/ itself.",
        f"messages/b.xlsx was not read: {kinds}",
        f"messages/e.parquet.gz was not read: {kinds}",
        f"notes.txt {no_table}.",
        "rasa/event is no table of rasa and was not read; did you mean events?",
    ]


def test_endings_may_be_in_capitals(landing: Landing) -> None:
    landing.put("messages/A.CSV", HEADER + ROW)
    assert landing.load().rows == 1


def test_names_with_glob_characters_and_quotes_name_one_file(landing: Landing) -> None:
    landing.put("messages/a*.csv", HEADER + ROW)
    landing.put("messages/ab.csv", HEADER + ROW.replace("m1", "m2"))
    landing.put("messages/it's [1]?.csv", HEADER + ROW.replace("m1", "m3"))
    landing.put("messages/k=v.csv", HEADER + ROW.replace("m1", "m4"))
    landing.load()
    assert landing.rows("message_id, _file") == [
        ("m1", "messages/a*.csv"),
        ("m2", "messages/ab.csv"),
        ("m3", "messages/it's [1]?.csv"),
        ("m4", "messages/k=v.csv"),
    ]


def test_a_link_out_of_the_landing_is_refused(landing: Landing, tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text(HEADER + ROW)
    (landing.path / "messages").mkdir()
    (landing.path / "messages" / "a.csv").symlink_to(outside)
    assert landing.refusal().startswith("messages/a.csv is a link out of the landing directory")


def test_a_linked_folder_out_of_the_landing_is_refused(landing: Landing, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (landing.path / "messages").symlink_to(tmp_path / "outside")
    assert landing.refusal().startswith("messages is a link out of the landing directory")


def test_links_inside_the_landing_and_a_linked_landing_are_fine(
    landing: Landing, tmp_path: Path
) -> None:
    path = landing.put("messages/a.csv", HEADER + ROW)
    (landing.path / "messages" / "b.csv").symlink_to(path)
    (tmp_path / "link").symlink_to(landing.path)
    report = load_landing(landing.con, tmp_path / "link", progress=False)
    assert (report.files, report.skipped) == (1, 1)


def test_a_link_to_nothing_is_refused(landing: Landing) -> None:
    (landing.path / "messages").mkdir()
    (landing.path / "messages" / "a.csv").symlink_to("gone.csv")
    assert landing.refusal().startswith("messages/a.csv is a link to nothing")


def test_a_fifo_and_a_socket_are_refused_without_waiting(landing: Landing) -> None:
    (landing.path / "messages").mkdir()
    os.mkfifo(landing.path / "messages" / "a.csv")
    assert landing.refusal().startswith("messages/a.csv is neither a file nor a folder")
    (landing.path / "messages" / "a.csv").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(landing.path, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{here}/s")
        os.close(here)
        assert landing.refusal().startswith("s is neither a file nor a folder")


def test_a_file_name_that_is_not_utf_8_is_refused(landing: Landing) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    (landing.path / "messages" / os.fsdecode(b"b\xff.csv")).write_text(HEADER)
    assert landing.refusal() == "The folder messages has a file whose name is not UTF-8; rename it."


def test_a_landing_that_is_none_is_refused(landing: Landing, tmp_path: Path) -> None:
    with pytest.raises(LandingError, match="is not a directory"):
        load_landing(landing.con, tmp_path / "nowhere", progress=False)


@pytest.mark.parametrize("content", [None, "agents", "header"])
def test_an_empty_landing_is_refused(landing: Landing, content: str | None) -> None:
    if content == "agents":
        landing.put("agents/a.csv", "agent_id\na1\n")
    elif content == "header":
        landing.put("messages/a.csv", HEADER)
    assert "has no rows in conversations, messages or any platform's tables" in landing.refusal()


def test_an_empty_landing_is_fine_once_something_is_loaded(landing: Landing) -> None:
    path = landing.put("messages/a.csv", HEADER + ROW)
    landing.load()
    path.unlink()
    assert landing.load().rows == 0


def test_a_platforms_rows_are_enough(landing: Landing) -> None:
    landing.put("rasa/events/a.csv", "id,sender_id,type_name,timestamp,data\n1,s,user,1.5,{}\n")
    landing.load()
    assert landing.rows("id, timestamp, _file", "rasa__events") == [
        ("1", "1.5", "rasa/events/a.csv")
    ]


def test_ten_thousand_small_files(landing: Landing) -> None:
    for number in range(10_000):
        landing.put(f"messages/{number:05}.csv", HEADER + ROW.replace("m1", f"m{number}"))
    started = time.monotonic()
    assert landing.load().files == 10_000
    assert landing.rows("_row_id, message_id") == [
        (number + 1, f"m{number}") for number in range(10_000)
    ]
    assert landing.load().skipped == 10_000
    assert time.monotonic() - started < 120


# ------------------------------------------------- defects found by fuzzing, and other dirt


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "jsonl", "jsonl.gz"])
@pytest.mark.parametrize("place", ["header", "first", "last"])
def test_a_line_of_200_mb_is_refused_by_row_in_bounded_memory(
    landing: Landing, suffix: str, place: str
) -> None:
    """DuckDB left an unquoted last line out, without a word, when it was longer than its buffer."""
    rows = [json.dumps(dict.fromkeys(MESSAGES, "x")), ""] if "json" in suffix else [ROW.strip(), ""]
    header = [] if "json" in suffix else [HEADER.strip()]
    before = {"header": [], "first": header, "last": header + rows[:1] * 3}[place]
    start = "\n".join([*before, ""]).encode()
    path = landing.put(f"messages/a.{suffix}", b"")
    with gzip.open(path, "wb", 1) if suffix.endswith("gz") else path.open("wb") as stream:
        stream.write(start)
        for _ in range(200):
            stream.write(SECRET.encode().ljust(1_000_000, b"x"))
    tracemalloc.start()
    refusal = landing.refusal()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    number = {"header": 0, "first": 1, "last": 4}[place] + ("json" in suffix and place == "header")
    where = f"row {number}" if number else "the header row"
    assert refusal.startswith(f"messages/a.{suffix}, {where}: the row is longer than 16 MB")
    assert peak < 100_000_000
    assert landing.rows() == []


@pytest.mark.parametrize("shift", range(4))
@pytest.mark.parametrize("together", [True, False])
def test_an_error_cut_within_a_character_is_a_refusal_too(
    landing: Landing, monkeypatch: pytest.MonkeyPatch, shift: int, together: bool
) -> None:
    """DuckDB cuts a line it quotes; Python cannot decode that and raises an error of its own."""
    landing.put("messages/a.csv", HEADER + ROW)
    landing.put("messages/b.csv", f"{HEADER}{'x' * shift}{'中' * 20_000}\n")
    if not together:
        monkeypatch.setattr(load, "FILES", 1)
    assert landing.refusal().startswith("messages/b.csv, row 1: 1 value where")
    assert landing.rows("_file") == [("messages/a.csv",)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "row", ["m2,c1,t,bot,hello, world,", "m2,c1,t,bot,x,", 'm2,c1,"t\r\n",bot,"x",""', ",,,,,"]
)
def test_an_empty_value_beyond_the_last_column_is_one_too_many(
    landing: Landing, end: str, row: str
) -> None:
    """DuckDB left it out and took the shifted values of `hello, world,` for the row's own."""
    header = HEADER.replace("text", "text,intent") if "world" in row else HEADER
    good = ROW.replace("hello", "hello,") if "world" in row else ROW.replace("hello", '"a,\nb"')
    for last in (end, ""):
        content = header.replace("\n", end) + good.strip() + end + row + last
        landing.put("messages/a.csv", content)
        found, named = ("7", "6") if "world" in row else ("6", "5")
        assert landing.refusal().startswith(
            f"messages/a.csv, row 2: {found} values where the header names {named} columns"
        )
    landing.put("messages/a.csv", header.replace("\n", end) + good.strip() + end)
    assert landing.load().rows == 1


@pytest.mark.parametrize("name", ["x\ny", "x\r\ny", "x\ry"])
def test_a_line_end_in_a_columns_name_is_refused(landing: Landing, name: str) -> None:
    """Below a header row with another kind of line end DuckDB found no rows at all."""
    for end in ("\n", "\r\n"):
        content = (HEADER.strip() + f',"{name}"\n' + ROW.strip() + ",z\n").replace("\n", end)
        landing.put("messages/a.csv", content)
        assert "the name of a column holds a line end" in landing.refusal()
    assert landing.rows() == []


def test_a_parquet_column_named_as_the_loaders_own_changes_no_row_number(landing: Landing) -> None:
    known = "'m' || i as message_id, 'c' as conversation_id, 'x' as sent_at, 'bot' as sender_type"
    landing.parquet(
        "messages/a.parquet", f'select {known}, 77 as rn, 8 as "RN2", 9 as c0 from range(2) t(i)'
    )
    landing.load()
    assert landing.rows("message_id, _row_number, _row_id, _extra") == [
        ("m0", 1, 1, '{"rn":"77","RN2":"8","c0":"9"}'),
        ("m1", 2, 2, '{"rn":"77","RN2":"8","c0":"9"}'),
    ]
    landing.parquet(
        "messages/b.parquet", f"select {known}, 1 as file_row_number from range(1) t(i)"
    )
    assert "a column is named file_row_number" in landing.refusal()


def test_parquet_fills_row_groups_whatever_the_size_of_its_own(landing: Landing) -> None:
    path, rows = landing.path / "messages" / "a.parquet", 900_000
    path.parent.mkdir()
    duckdb.execute(
        "copy (select 'm' || i as message_id, 'c' as conversation_id, 'x' as sent_at, "
        f"'bot' as sender_type from range({rows}) as numbers (i)) to '{path}' "
        "(format parquet, row_group_size 149_504)"
    )
    landing.con.execute("set threads = 2")
    landing.load()
    sizes = landing.con.execute(
        "select sum(count) from pragma_storage_info('raw.messages') "
        "where column_name = '_row_id' and segment_type <> 'VALIDITY' group by row_group_id"
    ).fetchall()
    assert len([size for (size,) in sizes if size < 122_880]) <= 2  # one of each thread
    assert landing.con.execute(
        "select count(*), count(distinct _row_id) from raw.messages "
        "where message_id = 'm' || (_row_number - 1) and _row_id = _row_number"
    ).fetchall() == [(rows, rows)]
    assert landing.con.execute(
        "select value from duckdb_settings() where name = 'preserve_insertion_order'"
    ).fetchall() == [("true",)]


def test_parquet_columns_keep_their_names_where_they_differ_in_case(landing: Landing) -> None:
    path = landing.parquet(
        "messages/a.parquet",
        "select 'm' as message_id, 'c' as conversation_id, 'x' as sent_at, 'bot' as sender_type, "
        "'other' as texx, 'exact' as text",
    )
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"texx", b"TEXT"))
    landing.load()
    assert landing.rows("text, _extra") == [("exact", '{"TEXT":"other"}')]
    path.write_bytes(whole.replace(b"texx", b"text"))
    assert "the column text is there 2 times" in landing.refusal()


def test_parquet_columns_inside_nested_ones_are_not_mistaken(landing: Landing) -> None:
    landing.parquet(
        "messages/a.parquet",
        "select {'text': 1, 'more': [{'text': 2}]} as deep, map {'k': 3} as pairs, 'm' as "
        "message_id, 'c' as conversation_id, 'x' as sent_at, 'bot' as sender_type, 'own' as text",
    )
    landing.load()
    assert landing.rows("message_id, text") == [("m", "own")]
    assert set(json.loads(landing.value("_extra"))) == {"deep", "pairs"}


@pytest.mark.parametrize("number", ["1.23E+11", "1.23457e+17", "1E+11"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_ids_in_scientific_notation_are_refused(landing: Landing, number: str, suffix: str) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    if suffix == "csv":
        content = HEADER + ROW.replace("m1", "m2") + ROW.replace("c1", number)
    else:
        row = dict.fromkeys(MESSAGES, "x")
        content = f"{json.dumps(row)}\n{json.dumps(row | {'conversation_id': number})}\n"
    landing.put(f"messages/b.{suffix}", content)
    assert landing.refusal().startswith(
        f"messages/b.{suffix}, row 2: conversation_id is in scientific notation"
    )
    assert landing.rows("_file") == [("messages/a.csv",)]


def test_ids_that_only_look_a_little_like_numbers_are_fine(landing: Landing) -> None:
    ids = ["12E4", "1e5x", "+49", "E+11", "1.2.3", "a+b", "=1", "-5", "007"]
    landing.put("messages/a.csv", HEADER + "".join(ROW.replace("m1", name) for name in ids))
    assert landing.load().warnings == []
    assert [name for (name,) in landing.rows("message_id")] == ids


def test_ids_marked_as_text_by_a_spreadsheet_are_kept_and_told(landing: Landing) -> None:
    landing.put("messages/a.csv", HEADER + ROW.replace("m1", "'007") + ROW)
    (warning,) = landing.load().warnings
    assert warning.startswith("messages: 1 value of message_id just loaded")
    assert "apostrophe" in warning
    assert landing.rows("message_id") == [("'007",), ("m1",)]


def test_parquet_ids_with_fractions_are_told(landing: Landing) -> None:
    landing.parquet(
        "messages/a.parquet",
        "select 7.0::double as message_id, 'c' as conversation_id, 'x' as sent_at, 'bot' as "
        "sender_type, 0.5::double as intent_confidence",
    )
    (warning,) = landing.load().warnings
    assert "message_id holds numbers with a fraction" in warning
    assert landing.value("message_id") == "7.0"


@pytest.mark.parametrize("table", ["messages", "flows"])
def test_a_header_that_comes_again_is_refused(landing: Landing, table: str) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    header, row = (HEADER, ROW) if table == "messages" else ("flow_id,name\n", "f,book\n")
    landing.put(f"{table}/b.csv", header + row + header.upper() + row)  # no header, but data
    landing.put(f"{table}/c.csv", header + row + row + header + row)
    assert (
        landing.refusal() == f"{table}/c.csv, row 3: the header row comes again; remove it there."
    )


@pytest.mark.parametrize("name", ["Mars/Olympus", "CET+1 week", "+02:00"])
def test_hours_in_a_time_zone_that_is_none_are_refused(landing: Landing, name: str) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    header = "schedule_id,time_zone,weekday,opens_at,closes_at"
    row = "default,{},1,09:00,17:00"
    landing.put(
        "business_hours/h.csv",
        "\n".join([header, row.format("Asia/Shanghai"), row.format("UTC"), row.format(name), ""]),
    )
    assert landing.refusal() == (
        "business_hours/h.csv, row 3: time_zone is no name of the IANA database, such as "
        "Europe/Berlin; correct it."
    )
    landing.put(
        "business_hours/h.csv",
        "\n".join([header, row.format("Asia/Shanghai"), row.format("UTC"), ""]),
    )
    assert landing.load().tables["business_hours"].rows == 2


def test_cells_that_are_formulas_or_signed_stay_as_they_are(landing: Landing) -> None:
    cells = ["=cmd|' /C calc'!A0", "+49 30 1234", "-5", "@SUM(A1)", "1,234.56", "'5", "\t=1"]
    with landing.put("messages/a.csv", "").open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [
                HEADER.strip().split(","),
                *([f"m{number}", "c", "t", "bot", cell] for number, cell in enumerate(cells)),
            ]
        )
    landing.load()
    assert [text for (text,) in landing.rows("text")] == cells


def test_ten_thousand_columns_are_read_and_many_more_refused(landing: Landing) -> None:
    names = [f"x{number}" for number in range(10_000)]
    landing.put(
        "messages/a.csv", f"{HEADER.strip()},{','.join(names)}\n{ROW.strip()}{',1' * 10_000}\n"
    )
    landing.load()
    assert json.loads(landing.value("_extra")) == dict.fromkeys(names, "1")
    landing.put(
        "messages/b.csv", HEADER.strip() + "".join(f",x{number}" for number in range(20_000))
    )
    assert "20,005 columns, and 16,384 at most" in landing.refusal()


def test_deep_json_is_kept(landing: Landing) -> None:
    deep = "[" * 50_000 + "]" * 50_000
    start = json.dumps(dict.fromkeys(MESSAGES, "x"))[:-1]
    landing.put("messages/a.jsonl", f'{start}, "text": {deep}, "more": {deep}}}\n')
    landing.load()
    assert landing.rows("text, _extra") == [(deep, f'{{"more":{deep}}}')]


def test_whole_numbers_of_any_length_keep_their_digits_in_json(landing: Landing) -> None:
    numbers = [str(2**53 + 1), str(2**64 - 1), str(2**64), "1" * 40, "-" + "9" * 30]
    start = json.dumps(dict.fromkeys(MESSAGES[1:], "x"))[:-1]
    landing.put("messages/a.jsonl", "".join(f'{start}, "message_id": {n}}}\n' for n in numbers))
    landing.load()
    assert [number for (number,) in landing.rows("message_id")] == numbers


def test_an_empty_gzip_is_cut_short(landing: Landing) -> None:
    landing.put("messages/a.jsonl.gz", b"")
    assert landing.refusal().startswith("messages/a.jsonl.gz is cut short")


@pytest.mark.parametrize("kind", ["fifo", "folder", "yaml error", "deep"])
def test_a_landing_yml_that_is_none_is_refused_without_waiting(landing: Landing, kind: str) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    path = landing.path / "landing.yml"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_text("a: 2026-13-45" if kind == "yaml error" else "[" * 5_000)
    assert landing.refusal().startswith("landing.yml is ")


def test_names_with_control_characters_are_refused(landing: Landing) -> None:
    landing.put("messages/a\nb.csv", HEADER + ROW)
    assert landing.refusal() == (
        "The folder messages has a file with control characters in its name; rename it."
    )


@pytest.mark.parametrize("together", [True, False])
def test_an_unreadable_file_is_refused_by_name(
    landing: Landing, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    """Simulated: the tests may run as root, who may read everything."""
    landing.put("messages/a.csv", HEADER + ROW)
    path = landing.put("messages/b.csv", HEADER + ROW.replace("m1", "m2"))
    sha256 = load._sha256

    def forbidden(asked: Path) -> str:
        if asked == path:
            raise PermissionError(13, "Permission denied")
        return sha256(asked)

    if not together:
        monkeypatch.setattr(load, "FILES", 1)
    monkeypatch.setattr(load, "_sha256", forbidden)
    assert landing.refusal() == "messages/b.csv cannot be read: Permission denied."
    assert landing.rows("_file") == [("messages/a.csv",)]


def test_a_file_that_vanishes_is_refused_by_name(
    landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = landing.put("messages/a.csv", HEADER + ROW)
    make_way = load._Loader.make_way

    def vanishing(self: Any, files: Any = None) -> None:
        make_way(self, files)
        path.unlink()

    monkeypatch.setattr(load._Loader, "make_way", vanishing)
    assert landing.refusal() == "messages/a.csv cannot be read: No such file or directory."


def test_a_file_replaced_within_the_clocks_tick_is_refused(
    landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = landing.put("messages/a.csv", HEADER + ROW)
    append = load._Loader.append
    state = load._state(path)

    def replacing(self: Any, *rest: Any) -> Any:
        path.write_text(HEADER + ROW.replace("hello", "world"))
        return append(self, *rest)

    monkeypatch.setattr(load._Loader, "append", replacing)
    monkeypatch.setattr(load, "_state", lambda _: state)
    assert landing.refusal().startswith("messages/a.csv changed while it was read")
    assert landing.rows() == []


def test_small_files_are_loaded_together_as_if_one_by_one(
    landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of several kinds in between, empty ones, copies, and row numbers across all."""
    for number in range(40):
        rows = "".join(ROW.replace("m1", f"m{number}-{row}") for row in range(number % 4))
        head = HEADER if number % 10 else HEADER.replace("text", "Text")
        landing.put(f"messages/{number:02}.csv", head + rows)
    landing.put("messages/05b.jsonl", json.dumps(dict.fromkeys(MESSAGES, "j")))
    landing.put("messages/17 copy.csv", HEADER + ROW.replace("m1", "m17-0"))
    landing.put("messages/31'.csv", codecs.BOM_UTF8 + (HEADER + ROW).encode())
    landing.load()
    origin = "message_id, text, _file, _row_number, _row_id"
    loads = "select * exclude (loaded_at) from raw._loads order by first_row_id, file"
    together = landing.rows(origin), landing.con.execute(loads).fetchall()
    assert len(together[0]) == 62
    landing.con.close()
    landing.con = duckdb.connect()
    monkeypatch.setattr(load, "FILES", 1)
    landing.load()
    assert (landing.rows(origin), landing.con.execute(loads).fetchall()) == together


def test_a_clock_set_back_changes_no_order_and_is_told(landing: Landing) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    landing.load()
    landing.put("messages/b.csv", HEADER + ROW.replace("m1", "m2"))
    report = load_landing(
        landing.con, landing.path, progress=False, now=NOW - timedelta(days=400, seconds=5)
    )
    assert landing.rows("message_id, _load_id, _row_id, _loaded_at") == [
        ("m1", 1, 1, NOW.replace(tzinfo=None)),
        ("m2", 2, 2, NOW.replace(tzinfo=None)),
    ]
    (warning,) = report.warnings
    assert warning.startswith("The clock is 400 days, 0:00:05 behind the last load")
    landing.put("messages/c.csv", HEADER + ROW.replace("m1", "m3"))
    assert (
        load_landing(
            landing.con, landing.path, progress=False, now=NOW - timedelta(seconds=5)
        ).warnings
        == []
    )


@pytest.mark.parametrize("limit", [20_000, 500_000, 2_000_000])
def test_a_full_disk_is_one_sentence_and_the_next_load_goes_on(
    landing: Landing, tmp_path: Path, limit: int
) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    landing.put(
        "messages/b.csv",
        HEADER
        + "".join(
            ROW.replace("m1", hashlib.sha256(bytes([n % 256, n >> 8])).hexdigest() * 3)
            for n in range(30_000)
        ),
    )
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0})); "
        "sys.path.insert(0, {1!r}); import load; sys.exit(load.main())"
    ).format(limit, str(ROOT / "scripts"))
    options = ["--landing", str(landing.path), "--warehouse", str(tmp_path / "w.duckdb")]
    done = subprocess.run(
        [sys.executable, "-c", code, *options],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "messages/b.csv: the disk is full; make room and load again.\n",
    )
    assert command(*options, cwd=tmp_path).returncode == 0
    with duckdb.connect(str(tmp_path / "w.duckdb")) as con:
        assert con.execute("select count(*), max(_row_id) from raw.messages").fetchone() == (
            *(30_001, 30_001),
        )


def test_what_is_unknown_is_named_in_one_line(landing: Landing, tmp_path: Path) -> None:
    names = [f"x{number:03}" for number in range(100)]
    landing.put(
        "messages/a.csv", f"{HEADER.strip()},{','.join(names)}\n{ROW.strip()}{',1' * 100}\n"
    )
    done = command("--landing", "landing", "--warehouse", "w.duckdb", cwd=tmp_path)
    line = done.stderr.splitlines()[-1]
    assert line.endswith("x018, x019 and 80 more.")


# --------------------------------------------------------------------------- the demo


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small stand-in for seeds/demo."""
    folder = tmp_path / "demo"
    (folder / "messages").mkdir(parents=True)
    (folder / "messages" / "m.csv").write_text(HEADER + ROW.replace("m1", "demo"))
    monkeypatch.setattr(load, "DEMO", folder)
    monkeypatch.setattr(landing_plugin, "DEMO", folder)
    return folder


def test_the_demo_makes_way_for_own_exports(landing: Landing, demo: Path) -> None:
    load_landing(landing.con, demo, progress=False)
    assert landing.con.execute("select landing from raw._loads").fetchone() == ("demo",)
    landing.put("messages/a.csv", HEADER + ROW)
    report = landing.load()
    assert landing.rows("message_id, _load_id, _row_id") == [("m1", 2, 2)]
    assert report.notices == ["The demo's rows were removed to make way for your own exports."]
    assert landing.con.execute(
        "select landing = 'demo', removed_at is not null from raw._loads order by load_id"
    ).fetchall() == [(True, True), (False, False)]


def test_the_demo_is_not_loaded_beside_own_exports(landing: Landing, demo: Path) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    landing.load()
    with pytest.raises(LandingError, match="holds your own exports, so the demo was not loaded"):
        load_landing(landing.con, demo, progress=False)
    assert landing.rows("message_id") == [("m1",)]


def test_a_changed_demo_replaces_the_former_one(landing: Landing, demo: Path) -> None:
    load_landing(landing.con, demo, progress=False)
    (demo / "messages" / "m.csv").write_text(HEADER + ROW.replace("m1", "new"))
    report = load_landing(landing.con, demo, progress=False)
    assert landing.rows("message_id") == [("new",)]
    assert report.notices == ["The demo has changed, so its former rows were removed."]
    assert load_landing(landing.con, demo, progress=False).notices == []


def test_the_demo_of_this_repository_loads(landing: Landing) -> None:
    if not load.DEMO.is_dir():
        pytest.skip("seeds/demo is not there yet")
    report = load_landing(landing.con, load.DEMO, progress=False)
    assert report.warnings == []
    assert report.tables["messages"].rows > 0


# --------------------------------------------------------------------------- databases


TRACKER = """
    create table events (id integer primary key, sender_id varchar(255) not null,
        type_name varchar(255) not null, timestamp double precision, intent_name varchar(255),
        action_name varchar(255), data text)
"""
TRACKER_ROWS = [
    (1, "a", "user", 1772357400.123456, "greet", None, '{"text": "Grüße, \\"du\\"\\n🙂"}'),
    (2, "a", "bot", 1772357401.0, None, "", '{"text": "line\nline\rline,;|"}'),
    (5, "b", "action", 1.5e-7, None, "act", "{}"),
]
TRACKER_TEXT = [
    ("1", "a", "user", "1772357400.123456", "greet", None, '{"text": "Grüße, \\"du\\"\\n🙂"}'),
    ("2", "a", "bot", 1772357401.0, None, None, '{"text": "line\nline\rline,;|"}'),
    ("5", "b", "action", 1.5e-7, None, "act", "{}"),
]
INSERT = "insert into events values (?, ?, ?, ?, ?, ?, ?)"


def tracked(con: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    """Rows of raw.rasa__events; a timestamp that is written as a float may be so in two ways."""
    rows = con.execute(
        "select id, sender_id, type_name, timestamp, intent_name, action_name, data "
        "from raw.rasa__events order by _row_id"
    ).fetchall()
    return [
        (*row[:3], float(row[3]) if isinstance(expected[3], float) else row[3], *row[4:])
        for row, expected in zip(rows, TRACKER_TEXT, strict=False)
    ]


@pytest.fixture
def tracker(tmp_path: Path) -> Path:
    path = tmp_path / "tracker.db"
    with sqlite3.connect(path) as con:
        con.execute(TRACKER)
        con.executemany(INSERT, TRACKER_ROWS)
    return path


def test_a_sqlite_tracker_store_is_copied_as_text_and_only_new_rows_later(
    landing: Landing, tracker: Path
) -> None:
    source = Source(f"sqlite:///{tracker}", time_zone="Europe/Berlin")
    assert load_source(landing.con, source, progress=False).rows == 3
    assert tracked(landing.con) == TRACKER_TEXT
    assert load_source(landing.con, source, progress=False).rows == 0
    with sqlite3.connect(tracker) as con:
        con.execute(INSERT, (6, "b", "user", 3.0, None, None, "{}"))
    assert load_source(landing.con, source, progress=False).rows == 1
    name = f"sqlite://{tracker}#events"
    assert landing.rows(
        "id, _file, _row_number, _row_id, _load_id, _time_zone", "rasa__events"
    ) == [
        ("1", name, 1, 1, 1, "Europe/Berlin"),
        ("2", name, 2, 2, 1, "Europe/Berlin"),
        ("5", name, 3, 3, 1, "Europe/Berlin"),
        ("6", name, 4, 4, 2, "Europe/Berlin"),
    ]


def test_rows_committed_late_below_the_last_id_are_found(landing: Landing, tracker: Path) -> None:
    source = Source(f"sqlite:///{tracker}")
    load_source(landing.con, source, progress=False)
    with sqlite3.connect(tracker) as con:
        con.execute(INSERT, (4, "late", "user", 3.0, None, None, "{}"))
        con.execute(INSERT, (3, "late", "user", 3.0, None, None, "{}"))
        con.execute(INSERT, (9, "new", "user", 3.0, None, None, "{}"))
        con.execute("delete from events where id = 1")
    assert load_source(landing.con, source, progress=False).rows == 3
    assert load_source(landing.con, source, progress=False).rows == 0
    assert landing.rows("id, _row_number", "rasa__events") == [
        *(("1", 1), ("2", 2), ("5", 3), ("3", 4), ("4", 5), ("9", 6)),
    ]


def test_landing_yml_may_name_a_database(landing: Landing, tracker: Path) -> None:
    tracker.rename(landing.path / ".tracker.db")
    landing.put("landing.yml", "sources: [{platform: rasa, url: .tracker.db}]")
    assert landing.load().tables["rasa__events"].rows == 3
    assert landing.load().rows == 0


def test_landing_yml_may_name_a_variable_with_the_url(
    landing: Landing, tracker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_URL", f"sqlite:///{tracker}")
    landing.put("landing.yml", "sources: [{platform: rasa, url_env: TRACKER_URL, table: events}]")
    assert landing.load().rows == 3


def test_the_other_shape_of_a_tracker_store(landing: Landing, tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with sqlite3.connect(path) as con:
        con.execute(
            TRACKER.replace("events", "conversation_event").replace("sender", "conversation")
        )
        con.executemany(INSERT.replace("events", "conversation_event"), TRACKER_ROWS)
    load_source(landing.con, Source(f"sqlite:///{path}"), progress=False)
    assert len(landing.rows(table="rasa__conversation_event")) == 3


@pytest.mark.parametrize("problem", ["gone", "no_database", "no_table", "no_utf8", "no_column"])
def test_tracker_store_refusals(landing: Landing, tracker: Path, problem: str) -> None:
    with sqlite3.connect(tracker) as con:
        if problem == "no_table":
            con.execute("drop table events")
        elif problem == "no_utf8":
            con.execute("update events set data = cast(x'ff' as text) where id = 5")
        elif problem == "no_column":
            con.execute("alter table events drop column sender_id")
    if problem == "gone":
        tracker.unlink()
    elif problem == "no_database":
        tracker.write_bytes(b"this is no database at all" * 1000)
    with pytest.raises(LandingError) as caught:
        load_source(landing.con, Source(f"sqlite:///{tracker}"), progress=False)
    assert {
        "gone": "does not exist; check the path",
        "no_database": "cannot be read as a tracker store (SQLITE_NOTADB)",
        "no_table": "has no table events or conversation_event",
        "no_utf8": "id 5 of events: the text is not UTF-8",
        "no_column": "the required column sender_id is missing",
    }[problem] in str(caught.value)


@pytest.fixture
def postgres() -> Iterator[str]:
    """URL of a PostgreSQL server that lives as long as the test; it has a user with a password."""
    with running_postgres() as url:
        yield url


def test_a_postgres_tracker_store_is_copied_and_its_password_stays_secret(
    landing: Landing, postgres: str
) -> None:
    import psycopg

    with psycopg.connect(postgres) as con:
        con.execute(TRACKER)
        con.cursor().executemany(INSERT.replace("?", "%s"), TRACKER_ROWS)
    source = Source(postgres.replace("postgresql", "postgresql+psycopg2"))
    assert load_source(landing.con, source, progress=False).rows == 3
    assert tracked(landing.con) == TRACKER_TEXT
    with psycopg.connect(postgres) as con:
        con.execute(INSERT.replace("?", "%s"), (4, "late", "user", 3.0, None, None, "{}"))
    assert load_source(landing.con, source, progress=False).rows == 1
    assert load_source(landing.con, source, progress=False).rows == 0
    assert landing.rows("id", "rasa__events")[-1] == ("4",)
    (name,) = {row[0] for row in landing.rows("_file", "rasa__events")}
    assert re.fullmatch(r"postgresql://127\.0\.0\.1:\d+/postgres#events", name)
    for table in ("_loads", "rasa__events"):
        content = str(landing.con.execute(f"select * from raw.{table}").fetchall())
        assert "geheim" not in content

    for url, problem in {
        postgres.replace("geheim", "falsch"): "the password or user was not accepted",
        postgres.replace("/postgres", "/nowhere"): "does not exist",
        re.sub(r":\d+/", ":1/", postgres): "no server answers there",
    }.items():
        with pytest.raises(LandingError) as caught:
            load_source(landing.con, Source(url), progress=False)
        assert problem in str(caught.value)
        assert not re.search("geheim|falsch", str(caught.value))


# --------------------------------------------------------------------------- command line


def command(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run load.py in a directory of its own."""
    environment = {name: value for name, value in os.environ.items() if "PARLEY" not in name}
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "load.py"), *arguments],
        cwd=cwd,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_line_loads_and_says_what(landing: Landing, tmp_path: Path) -> None:
    landing.put("messages/a.csv", HEADER.strip() + ",mood\n" + ROW.strip() + ",x\n")
    landing.put("mesages/a.csv", "x")
    done = command(cwd=tmp_path, PARLEY_LANDING="landing")
    assert done.returncode == 0, done.stderr
    warehouse = f"own_{hashlib.md5(b'landing').hexdigest()[:8]}.duckdb"
    assert done.stdout.startswith(f"Loaded 1 row from 1 file into warehouse/{warehouse} in ")
    assert (tmp_path / "warehouse" / warehouse).exists()
    assert done.stderr.splitlines() == [
        "messages: 1 row from 1 file",
        "mesages is no table of the landing contract and was not read; did you mean messages?",
        "messages: not in the contract, kept aside in _extra: mood.",
    ]


def test_the_command_line_refuses_with_one_sentence_and_code_1(
    landing: Landing, tmp_path: Path
) -> None:
    landing.put("messages/a.csv", HEADER + f"{SECRET}\n")
    done = command("--landing", "landing", "--warehouse", "w.duckdb", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("messages/a.csv, row 1: 1 value where the header names 5 columns")
    assert len(done.stderr.splitlines()) == 1
    assert SECRET not in done.stderr + done.stdout


def test_wrong_usage_is_code_2(tmp_path: Path) -> None:
    assert command("--nonsense", cwd=tmp_path).returncode == 2
    assert command("--from", "sqlite:///x.db", cwd=tmp_path).returncode == 2


def test_a_warehouse_in_use_or_of_another_kind_is_one_sentence(
    landing: Landing, tmp_path: Path
) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    with duckdb.connect(str(tmp_path / "w.duckdb")):
        done = command("--landing", "landing", "--warehouse", "w.duckdb", cwd=tmp_path)
    holder = f"another process ({os.getpid()})"
    assert (done.returncode, done.stderr) == (
        1,
        f"The warehouse w.duckdb is in use by {holder}; close that one and load again.\n",
    )
    (tmp_path / "w.duckdb").write_bytes(b"no database" * 1000)
    done = command("--landing", "landing", "--warehouse", "w.duckdb", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("The warehouse w.duckdb is not a DuckDB file")


def test_the_command_line_reads_a_database(tracker: Path, tmp_path: Path) -> None:
    done = command("--from", "sqlite:///tracker.db", "--warehouse", "w.duckdb", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Loaded 3 rows from 1 file into w.duckdb")


def test_a_terminal_gets_a_progress_bar(
    landing: Landing, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    landing.put("messages/a.csv", HEADER + ROW)
    load_landing(landing.con, landing.path, progress=True)
    assert "1 row from 1 file" in capsys.readouterr().err


# --------------------------------------------------------------------------- dbt


@pytest.fixture
def project(tmp_path: Path, demo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place to run the plugin in, without settings."""
    for name in list(os.environ):
        if name.startswith("PARLEY_"):
            monkeypatch.delenv(name)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def opened(path: str, **settings: Any) -> duckdb.DuckDBPyConnection:
    """Open a warehouse as dbt does and return a cursor of it."""
    from dbt.adapters.duckdb.credentials import DuckDBCredentials
    from dbt.adapters.duckdb.environments import Environment
    from dbt.adapters.duckdb.plugins import BasePlugin

    creds = DuckDBCredentials(path=path, config_options=settings)
    plugins: dict[str, BasePlugin] = {
        "landing_plugin": landing_plugin.Plugin("landing_plugin", {}, creds)
    }
    con = Environment.initialize_db(creds, plugins)
    cursor: duckdb.DuckDBPyConnection = Environment.initialize_cursor(creds, con.cursor(), plugins)
    return cursor


def test_plain_dbt_keeps_to_the_limits_of_this_machine(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbt_common.exceptions import DbtRuntimeError

    def limits(con: duckdb.DuckDBPyConnection) -> Any:
        return con.execute(
            "select current_setting('memory_limit'), current_setting('temp_directory')"
        ).fetchone()

    monkeypatch.setattr("resources.machine_bytes", lambda: 3 * 2**30)
    assert limits(opened("w.duckdb")) == ("1.5 GiB", "spill")
    monkeypatch.setenv("PARLEY_MEMORY_LIMIT", "600MiB")
    monkeypatch.setenv("PARLEY_SPILL", "other")
    assert limits(opened("x.duckdb")) == ("600.0 MiB", "other")
    assert limits(opened("y.duckdb", memory_limit="700MiB"))[0] == "700.0 MiB"
    monkeypatch.setenv("PARLEY_MEMORY_LIMIT", "much")
    with pytest.raises(DbtRuntimeError, match="MEMORY_LIMIT must be a size such as 2GB or 800MB"):
        opened("z.duckdb")


def environment(path: str) -> LocalEnvironment:
    """What dbt opens a warehouse with, as profiles.yml says."""
    from dbt.adapters.duckdb.credentials import DuckDBCredentials, PluginConfig
    from dbt.adapters.duckdb.environments.local import LocalEnvironment

    return LocalEnvironment(
        DuckDBCredentials(path=path, plugins=[PluginConfig(module="landing_plugin")])
    )


def test_a_large_warehouse_is_closed_between_two_models(
    project: Path, demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run sees what it began with, and waits for one who opens the warehouse meanwhile."""

    def ids_of_one_model(dbt: LocalEnvironment) -> set[str]:
        handle = dbt.handle()
        ids = handle.cursor().execute("select message_id from raw.messages").fetchall()
        handle.close()
        return {message_id for (message_id,) in ids}

    def is_closed() -> bool:
        try:
            duckdb.connect("w.duckdb", read_only=True).close()
        except duckdb.ConnectionException:  # open in this process, with other settings
            return False
        return True

    monkeypatch.setattr(landing_plugin, "outgrows_memory", lambda rows, _: rows >= 2)
    dbt = environment("w.duckdb")
    assert ids_of_one_model(dbt) == {"demo"}
    assert not is_closed()
    dbt.close()
    (demo / "messages" / "second.csv").write_text(HEADER + ROW)
    dbt = environment("w.duckdb")
    assert ids_of_one_model(dbt) == {"demo", "m1"}
    assert not is_closed()  # when the run began there was one row
    dbt.close()
    dbt = environment("w.duckdb")
    assert ids_of_one_model(dbt) == {"demo", "m1"}
    assert is_closed()
    (demo / "messages" / "third.csv").write_text(HEADER + ROW.replace("m1", "m2"))
    script = "import duckdb, time; c = duckdb.connect('w.duckdb'); print(flush=True); time.sleep(1)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert ids_of_one_model(dbt) == {"demo", "m1"}
    assert ids_of_one_model(environment("w.duckdb")) == {"demo", "m1", "m2"}


def test_dbt_finds_the_demo_loaded_and_directories_made(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    con = opened("deep/er/w.duckdb", temp_directory="other/spill")
    assert con.execute("select message_id from raw.messages").fetchall() == [("demo",)]
    assert (project / "other").is_dir()
    salt = project / "deep" / "er" / "salt"
    assert stat.S_IMODE(salt.stat().st_mode) == 0o600
    assert re.fullmatch("[0-9a-f]{64}\n", salt.read_text())
    assert capsys.readouterr().err == (
        "A new salt for pseudonyms was written to deep/er/salt; keep it, person ids change without "
        "it.\n"
    )
    assert [path.name for path in salt.parent.iterdir() if "salt" in path.name] == ["salt"]


def test_dbt_loads_the_landing_and_keeps_it_without_the_variable(
    project: Path, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    monkeypatch.setenv("PARLEY_LANDING", str(landing.path))
    opened("w.duckdb").close()
    monkeypatch.delenv("PARLEY_LANDING")
    con = opened("w.duckdb")
    assert con.execute("select message_id from raw.messages").fetchall() == [("m1",)]


def test_dbt_gets_a_refusal_as_one_sentence(
    project: Path, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbt_common.exceptions import DbtRuntimeError

    landing.put("messages/a.csv", HEADER + f"{SECRET}\n")
    monkeypatch.setenv("PARLEY_LANDING", str(landing.path))
    with pytest.raises(DbtRuntimeError) as caught:
        opened("w.duckdb")
    assert caught.value.msg.startswith("messages/a.csv, row 1: 1 value")
    assert caught.value.__cause__ is caught.value.__context__ is None
    duckdb.connect("w.duckdb").close()


@pytest.mark.parametrize("salt", ["short", "k" * 64, "long " * 40, "schlüssel"])
def test_sql_computes_the_hmac_of_the_salt(
    project: Path, monkeypatch: pytest.MonkeyPatch, salt: str
) -> None:
    monkeypatch.setenv("PARLEY_SALT", salt)
    con = opened("w.duckdb")
    found = con.execute(
        "select sha256(getvariable('parley_hmac_outer') || "
        "unhex(sha256(getvariable('parley_hmac_inner') || encode('person ü'))))"
    ).fetchone()
    expected = hmac.digest(salt.encode(), "person ü".encode(), "sha256").hex()
    assert found == (expected,)
    assert not (project / "salt").exists()


def test_the_salt_file_is_used_again_and_never_empty(project: Path) -> None:
    first = landing_plugin.salt_beside(Path("w.duckdb"))
    assert landing_plugin.salt_beside(Path("other.duckdb")) == first
    (project / "salt").write_text("\n")
    with pytest.raises(LandingError, match="is empty"):
        landing_plugin.salt_beside(Path("w.duckdb"))


def test_a_warehouse_in_memory_loads_nothing_and_needs_no_salt(
    project: Path, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    monkeypatch.setenv("PARLEY_LANDING", str(landing.path))
    con = opened(":memory:")
    assert con.execute("select count(*) from raw.messages").fetchone() == (0,)
    assert con.execute("select octet_length(getvariable('parley_hmac_inner'))").fetchone() == (64,)
    assert list(project.iterdir()) == []


def test_a_warehouse_that_cannot_be_written_is_left_alone(
    project: Path, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened("w.duckdb").close()
    landing.put("messages/a.csv", HEADER + ROW)
    monkeypatch.setenv("PARLEY_LANDING", str(landing.path))
    con = duckdb.connect("w.duckdb", read_only=True)
    from dbt.adapters.duckdb.credentials import DuckDBCredentials

    plugin = landing_plugin.Plugin("p", {}, DuckDBCredentials(path="w.duckdb"))
    plugin.configure_connection(con)
    assert con.execute("select message_id from raw.messages").fetchall() == [("demo",)]


def test_plain_dbt_build_finds_the_landing(
    project: Path, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing.put("messages/a.csv", HEADER + ROW)
    (project / "models").mkdir()
    (project / "models" / "found.sql").write_text(
        "{{ config(materialized='table') }} select message_id, getvariable('parley_hmac_inner') "
        "as block from raw.messages"
    )
    (project / "dbt_project.yml").write_text("{name: tiny, version: '1.0', profile: parley}")
    profile = (ROOT / "profiles.yml").read_text()
    (project / "profiles.yml").write_text(
        profile.replace("[scripts]", f"[{json.dumps(str(ROOT / 'scripts'))}]")
    )
    done = subprocess.run(
        [Path(sys.executable).with_name("dbt"), "build", "--quiet"],
        env={**os.environ, "PARLEY_LANDING": str(landing.path), "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (warehouse,) = (project / "warehouse").glob("own_*.duckdb")
    with duckdb.connect(str(warehouse)) as con:
        assert con.execute("select message_id, octet_length(block) from found").fetchall() == [
            ("m1", 64)
        ]
