"""One Spark session for all tests, and the builds they share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from pyspark.sql import SparkSession

import spark_dbt
from engines import (
    FOR_SMALL_DATA,
    NO_TESTS,
    ROOT,
    SALT,
    Warehouse,
    build_on_duckdb,
    build_on_spark,
)


@pytest.fixture(scope="session")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The session of all builds, on tables in memory's catalog and a directory of its own."""
    directory = tmp_path_factory.mktemp("spark")
    os.environ["TZ"] = "UTC"  # pyspark shows instants in the zone of this process
    local = spark_dbt.local_settings(directory)
    local["spark.driver.extraJavaOptions"] += " -XX:TieredStopAtLevel=1"
    opened = spark_dbt.open_session(local | FOR_SMALL_DATA)
    spark_dbt.hand_over_salt(opened, SALT)
    yield opened
    opened.stop()


@pytest.fixture(scope="session")
def both(
    session: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], tuple[Warehouse, Warehouse]]:
    """The marts of a landing, built on DuckDB and on Spark once for each instant."""

    @cache
    def build(landing: str, as_of: str) -> tuple[Warehouse, Warehouse]:
        directory = tmp_path_factory.mktemp("build")
        expected = build_on_duckdb(ROOT / landing, as_of, directory)
        # data tests once, for time
        arguments = NO_TESTS[:2] if "case11" in landing else NO_TESTS
        return expected, build_on_spark(session, ROOT / landing, as_of, directory, *arguments)

    return build
