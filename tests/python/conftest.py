"""The small project of small_project.py, built once; each test gets a copy."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from small_project import Project, create


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that was built once; tests work on copies."""
    project = create(tmp_path_factory.mktemp("built") / "clone")
    outcome = project.build()
    assert outcome.returncode == 0, outcome.stderr
    assert "dbt: 3 data tests, 2 models passed" in outcome.stdout, outcome.stdout
    assert re.search(r"Published 1 table with 2 rows .*current is release 2\S+\.$", outcome.stdout)
    assert project.rows() == [("c1",), ("c2",)]
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    """A copy of the built project; file times are kept, as in a clone nobody touched."""
    shutil.copytree(built.root, tmp_path / "clone", symlinks=True)
    return Project(tmp_path / "clone")


# Suites that take minutes come after everything else, the longest of them first, so that two
# workers end at nearly the same time.
SLOW = (
    "test_incremental",
    "test_kills",
    "test_faults",
    "test_bench",
    "test_ducklake",
    "test_metricflow",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run fast suites first, so that a simple mistake is told in minutes."""
    order = {f"{name}.py": number for number, name in enumerate(SLOW, start=1)}
    items.sort(key=lambda item: order.get(item.path.name, 0))
