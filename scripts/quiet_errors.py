"""Errors of the engine without the values they quote, for logs, artefacts and screens.

DuckDB names the value it could not use, `Could not convert string '...' to INT32`, and that value
may be somebody's address. What is quoted in errors about data is taken out where dbt first sees
the error, so it reaches neither logs/dbt.log nor target/run_results.json nor the terminal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from database_errors import is_disk_full

# Errors about the text of a statement quote the statement, which holds no value of a row.
_ABOUT_SQL = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException)

_QUOTE = re.compile(r"""['"`]""")
_LONG_NUMBER = re.compile(r"[0-9]{4,}")


def without_values(error: BaseException) -> str:
    """The first line of an error up to its first quote; values may hold quotes and lines."""
    if isinstance(error, _ABOUT_SQL) or not isinstance(error, duckdb.Error):
        return str(error)
    line = str(error).split("\n", 1)[0]
    if quote := _QUOTE.search(line):
        line = f"{line[: quote.start()]}'***'"
    if is_disk_full(error):
        line += ": the disk is full"  # what it says of a path follows the quotation mark
    return _LONG_NUMBER.sub("***", line)


def keep_values_out_of_dbt() -> None:
    """Let dbt see the engine's errors without values; called once, before anything runs."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    handler = DuckDBConnectionManager.exception_handler
    if getattr(handler, "is_quiet", False):
        return

    @contextmanager
    def quiet(self: Any, sql: str, connection_name: str = "master") -> Iterator[None]:
        with handler(self, sql, connection_name):
            try:
                yield
            except duckdb.Error as error:
                failure = type(error)(without_values(error))
            else:
                return
            raise failure  # out of the handler, so that no traceback leads to the values

    quiet.is_quiet = True  # type: ignore[attr-defined]
    DuckDBConnectionManager.exception_handler = quiet  # type: ignore[method-assign]
