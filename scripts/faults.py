"""What may be wrong with the places a build reads and writes, and what is done about it.

Places are looked at before any work is done. A damaged warehouse is set aside and built anew, if
the run log says that it is ours: raw rows come from the landing, everything else from raw rows.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from database_errors import hints_at_damage
from landed_file import name_sql
from load import UnreadableWarehouseError
from resources import duckdb_settings, spill_directory
from run_log import read_runs


class PlaceError(Exception):
    """A place is not fit for a build; one sentence."""


def check_places(warehouse: Path, published: Path) -> None:
    """Look at the places a build writes to, so that it does not fail after an hour.

    Raises:
        PlaceError: one of them cannot be used; nothing was done.
        OSError: one cannot be created.
    """
    if warehouse.is_dir():
        raise PlaceError(f"The warehouse {warehouse} is a directory; name a file.")
    if not os.access(warehouse.parent, os.W_OK | os.X_OK):
        raise PlaceError(f"{warehouse.parent} cannot be written; the warehouse needs it.")
    salt = warehouse.parent / "salt"
    if not os.environ.get("PARLEY_SALT") and salt.exists() and not _is_readable(salt):
        raise PlaceError(f"The salt {salt} cannot be read; make it readable, or set PARLEY_SALT.")
    spill = spill_directory(warehouse)
    if not os.access(spill if spill.is_dir() else spill.parent, os.W_OK | os.X_OK):
        raise PlaceError(
            f"PARLEY_SPILL is {spill}, where nothing can be written; is its disk there?"
        )
    current = published / "current"
    if current.exists() and not current.is_symlink():
        raise PlaceError(f"{current} is not a link; move it away, it is kept by the build.")
    (published / "releases").mkdir(parents=True, exist_ok=True)
    for place in (published, published / "releases"):
        if not os.access(place, os.W_OK | os.X_OK):
            raise PlaceError(f"{place} cannot be written; releases need it.")


def _is_readable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.R_OK)


def is_damaged(warehouse: Path, error: Exception) -> bool:
    """Whether a failure comes from a warehouse that can no longer be read.

    Only if its text hints at it is every block of the file read: damage shows as a checksum
    that does not match.
    """
    if not warehouse.is_file():
        return False
    if isinstance(error, UnreadableWarehouseError):
        return True
    if not hints_at_damage(error):
        return False
    try:
        settings = duckdb_settings(warehouse)
        with duckdb.connect(str(warehouse), read_only=True, config=settings) as con:
            for schema, table in con.execute(
                "select schema_name, table_name from duckdb_tables()"
            ).fetchall():
                con.execute(
                    f"select bit_xor(hash(each)) from {name_sql(schema)}.{name_sql(table)} as each"
                )
    except duckdb.Error as found:
        return hints_at_damage(found)
    return False


def set_aside(warehouse: Path, landing: str | None) -> str:
    """Rename a damaged warehouse of ours, so that it is built anew; return the sentence.

    Raises:
        PlaceError: it is not known to be ours, or what it held cannot be loaded again from here.
            It was not touched.
    """
    known = [run["holds"] for run in read_runs(warehouse) if run.get("holds")]
    if not known:
        raise PlaceError(
            f"The warehouse {warehouse} is not a DuckDB file this version can open, and no build "
            "of this project is known to have written it; name another file with WAREHOUSE."
        )
    if known[-1] == "own" and not landing:
        raise PlaceError(
            f"The warehouse {warehouse} is damaged and held your own exports; name them with "
            "LANDING, and it is set aside and built anew."
        )
    stamp = f"damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    aside = warehouse.with_name(f"{warehouse.name}.{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = warehouse.with_name(f"{warehouse.name}.{stamp}-{number}")
    with suppress(FileNotFoundError):
        warehouse.with_name(f"{warehouse.name}.wal").rename(aside.with_name(f"{aside.name}.wal"))
    warehouse.rename(aside)
    return (
        f"The warehouse {warehouse} is damaged; it was set aside as {aside} and is built anew "
        "from the landing. Rows of files that left the landing are in there alone; else remove it."
    )
