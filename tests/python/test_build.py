"""`make build` from end to end on a project of two models, its lock, and the installation."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

import build
import install
from locking import LockHeldError, only_one
from publish import releases_in
from small_project import FROZEN, ROOT, Project


def test_nothing_changed_nothing_is_built(project: Project) -> None:
    former = project.current
    outcome = project.build()
    assert outcome.returncode == 0, outcome.stderr
    assert f"Nothing has changed since release {former}" in outcome.stdout
    assert project.current == former
    assert len(releases_in(project.published)) == 1


def test_a_build_that_looks_at_the_clock_is_never_spared(project: Project) -> None:
    """As-of is the clock's as soon as the demo stands in a warehouse of another name."""
    elsewhere = project.root / "elsewhere" / "demo.duckdb"
    outcome = project.build(WAREHOUSE=str(elsewhere))
    assert "Published" in outcome.stdout, outcome.stderr
    assert sorted(path.name for path in elsewhere.parent.iterdir()) == [
        "demo.duckdb",
        "demo.duckdb.lock",
        "demo.duckdb.runs.jsonl",
        "salt",
    ]


def test_the_fingerprint_changes_with_every_input(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root)
    monkeypatch.setattr(build, "ROOT", project.root)
    settings = build.Settings.from_environment({})
    seen = [build.fingerprint(settings, "loaded")]
    assert build.fingerprint(settings, "loaded") == seen[0]

    def is_new(loaded: str = "loaded") -> bool:
        seen.append(build.fingerprint(settings, loaded))
        return seen[-1] not in seen[:-1]

    assert is_new("more was loaded")
    for path in ("models/marts/fct_conversations.sql", "dbt_project.yml", "warehouse/salt"):
        with (project.root / path).open("a") as stream:
            stream.write("#")
        assert is_new(), path
    for name in ("PARLEY_SALT", "PARLEY_AS_OF", "DBT_TARGET"):
        monkeypatch.setenv(name, "x")
        assert is_new(), name
    monkeypatch.setattr(build, "version", lambda package: "99")
    assert is_new()


def test_a_release_is_current_only_if_the_link_leads_to_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root)
    settings = build.Settings.from_environment({})
    inputs = json.loads(settings.state.read_text())["inputs"]
    assert build.is_current(settings, inputs)
    assert not build.is_current(settings, "others")
    other = project.published / "releases" / "20300101T000000Z-00000000"
    shutil.copytree(project.published / "current", other)
    link = project.published / "current"
    link.unlink()
    assert not build.is_current(settings, inputs)
    link.symlink_to(other)
    assert not build.is_current(settings, inputs)
    settings.state.write_text("{}")
    assert not build.is_current(settings, inputs)


def test_failures_are_named_and_nothing_is_published(project: Project) -> None:
    former = project.current
    project.land("second", "c1", "c1")
    project.write("models/conformed/conformed_conversations.sql", "select absent from nowhere")
    outcome = project.build()
    assert outcome.returncode == 1
    lines = outcome.stderr.split("Failed:\n")[1].splitlines()
    assert len(lines) == 4, lines
    assert re.match("  model conformed_conversations: .*nowhere", lines[0])
    assert lines[1] == (
        "  data test unique_fct_conversations_conversation_id: "
        "Got 1 result, configured to fail if != 0"
    )
    assert lines[2] == "  1 of what depends on these was not run"
    assert lines[3].startswith(f"Not published; release {former} stays current.")
    assert project.current == former
    assert len(releases_in(project.published)) == 1
    assert project.rows() == [("c1",), ("c2",)]
    # Putting everything back must not pass for "nothing has changed".
    assert not (project.root / "warehouse" / "demo.duckdb.build.json").exists()


def test_an_unreadable_project_is_named(project: Project) -> None:
    former = project.current
    project.write("models/marts/fct_conversations.sql", "select {{ absent( }}")
    outcome = project.build()
    assert outcome.returncode == 1
    assert "dbt could not start the build:" in outcome.stderr
    assert "fct_conversations" in outcome.stderr
    assert project.current == former


def test_warnings_are_told_and_former_tables_left_out(project: Project) -> None:
    project.write("models/marts/fct_conversations.sql", FROZEN + " union all select null, null")
    with duckdb.connect(str(project.root / "warehouse" / "demo.duckdb")) as con:
        con.execute("create table marts.former as select 1 as stale")
    outcome = project.build()
    assert outcome.returncode == 0, outcome.stderr
    assert "  data test a_warning: Got 1 result" in outcome.stdout
    assert "Published 1 table with 3 rows" in outcome.stdout


def test_a_refused_landing_is_one_sentence(project: Project) -> None:
    outcome = project.build(LANDING="absent")
    assert outcome.returncode == 1
    assert outcome.stderr.strip() == "The landing absent is not a directory."


def test_a_second_build_names_the_first(project: Project) -> None:
    former = project.current
    with only_one(project.root / "warehouse" / "demo.duckdb.lock"):
        outcome = project.build()
    assert outcome.returncode == 1
    assert re.fullmatch(
        rf"Another build of warehouse/demo\.duckdb is running \(process {os.getpid()}, since "
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\); let it finish, or stop it, and build again\.\n",
        outcome.stderr,
    )
    assert project.current == former
    assert project.build().returncode == 0


