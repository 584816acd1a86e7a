"""Load exports into the schema `raw` of the warehouse: as text, append-only, once per content.

A landing directory holds one folder per table of the landing contract, see docs/load.md. Each
file is one transaction, so a load that is refused or killed leaves whole files only, and the next
run goes on where it stopped. Nothing is judged here beyond the shape of a file; rows are judged
by the conformed models.

Every error a user can cause is a `LandingError` whose text is one sentence and quotes no value
of the data, because values may be personal.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

import personal_data
from contract import ROOT, ContractError, Table, read_contract
from erasures import Journal, keep_erased
from landed_file import (
    Reading,
    explain,
    name_sql,
    plain_utf8,
    quoted,
    read_file,
    text_encoding,
)
from landing import (
    Declared,
    LandedFile,
    LandingError,
    LandingFiles,
    Source,
    read_landing_config,
)
from load_report import LoadReport, TableLoad, count_text, reporter_for
from platform_database import identity, opened_database

__all__ = ["LandingError", "LoadReport", "create_raw", "load_landing", "load_source", "main"]

DEMO = ROOT / "seeds" / "demo"
DEMO_LABEL = "demo"

# A file's size and times are trusted to mean "unchanged" once they are this old: within one tick
# of the file system's clock a file may change twice.
SETTLED_NS = 2_000_000_000

# Files DuckDB creates from this storage version on compress text in a third less time.
STORAGE_VERSION = "v1.3.0"

ORIGIN_COLUMNS = {
    "_extra": "varchar",
    "_time_zone": "varchar",
    "_file": "varchar",
    "_row_number": "bigint",
    "_load_id": "bigint",
    "_loaded_at": "timestamp",
    "_row_id": "bigint",
}
LOADS_DDL = """
create table if not exists {raw}._loads (
    load_id bigint not null,
    table_name varchar not null,
    file varchar not null,
    landing varchar not null,
    sha256 varchar not null,
    bytes bigint not null,
    row_count bigint not null,
    first_row_id bigint not null,
    loaded_at timestamp not null,
    encoding varchar,
    delimiter varchar,
    time_zone varchar,
    missing_columns varchar[] not null,
    unknown_columns varchar[] not null,
    removed_at timestamp
)"""
FILES_SEEN_DDL = """
create table if not exists {raw}._files_seen (
    path varchar not null,
    table_name varchar not null,
    bytes bigint not null,
    modified_ns bigint not null,
    changed_ns bigint not null,
    sha256 varchar not null
)"""

# Rows of platforms' own databases that scripts/prune.py removed: how many, the largest and the sum
# of their ids, so that the next load does not take them for rows that are missing.
PRUNED_DDL = """
create table if not exists raw._pruned (
    file varchar not null,
    row_count bigint not null,
    last_id bigint,
    id_sum hugeint
)"""


@dataclass(frozen=True)
class _Content:
    """Identity of a file's bytes: their hash, and size and times (ns) while they were read."""

    sha256: str
    state: list[int]


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    con.begin()
    try:
        yield
        con.commit()
    except BaseException:
        with suppress(duckdb.Error):  # a failed commit has rolled back already
            con.rollback()
        raise


