"""Disk a build needs, estimated before anything is loaded, and refused when there is too little.

The estimate follows from rows: those in `raw` and those of landed files that are not there yet.
How the figures were measured is in docs/decisions/0030-benchmarks-memory-and-disk.md.
"""

from __future__ import annotations

import gzip
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from contract import read_contract
from landed_file import quoted
from landing import LandedFile, LandingError, LandingFiles
from load import create_raw
from resources import duckdb_settings, memory_limit_bytes, spill_directory

# Measured on generated data of 29 thousand to 14.3 million rows, plus about 30 %; bytes.
WAREHOUSE_FIXED = 110_000_000
WAREHOUSE_PER_ROW = 380
# A warehouse that is built anew holds the former tables until the new ones stand.
REBUILT_PER_ROW = 720
RELEASE_FIXED = 35_000_000
RELEASE_PER_ROW = 145
SPILL_FIXED = 600_000_000
SPILL_PER_ROW = 400
# A landed row wider than this keeps what is wider in raw and, compressed, in conformed.
USUAL_ROW = 250
# Exports compress about this well with gzip.
GZIP_FACTOR = 8
SAMPLE_BYTES = 64_000
# A need below this is not worth a line.
TELL_BYTES = 1_000_000_000


class DiskNeedError(Exception):
    """A disk has too little room; one sentence that says where, how much and what to do."""


@dataclass(frozen=True)
class Landed:
    """Rows, and their bytes as text; may be added up."""

    rows: int = 0
    bytes: int = 0

    def __add__(self, other: Landed) -> Landed:
        return Landed(self.rows + other.rows, self.bytes + other.bytes)


@dataclass(frozen=True)
class Need:
    """Bytes a build adds at a place; `setting` is the make variable that moves it elsewhere."""

    what: str
    place: Path
    setting: str
    bytes: int


def rows_of(file: LandedFile) -> Landed:
    """Rows of a landed file: told by Parquet, else by its size over the mean of its first lines.

    A file that cannot be read holds none; the loader will say what is wrong with it.
    """
    with suppress(OSError, EOFError, duckdb.Error):
        if file.format == "parquet":
            return _rows_of_parquet(file.path)
        size = file.path.stat().st_size * (GZIP_FACTOR if file.is_gzip else 1)
        with gzip.open(file.path) if file.is_gzip else file.path.open("rb") as stream:
            sample = stream.read(SAMPLE_BYTES)
        # UTF-16 has its line feeds too, and quoted ones make rows of lines: more, never fewer.
        lines = sample.count(b"\n") or 1
        return Landed(round(size / max(len(sample) / lines, 1)), size)
    return Landed()


def _rows_of_parquet(path: Path) -> Landed:
    with duckdb.connect(config=duckdb_settings()) as con:
        row = con.execute(
            f"select (select num_rows from parquet_file_metadata({quoted(str(path))})), "
            f"(select sum(total_uncompressed_size) from parquet_metadata({quoted(str(path))}))"
        ).fetchone()
    return Landed(int(row[0] or 0), int(row[1] or 0)) if row else Landed()


def loaded_rows(con: duckdb.DuckDBPyConnection) -> Landed:
    """What the loader has put into `raw`."""
    row = con.execute(
        "select sum(row_count), sum(bytes) from raw._loads where removed_at is null"
    ).fetchone()
    return Landed(int(row[0] or 0), int(row[1] or 0)) if row else Landed()


def new_files(con: duckdb.DuckDBPyConnection, landing: Path) -> Iterator[LandedFile]:
    """Files that seem not to be loaded: none of their size was, for their table."""
    tables = read_contract()
    finder = LandingFiles(landing, tables)
    with suppress(LandingError):  # the loader will say so
        finder.find()
    known = set(
        con.execute("select table_name, bytes from raw._loads where removed_at is null").fetchall()
    )
    for folder, landed in finder.files.items():
        for file in landed:
            with suppress(OSError):
                if (tables[folder].raw_name, file.path.stat().st_size) not in known:
                    yield file


