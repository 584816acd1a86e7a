"""Builds of a landing on DuckDB and on Spark, side by side."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
from pyspark.sql import SparkSession

import spark_dbt

ROOT = Path(__file__).resolve().parents[2]
SALT = "a salt for tests"
NO_TESTS = ["--exclude-resource-type", "unit_test", "--exclude-resource-type", "test"]

# Builds of a few thousand rows spend their time on planning and compiling, not on rows.
FOR_SMALL_DATA = {
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
}


@dataclass(frozen=True)
class Table:
    """Columns by name and rows of a table."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


Warehouse = dict[str, Table]


def settings(landing: Path, as_of: str, directory: Path) -> dict[str, str]:
    """The environment of a build of a landing on either engine."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PARLEY_")}
    return kept | {
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_LOG_PATH": str(directory / "logs"),
        "PARLEY_AS_OF": as_of,
        "PARLEY_LANDING": str(landing),
        "PARLEY_SALT": SALT,
        "PARLEY_SPARK_RAW": str(directory / "raw"),
        "PARLEY_SPILL": str(directory / "spill"),
        "PARLEY_WAREHOUSE": str(directory / "warehouse.duckdb"),
    }


def build_on_duckdb(landing: Path, as_of: str, directory: Path) -> Warehouse:
    """Build a landing on DuckDB, write its raw tables for Spark and return the marts."""
    environment = settings(landing, as_of, directory)
    bin_directory = ROOT / ".venv" / "bin"
    for command in (
        [bin_directory / "dbt", "build", *NO_TESTS, "--target-path", directory / "target"],
        [bin_directory / "python", ROOT / "scripts" / "spark_raw.py"],
    ):
        done = subprocess.run(
            list(map(str, command)),
            check=False,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    with duckdb.connect(environment["PARLEY_WAREHOUSE"], read_only=True) as con:
        con.execute("set TimeZone = 'UTC'")
        tables = con.execute(
            "select table_name from information_schema.tables where table_schema = 'marts'"
        ).fetchall()
        marts = {}
        for (name,) in tables:
            cursor = con.execute(f"select * from marts.{name}")
            columns = [column[0] for column in cursor.description or []]
            marts[name] = Table(columns, cursor.fetchall())
        return marts


def build_on_spark(
    session: SparkSession, landing: Path, as_of: str, directory: Path, *arguments: str
) -> Warehouse:
    """Build the raw tables written by `build_on_duckdb` on Spark and return the marts."""
    for schema in ("staging", "conformed", "intermediate", "marts", "reference", "raw"):
        session.sql(f"drop schema if exists {schema} cascade")
    before = dict(os.environ)
    os.environ.update(settings(landing, as_of, directory))
    os.environ["DBT_TARGET_PATH"] = str(directory.parent / "target_spark")
    try:
        assert spark_dbt.run_dbt(["build", "--quiet", *arguments])
    finally:
        os.environ.clear()
        os.environ.update(before)
    marts = {}
    for row in session.sql("show tables in marts").collect():
        if not row.isTemporary:
            frame = session.table(f"marts.{row.tableName}")
            marts[row.tableName] = Table(frame.columns, [tuple(r) for r in frame.collect()])
    return marts


def plain(value: Any) -> Any:
    """A value as both engines return it."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return value
