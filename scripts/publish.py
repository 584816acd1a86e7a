"""Publish the marts of a warehouse as a release that readers may hold open as long as they like.

A release is a directory `<published>/releases/<id>` with `parley.duckdb` and one Parquet file per
table. It is written beside the others under a hidden name, flushed to disk, and renamed when it is
whole; then the link `<published>/current` moves to it in one step. No file that a reader can see is
ever written again, because DuckDB readers crash when a file is replaced under them.

There is no command line: only scripts/build.py publishes, after every data test has passed.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import struct
import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path

import duckdb

from landed_file import name_sql, quoted
from locking import only_one
from parquet_groups import ParquetError, Part, group_rows, write_groups
from resources import duckdb_settings, memory_limit_bytes, most_rows_to_delete_from

MARTS = "marts"
DATABASE = "parley"
KEEP = 3

# The oldest storage version a 1.x client reads, as ATTACH names it and as files carry it.
STORAGE_VERSION = "v1.0.0"
STORAGE_NUMBER = 64

# Row groups of Parquet files that are not kept when others are; DuckDB writes 122,880 rows in each.
SMALL_GROUP = 60_000

ID_TIME = "%Y%m%dT%H%M%SZ"


class PublishError(Exception):
    """The marts cannot be published; one sentence. `current` is what it was."""


@dataclass(frozen=True)
class Release:
    """What was published: rows by table, size in bytes, duration in seconds."""

    id: str
    path: Path
    rows: dict[str, int]
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Base:
    """A release that a run on what is new goes on from: tables that are kept are changed alike.

    `replaced` names for each of them the column by whose values rows were replaced; None where
    rows were only added. The rows stand in the schema `touched` of the warehouse, see
    macros/incremental/materialization.sql. Other tables are copied.
    """

    release: Path
    replaced: Mapping[str, str | None]


class _DiffersError(Exception):
    """A table that was changed like the warehouse's is not as long as that."""


def releases_in(published: Path) -> list[str]:
    """Ids of all releases, oldest first."""
    folder = published / "releases"
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if entry.name[0] != ".")


def current_release(published: Path) -> str | None:
    """Id of the release `current` points to; None when there is none."""
    link = published / "current"
    return link.resolve().name if link.is_symlink() and link.is_dir() else None


def storage_number(path: Path) -> int:
    """The storage version a DuckDB file carries: 64 for 0.9 to 1.1, more for later ones."""
    with path.open("rb") as stream:
        header = stream.read(20)  # checksum, the letters DUCK, version
    if header[8:12] != b"DUCK":
        raise PublishError(f"{path.name} is no DuckDB file.")
    return int(struct.unpack_from("<Q", header, 12)[0])


def _new_id(published: Path, digest: str, now: datetime) -> str:
    """An id above all others, even when the clock has gone back."""
    instant = now.astimezone(UTC).replace(microsecond=0)
    for former in releases_in(published)[-1:]:
        try:
            newest = datetime.strptime(former.split("-")[0], ID_TIME).replace(tzinfo=UTC)
        except ValueError:
            raise PublishError(
                f"{published}/releases holds {former}, which is no release; move it away."
            ) from None
        instant = max(instant, newest + timedelta(seconds=1))
    return f"{instant.strftime(ID_TIME)}-{digest[:8]}"


