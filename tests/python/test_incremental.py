"""Any sequence of incremental runs gives the marts a full refresh gives, to the row.

The rows of a landing arrive in parts: late, out of order, corrected, before their conversation, with
merges of contacts in between. After each part dbt runs; now and then a parameter or a policy changes,
a run is killed, or nothing is new. At the end all rows are built anew from the same raw rows.
"""

from __future__ import annotations

import csv
import gzip
import os
import random
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness import ROOT, Warehouse, build_anew, scratch_directory
from test_properties import assert_same_marts

sys.path.insert(0, str(ROOT))
from tests.reference.random_landing import write_random_landing

# Tables that decide everything; they arrive first, and one of them once more later.
REFERENCE = {"intents", "flows", "business_hours", "holidays", "costs", "baseline", "model_prices"}


def rows_of(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns and rows of a landed CSV file."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    reader = csv.DictReader(text.splitlines(keepends=True), restkey="_too_many")
    rows = list(reader)
    return list(reader.fieldnames or []), rows


def parts(landing: Path, count: int, chance: random.Random) -> Iterator[dict[Path, str]]:
    """Files to be added to a landing, part by part; every row comes once, in the order of its file
    with some rows much later."""
    files: list[dict[Path, str]] = [{} for _ in range(count)]
    for path in sorted(p for p in landing.rglob("*") if p.is_file() and p.name != "landing.yml"):
        table = path.parent.name
        columns, rows = rows_of(path)
        chosen: list[list[dict[str, Any]]] = [[] for _ in range(count)]
        for number, row in enumerate(rows):
            part = 0
            if table not in REFERENCE:
                part = min(number * count // max(len(rows), 1), count - 1)
                if chance.random() < 0.15:
                    part = chance.randrange(count)
            chosen[part].append(row)
        for part, members in enumerate(chosen):
            if members or part == 0:
                name = path.name.split(".")[0]
                target = Path(table) / f"p{part:02}_{name}.csv"
                lines = [columns, *([row.get(c) for c in columns] for row in members)]
                files[part][target] = _csv(lines)
    yield from files


def _csv(lines: list[list[Any]]) -> str:
    from io import StringIO

    stream = StringIO()
    csv.writer(stream, lineterminator="\n").writerows(lines)
    return stream.getvalue()


def mode(warehouse: Warehouse) -> str:
    """How the last run worked."""
    return str(warehouse.query("select mode from touched.runs")[0]["mode"])


def arrive(home: Path, files: dict[Path, str]) -> None:
    for name, text in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")


def in_parts(seed: int, count: int) -> None:
    """Build a random landing in parts and compare with a full refresh."""
    chance = random.Random(seed)
    source = scratch_directory("source")
    instants = write_random_landing(source, seed)
    landing, home = scratch_directory("landing"), scratch_directory("home")
    if (source / "landing.yml").exists():
        shutil.copy(source / "landing.yml", landing)
    modes = []
    as_of = instants[len(instants) // 2]
    for number, files in enumerate(parts(source, count, chance)):
        arrive(landing, files)
        as_of += chance.choice([timedelta(0), timedelta(hours=1), timedelta(days=1), timedelta(days=9)])
        warehouse = build_anew(landing, as_of, directory=home)
        modes.append(mode(warehouse))
    assert modes == ["full", *["touched"] * (count - 1)]
    anew = scratch_directory("anew")
    shutil.copy(warehouse.path, anew)
    full = build_anew(landing, as_of, directory=anew, full_refresh=True)
    assert mode(full) == "full"
    assert_same_marts(full, warehouse)


SEEDS = [
    int(os.environ.get("PARLEY_INCREMENTAL_FIRST") or 201) + number
    for number in range(int(os.environ.get("PARLEY_INCREMENTAL_SEEDS") or 3))
]


@pytest.mark.parametrize("seed", SEEDS)
def test_parts_equal_the_whole(seed: int) -> None:
    in_parts(seed, 4)
