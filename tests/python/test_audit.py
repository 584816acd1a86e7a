"""The lock review finds what is not pinned, not hashed, not needed or not explained."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from audit import REASONS, review

ROOT = Path(__file__).resolve().parents[2]
HASH = f"    --hash=sha256:{'0' * 64}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the files the review reads."""
    (tmp_path / REASONS).parent.mkdir(parents=True)
    for name in ("requirements.in", "requirements.lock", REASONS):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_this_lock_is_in_order() -> None:
    count, problems = review(ROOT)
    assert problems == []
    assert count == len(
        set(re.findall(r"(?m)^([\w.-]+)==", (ROOT / "requirements.lock").read_text()))
    )


@pytest.mark.parametrize(
    ("file", "pattern", "replacement", "sentence"),
    [
        (
            "requirements.lock",
            r"\Z",
            "\nleft-over==1.0 \\\n" + HASH,
            "left-over is locked and nothing",
        ),
        (
            "requirements.lock",
            r"\Z",
            "\none==1 \\\n" + HASH + "    # via other\nother==1 \\\n" + HASH + "    # via one\n",
            "one is locked and nothing needs it",
        ),
        ("requirements.lock", r"\Z", "\nrich>=1\n", "'rich>=1' is no package pinned"),
        (
            "requirements.lock",
            r"(?m)^(rich==.*\n)(    --hash.*\n)+",
            r"\1",
            "rich is locked without",
        ),
        (
            "requirements.lock",
            r"(?m)^duckdb==.*\n(    .*\n)+",
            "",
            "duckdb is in requirements.in and",
        ),
        ("requirements.in", r"\Z", "\nleftpad\n", "leftpad has no reason in"),
    ],
)
def test_a_lock_out_of_order_is_named(
    project: Path, file: str, pattern: str, replacement: str, sentence: str
) -> None:
    path = project / file
    changed, count = re.subn(
        pattern, replacement.replace("\\\n", "\\\\\n"), path.read_text(), count=1
    )
    assert count == 1
    path.write_text(changed)
    problems = review(project)[1]
    assert any(sentence in problem for problem in problems), problems
