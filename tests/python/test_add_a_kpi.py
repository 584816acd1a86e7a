"""A KPI is one entry in one YAML file; nothing else is edited.

In a copy of the project a metric is added to the file of the episodes. The build then publishes it
in kpi_values and kpi_catalog, and `mf query` knows it.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from harness import (
    ROOT,
    SALT,
    BuildError,
    Warehouse,
    build_anew,
    build_settings,
    environment,
    scratch_directory,
    semantic_manifest,
    write_landing,
)

AS_OF = datetime(2026, 6, 30)
AT = datetime(2026, 5, 4, 10)
METRIC = """
  - name: contained_share
    label: 'Contained share'
    description: 'Contained episodes / eligible episodes past their decision.'
    type: ratio
    type_params:
      numerator: contained_episodes
      denominator: decided_eligible_episodes
    config:
      meta:
        title: 'Contained share'
        title_zh: '自助闭环占比'
        formula: 'contained episodes / eligible episodes'
        unit: rate
        direction: up
        source: [S1]
        owner: service
        maturity: 'as-of is past the decision of the house policy'
        requires: 'conversations with a bot'
        pending: pending_eligible_episodes
"""
PARTS = ["models", "macros", "scripts", "seeds/reference", "dbt_project.yml", "profiles.yml"]


def copy_of_the_project(name: str) -> Path:
    """What dbt needs of this project, without the demo and without what was built."""
    copy = scratch_directory(name)
    ignored = shutil.ignore_patterns("__pycache__")
    for part in [*PARTS, "selectors.yml", "tests/data"]:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, copy / part, ignore=ignored)
        elif source.exists():
            shutil.copy(source, copy / part)
    return copy


@pytest.fixture(scope="module")
def project() -> Path:
    """The copy with the metric added."""
    copy = copy_of_the_project("project")
    with (copy / "models" / "metrics" / "episodes.yml").open("a", encoding="utf-8") as stream:
        stream.write(METRIC)
    return copy


@pytest.fixture(scope="module")
def landing() -> Path:
    """Two answered questions and an unanswered one in one week."""
    chats = [
        {"conversation_id": f"c{n}", "platform": "x", "channel": "web", "opened_at": AT}
        | {"bot_id": "b"}
        for n in range(3)
    ]
    asked = [
        {"message_id": f"a{n}", "conversation_id": f"c{n}", "sent_at": AT, "sender_type": "contact"}
        for n in range(3)
    ]
    later = AT + timedelta(seconds=5)
    answered = [
        {"message_id": f"b{n}", "conversation_id": f"c{n}", "sent_at": later, "sender_type": "bot"}
        for n in range(2)
    ]
    tables = {"conversations": chats, "messages": asked + answered}
    return write_landing(scratch_directory("landing"), tables)


@pytest.fixture(scope="module")
def warehouse(project: Path, landing: Path) -> Warehouse:
    return build_anew(landing, AS_OF, project=project)


def test_it_has_values_under_every_dimension(warehouse: Warehouse) -> None:
    rows = warehouse.kpis("contained_share")
    total = rows["contained_share", "week", date(2026, 5, 4), "all", "all"]
    assert (total["numerator"], total["denominator"], total["value"]) == (2, 3, 2 / 3)
    assert (total["pending"], total["is_final"]) == (0, True)
    assert 0 < total["ci_low"] < 2 / 3 < total["ci_high"] < 1
    assert {key[1] for key in rows} == {"day", "week", "month"}
    assert {key[3] for key in rows} == {key[3] for key in warehouse.kpis("containment_rate")}


def test_it_stands_in_the_catalogue(warehouse: Warehouse) -> None:
    catalog = {row["kpi"]: row for row in warehouse.rows("kpi_catalog")}
    row = catalog["contained_share"]
    assert (row["title_zh"], row["unit"], row["direction"]) == ("自助闭环占比", "rate", "up")
    assert row["availability"] == "available"


def test_mf_query_knows_it(
    project: Path, landing: Path, warehouse: Warehouse, tmp_path: Path
) -> None:
    """The command itself, as an analyst runs it in the project."""
    (project / "target").mkdir(exist_ok=True)
    manifest = project / "target" / "semantic_manifest.json"
    manifest.write_text(semantic_manifest(project), encoding="utf-8")
    table = tmp_path / "result.csv"
    command = ["query", "--metrics", "contained_share", "--group-by", "metric_time__week"]
    outcome = subprocess.run(
        [str(Path(sys.executable).with_name("mf")), *command, "--csv", str(table)],
        cwd=project,
        env=environment(**build_settings(landing, warehouse.path.parent, AS_OF, SALT)),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    with table.open(newline="", encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream)
    assert row["metric_time__week"].startswith("2026-05-04")
    assert float(row["contained_share"]) == pytest.approx(2 / 3)


def test_a_type_that_kpi_values_does_not_know_is_refused(landing: Path) -> None:
    """By name, with what to write instead."""
    copy = copy_of_the_project("derived")
    with (copy / "models" / "metrics" / "episodes.yml").open("a", encoding="utf-8") as stream:
        parts = (
            "      numerator: contained_episodes\n      denominator: decided_eligible_episodes\n"
        )
        derived = "      expr: handle_rate * 2\n      metrics: [{name: handle_rate}]\n"
        stream.write(METRIC.replace("type: ratio", "type: derived").replace(parts, derived))
    with pytest.raises(BuildError, match=r"contained_share has type 'derived'.* simple or ratio"):
        build_anew(landing, AS_OF, project=copy)
