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
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

import personal_data
from contract import ROOT, ContractError, Table, read_contract
from database_errors import DAMAGE, holder_text, is_disk_full
from erasures import Journal, keep_erased
from landed_file import (
    DISK_FULL,
    READER_ERRORS,
    Reading,
    disk_full,
    explain,
    first_line,
    name_sql,
    plain_utf8,
    quoted,
    read_file,
    read_together,
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
from resources import ResourceError, duckdb_settings

__all__ = ["LandingError", "LoadReport", "create_raw", "load_landing", "load_source", "main"]

DEMO = ROOT / "seeds" / "demo"
DEMO_LABEL = "demo"

# A file's size and times are trusted to mean "unchanged" once they are this old: within one tick
# of the file system's clock a file may change twice.
SETTLED_NS = 2_000_000_000

# A transaction costs a hundred times what a row does, so files of up to SMALL bytes are loaded
# together, as many as make up TOGETHER bytes or FILES files.
SMALL = 1_000_000
TOGETHER = 16_000_000
FILES = 1_000

NAMES_SHOWN = 20

# A clock this many seconds behind the last load is worth a warning.
CLOCK_SLACK = 60.0

# Digits of a long id are lost where a spreadsheet wrote it as 1.23E+11.
SCIENTIFIC = r"[0-9](\.[0-9]+)?[eE]\+[0-9]+"

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


class UnreadableWarehouseError(LandingError):
    """The warehouse file is damaged, of another version, or no database."""


@dataclass(frozen=True)
class _Content:
    """Identity of a file's bytes: their hash, and size and times (ns) while they were read."""

    sha256: str
    state: list[int]


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


@dataclass(frozen=True)
class _Arrival:
    """One file on its way in: its name, its content, and how its text was encoded."""

    name: str
    content: _Content
    encoding: str | None


@dataclass(frozen=True)
class _Added:
    """What an append did: rows by path, and warnings as sentences."""

    rows: Mapping[str, int]
    warnings: list[str]


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _count(result: duckdb.DuckDBPyConnection) -> int:
    """The one number a statement says."""
    row = result.fetchone()
    assert row is not None
    return int(row[0])


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
        self.clock = (now or datetime.now(UTC)).astimezone(UTC).replace(tzinfo=None)
        # Otherwise a file that was replaced within a second is read as it was before.
        con.execute("set enable_external_file_cache = false")
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
            "select coalesce(max(load_id), 0) + 1, coalesce(max(first_row_id + row_count), 1), "
            f"max(loaded_at) from {self.raw}._loads"
        ).fetchone()
        assert row is not None
        self._load_id: int = row[0]
        self._next_row_id: int = row[1]
        last: datetime = row[2] or self.clock
        # A clock set back must not make rows that were fine yesterday come from the future.
        self.now = max(self.clock, last)
        self._behind = (last - self.clock).total_seconds()
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

    def load_files(
        self, files: Sequence[LandedFile], table: Table, declared: Declared
    ) -> Iterator[tuple[LandedFile, int]]:
        """Append files, unless their content is there; yield each with the rows it added.

        Raises:
            LandingError: a file is refused. Those before it stay, each whole; nothing of it does.
        """
        for group in _groups(files, declared):
            if len(group) > 1:
                try:
                    yield from self._load_group(group, table, declared)
                    continue
                except (LandingError, OSError, *READER_ERRORS):
                    pass  # Nothing of it was kept: one after the other tells which file it was.
            for file in group:
                yield file, self.load_file(file, table, declared)

    def _load_group(
        self, group: Sequence[LandedFile], table: Table, declared: Declared
    ) -> list[tuple[LandedFile, int]]:
        """Append several small files in one transaction."""
        new: dict[str, tuple[LandedFile, _Arrival]] = {}
        known: list[tuple[LandedFile, _Content]] = []
        for file in group:
            before = _state(file.path)
            content = _Content(self._hash(file, table, before), before)
            if content.sha256 in new or (table.raw_name, content.sha256) in self._loaded:
                known.append((file, content))
            else:
                new[content.sha256] = (file, _Arrival(file.name, content, "utf-8"))
        added = _Added({}, [])
        if new:
            reading = read_together([file for file, _ in new.values()], table)
            arrivals = {str(file.path): arrival for file, arrival in new.values()}
            with _serial(self.con, True), _transaction(self.con):
                added = self.append(reading, arrivals, table, declared)
                for file, arrival in new.values():
                    self._check_unchanged(file, arrival.content)
            self.book(reading, arrivals, table, declared, added)
        for file, content in known:
            self._skip(file, table, declared, content.sha256)
        for file, content in [*((file, arrival.content) for file, arrival in new.values()), *known]:
            self._note_seen(file, table, content)
        return [(file, added.rows.get(str(file.path), 0)) for file in group]

    def load_file(self, file: LandedFile, table: Table, declared: Declared) -> int:
        """Append one file, unless its content is there; return the number of rows added.

        Raises:
            LandingError: the file is refused; nothing of it was kept.
        """
        try:
            return self._load_file(file, table, declared)
        except OSError as error:
            if error.errno in DISK_FULL:
                failure = LandingError(disk_full(file.name))
            else:
                reason = error.strerror or "input failed"
                failure = LandingError(f"{file.name} cannot be read: {reason}.")
        raise failure

    def _load_file(self, file: LandedFile, table: Table, declared: Declared) -> int:
        before = _state(file.path)
        content = _Content(self._hash(file, table, before), before)
        if (table.raw_name, content.sha256) in self._loaded:
            self._skip(file, table, declared, content.sha256)
            rows = 0
        else:
            rows = self._append_file(file, table, declared, content)
        self._note_seen(file, table, content)
        return rows

    def _hash(self, file: LandedFile, table: Table, state: list[int]) -> str:
        """Hash of a file's bytes, remembered for as long as its size and times stay the same."""
        known = self._seen.get((str(file.path.absolute()), table.raw_name))
        return known[1] if known and known[0] == state else _sha256(file.path)

    def _note_seen(self, file: LandedFile, table: Table, content: _Content) -> None:
        """Remember a file that needs no second look as long as its size and times stay."""
        if not _is_settled(content.state):
            return
        key = (str(file.path.absolute()), table.raw_name)
        if self._journal and personal_data.find(key[0]):
            return  # a path may name somebody who was erased
        if self._seen.get(key) != (content.state, content.sha256):
            self._seen[key] = (content.state, content.sha256)
            self._newly_seen.append((*key, *content.state, content.sha256))

    def _skip(self, file: LandedFile, table: Table, declared: Declared, sha: str) -> None:
        """Note a file whose content is there.

        Raises:
            LandingError: a declaration came too late, as loaded rows are never read again.
        """
        encoding, time_zone = self._loaded[table.raw_name, sha]
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
        self._table_load(table).skipped += 1

    def _check_unchanged(self, file: LandedFile, content: _Content) -> None:
        """Refuse a file that is not what it was when it was hashed.

        Times say nothing about a change within one tick of the clock, so a file that was written
        a moment before is hashed again.
        """
        if _state(file.path) == content.state and (
            _is_settled(content.state) or _sha256(file.path) == content.sha256
        ):
            return
        raise LandingError(f"{file.name} changed while it was read; load again once it is whole.")

    def _append_file(
        self, file: LandedFile, table: Table, declared: Declared, content: _Content
    ) -> int:
        encoding, has_bom = None, False
        if file.format != "parquet":
            encoding, has_bom = text_encoding(file, declared)
        with plain_utf8(file, encoding, has_bom) as path:
            try:
                reading = read_file(self.con, path, file, table, declared.delimiter)
                arrivals = {str(path): _Arrival(file.name, content, encoding)}
                with _serial(self.con, file.format != "parquet"), _transaction(self.con):
                    added = self.append(reading, arrivals, table, declared)
                    self._check_unchanged(file, content)
                self.book(reading, arrivals, table, declared, added)
                return added.rows[str(path)]
            except READER_ERRORS as error:
                failure = explain(error, path, file, table, declared)
        raise failure  # out of the handler, so that the database's text (it has values) is gone

    def append(
        self,
        reading: Reading,
        arrivals: Mapping[str, _Arrival],
        table: Table,
        declared: Declared,
        rows_before: int = 0,
    ) -> _Added:
        """Insert a reading and its lines in `_loads`; the caller holds the transaction.

        Args:
            reading: of one file, or of several that are read together.
            arrivals: what is read, by path and in the order it is read.
            table: what it becomes.
            declared: what landing.yml says.
            rows_before: added to row numbers, for a source that arrives in several pieces.

        Raises:
            LandingError: the rows are not what they seem; the caller rolls back.
        """
        target = f"{self.raw}.{name_sql(table.raw_name)}"
        incoming = target
        if self._journal:
            # Beside the database, so that no page of it ever holds what is to stay erased.
            incoming = "temp.incoming"
            self.con.execute(f"create or replace temp table incoming as from {target} limit 0")
        names = ", ".join(map(name_sql, [*reading.values, *ORIGIN_COLUMNS]))
        values = "".join(f"{sql}, " for sql in reading.values.values())
        file = quoted(next(iter(arrivals.values())).name)
        if reading.file:
            labels = ", ".join(
                f"{quoted(path)}: {quoted(arrival.name)}" for path, arrival in arrivals.items()
            )
            file = f"map {{{labels}}}[{reading.file}]"
        # Literals, not parameters: binding one makes DuckDB look for packages that are not there.
        inserted = self._insert(
            f"insert into {incoming} ({names}) select {values}{reading.extra}, "
            f"{_literal(declared.time_zone)}, {file}, {reading.number} + {rows_before}, "
            f"{self._load_id}, {_literal(self.now)}, rn + {self._next_row_id - 1} "
            f"from {reading.relation}",
            reading,
        )
        if self._journal and self._warehouse:
            names_now = self._append_without_erased(table, target)
            arrivals = {
                path: replace(arrival, name=names_now.get(arrival.name, arrival.name))
                for path, arrival in arrivals.items()
            }
        warnings = self._check_rows(reading, table)
        counts = dict.fromkeys(arrivals, 0)
        if reading.file is None:
            counts = dict.fromkeys(arrivals, inserted)
        else:
            by_name = dict(
                self.con.execute(
                    f"select _file, count(*) from {target} where _row_id >= {self._next_row_id} "
                    "group by _file"
                ).fetchall()
            )
            counts = {path: by_name.get(arrival.name, 0) for path, arrival in arrivals.items()}
        self._write_loads(reading, arrivals, table, declared, counts)
        return _Added(counts, warnings)

    def _insert(self, statement: str, reading: Reading) -> int:
        """Insert a reading, while Python looks at the same file if there is something to check.

        Returns:
            The number of rows.

        Raises:
            LandingError: of the check; it says more than what the database stumbled over.
        """
        if reading.is_numbered:
            # In their order, DuckDB ends a row group of its own wherever one of the file's ends,
            # and every checkpoint after that merges a hundred of those, by writing them anew.
            with self.con.cursor() as beside:  # a transaction that fails takes no setting back
                beside.execute("set preserve_insertion_order = false")
                try:
                    return _count(self.con.execute(statement))
                finally:
                    beside.execute("reset preserve_insertion_order")
        if reading.check is None:
            return _count(self.con.execute(statement))
        inserted = 0
        with ThreadPoolExecutor(max_workers=1) as pool:
            checked = pool.submit(reading.check)
            try:
                inserted = _count(self.con.execute(statement))
            except READER_ERRORS:
                if checked.exception() is None:
                    raise
        checked.result()
        return inserted

    def _write_loads(
        self,
        reading: Reading,
        arrivals: Mapping[str, _Arrival],
        table: Table,
        declared: Declared,
        counts: Mapping[str, int],
    ) -> None:
        lines = []
        first = self._next_row_id
        for path, arrival in arrivals.items():
            values: tuple[str | int | datetime | Sequence[str] | None, ...] = (
                self._load_id,
                table.raw_name,
                arrival.name,
                self.report.landing,
                arrival.content.sha256,
                arrival.content.state[0],
                counts[path],
                first,
                self.now,
                arrival.encoding,
                reading.delimiter,
                declared.time_zone,
                reading.missing,
                reading.unknown,
                None,
            )
            lines.append(f"({', '.join(map(_literal, values))})")
            first += counts[path]
        self.con.execute(f"insert into {self.raw}._loads values {', '.join(lines)}")

    def _check_rows(self, reading: Reading, table: Table) -> list[str]:
        """Look among the rows just inserted for what would stop the build or mean another thing.

        That is what spreadsheets do to ids, a header row that comes again, an unknown time zone.

        Returns:
            Warnings, as sentences.

        Raises:
            LandingError: ids have lost digits, the header row comes again, a time zone is none.
        """
        ids = [column.name for column in table.columns if column.is_id]
        ids = [name for name in ids if name in reading.values]
        first = {  # of the rows to be refused, the first one
            f"min(_row_id) filter (where contains({name_sql(name)}, '+') and regexp_full_match("
            f"{name_sql(name)}, '{SCIENTIFIC}'))": f"{name} is in scientific notation, as "
            "spreadsheets write long numbers, and has lost digits; export it again as text"
            for name in ids
        }
        if "time_zone" in reading.values:
            known = f"{name_sql('time_zone')} in (select name from pg_timezone_names())"
            first[f"min(_row_id) filter (where not {known})"] = (
                "time_zone is no name of the IANA database, such as Europe/Berlin; correct it"
            )
        if reading.header:
            again = " and ".join(
                f"{name_sql(name)} = {quoted(text)}" for name, text in reading.header.items()
            )
            first[f"min(_row_id) filter (where {again})"] = (
                "the header row comes again; remove it there"
            )
        marked = [f"count(*) filter (where {name_sql(name)}[1] = '''')" for name in ids]
        if not first:
            return []
        found = self.con.execute(
            f"select {', '.join([*first, *marked])} from {self.raw}.{name_sql(table.raw_name)} "
            f"where _row_id >= {self._next_row_id}"
        ).fetchone()
        assert found is not None
        for row_id, problem in zip(found, first.values(), strict=False):
            if row_id is not None:
                raise LandingError(f"{self._place(row_id, table)}: {problem}.")
        return [
            f"{table.folder}: {count_text(number, 'value')} of {name} just loaded begin with an "
            "apostrophe, as spreadsheets mark text; an id without it is another id."
            for name, number in zip(ids, found[len(first) :], strict=True)
            if number
        ]

    def _place(self, row_id: int, table: Table) -> str:
        """File and row number of a row, in words."""
        row = self.con.execute(
            f"select _file, _row_number from {self.raw}.{name_sql(table.raw_name)} "
            f"where _row_id = {row_id}"
        ).fetchone()
        assert row is not None
        return f"{row[0]}, row {row[1]}"

    def _append_without_erased(self, table: Table, target: str) -> dict[str, str]:
        """Append the rows of `temp.incoming` without whom was erased.

        Returns:
            The names of files that named somebody, with the names they stand under now.
        """
        assert self._journal is not None
        assert self._warehouse is not None
        former = self.con.execute(
            "select _file, min(_row_id) from temp.incoming group by _file"
        ).fetchall()
        tables = list(self.tables.values())
        if keep_erased(self.con, "temp.incoming", table, self._journal, self.raw, tables):
            # Rows loaded earlier changed too: their former text stays in free pages until then.
            rewrite_mark(self._warehouse).touch()
        now = {
            name: self.con.execute(
                f"select _file from temp.incoming where _row_id = {first}"
            ).fetchone()
            for name, first in former
        }
        self.con.execute(f"insert into {target} by name from temp.incoming order by _row_id")
        self.con.execute("drop table temp.incoming")
        return {name: str(row[0]) for name, row in now.items() if row}

    def book(
        self,
        reading: Reading,
        arrivals: Mapping[str, _Arrival],
        table: Table,
        declared: Declared,
        added: _Added,
    ) -> None:
        """Note an append that is committed."""
        load = self._table_load(table)
        for path, arrival in arrivals.items():
            self._next_row_id += added.rows[path]
            self._loaded[table.raw_name, arrival.content.sha256] = (
                *(arrival.encoding, declared.time_zone),
            )
            load.files += 1
            load.rows += added.rows[path]
        self._landings.add(self.report.landing)
        self.report.load_id = self._load_id
        self.report.warnings += [*reading.warnings, *added.warnings]
        load.missing_columns.update(reading.missing)
        load.unknown_columns.update(reading.unknown)

    def _table_load(self, table: Table) -> TableLoad:
        return self.report.tables.setdefault(table.raw_name, TableLoad(table.raw_name))

    def warn_of_clock(self) -> None:
        """Say so when the clock is behind the last load."""
        if self._behind > CLOCK_SLACK:
            self.report.warnings.append(
                f"The clock is {timedelta(seconds=round(self._behind))} behind the last load, "
                "whose instant these rows get too; if that one was wrong, remove the warehouse "
                "file and load everything again."
            )

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
        arrivals = {str(path): _Arrival(label, _Content(_sha256(path), _state(path)), "utf-8")}
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
                added = self.append(reading, arrivals, table, declared, rows_before)
            self.book(reading, arrivals, table, declared, added)
            return self._table_load(table)
        except READER_ERRORS as error:
            failure = explain(error, path, file, table, declared)
        raise failure

    def finish(self) -> None:
        """Remember which files need no second look."""
        if not self._newly_seen:
            return
        lines = ", ".join(f"({', '.join(map(_literal, seen))})" for seen in self._newly_seen)
        keys = ", ".join(
            f"({quoted(path)}, {quoted(table)})" for path, table, *_ in self._newly_seen
        )
        with _transaction(self.con):
            self.con.execute(
                f"delete from {self.raw}._files_seen where (path, table_name) in (values {keys})"
            )
            self.con.execute(f"insert into {self.raw}._files_seen values {lines}")
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


