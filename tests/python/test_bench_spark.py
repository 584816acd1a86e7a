"""Spark beside DuckDB, the parts that need no Spark: what is computed, refused and shown.

Rows of real Spark tables are in tests/spark/test_rows.py. Times are never asserted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bench_spark
from report import engine_sheets, markdown
from rows import disagreement, parquet_rows, warehouse_rows

SIZE = "2k"


def run(name: str, cpu_seconds: float, **more: Any) -> dict[str, Any]:
    """A run that took half its processor time on the wall."""
    return {
        "run": name,
        "seconds": cpu_seconds / 2,
        "cpu_seconds": cpu_seconds,
        "model_seconds": cpu_seconds / 4,
        "model_wall_seconds": cpu_seconds / 5,
        "peak_memory_bytes": cpu_seconds * 1e7,
        **more,
    }


def size(name: str, messages: int, duckdb: float, spark: float) -> dict[str, Any]:
    """Results of one size, with given processor seconds."""
    rows = {"marts_rows": {"fct_turns": messages, "dim_bots": 3}}
    nothing = {"model_seconds": 0.0, "model_wall_seconds": 0.0}
    return {
        "size": name,
        "messages": messages,
        "load_average_before": 0.5,
        "runs": [
            run("load", 1, **nothing),
            run("DuckDB", duckdb, **rows),
            run("export", 2, **nothing),
            run("Spark", spark, **rows),
        ],
    }


SMALL, LARGE = size("10k", 10_000, 20.5, 308.0), size("100k", 110_000, 25.5, 388.0)


def test_a_million_more_is_the_difference_and_planning_what_is_left() -> None:
    assert bench_spark.processor_seconds(SMALL, LARGE) == {
        "DuckDB": {"per_million": pytest.approx(50), "fixed": pytest.approx(20)},
        "Spark": {"per_million": pytest.approx(800), "fixed": pytest.approx(300)},
    }


def test_equal_rows_are_no_disagreement() -> None:
    assert disagreement({"one": 0, "two": 5}, {"two": 5, "one": 0}) is None


@pytest.mark.parametrize(
    ("spark", "told"),
    [
        ({"one": 0, "two": 4_999}, "two (5,000 on DuckDB, 4,999 on Spark)"),
        ({"two": 5_000}, "one (0 on DuckDB, no table on Spark)"),
        (
            {"one": 1, "two": 5_000, "three": 2},
            "one (0 on DuckDB, 1 on Spark), three (no table on DuckDB, 2 on Spark)",
        ),
    ],
)
def test_a_disagreement_names_each_table(spark: dict[str, int], told: str) -> None:
    assert disagreement({"one": 0, "two": 5_000}, spark) == (
        f"The engines differ in the rows of {told}."
    )


def test_what_people_read() -> None:
    machine = {
        "cores": 2, "processor": "one", "memory_bytes": 8e9, "load_average_before": 0.5,
        "duckdb": "1", "spark": "4", "dbt": "2", "python": "3",
    }  # fmt: skip
    results = {
        "size": "100k",
        "measured_at": "2026-01-01T00:00:00Z",
        "machine": machine,
        "memory_limit_bytes": 25e8,
        "sizes": [SMALL, LARGE],
        "processor_seconds": bench_spark.processor_seconds(SMALL, LARGE),
    }
    text = markdown(results, engine_sheets(results))
    assert text.startswith("### 100k\n\n100k, measured 2026-01-01: 2 cores (one)")
    assert "DuckDB 1, Spark 4, dbt 2" in text
    for line in (
        "**10,000 messages on both engines**",
        "**110,000 messages on both engines**",
        "| load | 0.5 | 1.0 |  |  | 10 MB |  |",
        "| DuckDB | 10.2 | 20.5 | 5.1 | 4.1 | 205 MB | 10,003 |",
        "| Spark | 194.0 | 388.0 | 97.0 | 77.6 | 3.88 GB | 110,003 |",
        "| Spark / DuckDB | 15.2 | 15.2 | 15.2 | 15.2 | 15.2 |  |",
        "| engine | 10,000 messages | 110,000 messages | fixed | a million messages more |",
        "| DuckDB | 20.5 | 25.5 | 20.0 | 50.0 |",
        "| Spark | 308.0 | 388.0 | 300.0 | 800.0 |",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("9k", "10k or more: a tenth of it is built too."),
        ("ten", "one of 100k, 1m, 10m, 100m, or thousands such as 20k."),
    ],
)
def test_a_size_nothing_can_be_told_from(
    given: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(bench_spark, "SPARK_PYTHON", tmp_path / "none")  # nothing would begin
    assert bench_spark.main(["--size", given, "--directory", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == f"SIZE must be {told}\n"
    assert not (tmp_path / "out").exists()


def test_without_spark_nothing_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_spark, "SPARK_PYTHON", tmp_path / "none")
    assert bench_spark.main(["--size", "20k", "--directory", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == (
        "Spark is not installed; run: python3 scripts/install.py --spark\n"
    )
    assert not (tmp_path / "out").exists()


def test_what_duckdb_builds_and_spark_is_handed(tmp_path: Path) -> None:
    bench = bench_spark.SparkBench(SIZE, tmp_path)
    with bench.opened(keeps=True):
        generated = bench.generate()["base"]
        load, build = bench.on_duckdb()
        export = bench.measure("export", "scripts/spark_raw.py")
    loaded = warehouse_rows(bench.warehouse, "raw")
    assert {table: rows for table, rows in loaded.items() if rows} == generated
    assert parquet_rows(bench.spark / "raw").items() >= loaded.items()
    assert build["marts_rows"]["fct_conversations"] == generated["conversations"]
    assert build["marts_rows"]["kpi_values"] > 1_000
    assert len(build["models"]) > 100
    assert load["models"] == export["models"] == {}
    for ran in (load, build, export):
        assert {"run", "seconds", "cpu_seconds", "peak_memory_bytes", "models"} <= ran.keys()
        assert "output" not in ran
