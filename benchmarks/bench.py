"""Benchmark `make build`: generated data, then a full, an empty, a daily and a late run.

`make bench SIZE=1m` runs this. Each run is the real scripts/build.py in a process of its own, into
a warehouse and releases of its own; what the figures mean and how to repeat them is in
docs/benchmarks.md. Results are `<BENCH>/<size>.json`, `.md`, `.svg` and `.plans.txt`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from disk_need import DiskNeedError, Landed, Need, build_needs, check_room
from measured import CommandError, Measured, run_measured
from report import Sheet, chart, markdown, print_tables, sheets
from resources import ResourceError, memory_limit_bytes
from rows import parquet_rows, warehouse_rows
from run_log import log_file

SIZES = {"100k": 100_000, "1m": 1_000_000, "10m": 10_000_000, "100m": 100_000_000}

# The generator's year starts on 1 January 2025. One day is left out of the base, to come late; the
# last day is the daily run.
FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)
LATE_DAY, LAST_DAY = 180, 364
BASE_END = FIRST_DAY + timedelta(days=LAST_DAY)

# Schemas whose rows are told.
SCHEMAS = ("raw", "marts")

# Loading is measured on no more messages than these: rates do not change beyond.
LOADED_MESSAGES = 5_000_000

# Rows of all tables per message, bytes of a message as Parquet with all that belongs to it, and of
# a message as CSV; measured, for the look at the disk.
ROWS_PER_MESSAGE, PARQUET_PER_MESSAGE, CSV_PER_MESSAGE = 1.5, 60, 300

Record = dict[str, Any]


class BenchError(Exception):
    """The benchmark cannot go on; one sentence, or what a failed command said."""


def size_messages(text: str) -> int:
    """Messages of a size: one of `SIZES`, or a number of thousands such as 20k.

    Raises:
        BenchError: it is neither.
    """
    name = text.lower()
    if name.endswith("k") and name[:-1].isdecimal() and int(name[:-1]) >= 1:
        return int(name[:-1]) * 1000
    if name not in SIZES:
        raise BenchError(f"SIZE must be one of {', '.join(SIZES)}, or thousands such as 20k.")
    return SIZES[name]


class Bench:
    """One benchmark: its directories, its commands, what it found.

    This process stays small: the kernel counts it towards the largest process of each child.
    """

    def __init__(self, size: str, directory: Path, *, ignores_disk: bool = False) -> None:
        self.size = size.lower()
        self.messages = size_messages(size)
        self.directory = directory.absolute()
        self.scratch = self.directory / self.size
        self.landing = self.scratch / "landing"
        self.warehouse = self.scratch / "warehouse" / "bench.duckdb"
        self.published = self.scratch / "published"
        spill = os.environ.get("PARLEY_SPILL")
        self.spill = Path(spill).absolute() if spill else self.scratch / "spill"
        self.memory = memory_limit_bytes()
        self.places = [
            self.warehouse,
            self.warehouse.with_name(f"{self.warehouse.name}.wal"),
            self.published,
        ]
        self.ignores_disk = ignores_disk
        self.commands = 0

    @contextmanager
    def opened(self, *, keeps: bool) -> Iterator[None]:
        """Have the scratch directory for the time of a measurement, empty at its start.

        Args:
            keeps: leave it at the end.

        Raises:
            DiskNeedError: there is no room.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.check_disk()
        self.warehouse.parent.mkdir(parents=True)
        try:
            yield
        finally:
            if not keeps:
                shutil.rmtree(self.scratch, ignore_errors=True)

    # -- commands

    def environment(self, **settings: str) -> dict[str, str]:
        """This process's environment, with the benchmark's own settings in place of any other."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PARLEY_", "DBT_"))
        }
        own = {
            "PARLEY_LANDING": str(self.landing),
            "PARLEY_WAREHOUSE": str(self.warehouse),
            "PARLEY_PUBLISHED": str(self.published),
            "PARLEY_SPILL": str(self.spill),
            "PARLEY_MEMORY_LIMIT": f"{self.memory}B",
            "PARLEY_KEEP": "1",
            "PARLEY_SALT": "a benchmark's salt is worth nothing",
            "DBT_TARGET_PATH": str(self.scratch / "target"),
            "DBT_LOG_PATH": str(self.scratch / "logs"),
        }
        return kept | own | settings

    def run(
        self,
        script: str | Path,
        *arguments: str | Path,
        python: str | Path = sys.executable,
        **settings: str,
    ) -> Measured:
        """Run a script of this repository.

        Args:
            script: its path, relative to the repository.
            arguments: of the script.
            python: the interpreter that runs it.
            settings: environment variables, in place of `environment`'s.

        Raises:
            BenchError: it failed.
        """
        self.commands += 1
        name = f"{self.commands:02}-{Path(script).stem}"
        try:
            return run_measured(
                [python, ROOT / script, *arguments],
                environment=self.environment(**settings),
                log=self.scratch / f"{name}.log",
                spill=self.spill,
                places=self.places,
                cwd=ROOT,
            )
        except CommandError as error:
            raise BenchError(str(error)) from None

    # -- data

    def check_disk(self) -> None:
        """Look whether there is room for the data and all that is built from them.

        Raises:
            DiskNeedError: there is not; nothing was generated.
        """
        if self.ignores_disk:
            return
        rows = round(self.messages * ROWS_PER_MESSAGE)
        needs = build_needs(
            Landed(),
            Landed(rows, 0),
            warehouse=self.warehouse,
            published=self.published,
            spill=self.spill,
            memory=self.memory,
        )
        release = needs[1].bytes  # a second one while the first is still there, and the floor's
        csv = min(self.messages, LOADED_MESSAGES) * CSV_PER_MESSAGE * 2
        data = self.messages * PARQUET_PER_MESSAGE + csv
        needs += [
            Need("a second release", self.published, "BENCH", release),
            Need("generated data", self.scratch, "BENCH", data),
        ]
        check_room(
            [Need(need.what, need.place, "BENCH", need.bytes) for need in needs],
            then="Nothing was generated.",
        )

    def generate(self) -> dict[str, dict[str, int]]:
        """Write the data: the base without the late day into the landing, two days beside it.

        Returns:
            Rows by table, for `base`, `day` and `late`.
        """
        self.landing.mkdir()
        parts = {
            "early": (0, LATE_DAY - 1),
            "late": (LATE_DAY, LATE_DAY),
            "later": (LATE_DAY + 1, LAST_DAY - 1),
            "day": (LAST_DAY, LAST_DAY),
        }
        for name, (first, last) in parts.items():
            days = ["--from-day", str(first), "--to-day", str(last)]
            total = ["--messages", str(self.messages)]
            self.run("scripts/generate.py", "bulk", "--out", self.scratch / name, *total, *days)
        rows = {name: parquet_rows(self.scratch / name) for name in ("late", "day")}
        self.arrive("early")
        self.arrive("later")
        return {"base": parquet_rows(self.landing), **rows}

    def arrive(self, part: str) -> None:
        """Move the files of a part into the landing."""
        for path in sorted((self.scratch / part).glob("*/*.parquet")):
            target = self.landing / path.parent.name / path.name
            target.parent.mkdir(exist_ok=True)
            path.rename(target)
        shutil.rmtree(self.scratch / part)

    # -- runs

    def build(self, name: str, as_of: datetime) -> Record:
        """Run scripts/build.py and say what it took and what it left.

        Raises:
            BenchError: the build failed.
        """
        results = self.scratch / "target" / "run_results.json"
        results.unlink(missing_ok=True)
        options = ["--ignore-disk"] if self.ignores_disk else []
        taken = self.run("scripts/build.py", *options, PARLEY_AS_OF=instant(as_of))
        logged = json.loads(log_file(self.warehouse).read_text("utf-8").splitlines()[-1])
        return {
            "run": name,
            "outcome": logged["outcome"],
            "steps": logged["seconds"],
            "dbt": logged.get("dbt", {}),
            **taken.figures(),
            **model_seconds(results),
            "warehouse_bytes": self.warehouse.stat().st_size,
            "release_bytes": sum(
                path.stat().st_size
                for path in (self.published / "current").resolve().rglob("*")
                if path.is_file()
            ),
            **{f"{schema}_rows": warehouse_rows(self.warehouse, schema) for schema in SCHEMAS},
        }

    def floor(self) -> Record:
        """Measure what no build could do without, on the same files and tables."""
        taken = self.run(
            "benchmarks/floor.py", "build", self.landing, self.warehouse, self.scratch / "floor"
        )
        return dict(json.loads(taken.output.splitlines()[-1]))

    def load(self) -> list[Record]:
        """Load messages from Parquet and from CSV, with the loader and with plain DuckDB."""
        found = []
        folder = self.scratch / "load"
        for kind in ("parquet", "csv"):
            file = folder / kind / "messages" / f"messages.{kind}"
            file.parent.mkdir(parents=True)
            limit = str(LOADED_MESSAGES)
            self.run("benchmarks/floor.py", "sample", self.landing, file, limit, folder)
            into = folder / f"{kind}.duckdb"
            taken = self.run("scripts/load.py", "--landing", folder / kind, "--warehouse", into)
            rows = warehouse_rows(into, "raw")["messages"]
            into.unlink()
            plain = json.loads(
                self.run("benchmarks/floor.py", "load", file, folder).output.splitlines()[-1]
            )
            found.append(
                {
                    "format": kind,
                    "messages": rows,
                    "file_bytes": file.stat().st_size,
                    "seconds": taken.seconds,
                    "peak_memory_bytes": taken.peak_memory_bytes,
                    "plain_messages": plain["rows"],
                    "plain_seconds": plain["seconds"],
                }
            )
            file.unlink()
        shutil.rmtree(folder)
        return found

    def circumstances(self, load_average: float) -> Record:
        """What was measured, when and on what.

        Args:
            load_average: of the minute before the first build.
        """
        return {
            "size": self.size,
            "measured_at": instant(datetime.now(UTC)),
            "machine": machine(load_average),
            "memory_limit_bytes": self.memory,
        }

    def all(self, *, full_only: bool = False) -> Record:
        """Generate, build four times, measure the floors.

        Args:
            full_only: build once and measure the floor of a build, nothing else.

        Returns:
            What was measured; `failed`, a sentence, where a run after the first one failed.

        Raises:
            BenchError: there is nothing to report, since the first run failed.
        """
        rows = self.generate()
        load_average = os.getloadavg()[0]  # of a minute in which one process generated
        runs = [self.build("full", BASE_END)]
        if not full_only:
            results = self.scratch / "target" / "run_results.json"
            planned = self.run("benchmarks/plans.py", self.warehouse, "--results", results)
            path = self.directory / f"{self.size}.plans.txt"
            path.write_text(planned.output, encoding="utf-8")
        found: Record = {
            **self.circumstances(load_average),
            "generated": rows,
            "runs": runs,
            "floor": self.floor(),
            "loading": [],
        }
        if not full_only:
            try:
                self.later(runs)
                found["loading"] = self.load()
            except BenchError as error:  # hours may lie behind it: what there is, is reported
                found["failed"] = str(error)
        return found

    def later(self, runs: list[Record]) -> None:
        """Build three times more, and add each run to `runs` once it is there.

        Raises:
            BenchError: one of them failed.
        """
        runs.append(self.build("no-op", BASE_END))
        for name, part in (("one day", "day"), ("late day", "late")):
            self.arrive(part)
            runs.append(self.build(name, BASE_END + timedelta(days=1)))


def instant(moment: datetime) -> str:
    """An instant in UTC as settings and results have it, to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def machine(load_average: float) -> Record:
    """What the figures were measured on."""
    return {
        "system": platform.system(),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "load_average_before": round(load_average, 2),
        "python": platform.python_version(),
        "duckdb": version("duckdb"),
        "dbt": version("dbt-core"),
    }


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def model_seconds(results: Path) -> Record:
    """Seconds of dbt's models, by its `run_results.json`; zeros where dbt did not run.

    Returns:
        `model_seconds`, those of both threads added up; `model_wall_seconds`, in which at least one
        model was running; `models`, seconds by name, the longest first.
    """
    if not results.is_file():
        return {"model_seconds": 0.0, "model_wall_seconds": 0.0, "models": {}}
    seconds: dict[str, float] = {}
    spans: list[tuple[float, float]] = []
    for result in json.loads(results.read_text(encoding="utf-8"))["results"]:
        kind, _, name = result["unique_id"].split(".", 2)
        if kind != "model":
            continue
        seconds[name] = round(float(result["execution_time"]), 3)
        times = [
            datetime.fromisoformat(moment).timestamp()
            for timing in result["timing"]
            for moment in (timing["started_at"], timing["completed_at"])
            if moment
        ]
        if times:
            spans.append((min(times), max(times)))
    wall, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        wall += max(0.0, end - max(start, until))
        until = max(until, end)
    longest = dict(sorted(seconds.items(), key=lambda item: -item[1]))
    return {
        "model_seconds": round(sum(seconds.values()), 2),
        "model_wall_seconds": round(wall, 2),
        "models": longest,
    }


