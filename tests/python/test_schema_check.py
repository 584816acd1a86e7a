"""dbt's own JSON schemas accept this project's YAML.

dbt checks YAML against its schemas for four warehouses and DuckDB is not among them. Here it is
made one of them, and the project is parsed from scratch; what dbt would tell a user of those
warehouses fails the test.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from dbt.cli.main import dbtRunner
from dbt.jsonschemas import jsonschemas

ROOT = Path(__file__).resolve().parents[2]


def complaints(project: Path, target: Path, patch: pytest.MonkeyPatch) -> tuple[list[str], int]:
    """What dbt complains about while parsing, and the number of YAML files it checked."""
    told: list[str] = []
    checked: set[str] = set()
    validate = jsonschemas.jsonschema_validate

    def counted(schema: dict[str, Any], json: dict[str, Any], file_path: str) -> None:
        checked.add(file_path)
        validate(schema=schema, json=json, file_path=file_path)

    def listen(event: Any) -> None:
        if "Deprecat" in event.info.name or event.info.level == "warn":
            told.append(f"{event.info.name}: {event.info.msg}")

    supported = jsonschemas._JSONSCHEMA_SUPPORTED_ADAPTERS | {"duckdb"}
    patch.setattr(jsonschemas, "_JSONSCHEMA_SUPPORTED_ADAPTERS", supported)
    patch.setattr(jsonschemas, "jsonschema_validate", counted)
    patch.setenv("PARLEY_WAREHOUSE", ":memory:")
    patch.delenv("PARLEY_LANDING", raising=False)
    arguments = ["--log-level", "none", "--log-path", str(target), "--show-all-deprecations"]
    # As warnings, so that all are told and not only the first.
    arguments += ["--warn-error-options", '{"error": [], "warn": []}', "--no-partial-parse"]
    arguments += ["parse", "--target-path", str(target), "--no-write-json"]
    arguments += ["--project-dir", str(project), "--profiles-dir", str(project)]
    outcome = dbtRunner(callbacks=[listen]).invoke(arguments)
    assert outcome.success, outcome.exception
    return told, len(checked)


def test_dbt_accepts_every_yaml_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    told, checked = complaints(ROOT, tmp_path, monkeypatch)
    assert told == []
    folders = ("models", "macros", "seeds", "tests/data")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.yml")]
    assert checked == len(files) + 1  # and dbt_project.yml


def test_the_check_sees_a_misplaced_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    (project / "models").mkdir(parents=True)
    shutil.copy(ROOT / "profiles.yml", project)
    shutil.copytree(ROOT / "scripts", project / "scripts")
    (project / "dbt_project.yml").write_text("name: parley\nprofile: parley\n")
    (project / "models" / "one.sql").write_text("select 1 as id")
    (project / "models" / "one.yml").write_text("models: [{name: one, meta: {grain: row}}]")
    monkeypatch.chdir(project)
    told, checked = complaints(project, tmp_path / "target", monkeypatch)
    assert checked == 2
    assert any("PropertyMovedToConfig" in text and "meta" in text for text in told), told