def _is_settled(state: list[int]) -> bool:
    """Whether a file's times are old enough to tell every later change."""
    return time.time_ns() - max(state[1:]) > SETTLED_NS


def _literal(value: str | int | datetime | Sequence[str] | None) -> str:
    """SQL of a value of `_loads`, typed where it is null."""
    if value is None:
        return "cast(null as varchar)"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        return f"timestamp {quoted(value.isoformat(sep=' '))}"
    return f"cast([{', '.join(map(quoted, value))}] as varchar[])"


def _groups(files: Sequence[LandedFile], declared: Declared) -> Iterator[list[LandedFile]]:
    """Split files, in their order, into those to be loaded in one transaction each."""
    group: list[LandedFile] = []
    shared: bytes | None = None
    total = 0
    for file in files:
        try:
            size = file.path.stat().st_size
            line = first_line(file, declared) if size <= SMALL else None
        except OSError:  # says load_file
            size, line = 0, None
        is_alike = line is not None and line == shared
        if group and not (is_alike and total + size <= TOGETHER and len(group) < FILES):
            yield group
            group, total = [], 0
        group.append(file)
        total += size
        shared = line
    if group:
        yield group


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


def _size(path: Path) -> int:
    """Bytes of a file; 0 for one that cannot be looked at, which is told when it is its turn."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def create_raw(con: duckdb.DuckDBPyConnection) -> None:
    """Create the schema `raw` with all its tables, empty, where they are missing."""
    _Loader(con, read_contract(), "", None)


def holds_own_rows(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether files other than the demo's were loaded into the warehouse."""
    return _Loader(con, read_contract(), "", None).holds_own


