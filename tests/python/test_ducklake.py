"""Target `ducklake`: the same models, the same rows, and two processes writing at once."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dbt.adapters.duckdb.credentials import Attachment, DuckDBCredentials
from dbt_common.exceptions import DbtRuntimeError

import harness
from ducklake_plugin import Plugin, load_extensions
from load import default_warehouse
from postgres_server import PASSWORD, running_postgres

AS_OF = datetime(2026, 4, 20)
LANDING = harness.CONFORMANCE / "case11" / "landing"


@dataclass(frozen=True)
class Lake:
    """A built lake: how dbt runs on it, and how anybody reads it."""

    settings: dict[str, str]
    folder: Path
    catalogue: str

    def dbt(self, name: str, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        """Start dbt on the lake, with a target directory and a log of its own."""
        folder = self.folder / name
        folder.mkdir()
        parsed = self.folder / "first" / "partial_parse.msgpack"
        if parsed.exists():  # seconds saved
            shutil.copy(parsed, folder)
        return subprocess.Popen(
            [
                sys.executable,
                *("-m", "dbt.cli.main", *arguments, "--target", "ducklake"),
                *("--target-path", str(folder), "--log-path", str(folder)),
            ],
            cwd=harness.ROOT,
            env=harness.environment(**self.settings) | {"PGPASSWORD": PASSWORD} | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A connection as an analyst opens it: nothing but the extensions and the catalogue."""
        con = duckdb.connect()
        load_extensions(con)
        schema = default_warehouse(str(LANDING)).stem
        con.execute(
            f"attach 'ducklake:postgres:{self.catalogue}' as lake "
            f"(read_only, metadata_schema '{schema}')"
        )
        return con

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query on the lake as it is now."""
        with self.connect() as con:
            return con.execute(sql).fetchall()


def outcome(process: subprocess.Popen[str]) -> str:
    """What a dbt that ended well has printed."""
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said[-4000:]
    assert PASSWORD not in said
    return said


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """The conformance case built into a lake."""
    folder = tmp_path_factory.mktemp("lake")
    with pytest.MonkeyPatch.context() as patch, running_postgres() as url:
        patch.setenv("PGPASSWORD", PASSWORD)
        patch.delenv("PARLEY_WAREHOUSE", raising=False)
        catalogue = url.replace(f":{PASSWORD}", "")
        settings = {
            "PARLEY_CATALOG": catalogue,
            "PARLEY_LAKE": str(folder / "rows"),
            "PARLEY_SPILL": str(folder / "spill"),
            "PARLEY_LANDING": str(LANDING),
            "PARLEY_AS_OF": AS_OF.isoformat() + "Z",
            "PARLEY_SALT": harness.SALT,
        }
        built = Lake(settings, folder, catalogue)
        outcome(built.dbt("first", "build", "--exclude-resource-type", "unit_test", "test"))
        yield built


def test_the_lake_holds_the_marts_of_a_plain_build_row_by_row(lake: Lake) -> None:
    warehouse = harness.build(LANDING, AS_OF)
    tables = warehouse.tables()
    assert {"fct_episodes", "kpi_values", "rejected_rows", "reconciliation"} <= set(tables)
    with lake.connect() as con, duckdb.connect(str(warehouse.path), read_only=True) as plain:
        described = "select table_name, column_name, data_type from duckdb_columns() "
        marts = "where schema_name = 'marts' and database_name = '{}' order by all"
        assert (
            con.execute(described + marts.format("lake")).fetchall()
            == plain.execute(described + marts.format(harness.NAME)).fetchall()
        )
        for table in tables:
            expected = plain.execute(f"from marts.{table} order by all").fetchall()
            actual = con.execute(f"from lake.marts.{table} order by all").fetchall()
            assert len(actual) == len(expected), table
            assert all(
                harness.is_same(one, other)
                for row, wanted in zip(actual, expected, strict=True)
                for one, other in zip(row, wanted, strict=True)
            ), table


def test_extensions_come_from_the_lock_and_are_signed(lake: Lake) -> None:
    with lake.connect() as con:
        assert con.execute("select current_setting('allow_unsigned_extensions')").fetchall() == [
            (False,)
        ]
        loaded = "select extension_name from duckdb_extensions() where loaded and not installed"
        assert {"ducklake", "postgres_scanner"} <= {
            name for (name,) in con.execute(loaded).fetchall()
        }


def test_two_processes_write_at_once(lake: Lake) -> None:
    sql = "select snapshot_id from ducklake_snapshots('lake') order by 1 desc limit 1"
    ((before,),) = lake.rows(sql)
    marts = {
        table: lake.rows(f"from lake.marts.{table} order by all")
        for table in ("fct_messages", "fct_deals", "fct_turns", "fct_tickets")
    }
    writers = [
        lake.dbt("one", "run", "--select", "fct_messages", "fct_turns", "fct_events"),
        lake.dbt("two", "run", "--select", "fct_deals", "fct_tickets", "fct_feedback"),
    ]
    for writer in writers:
        outcome(writer)
    for table, rows in marts.items():
        assert lake.rows(f"from lake.marts.{table} order by all") == rows
    with lake.connect() as con:
        changes = con.execute(
            "select snapshot_time, changes from ducklake_snapshots('lake') where snapshot_id > ?",
            [before],
        ).fetchall()
    assert len(changes) >= 6
    spans = [_span(lake.folder / name) for name in ("one", "two")]
    assert max(start for start, _ in spans) < min(end for _, end in spans), "not at once"


def _span(folder: Path) -> tuple[str, str]:
    """When the first model of a run began and the last one ended, ISO 8601."""
    results = json.loads((folder / "run_results.json").read_text())["results"]
    timings = [timing for result in results for timing in result["timing"]]
    return min(t["started_at"] for t in timings), max(t["completed_at"] for t in timings)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"PARLEY_CATALOG": ""}, "No PostgreSQL server is named; set CATALOG="),
        ({"PARLEY_CATALOG": "postgresql://rasa@127.0.0.1:1/x"}, "no server answers there"),
        ({"PGPASSWORD": "falsch"}, "the password or user was not accepted"),
        ({"PARLEY_CATALOG": "postgresql://rasa:falsch@127.0.0.1/x"}, "CATALOG holds a password"),
        ({"PARLEY_LANDING": "/nowhere"}, "The landing /nowhere is not a directory"),
    ],
)
def test_what_fails_is_said_in_one_sentence(
    lake: Lake, change: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith(("PG", "PARLEY_"))]:
        monkeypatch.delenv(name)
    settings = lake.settings | {"PGPASSWORD": PASSWORD} | change
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    path = f"ducklake:postgres:{settings['PARLEY_CATALOG']}"
    options = {"metadata_schema": "refused", "data_path": str(lake.folder / "refused")}
    credentials = DuckDBCredentials(
        database="lake", attach=[Attachment(path=path, alias="lake", options=options)]
    )
    with pytest.raises(DbtRuntimeError) as caught:
        Plugin("ducklake", {}, credentials).configure_connection(duckdb.connect())
    assert sentence in str(caught.value)
    assert not re.search("falsch|geheim", str(caught.value))


def test_the_password_is_in_no_log_and_no_artefact(lake: Lake) -> None:
    files = [path for path in lake.folder.rglob("*") if path.is_file()]
    assert {"dbt.log", "manifest.json", "run_results.json"} <= {path.name for path in files}
    assert any(path.suffix == ".parquet" for path in files)
    for path in files:
        assert PASSWORD.encode() not in path.read_bytes(), path
