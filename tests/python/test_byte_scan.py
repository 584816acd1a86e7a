"""Planted identifiers, looked for in every file a real build, a real hand-out and a real erasure
leave: scripts/build.py, subject_access.py and erase.py as a user starts them.

Databases and Parquet files are decoded, gzip is unpacked, and every file is searched as it lies.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
import pytest

from harness import ROOT, environment, is_same, kpi_key, write_landing, write_table
from test_erase import EMAIL, IDENTIFIERS, NAME, landing_tables

SALT = "the-salt-that-stands-nowhere-7d1f"
CARD, ID_CARD, MOBILE = "4111111111111111", "11010519491231002X", "13812345678"
OTHER = "olga.other@example.net"
PLANTED = (*IDENTIFIERS, OTHER, CARD, ID_CARD, MOBILE, SALT)
ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be")


class Place:
    """A landing, and what is made of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.landing, self.warehouse = root / "landing", root / "warehouse"
        self.published = root / "published"
        self.settings = {
            "PARLEY_LANDING": str(self.landing),
            "PARLEY_WAREHOUSE": str(self.warehouse / "w.duckdb"),
            "PARLEY_PUBLISHED": str(self.published),
            "PARLEY_AS_OF": "2026-04-01T00:00:00Z",
            "PARLEY_SALT": SALT,
            "DBT_TARGET_PATH": str(root / "target"),
            "DBT_LOG_PATH": str(root / "logs"),
        }

    def run(self, script: str, **settings: str) -> str:
        """Run a script; returns what it printed, in which nothing planted stands."""
        done = subprocess.run(
            [sys.executable, f"scripts/{script}.py"],
            cwd=ROOT,
            env=environment(**self.settings, **settings),
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        printed = done.stdout + done.stderr
        assert done.returncode == 0, printed
        assert not named(printed.encode(), PLANTED)
        return printed

    def kpis(self) -> dict[object, dict[str, object]]:
        with duckdb.connect(str(self.published / "current" / "parley.duckdb")) as con:
            cursor = con.execute("select * from marts.kpi_values")
            names = [column[0] for column in cursor.description or []]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        return {kpi_key(row): row for row in rows}


def named(content: bytes, words: Iterable[str]) -> list[str]:
    """The words that stand in bytes, in any case and in each encoding."""
    lower = content.lower()
    return [word for word in words if any(word.lower().encode(code) in lower for code in ENCODINGS)]


def decoded(path: Path) -> Iterator[bytes]:
    """The rows of a database or Parquet file, the content of a gzip file."""
    if path.suffix == ".gz":
        yield gzip.decompress(path.read_bytes())
    if path.suffix == ".parquet":
        with duckdb.connect() as con:
            yield "\n".join(map(repr, con.read_parquet(str(path)).fetchall())).encode()
    if path.suffix == ".duckdb":
        with duckdb.connect(str(path), read_only=True) as con:
            for schema, table in con.execute(
                "select schema_name, table_name from duckdb_tables()"
            ).fetchall():
                rows = con.execute(f'from "{schema}"."{table}"').fetchall()
                yield "\n".join(map(repr, rows)).encode()


def scan(directories: Iterable[Path], words: Iterable[str]) -> tuple[list[str], Counter[str]]:
    """Where words stand below directories, names of files included; files looked at, by ending."""
    found, looked_at = [], Counter[str]()
    words = list(words)
    for directory in directories:
        for path in sorted(directory.rglob("*")):
            if path.is_file() and not path.is_symlink():
                looked_at[path.suffix] += 1
                for content in (str(path).encode(), path.read_bytes(), *decoded(path)):
                    found += [f"{path}: {word}" for word in named(content, words)]
    return found, looked_at


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A real build of people with names, one of whom is Erin, and of rows that are rejected."""
    place = Place(tmp_path_factory.mktemp("scanned"))
    tables = landing_tables()
    everything = f"{OTHER} {CARD} {ID_CARD} {MOBILE} {EMAIL} +49 30 7765 4321"
    tables["conversations"][0] |= {"entry_point": f"/?{everything}", "campaign": everything}
    tables["messages"][1] |= {"text": everything, "model": everything}
    tables["feedback"][0]["category"] = everything
    tables["tickets"][0]["topic"] = everything
    tables["contacts"][0] |= {"email": OTHER, "phone": MOBILE, "country": everything}
    write_landing(place.landing, tables)
    rejected = {"contact_id": None, "created_at": "soon", "name": NAME, "email": EMAIL}
    write_table(place.landing, "contacts", [rejected], name=EMAIL)
    write_table(
        place.landing,
        "messages",
        [
            {
                "message_id": everything,
                "conversation_id": "?",
                "sent_at": "soon",
                "sender_type": "bot",
            }
        ],
        name="rejected",
    )
    printed = place.run("build")
    assert "Published 28 tables" in printed
    return place


def test_a_build_leaves_identifiers_in_the_warehouse_alone(built: Place) -> None:
    found, looked_at = scan([built.warehouse], PLANTED)
    assert {entry.split(": ")[0] for entry in found} == {str(built.warehouse / "w.duckdb")}
    assert {entry.split(": ")[1] for entry in found} == {*PLANTED} - {SALT}
    outside = [built.published, built.root / "target", built.root / "logs"]
    found, looked_at = scan(outside, PLANTED)
    assert found == []
    assert looked_at[".parquet"] == 28
    assert looked_at[".duckdb"] == 1
    assert looked_at[".html"] == 3
    assert looked_at[".log"] == 1
    assert looked_at[".sql"] > 200
    assert looked_at.total() > 250


def test_what_is_handed_out_is_theirs(built: Place, tmp_path: Path) -> None:
    out = tmp_path / "out"
    built.run("subject_access", PARLEY_PERSON="crm-erin-2", PARLEY_OUT=str(out))
    found, looked_at = scan([out], PLANTED)
    assert {entry.split(": ")[1] for entry in found} >= {EMAIL, NAME, "crm-erin-1", "device-erin"}
    assert not {OTHER, SALT} & {entry.split(": ")[1] for entry in found}
    assert looked_at[".csv"] > 8


def test_an_erasure_leaves_nothing_of_the_person_in_any_file(built: Place, tmp_path: Path) -> None:
    place = Place(tmp_path / "place")
    shutil.copytree(built.root, place.root, symlinks=True)
    before = place.kpis()
    certificate = place.run("erase", PARLEY_PERSON=EMAIL)
    assert "Certificate of erasure" in certificate
    assert "contact ids      2" in certificate
    everywhere = [place.warehouse, place.published, place.root / "target", place.root / "logs"]
    found, looked_at = scan(everywhere, IDENTIFIERS)
    assert found == []
    assert looked_at.total() > 250
    found, _ = scan([place.warehouse], [OTHER])
    assert found, "others stay"
    after = place.kpis()
    assert before.keys() == after.keys()
    for key, row in before.items():
        assert all(is_same(row[name], after[key][name]) for name in row), key
    assert "Nothing left to erase" in place.run("erase", PARLEY_PERSON=EMAIL)
