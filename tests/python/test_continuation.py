"""A release is gone on from only if nothing came between the run it was made from and this one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from continuation import base_of, note_release
from publish import publish

KEPT = {"facts": "fact_id"}
PROJECT = "digest of the project"


def run(warehouse: Path, name: str, former: str | None, *, is_complete: bool = True) -> None:
    """What dbt leaves of a run: full without a former one."""
    with duckdb.connect(str(warehouse)) as con:
        con.execute("create schema if not exists touched; create schema if not exists marts")
        con.execute("create table if not exists marts.facts as select 'f' as fact_id")
        con.execute(
            "create or replace table touched.runs as select $1 as run_id, $2 as mode, "
            "cast($3 as varchar) as previous_run_id, $4 as is_complete",
            [name, "touched" if former else "full", former, is_complete],
        )


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """A warehouse and where it is published, after one build."""
    warehouse, published = tmp_path / "w.duckdb", tmp_path / "published"
    run(warehouse, "first", None)
    note_release(warehouse, publish(warehouse, published), PROJECT)
    return warehouse, published


def test_the_next_run_goes_on_from_the_release(places: tuple[Path, Path]) -> None:
    warehouse, published = places
    run(warehouse, "second", "first")
    base = base_of(warehouse, published, KEPT, PROJECT)
    assert base is not None
    assert base.release == (published / "current").resolve()
    assert base.replaced == KEPT
    assert (warehouse.parent / "w.duckdb.release.json").stat().st_mode & 0o077 == 0


def _touch(release: Path) -> None:
    path = release / "marts" / "facts.parquet"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes())


BETWEEN: dict[str, Callable[[Path, Path], None]] = {
    "a full run": lambda warehouse, _: run(warehouse, "second", None),
    "a run that failed": lambda warehouse, _: run(warehouse, "2", "first", is_complete=False),
    "a run that was not published": lambda warehouse, _: run(warehouse, "third", "second"),
    "no run of dbt's": lambda warehouse, _: (
        duckdb.connect(str(warehouse)).execute("drop schema touched cascade").close()
    ),
    "another release": lambda warehouse, published: publish(warehouse, published) and None,
    "a changed file": lambda _, published: _touch((published / "current").resolve()),
    "a lost note": lambda warehouse, _: Path(f"{warehouse}.release.json").unlink(),
    "a damaged note": lambda warehouse, _: (
        Path(f"{warehouse}.release.json").write_text("{") and None
    ),
}


@pytest.mark.parametrize("between", BETWEEN)
def test_anything_in_between_makes_a_whole_copy(places: tuple[Path, Path], between: str) -> None:
    warehouse, published = places
    run(warehouse, "second", "first")
    BETWEEN[between](warehouse, published)
    assert base_of(warehouse, published, KEPT, PROJECT) is None


def test_so_does_another_project(places: tuple[Path, Path]) -> None:
    warehouse, published = places
    run(warehouse, "second", "first")
    assert base_of(warehouse, published, KEPT, "another digest") is None
