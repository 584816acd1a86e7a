"""Load exports into the schema `raw` of the warehouse: as text, append-only, once per content.

A landing directory holds one folder per table of the landing contract, see docs/load.md. Each
file is one transaction, so a load that is refused or killed leaves whole files only, and the next
run goes on where it stopped. Nothing is judged here beyond the shape of a file; rows are judged
by the conformed models.

Every error a user can cause is a `LandingError` whose text is one sentence and quotes no value
of the data, because values may be personal.
"""

from __future__ import annotations
IMPORTS
DEMO = ROOT / "seeds" / "demo"
DEMO_LABEL = "demo"

# Delimiters a CSV file may use, in the order they are tried; names are for landing.yml.
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
FORMATS_TEXT = "a table's files end in .csv, .tsv, .jsonl, .ndjson (each also .gz) or .parquet"

# Longest row in bytes, and the reader's buffer: large rows (a bot's slots as JSON) must fit, the
# buffer bounds memory.
LONGEST_ROW = 16_000_000
BUFFER = 64_000_000

# A file's size and times are trusted to mean "unchanged" once they are this old: within one tick
# of the file system's clock a file may change twice.
SETTLED_NS = 2_000_000_000

# Files DuckDB creates from this storage version on compress text in a third less time.
STORAGE_VERSION = "v1.3.0"

CODECS_NOT_TEXT = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"}
BOMS = (  # the longer one first: the UTF-32 mark begins with the UTF-16 one
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

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

    def make_way(self) -> None:
        """Keep demo and own data apart.

        Raises:
            LandingError: the demo is to be loaded beside own data.
        """
        if self.report.landing == DEMO_LABEL:
            if self.holds_own:
                raise LandingError(
                    "The warehouse holds your own exports, so the demo was not loaded; name "
                    "another file with PARLEY_WAREHOUSE, or your exports with PARLEY_LANDING."
                )
        elif self.holds_demo:
            self._remove_demo()

    def _remove_demo(self) -> None:
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
        self.report.notices.append(
            "The demo's rows were removed from the warehouse before your own exports were loaded."
        )

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
        key = (str(file.path.absolute()), table.raw_name)
        state, sha = self._seen.get(key, (None, ""))
        if state != before or (table.raw_name, sha) not in self._loaded:
            sha = _sha256(file.path)
        if (table.raw_name, sha) in self._loaded:
            self._check_declared(file, declared, *self._loaded[table.raw_name, sha])
            self._table_load(table).skipped += 1
            rows = 0
        else:
            rows = self._append_file(file, table, declared, _Content(sha, before))
        if state != before and time.time_ns() - max(before[1:]) > SETTLED_NS:
            self._newly_seen.append((*key, *before, sha))
        return rows

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
                reading = READERS[file.format](self.con, path, file.name, table, declared.delimiter)
                with _transaction(self.con):
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
        columns = ", ".join(map(name_sql, [*reading.values, *ORIGIN_COLUMNS]))
        values = "".join(f"{sql}, " for sql in reading.values.values())
        inserted = self.con.execute(
            f"insert into {self.raw}.{name_sql(table.raw_name)} ({columns}) select {values}"
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

    def finish(self) -> None:
        """Remember which files need no second look."""
        if not self._newly_seen:
            return
        with _transaction(self.con):
            self.con.execute(
                "create or replace temp table _newly_seen_files as "
                f"from {self.raw}._files_seen limit 0"
            )
            self.con.executemany(
                "insert into _newly_seen_files values (?, ?, ?, ?, ?, ?)", self._newly_seen
            )
            self.con.execute(
                f"delete from {self.raw}._files_seen where (path, table_name) in "
                "(select (path, table_name) from _newly_seen_files)"
            )
            self.con.execute(f"insert into {self.raw}._files_seen from _newly_seen_files")
            self.con.execute("drop table _newly_seen_files")
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
    loader.make_way()
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
                reporter.table(_load_source(loader, source))
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
    loader = _Loader(con, read_contract(), _identity(source), now)
    loader.make_way()
    with reporter_for(progress, 0) as reporter:
        reporter.table(_load_source(loader, source))
    loader.require_rows()
    loader.report.seconds = time.monotonic() - started
    return loader.report

