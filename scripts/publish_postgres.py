"""Copy the published release into a PostgreSQL schema, for BI tools that want a server.

`make publish-postgres` runs this. One transaction makes a draft schema beside the one readers see,
fills it, locks the former tables for a moment, drops them and gives the draft their name. So a
reader sees the former release or the new one, whole, and a run that fails or is killed leaves
nothing behind: the server itself takes an unfinished transaction back.

The server is named by PARLEY_POSTGRES or by libpq's own variables (PGHOST, PGSERVICE, ...); the
password comes from PGPASSWORD or a password file, never from an argument or a URL.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from landed_file import name_sql, quoted
from load_report import count_text
from postgres import PostgresError, connected, connection_text, take_turn
from publish import MARTS
from resources import ResourceError, duckdb_settings

ROOT = Path(__file__).resolve().parent.parent
READER = "bi_reader"
COMMENT = "parley release "  # begins the comment of a schema this script may replace

BATCH = 10_000  # rows sent at a time; what is held in memory
LOCK_MILLISECONDS = 400  # below PostgreSQL's deadlock_timeout (1 s), so that no reader is cancelled
PAUSE_SECONDS = 0.3  # between two tries, for the readers who queued up behind the first
PATIENCE_SECONDS = 60.0  # for readers that do not end
TURN_SECONDS = 10.0  # for another run to end

DOCS_BLOCK = re.compile(r"{% docs (\w+) %}(.*?){% enddocs %}", re.DOTALL)
DOCS_CALL = re.compile(r"""{{ *doc\(["'](\w+)["']\) *}}""")

# DuckDB's types, as duckdb_columns() spells them, and PostgreSQL's.
TYPES = {
    "BOOLEAN": "boolean",
    "TINYINT": "smallint",
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "HUGEINT": "numeric(39, 0)",
    "FLOAT": "real",
    "DOUBLE": "double precision",
    "VARCHAR": "text",
    "DATE": "date",
    "TIME": "time",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "UUID": "uuid",
}


@dataclass(frozen=True)
class Column:
    """A column of a published table; `kind` is PostgreSQL's type."""

    name: str
    kind: str
    is_nullable: bool
    comment: str | None


@dataclass(frozen=True)
class Table:
    """A published table; `key` is empty when the models document none."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    rows: int
    comment: str | None


@dataclass(frozen=True)
class Documented:
    """What the project says of a mart: key columns, description, descriptions of columns."""

    key: tuple[str, ...] = ()
    text: str | None = None
    columns: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Served:
    """What was copied: rows by table, bytes as sent, duration in seconds."""

    release: str
    rows: dict[str, int]
    bytes: int
    seconds: float


# ------------------------------------------------------------------------------- the release


def documentation(models: Path = ROOT / "models") -> dict[str, Documented]:
    """What the models' YAML says of each mart: its key, as tested, and its descriptions."""
    blocks = {
        name: text.strip()
        for path in sorted(models.rglob("*.md"))
        for name, text in DOCS_BLOCK.findall(path.read_text(encoding="utf-8"))
    }

    def described(thing: Mapping[str, Any]) -> str | None:
        text = str(thing.get("description") or "").strip()
        return DOCS_CALL.sub(lambda call: blocks[call[1]], text) or None

    found = {}
    for path in sorted((models / "marts").rglob("*.yml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        for model in content.get("models") or []:
            key: tuple[str, ...] = ()
            for test in model.get("data_tests") or []:
                if isinstance(test, dict) and (combination := test.get("unique_combination")):
                    key = key or tuple(combination["arguments"]["columns"])
            for column in model.get("columns") or []:
                if any(
                    test == "unique" or "unique" in test for test in column.get("data_tests") or []
                ):
                    key = key or (column["name"],)
            columns = {column["name"]: described(column) for column in model.get("columns") or []}
            found[model["name"]] = Documented(key, described(model), columns)
    return found


def postgres_type(kind: str) -> str | None:
    """PostgreSQL's type for one of DuckDB's; None where there is no equal one."""
    if kind.endswith("[]"):
        element = postgres_type(kind[:-2])
        return f"{element}[]" if element and not element.endswith("[]") else None
    if re.fullmatch(r"DECIMAL\([0-9]+,[0-9]+\)", kind):
        return kind.replace("DECIMAL", "numeric")
    return TYPES.get(kind)


def published_tables(
    release: duckdb.DuckDBPyConnection, documents: Mapping[str, Documented]
) -> list[Table]:
    """The tables of an opened release.

    Raises:
        PostgresError: there is none, or a column has a type PostgreSQL lacks.
    """
    tables = []
    for name, comment in release.execute(
        "select table_name, comment from duckdb_tables() where schema_name = $1 order by 1", [MARTS]
    ).fetchall():
        document = documents.get(name, Documented())
        columns = []
        for column, kind, is_nullable, text in release.execute(
            "select column_name, data_type, is_nullable, comment from duckdb_columns() "
            "where schema_name = $1 and table_name = $2 order by column_index",
            [MARTS, name],
        ).fetchall():
            if (equal := postgres_type(kind)) is None:
                raise PostgresError(
                    f"Column {column} of {name} has type {kind}, which PostgreSQL lacks; cast it "
                    "in the model."
                )
            comment_on = text or document.columns.get(column)
            columns.append(Column(column, equal, is_nullable, comment_on))
        counted = release.execute(f"select count(*) from {MARTS}.{name_sql(name)}").fetchone()
        assert counted is not None
        names = {column.name for column in columns}
        key = document.key if names.issuperset(document.key) else ()
        tables.append(Table(name, tuple(columns), key, counted[0], comment or document.text))
    if not tables:
        raise PostgresError(f"The release has no table in schema {MARTS}.")
    return tables


def _escaped(text: str) -> str:
    """SQL for a text as COPY's text format writes it."""
    for raw, code in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = f"replace({text}, chr({ord(raw)}), '{code}')"
    return text


def _field(column: Column) -> str:
    """SQL for a value of a column in COPY's text format, null included."""
    name = name_sql(column.name)
    if column.kind.endswith("[]"):
        element = "replace(replace(cast(e as varchar), '\\', '\\\\'), '\"', '\\\"')"
        parts = f"list_transform({name}, lambda e: coalesce('\"' || {element} || '\"', 'NULL'))"
        text = _escaped(f"'{{' || array_to_string({parts}, ',') || '}}'")
    elif column.kind == "text":
        text = _escaped(name)
    else:
        text = f"cast({name} as varchar)"
    return f"coalesce({text}, '\\N')"


def _lines(release: duckdb.DuckDBPyConnection, table: Table) -> Iterator[bytes]:
    """The rows of a table in COPY's text format, some thousands at a time."""
    fields = ", ".join(map(_field, table.columns))
    rows = release.execute(
        f"select concat_ws(chr(9), {fields}) from {MARTS}.{name_sql(table.name)}"
    )
    while batch := rows.fetchmany(BATCH):
        yield "".join(f"{line}\n" for (line,) in batch).encode()


# -------------------------------------------------------------------------------- the server


def _check_place(con: Any, schema: str) -> None:
    """Refuse to replace what this script has not made, before anything is copied.

    Raises:
        PostgresError: the schema is somebody else's, or others' views read its tables.
    """
    found = con.execute(
        "select obj_description(oid, 'pg_namespace'), pg_has_role(nspowner, 'usage'), exists "
        "(select from pg_class where relnamespace = pg_namespace.oid) "
        "from pg_namespace where nspname = %s",
        (schema,),
    ).fetchone()
    if found is None:
        return
    comment, is_own, is_filled = found
    if not is_own:
        raise PostgresError(
            f"Schema {schema} belongs to another role; publish as its owner, or name another "
            "schema with POSTGRES_SCHEMA."
        )
    if is_filled and not (comment or "").startswith(COMMENT):
        raise PostgresError(
            f"Schema {schema} holds tables parley did not make; name another schema with "
            "POSTGRES_SCHEMA."
        )
    views = con.execute(
        "select distinct view.oid::regclass::text from pg_depend "
        "inner join pg_rewrite on classid = 'pg_rewrite'::regclass and objid = pg_rewrite.oid "
        "inner join pg_class as view on view.oid = ev_class "
        "inner join pg_class as base on refclassid = 'pg_class'::regclass and base.oid = refobjid "
        "where base.relnamespace = to_regnamespace(%s) and base.oid <> view.oid "
        "order by 1 limit 3",
        (name_sql(schema),),
    ).fetchall()
    if views:
        raise PostgresError(
            f"{', '.join(name for (name,) in views)} reads tables of schema {schema} and would go "
            "with them; drop it, publish, and make it again."
        )


def _create(con: Any, schema: str, table: Table) -> None:
    """Create a table. It is frozen and analysed once and never changes: autovacuum stays away."""
    columns = ", ".join(
        f"{name_sql(column.name)} {column.kind}{'' if column.is_nullable else ' not null'}"
        for column in table.columns
    )
    con.execute(
        f"create table {schema}.{name_sql(table.name)} ({columns}) "
        "with (autovacuum_enabled = false)"
    )


def _copy(con: Any, schema: str, release: duckdb.DuckDBPyConnection, table: Table) -> Iterator[int]:
    """Copy the rows of a table; yields the bytes of each batch.

    The rows are frozen, so that a reader whose transaction is older than they are sees them too.
    """
    target = f"{schema}.{name_sql(table.name)}"
    with con.cursor() as cursor:
        with cursor.copy(f"copy {target} from stdin (freeze)") as copy:
            for lines in _lines(release, table):
                copy.write(lines)
                yield len(lines)
        if cursor.rowcount != table.rows:
            raise PostgresError(
                f"{table.name}: {cursor.rowcount:,} of {table.rows:,} rows arrived; publish again."
            )


def _finish(con: Any, schema: str, table: Table) -> None:
    """Key, comments and statistics of a filled table."""
    target = f"{schema}.{name_sql(table.name)}"
    if table.key:
        nullable = {column.name for column in table.columns if column.is_nullable}
        key = ", ".join(map(name_sql, table.key))
        if nullable.isdisjoint(table.key):
            con.execute(f"alter table {target} add primary key ({key})")
        else:
            con.execute(f"create unique index on {target} ({key})")
    if table.comment:
        con.execute(f"comment on table {target} is {_literal(table.comment)}")
    for column in table.columns:
        if column.comment:
            con.execute(
                f"comment on column {target}.{name_sql(column.name)} is {_literal(column.comment)}"
            )
    con.execute(f"analyze {target}")


def _literal(text: str) -> str:
    """A literal of PostgreSQL; backslashes are plain in it whatever the server is set to."""
    return "E" + quoted(text.replace("\\", "\\\\"))


def _grant(con: Any, schema: str) -> bool:
    """Let the role bi_reader read the schema; return whether there is such a role."""
    if con.execute("select from pg_roles where rolname = %s", (READER,)).fetchone() is None:
        return False
    con.execute(f"grant usage on schema {schema} to {READER}")
    con.execute(f"grant select on all tables in schema {schema} to {READER}")
    return True


def _swap(con: Any, draft: str, schema: str, patience: float) -> None:
    """Put the draft in the place of the schema, between two readers.

    Renaming alone would not do: a transaction that has read one former table would read a new one
    next. So all former tables are locked first. The wait for them is short and repeated, because
    readers queue up behind it.

    Raises:
        PostgresError: readers did not end within `patience` seconds.
    """
    until = time.monotonic() + patience
    former = [
        f"{name_sql(schema)}.{name_sql(table)}"
        for (table,) in con.execute(
            "select relname from pg_class where relnamespace = to_regnamespace(%s) "
            "and relkind = 'r' order by 1",
            (name_sql(schema),),
        ).fetchall()
    ]
    while True:
        try:
            with con.transaction():  # a savepoint: a failed try gives its locks back
                if former:
                    con.execute(f"set local lock_timeout = {LOCK_MILLISECONDS}")
                    con.execute(f"set local statement_timeout = {LOCK_MILLISECONDS}")
                    con.execute(f"lock table {', '.join(former)} in access exclusive mode")
                    con.execute("set local statement_timeout to default")
                    con.execute(f"drop table {', '.join(former)}")
                con.execute(f"drop schema if exists {name_sql(schema)}")
                con.execute(f"alter schema {draft} rename to {name_sql(schema)}")
            return
        except (
            psycopg.errors.DeadlockDetected,
            psycopg.errors.LockNotAvailable,
            psycopg.errors.QueryCanceled,
        ):
            if time.monotonic() > until:
                raise PostgresError(_held_text(con, schema, patience)) from None
        time.sleep(PAUSE_SECONDS)


def _held_text(con: Any, schema: str, patience: float) -> str:
    holders = con.execute(
        "select distinct pid from pg_locks inner join pg_class on pg_class.oid = relation "
        "where relnamespace = to_regnamespace(%s) and pid <> pg_backend_pid() and granted "
        "order by 1",
        (name_sql(schema),),
    ).fetchall()
    shown = ", ".join(str(pid) for (pid,) in holders) or "they have just ended"
    return (
        f"Readers held tables of schema {schema} for {patience:.0f} s (server processes: {shown}); "
        "they go on with the former release. End them or let them finish, and publish again."
    )


# ----------------------------------------------------------------------------------- publish


def publish_postgres(
    published: Path,
    environment: Mapping[str, str],
    *,
    patience: float = PATIENCE_SECONDS,
    documents: Mapping[str, Documented] | None = None,
) -> Served:
    """Copy the release `current` points to into PostgreSQL.

    Args:
        published: the directory of releases.
        environment: PARLEY_POSTGRES, PARLEY_POSTGRES_SCHEMA; libpq reads its own variables.
        patience: seconds to wait for readers of the former tables.
        documents: what is known of each table; what the models' YAML says by default.

    Raises:
        PostgresError: it did not work; readers see what they saw before.
    """
    started = time.monotonic()
    text = connection_text(environment, "POSTGRES")
    schema = environment.get("PARLEY_POSTGRES_SCHEMA") or MARTS
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,50}", schema) or schema.startswith("pg_"):
        raise PostgresError("POSTGRES_SCHEMA must be lowercase letters, digits and underscores.")
    draft = name_sql(f"{schema}__draft")
    path = (published / "current").resolve()  # what is read must not move while it is read
    if not (path / "parley.duckdb").is_file():
        raise PostgresError(f"{published}/current holds no release; run make build first.")
    rows: dict[str, int] = {}
    sent = 0
    limits = duckdb_settings(environment=environment)
    with (
        duckdb.connect(str(path / "parley.duckdb"), read_only=True, config=limits) as release,
        connected(text, "parley publish") as con,
        _bar() as bar,
    ):
        release.execute("set TimeZone = 'UTC'")
        tables = published_tables(release, documentation() if documents is None else documents)
        task = bar.add_task("copying", total=sum(table.rows for table in tables))
        with con.transaction():
            if not take_turn(con, f"publish {schema}", patience=TURN_SECONDS):
                raise PostgresError(
                    f"Another run is publishing into schema {schema}; let it finish."
                )
            _check_place(con, schema)
            con.execute(f"create schema {draft}")
            con.execute(f"comment on schema {draft} is {_literal(COMMENT + path.name)}")
            for table in tables:
                bar.update(task, description=table.name)
                _create(con, draft, table)
                for size in _copy(con, draft, release, table):
                    sent += size
                _finish(con, draft, table)
                rows[table.name] = table.rows
                bar.advance(task, table.rows)
            if not _grant(con, draft):
                print(
                    f"There is no role {READER}; only the publishing role can read schema "
                    f"{schema}, see scripts/sql/bi_reader.sql.",
                    file=sys.stderr,
                )
            _swap(con, draft, schema, patience)
    return Served(path.name, rows, sent, time.monotonic() - started)


def _bar() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, or 1 with one sentence on stderr."""
    parser = argparse.ArgumentParser(
        prog="publish_postgres.py",
        description=(
            "Copy the published release into a schema of a PostgreSQL database and switch to it "
            "in one step. Settings are the environment variables PARLEY_POSTGRES (a connection "
            "URL without password), PARLEY_POSTGRES_SCHEMA, PARLEY_PUBLISHED and libpq's own, "
            "PGPASSWORD among them; see docs/operate.md."
        ),
    )
    parser.parse_args(arguments)
    os.chdir(ROOT)
    try:
        served = publish_postgres(
            Path(os.environ.get("PARLEY_PUBLISHED") or "published"), os.environ
        )
    except (PostgresError, ResourceError) as error:
        print(error, file=sys.stderr)
        return 1
    except duckdb.Error:
        print("The release cannot be read; build it again.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; readers see what they saw before.", file=sys.stderr)
        return 130
    schema = os.environ.get("PARLEY_POSTGRES_SCHEMA") or MARTS
    print(
        f"Copied {count_text(len(served.rows), 'table')} with "
        f"{count_text(sum(served.rows.values()), 'row')} ({served.bytes / 1e6:,.1f} MB) in "
        f"{served.seconds:.1f} s, {served.bytes / 1e6 / served.seconds:,.1f} MB/s: schema {schema} "
        f"is release {served.release}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
