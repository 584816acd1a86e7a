"""The release in PostgreSQL: equal to the row, switched between two readers, safe to interrupt."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

import harness
from postgres import PostgresError
from postgres_server import PASSWORD, running_postgres
from publish import publish
from publish_postgres import Documented, documentation, publish_postgres
from test_publish import write_warehouse

psycopg = pytest.importorskip("psycopg")

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "publish_postgres.py"
GRANTS = ROOT / "scripts" / "sql" / "bi_reader.sql"
DOCUMENTS = {"facts": Documented(("fact_id",), "Not this.", {"version": "Version, a \\ b."})}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """URL of a server for all tests of this file, with its user's password."""
    with running_postgres("-c log_statement=all") as url:
        yield url


@pytest.fixture
def url(server: str) -> str:
    """URL of a database of the test's own."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as con:
        con.execute(f"create database {name}")
    return server.rsplit("/", 1)[0] + f"/{name}"


@pytest.fixture
def environment(url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Settings of a publish; libpq reads the password from the process's environment."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    return {"PARLEY_POSTGRES": url.replace(f":{PASSWORD}", "")}


def release(folder: Path, version: int = 1, rows: int = 1000) -> Path:
    """A published release of test_publish's marts, all of one version."""
    publish(write_warehouse(folder / "w.duckdb", version, rows), folder / "published")
    return folder / "published"


def release_of(folder: Path, *statements: str) -> Path:
    """A published release of marts made by SQL."""
    path = folder / "made.duckdb"
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as con:
        con.execute("create schema marts")
        for statement in statements:
            con.execute(statement)
    publish(path, folder / "published")
    return folder / "published"


