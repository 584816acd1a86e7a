"""Build landings into warehouses of their own and read what the marts say.

A build takes seconds, not half a minute: one process per project parses the models once and forks
for every build, so that the child runs on the parsed project, closes its warehouse and is gone.
A child has one thread: two wait for each other's Python, and two files of tests run at a time.

    warehouse = build(landing, as_of=datetime(2026, 4, 20))
    rows = warehouse.rows("fct_episodes")
"""

from __future__ import annotations

import atexit
import csv
import hashlib
import hmac
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

ROOT = Path(__file__).resolve().parents[2]
CONFORMANCE = ROOT / "tests" / "conformance"
SALT = "a salt for tests"
NAME = "warehouse"  # the parsed project names the catalog of DuckDB, which is the file's stem
TOLERANCE = 1e-9

Row = dict[str, Any]


class BuildError(AssertionError):
    """A build failed; the text is what dbt said."""


# ------------------------------------------------------------------------------------- builds


class Warehouse:
    """A built warehouse, read through short-lived connections."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """The rows of a query, as dictionaries."""
        with duckdb.connect(str(self.path), read_only=True) as con:
            con.execute("set TimeZone = 'UTC'")
            cursor = con.execute(sql, list(parameters))
            names = [column[0] for column in cursor.description or []]
            return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]

    def rows(self, table: str, columns: Iterable[str] = ("*",)) -> list[Row]:
        """The rows of a mart."""
        return self.query(f"select {', '.join(columns)} from marts.{table}")

    def tables(self, schema: str = "marts") -> list[str]:
        """The names of the tables of a schema."""
        found = self.query(
            "select table_name from information_schema.tables where table_schema = ? order by 1",
            [schema],
        )
        return [row["table_name"] for row in found]

    def kpis(self, *names: str) -> dict[tuple[str, str, date, str, str], Row]:
        """Rows of kpi_values (of the KPIs named, or all) by their key."""
        chosen = "where list_contains(?, kpi)" if names else "where len(?) = 0"
        return {
            kpi_key(row): row
            for row in self.query(f"select * from marts.kpi_values {chosen}", [list(names)])
        }


def kpi_key(row: Mapping[str, Any]) -> tuple[str, str, date, str, str]:
    """The key of a row of kpi_values."""
    names = ("kpi", "grain", "period_start", "dimension", "dimension_value")
    return tuple(row[name] for name in names)


class _Builder:
    """The process that holds a parsed project and forks a child per build."""

    def __init__(self, project: Path) -> None:
        self.scratch = scratch_directory("builder")
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), str(self.scratch)],
            cwd=project,
            env=environment(PARLEY_WAREHOUSE=str(self.scratch / f"{NAME}.duckdb")),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.close)
        self._answer()

    def close(self) -> None:
        """Let the process end."""
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait(timeout=30)

    def _answer(self) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line != "done\n":
            log = json.loads(line) if line else "the builder ended"
            raise BuildError(log)

    def build(self, settings: dict[str, str], arguments: list[str], log: Path) -> None:
        """Run dbt in a child; raises what it said when it failed."""
        assert self.process.stdin is not None
        request = {"settings": settings, "arguments": arguments, "log": str(log)}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        self._answer()


@cache
def _builder(project: Path) -> _Builder:
    return _Builder(project)


def semantic_manifest(project: Path = ROOT) -> str:
    """What dbt hands to MetricFlow, as JSON; it names the catalog of the warehouses built here."""
    path = _builder(project).scratch / "target" / "semantic_manifest.json"
    return path.read_text(encoding="utf-8")


@cache
def _session_directory() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="parley_tests_"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def scratch_directory(name: str) -> Path:
    """A new directory that is removed when the tests end."""
    return Path(tempfile.mkdtemp(prefix=f"{name}_", dir=_session_directory()))


def environment(**settings: str) -> dict[str, str]:
    """This process's environment without settings of the project, plus those given."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PARLEY_", "DBT_"))}
    return kept | {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false"} | settings


def build_settings(landing: Path, directory: Path, as_of: datetime, salt: str) -> dict[str, str]:
    """The settings of a build into `directory`."""
    return {
        "PARLEY_LANDING": str(landing),
        "PARLEY_WAREHOUSE": str(directory / f"{NAME}.duckdb"),
        "PARLEY_SPILL": str(directory / "spill"),
        "PARLEY_AS_OF": as_of.isoformat() + "Z",
        "PARLEY_SALT": salt,
    }


def build_anew(
    landing: Path,
    as_of: datetime,
    salt: str = SALT,
    variables: Mapping[str, Any] | None = None,
    project: Path = ROOT,
    directory: Path | None = None,
    arguments: Sequence[str] = (),
) -> Warehouse:
    """Build all models of a landing, as seen at an instant (naive, UTC).

    `arguments` are further ones of dbt, such as a selection.

    Raises:
        BuildError: the build failed.
    """
    directory = directory or scratch_directory("build")
    given = ["--vars", json.dumps(dict(variables))] if variables else []
    settings = build_settings(landing, directory, as_of, salt)
    _builder(project).build(settings, [*given, *arguments], directory / "dbt.log")
    return Warehouse(directory / f"{NAME}.duckdb")


@cache
def _built(landing: Path, as_of: datetime, salt: str, variables: str) -> Warehouse | BuildError:
    try:
        return build_anew(landing, as_of, salt, json.loads(variables))
    except BuildError as error:
        return error


def build(
    landing: Path,
    as_of: datetime,
    salt: str = SALT,
    variables: Mapping[str, Any] | None = None,
) -> Warehouse:
    """As `build_anew`, but once per test run for the same arguments, also where it fails."""
    built = _built(landing, as_of, salt, json.dumps(dict(variables or {}), sort_keys=True))
    if isinstance(built, BuildError):
        raise BuildError(*built.args)
    return built


# ----------------------------------------------------------------------------------- landings


def write_table(
    directory: Path, table: str, rows: Sequence[Mapping[str, Any]], name: str = ""
) -> Path:
    """Write rows to a CSV file of a landing; a row may leave columns out, None is empty."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    path = directory / table / f"{name or table}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        for row in rows:
            writer.writerow({column: as_landed(value) for column, value in row.items()})
    return path


def as_landed(value: Any) -> Any:
    """A value as an export writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat() + ("" if value.tzinfo else "Z")
    return value


def write_landing(directory: Path, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> Path:
    """Write a landing of one CSV file a table; returns its directory."""
    for table, rows in tables.items():
        if rows:
            write_table(directory, table, rows)
    return directory


# --------------------------------------------------------------------------------- comparison


def pseudonym(person: str, salt: str = SALT) -> str:
    """The published id of a person."""
    return hmac.new(salt.encode(), person.encode(), hashlib.sha256).hexdigest()


def is_same(one: Any, other: Any) -> bool:
    """Whether two cells are equal; numbers up to a relative difference of 1e-9."""
    if one is None or other is None or isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(one == other)


def differences(
    expected: Iterable[Mapping[str, Any]],
    actual: Iterable[Mapping[str, Any]],
    key: Sequence[str],
    columns: Sequence[str],
) -> list[str]:
    """What differs between two sets of rows, a line each: a missing, surplus or unequal cell."""

    def keyed(rows: Iterable[Mapping[str, Any]], side: str) -> dict[tuple[Any, ...], Any]:
        by_key: dict[tuple[Any, ...], Any] = {}
        for row in rows:
            row_key = tuple(row[name] for name in key)
            if row_key in by_key:
                lines.append(f"{row_key} stands twice in {side}")
            by_key[row_key] = row
        return by_key

    lines: list[str] = []
    wanted, found = keyed(expected, "expected"), keyed(actual, "actual")
    lines += [f"{k} is missing: {dict(wanted[k])}" for k in wanted if k not in found]
    lines += [f"{k} is too many: {dict(found[k])}" for k in found if k not in wanted]
    for row_key in wanted.keys() & found.keys():
        for column in columns:
            one, other = wanted[row_key][column], found[row_key][column]
            if not is_same(one, other):
                lines.append(f"{row_key} {column}: expected {one!r}, got {other!r}")
    return sorted(lines)


def assert_same_rows(
    expected: Iterable[Mapping[str, Any]],
    actual: Iterable[Mapping[str, Any]],
    key: Sequence[str],
    columns: Sequence[str],
    name: str = "",
) -> None:
    """Fail with the first differences, if there are any."""
    found = differences(expected, actual, key, columns)
    assert not found, "\n".join([f"{name}: {len(found)} differences", *found[:12]])


# --------------------------------------------------------------- the process that holds a project


def _serve(scratch: Path) -> None:
    """Parse the project of the working directory, then fork a child for every request."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(text: str) -> None:
        answers.write(text + "\n")
        answers.flush()

    from dbt.cli.main import dbtRunner

    quiet = ["--quiet", "--log-level-file", "none", "--no-use-colors"]
    paths = ["--target-path", str(scratch / "target"), "--log-path", str(scratch)]
    parsed = dbtRunner().invoke([*quiet, "--write-json", "parse", "--no-partial-parse", *paths])
    if not parsed.success:
        answer(json.dumps(f"the project cannot be parsed: {parsed.exception}"))
        return
    answer("done")
    without_tests = [f"--exclude-resource-type={kind}" for kind in ("test", "unit_test")]
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(log, 1)
                os.dup2(log, 2)
                os.environ.update(request["settings"])
                runner = dbtRunner(manifest=parsed.result)  # type: ignore[arg-type]
                arguments = ["build", "--threads=1", *without_tests, *request["arguments"], *paths]
                outcome = runner.invoke([*quiet, "--no-write-json", *arguments])
                from dbt.adapters.duckdb.connections import DuckDBConnectionManager

                DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]
                status = 0 if outcome.success else 1
                if outcome.exception:
                    print(outcome.exception)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        _, status = os.waitpid(child, 0)
        if status == 0:
            answer("done")
        else:
            answer(json.dumps(Path(request["log"]).read_text(encoding="utf-8")[-8000:]))


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
