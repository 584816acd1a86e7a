"""Benchmark Spark beside DuckDB: the same data, loaded once, and all models built on both.

`make bench-spark SIZE=100k` runs this. A build costs processor time for planning, however little
data there is, and for data. So both engines build twice, a tenth of SIZE and then SIZE, and the
difference says what a million messages more cost: *s* of docs/spark.md. Marts must have the same
rows on both. Results are `<BENCH>/spark/<size>.json` and `.md`; docs/benchmarks.md explains them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import (
    BASE_END,
    ROOT,
    Bench,
    BenchError,
    Record,
    finish,
    instant,
    model_seconds,
    parser,
    size_messages,
    write_results,
)
from report import ENGINES, engine_sheets
from rows import disagreement, parquet_rows, warehouse_rows

LEAST = 10_000  # messages; a tenth is the least the generator is asked for
BUILD = ("build", "--exclude-resource-type", "unit_test")
DBT = Path(sys.executable).with_name("dbt")
SPARK_PYTHON = ROOT / ".venv-spark" / "bin" / "python"


class SparkBench(Bench):
    """The data of one size, loaded once and built on both engines with the same settings."""

    def __init__(self, size: str, directory: Path, *, ignores_disk: bool = False) -> None:
        super().__init__(size, directory, ignores_disk=ignores_disk)
        self.spark = self.scratch / "spark"
        self.places.append(self.spark)

    def environment(self, **settings: str) -> dict[str, str]:
        """The environment of any benchmark, and where Spark keeps its tables."""
        own = {"PARLEY_AS_OF": instant(BASE_END), "PARLEY_SPARK": str(self.spark)}
        return super().environment(**own | settings)

    def measure(
        self, name: str, script: str | Path, *arguments: str, python: str | Path = sys.executable
    ) -> Record:
        """Run a script and say what it took; dbt's results are in a directory of its own.

        Raises:
            BenchError: it failed.
        """
        target = self.scratch / f"target-{name}"
        taken = self.run(script, *arguments, python=python, DBT_TARGET_PATH=str(target))
        return {"run": name, **taken.figures(), **model_seconds(target / "run_results.json")}

    def on_duckdb(self) -> list[Record]:
        """Load what was generated and build it with dbt on DuckDB."""
        loading = self.measure("load", "scripts/load.py")
        building = self.measure("DuckDB", DBT, *BUILD)
        return [loading, building | {"marts_rows": warehouse_rows(self.warehouse, "marts")}]

    def on_spark(self) -> list[Record]:
        """Hand the loaded rows to Spark and build them with dbt there."""
        handing = self.measure("export", "scripts/spark_raw.py")
        building = self.measure("Spark", "scripts/spark_dbt.py", *BUILD, python=SPARK_PYTHON)
        rows = parquet_rows(self.spark / "tables" / "marts.db")
        return [handing, building | {"marts_rows": rows}]

    def both(self) -> Record:
        """Build on DuckDB, then on Spark.

        Returns:
            `size`, `messages` in `raw`, `load_average_before` the first run, and `runs`.

        Raises:
            BenchError: a build failed, or a mart has other rows on Spark.
        """
        self.generate()
        load_average = os.getloadavg()[0]  # of a minute in which one process generated
        runs = [*self.on_duckdb(), *self.on_spark()]
        rows = {run["run"]: run["marts_rows"] for run in runs if "marts_rows" in run}
        if differing := disagreement(rows["DuckDB"], rows["Spark"]):
            raise BenchError(differing)
        return {
            "size": self.size,
            "messages": warehouse_rows(self.warehouse, "raw")["messages"],
            "load_average_before": load_average,
            "runs": runs,
        }


def spark_version() -> str:
    """The version of the Spark that is installed.

    Raises:
        BenchError: none is.
    """
    if not SPARK_PYTHON.exists():
        raise BenchError("Spark is not installed; run: python3 scripts/install.py --spark")
    asked = "from importlib.metadata import version; print(version('pyspark'))"
    return subprocess.check_output([SPARK_PYTHON, "-c", asked], text=True).strip()


def processor_seconds(small: Record, large: Record) -> Record:
    """What builds cost, as a line through two sizes.

    Args:
        small: `messages` and `runs` of one size.
        large: those of a larger one.

    Returns:
        By engine `per_million`, processor seconds of a million messages more, and `fixed`, those of
        a build of none.
    """
    points = [
        (found["messages"] / 1e6, {run["run"]: run["cpu_seconds"] for run in found["runs"]})
        for found in (small, large)
    ]
    (few, before), (many, after) = points
    slopes = {name: (after[name] - before[name]) / (many - few) for name in ENGINES}
    return {
        name: {"per_million": slope, "fixed": before[name] - slope * few}
        for name, slope in slopes.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, or 1 with one sentence on stderr."""
    options = parser(
        "bench_spark.py",
        "Generate data, build the models with dbt on DuckDB and on Spark, first of a tenth of the "
        "messages and then of all, and compare time, memory and rows. See docs/benchmarks.md.",
    )
    chosen = options.parse_args(arguments)

    def measure() -> None:
        messages = size_messages(chosen.size)
        if messages < LEAST:
            raise BenchError("SIZE must be 10k or more: a tenth of it is built too.")
        small, large = (
            SparkBench(size, chosen.directory / "spark", ignores_disk=chosen.ignore_disk)
            for size in (f"{messages // 10_000}k", chosen.size)
        )
        spark = spark_version()
        large.check_disk()
        found = []
        for bench in (small, large):
            with bench.opened(keeps=chosen.keep):
                found.append(bench.both())
        results = large.circumstances(found[0]["load_average_before"]) | {
            "sizes": found,
            "processor_seconds": processor_seconds(*found),
        }
        results["machine"]["spark"] = spark
        stem = large.directory / large.size
        write_results(stem, results, engine_sheets(results))
        print(f"Written to {stem}.json and .md.")

    return finish(measure)


if __name__ == "__main__":
    sys.exit(main())
