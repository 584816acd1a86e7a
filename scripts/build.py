"""Build the warehouse and publish it: load what landed, run dbt, publish if every test passed.

`make build` runs this. Settings come from environment variables, see docs/operate.md. A build
that fails leaves the published data as it was and names what failed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from checkpoints import CheckpointError, Checkpoints
from compact import compact_if_asked
from continuation import KEPT_BY_ROWS, base_of, file_states, note_release, write_private
from contract import ContractError
from database_errors import holder_text, is_disk_full, is_out_of_memory
from disk_need import DiskNeedError, check_disk, loaded_rows
from faults import PlaceError, check_places, is_damaged, set_aside
from load import (
    DEMO,
    LandingError,
    default_warehouse,
    holds_own_rows,
    load_landing,
    opened_warehouse,
)
from load_report import count_text
from locking import LockHeldError, only_one
from publish import KEEP, MARTS, PublishError, Release, current_release, publish
from quiet_errors import without_values
from resources import ResourceError, memory_limit_bytes, outgrows_memory
from run_log import Run, logged_run
from sources import described_sources

ROOT = Path(__file__).resolve().parent.parent

# What a build is made from, beside the landing: directories and files of this repository.
PROJECT = (
    "dbt_project.yml",
    "profiles.yml",
    "requirements.lock",
    "macros",
    "models",
    "scripts",
    "seeds",
    "tests/data",
)
PACKAGES = ("dbt-core", "dbt-duckdb", "duckdb")
# dbt keeps the last five logs of this size beside the one it writes.
DBT_LOG_BYTES = 2_000_000
TOLD_BY_MACROS = "parley: "  # begins what macros/incremental/run_state.sql logs
FAILED = frozenset({"error", "fail", "runtime error", "partial success"})


class BuildError(Exception):
    """The build failed; the text says what and is ready to print."""


# What `build` raises with a text that is ready to print.
REFUSALS = (
    BuildError,
    CheckpointError,
    ContractError,
    DiskNeedError,
    LandingError,
    PlaceError,
    PublishError,
    ResourceError,
)


@dataclass(frozen=True)
class Settings:
    """Where a build reads and writes; relative paths are relative to the repository."""

    landing: str | None
    warehouse: Path
    published: Path
    keep: int
    ignores_disk: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the PARLEY_ variables; empty is unset.

        Raises:
            BuildError: PARLEY_KEEP is not a positive whole number.
        """
        landing = environment.get("PARLEY_LANDING") or None
        keep = environment.get("PARLEY_KEEP") or str(KEEP)
        if not keep.isdecimal() or int(keep) < 1:
            raise BuildError("KEEP must be the number of releases to keep, 1 or more.")
        return cls(
            landing=landing,
            warehouse=default_warehouse(landing),
            published=Path(environment.get("PARLEY_PUBLISHED") or "published"),
            keep=int(keep),
        )

    def require_warehouse(self) -> None:
        """For commands that work on what is there: a wrong name must not look like an empty one.

        Raises:
            BuildError: there is no warehouse.
        """
        if not self.warehouse.is_file():
            raise BuildError(
                f"There is no warehouse {self.warehouse}; name the one that was built with LANDING "
                "or WAREHOUSE, as for make build."
            )

    @property
    def state(self) -> Path:
        """File that remembers what the last release was made from."""
        return self.warehouse.with_name(f"{self.warehouse.name}.build.json")


# ------------------------------------------------------------------------------------- loading


