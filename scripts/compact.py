"""Write a warehouse file anew from what landed, so that nothing removed is left in its free pages.

DuckDB marks the pages of deleted rows as free and leaves the bytes. Only a new file is free of
them. All models are left out of it, so the next build makes every one of them from all rows.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import duckdb

from landed_file import name_sql, quoted
from load import STORAGE_VERSION, opened_warehouse, rewrite_mark

BUILT_SCHEMAS = ("touched", "intermediate", "conformed", "staging", "reference")

# Tables of `marts` that tell of former builds and cannot be built again.
HISTORIES = ("fct_resolution_history",)


def forget_built(con: duckdb.DuckDBPyConnection) -> None:
    """Drop everything dbt built but histories: the next build is a full one, whatever it asks for.

    It takes out of the histories what is about episodes that are no longer there.
    """
    _forget_lost_episodes(con)
    for schema in BUILT_SCHEMAS:
        con.execute(f"drop schema if exists {schema} cascade")
    for (table,) in con.execute(
        "select table_name from duckdb_tables() where schema_name = 'marts' "
        "and database_name = current_database()"
    ).fetchall():
        if table not in HISTORIES:
            con.execute(f"drop table marts.{name_sql(table)} cascade")


def _forget_lost_episodes(con: duckdb.DuckDBPyConnection) -> None:
    """Take episodes whose conversation left `raw`, or has another id there, out of histories.

    What is left is told by the rows of the conformed conversations, while they are still there.
    """
    tables = {
        f"{schema}.{table}"
        for schema, table in con.execute(
            "select schema_name, table_name from duckdb_tables() "
            "where database_name = current_database()"
        ).fetchall()
    }
    if "conformed.conversations" not in tables:
        return
    left = (
        "select kept.conversation_id from conformed.conversations as kept inner join "
        "raw.conversations as landed on kept._row_id = landed._row_id where "
        "landed.conversation_id = kept.conversation_id or regexp_matches("
        "landed.conversation_id, '[@+]')"  # such an id is kept as its hash
    )
    for table in sorted(name for name in tables if name.startswith("raw.") and "__" in name):
        left += (
            " union all select conversation_id from conformed.conversations where _row_id in "
            f"(select _row_id from {table})"
        )
    for history in HISTORIES:
        if f"marts.{history}" in tables:
            con.execute(
                f"delete from marts.{history} where regexp_replace(episode_id, ':[0-9]+$', '') "
                f"not in ({left})"
            )


def compact(warehouse: Path) -> None:
    """Replace a warehouse file, in one step, by a new one that holds what landed and no more.

    The caller holds the lock of the build.

    Raises:
        LandingError: another process has it open.
        OSError, duckdb.Error: the disk is full, or the file cannot be read; it is what it was.
    """
    draft = warehouse.with_name(f".{warehouse.name}.draft")
    leftovers = (draft, draft.with_name(f"{draft.name}.wal"))
    with opened_warehouse(warehouse) as con:
        forget_built(con)
        con.execute("checkpoint")
        for path in leftovers:
            path.unlink(missing_ok=True)
        former = con.execute("select current_database()").fetchone()
        assert former is not None
        con.execute(
            f"attach {quoted(str(draft))} as rewritten (storage_version {quoted(STORAGE_VERSION)})"
        )
        con.execute(f'copy from database "{former[0]}" to rewritten')
        con.execute("checkpoint rewritten")
        con.execute("detach rewritten")
    shutil.copymode(warehouse, draft)
    with draft.open("rb") as stream:
        os.fsync(stream.fileno())
    draft.replace(warehouse)
    for path in (*leftovers, warehouse.with_name(f"{warehouse.name}.wal")):
        path.unlink(missing_ok=True)
    rewrite_mark(warehouse).unlink(missing_ok=True)


def compact_if_asked(warehouse: Path) -> None:
    """Compact a warehouse whose loader had to change rows of earlier loads."""
    if rewrite_mark(warehouse).exists():
        compact(warehouse)
