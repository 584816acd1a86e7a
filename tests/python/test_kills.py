"""Kill -9 at points spread over load, dbt and publish; a reader polls all the while.

After the kills of a chain a normal run gives the marts of an undisturbed one, and `current` was
whole throughout. Most points lie in `build.main()` of a forked child, see
killed_builds.py; the last chain kills `scripts/build.py` itself, from outside.
"""

from __future__ import annotations

import csv
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest

from harness import CONFORMANCE, ROOT, SALT, environment, is_same
from killed_builds import NAME, Builds, Reader
from publish import current_release, releases_in
from run_log import read_runs

AS_OF = "2026-09-20T00:00:00Z"

# Chains of points. Each begins with a warehouse and a release of half the rows, and the other
# half landed; each kill hits the run after the one before.
CHAINS = [
    ["append 1", "booked 2", "append 5", "booked 6", "append 3"],
    ["dbt started 0.01", "dbt finished 0.12", "dbt started 0.25", "dbt finished 0.4"],
    ["dbt started 0.5", "dbt finished 0.6", "dbt started 0.75", "dbt finished 0.9"],
    ["write 3", "seal", "renamed", "linked"],
]
REAL_KILLS = 5

# Tables of which one row decides over all others; without them a run works on what is new. A run
# after one that was killed does not, so each of these points hits a place of its own.
DECISIVE = (
    "business_hours",
    "flows",
    "holidays",
    "intents",
    "model_prices",
    "resolution_policies",
)
POINTS_OF_NEW = [
    "dbt started 0.2",
    "dbt finished 0.5",
    "dbt finished 0.9",
    "write 2",
    "renamed",
    "linked",
]


class Place:
    """A landing, a warehouse and releases that belong together."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.warehouse = root / "warehouse" / f"{NAME}.duckdb"
        self.published = root / "published"

    @property
    def settings(self) -> dict[str, str]:
        return {
            "PARLEY_LANDING": str(self.root / "landing"),
            "PARLEY_WAREHOUSE": str(self.warehouse),
            "PARLEY_PUBLISHED": str(self.published),
            "PARLEY_AS_OF": AS_OF,
            "PARLEY_SALT": SALT,
            "DBT_TARGET_PATH": str(self.root / "target"),
            "DBT_LOG_PATH": str(self.root / "logs"),
        }

    @property
    def database(self) -> Path:
        return self.published / "current" / "parley.duckdb"

    def land_the_rest(self) -> None:
        shutil.copytree(self.root / "rest", self.root / "landing", dirs_exist_ok=True)

    def counts(self) -> dict[str, int]:
        with duckdb.connect(str(self.database), read_only=True) as con:
            tables = con.execute("select table_name from duckdb_tables() order by 1").fetchall()
            return {
                table: con.execute(f"select count(*) from marts.{table}").fetchall()[0][0]
                for (table,) in tables
            }


def split_landing(root: Path, whole: Sequence[str] = ()) -> None:
    """The first half of each file to `landing`, the others to `rest`.

    Args:
        root: where the two directories are made.
        whole: tables that lie in `landing` with all their rows.
    """
    for path in sorted((CONFORMANCE / "case11" / "landing").glob("*/*.csv")):
        with path.open(newline="", encoding="utf-8") as stream:
            header, *rows = list(csv.reader(stream))
        half = len(rows) if path.parent.name in whole else (len(rows) + 1) // 2
        for folder, part in (("landing", rows[:half]), ("rest", rows[half:])):
            if part:
                target = root / folder / path.parent.name / f"{folder}.csv"
                target.parent.mkdir(parents=True)
                with target.open("w", newline="", encoding="utf-8") as stream:
                    csv.writer(stream).writerows([header, *part])


@pytest.fixture(scope="module")
def builds() -> Iterator[Builds]:
    running = Builds()
    yield running
    running.close()


@pytest.fixture(scope="module")
def half(builds: Builds, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Half of the rows, built and published; the other half is not landed yet."""
    place = Place(tmp_path_factory.mktemp("half") / "place")
    split_landing(place.root)
    status, log = builds.run(place.settings)
    assert status == 0, log
    assert "\ndbt builds all rows, since there was no run before.\n" in log
    return place


