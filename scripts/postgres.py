"""A PostgreSQL server parley writes to: where it is, and what went wrong with it, in words.

A server is named by a connection URL in a PARLEY_ variable or by libpq's own variables (PGHOST,
PGSERVICE, ...). The password comes from PGPASSWORD or a password file: libpq reads it itself, so
it is never in an argument, an SQL text, a log or an error.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict


class PostgresError(Exception):
    """A server cannot be used; one sentence without user, password or value."""


def connection_text(environment: Mapping[str, str], setting: str) -> str:
    """What libpq is to connect to: PARLEY_<setting>, else empty for libpq's own variables.

    Raises:
        PostgresError: nothing names a server, it is no connection URL, or a password stands in it.
    """
    text = environment.get(f"PARLEY_{setting}", "")
    example = f"{setting}=postgresql://user@host:5432/database"
    if not text and not any(environment.get(name) for name in ("PGHOST", "PGSERVICE")):
        raise PostgresError(
            f"No PostgreSQL server is named; set {example}, and the password in PGPASSWORD or a "
            "password file."
        )
    try:
        settings = conninfo_to_dict(text)
    except psycopg.Error:
        raise PostgresError(f"{setting} is no connection URL; write it like {example}.") from None
    if settings.get("password"):
        raise PostgresError(
            f"{setting} holds a password, which other users of the machine may see; take it out "
            "and set PGPASSWORD, or use a password file."
        )
    return text


def _place(text: str) -> str:
    """The server and database in words, without user and password."""
    settings = conninfo_to_dict(text)
    host = settings.get("host") or os.environ.get("PGHOST") or "localhost"
    port = settings.get("port") or os.environ.get("PGPORT") or "5432"
    database = settings.get("dbname") or os.environ.get("PGDATABASE") or "the default database"
    return f"{host}:{port}/{database}"


_CONNECTION_PROBLEMS = {
    "authentication failed": "the password or user was not accepted",
    "no password supplied": "it asks for a password; set PGPASSWORD or use a password file",
    "pg_hba.conf": "the server's pg_hba.conf does not admit this user from here",
    "does not exist": "the database or user does not exist",
    "permission denied for database": "the role may not connect to the database",
    "Connection refused": "no server answers there",
    "No such file or directory": "no server answers there",
    "could not translate host name": "the host is not known",
    "failed to resolve host": "the host is not known",
    "timeout": "no server answers there",
    "too many": "the server has no connection left",
}


@contextmanager
def connected(text: str, name: str) -> Iterator[Any]:
    """A connection to the server, called `name` in its lists of sessions.

    Raises:
        PostgresError: it cannot be opened, or something done with it failed. PostgreSQL's own text
            may quote values and is not shown.
    """
    connection: Any = None
    problem = ""
    try:
        connection = psycopg.connect(
            text,
            client_encoding="utf8",
            connect_timeout=10,
            application_name=name,
            options="-c timezone=UTC -c datestyle=ISO",
        )
        with connection:
            yield connection
            return
    except psycopg.Error as error:
        problem = _problem(error) if connection is not None else _connection_problem(error)
    raise PostgresError(f"{_place(text)}: {problem}.")


def _connection_problem(error: psycopg.Error) -> str:
    for known, sentence in _CONNECTION_PROBLEMS.items():
        if known in str(error):
            return sentence
    return f"it cannot be reached ({type(error).__name__})"


def _problem(error: psycopg.Error) -> str:
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return "the role may not do this; scripts/sql/bi_reader.sql has the grants it needs"
    if isinstance(error, psycopg.errors.DependentObjectsStillExist):
        return "something others made depends on the former tables; drop it and publish again"
    if isinstance(error, psycopg.errors.CharacterNotInRepertoire):
        where = (error.diag.context or "").split(":")[0].removeprefix("COPY ") or "a table"
        return f"PostgreSQL cannot store a character that stands in a text ({where})"
    if isinstance(error, psycopg.errors.DiskFull):
        return "the server's disk is full"
    if isinstance(error, psycopg.OperationalError) and error.sqlstate in (None, "57P01"):
        return "the connection broke; nothing was changed, run it again"
    return f"PostgreSQL failed ({type(error).__name__}); nothing was changed"


def take_turn(con: Any, name: str, *, patience: float) -> bool:
    """Take the lock `name` until the transaction ends; False if it is held for `patience` seconds.

    A run that was killed holds it until its server process has noticed, which is a moment.
    """
    until = time.monotonic() + patience
    while True:
        (is_taken,) = con.execute(
            "select pg_try_advisory_xact_lock(hashtextextended(%s, 0))", (f"parley {name}",)
        ).fetchone()
        if is_taken or time.monotonic() > until:
            return bool(is_taken)
        time.sleep(0.2)
