"""Data tests of a run on what is new find the faults in what it wrote, or left pointing nowhere."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from harness import ROOT, SALT, build_settings, environment, scratch_directory, write_table

START = datetime(2026, 3, 1, 9)

# Faults of a model that show in rows with these ids only, which come with the second part.
FAULTS = {
    "    episodes.episode_id,\n": (
        "    case when rated.feedback_id = 'lost' then 'nowhere' else episodes.episode_id end"
        " as episode_id,\n"
    ),
    "    rated.feedback_id,\n    episodes": (
        "    case when rated.feedback_id = 'twice' then 'old' else rated.feedback_id end"
        " as feedback_id,\n    episodes"
    ),
    "    rated.category,\n": (
        "    case when rated.feedback_id = 'private' then 'jane@example.com'"
        " else rated.category end as category,\n"
    ),
}
# The tests that find them; a test of all marts does not run when another has failed before.
PERSONAL = {"no_personal_data_is_published"}
WRONG = {
    "relationships_fct_feedback_episode_id__episode_id__ref_fct_episodes_",
    "unique_fct_feedback_feedback_id",
}


@pytest.fixture(scope="module")
def project() -> Path:
    """This project with the faults."""
    root = scratch_directory("project")
    for name in ("models", "macros", "seeds", "scripts", "tests/data"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dbt_project.yml", "profiles.yml", "requirements.lock"):
        shutil.copy(ROOT / name, root)
    model = root / "models" / "marts" / "core" / "fct_feedback.sql"
    sql = model.read_text(encoding="utf-8")
    for right, wrong in reversed(FAULTS.items()):
        assert sql.count(right) == 1, right
        sql = sql.replace(right, wrong)
    model.write_text(sql, encoding="utf-8")
    return root


def land(landing: Path, number: int, conversations: list[str], ratings: list[str]) -> None:
    """A part: conversations of a question and an answer, and ratings of the last of them."""
    moment = START + timedelta(days=number)
    name = f"part{number}"
    write_table(landing, "conversations", [
        {"conversation_id": one, "platform": "x", "channel": "web", "opened_at": START,
         "bot_id": "b"} for one in conversations
    ], name)  # fmt: skip
    write_table(landing, "messages", [
        {"message_id": f"{one}{number}{sender}", "conversation_id": one, "sender_type": sender,
         "sent_at": moment + timedelta(minutes=minute), "kind": "answer" if minute else None}
        for one in conversations for minute, sender in enumerate(["contact", "bot"])
    ], name)  # fmt: skip
    write_table(landing, "feedback", [
        {"feedback_id": one, "conversation_id": conversations[-1], "kind": "thumbs", "score": 1,
         "scale_max": 1, "submitted_at": moment + timedelta(hours=1)} for one in ratings
    ], name)  # fmt: skip


def build(project: Path, landing: Path, home: Path, as_of: datetime) -> set[str]:
    """Run `dbt build`; return the names of the data tests that failed."""
    target = home / "target"
    command = [sys.executable, "-c", "from dbt.cli.main import cli; cli()", "--quiet", "build"]
    options = ["--exclude-resource-type", "unit_test", "--target-path", str(target)]
    subprocess.run(
        [*command, *options, "--log-path", str(home)],
        cwd=project,
        env=environment(**build_settings(landing, home, as_of, SALT)),
        check=False,
        capture_output=True,
        timeout=300,
    )
    results = json.loads((target / "run_results.json").read_text(encoding="utf-8"))["results"]
    broken = [one["unique_id"] for one in results if one["status"] in ("error", "runtime error")]
    assert not broken
    return {one["unique_id"].split(".")[2] for one in results if one["status"] == "fail"}


def mode(home: Path) -> str:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        row = con.execute("select mode from touched.runs").fetchone()
    assert row is not None
    return str(row[0])


def test_faults_in_what_a_run_wrote_are_found(project: Path) -> None:
    landing, home = scratch_directory("landing"), scratch_directory("home")
    land(landing, 0, ["a", "b", "c"], ["old"])
    assert build(project, landing, home, START + timedelta(days=1)) == set()
    other_landing, other_home = scratch_directory("landing"), scratch_directory("home")
    shutil.copytree(landing, other_landing, dirs_exist_ok=True)
    shutil.copytree(home, other_home, dirs_exist_ok=True)

    land(landing, 1, ["b"], ["private"])
    assert build(project, landing, home, START + timedelta(days=2)) == PERSONAL
    assert mode(home) == "touched"
    land(landing, 2, ["b"], ["lost", "twice"])
    assert build(project, landing, home, START + timedelta(days=3)) == WRONG
    assert mode(home) == "full"  # which looks at all rows

    # A turn of a conversation nothing happens to, in an episode that goes with its conversation.
    with duckdb.connect(str(other_home / "warehouse.duckdb")) as con:
        con.execute(
            "insert into marts.fct_episodes select * replace ('gone' as episode_id) "
            "from marts.fct_episodes where conversation_id = 'b'"
        )
        con.execute("update marts.fct_turns set episode_id = 'gone' where conversation_id = 'a'")
    land(other_landing, 1, ["b"], ["lost", "twice"])
    found = build(project, other_landing, other_home, START + timedelta(days=2))
    assert found == WRONG | {"relationships_fct_turns_episode_id__episode_id__ref_fct_episodes_"}
    assert mode(other_home) == "touched"