@pytest.fixture(scope="module")
def half_of_new(builds: Builds, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The same, with all rows that decide over others; what is not landed yet is only new."""
    place = Place(tmp_path_factory.mktemp("half_of_new") / "place")
    split_landing(place.root, DECISIVE)
    status, log = builds.run(place.settings)
    assert status == 0, log
    return place


def copy_of(place: Place, root: Path) -> Place:
    """A copy with its landing complete."""
    shutil.copytree(place.root, root, symlinks=True)
    copy = Place(root)
    copy.land_the_rest()
    return copy


@pytest.fixture(scope="module")
def undisturbed(half: Place, builds: Builds, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """All rows, built and published without any accident."""
    place = copy_of(half, tmp_path_factory.mktemp("undisturbed") / "place")
    status, log = builds.run(place.settings)
    assert status == 0, log
    assert " landed, which decides over all rows.\n" in log
    changed = {table for table, rows in place.counts().items() if rows != half.counts()[table]}
    assert {"fct_messages", "fct_episodes", "kpi_values"} <= changed
    return place


def unequal_tables(expected: Place, actual: Place) -> list[str]:
    """Tables whose rows differ; numbers are equal up to 1e-9."""
    unequal = []
    with duckdb.connect() as con:
        for name, place in (("expected", expected), ("actual", actual)):
            con.execute(f"attach '{place.database}' as {name} (read_only)")
        tables = con.execute(
            "select table_name from duckdb_tables() where database_name = 'expected' order by 1"
        ).fetchall()
        assert len(tables) > 20
        for (table,) in tables:
            one, other = f"expected.marts.{table}", f"actual.marts.{table}"
            # Builds are numbered, and more were begun here than there.
            picked = "* exclude (build_number)" if table == "fct_resolution_history" else "*"
            missing = f"select {picked} from {one} except all select {picked} from {other}"
            surplus = f"select {picked} from {other} except all select {picked} from {one}"
            both_ways = f"({missing}) union all ({surplus})"
            if not con.execute(f"select 1 from ({both_ways}) limit 1").fetchall():
                continue
            described = con.execute(f"describe select {picked} from {one}").fetchall()
            # Sums may differ in their last digit, so they come last in the order.
            order = ", ".join(
                f'"{column[0]}"' for column in sorted(described, key=lambda c: c[1] == "DOUBLE")
            )
            rows = [
                con.execute(f"select {picked} from {each} order by {order}").fetchall()
                for each in (one, other)
            ]
            if len(rows[0]) != len(rows[1]) or not all(
                is_same(cell, twin)
                for row, twin_row in zip(*rows, strict=True)
                for cell, twin in zip(row, twin_row, strict=True)
            ):
                unequal.append(table)
    return unequal


def assert_repaired(place: Place, undisturbed: Place) -> None:
    """All is as if nothing had happened, and nothing is left lying about."""
    assert unequal_tables(undisturbed, place) == []
    assert not list(place.published.glob(".current-*"))
    assert not list((place.published / "releases").glob(".*"))
    left = {path.name for path in place.warehouse.parent.iterdir()}
    endings = ("", ".build.json", ".lock", ".release.json", ".runs.jsonl")
    assert left <= {f"{NAME}.duckdb{ending}" for ending in endings} | {"spill"}


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: chain[0].replace(" ", "_"))
def test_killed_anywhere_the_next_run_repairs(
    chain: list[str], half: Place, undisturbed: Place, builds: Builds, tmp_path: Path
) -> None:
    place = copy_of(half, tmp_path / "place")
    former = current_release(place.published)
    reader = Reader(place.published)
    for point in chain:
        status, log = builds.run(place.settings, kill=point)
        assert status == -signal.SIGKILL, (point, log)
        if point != "linked":
            assert current_release(place.published) == former, point
    status, log = builds.run(place.settings)
    assert status == 0, log
    for seen in reader.seen():
        assert seen in (half.counts(), undisturbed.counts())
    assert current_release(place.published) != former
    assert_repaired(place, undisturbed)
    *killed, last = read_runs(place.warehouse)[-len(chain) - 1 :]
    assert [(run["outcome"], run["ended_at"]) for run in killed] == [("killed", None)] * len(chain)
    steps = {"append": "load", "booked": "load", "dbt": "dbt"}
    assert [run["step"] for run in killed] == [
        steps.get(point.split()[0], "publish") for point in chain
    ]
    assert (last["outcome"], last["release"]) == ("ok", current_release(place.published))


@pytest.fixture(scope="module")
def undisturbed_new(
    half_of_new: Place, builds: Builds, tmp_path_factory: pytest.TempPathFactory
) -> Place:
    """All rows, the new ones added by a run on what is new, without any accident."""
    place = copy_of(half_of_new, tmp_path_factory.mktemp("undisturbed_new") / "place")
    status, log = builds.run(place.settings)
    assert status == 0, log
    assert read_runs(place.warehouse)[-1]["built"].startswith("only what is new or ripe since ")
    changed = {t for t, rows in place.counts().items() if rows != half_of_new.counts()[t]}
    assert {"fct_messages", "fct_episodes", "kpi_values"} <= changed
    return place


@pytest.mark.parametrize("point", POINTS_OF_NEW, ids=lambda point: point.replace(" ", "_"))
def test_a_run_on_what_is_new_killed_anywhere_is_repaired(
    point: str, half_of_new: Place, undisturbed_new: Place, builds: Builds, tmp_path: Path
) -> None:
    place = copy_of(half_of_new, tmp_path / "place")
    reader = Reader(place.published)
    status, log = builds.run(place.settings, kill=point)
    assert status == -signal.SIGKILL, log
    assert "\ndbt builds only what is new or ripe since " in log
    status, log = builds.run(place.settings)
    assert status == 0, log
    for seen in reader.seen():
        assert seen in (half_of_new.counts(), undisturbed_new.counts())
    assert_repaired(place, undisturbed_new)
    killed, last = read_runs(place.warehouse)[-2:]
    assert (killed["outcome"], last["outcome"]) == ("killed", "ok")
    is_lost = point.startswith("dbt")
    assert last["built"].startswith("all rows" if is_lost else "only what is new or ripe since ")


def _loads(process: subprocess.Popen[str], place: Place) -> bool:
    """The rows of one table are in; the next ones are being read."""
    assert process.stderr is not None
    return process.stderr.readline().startswith("messages:")


def _runs(model: str, process: subprocess.Popen[str], place: Place) -> bool:
    """The statement of a model has been sent."""
    return any((place.root / "target" / "run").rglob(f"{model}.sql"))


def _writes(process: subprocess.Popen[str], place: Place) -> bool:
    """Some files of a release are there."""
    return len(list((place.published / "releases").glob(".draft-*/marts/*"))) > 3


def _is_out(process: subprocess.Popen[str], place: Place) -> bool:
    """A new release has its name; the link moves in this moment."""
    return len(releases_in(place.published)) > 1


Trigger = Callable[[subprocess.Popen[str], Place], bool]


def kill_the_real_one(place: Place, trigger: Trigger) -> None:
    """Run scripts/build.py and kill it as soon as the trigger sees what it waits for."""
    shutil.rmtree(place.root / "target" / "run", ignore_errors=True)
    with subprocess.Popen(
        [sys.executable, "scripts/build.py"],
        cwd=ROOT,
        env=environment(**place.settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while process.poll() is None and not trigger(process, place):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
    assert process.returncode == -signal.SIGKILL, trigger


def real_build(place: Place) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/build.py"],
        cwd=ROOT,
        env=environment(**place.settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_the_real_process_killed_from_outside(
    half: Place, undisturbed: Place, tmp_path: Path
) -> None:
    triggers: list[Any] = [
        _loads,
        partial(_runs, "conformed_messages"),
        partial(_runs, "kpi_values"),
        _writes,
        _is_out,
    ]
    assert len(triggers) == REAL_KILLS
    assert REAL_KILLS + sum(map(len, CHAINS)) >= 20
    place = copy_of(half, tmp_path / "place")
    reader = Reader(place.published)
    for trigger in triggers:
        kill_the_real_one(place, trigger)
    outcome = real_build(place)
    assert outcome.returncode == 0, outcome.stderr
    for seen in reader.seen():
        assert seen in (half.counts(), undisturbed.counts())
    assert_repaired(place, undisturbed)