def write_results(stem: Path, results: Mapping[str, Any], found: Sequence[Sheet]) -> None:
    """Write `<stem>.json`, everything, and `<stem>.md`, the tables; print the tables."""
    Path(f"{stem}.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    Path(f"{stem}.md").write_text(markdown(results, found), encoding="utf-8")
    print_tables(results, found)


def parser(program: str, description: str) -> argparse.ArgumentParser:
    """The options all benchmarks have: size, directory, what is kept and overruled."""
    options = argparse.ArgumentParser(prog=program, description=description)
    options.add_argument(
        "--size",
        default=os.environ.get("PARLEY_SIZE") or "1m",
        help=f"messages: {', '.join(SIZES)}, or thousands such as 20k (default: $PARLEY_SIZE, 1m)",
    )
    options.add_argument(
        "--directory",
        type=Path,
        default=Path(os.environ.get("PARLEY_BENCH") or "target/bench"),
        metavar="DIR",
        help="where data, warehouse and results go (default: $PARLEY_BENCH, target/bench)",
    )
    options.add_argument(
        "--keep", action="store_true", help="leave data and warehouse in <DIR>/<size>"
    )
    options.add_argument(
        "--ignore-disk", action="store_true", help="go on although a disk seems too small"
    )
    return options


def finish(measure: Callable[[], None]) -> int:
    """Measure; return the exit code: 0, or 1 with one sentence on stderr."""
    os.chdir(ROOT)
    try:
        measure()
    except (BenchError, DiskNeedError, ResourceError, OSError, duckdb.Error) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; nothing was measured.", file=sys.stderr)
        return 130
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, or 1 with one sentence on stderr."""
    options = parser(
        "bench.py",
        "Generate data, build them with scripts/build.py (all rows; nothing new; one more day; "
        "a day that comes late), and compare with the floors measured on the same files. See "
        "docs/benchmarks.md.",
    )
    options.add_argument(
        "--full-only", action="store_true", help="leave out all runs but the first, and loading"
    )
    chosen = options.parse_args(arguments)

    def measure() -> None:
        bench = Bench(chosen.size, chosen.directory, ignores_disk=chosen.ignore_disk)
        with bench.opened(keeps=chosen.keep):
            results = bench.all(full_only=chosen.full_only)
        stem = bench.directory / bench.size
        write_results(stem, results, sheets(results))
        Path(f"{stem}.svg").write_text(chart(results), encoding="utf-8")
        print(f"Written to {stem}.json, .md, .svg and .plans.txt.")
        if "failed" in results:
            raise BenchError(results["failed"])

    return finish(measure)


if __name__ == "__main__":
    sys.exit(main())