def _sync(path: Path) -> None:
    """Flush a file or directory to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _create_sql(con: duckdb.DuckDBPyConnection, table: str) -> str:
    """`create table` for the release: names, types and not-null; no index, the tests have run."""
    columns = con.execute(
        "select column_name, data_type, is_nullable from duckdb_columns() where database_name = "
        "'warehouse' and schema_name = $schema and table_name = $table order by column_index",
        {"schema": MARTS, "table": table},
    ).fetchall()
    described = ", ".join(
        f"{name_sql(name)} {kind}{'' if nullable else ' not null'}"
        for name, kind, nullable in columns
    )
    return f"create table {DATABASE}.{MARTS}.{name_sql(table)} ({described})"


def _copy_comments(con: duckdb.DuckDBPyConnection, table: str) -> None:
    """Carry the comments of a table and its columns over, where dbt has written any."""
    target = f"{DATABASE}.{MARTS}.{name_sql(table)}"
    where = "database_name = 'warehouse' and schema_name = $schema and table_name = $table"
    names = {"schema": MARTS, "table": table}
    for (text,) in con.execute(
        f"select comment from duckdb_tables() where {where} and comment is not null", names
    ).fetchall():
        con.execute(f"comment on table {target} is {quoted(text)}")
    for column, text in con.execute(
        f"select column_name, comment from duckdb_columns() where {where} and comment is not null",
        names,
    ).fetchall():
        con.execute(f"comment on column {target}.{name_sql(column)} is {quoted(text)}")


def _write(
    warehouse: Path, draft: Path, tables: Collection[str] | None, base: Base | None
) -> dict[str, int]:
    """Write both forms of the marts into `draft`; return rows by table.

    Raises:
        PublishError: there is nothing to publish, or a table that was to be published is missing.
        _DiffersError: what `base` says does not lead to the tables of the warehouse.
    """
    (draft / MARTS).mkdir(parents=True)
    rows: dict[str, int] = {}
    database = draft / f"{DATABASE}.duckdb"
    if base:
        shutil.copyfile(base.release / database.name, database)
    with duckdb.connect(config=duckdb_settings(warehouse)) as con:
        con.execute("set TimeZone = 'UTC'")
        con.execute(f"attach {quoted(str(warehouse))} as warehouse (read_only)")
        con.execute(
            f"attach {quoted(str(database))} as {DATABASE} "
            f"(storage_version {quoted(STORAGE_VERSION)})"
        )
        con.execute(f"create schema if not exists {DATABASE}.{MARTS}")
        found = _tables(con, "warehouse")
        wanted = found if tables is None else sorted(tables)
        if missing := sorted(set(wanted) - set(found)):
            raise PublishError(f"The warehouse has no table {MARTS}.{missing[0]} to publish.")
        if not wanted:
            raise PublishError(f"The warehouse has no table in schema {MARTS} to publish.")
        kept = _change(con, base, wanted) if base else {}
        for table in wanted:
            if table not in kept:
                rows[table] = _copy(con, table, in_order=base is None)
                _copy_comments(con, table)
                is_changed = True
            else:
                rows[table], is_changed = kept[table]
            parquet = draft / MARTS / f"{table}.parquet"
            if base and not is_changed:
                _share(base.release / MARTS / parquet.name, parquet)
            elif not base or table not in kept or not _splice(con, base, table, parquet):
                con.execute(_parquet_sql(f"{DATABASE}.{MARTS}.{name_sql(table)}", parquet))
            if sum(group_rows(parquet)) != rows[table]:
                raise _DiffersError(table)
        con.execute(f"checkpoint {DATABASE}")
        con.execute(f"detach {DATABASE}")
    return rows


def _parquet_sql(relation: str, path: Path) -> str:
    return f"copy {relation} to {quoted(str(path))} (format parquet, compression zstd)"


def _splice(con: duckdb.DuckDBPyConnection, base: Base, table: str, parquet: Path) -> bool:
    """Write a table's Parquet file of the former one's row groups and what has changed since.

    Groups in which rows were replaced are written anew, at the end, with the rows that came; so
    are small ones, or each run would leave one more of them.

    Returns:
        Whether it did; not where most rows are in such groups, or the file's form is unknown.
    """
    former, key = base.release / MARTS / parquet.name, base.replaced[table]
    replaced = _replaced_sql(con, table, key) if key else "false"
    sizes = group_rows(former)
    ends = list(accumulate(sizes))
    anew = {number for number, size in enumerate(sizes) if size < SMALL_GROUP}
    for (row,) in con.execute(
        f"select file_row_number from read_parquet({quoted(str(former))}, file_row_number = true) "
        f"where {replaced}"
    ).fetchall():
        anew.add(bisect_right(ends, row))
    left = [number for number in range(len(sizes)) if number not in anew]
    if sum(sizes[number] for number in left) * 2 < sum(sizes):
        return False
    parts = [parquet.with_name(f".{parquet.name}.{name}") for name in ("former", "latter")]
    try:
        write_groups(parts[0], [Part(former, anew)])
        con.execute(
            _parquet_sql(
                f"(from read_parquet({quoted(str(parts[0]))}) where ({replaced}) is not true "
                f"union all by name from warehouse.touched.{name_sql(table)})",
                parts[1],
            )
        )
        groups = range(len(group_rows(parts[1])))
        write_groups(parquet, [Part(former, left), Part(parts[1], groups)])
    except ParquetError:
        parquet.unlink(missing_ok=True)
        return False
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    return True


def _share(former: Path, path: Path) -> None:
    """Let two releases have one file, where the file system can; both are never written again."""
    try:
        os.link(former, path)
    except OSError:
        shutil.copyfile(former, path)


def _tables(con: duckdb.DuckDBPyConnection, database: str) -> list[str]:
    """Names of the tables of schema `marts`, in order."""
    found = con.execute(
        # information_schema.tables, which has both, takes a second to count rows.
        "select table_name from duckdb_tables() "
        "where database_name = $database and schema_name = $schema union all "
        "select view_name from duckdb_views() "
        "where database_name = $database and schema_name = $schema and not internal order by 1",
        {"database": database, "schema": MARTS},
    ).fetchall()
    return [name for (name,) in found]


def _columns(con: duckdb.DuckDBPyConnection, table: str) -> tuple[list[str], str | None]:
    """Names of the columns of a table, and that of its first instant, if it has any."""
    columns = con.execute(
        "select column_name, starts_with(data_type, 'TIMESTAMP') from duckdb_columns() where "
        "database_name = 'warehouse' and schema_name = $schema and table_name = $table "
        "order by column_index",
        {"schema": MARTS, "table": table},
    ).fetchall()
    instants = (name for name, is_instant in columns if is_instant)
    return [name for name, _ in columns], next(instants, None)


def _order_sql(con: duckdb.DuckDBPyConnection, table: str) -> str:
    """`order by` the first instant of a table, then all columns: equal rows give equal files.

    So a day lies in few row groups, for readers of some days and for runs that replace its rows.
    """
    names, instant = _columns(con, table)
    ordered = sorted(names, key=lambda name: name != instant)
    return f" order by {', '.join(map(name_sql, ordered))}"


def _replaced_sql(con: duckdb.DuckDBPyConnection, table: str, key: str) -> str:
    """The condition on rows of the former release that the run replaced.

    By its key, or without one, and no earlier than the first of them, so that row groups before
    it are skipped.
    """
    before, name = f"warehouse.touched.{name_sql(f'{table}__before')}", name_sql(key)
    is_replaced = f"{name} in (select {name} from {before} where {name} is not null)"
    if _changed_rows(con, f"select count(*) from {before} where {name} is null"):
        is_replaced = f"({name} is null or {is_replaced})"
    _, instant = _columns(con, table)
    if instant is None:
        return is_replaced
    instant = name_sql(instant)
    first, is_whole = con.execute(
        f"select min({instant}), count(*) = count({instant}) from {before}"
    ).fetchall()[0]
    if first is None or not is_whole:
        return is_replaced
    return f"{instant} >= timestamp '{first}' and {is_replaced}"


def _copy(con: duckdb.DuckDBPyConnection, table: str, *, in_order: bool) -> int:
    """Copy a table of the warehouse, in order or as it stands; return its number of rows."""
    name = name_sql(table)
    con.execute(_create_sql(con, table))
    order = _order_sql(con, table) if in_order else ""
    return _changed_rows(
        con, f"insert into {DATABASE}.{MARTS}.{name} from warehouse.{MARTS}.{name}{order}"
    )


def _changed_rows(con: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = con.execute(sql).fetchone()
    assert row is not None
    return int(row[0])


def _change(
    con: duckdb.DuckDBPyConnection, base: Base, wanted: Collection[str]
) -> dict[str, tuple[int, bool]]:
    """Make the copy of a release what the warehouse is, as far as `base` tells; drop the rest.

    Returns:
        By table that is done: its number of rows, and whether the run touched any.

    Raises:
        _DiffersError: tables, or numbers of rows, are not those of the warehouse.
    """
    former = set(_tables(con, DATABASE))
    for table in former - base.replaced.keys():
        con.execute(f"drop table {DATABASE}.{MARTS}.{name_sql(table)}")
    con.execute(f"checkpoint {DATABASE}")  # gives their pages to the tables that follow
    done: dict[str, tuple[int, bool]] = {}
    for table, key in base.replaced.items():
        if table not in former or table not in wanted:
            raise _DiffersError(table)
        target, fresh = f"{DATABASE}.{MARTS}.{name_sql(table)}", name_sql(table)
        before = f"warehouse.touched.{name_sql(f'{table}__before')}"
        due = _changed_rows(con, f"select count(*) from {before}")
        built = _changed_rows(con, f"select count(*) from warehouse.{MARTS}.{name_sql(table)}")
        if key is not None and due and built > most_rows_to_delete_from(memory_limit_bytes()):
            con.execute(f"drop table {target}")
            done[table] = _copy(con, table, in_order=False), True
            _copy_comments(con, table)
            continue
        removed = added = 0
        if key is not None and due:
            removed = _changed_rows(
                con, f"delete from {target} where {_replaced_sql(con, table, key)}"
            )
        added = _changed_rows(con, f"insert into {target} by name from warehouse.touched.{fresh}")
        rows = _changed_rows(con, f"select count(*) from {target}")
        if removed != due or rows != built:
            raise _DiffersError(table)
        done[table] = rows, bool(removed or added)
    return done


def _seal(draft: Path) -> tuple[int, str]:
    """Make a draft's files read-only and flush them; return their bytes and the rows' digest."""
    database = draft / f"{DATABASE}.duckdb"
    if storage_number(database) > STORAGE_NUMBER:
        raise PublishError(f"{database.name} cannot be read by every 1.x client; nothing moved.")
    size = database.stat().st_size
    digest = hashlib.sha256()
    for path in sorted((draft / MARTS).iterdir()):
        size += path.stat().st_size
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    for path in (database, *(draft / MARTS).iterdir()):
        path.chmod(0o444)
        _sync(path)
    for folder in (draft, draft / MARTS):  # whatever the umask: all may enter, the owner remove
        folder.chmod(0o755)
    _sync(draft / MARTS)
    _sync(draft)
    return size, digest.hexdigest()


def _point_current(published: Path, release: str) -> None:
    """Move the link `current` in one step.

    Raises:
        PublishError: something other than a link stands at its place.
    """
    link = published / "current"
    if link.exists() and not link.is_symlink():
        raise PublishError(f"{link} is not a link; move it away, it is kept by the build.")
    draft = published / f".current-{secrets.token_hex(4)}"
    draft.symlink_to(Path("releases") / release)
    draft.replace(link)
    _sync(published)


def _remove(published: Path, path: Path) -> None:
    """Remove a directory so that no reader sees half of it."""
    hidden = published / "releases" / f".removed-{secrets.token_hex(4)}"
    path.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def _sweep(published: Path) -> None:
    """Remove what runs that were killed have left; the caller holds the lock."""
    for path in published.glob(".current-*"):
        path.unlink()
    for path in (published / "releases").glob(".*"):
        shutil.rmtree(path, ignore_errors=True)


def publish(
    warehouse: Path,
    published: Path,
    *,
    tables: Collection[str] | None = None,
    base: Base | None = None,
    approve: Callable[[], None] | None = None,
    keep: int = KEEP,
    now: datetime | None = None,
) -> Release:
    """Publish the schema `marts` of a warehouse nobody writes to.

    Args:
        warehouse: the DuckDB file.
        published: the directory of releases; created if need be.
        tables: names of the tables to publish; all of the schema when None.
        base: the release that is current, if it holds the marts the last run went on from; it
            is copied and changed as the warehouse was. All rows are copied when None.
        approve: called when the release is written and nobody can see it yet; what it raises is
            passed on, and nothing is published.
        keep: number of releases kept, the new one included; at least 1.
        now: the instant the release is named after, aware; the clock's by default.

    Returns:
        The release `current` points to from now on.

    Raises:
        PublishError: there is nothing to publish, or `current` is no link.
        OSError: the directory cannot be written.
        duckdb.Error: the warehouse cannot be read.
    """
    started = time.monotonic()
    releases = published / "releases"
    for folder in (published, releases):
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    with only_one(published / ".lock", wait=True):
        _sweep(published)
        draft = releases / f".draft-{secrets.token_hex(4)}"
        try:
            try:
                rows = _write(warehouse, draft, tables, base)
            except _DiffersError:
                shutil.rmtree(draft)
                rows = _write(warehouse, draft, tables, None)
            size, digest = _seal(draft)
            if approve:
                approve()
            release = _new_id(published, digest, now or datetime.now(UTC))
            draft.rename(releases / release)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        _sync(releases)
        _point_current(published, release)
        for former in releases_in(published)[: -max(keep, 1)]:
            _remove(published, releases / former)
    return Release(release, releases / release, rows, size, time.monotonic() - started)