class _Loader:
    """One run: knows what the warehouse holds, appends what is new."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        tables: Mapping[str, Table],
        landing: str,
        now: datetime | None,
    ) -> None:
        self.con = con
        self.tables = tables
        self.report = LoadReport(landing)
        moment = now or datetime.now(UTC)
        self.now = moment.astimezone(UTC).replace(tzinfo=None)
        database = con.execute("select current_database()").fetchone()
        assert database is not None
        self.raw = f"{name_sql(database[0])}.raw"
        path = con.execute(
            "select path from duckdb_databases() where database_name = current_database()"
        ).fetchone()
        self._warehouse = Path(path[0]) if path and path[0] else None
        self._journal = Journal.beside(self._warehouse) if self._warehouse else None
        self._create()
        self._remember()

    def _create(self) -> None:
        """Create the raw tables that are missing, and add columns the contract has gained."""
        existing: dict[str, set[str]] = {}
        for table_name, column_name in self.con.execute(
            "select table_name, column_name from duckdb_columns() "
            "where schema_name = 'raw' and database_name = current_database()"
        ).fetchall():
            existing.setdefault(table_name, set()).add(column_name)
        statements = []
        if "_loads" not in existing:
            statements += [
                f"create schema if not exists {self.raw}",
                LOADS_DDL.format(raw=self.raw),
                FILES_SEEN_DDL.format(raw=self.raw),
            ]
        if "_pruned" not in existing:
            statements.append(PRUNED_DDL.replace("raw._pruned", f"{self.raw}._pruned"))
        for table in self.tables.values():
            wanted = {column.name: "varchar" for column in table.columns} | ORIGIN_COLUMNS
            target = f"{self.raw}.{name_sql(table.raw_name)}"
            if table.raw_name not in existing:
                columns = ", ".join(f"{name_sql(name)} {kind}" for name, kind in wanted.items())
                statements.append(f"create table {target} ({columns})")
                continue
            statements += [
                f"alter table {target} add column {name_sql(name)} {kind}"
                for name, kind in wanted.items()
                if name not in existing[table.raw_name]
            ]
        if statements:
            with _transaction(self.con):
                for statement in statements:
                    self.con.execute(statement)

    def _remember(self) -> None:
        """Read what earlier runs loaded."""
        row = self.con.execute(
            f"select coalesce(max(load_id), 0) + 1, coalesce(max(first_row_id + row_count), 1) "
            f"from {self.raw}._loads"
        ).fetchone()
        assert row is not None
        self._load_id: int = row[0]
        self._next_row_id: int = row[1]
        loads = self.con.execute(
            "select table_name, sha256, encoding, time_zone, landing "
            f"from {self.raw}._loads where removed_at is null"
        ).fetchall()
        self._loaded = {(load[0], load[1]): (load[2], load[3]) for load in loads}
        self._landings = {load[4] for load in loads}
        seen = self.con.execute(f"select * from {self.raw}._files_seen").fetchall()
        self._seen = {(path, table): (state, sha) for path, table, *state, sha in seen}
        self._newly_seen: list[tuple[Any, ...]] = []

    # -- demo

    @property
    def holds_demo(self) -> bool:
        """Whether the demo's rows are in the warehouse."""
        return DEMO_LABEL in self._landings

    @property
    def holds_own(self) -> bool:
        """Whether rows other than the demo's are in the warehouse."""
        return bool(self._landings - {DEMO_LABEL})

    def make_way(self, files: LandingFiles | None = None) -> None:
        """Keep demo and own data apart, and the demo of one version from that of another.

        `files` are those about to be loaded.

        Raises:
            LandingError: the demo is to be loaded beside own data.
        """
        if self.report.landing == DEMO_LABEL:
            if self.holds_own:
                raise LandingError(
                    "The warehouse holds your own exports, so the demo was not loaded; name "
                    "another file with PARLEY_WAREHOUSE, or your exports with PARLEY_LANDING."
                )
            if files is not None and self._loaded.keys() - self._contents(files):
                self._remove_demo("The demo has changed, so its former rows were removed.")
        elif self.holds_demo:
            self._remove_demo("The demo's rows were removed to make way for your own exports.")

    def _contents(self, files: LandingFiles) -> set[tuple[str, str]]:
        return {
            (self.tables[folder].raw_name, self._hash(file, self.tables[folder], _state(file.path)))
            for folder, found in files.files.items()
            for file in found
        }

    def _remove_demo(self, notice: str) -> None:
        with _transaction(self.con):
            for table in self.tables.values():
                self.con.execute(
                    f"delete from {self.raw}.{name_sql(table.raw_name)} where _load_id in (select "
                    f"load_id from {self.raw}._loads where landing = $demo and removed_at is null)",
                    {"demo": DEMO_LABEL},
                )
            self.con.execute(f"delete from {self.raw}._files_seen")
            self.con.execute(
                f"update {self.raw}._loads set removed_at = $now "
                "where landing = $demo and removed_at is null",
                {"now": self.now, "demo": DEMO_LABEL},
            )
        self._remember()
        self.report.notices.append(notice)

    # -- files

    def load_file(self, file: LandedFile, table: Table, declared: Declared) -> int:
        """Append one file, unless its content is there; return the number of rows added.

        Raises:
            LandingError: the file is refused; nothing of it was kept.
        """
        try:
            return self._load_file(file, table, declared)
        except OSError as error:
            reason = error.strerror or "input failed"
        raise LandingError(f"{file.name} cannot be read: {reason}.")

    def _load_file(self, file: LandedFile, table: Table, declared: Declared) -> int:
        before = _state(file.path)
        sha = self._hash(file, table, before)
        if (table.raw_name, sha) in self._loaded:
            self._check_declared(file, declared, *self._loaded[table.raw_name, sha])
            self._table_load(table).skipped += 1
            rows = 0
        else:
            rows = self._append_file(file, table, declared, _Content(sha, before))
        if time.time_ns() - max(before[1:]) > SETTLED_NS:
            self._note_seen(file, table, before, sha)
        return rows

    def _hash(self, file: LandedFile, table: Table, state: list[int]) -> str:
        """Hash of a file's bytes, remembered for as long as its size and times stay the same."""
        known = self._seen.get((str(file.path.absolute()), table.raw_name))
        return known[1] if known and known[0] == state else _sha256(file.path)

    def _note_seen(self, file: LandedFile, table: Table, state: list[int], sha: str) -> None:
        key = (str(file.path.absolute()), table.raw_name)
        if self._journal and personal_data.find(key[0]):
            return  # a path may name somebody who was erased
        if self._seen.get(key) != (state, sha):
            self._seen[key] = (state, sha)
            self._newly_seen.append((*key, *state, sha))

    def _check_declared(
        self, file: LandedFile, declared: Declared, encoding: str | None, time_zone: str | None
    ) -> None:
        """Refuse a declaration that came too late: loaded rows are never read again."""
        changed = None
        if time_zone != declared.time_zone:
            changed = "time_zone"
        elif encoding not in (None, "utf-8", "utf-16", "utf-32") and encoding != declared.encoding:
            changed = "encoding"
        if changed:
            raise LandingError(
                f"{file.name} was loaded under another {changed} than landing.yml declares now; "
                "declare it as before, or remove the warehouse file and load everything again."
            )

    def _append_file(
        self, file: LandedFile, table: Table, declared: Declared, content: _Content
    ) -> int:
        encoding, has_bom = None, False
        if file.format != "parquet":
            encoding, has_bom = text_encoding(file, declared)
        with plain_utf8(file, encoding, has_bom) as path:
            try:
                reading = read_file(self.con, path, file, table, declared.delimiter)
                with _serial(self.con, file.format != "parquet"), _transaction(self.con):
                    rows = self.append(reading, file.name, table, declared, encoding, content)
                    if _state(file.path) != content.state:
                        raise LandingError(
                            f"{file.name} changed while it was read; load again once it is whole."
                        )
                self.book(reading, table, declared, encoding, content, rows)
                return rows
            except duckdb.Error as error:
                failure = explain(error, path, file, table, declared)
        raise failure  # out of the handler, so that the database's text (it has values) is gone

    def append(
        self,
        reading: Reading,
        name: str,
        table: Table,
        declared: Declared,
        encoding: str | None,
        content: _Content,
        rows_before: int = 0,
    ) -> int:
        """Insert a reading and its line in `_loads`; the caller holds the transaction.

        `rows_before` is added to row numbers, for a source that arrives in several pieces.
        """
        target = f"{self.raw}.{name_sql(table.raw_name)}"
        incoming = target
        if self._journal:
            # Beside the database, so that no page of it ever holds what is to stay erased.
            incoming = "temp.incoming"
            self.con.execute(f"create or replace temp table incoming as from {target} limit 0")
        columns = ", ".join(map(name_sql, [*reading.values, *ORIGIN_COLUMNS]))
        values = "".join(f"{sql}, " for sql in reading.values.values())
        inserted = self.con.execute(
            f"insert into {incoming} ({columns}) select {values}"
            f"{reading.extra}, cast($zone as varchar), $file, rn + $rows_before, $load, "
            f"$now, rn + $first - 1 from {reading.relation}",
            {
                "zone": declared.time_zone,
                "file": name,
                "rows_before": rows_before,
                "load": self._load_id,
                "now": self.now,
                "first": self._next_row_id,
            },
        ).fetchone()
        if self._journal and self._warehouse:
            name = self._append_without_erased(table, target, name)
        assert inserted is not None
        self.con.execute(
            f"insert into {self.raw}._loads values "
            "($load, $table, $file, $landing, $sha, $bytes, $rows, $first, $now, $encoding, "
            "$delimiter, $zone, $missing, $unknown, null)",
            {
                "load": self._load_id,
                "table": table.raw_name,
                "file": name,
                "landing": self.report.landing,
                "sha": content.sha256,
                "bytes": content.state[0],
                "rows": inserted[0],
                "first": self._next_row_id,
                "now": self.now,
                "encoding": encoding,
                "delimiter": reading.delimiter,
                "zone": declared.time_zone,
                "missing": list(reading.missing),
                "unknown": list(reading.unknown),
            },
        )
        return int(inserted[0])

    def _append_without_erased(self, table: Table, target: str, file: str) -> str:
        """Append the rows of `temp.incoming` without whom was erased; return the file's name."""
        assert self._journal is not None
        assert self._warehouse is not None
        tables = list(self.tables.values())
        if keep_erased(self.con, "temp.incoming", table, self._journal, self.raw, tables):
            # Rows loaded earlier changed too: their former text stays in free pages until then.
            self._warehouse.with_name(f"{self._warehouse.name}.rewrite").touch()
        row = self.con.execute("select any_value(_file) from temp.incoming").fetchone()
        self.con.execute(f"insert into {target} by name from temp.incoming order by _row_id")
        self.con.execute("drop table temp.incoming")
        return str(row[0]) if row and row[0] else file

    def book(
        self,
        reading: Reading,
        table: Table,
        declared: Declared,
        encoding: str | None,
        content: _Content,
        rows: int,
    ) -> None:
        """Note an append that is committed."""
        self._next_row_id += rows
        self._loaded[table.raw_name, content.sha256] = (encoding, declared.time_zone)
        self._landings.add(self.report.landing)
        self.report.load_id = self._load_id
        load = self._table_load(table)
        load.files += 1
        load.rows += rows
        load.missing_columns.update(reading.missing)
        load.unknown_columns.update(reading.unknown)

    def _table_load(self, table: Table) -> TableLoad:
        return self.report.tables.setdefault(table.raw_name, TableLoad(table.raw_name))

    # -- databases

    def loaded_ids(self, table: Table, label: str) -> tuple[int, int, int]:
        """Largest id, number and sum of the ids loaded from one source; zeros for none."""
        row = self.con.execute(
            "select coalesce(max(try_cast(id as bigint)), 0), count(*), "
            "coalesce(sum(try_cast(id as bigint)), 0) "
            f"from {self.raw}.{name_sql(table.raw_name)} where _file = $label",
            {"label": label},
        ).fetchone()
        assert row is not None
        pruned = self.con.execute(
            "select coalesce(max(last_id), 0), coalesce(sum(row_count), 0), "
            f"coalesce(sum(id_sum), 0) from {self.raw}._pruned where file = $label",
            {"label": label},
        ).fetchone()
        assert pruned is not None
        return (
            max(int(row[0]), int(pruned[0])),
            int(row[1]) + int(pruned[1]),
            int(row[2]) + int(pruned[2]),
        )

    def load_source(self, source: Source) -> TableLoad:
        """Append the rows of a platform's own database whose id is new, in one transaction.

        Raises:
            LandingError: the database cannot be read, or has no table or column that is needed.
        """
        tables = [table for table in self.tables.values() if table.platform == source.platform]
        wanted = [table for table in tables if source.table in (None, table.name)]
        with (
            opened_database(source.url) as database,
            tempfile.TemporaryDirectory(prefix="parley-load-") as folder,
        ):
            table = next((table for table in wanted if database.has(table.name)), None)
            if table is None:
                raise LandingError(
                    f"{identity(source.url)} has no table "
                    f"{' or '.join(table.name for table in wanted) or source.table}; check the URL."
                )
            label = f"{identity(source.url)}#{table.name}"
            last, count, total = self.loaded_ids(table, label)
            is_tail = database.ids_until(table.name, last) == (count, total)
            path = Path(folder) / "rows.csv"
            database.export(table.name, path, after=last if is_tail and count else None)
            return self._append_export(path, label, table, source.time_zone, count, is_tail)

    def _append_export(
        self,
        path: Path,
        label: str,
        table: Table,
        time_zone: str | None,
        rows_before: int,
        is_tail: bool,
    ) -> TableLoad:
        """Append exported rows; unless they are the tail, those whose id is loaded are left out."""
        declared = Declared(time_zone, "utf-8", ",")
        content = _Content(_sha256(path), _state(path))
        file = LandedFile(path, label, "csv", is_gzip=False)
        try:
            reading = read_file(self.con, path, file, table, ",")
            if not is_tail:
                key = reading.values["id"]
                loaded = (
                    f"select id from {self.raw}.{name_sql(table.raw_name)} "
                    f"where _file = {quoted(label)} and id is not null"
                )
                reading = replace(
                    reading,
                    relation=f"(select * exclude (rn), row_number() over (order by cast({key} as "
                    f"bigint)) as rn from {reading.relation} where {key} not in ({loaded}))",
                )
            if not self.con.execute(f"select 1 from {reading.relation} limit 1").fetchone():
                return self._table_load(table)
            with _transaction(self.con):
                rows = self.append(reading, label, table, declared, "utf-8", content, rows_before)
            self.book(reading, table, declared, "utf-8", content, rows)
            return self._table_load(table)
        except duckdb.Error as error:
            failure = explain(error, path, file, table, declared)
        raise failure

    def finish(self) -> None:
        """Remember which files need no second look."""
        if not self._newly_seen:
            return
        path, table, size, modified, changed, sha = map(list, zip(*self._newly_seen, strict=True))
        with _transaction(self.con):
            self.con.execute(
                f"delete from {self.raw}._files_seen where (path, table_name) in "
                "(select (unnest($path), unnest($table)))",
                {"path": path, "table": table},
            )
            self.con.execute(
                f"insert into {self.raw}._files_seen select unnest($path), unnest($table), "
                "unnest($size), unnest($modified), unnest($changed), unnest($sha)",
                {
                    "path": path,
                    "table": table,
                    "size": size,
                    "modified": modified,
                    "changed": changed,
                    "sha": sha,
                },
            )
        self._newly_seen = []

    def require_rows(self) -> None:
        """Refuse a warehouse without a single conversation, message or platform row."""
        for table in self.tables.values():
            if table.platform or table.name in ("conversations", "messages"):
                row = self.con.execute(
                    f"select 1 from {self.raw}.{name_sql(table.raw_name)} limit 1"
                ).fetchone()
                if row:
                    return
        raise LandingError(
            "The landing has no rows in conversations, messages or any platform's tables; put at "
            "least one of them there."
        )


