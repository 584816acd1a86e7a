"""dbt-duckdb plugin: plain `dbt build` finds the raw schema filled and the salt at hand.

dbt-duckdb imports this module through `module_paths` and `plugins` of profiles.yml and calls the
class `Plugin` when it opens the warehouse.
"""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.credentials import DuckDBCredentials, Retries
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError

from contract import ROOT, ContractError
from disk_need import loaded_rows
from load import (
    DEMO,
    STORAGE_VERSION,
    LandingError,
    create_raw,
    holds_own_rows,
    load_landing,
    rewrite_mark,
)
from quiet_errors import keep_values_out_of_dbt
from resources import (
    ResourceError,
    duckdb_settings,
    facts_of_a_batch,
    memory_limit_bytes,
    messages_of_a_batch,
    most_rows_to_delete_from,
    outgrows_memory,
    spill_directory,
)
from salt import hmac_blocks, salt_beside

# A warehouse in memory is for compiling and linting only; its pseudonyms are worth nothing.
THROW_AWAY_SALT = "in-memory warehouses publish nothing"

# Tries to open a warehouse again that somebody else opened between two models, 1, 2, 4 ... s apart.
ATTEMPTS = 5

# What rows are derived by: files and directories of this repository.
DERIVED_BY = ("dbt_project.yml", "models", "macros", "seeds/reference", "requirements.lock")


def build_digest(salt: str) -> str:
    """Digest of what rows are derived by: models, macros, seeds, parameters, versions, the salt.

    When it changes, the next dbt run derives all rows anew.
    """
    digest = hashlib.sha256(salt.encode("utf-8"))
    for name in DERIVED_BY:
        path = ROOT / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(f"\0{file.relative_to(ROOT)}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _is_writable(con: duckdb.DuckDBPyConnection) -> bool:
    row = con.execute(
        "select readonly from duckdb_databases() where database_name = current_database()"
    ).fetchone()
    return row is not None and not row[0]


def _warehouse_file(creds: DuckDBCredentials | None) -> Path | None:
    """The warehouse's file; None for one in memory or on a server."""
    path = creds.path if creds else ":memory:"
    is_file = not path.startswith((":memory:", "md:")) and "://" not in path
    return Path(path) if is_file else None


def _rewritten_at(warehouse: Path | None) -> str | None:
    """When the loader last changed rows loaded before; None if all was written anew since."""
    try:
        return str(rewrite_mark(warehouse).stat().st_mtime_ns) if warehouse else None
    except FileNotFoundError:
        return None


def _memory_limit() -> int:
    """The memory limit in bytes.

    Raises:
        DbtRuntimeError: it is none.
    """
    try:
        return memory_limit_bytes()
    except ResourceError as error:
        raise DbtRuntimeError(str(error)) from None


def _outgrows_memory(warehouse: Path | None) -> bool:
    """Whether a warehouse is to be closed between two models, so that little stands in memory.

    One that does not exist yet, or cannot be read, is not; opening it will tell.
    """
    if warehouse is None or not warehouse.is_file():
        return False
    limit = _memory_limit()
    settings = duckdb_settings(warehouse)
    with (
        suppress(duckdb.Error),
        duckdb.connect(str(warehouse), read_only=True, config=settings) as con,
    ):
        return outgrows_memory(loaded_rows(con).rows, limit)
    return False


class Plugin(BasePlugin):
    """Prepares each connection dbt opens."""

    def initialize(self, _: dict[str, Any]) -> None:
        """Keep values of rows out of what dbt writes down; have a large warehouse closed often.

        Raises:
            DbtRuntimeError: the memory limit is none.
        """
        keep_values_out_of_dbt()
        self._is_prepared = False
        if self.creds is not None and _outgrows_memory(_warehouse_file(self.creds)):
            # dbt-duckdb looks at these once its plugins are there.
            self.creds.keep_open = False
            self.creds.retries = Retries(connect_attempts=ATTEMPTS)

    def update_connection_config(self, creds: DuckDBCredentials, config: dict[str, Any]) -> None:
        """Bound memory, and create the directories DuckDB writes to; it creates files only.

        Raises:
            DbtRuntimeError: the memory limit is none.
        """
        config.setdefault("memory_limit", f"{_memory_limit()}B")
        warehouse = _warehouse_file(creds)
        spill = config.setdefault("temp_directory", str(spill_directory(warehouse)))
        if warehouse is None:
            return
        warehouse.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        Path(spill).parent.mkdir(parents=True, exist_ok=True)
        config.setdefault("storage_compatibility_version", STORAGE_VERSION)

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Load the landing, or the demo when none is set and the warehouse has no own rows.

        A warehouse that is opened again stays what the run began with.

        Raises:
            DbtRuntimeError: the landing is refused; the text is one sentence.
        """
        if self._is_prepared:
            return
        refusal = ""
        try:
            salt = THROW_AWAY_SALT
            if (warehouse := _warehouse_file(self.creds)) is not None:
                salt = salt_beside(warehouse)
            self._inner, self._outer = hmac_blocks(salt)
            self._digest = build_digest(salt)
            if _is_writable(conn):
                self._load(conn, in_memory=warehouse is None)
            self._rewritten_at = _rewritten_at(warehouse)
            self._is_prepared = True
        except (LandingError, ContractError) as error:
            refusal = str(error)
        if refusal:
            conn.close()
            raise DbtRuntimeError(refusal)

    def _load(self, conn: duckdb.DuckDBPyConnection, *, in_memory: bool) -> None:
        landing = os.environ.get("PARLEY_LANDING")
        if in_memory or (not landing and holds_own_rows(conn)):
            create_raw(conn)
            return
        report = load_landing(conn, Path(landing) if landing else DEMO, progress=False)
        for text in (*report.notices, *report.warnings):
            print(text, file=sys.stderr)

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Set what macros ask for.

        `parley_hmac_inner` and `parley_hmac_outer` (blob), `parley_build_digest` (text),
        `parley_rewritten_at` (text, or null: when the loader last changed rows it had loaded
        before, if the warehouse was not written anew since), and numbers that follow from the
        memory limit: `parley_most_rows_to_delete_from`, `parley_messages_of_a_batch` and
        `parley_facts_of_a_batch`.
        """
        limit = _memory_limit()
        cursor.execute("set variable parley_hmac_inner = $1", [self._inner])
        cursor.execute("set variable parley_hmac_outer = $1", [self._outer])
        cursor.execute("set variable parley_build_digest = $1", [self._digest])
        cursor.execute("set variable parley_rewritten_at = $1", [self._rewritten_at])
        for rows_that_fit in (most_rows_to_delete_from, messages_of_a_batch, facts_of_a_batch):
            cursor.execute(
                f"set variable parley_{rows_that_fit.__name__} = $1", [rows_that_fit(limit)]
            )
