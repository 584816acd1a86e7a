"""A database a platform writes itself, exported as CSV: SQLite or PostgreSQL, read-only.

The rows go through the same reader as a landed file, so every rule for files holds here too.
"""

from __future__ import annotations

import csv
import importlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from landed_file import name_sql
from landing import LandingError


class Database(Protocol):
    """Tables with an integer column `id` that grows."""

    def has(self, table: str) -> bool:
        """Whether the table exists."""

    def ids_until(self, table: str, last: int) -> tuple[int, int]:
        """Number and sum of the ids up to `last`, included."""

    def export(self, table: str, path: Path, after: int | None) -> None:
        """Write rows (those with an id above `after`, or all) to a CSV file, by id."""


def _dialect(url: str) -> str:
    """`sqlite` or `postgresql`, of a URL such as `postgresql+psycopg2://...`."""
    try:
        dialect = urlsplit(url).scheme.split("+")[0].replace("postgres", "postgresql", 1)
    except ValueError:
        dialect = ""
    dialect = dialect.replace("postgresqlql", "postgresql")
    if "\0" in url or dialect not in ("sqlite", "postgresql"):
        raise LandingError(
            "The database URL must begin with sqlite:/// or postgresql://; other databases are "
            "landed as files."
        )
    return dialect


def _sqlite_path(url: str) -> Path:
    return Path(url.split("://", 1)[1].removeprefix("/")).absolute()


def _connection_text(url: str) -> str:
    """The URL as PostgreSQL's own client library reads it, without a Python driver's name."""
    return "postgresql://" + url.split("://", 1)[1]


def identity(url: str) -> str:
    """Name of a database for logs and raw tables: where it is, without user and password.

    Raises:
        LandingError: the URL is of no kind that can be read.
    """
    if _dialect(url) == "sqlite":
        return f"sqlite:///{_sqlite_path(url).as_posix().removeprefix('/')}"
    parts = urlsplit(url)
    try:
        port = parts.port or 5432
    except ValueError:
        raise LandingError("The database URL has a port that is no number.") from None
    return f"postgresql://{parts.hostname or 'localhost'}:{port}{parts.path}"


@contextmanager
def opened_database(url: str) -> Iterator[Database]:
    """Open a database read-only, in one transaction: all reads see the same rows.

    Raises:
        LandingError: it cannot be opened or read; the text names no user, password or value.
    """
    if _dialect(url) == "sqlite":
        with _opened_sqlite(url) as database:
            yield database
    else:
        with _opened_postgres(url) as database:
            yield database


# ------------------------------------------------------------------------------------- SQLite


class _Sqlite:
    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self._name = name

    def has(self, table: str) -> bool:
        """See Database."""
        found = self._connection.execute(
            "select 1 from sqlite_master where type in ('table', 'view') and name = ?", (table,)
        )
        return found.fetchone() is not None

    def ids_until(self, table: str, last: int) -> tuple[int, int]:
        """See Database."""
        row = self._connection.execute(
            f"select count(*), coalesce(sum(id), 0) from {name_sql(table)} where id <= ?", (last,)
        ).fetchone()
        return int(row[0]), int(row[1])

    def export(self, table: str, path: Path, after: int | None) -> None:
        """See Database."""
        rows = self._connection.execute(
            f"select * from {name_sql(table)} where id > ? or ? is null order by id", (after, after)
        )
        names = [str(column[0]) for column in rows.description]
        key = names.index("id")
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
            writer.writerow(names)
            for row in rows:
                try:
                    writer.writerow(map(_text, row))
                except UnicodeDecodeError:
                    raise LandingError(
                        f"{self._name}, id {row[key]} of {table}: the text is not UTF-8; correct "
                        "it in the database."
                    ) from None


def _text(value: Any) -> str | None:
    """A value of SQLite as text; texts arrive as bytes."""
    if value is None:
        return None
    return value.decode("utf-8") if isinstance(value, bytes) else repr(value)


@contextmanager
def _opened_sqlite(url: str) -> Iterator[Database]:
    path, name = _sqlite_path(url), identity(url)
    if not path.is_file():
        raise LandingError(f"{name} does not exist; check the path.")
    reason = "unknown"
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
        try:
            connection.text_factory = bytes
            connection.execute("begin")
            yield _Sqlite(connection, name)
            return
        finally:
            connection.close()
    except sqlite3.Error as error:
        reason = getattr(error, "sqlite_errorname", type(error).__name__)
    raise LandingError(f"{name} cannot be read as a tracker store ({reason}); check the path.")


# --------------------------------------------------------------------------------- PostgreSQL


class _Postgres:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def has(self, table: str) -> bool:
        """See Database."""
        row = self._connection.execute("select to_regclass(%s)", (name_sql(table),)).fetchone()
        return bool(row[0] is not None)

    def ids_until(self, table: str, last: int) -> tuple[int, int]:
        """See Database."""
        row = self._connection.execute(
            f"select count(*), coalesce(sum(id), 0) from {name_sql(table)} where id <= %s", (last,)
        ).fetchone()
        return int(row[0]), int(row[1])

    def export(self, table: str, path: Path, after: int | None) -> None:
        """See Database."""
        where = "" if after is None else f"where id > {after:d} "
        statement = (
            f"copy (select * from {name_sql(table)} {where}order by id) "
            "to stdout with (format csv, header true)"
        )
        with path.open("wb") as stream, self._connection.cursor().copy(statement) as copy:
            for chunk in copy:
                stream.write(chunk)


@contextmanager
def _opened_postgres(url: str) -> Iterator[Database]:
    name = identity(url)
    try:
        psycopg: Any = importlib.import_module("psycopg")
    except ImportError:
        raise LandingError(
            f"{name} cannot be read without the package psycopg; install psycopg[binary]."
        ) from None
    reason = "unknown"
    try:
        with psycopg.connect(
            _connection_text(url),
            client_encoding="utf8",
            connect_timeout=10,
            options="-c timezone=UTC -c datestyle=ISO -c extra_float_digits=1",
        ) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            yield _Postgres(connection)
            return
    except psycopg.Error as error:
        reason = error.sqlstate or type(error).__name__
        text = str(error)
        for known, sentence in _CONNECTION_PROBLEMS.items():
            if known in text:
                reason = sentence
    raise LandingError(f"{name} cannot be read ({reason}); check the URL and the server.")


_CONNECTION_PROBLEMS = {
    "password authentication failed": "the password or user was not accepted",
    "no password supplied": "it asks for a password",
    "does not exist": "it, its user or its table does not exist",
    "Connection refused": "no server answers there",
    "could not translate host name": "the host is not known",
    "failed to resolve host": "the host is not known",
    "timeout expired": "no server answers there",
    "permission denied": "the user may not read it",
}
