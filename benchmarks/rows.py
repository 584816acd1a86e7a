"""How many rows tables have, in a DuckDB warehouse or as Parquet, and whether two engines agree.

Only DuckDB is needed: the tests of Spark use this too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb


def _count(con: duckdb.DuckDBPyConnection, relation: str, *values: Any) -> int:
    row = con.execute(f"select count(*) from {relation}", values).fetchone()
    return int(row[0]) if row else 0


def warehouse_rows(warehouse: Path, schema: str) -> dict[str, int]:
    """Rows of each table of a schema but the loader's own, whose names begin with `_`."""
    with duckdb.connect(str(warehouse), read_only=True) as con:
        tables = con.execute(
            "select table_name from duckdb_tables() where schema_name = $1 "
            "and table_name not like '\\_%' escape '\\' order by 1",
            [schema],
        ).fetchall()
        return {table: _count(con, f'{schema}."{table}"') for (table,) in tables}


def parquet_rows(folder: Path) -> dict[str, int]:
    """Rows of each table below a directory, where a table is a directory of Parquet files."""
    with duckdb.connect() as con:
        return {
            path.name: _count(con, "read_parquet($1)", str(path / "*.parquet"))
            for path in sorted(folder.iterdir())
            if any(path.glob("*.parquet"))
        }


def disagreement(duckdb_rows: Mapping[str, int], spark_rows: Mapping[str, int]) -> str | None:
    """One sentence that names the tables with other rows on Spark than on DuckDB; None if none."""

    def told(rows: Mapping[str, int], table: str) -> str:
        return f"{rows[table]:,}" if table in rows else "no table"

    differing = [
        f"{table} ({told(duckdb_rows, table)} on DuckDB, {told(spark_rows, table)} on Spark)"
        for table in sorted({*duckdb_rows, *spark_rows})
        if duckdb_rows.get(table) != spark_rows.get(table)
    ]
    return f"The engines differ in the rows of {', '.join(differing)}." if differing else None