def load(settings: Settings, run: Run, *, force: bool) -> tuple[str, int]:
    """Load what is new; return a digest of everything loaded so far, and its number of rows.

    Without a landing, own rows loaded before are built as they are, else the demo.

    Raises:
        DiskNeedError: the build would not find room; nothing was loaded.
        LandingError: something landed is refused, or the warehouse cannot be opened.
    """
    with opened_warehouse(settings.warehouse) as con:
        is_own = bool(settings.landing) or holds_own_rows(con)
        run.note(holds="own" if is_own else "demo")
        landing = Path(settings.landing) if settings.landing else None if is_own else DEMO

        def is_spared() -> bool:
            return not force and is_current(settings, fingerprint(settings, _loads(con)))

        if not settings.ignores_disk and (
            told := check_disk(
                con,
                landing,
                warehouse=settings.warehouse,
                published=settings.published,
                is_spared=is_spared,
            )
        ):
            print(told, file=sys.stderr, flush=True)
        if landing:
            report = load_landing(con, landing, progress=True)
            run.note(
                loaded={
                    table.table: {"files": table.files, "rows": table.rows}
                    for table in report.tables.values()
                    if table.files
                },
                files_loaded_before=report.skipped,
                load_warnings=len(report.warnings),
            )
            for text in (*report.notices, *report.warnings):
                print(text, file=sys.stderr)
            print(
                f"Loaded {count_text(report.rows, 'row')} from {count_text(report.files, 'file')} "
                f"in {report.seconds:.1f} s; {count_text(report.skipped, 'file')} had been loaded "
                "before.",
                flush=True,
            )
        return _loads(con), loaded_rows(con).rows


def _loads(con: duckdb.DuckDBPyConnection) -> str:
    """Digest of everything loaded so far."""
    loads = con.execute("from raw._loads order by all").fetchall()
    return hashlib.sha256(repr(loads).encode()).hexdigest()


# --------------------------------------------------------------------------- nothing has changed


def _project_files() -> Iterator[Path]:
    for name in PROJECT:
        path = ROOT / name
        if path.is_dir():
            yield from sorted(
                file
                for file in path.rglob("*")
                if file.is_file() and not {"__pycache__", ".ruff_cache"} & set(file.parts)
            )
        elif path.exists():
            yield path


