"""Hand the raw tables of a DuckDB warehouse to Spark, as one directory of Parquet a table.

The loader writes DuckDB; Spark reads what is written here as its schema `raw`, from this machine
or, copied there, from object storage. See docs/spark.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

import duckdb

from load import default_warehouse
from resources import ResourceError, duckdb_settings


class ExportError(Exception):
    """The raw tables cannot be handed over; one sentence."""


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def export_raw(warehouse: Path, directory: Path) -> int:
    """Write every table of the schema `raw` to `<directory>/<table>/rows.parquet`.

    Instants are marked as UTC, so that Spark reads them as such. A former export is replaced.

    Args:
        warehouse: a DuckDB file, opened read-only.
        directory: created where it is missing.

    Returns:
        The number of rows written.

    Raises:
        ExportError: the warehouse is missing, in use or holds no raw tables.
    """
    if not warehouse.exists():
        raise ExportError(f"There is no warehouse {warehouse}; load it first: make load")
    try:
        settings = duckdb_settings(warehouse)
        with duckdb.connect(str(warehouse), read_only=True, config=settings) as con:
            con.execute("set TimeZone = 'UTC'")
            columns: dict[str, list[str]] = {}
            for table, column, data_type in con.execute(
                "select table_name, column_name, data_type from information_schema.columns "
                "where table_schema = 'raw' order by table_name, ordinal_position"
            ).fetchall():
                quoted = _name(column)
                is_instant = data_type == "TIMESTAMP"
                columns.setdefault(table, []).append(
                    f"{quoted} at time zone 'UTC' as {quoted}" if is_instant else quoted
                )
            if not columns:
                raise ExportError(f"{warehouse} holds no raw tables; load it first: make load")
            directory.mkdir(parents=True, exist_ok=True)
            return sum(_export(con, table, names, directory) for table, names in columns.items())
    except duckdb.IOException:
        raise ExportError(
            f"{warehouse} is open elsewhere or damaged; wait for the build to end."
        ) from None


def _export(con: duckdb.DuckDBPyConnection, table: str, columns: list[str], directory: Path) -> int:
    """Write one table and put it in the place of the former one; return its number of rows."""
    draft = directory / f".{table}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    row = con.execute(
        f"copy (select {', '.join(columns)} from raw.{_name(table)}) "
        f"to {_literal(str(draft / 'rows.parquet'))} (format parquet, compression zstd)"
    ).fetchone()
    place = directory / table
    shutil.rmtree(place, ignore_errors=True)
    draft.rename(place)
    return int(row[0]) if row else 0


def main() -> int:
    """Export; return the exit code: 0, or 1 with one sentence."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--warehouse", type=Path, help="DuckDB file; default: that of the build")
    parser.add_argument("--to", type=Path, help="directory; default: warehouse/spark/raw")
    arguments = parser.parse_args()
    warehouse = arguments.warehouse or default_warehouse(os.environ.get("PARLEY_LANDING"))
    directory = arguments.to or Path(
        os.environ.get("PARLEY_SPARK_RAW")
        or Path(os.environ.get("PARLEY_SPARK") or "warehouse/spark") / "raw"
    )
    try:
        rows = export_raw(warehouse, directory)
    except (ExportError, OSError, ResourceError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Wrote {rows:,} raw rows to {directory}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
