"""Look for a person in rows and in bytes: databases and Parquet decoded, every file as it lies."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb

from erasures import JOURNAL, Person, pending_file
from landed_file import name_sql, quoted
from resources import duckdb_settings

CHUNK = 16 << 20  # bytes
ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be")
# Files that are whole warehouses, with their log of changes, or were one before damage.
OF_WAREHOUSES = re.compile(r"\.duckdb(\.wal|\.damaged-.*)?$")
ID_COLUMNS = re.compile(r"(_id|^merged_into|^person_name|^name)$")
# Shorter ids stand in all kinds of numbers and words; they are looked for in columns of ids only.
TELLING_LENGTH = 6


def _ids(person: Person) -> list[str]:
    return [old for names in person.replaced.values() for old, new in names.items() if old != new]


def _needles(person: Person, names: Iterable[str]) -> re.Pattern[bytes]:
    """What is looked for in bytes, in lower case: addresses, numbers, and the names given."""
    texts = {*person.emails, *person.phones, *names}
    parts = sorted({re.escape(text.lower().encode(code)) for text in texts for code in ENCODINGS})
    if pattern := person.addresses(is_re2=True):
        parts.append(pattern.removeprefix("(?i)").encode())
    return re.compile(b"|".join(parts) or rb"(?!)")


def _blocks(path: Path) -> Iterator[bytes]:
    """A file in pieces that overlap; gzip files unpacked."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
        tail = b""
        while block := stream.read(CHUNK):
            yield tail + block.lower()
            tail = block[-1024:].lower()


def holds(path: Path, needles: re.Pattern[bytes], ids: re.Pattern[bytes] | None = None) -> bool:
    """Whether a file's bytes hold one of the needles, or an id with nothing of an id around it."""
    return any(needles.search(block) or (ids and ids.search(block)) for block in _blocks(path))


def _id_needles(person: Person) -> re.Pattern[bytes] | None:
    ids = sorted(
        re.escape(name.lower().encode()) for name in _ids(person) if len(name) >= TELLING_LENGTH
    )
    return re.compile(rb"(?<![\w-])(?:" + b"|".join(ids) + rb")(?![\w-])") if ids else None


def rows_naming(con: duckdb.DuckDBPyConnection, relation: str, person: Person) -> bool:
    """Whether a relation has a row with an address of the person, or with an id as it was."""
    described = con.execute(f"describe select * from {relation}").fetchall()
    pattern = person.addresses(is_re2=True)
    tests = []
    for name, kind, *_ in described:
        if "VARCHAR" not in kind:
            continue
        column = name_sql(name)
        if pattern:
            tests.append(f"regexp_matches(cast({column} as varchar), $pattern)")
        if ID_COLUMNS.search(name) and kind == "VARCHAR":
            tests.append(f"{column} in (select unnest($ids))")
            tests.append(
                f"starts_with({column}, 'visitor:') and {column}[9:] in (select unnest($ids))"
            )
    if not tests:
        return False
    values: dict[str, object] = {"ids": _ids(person)} if "$ids" in " ".join(tests) else {}
    values |= {"pattern": pattern} if pattern else {}
    return (
        con.execute(
            f"select 1 from {relation} where {' or '.join(tests)} limit 1", values
        ).fetchone()
        is not None
    )


def _database(path: Path, person: Person) -> list[str]:
    found = []
    with duckdb.connect(str(path), read_only=True, config=duckdb_settings()) as con:
        tables = con.execute(
            "select schema_name, table_name from duckdb_tables() where not internal "
            "and database_name = current_database()"
        ).fetchall()
        for schema, table in tables:
            if rows_naming(con, f"{name_sql(schema)}.{name_sql(table)}", person):
                found.append(f"{path.name}, table {schema}.{table}")
    return found


def _parquet(path: Path, person: Person) -> bool:
    with duckdb.connect(config=duckdb_settings()) as con:
        return rows_naming(con, f"read_parquet({quoted(str(path))})", person)


def _files(directory: Path) -> Iterator[Path]:
    if directory.is_dir():
        yield from (
            path
            for path in sorted(directory.rglob("*"))
            if path.is_file() and not path.is_symlink()
        )


def names_of_nobody_else(warehouse: Path, person: Person) -> set[str]:
    """The person's names that no row of the warehouse holds any more."""
    names = {name for name in person.names if len(name) >= TELLING_LENGTH}
    settings = duckdb_settings(warehouse)
    with duckdb.connect(str(warehouse), read_only=True, config=settings) as con:
        for (name,) in con.execute(
            "select distinct name from raw.contacts where name in (select unnest($1))",
            [list(names)],
        ).fetchall():
            names.discard(name)
        for name in sorted(names):
            in_texts = con.execute(
                "select 1 from raw.messages where contains(lower(text), $1) limit 1",
                [name.lower()],
            ).fetchone()
            if in_texts:
                names.discard(name)
    return names


def traces_of(
    person: Person, *, warehouse: Path, published: Path, places: Iterable[Path]
) -> list[str]:
    """Where an identifier of the person is left, as names of files and tables.

    Args:
        person: with the ids as they were.
        warehouse: the DuckDB file; its directory is searched, other warehouses in it left out.
        published: the directory of releases.
        places: further directories, such as those of dbt.
    """
    found = _database(warehouse, person)
    ids = _id_needles(person)
    needles = _needles(person, names_of_nobody_else(warehouse, person))
    private = {"salt", JOURNAL, pending_file(warehouse).name}
    files = [
        path
        for path in _files(warehouse.parent)
        if path.name not in private
        and not (path.name != warehouse.name and OF_WAREHOUSES.search(path.name))
    ]
    for directory in (published, *places):
        files += _files(directory)
    for path in dict.fromkeys(files):
        if path.suffix == ".duckdb" and path.name != warehouse.name:
            found += _database(path, person)
        elif path.suffix == ".parquet" and _parquet(path, person):
            found.append(path.name)
        is_decoded = path.suffix in (".duckdb", ".parquet")
        try:
            if holds(path, needles, None if is_decoded else ids):
                found.append(path.name)
        except (OSError, EOFError):
            found.append(f"{path.name}, which cannot be read")
    return list(dict.fromkeys(found))


def landed_files_naming(person: Person, landings: Iterable[Path]) -> list[str]:
    """Names of landed files that hold an identifier of the person."""
    needles, ids = _needles(person, person.names), _id_needles(person)
    found = []
    for landing in landings:
        for path in _files(landing):
            try:
                is_holding = (
                    _parquet(path, person)
                    if path.suffix == ".parquet"
                    else holds(path, needles, ids)
                )
            except (OSError, EOFError, duckdb.Error):
                continue
            if is_holding:
                found.append(person.redact(path.relative_to(landing).as_posix()))
    return found