def rewrite_mark(warehouse: Path) -> Path:
    """The file beside a warehouse that says: rows loaded earlier changed, so write it anew."""
    return warehouse.with_name(f"{warehouse.name}.rewrite")


def settle_loads(
    con: duckdb.DuckDBPyConnection, passed: Collection[int], refused: Collection[int]
) -> None:
    """Note loads that passed the landing checkpoint; take refused ones out again, in one step.

    Lines of refused loads stay in `_loads`, marked as removed, so that the numbers of loads and
    rows are never given twice; the same files are read again by the next load.
    """
    with _transaction(con):
        con.execute(
            "create table if not exists raw._load_checks "
            "(load_id bigint not null, checked_at timestamp not null)"
        )
        now = datetime.now(UTC).replace(tzinfo=None)
        con.execute("insert into raw._load_checks select unnest($1), $2", [list(passed), now])
        for (table,) in con.execute(
            "select distinct table_name from raw._loads where list_contains($1, load_id)",
            [list(refused)],
        ).fetchall():
            con.execute(
                f"delete from raw.{name_sql(table)} where list_contains($1, _load_id)",
                [list(refused)],
            )
        con.execute(
            "update raw._loads set removed_at = $2 "
            "where list_contains($1, load_id) and removed_at is null",
            [list(refused), now],
        )


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
    finder = LandingFiles(landing, tables)
    finder.find()
    config = read_landing_config(landing, tables)
    is_demo = landing.resolve() == DEMO.resolve()
    loader = _Loader(con, tables, DEMO_LABEL if is_demo else str(landing.resolve()), now)
    loader.report.warnings += finder.warnings
    loader.make_way(finder)
    loader.warn_of_clock()
    sizes = {file.name: _size(file.path) for file in finder.all_files}
    try:
        with reporter_for(progress, sum(sizes.values())) as reporter:
            for folder, table in tables.items():
                declared = config.by_folder[folder]
                for file, rows in loader.load_files(finder.files.get(folder, []), table, declared):
                    reporter.file(file.name, sizes[file.name], rows)
                if table.raw_name in loader.report.tables:
                    reporter.table(loader.report.tables[table.raw_name])
            for source in config.sources:
                reporter.table(loader.load_source(source))
    except BaseException:
        with suppress(duckdb.Error):  # what went wrong first is what is to be told
            loader.finish()
        raise
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
    loader.warn_of_clock()
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
        UnreadableWarehouseError: it is no file this DuckDB reads.
        LandingError: another process has it open, it cannot be created, or MEMORY_LIMIT is none.
    """
    reason = ""
    kind = LandingError
    con = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        con = duckdb.connect(
            str(path),
            config=duckdb_settings(path)
            | {
                "storage_compatibility_version": STORAGE_VERSION,
                # Merging row groups at the end would write everything a second time.
                "max_vacuum_tasks": 0,
            },
        )
    except duckdb.Error as error:
        if holder := holder_text(str(error)):
            reason = f"is in use by {holder}; close that one and load again"
        elif DAMAGE.search(str(error)):
            reason = "is not a DuckDB file this version can open; name another one"
            kind = UnreadableWarehouseError
        elif is_disk_full(error):
            reason = "cannot be written, the disk is full; make room and load again"
        else:
            reason = "cannot be opened; look at who owns it and its directory, or name another one"
    except OSError as error:
        reason = f"cannot be created ({error.strerror}); name another place with --warehouse"
    except ResourceError as error:
        raise LandingError(str(error)) from None
    if con is None:
        raise kind(f"The warehouse {path} {reason}.")
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
            names = sorted(load.unknown_columns)
            shown = ", ".join(
                name if name.isprintable() else repr(name) for name in names[:NAMES_SHOWN]
            )
            if len(names) > NAMES_SHOWN:
                shown += f" and {len(names) - NAMES_SHOWN} more"
            print(
                f"{load.table}: not in the contract, kept aside in _extra: {shown}.",
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
