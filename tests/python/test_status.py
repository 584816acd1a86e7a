"""`make status`: what it says and its exit code, with nothing built, while building, on damage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

import status
from build import Settings
from harness import CONFORMANCE, build
from locking import only_one
from publish import publish
from run_log import Run, log_file, logged_run, read_runs
from small_project import Project


class Clone:
    """The status of a project's warehouse, told in this process."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.warehouse = project.root / "warehouse" / "demo.duckdb"
        self.settings = Settings(None, self.warehouse, project.published, 3)

    def status(self, hours_later: float = 0) -> dict[str, Any]:
        """The status so many hours after the last run ended, whenever that was."""
        runs = read_runs(self.warehouse)
        ended = datetime.fromisoformat(runs[-1]["ended_at"]) if runs else datetime.now(UTC)
        now = ended + timedelta(hours=hours_later)
        return status.collect(self.settings, status.FRESH_HOURS, now)

    def reasons(self, hours_later: float = 0) -> str:
        told = self.status(hours_later)
        assert told["healthy"] == (not told["reasons"])
        return " ".join(told["reasons"])


@pytest.fixture
def clone(project: Project) -> Clone:
    return Clone(project)


def run_status(project: Project, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/status.py", *options],
        cwd=project.root,
        env=project.environment() | {"COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_good_release_is_said_on_one_screen_with_exit_code_0(clone: Clone) -> None:
    outcome = run_status(clone.project)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert outcome.stdout.startswith("Published data is whole and fresh.")
    assert f"Release {clone.project.current}, " in outcome.stdout
    assert "1 table, 2 rows" in outcome.stdout
    assert len(outcome.stdout.splitlines()) < 40
    told = json.loads(run_status(clone.project, "--json").stdout)
    assert told["healthy"] is True
    assert told["warehouse"]["sources"]["conversations"]["rows"] == 2
    assert told["runs"][-1]["outcome"] == "ok"


def test_nothing_built_yet(clone: Clone, tmp_path: Path) -> None:
    clone.settings = Settings(None, tmp_path / "none" / "w.duckdb", tmp_path / "none" / "p", 3)
    told = clone.status()
    assert told["reasons"] == [
        "Nothing is published yet; make build publishes.",
        "No run of make build is recorded for this warehouse.",
    ]
    assert told["warehouse"]["state"] == "absent"
    assert not (tmp_path / "none").exists()


def test_fresh_is_a_success_at_most_26_hours_ago(clone: Clone) -> None:
    assert clone.reasons(25.9) == ""
    assert "The last run ended 26 hours ago; more than 26 is not fresh." in clone.reasons(26.1)


def test_the_last_run_decides(clone: Clone) -> None:
    failed = Run(clone.warehouse)
    with failed.step("load"):
        pass
    failed.end(OSError(28, "no space", "some/file"))
    reasons = clone.reasons()
    assert "failed during load: some/file: no space." in reasons
    with logged_run(clone.warehouse) as run:
        run.note(outcome="unchanged", release=clone.project.current)
    assert clone.reasons() == ""
    with logged_run(clone.warehouse) as run:
        run.note(release="20200101T000000Z-00000000")
    assert f"current is release {clone.project.current}, and not 2020" in clone.reasons()


def test_why_a_run_computed_all_rows_is_said(clone: Clone) -> None:
    with logged_run(clone.warehouse) as run:
        run.note(release=clone.project.current, built="all rows, since intents landed")
    assert clone.status()["runs"][-1]["built"] == "all rows, since intents landed"
    assert "all rows, since intents landed" in run_status(clone.project).stdout


def test_a_killed_run_is_said(clone: Clone) -> None:
    killed = Run(clone.warehouse)
    killed.begin()
    killed.note(step="dbt")
    told = clone.status()
    assert "was killed during dbt." in told["reasons"][0]
    assert told["runs"][-1]["outcome"] == "killed"
    assert len(read_runs(clone.warehouse)) == 1


def test_while_a_build_runs_the_last_run_answers_for_the_sources(clone: Clone) -> None:
    hold = (
        "import sys, duckdb; from pathlib import Path; from locking import only_one\n"
        "from run_log import logged_run\n"
        "path = Path(sys.argv[1])\n"
        "with only_one(path.with_name(path.name + '.lock')), logged_run(path) as run:\n"
        "    run.begin(); run.note(step='dbt')\n"
        "    con = duckdb.connect(str(path)); print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(clone.warehouse)],
        env=os.environ | {"PYTHONPATH": str(clone.project.root / "scripts")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        told = clone.status()
        screen = run_status(clone.project)
        holder.communicate()
    assert told["healthy"], told["reasons"]
    assert (told["running"]["pid"], told["running"]["step"]) == (holder.pid, "dbt")
    assert told["warehouse"]["state"] == "being written"
    assert told["warehouse"]["sources"]["conversations"]["rows"] == 2
    assert told["warehouse"]["sources_seen_at"]
    assert screen.returncode == 0
    assert f"A build is running: process {holder.pid}, since " in screen.stdout
    assert "in step dbt." in screen.stdout
    assert clone.status()["running"] is None


def test_looking_does_not_keep_a_build_from_its_lock(clone: Clone) -> None:
    lock = clone.warehouse.with_name("demo.duckdb.lock")
    lock.write_text(json.dumps({"pid": 2**22 - 1, "since": "2026-01-01T00:00:00"}))
    assert clone.status()["running"] is None
    with only_one(lock):
        assert clone.status()["running"]["pid"] == os.getpid()


@pytest.mark.parametrize("damage", ["missing", "cut", "scribbled", "dangling", "directory"])
def test_a_damaged_release_is_said(clone: Clone, damage: str) -> None:
    link = clone.project.published / "current"
    release = link.resolve()
    database = release / "parley.duckdb"
    database.chmod(0o644)
    if damage == "missing":
        (release / "marts" / "fct_conversations.parquet").unlink()
    elif damage == "cut":
        os.truncate(database, 20_000)
    elif damage == "scribbled":
        with database.open("r+b") as stream:
            stream.seek(13_000)
            stream.write(os.urandom(2000))
    elif damage == "dangling":
        release.rename(release.with_name("20200101T000000Z-00000000"))
    else:
        link.unlink()
        link.mkdir()
    assert "current leads to is damaged" in clone.reasons()
    outcome = run_status(clone.project)
    assert outcome.returncode == 1
    assert "Traceback" not in outcome.stderr
    assert "is damaged" in outcome.stdout


def test_damaged_state_beside_the_warehouse(clone: Clone) -> None:
    os.truncate(clone.warehouse, 20_000)
    assert "cannot be opened; make build sets it aside." in clone.reasons()
    clone.warehouse.with_name("demo.duckdb.lock").write_text("\0")
    clone.warehouse.with_name("demo.duckdb.run.json").write_text("{")
    log_file(clone.warehouse).write_bytes(b"\xff\xfe[]\n{}\n")
    told = clone.status()
    assert "No run of make build is recorded for this warehouse." in told["reasons"]
    assert run_status(clone.project).returncode == 1
    (clone.warehouse.with_name("demo.duckdb.damaged-20260101T000000Z")).touch()
    assert "Set aside as damaged: demo.duckdb.damaged-2026" in run_status(clone.project).stdout


def test_rejected_pending_and_fresh_of_the_real_marts(tmp_path: Path) -> None:
    """The dirty conformance case, seen while some outcomes are still pending."""
    built = build(CONFORMANCE / "case12" / "landing", datetime(2026, 4, 20))
    publish(built.path, tmp_path / "published")
    told = status.published_status(tmp_path / "published", datetime.now(UTC))
    assert told["as_of"] == "2026-04-20T00:00:00Z"
    with duckdb.connect(str(built.path), read_only=True) as con:
        rejected = con.execute("select sum(rejected) from marts.reconciliation").fetchall()
        pending = con.execute(
            "select sum(pending) from marts.kpi_values where grain = 'month' "
            "and dimension = 'all' and kpi = 'resolution_rate'"
        ).fetchall()
        sources = status.sources_in(con)
        latest = con.execute("select max(sent_at) from conformed.messages").fetchall()
        loaded = con.execute(
            "select max(loaded_at) from raw._loads where table_name = 'messages'"
        ).fetchall()
    assert sum(entry["rows"] for entry in told["rejected"]) == rejected[0][0] > 0
    assert all(entry["reason"] for entry in told["rejected"])
    assert {kpi["kpi"]: kpi["members"] for kpi in told["pending"]["kpis"]}[
        "resolution_rate"
    ] == pending[0][0]
    assert told["pending"]["episodes"] == pending[0][0] > 0
    assert sources["messages"]["latest_at"] == f"{latest[0][0]:%Y-%m-%dT%H:%M:%SZ}"
    assert sources["messages"]["loaded_at"] == f"{loaded[0][0]:%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize("fresh", ["none", "0", "-1", "nan"])
def test_fresh_must_be_a_number_of_hours(
    fresh: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PARLEY_FRESH", fresh)
    assert status.main([]) == 1
    assert capsys.readouterr().err.startswith("FRESH must be the hours")