def rows_of(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as con:
        return con.execute(sql).fetchall()


def released(published: Path, sql: str) -> list[tuple[Any, ...]]:
    path = str(published / "current" / "parley.duckdb")
    with duckdb.connect(path, read_only=True) as con:
        return con.execute(sql).fetchall()


def exactly(rows: list[tuple[Any, ...]]) -> list[str]:
    """Rows in an order of their own, cells with their Python types, floats to the last bit."""
    return sorted(repr(row) for row in rows)


# ---------------------------------------------------------------------------------- equality


def test_every_table_equals_the_release_row_by_row(
    tmp_path: Path, url: str, environment: dict[str, str]
) -> None:
    warehouse = harness.build(harness.CONFORMANCE / "case11" / "landing", datetime(2026, 4, 20))
    publish(warehouse.path, tmp_path)
    served = publish_postgres(tmp_path, environment)

    tables = [name for (name,) in released(tmp_path, "select table_name from duckdb_tables()")]
    assert sorted(served.rows) == sorted(tables)
    assert {"fct_episodes", "kpi_values", "rejected_rows"} <= set(tables)
    for table in tables:
        expected = released(tmp_path, f"from marts.{table}")
        actual = rows_of(url, f"select * from marts.{table}")
        assert len(expected) == served.rows[table]
        assert exactly(actual) == exactly(expected), table
    comment = "select obj_description('marts'::regnamespace)"
    assert rows_of(url, comment) == [(f"parley release {served.release}",)]

    keyed = rows_of(
        url,
        "select relname::text from pg_index inner join pg_class on pg_class.oid = indrelid "
        "where relnamespace = 'marts'::regnamespace and indisunique",
    )
    assert sorted(name for (name,) in keyed) == sorted(tables)
    assert {name for name, documented in documentation().items() if documented.key} >= set(tables)
    described = rows_of(
        url,
        "select count(*), count(*) filter (where col_description(attrelid, attnum) is null), "
        "count(*) filter (where col_description(attrelid, attnum) like '%{%') from pg_attribute "
        "inner join pg_class on pg_class.oid = attrelid and relkind = 'r' "
        "where relnamespace = 'marts'::regnamespace and attnum > 0",
    )
    assert described[0][0] > 300
    assert described[0][1:] == (0, 0)
    assert rows_of(
        url,
        "select count(*) from information_schema.columns "
        "where table_schema = 'marts' and is_nullable = 'NO'",
    ) == released(tmp_path, "select count(*) from duckdb_columns() where not is_nullable")


STRANGE = """
create table marts.strange as
select
    i as id, t as text, d as double, cast(i / 3 as decimal(18, 6)) as money, b as flag,
    timestamp '1969-12-31 23:59:59.999999' + to_microseconds(i) as instant,
    date '2024-02-28' + cast(i as integer) as day, l as list,
    cast(i as hugeint) * 1000000000000000000000000000000 as huge, null::varchar as nothing
from (values
    (0, '', 0.1, true, ['a', null, '"', '\\', '{,}', '']),
    (1, null, -0.0, false, []),
    (2, '\\N', 1.7976931348623157e308, null, null),
    (3, '\\.', 5e-324, true, ['NULL']),
    (4, 'tab\there', 'infinity'::double, true, [chr(10)]),
    (5, chr(10) || '\\.' || chr(10), '-infinity'::double, true, ['ü', '转人工', '🙂']),
    (6, chr(13) || chr(10) || '"quoted", ''so''', 1 / 3, true, ['\\n']),
    (7, 'Grüße, 谢谢 🙂 ' || chr(8203), 123456789.123456789, true, ['x'])
) as given (i, t, d, b, l)
"""


def test_strange_values_arrive_exactly(
    tmp_path: Path, url: str, environment: dict[str, str]
) -> None:
    published = release_of(tmp_path, STRANGE)
    publish_postgres(published, environment, documents={"strange": Documented(("id",))})
    columns = "id, text, double, money, flag, instant, day, list, nothing"
    expected = released(published, f"select {columns} from marts.strange order by id")
    actual = rows_of(url, f"select {columns} from marts.strange order by id")
    assert exactly(actual) == exactly(expected)
    # DuckDB gives a hugeint as int, PostgreSQL a numeric as Decimal.
    huge = "select cast(huge as varchar) from marts.strange order by id"
    assert rows_of(url, huge) == released(published, huge)
    kinds = dict(
        rows_of(
            url,
            "select attname::text, format_type(atttypid, atttypmod) from pg_attribute "
            "where attrelid = 'marts.strange'::regclass and attnum > 0",
        )
    )
    assert kinds == {
        "id": "integer",
        "text": "text",
        "double": "double precision",
        "money": "numeric(18,6)",
        "flag": "boolean",
        "instant": "timestamp without time zone",
        "day": "date",
        "list": "text[]",
        "huge": "numeric(39,0)",
        "nothing": "text",
    }


def test_not_null_comments_and_key_are_kept(
    tmp_path: Path, url: str, environment: dict[str, str]
) -> None:
    publish_postgres(release(tmp_path), environment, documents=DOCUMENTS)
    assert rows_of(
        url,
        "select column_name::text, is_nullable::text, col_description('marts.facts'::regclass, "
        "ordinal_position) from information_schema.columns where table_name = 'facts' "
        "and ordinal_position <= 3 order by ordinal_position",
    ) == [
        ("fact_id", "NO", None),
        ("version", "YES", "Version, a \\ b."),
        ("amount", "YES", "Amount, it's in EUR."),
    ]
    assert rows_of(url, "select obj_description('marts.facts'::regclass)") == [
        ("One row per fact.",)
    ]
    assert rows_of(
        url,
        "select pg_get_constraintdef(oid) from pg_constraint "
        "where conrelid = 'marts.facts'::regclass and contype = 'p'",
    ) == [("PRIMARY KEY (fact_id)",)]
    assert rows_of(url, 'select * from marts."odd ""name"') == [(True,)]

    nullable_key = {"facts": Documented(("amount",))}
    publish_postgres(tmp_path / "published", environment, documents=nullable_key)
    assert rows_of(
        url,
        "select column_name::text from information_schema.columns "
        "where table_name = 'facts' and is_nullable = 'NO'",
    ) == [("fact_id",)]
    assert rows_of(url, "select indexdef from pg_indexes where schemaname = 'marts'") == [
        ("CREATE UNIQUE INDEX facts_amount_idx ON marts.facts USING btree (amount)",)
    ]


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("create table marts.t as select {'a': 1} as s", "Column s of t has type STRUCT"),
        ("create table marts.t as select 'a' || chr(0) as s", "cannot store a character"),
    ],
)
def test_what_postgresql_cannot_hold_is_refused(
    tmp_path: Path, url: str, environment: dict[str, str], statement: str, sentence: str
) -> None:
    publish_postgres(release(tmp_path, 7), environment)
    with pytest.raises(PostgresError, match=sentence):
        publish_postgres(release_of(tmp_path, statement), environment)
    assert rows_of(url, "select max(version) from marts.facts") == [(7,)]


