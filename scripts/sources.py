"""What the warehouse holds of each landed table: rows, their fate, and how fresh they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from contract import read_contract
from landed_file import name_sql
from resources import duckdb_settings


def _rows(con: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query; none where the build has not come to make the table."""
    try:
        return con.execute(sql).fetchall()
    except duckdb.CatalogException:
        return []


def _text(moment: Any) -> str | None:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else None


def sources_in(con: duckdb.DuckDBPyConnection) -> dict[str, dict[str, Any]]:
    """Landed tables that have rows, by name.

    Returns:
        Per table `files`, `rows`, `loaded_at` of the last file, `latest_at` (own time of its
        latest accepted row; None where rows have none), and, as of the last build, `accepted`,
        `superseded` and `rejected` rows.

    Raises:
        duckdb.Error: the warehouse cannot be read.
    """
    found: dict[str, dict[str, Any]] = {
        table: {"files": files, "rows": int(rows), "loaded_at": _text(loaded_at)}
        for table, files, rows, loaded_at in _rows(
            con,
            "select table_name, count(*), sum(row_count), max(loaded_at) from raw._loads "
            "where removed_at is null group by table_name having sum(row_count) > 0",
        )
    }
    fates = _rows(
        con, "select table_name, accepted, superseded, rejected from marts.reconciliation"
    )
    for table, accepted, superseded, rejected in fates:
        if table in found:
            found[table] |= {"accepted": accepted, "superseded": superseded, "rejected": rejected}
    for table in read_contract().values():
        own_time = next((c.name for c in table.columns if c.meta.get("own_time")), None)
        if table.raw_name in found and own_time and table.platform is None:
            latest = _rows(
                con, f"select max({name_sql(own_time)}) from conformed.{name_sql(table.name)}"
            )
            found[table.raw_name]["latest_at"] = _text(latest[0][0]) if latest else None
    order = {table.raw_name: number for number, table in enumerate(read_contract().values())}
    return dict(sorted(found.items(), key=lambda item: order.get(item[0], len(order))))


def rejected_in(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Numbers of rejected rows by table and reason, most first; reasons quote no value."""
    return [
        {"table": table, "reason": reason, "rows": rows}
        for table, reason, rows in _rows(
            con,
            "select table_name, reason, count(*) as rows from marts.rejected_rows "
            "group by table_name, reason order by rows desc, table_name, reason",
        )
    ]


def described_sources(warehouse: Path) -> dict[str, Any]:
    """`sources` and `rejected` of a warehouse nobody writes to, for the run log."""
    settings = duckdb_settings(warehouse)
    with duckdb.connect(str(warehouse), read_only=True, config=settings) as con:
        return {"sources": sources_in(con), "rejected": rejected_in(con)}
