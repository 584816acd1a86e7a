"""Look at the locked dependencies: every file hashed, every package needed, every reason given.

`make audit` runs this. What it can say without the network it says; known vulnerabilities are
looked up by pip-audit where that is installed and its service can be reached.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from load_report import count_text

ROOT = Path(__file__).resolve().parent.parent
REASONS = Path("docs") / "decisions" / "0001-dependencies.md"

PINNED = re.compile(r"([A-Za-z0-9._-]+)(?:\[[a-z0-9,._-]+\])?==[^ ;]+(?: ; .*)?")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
DIRECT = "-r requirements.in"


@dataclass
class Locked:
    """A package of the lock: hashes of its files, who needs it."""

    hashes: int
    needed_by: set[str]


def _plain(name: str) -> str:
    """The name of a package as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def direct(requirements: str) -> list[str]:
    """The packages requirements.in names."""
    lines = (line.split("#")[0].strip() for line in requirements.splitlines())
    return [_plain(re.split(r"[\[=<>!~ ;]", line)[0]) for line in lines if line]


def read_lock(text: str) -> tuple[dict[str, Locked], list[str]]:
    """The packages of a lock, and what in it is no pinned package."""
    locked: dict[str, Locked] = {}
    problems = []
    current = None
    for line in text.splitlines():
        content = line.strip().removesuffix("\\").strip()
        if not content:
            continue
        if content.startswith("#"):
            user = re.sub(r"^#\s*(via\b)?\s*", "", content)
            if current is not None and user:
                current.needed_by.add(user if user == DIRECT else _plain(user.split("[")[0]))
        elif HASH.fullmatch(content):
            if current is not None:
                current.hashes += 1
        elif pinned := PINNED.fullmatch(content):
            # A package may stand here twice, for different machines.
            current = locked.setdefault(_plain(pinned[1]), Locked(0, set()))
        else:
            current = None
            problems.append(
                f"requirements.lock: {content.split('@')[0].split('://')[0]!r} is no "
                "package pinned with ==; run make lock."
            )
    return locked, problems


def review(root: Path) -> tuple[int, list[str]]:
    """Number of packages in the lock, and a sentence for each thing wrong with it."""
    locked, problems = read_lock((root / "requirements.lock").read_text(encoding="utf-8"))
    wanted = direct((root / "requirements.in").read_text(encoding="utf-8"))
    reasons = (root / REASONS).read_text(encoding="utf-8").lower()
    for name in wanted:
        if name not in locked:
            problems.append(f"{name} is in requirements.in and not in the lock; run make lock.")
        if not re.search(rf"\b{re.escape(name)}\b", reasons):
            problems.append(f"{name} has no reason in {REASONS}; write one, or do without it.")
    needed = set(wanted)
    while more := {name for name, package in locked.items() if package.needed_by & needed} - needed:
        needed |= more
    for name, package in sorted(locked.items()):
        if not package.hashes:
            problems.append(f"{name} is locked without a hash; run make lock.")
        if name not in needed:
            problems.append(f"{name} is locked and nothing needs it; run make lock.")
    return len(locked), problems


def vulnerabilities(root: Path) -> tuple[bool, str]:
    """Whether pip-audit found the lock in order, or could not look; and what it said."""
    if shutil.which("pip-audit") is None:
        return True, "Known vulnerabilities were not looked up: pip-audit is not installed."
    run = subprocess.run(
        ["pip-audit", "--require-hashes", "--disable-pip", "-r", str(root / "requirements.lock")],
        capture_output=True,
        text=True,
        check=False,
    )
    said = (run.stdout + run.stderr).strip()
    if run.returncode == 0:
        return True, "pip-audit knows of no vulnerability in the lock."
    if "ConnectionError" in said or "Max retries" in said or "Could not connect" in said:
        return (
            True,
            "Known vulnerabilities were not looked up: pip-audit's service is out of reach.",
        )
    return False, said


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, or 1 with what is wrong on stderr."""
    parser = argparse.ArgumentParser(
        prog="audit.py",
        description=(
            "Check that every locked package is pinned, hashed and needed, and look up known "
            "vulnerabilities with pip-audit where it is installed. What a person looks at is in "
            "SECURITY.md."
        ),
    )
    parser.parse_args(arguments)
    count, problems = review(ROOT)
    if problems:
        print("\n".join(problems), file=sys.stderr)
    else:
        print(f"{count_text(count, 'package')} locked, each pinned, hashed and needed.")
    is_safe, said = vulnerabilities(ROOT)
    print(said, file=sys.stdout if is_safe else sys.stderr)
    return 0 if is_safe and not problems else 1


if __name__ == "__main__":
    sys.exit(main())