def test_two_builds_at_once_one_builds(project: Project) -> None:
    project.land("second", "c3")
    command = [sys.executable, "scripts/build.py"]
    builds = [
        subprocess.Popen(
            command,
            cwd=project.root,
            env=project.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outcomes = [build.communicate(timeout=120) for build in builds]
    assert sorted(build.returncode for build in builds) == [0, 1], outcomes
    assert sum("Another build of" in stderr for _, stderr in outcomes) == 1
    assert project.rows() == [("c1",), ("c2",), ("c3",)]


def test_a_warehouse_open_elsewhere_is_said(project: Project) -> None:
    hold = (
        "import duckdb, sys; con = duckdb.connect('warehouse/demo.duckdb'); "
        "print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold],
        cwd=project.root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        outcome = project.build()
        holder.communicate()
    assert outcome.returncode == 1
    assert "is in use by another process" in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1


def test_keep_must_be_a_number(project: Project) -> None:
    outcome = project.build(KEEP="none")
    assert (outcome.returncode, outcome.stderr[:4]) == (1, "KEEP")


def test_the_warehouse_is_private_and_the_note_beside_it_too(project: Project) -> None:
    assert (project.root / "warehouse").stat().st_mode & 0o077 == 0
    note = project.root / "warehouse" / "demo.duckdb.build.json"
    assert note.stat().st_mode & 0o077 == 0
    assert set(json.loads(note.read_text())) == {"files", "inputs", "release"}


# --------------------------------------------------------------------------------------- lock


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "some" / "lock"
    hold = (
        "import sys; from pathlib import Path; from locking import only_one\n"
        "with only_one(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(path)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "scripts")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockHeldError, match=rf"^process {holder.pid}, since "), only_one(path):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with only_one(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


# ------------------------------------------------------------------------------- installation


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "requirements.lock").write_text(
        "attrs==1 \\\n    --hash=sha256:aa\n"
        "uv==2 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
        "uvloop==3 \\\n    --hash=sha256:dd\n"
    )
    return tmp_path


def test_installation_is_skipped_until_lock_python_or_place_change(
    clone: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert not install.is_installed(clone)
    (clone / ".venv").mkdir()
    (clone / ".venv" / "installed").write_text(install.stamp_text(clone))
    assert install.is_installed(clone)
    (clone / "requirements.lock").touch()
    assert install.is_installed(clone)
    moved = shutil.copytree(clone, tmp_path_factory.mktemp("moved") / "clone")
    assert not install.is_installed(moved)
    (clone / "requirements.lock").write_text("attrs==2")
    assert not install.is_installed(clone)


def test_an_environment_behind_a_link_is_left_alone(
    clone: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "installed").write_text("of another clone")
    (clone / ".venv").symlink_to(other)
    with pytest.raises(install.InstallError, match="is a link"):
        install.install(clone, install.MAIN)
    assert (other / "installed").read_text() == "of another clone"


def test_uv_is_taken_from_the_lock_with_its_hashes(clone: Path) -> None:
    assert install.locked(clone, "uv") == (
        "uv==2 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
    )
    with pytest.raises(install.InstallError, match="make lock"):
        install.locked(clone, "absent")


def test_settings_of_pip_reach_uv() -> None:
    printed = (
        "global.index-url='https://one.example/simple'\n"
        "global.extra-index-url='https://two.example/simple\\nhttps://three.example/simple'\n"
        "global.unknown='x'\n"
        "install.index-url='https://four.example/simple'\n"
        ":env:.find-links='/a /b'\n"
        ":env:.index-url='https://five.example/simple'\n"
    )
    assert install.uv_settings(printed) == {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_DEFAULT_INDEX": "https://five.example/simple",
        "UV_INDEX": "https://two.example/simple https://three.example/simple",
        "UV_FIND_LINKS": "/a,/b",
    }


def test_the_lock_is_hash_checked_and_names_no_host() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^[a-z0-9][^=\n]*==[^\\\n]+\\\n    --hash=sha256:", text, re.MULTILINE)
    assert len(pins) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)) > 50
    assert "://" not in text
    wanted = re.findall(r"^([a-z0-9-]+)", (ROOT / "requirements.in").read_text(), re.MULTILINE)
    assert all(f"\n{name}==" in text for name in wanted)


# --------------------------------------------------------------------------------------- make


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        ([], {}, ""),
        (["SALT=a$b 'c'"], {"PARLEY_SALT": "other"}, "a$b 'c'"),
        ([], {"PARLEY_SALT": "other"}, "other"),
        ([], {"SALT": "a stray one"}, ""),
    ],
)
def test_settings_of_make_reach_the_scripts_to_the_letter(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], expected: str
) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    show = tmp_path / "show"
    show.write_text('#!/bin/sh\nprintf %s "$PARLEY_SALT"\n')
    show.chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PARLEY_", "MAKE", "MFLAGS"))}
    outcome = subprocess.run(
        ["make", "--silent", "install", f"PYTHON={show}", *arguments],
        cwd=tmp_path,
        env=kept | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert outcome.stdout == expected
