"""The benchmark, run small: rows and fields are right. Times are never asserted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

import bench
from disk_need import Landed, build_needs, rows_of
from landing import LandedFile
from measured import CommandError, run_measured, size_of

ROOT = Path(__file__).resolve().parents[2]
SIZE = "20k"
RUNS = ("full", "no-op", "one day", "late day")
MEASURED = (
    "seconds", "cpu_seconds", "peak_memory_bytes", "largest_process_bytes", "peak_disk_bytes",
    "warehouse_bytes", "release_bytes",
)  # fmt: skip


# ---------------------------------------------------------------------------------- measuring


def test_a_command_and_its_children_are_measured(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time, pathlib\n"
        "own = bytearray(60_000_000)\n"
        "pathlib.Path('spill').mkdir()\n"
        "pathlib.Path('spill/one').write_bytes(bytes(5_000_000))\n"
        "pathlib.Path('place').write_bytes(bytes(3_000_000))\n"
        "child = 'import time; more = bytearray(90_000_000); time.sleep(1)'\n"
        "subprocess.run([sys.executable, '-c', child], check=True)\n"
        "pathlib.Path('spill/one').unlink()\n"
        "print('said')\n"
    )
    (tmp_path / "script.py").write_text(code)
    taken = run_measured(
        [sys.executable, tmp_path / "script.py"],
        environment=dict(os.environ),
        log=tmp_path / "log",
        spill=tmp_path / "spill",
        places=[tmp_path / "place", tmp_path / "never"],
        cwd=tmp_path,
    )
    assert taken.output == "said\n"
    assert 150_000_000 < taken.peak_memory_bytes < 400_000_000
    assert taken.largest_process_bytes > 90_000_000
    assert 5_000_000 <= taken.peak_spill_bytes < 5_100_000
    assert 8_000_000 <= taken.peak_disk_bytes < 8_200_000
    assert taken.seconds >= 1
    assert taken.cpu_seconds > 0


def test_a_file_that_is_linked_twice_counts_once(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "one").write_bytes(bytes(1_000_000))
    once = size_of(tmp_path)
    assert 1_000_000 <= once < 1_100_000
    os.link(tmp_path / "one", tmp_path / "deep" / "two")
    assert size_of(tmp_path) == once == size_of(tmp_path / "one")
    assert size_of(tmp_path / "none") == 0


def test_a_command_that_fails_is_told(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("print('a reason'); raise SystemExit(3)")
    with pytest.raises(CommandError, match=r"^script\.py failed \(3\):\na reason$"):
        run_measured(
            [sys.executable, tmp_path / "script.py"],
            environment=dict(os.environ),
            log=tmp_path / "log",
            spill=tmp_path / "spill",
        )


def test_seconds_of_models_added_up_and_on_the_wall(tmp_path: Path) -> None:
    def result(name: str, start: int, end: int) -> dict[str, Any]:
        at = "2026-01-01T00:00:{:02}.000000Z".format
        timing = [
            {"name": "compile", "started_at": at(start), "completed_at": at(start)},
            {"name": "execute", "started_at": at(start), "completed_at": at(end)},
        ]
        return {"unique_id": name, "execution_time": float(end - start), "timing": timing}

    results = [
        result("model.parley.one", 0, 10),
        result("model.parley.two", 4, 8),  # inside the first
        result("model.parley.three", 9, 12),  # overlaps it
        result("test.parley.four", 12, 20),
        result("model.parley.five", 30, 31),
    ]
    path = tmp_path / "run_results.json"
    path.write_text(json.dumps({"results": results}))
    assert bench.model_seconds(path) == {
        "model_seconds": 18.0,
        "model_wall_seconds": 13.0,
        "models": {"one": 10.0, "two": 4.0, "three": 3.0, "five": 1.0},
    }
    assert bench.model_seconds(tmp_path / "none.json")["models"] == {}


# --------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("size", ["1g", "k", "0k", "", "ten"])
def test_an_unknown_size(size: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--size", size, "--directory", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == (
        "SIZE must be one of 100k, 1m, 10m, 100m, or thousands such as 20k.\n"
    )


def test_a_disk_too_small_for_the_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000_000_000))
    assert bench.main(["--size", "100m", "--directory", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"The disk of {tmp_path / 'out'} has 10.0 GB free and about ")
    assert said.endswith("or name another disk with BENCH. Nothing was generated.\n")
    assert list((tmp_path / "out").iterdir()) == []


# ---------------------------------------------------------------------------------- one run


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a benchmark that ran, its data and warehouse kept."""
    out = tmp_path_factory.mktemp("bench")
    ran = subprocess.run(
        [sys.executable, "benchmarks/bench.py", "--size", SIZE, "--directory", out, "--keep"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Beside others" in ran.stdout
    return out


@pytest.fixture(scope="module")
def results(done: Path) -> dict[str, Any]:
    """Its results."""
    found: dict[str, Any] = json.loads((done / f"{SIZE}.json").read_text())
    return found


def test_raw_holds_what_was_generated(results: dict[str, Any]) -> None:
    generated = results["generated"]
    rows = Counter(generated["base"])
    assert rows["messages"] > 19_000
    runs = {run["run"]: run for run in results["runs"]}
    assert tuple(runs) == RUNS
    # Tables nothing landed in are empty.
    assert Counter(runs["full"]["raw_rows"]) == rows
    assert runs["no-op"]["raw_rows"] == runs["full"]["raw_rows"]
    for part, name in (("day", "one day"), ("late", "late day")):
        assert generated[part]["messages"] > 10
        rows += Counter(generated[part])
        assert Counter(runs[name]["raw_rows"]) == rows


def test_marts_hold_what_was_generated(results: dict[str, Any]) -> None:
    conversations = results["generated"]["base"]["conversations"]
    deals = results["generated"]["base"]["deals"]
    for run in results["runs"]:
        part = {"one day": "day", "late day": "late"}.get(run["run"])
        if part:
            conversations += results["generated"][part]["conversations"]
            deals += results["generated"][part].get("deals", 0)
        marts = run["marts_rows"]
        assert marts["fct_conversations"] == conversations
        assert marts["fct_deals"] == deals
        assert 0 < marts["fct_messages"] <= run["raw_rows"]["messages"]
    full, nothing, day, late = (run["marts_rows"] for run in results["runs"])
    assert nothing == full
    assert full["fct_messages"] < day["fct_messages"] < late["fct_messages"]
    assert full["kpi_values"] < day["kpi_values"]


def test_a_run_with_nothing_new_ran_nothing(results: dict[str, Any]) -> None:
    full, nothing, *others = results["runs"]
    assert (nothing["outcome"], nothing["dbt"], nothing["models"]) == ("unchanged", {}, {})
    assert (nothing["model_seconds"], nothing["model_wall_seconds"]) == (0, 0)
    assert set(nothing["steps"]) == {"load", "total"}
    for run in (full, *others):
        assert run["outcome"] == "ok"
        assert run["dbt"]["model"] == len(run["models"]) > 100
        assert run["dbt"]["failed"] == 0
        assert set(run["steps"]) == {"load", "quality", "dbt", "publish", "total"}


def test_fields_of_the_results(results: dict[str, Any]) -> None:
    assert set(results) == {
        "size", "measured_at", "machine", "memory_limit_bytes", "generated", "runs", "floor",
        "loading",
    }  # fmt: skip
    assert results["size"] == SIZE
    for run in results["runs"]:
        assert all(run[name] > 0 for name in MEASURED), run
        assert run["peak_spill_bytes"] >= 0
        assert run["model_wall_seconds"] <= run["model_seconds"]
    full = results["runs"][0]
    assert results["floor"]["scan"]["rows"] == sum(full["raw_rows"].values())
    assert results["floor"]["write"]["rows"] == sum(full["marts_rows"].values())
    assert results["floor"]["write"]["bytes"] > 0
    messages = results["runs"][-1]["raw_rows"]["messages"]
    assert [load["format"] for load in results["loading"]] == ["parquet", "csv"]
    for load in results["loading"]:
        assert load["messages"] == load["plain_messages"] == messages
        assert load["seconds"] > 0
        assert load["plain_seconds"] > 0


def test_what_people_read(done: Path, results: dict[str, Any]) -> None:
    text = (done / f"{SIZE}.md").read_text()
    assert text.startswith(f"### {SIZE}\n")
    for name in RUNS:
        assert f"\n| {name} | " in text
    assert "Fivetran's Intercom package, 1.0M conversations | 93.0 | 10.3 | 9.0 | 4.70 GB" in text
    for table in text.split("\n\n"):
        if table.startswith("|"):
            assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1
    chart = ElementTree.parse(done / f"{SIZE}.svg")
    words = [element.text for element in chart.iter("{http://www.w3.org/2000/svg}text")]
    assert {*RUNS, "floor"} <= set(words)
    plans = (done / f"{SIZE}.plans.txt").read_text().split("\n# ")
    heaviest = list(results["runs"][0]["models"])[:3]
    assert [plan.removeprefix("# ").split(":")[0] for plan in plans] == heaviest
    assert all("depth and operator" in plan for plan in plans)


def test_what_was_measured_before_a_run_failed_is_reported(
    results: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured = {run["run"]: run for run in results["runs"]}

    def build(self: bench.Bench, name: str, as_of: object) -> bench.Record:
        if name == "late day":
            raise bench.BenchError("build.py failed (1):\na reason")
        return dict(measured[name])

    monkeypatch.setattr(bench.Bench, "build", build)
    monkeypatch.setattr(bench.Bench, "generate", lambda _: results["generated"])
    monkeypatch.setattr(bench.Bench, "floor", lambda _: results["floor"])
    monkeypatch.setattr(bench.Bench, "arrive", lambda *_: None)
    monkeypatch.setattr(bench.Bench, "run", lambda *_: SimpleNamespace(output="a plan"))

    assert bench.main(["--size", SIZE, "--directory", str(tmp_path), "--ignore-disk"]) == 1
    assert capsys.readouterr().err == "build.py failed (1):\na reason\n"
    found = json.loads((tmp_path / f"{SIZE}.json").read_text())
    assert [run["run"] for run in found["runs"]] == ["full", "no-op", "one day"]
    assert (found["floor"], found["loading"]) == (results["floor"], [])
    assert found["failed"] == "build.py failed (1):\na reason"
    text = (tmp_path / f"{SIZE}.md").read_text()
    assert "\n\nThe run after these failed, and what follows it was not measured.\n\n" in text
    assert (tmp_path / f"{SIZE}.plans.txt").read_text() == "a plan"


def test_the_estimate_of_disk_covers_a_real_build(done: Path, results: dict[str, Any]) -> None:
    full = results["runs"][0]
    new = Landed()
    for path in (done / SIZE / "landing").glob("*/*.parquet"):
        new += rows_of(LandedFile(path, path.name, "parquet", False))
    assert new.rows == sum(results["runs"][-1]["raw_rows"].values())
    needs = build_needs(
        Landed(),
        new,
        warehouse=done / "none.duckdb",
        published=done,
        spill=done,
        memory=results["memory_limit_bytes"],
    )
    warehouse, release, spill = (need.bytes for need in needs)
    assert full["warehouse_bytes"] <= warehouse <= 4 * full["warehouse_bytes"]
    assert full["release_bytes"] <= release <= 4 * full["release_bytes"]
    assert spill >= full["peak_spill_bytes"]
    assert full["peak_disk_bytes"] <= warehouse + release + spill