# ----------------------------------------------------------------------------------- readers


def two_tables(folder: Path, version: int) -> Path:
    """A release of two tables that say which release they are of."""
    fill = f"as select {version} as version, i as id from range(2000) as numbers (i)"
    return release_of(folder, f"create table marts.a {fill}", f"create table marts.b {fill}")


def _poll(url: str, stop: Any, ready: Any, outcome: Any) -> None:
    """Read both tables in one transaction again and again; report versions, or the first fault."""
    seen = []
    try:
        with psycopg.connect(url) as con:
            con.prepare_threshold = 1  # plans that outlive a switch, as pools keep them
            con.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            while not stop.is_set():
                sql = "select min(version), max(version), count(*) from marts.{}"
                with con.transaction():
                    one = con.execute(sql.format("a")).fetchone()
                    time.sleep(0.002)
                    other = con.execute(sql.format("b")).fetchone()
                assert one == other, (one, other)
                assert one[0] == one[1], one
                assert one[2] == 2000, one
                seen.append(one[0])
                ready.set()
        outcome.put(seen)
    except BaseException as error:
        outcome.put(repr(error))
        raise


def test_readers_see_one_release_whole_while_others_are_published(
    tmp_path: Path, url: str, environment: dict[str, str]
) -> None:
    publish_postgres(two_tables(tmp_path, 1), environment)
    context = multiprocessing.get_context("spawn")
    stop, outcome = context.Event(), context.Queue()
    readies = [context.Event() for _ in range(2)]
    readers = [context.Process(target=_poll, args=(url, stop, ready, outcome)) for ready in readies]
    for reader in readers:
        reader.start()
    try:
        assert all(ready.wait(30) for ready in readies)
        for version in range(2, 8):
            publish_postgres(two_tables(tmp_path, version), environment)
            time.sleep(0.05)
    finally:
        stop.set()
        outcomes = [outcome.get(timeout=20) for _ in readers]
        for reader in readers:
            reader.join(timeout=20)
    for seen in outcomes:
        assert isinstance(seen, list), seen
        assert seen == sorted(seen)
        assert len(set(seen)) > 3, "the reader saw too few releases to prove anything"


def test_a_transaction_older_than_a_release_reads_it_whole(
    tmp_path: Path, url: str, environment: dict[str, str]
) -> None:
    publish_postgres(two_tables(tmp_path, 1), environment)
    with psycopg.connect(url) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("select count(*) from pg_class").fetchone()  # its view of the data is fixed
        publish_postgres(two_tables(tmp_path, 2), environment)
        for table in ("a", "b"):
            sql = f"select min(version), max(version), count(*) from marts.{table}"
            assert reader.execute(sql).fetchone() == (2, 2, 2000)


def test_a_reader_that_does_not_end_is_named_and_keeps_what_it_reads(
    tmp_path: Path, url: str, environment: dict[str, str]
) -> None:
    publish_postgres(two_tables(tmp_path, 1), environment)
    with psycopg.connect(url) as reader:
        assert reader.execute("select max(version) from marts.a").fetchone() == (1,)
        pid = reader.info.backend_pid
        started = time.monotonic()
        with pytest.raises(PostgresError, match=rf"held tables.*1 s \(server processes: {pid}\)"):
            publish_postgres(two_tables(tmp_path, 2), environment, patience=1)
        assert time.monotonic() - started < 10
        assert reader.execute("select max(version) from marts.b").fetchone() == (1,)
    assert rows_of(url, "select max(version) from marts.a") == [(1,)]
    publish_postgres(two_tables(tmp_path, 3), environment, patience=1)
    assert rows_of(url, "select max(version) from marts.a") == [(3,)]


# ----------------------------------------------------------------------------------- failure


