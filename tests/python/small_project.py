"""A clone in miniature, which `make build` builds in seconds: real scripts, two models, a demo.

The fixtures `built` and `project` are in conftest.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb

from publish import current_release

ROOT = Path(__file__).resolve().parents[2]

PROJECT = """
name: parley
version: 0.1.0
profile: parley
seed-paths: [seeds/reference]
models:
  parley:
    +materialized: table
    marts:
      +schema: marts
vars:
  as_of: ''
  demo_as_of: '2026-07-05T18:00:00Z'
"""
CONTRACT = """
version: 2
models:
  - name: conformed_conversations
    config: {meta: {side: conversation}}
    columns:
      - name: conversation_id
        data_type: string
        config: {meta: {role: primary_key}}
        data_tests: [unique]
"""
SOURCES = """
version: 2
sources:
  - name: raw
    schema: raw
    tables:
      - name: conversations
"""
TESTS = """
version: 2
models:
  - name: fct_conversations
    columns:
      - name: conversation_id
        data_tests:
          - unique
          - not_null:
              name: a_warning
              config: {severity: warn}
"""
MODEL = "select conversation_id, {instant} as as_of from {{{{ source('raw', 'conversations') }}}}\n"
FROZEN = MODEL.format(instant="timestamp '2026-01-01 00:00:00'")
AS_OF = MODEL.format(instant="{{ as_of() }}")


class Project:
    """A clone in miniature: this repository's scripts, macros and profile, one model, a demo."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text, encoding="utf-8")

    def land(self, name: str, *ids: str) -> None:
        rows = "".join(f"{row},web\n" for row in ids)
        self.write(f"seeds/demo/conversations/{name}.csv", f"conversation_id,channel\n{rows}")

    def environment(self, **settings: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PARLEY_", "DBT_"))}
        return kept | {f"PARLEY_{name}": value for name, value in settings.items()}

    def build(self, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "scripts/build.py", *options],
            cwd=self.root,
            env=self.environment(**settings),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    @property
    def published(self) -> Path:
        return self.root / "published"

    @property
    def current(self) -> str | None:
        return current_release(self.published)

    def rows(self) -> list[tuple[object, ...]]:
        file = str(self.published / "current" / "parley.duckdb")
        with duckdb.connect(file, read_only=True) as con:
            return con.execute(
                "select conversation_id from marts.fct_conversations order by all"
            ).fetchall()


def create(root: Path) -> Project:
    """Write the project's files."""
    project = Project(root)
    ignored = shutil.ignore_patterns("__pycache__", ".*_cache", "generate*")
    shutil.copytree(ROOT / "scripts", project.root / "scripts", ignore=ignored)
    shutil.copytree(ROOT / "macros" / "project", project.root / "macros" / "project")
    shutil.copy(ROOT / "profiles.yml", project.root)
    project.write("dbt_project.yml", PROJECT)
    project.write("models/conformed/_conformed__models.yml", CONTRACT)
    project.write("models/conformed/conformed_conversations.sql", AS_OF)
    project.write("models/sources.yml", SOURCES)
    project.write("models/marts/models.yml", TESTS)
    project.write("models/marts/fct_conversations.sql", AS_OF)
    project.land("first", "c1", "c2")
    return project