@contextmanager
def _serial(con: duckdb.DuckDBPyConnection, is_serial: bool) -> Iterator[None]:
    """Use one thread where rows are numbered as they are read.

    Such a plan has one thread's work in it; with more, DuckDB inserts in small batches it has to
    merge, which costs twice the processor time (measured on a million messages).
    """
    if not is_serial:
        yield
        return
    row = con.execute("select current_setting('threads')").fetchone()
    assert row is not None
    con.execute("set threads = 1")
    try:
        yield
    finally:
        con.execute(f"set threads = {int(row[0])}")


def create_raw(con: duckdb.DuckDBPyConnection) -> None:
    """Create the schema `raw` with all its tables, empty, where they are missing."""
    _Loader(con, read_contract(), "", None)


def holds_own_rows(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether files other than the demo's were loaded into the warehouse."""
    return _Loader(con, read_contract(), "", None).holds_own


def load_landing(
    con: duckdb.DuckDBPyConnection,
    landing: Path,
    *,
    progress: bool,
    now: datetime | None = None,
) -> LoadReport:
    """Append what is new in a landing directory to the schema `raw`; repeat at will.

    Args:
        con: a writable connection without an open transaction.
        landing: the directory; `seeds/demo` of this repository is recorded as the demo.
        progress: show a bar (or lines, away from a terminal) on stderr.
        now: the instant of the load, aware; the clock's by default.

    Returns:
        What was added, file by file committed.

    Raises:
        LandingError: something is refused. Files before it stay, each whole; the file itself
            leaves nothing.
    """
    started = time.monotonic()
    if not landing.is_dir():
        raise LandingError(f"The landing {landing} is not a directory.")
    tables = read_contract()
    config = read_landing_config(landing, tables)
    finder = LandingFiles(landing, tables)
    finder.find()
    is_demo = landing.resolve() == DEMO.resolve()
    loader = _Loader(con, tables, DEMO_LABEL if is_demo else str(landing.resolve()), now)
    loader.report.warnings += finder.warnings
    loader.make_way(finder)
    sizes = {file.name: file.path.stat().st_size for file in finder.all_files}
    try:
        with reporter_for(progress, sum(sizes.values())) as reporter:
            for folder, table in tables.items():
                for file in finder.files.get(folder, []):
                    rows = loader.load_file(file, table, config.by_folder[folder])
                    reporter.file(file.name, sizes[file.name], rows)
                if table.raw_name in loader.report.tables:
                    reporter.table(loader.report.tables[table.raw_name])
            for source in config.sources:
                reporter.table(loader.load_source(source))
    finally:
        loader.finish()
    loader.require_rows()
    loader.report.seconds = time.monotonic() - started
    return loader.report


def load_source(
    con: duckdb.DuckDBPyConnection,
    source: Source,
    *,
    progress: bool,
    now: datetime | None = None,
) -> LoadReport:
    """Append the new rows of a platform's own database to the schema `raw`; repeat at will.

    Args:
        con: a writable connection without an open transaction.
        source: the database; its password goes nowhere.
        progress: print a line on stderr.
        now: the instant of the load, aware; the clock's by default.

    Raises:
        LandingError: the database cannot be read, or lacks a required column.
    """
    started = time.monotonic()
    loader = _Loader(con, read_contract(), identity(source.url), now)
    loader.make_way()
    with reporter_for(progress, 0) as reporter:
        reporter.table(loader.load_source(source))
    loader.require_rows()
    loader.report.seconds = time.monotonic() - started
    return loader.report


# ------------------------------------------------------------------------------- command line


def default_warehouse(landing: str | None) -> Path:
    """The warehouse file of a landing, by the rule of profiles.yml, unless PARLEY_WAREHOUSE is set.

    `landing` is the text as given: the file's name is a hash of it, so that each landing has a
    warehouse of its own.
    """
    if named := os.environ.get("PARLEY_WAREHOUSE"):
        return Path(named)
    if not landing:
        return Path("warehouse/demo.duckdb")
    digest = hashlib.md5(landing.encode("utf-8"), usedforsecurity=False).hexdigest()
    return Path(f"warehouse/own_{digest[:8]}.duckdb")


@contextmanager
def opened_warehouse(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a warehouse file for writing, creating it and its directory if need be.

    Raises:
        LandingError: another process has it open, or it is no file this DuckDB reads.
    """
    reason = ""
    con = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        con = duckdb.connect(
            str(path),
            config={
                "storage_compatibility_version": STORAGE_VERSION,
                "memory_limit": os.environ.get("PARLEY_MEMORY_LIMIT") or "4GB",
                "temp_directory": os.environ.get("PARLEY_SPILL") or "warehouse/spill",
                # Merging row groups at the end would write everything a second time.
                "max_vacuum_tasks": 0,
            },
        )
    except duckdb.Error as error:
        reason = "is not a DuckDB file this version can open; name another one"
        if "lock" in str(error).lower():
            reason = "is in use by another process; close that one and load again"
    except OSError as error:
        reason = f"cannot be created ({error.strerror}); name another place with --warehouse"
    if con is None:
        raise LandingError(f"The warehouse {path} {reason}.")
    with con:
        yield con


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="load.py",
        description=(
            "Load a directory of exports into the warehouse, as it arrived. What is loaded "
            "already is skipped, so the command can be repeated at any time. Without a directory "
            "the demo of this repository is loaded. See docs/load.md for what to put where."
        ),
    )
    parser.add_argument(
        "--landing",
        metavar="DIR",
        default=os.environ.get("PARLEY_LANDING") or None,
        help="directory of exports, one folder per table (default: $PARLEY_LANDING, or the demo)",
    )
    parser.add_argument(
        "--warehouse",
        metavar="FILE",
        default=None,
        help="DuckDB file to load into (default: $PARLEY_WAREHOUSE, or one per landing directory "
        "below warehouse/, the one dbt uses too)",
    )
    parser.add_argument(
        "--from",
        dest="url",
        metavar="URL",
        default=None,
        help="read a Rasa tracker store in place: sqlite:///tracker.db or "
        "postgresql://user@host/database (password: PGPASSWORD or ~/.pgpass); needs --landing or "
        "--warehouse",
    )
    return parser


def _print_outcome(report: LoadReport, warehouse: Path) -> None:
    for text in (*report.notices, *report.warnings):
        print(text, file=sys.stderr)
    for load in report.tables.values():
        if load.unknown_columns:
            names = ", ".join(sorted(load.unknown_columns))
            print(
                f"{load.table}: not in the contract, kept aside in _extra: {names}.",
                file=sys.stderr,
            )
    print(
        f"Loaded {count_text(report.rows, 'row')} from {count_text(report.files, 'file')} into "
        f"{warehouse} in {report.seconds:.1f} s; {count_text(report.skipped, 'file')} had been "
        "loaded before."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, 1 when refused, 2 for wrong usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.url and not (
        options.landing or options.warehouse or "PARLEY_WAREHOUSE" in os.environ
    ):
        parser.error("--from needs --warehouse FILE, to know where the rows go")
    warehouse = Path(options.warehouse) if options.warehouse else default_warehouse(options.landing)
    try:
        with opened_warehouse(warehouse) as con:
            if options.landing or not options.url:
                landing = Path(options.landing) if options.landing else DEMO
                _print_outcome(load_landing(con, landing, progress=True), warehouse)
            if options.url:
                _print_outcome(load_source(con, Source(options.url), progress=True), warehouse)
    except (LandingError, ContractError) as refusal:
        print(refusal, file=sys.stderr)
        return 1
    except duckdb.Error as error:
        print(
            f"The warehouse failed ({type(error).__name__}); run the load again.", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
