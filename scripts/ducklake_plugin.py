"""dbt-duckdb plugin of the target `ducklake`: the lake attached, its raw schema filled.

The catalogue is a PostgreSQL database, the rows are Parquet files. Both DuckDB extensions come as
wheels of the locked dependencies and are loaded from there: nothing is fetched while building, and
DuckDB checks their signatures as always.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt_common.exceptions import DbtRuntimeError

import landing_plugin
from contract import ContractError
from landed_file import quoted
from load import LandingError, default_warehouse
from postgres import PostgresError, connected, connection_text, take_turn
from salt import hmac_blocks, salt_beside

EXTENSIONS = ("postgres_scanner", "ducklake")  # in the order they are loaded
PATIENCE_SECONDS = 3600.0  # for another process that loads


def load_extensions(con: duckdb.DuckDBPyConnection) -> None:
    """Load the extensions a lake needs from their wheels, signatures checked.

    Raises:
        LandingError: a wheel is missing or made for another version of DuckDB.
    """
    for name in EXTENSIONS:
        package = importlib.util.find_spec(f"duckdb_extension_{name}")
        folder = Path(package.origin).parent if package and package.origin else Path()
        path = folder / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
        if not path.is_file():
            raise LandingError(
                f"The DuckDB extension {name} for version {duckdb.__version__} is not installed; "
                "run make install."
            )
        con.execute(f"load {quoted(str(path))}")


class Plugin(landing_plugin.Plugin):
    """Prepares each connection dbt opens to a lake."""

    def update_connection_config(self, creds: DuckDBCredentials, config: dict[str, Any]) -> None:
        """Create the directory the Parquet files are written to, for its owner only."""
        super().update_connection_config(creds, config)
        Path(config["temp_directory"]).parent.mkdir(parents=True, exist_ok=True)
        for attachment in creds.attach or []:
            folder = Path((attachment.options or {})["data_path"])
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Attach the lake and load what landed, one process at a time.

        Raises:
            DbtRuntimeError: the catalogue or the landing is refused; the text is one sentence.
        """
        refusal = ""
        try:
            assert self.creds is not None
            assert self.creds.attach
            text = connection_text(os.environ, "CATALOG")
            warehouse = default_warehouse(os.environ.get("PARLEY_LANDING") or None)
            warehouse.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._inner, self._outer = hmac_blocks(salt_beside(warehouse))
            self._digest = ""  # a lake is built from all rows every time
            self._rewritten_at = None
            load_extensions(conn)
            with connected(text, "parley load") as catalogue:
                if not take_turn(catalogue, "load", patience=PATIENCE_SECONDS):
                    raise PostgresError("Another process has been loading for an hour; see to it.")
                conn.execute(self.creds.attach[0].to_sql())
                conn.execute(f"use {self.creds.attach[0].alias}")
                self._load(conn, in_memory=False)
        except (LandingError, ContractError, PostgresError) as error:
            refusal = str(error)
        except duckdb.Error as error:  # its text may quote the connection
            refusal = f"The lake cannot be opened or loaded ({type(error).__name__})."
        if refusal:
            conn.close()
            raise DbtRuntimeError(refusal)