def build_needs(
    loaded: Landed, new: Landed, *, warehouse: Path, published: Path, spill: Path, memory: int
) -> list[Need]:
    """Bytes a build will add at each of its places.

    Args:
        loaded: what is in `raw`.
        new: what is landed and not there yet.
        warehouse: the DuckDB file; what it already holds needs no more room.
        published: the directory of releases.
        spill: the directory DuckDB spills to.
        memory: bytes it may use before.
    """
    rows = loaded.rows + new.rows
    wide = max(0, loaded.bytes + new.bytes - rows * USUAL_ROW)
    has = warehouse.stat().st_size if warehouse.exists() else 0
    added = new.rows * WAREHOUSE_PER_ROW
    grows = max(WAREHOUSE_FIXED + loaded.rows * REBUILT_PER_ROW + added + wide - has, added)
    return [
        Need("the warehouse", warehouse.parent, "WAREHOUSE", grows),
        Need("a release", published, "PUBLISHED", RELEASE_FIXED + rows * RELEASE_PER_ROW),
        Need("spilling", spill, "SPILL", max(0, SPILL_FIXED + rows * SPILL_PER_ROW - memory)),
    ]


def _standing(place: Path) -> Path:
    """The place, or the nearest directory above it that exists."""
    place = place.absolute()
    return next(folder for folder in (place, *place.parents) if folder.exists())


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:,.1f} GB" if number >= TELL_BYTES else f"{number / 1e6:,.0f} MB"


def check_room(needs: Iterable[Need], *, then: str) -> int:
    """Compare needs with what is free, added up by file system; return all bytes needed.

    Args:
        needs: what is needed where.
        then: last sentence of a refusal, such as `Nothing was loaded.`

    Raises:
        DiskNeedError: a file system has too little.
    """
    by_disk: dict[int, list[Need]] = defaultdict(list)
    for need in needs:
        if need.bytes > 0:
            by_disk[_standing(need.place).stat().st_dev].append(need)
    for together in by_disk.values():
        place = _standing(together[0].place)
        total = sum(need.bytes for need in together)
        free = shutil.disk_usage(place).free
        if free < total:
            parts = ", ".join(f"{_gigabytes(need.bytes)} for {need.what}" for need in together)
            settings = " or ".join(dict.fromkeys(need.setting for need in together))
            raise DiskNeedError(
                f"The disk of {place} has {_gigabytes(free)} free and about {_gigabytes(total)} "
                f"are needed ({parts}): make room there, or name another disk with {settings}. "
                f"{then}"
            )
    return sum(need.bytes for together in by_disk.values() for need in together)


def check_disk(
    con: duckdb.DuckDBPyConnection,
    landing: Path | None,
    *,
    warehouse: Path,
    published: Path,
    is_spared: Callable[[], bool],
) -> str | None:
    """Look whether a build has the disk it needs. Databases that are read in place do not count.

    Args:
        con: the warehouse, open for writing.
        landing: the directory that is about to be loaded, if any.
        warehouse: the warehouse's file.
        published: the directory of releases.
        is_spared: whether nothing will be built, if nothing is new.

    Returns:
        A line to print when much is needed.

    Raises:
        DiskNeedError: there is too little; nothing was loaded.
        ResourceError: the memory limit is none.
    """
    create_raw(con)
    found = list(new_files(con, landing)) if landing and landing.is_dir() else []
    if not found and is_spared():
        return None
    new = sum((rows_of(file) for file in found), Landed())
    needs = build_needs(
        loaded_rows(con),
        new,
        warehouse=warehouse,
        published=published,
        spill=spill_directory(warehouse),
        memory=memory_limit_bytes(),
    )
    total = check_room(needs, then="Nothing was loaded.")
    if total < TELL_BYTES:
        return None
    parts = ", ".join(f"{_gigabytes(need.bytes)} for {need.what}" for need in needs if need.bytes)
    return f"About {_gigabytes(total)} of disk may be needed: {parts}."