def project_digest() -> str:
    """Digest of all files of this repository a build is made from."""
    digest = hashlib.sha256()
    for path in _project_files():
        digest.update(f"\0{path.relative_to(ROOT)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def fingerprint(settings: Settings, loaded: str) -> str:
    """Digest of all a build depends on but the clock: data, project, settings, salt, versions."""
    digest = hashlib.sha256(loaded.encode())
    digest.update(project_digest().encode())
    for name, value in sorted(os.environ.items()):
        if name.startswith(("PARLEY_", "DBT_")):
            digest.update(f"\0{name}={value}".encode(errors="surrogateescape"))
    for package in PACKAGES:
        digest.update(f"\0{package}={version(package)}".encode())
    salt = settings.warehouse.parent / "salt"
    uses_file = not os.environ.get("PARLEY_SALT") and salt.exists()
    digest.update(salt.read_bytes() if uses_file else b"")
    return digest.hexdigest()


def is_current(settings: Settings, inputs: str) -> bool:
    """Whether the release `current` points to was made from just these inputs and is whole."""
    try:
        state = json.loads(settings.state.read_text(encoding="utf-8"))
        return bool(
            state["inputs"] == inputs
            and state["release"] == current_release(settings.published)
            and state["files"] == file_states(settings.published / "current")
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def remember(settings: Settings, inputs: str, release: Release) -> None:
    """Note what a release was made from, in one step, readable by the owner only."""
    files = file_states(release.path)
    write_private(settings.state, {"inputs": inputs, "release": release.id, "files": files})


# ----------------------------------------------------------------------------------------- dbt


@dataclass
class Outcome:
    """What dbt did: numbers by resource type, what failed, which tables are to be published.

    `replaced` holds those kept by rows, and the column by whose values their rows are replaced;
    `built` says which rows were computed, and why if all were.
    """

    passed: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    failed_nodes: list[str] = field(default_factory=list)
    warned_nodes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    skipped: int = 0
    tables: list[str] = field(default_factory=list)
    replaced: dict[str, str | None] = field(default_factory=dict)
    built: str | None = None
    is_repeatable: bool = False
    seconds: float = 0.0

    def add(self, result: Any) -> None:
        """Count one of dbt's node results."""
        node, status = result.node, str(result.status)
        kind = str(node.resource_type).replace("test", "data test").replace("unit_data", "unit")
        if status in FAILED:
            lines = (result.message or "").strip().splitlines() or ["no reason given"]
            reason = lines[0] if node.resource_type.endswith("test") else " ".join(lines[:3])
            self.failures.append(f"  {kind} {node.name}: {reason}")
            self.failed_nodes.append(f"{kind} {node.name}")
        elif status == "skipped":
            self.skipped += 1
        elif status != "no-op" and kind != "operation":
            self.passed[kind] += 1
            if status == "warn":
                self.warnings.append(f"  {kind} {node.name}: {result.message}")
                self.warned_nodes.append(f"{kind} {node.name}")
        if node.resource_type in ("model", "seed") and node.schema == MARTS:
            self.tables.append(node.alias)
            if (strategy := node.config.get("incremental_strategy")) in KEPT_BY_ROWS:
                is_history = strategy == "history"
                self.replaced[node.alias] = None if is_history else node.config.unique_key

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of what passed, by kind, and of what failed, warned or was not run."""
        others = {
            "failed": len(self.failures),
            "warned": len(self.warnings),
            "not run": self.skipped,
        }
        return dict(sorted(self.passed.items())) | others

    @property
    def text(self) -> str:
        """`62 models, 10 seeds, 143 data tests`."""
        return ", ".join(count_text(number, kind) for kind, number in sorted(self.passed.items()))


class _Watch:
    """Shows how far dbt is: a bar on a terminal, a line each ten seconds elsewhere.

    `built` is what the macros told of the rows they compute; None before they did.
    """

    SECONDS = 10.0

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._is_terminal = console.is_terminal
        self._task = self._bar.add_task("dbt reads the project", total=None)
        self.built: str | None = None
        self._done = 0
        self._total = 0
        self._told = time.monotonic()

    def __enter__(self) -> _Watch:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def event(self, event: Any) -> None:
        """Take one of dbt's events."""
        if event.info.name == "ConcurrencyLine":
            self._total = event.data.node_count
            self._bar.update(self._task, description="dbt builds and tests", total=self._total)
        elif event.info.name == "JinjaLogInfo" and event.data.msg.startswith(TOLD_BY_MACROS):
            self.built = event.data.msg.removeprefix(TOLD_BY_MACROS)
            told = f"dbt builds {self.built}."
            self._bar.console.print(told, markup=False, highlight=False, soft_wrap=True)
        elif event.info.name == "NodeFinished":
            # dbt leaves unit tests, hooks and models that are not stored out of its own count.
            node = event.data.node_info
            self._done += (
                node.resource_type not in ("unit_test", "operation")
                and node.materialized != "ephemeral"
            )
            self._bar.update(self._task, completed=self._done)
            if not self._is_terminal and time.monotonic() - self._told > self.SECONDS:
                self._told = time.monotonic()
                print(f"dbt: {self._done} of {self._total} done", file=sys.stderr, flush=True)


def _log_options() -> list[str]:
    """Options of dbt's log file; its lines stand there, not on the terminal."""
    size = ["--log-file-max-bytes", str(DBT_LOG_BYTES)]
    return ["--log-level", "none", "--log-level-file", "info", *size]


def parse_project() -> Any:
    """Let dbt read the project, while this process waits for something else.

    Returns:
        The manifest; None when there is none, which `run_dbt` will tell.
    """
    from dbt.cli.main import dbtRunner

    return dbtRunner().invoke([*_log_options(), "parse"]).result


def run_dbt(manifest: Any, options: Sequence[str], *, unit_tests: bool) -> Outcome:
    """Run `dbt build` in this process.

    Args:
        manifest: the project as `parse_project` read it.
        options: further options of `dbt build`.
        unit_tests: run unit tests too; they say nothing about the data.

    Raises:
        BuildError: dbt did not come to run anything.
    """
    # Not at the top: dbt takes seconds to import, and a build with nothing to do does without.
    from dbt import tracking
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    started = time.monotonic()
    # The manifest stands in the target directory since the project was read.
    arguments = [*_log_options(), "build", "--no-write-json", *options]
    if not unit_tests:
        arguments += ["--exclude-resource-type", "unit_test"]
    with _Watch() as watch:
        finished = dbtRunner(manifest, [watch.event]).invoke(arguments)
        DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]
    result: Any = finished.result
    results = getattr(result, "results", None)
    if results is None:
        reason = str(finished.exception or "no reason given").strip()
        if holder := holder_text(reason):
            raise BuildError(f"The warehouse is in use by {holder}; let it finish and build again.")
        raise BuildError(f"dbt could not start the build:\n{reason}")
    target = Path(os.environ.get("DBT_TARGET_PATH") or "target")
    result.write(str(target / "run_results.json"))
    outcome = Outcome(seconds=time.monotonic() - started, built=watch.built)
    for one in results:
        outcome.add(one)
    if not finished.success and not outcome.failures:
        outcome.failures.append(f"  dbt: {finished.exception or 'the run was interrupted'}")
    # A build can be spared later if nothing in it looks at the clock or at data that is read in
    # place; the start of the run stands in the SQL of those that look at the clock.
    assert tracking.active_user is not None
    instant = tracking.active_user.run_started_at.strftime("%Y-%m-%d %H:%M:%S.%f")
    outcome.is_repeatable = not any(
        instant in (getattr(one.node, "compiled_code", None) or "") for one in results
    ) and _reads_raw_only(manifest)
    return outcome


def _reads_raw_only(manifest: Any) -> bool:
    """Whether all sources of a project that was read are tables the loader fills."""
    return manifest is not None and all(
        source.schema == "raw" for source in manifest.sources.values()
    )


# --------------------------------------------------------------------------------------- build


def build(settings: Settings, options: Sequence[str], *, force: bool, unit_tests: bool) -> None:
    """Load, build, test and publish; print what happened and log it.

    A damaged warehouse of ours is set aside and built anew.

    Raises:
        BuildError, CheckpointError, ContractError, DiskNeedError, LandingError, LockHeldError,
            OSError, PlaceError, PublishError: the build failed; `current` is what it was.
    """
    settings.warehouse.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (
        logged_run(settings.warehouse) as run,
        only_one(settings.warehouse.with_name(f"{settings.warehouse.name}.lock")),
    ):
        run.begin()
        check_places(settings.warehouse, settings.published)
        try:
            _build(settings, run, options, force=force, unit_tests=unit_tests)
            return
        except (BuildError, LandingError, duckdb.Error) as error:
            if not is_damaged(settings.warehouse, error):
                raise
        print(set_aside(settings.warehouse, settings.landing), file=sys.stderr, flush=True)
        run.note(set_aside=True, reason=None)
        _build(settings, run, options, force=force, unit_tests=unit_tests)


def _build(
    settings: Settings, run: Run, options: Sequence[str], *, force: bool, unit_tests: bool
) -> None:
    with run.step("load"):
        loaded, rows = load(settings, run, force=force)
        compact_if_asked(settings.warehouse)
    if not force and is_current(settings, fingerprint(settings, loaded)):
        current = current_release(settings.published)
        run.note(outcome="unchanged", release=current)
        print(f"Nothing has changed since release {current}; it stays current.")
        return
    # From here on the warehouse is not what the release was made from.
    settings.state.unlink(missing_ok=True)
    with Checkpoints(settings.warehouse, settings.published) as checkpoints:
        with run.step("quality"):
            manifest = parse_project()  # takes as long as Great Expectations does, over there
            _print_warnings("what landed", checkpoints.landing())
        with run.step("dbt"):
            threads = ["--threads", "1"] if outgrows_memory(rows, memory_limit_bytes()) else []
            outcome = run_dbt(manifest, [*threads, *options], unit_tests=unit_tests)
        run.note(
            built=outcome.built,
            dbt=outcome.counts,
            failed=outcome.failed_nodes,
            warnings=outcome.warned_nodes,
        )
        print(f"dbt: {outcome.text} passed in {outcome.seconds:.1f} s.", flush=True)
        if outcome.warnings:
            print("\n".join(["Warnings, which do not stop a release:", *outcome.warnings]))
        if outcome.failures:
            run.note(reason=f"failed: {', '.join(outcome.failed_nodes[:5]) or 'dbt'}")
            raise BuildError(_failure_text(settings, outcome))
        with run.step("quality"):
            project = project_digest()
            base = base_of(settings.warehouse, settings.published, outcome.replaced, project)
            checkpoints.begin_marts(outcome.tables, base.replaced if base else ())
            if not base:  # all rows are looked at, and written, with all the memory there is
                _print_warnings("the marts", checkpoints.marts())
        run.note(**described_sources(settings.warehouse))

        def approve() -> None:
            run.note(step="quality")
            _print_warnings("the marts", checkpoints.marts())
            run.note(step="publish")

        with run.step("publish"):
            release = publish(
                settings.warehouse,
                settings.published,
                tables=outcome.tables,
                base=base,
                approve=approve if base else None,
                keep=settings.keep,
            )
            note_release(settings.warehouse, release, project)
    run.note(release=release.id, rows=sum(release.rows.values()), bytes=release.bytes)
    if outcome.is_repeatable:
        # Taken again: the first run has written the salt in between.
        remember(settings, fingerprint(settings, loaded), release)
    print(
        f"Published {count_text(len(release.rows), 'table')} with "
        f"{count_text(sum(release.rows.values()), 'row')} ({release.bytes / 1e6:,.1f} MB) in "
        f"{release.seconds:.1f} s: {settings.published}/current is release {release.id}."
    )


def _print_warnings(border: str, warnings: Sequence[str]) -> None:
    if warnings:
        lines = [f"  {text}" for text in warnings]
        print("\n".join([f"Look at {border}:", *lines]), flush=True)


def _failure_text(settings: Settings, outcome: Outcome) -> str:
    shown = outcome.failures[:20]
    if len(outcome.failures) > len(shown):
        shown.append(f"  and {len(outcome.failures) - len(shown)} more")
    if outcome.skipped:
        verb = "was" if outcome.skipped == 1 else "were"
        shown.append(f"  {outcome.skipped} of what depends on these {verb} not run")
    former = current_release(settings.published)
    kept = f"release {former} stays current" if former else "nothing is published yet"
    return "\n".join(
        ["Failed:", *shown, f"Not published; {kept}. The whole story is in logs/dbt.log."]
    )


def _sentence(error: Exception) -> str:
    """What to print about a failure."""
    told = [] if isinstance(error, duckdb.Error | OSError) else [str(error)]
    if is_disk_full(error):
        told.append(
            "The disk is full, or a limit on file sizes is reached: make room where the "
            "warehouse, its spill directory and the releases lie, and build again. Nothing was "
            "published."
        )
        return "\n".join(told)
    if is_out_of_memory(error):
        told.append(
            f"DuckDB needs more memory than the {memory_limit_bytes() / 1e6:,.0f} MB it may use: "
            "name more with MEMORY_LIMIT, if the machine has it, and build again. Nothing was "
            "published."
        )
        return "\n".join(told)
    if isinstance(error, OSError):
        return f"{error.filename or 'The disk'}: {error.strerror}; nothing was published."
    if isinstance(error, duckdb.Error):
        return f"DuckDB failed, nothing was published: {without_values(error)}"
    return str(error)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, or 1 with what failed on stderr."""
    parser = argparse.ArgumentParser(
        prog="build.py",
        description=(
            "Load what landed, build and test the warehouse with dbt, publish the marts. "
            "Settings are the environment variables PARLEY_LANDING, PARLEY_WAREHOUSE, "
            "PARLEY_PUBLISHED, PARLEY_AS_OF, PARLEY_SALT and PARLEY_KEEP; see docs/operate.md."
        ),
    )
    parser.add_argument(
        "--force", action="store_true", help="build even if nothing has changed since the release"
    )
    parser.add_argument(
        "--full-refresh", action="store_true", help="rebuild incremental models from all rows"
    )
    parser.add_argument(
        "--unit-tests", action="store_true", help="run the models' unit tests as well"
    )
    parser.add_argument(
        "--ignore-disk", action="store_true", help="build although a disk seems too small"
    )
    chosen = parser.parse_args(arguments)
    os.chdir(ROOT)
    options = ["--full-refresh"] if chosen.full_refresh else []
    try:
        settings = Settings.from_environment(os.environ)
        settings = replace(settings, ignores_disk=chosen.ignore_disk)
        force = chosen.force or chosen.full_refresh or chosen.unit_tests
        build(settings, options, force=force, unit_tests=chosen.unit_tests)
    except LockHeldError as error:
        print(
            f"Another build of {settings.warehouse} is running ({error}); let it finish, or stop "
            "it, and build again.",
            file=sys.stderr,
        )
        return 1
    except (*REFUSALS, OSError, duckdb.Error) as error:
        print(_sentence(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; nothing was published.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
