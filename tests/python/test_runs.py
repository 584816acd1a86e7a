"""The run log: one line per run, however it ends, with names and numbers only."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import duckdb
import pytest

import run_log
from locking import LockHeldError, only_one
from run_log import log_file, logged_run, open_run, open_run_file, read_runs
from small_project import Project


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return tmp_path / "w.duckdb"


def test_a_build_leaves_one_line_with_all_that_is_asked_of_it(built: Project) -> None:
    warehouse = built.root / "warehouse" / "demo.duckdb"
    assert stat.S_IMODE(log_file(warehouse).stat().st_mode) == 0o600
    assert not open_run_file(warehouse).exists()
    run = read_runs(warehouse)[0]
    instant = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    assert re.fullmatch(instant, run["started_at"])
    assert re.fullmatch(instant, run["ended_at"])
    assert (run["outcome"], run["reason"]) == ("ok", None)
    assert set(run["seconds"]) == {"load", "quality", "dbt", "publish", "total"}
    assert all(seconds >= 0 for seconds in run["seconds"].values())
    assert run["loaded"] == {"conversations": {"files": 1, "rows": 2}}
    assert run["dbt"] == {"data test": 3, "failed": 0, "model": 2, "not run": 0, "warned": 0}
    assert run["release"] == built.current
    assert run["rows"] == 2
    assert run["sources"]["conversations"]["rows"] == 2
    assert 20_000_000 < run["peak_memory_bytes"] < 20_000_000_000


def test_refused_spared_and_failed_runs_are_logged_and_no_value_is(project: Project) -> None:
    warehouse = project.root / "warehouse" / "demo.duckdb"
    with only_one(warehouse.with_name("demo.duckdb.lock")):
        project.build()
    project.build()
    project.land("second", "ann@example.com", "bo@example.com")
    project.write(
        "models/marts/fct_conversations.sql",
        "select cast(conversation_id as integer) as conversation_id "
        "from {{ ref('conformed_conversations') }}",
    )
    outcome = project.build()
    assert outcome.returncode == 1
    refused, spared, failed = read_runs(warehouse)[-3:]
    assert refused["outcome"] == "refused"
    assert refused["reason"].startswith("process ")
    assert (spared["outcome"], spared["release"]) == ("unchanged", project.current)
    assert failed["outcome"] == "failed"
    assert failed["step"] == "dbt"
    assert failed["failed"] == ["model fct_conversations"]
    assert failed["reason"] == "failed: model fct_conversations"
    assert failed["loaded"] == {"conversations": {"files": 1, "rows": 2}}
    assert "release" not in failed
    assert "@" not in log_file(warehouse).read_text()
    assert "c1" not in log_file(warehouse).read_text().replace(f"{project.current}", "")


def test_an_error_of_the_database_is_named_and_not_quoted(warehouse: Path) -> None:
    with pytest.raises(duckdb.ConversionException), logged_run(warehouse):
        duckdb.sql("select cast('ann@example.com' as integer)").fetchall()
    assert read_runs(warehouse)[0]["reason"] == "DuckDB: ConversionException"


def test_a_file_named_after_a_person_is_masked(project: Project) -> None:
    project.write("seeds/demo/conversations/ann@example.com.csv", "channel\nweb\n")
    outcome = project.build()
    assert outcome.returncode == 1
    assert "conversations/ann@example.com.csv: the required column" in outcome.stderr
    log = log_file(project.root / "warehouse" / "demo.duckdb").read_text()
    assert "conversations/***@***: the required column" in log
    assert "ann@" not in log


def test_a_killed_run_is_seen_and_logged_by_the_next(warehouse: Path) -> None:
    killed = run_log.Run(warehouse)
    killed.begin()
    with killed.step("load"):
        killed.note(holds="own")
    killed.note(step="dbt")
    assert read_runs(warehouse) == []
    seen = open_run(warehouse)
    assert seen is not None
    assert (seen["step"], seen["ended_at"]) == ("dbt", None)
    assert stat.S_IMODE(open_run_file(warehouse).stat().st_mode) == 0o600
    with logged_run(warehouse) as run:
        run.begin()
    first, second = read_runs(warehouse)
    assert (first["run"], first["outcome"], first["ended_at"], first["step"]) == (
        killed.record["run"],
        "killed",
        None,
        "dbt",
    )
    assert second["outcome"] == "ok"
    assert open_run(warehouse) is None


def test_a_refused_run_leaves_the_running_ones_file_alone(warehouse: Path) -> None:
    running = run_log.Run(warehouse)
    running.begin()
    with pytest.raises(LockHeldError), logged_run(warehouse):
        raise LockHeldError("process 1")
    seen = open_run(warehouse)
    assert seen is not None
    assert seen["run"] == running.record["run"]
    assert [run["outcome"] for run in read_runs(warehouse)] == ["refused"]


def test_the_log_is_bounded(warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "LIMIT_BYTES", 5000)
    for number in range(100):
        with logged_run(warehouse) as run:
            run.begin()
            run.note(number=number)
    files = sorted(path.name for path in warehouse.parent.iterdir())
    assert files in (
        ["w.duckdb.runs.jsonl", "w.duckdb.runs.jsonl.1"],
        ["w.duckdb.runs.jsonl.1"],
    )
    assert sum(path.stat().st_size for path in warehouse.parent.iterdir()) < 11_000
    numbers = [run["number"] for run in read_runs(warehouse)]
    assert numbers == list(range(numbers[0], 100))
    assert len(numbers) > 10


def test_a_line_that_was_cut_off_costs_itself_only(warehouse: Path) -> None:
    log_file(warehouse).write_text('{"run": "one"}\n{"run": "tw')
    with logged_run(warehouse):
        pass
    first, last = read_runs(warehouse)
    assert first["run"] == "one"
    assert last["outcome"] == "ok"
    assert len(log_file(warehouse).read_text().splitlines()) == 3


def test_a_log_that_cannot_be_written_stops_nothing(
    warehouse: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_file(warehouse).mkdir()
    with logged_run(warehouse) as run:
        run.begin()
        run.note(rows=1)
    assert capsys.readouterr().err.count("cannot be written") == 1
    assert json.dumps(read_runs(warehouse)) == "[]"