def test_a_killed_run_leaves_the_former_release_and_nothing_else(
    tmp_path: Path, url: str, environment: dict[str, str]
) -> None:
    publish_postgres(release(tmp_path, 1), environment)
    published = release(tmp_path, 2, rows=400_000)
    with psycopg.connect(url, autocommit=True) as watch:
        run = subprocess.Popen(
            [sys.executable, SCRIPT],
            env=os.environ | environment | {"PARLEY_PUBLISHED": str(published)},
        )
        copies = "select count(*) from pg_stat_progress_copy where tuples_processed > 20000"
        until = time.monotonic() + 30
        while watch.execute(copies).fetchone() == (0,):
            assert run.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < until
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
        run.wait(timeout=10)
        schemas = (
            "select nspname::text from pg_namespace where nspname !~ '^pg_' "
            "and nspname not in ('information_schema', 'public')"
        )
        assert watch.execute(schemas).fetchall() == [("marts",)]
        version = "select max(version), count(*) from marts.facts"
        assert watch.execute(version).fetchone() == (1, 1000)
        publish_postgres(published, environment)
        assert watch.execute(version).fetchone() == (2, 400_000)
        assert watch.execute(schemas).fetchall() == [("marts",)]


def test_one_run_at_a_time(
    tmp_path: Path, url: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("publish_postgres.TURN_SECONDS", 0.5)
    with psycopg.connect(url) as other:
        other.execute("select pg_advisory_xact_lock(hashtextextended('parley publish marts', 0))")
        with pytest.raises(PostgresError, match="Another run is publishing into schema marts"):
            publish_postgres(release(tmp_path), environment)
    publish_postgres(release(tmp_path), environment)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"PGPASSWORD": "falsch"}, "the password or user was not accepted"),
        ({"PGPASSWORD": ""}, "it asks for a password; set PGPASSWORD"),
        ({"PARLEY_POSTGRES": r"postgresql://rasa@127.0.0.1:1/x"}, "no server answers there"),
        ({"PARLEY_POSTGRES": "postgresql://rasa@[::1/x"}, "is no connection URL; write it like"),
        ({"PARLEY_POSTGRES": "postgresql://rasa:geheim@127.0.0.1/x"}, "holds a password"),
        ({"PARLEY_POSTGRES": ""}, "No PostgreSQL server is named; set POSTGRES="),
        ({"PARLEY_POSTGRES_SCHEMA": "Marts; drop"}, "must be lowercase letters"),
        ({"PARLEY_PUBLISHED": "nowhere"}, "nowhere/current holds no release"),
    ],
)
def test_what_fails_is_said_in_one_sentence_without_secrets(
    tmp_path: Path, environment: dict[str, str], change: dict[str, str], sentence: str
) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "PARLEY_"))}
    settings = {"PGPASSWORD": PASSWORD, "PARLEY_PUBLISHED": str(release(tmp_path))} | environment
    run = subprocess.run(
        [sys.executable, SCRIPT],
        env=clean | settings | change,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stdout == ""
    assert sentence in run.stderr
    assert len(run.stderr.splitlines()) == 1, run.stderr
    assert not re.search(r"geheim|falsch|Traceback", run.stderr)


def test_a_schema_of_others_is_not_touched(
    tmp_path: Path, url: str, environment: dict[str, str]
) -> None:
    published = release(tmp_path)
    with psycopg.connect(url) as con:
        con.execute("create schema marts; create table marts.theirs as select 1 as one")
    with pytest.raises(PostgresError, match="holds tables parley did not make"):
        publish_postgres(published, environment)
    assert rows_of(url, "select * from marts.theirs") == [(1,)]
    publish_postgres(published, environment | {"PARLEY_POSTGRES_SCHEMA": "kpis"})
    assert rows_of(url, "select count(*) from kpis.facts") == [(1000,)]


def test_views_of_others_are_named_and_not_dropped(
    tmp_path: Path, url: str, environment: dict[str, str]
) -> None:
    publish_postgres(release(tmp_path), environment)
    with psycopg.connect(url) as con:
        con.execute("create view public.theirs as select count(*) as facts from marts.facts")
    with pytest.raises(PostgresError, match="theirs reads tables of schema marts"):
        publish_postgres(release(tmp_path, 2), environment)
    assert rows_of(url, "select * from theirs") == [(1000,)]


# ------------------------------------------------------------------------------------ rights


@pytest.fixture
def roles(server: str, url: str) -> Iterator[dict[str, str]]:
    """URLs of the publisher and of a dashboard, after the grants template has run (twice)."""
    login = "alter role parley_publisher password 'p'"
    dashboard = "create role dashboard login password 'd' in role bi_reader"
    with psycopg.connect(url, autocommit=True) as con:
        for statement in (GRANTS.read_text(), GRANTS.read_text(), login, dashboard):
            con.execute(statement)
    yield {
        "publisher": url.replace(f"rasa:{PASSWORD}", "parley_publisher"),
        "dashboard": url.replace(f"rasa:{PASSWORD}", "dashboard:d"),
    }
    with psycopg.connect(url, autocommit=True) as con:
        con.execute("drop schema if exists marts cascade; drop role dashboard")
        for role in ("parley_publisher", "bi_reader"):
            con.execute(f"drop owned by {role}; drop role {role}")


def test_bi_reader_reads_marts_and_nothing_else(
    tmp_path: Path, url: str, roles: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "p")
    environment = {"PARLEY_POSTGRES": roles["publisher"]}
    with psycopg.connect(url) as con:
        con.execute("create schema raw; create table raw.messages as select 'private' as text")
        con.execute("create table public.notes as select 'private' as text")
    for version in (1, 2):  # the grants are there again after a switch
        publish_postgres(release(tmp_path, version), environment)
        assert rows_of(roles["dashboard"], "select max(version) from marts.facts") == [(version,)]
    for statement in (
        "select * from raw.messages",
        "select * from public.notes",
        "insert into marts.facts (fact_id) values ('x')",
        "update marts.facts set version = 3",
        "delete from marts.facts",
        "truncate marts.facts",
        "drop table marts.facts",
        "create table marts.mine (i integer)",
        "create schema mine",
        "create temporary table mine (i integer)",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            rows_of(roles["dashboard"], statement)
    seen = rows_of(
        roles["dashboard"],
        "select distinct table_schema::text from information_schema.tables "
        "where table_schema not in ('pg_catalog', 'information_schema')",
    )
    assert seen == [("marts",)]


def test_a_role_without_rights_is_told_so(
    tmp_path: Path, url: str, roles: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "d")
    reader = {"PARLEY_POSTGRES": roles["dashboard"].replace(":d@", "@")}
    with pytest.raises(PostgresError, match=r"the role may not do this; scripts/sql/bi_reader"):
        publish_postgres(release(tmp_path), reader)
    monkeypatch.setenv("PGPASSWORD", "p")
    publish_postgres(release(tmp_path), {"PARLEY_POSTGRES": roles["publisher"]})
    monkeypatch.setenv("PGPASSWORD", "d")
    with pytest.raises(PostgresError, match="belongs to another role"):
        publish_postgres(release(tmp_path, 2), reader)


def test_the_password_stands_nowhere(
    tmp_path: Path, server: str, environment: dict[str, str]
) -> None:
    places = [ROOT / "logs", ROOT / "target", tmp_path]
    published = release(tmp_path)
    settings = {"PARLEY_PUBLISHED": str(published), "PGPASSWORD": PASSWORD}
    started = time.time()
    run = subprocess.run(
        [sys.executable, SCRIPT],
        env=os.environ | environment | settings,
        capture_output=True,
        text=True,
        check=True,
    )
    assert PASSWORD not in run.stdout + run.stderr
    assert re.search(r"^Copied 2 tables with 1,001 rows \(.* MB\) in .* MB/s: ", run.stdout)
    written = {}
    found = [
        Path(folder, name)
        for place in places
        for folder, _, names in os.walk(place)
        for name in names
    ]
    for path in found:
        with suppress(FileNotFoundError):  # another test's, gone meanwhile
            if path.stat().st_mtime >= started - 60:
                written[path] = path.read_bytes()
    assert "parley.duckdb" in {path.name for path in written}
    for path, content in written.items():
        assert PASSWORD.encode() not in content, path
    ((folder,),) = rows_of(server, "show data_directory")
    log = (Path(folder).parent / "log").read_text()
    assert "copy " in log.lower()
    assert PASSWORD not in log
