"""What `make bench-spark` compares: rows counted in Spark's files are those of its tables."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pyspark.sql import SparkSession

from rows import disagreement, parquet_rows
from test_spark import CASES, Both


def test_rows_are_counted_in_the_files(session: SparkSession, both: Both) -> None:
    expected, found = (
        {name: len(table.rows) for name, table in marts.items()} for marts in both(*CASES["case12"])
    )
    assert disagreement(expected, found) is None
    # The tables that stand are those of the case that was built last, whichever it is.
    standing = {
        row.tableName: session.table(f"marts.{row.tableName}").count()
        for row in session.sql("show tables in marts").collect()
        if not row.isTemporary
    }
    assert sum(standing.values()) > 1_000
    # Spark makes a URL of the path it is given.
    tables = Path(urlsplit(str(session.conf.get("spark.sql.warehouse.dir"))).path)
    assert parquet_rows(tables / "marts.db") == standing
