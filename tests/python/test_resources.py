"""Memory and disk a build may take: settings, what the machine grants, and refusals."""

from __future__ import annotations

import ast
import gzip
import shutil
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest

import disk_need
from contract import ROOT
from disk_need import DiskNeedError, Landed, Need, build_needs, check_room, rows_of
from landing import LandedFile
from load import LandingError, opened_warehouse
from resources import (
    LEAST_BYTES,
    MOST_BYTES,
    ResourceError,
    duckdb_settings,
    facts_of_a_batch,
    machine_bytes,
    memory_limit_bytes,
    messages_of_a_batch,
    most_rows_to_delete_from,
    outgrows_memory,
    remove_spilled,
    size_bytes,
)

GB = 1_000_000_000
SENTENCE = r"^MEMORY_LIMIT must be a size such as 2GB or 800MB\.$"


# --------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2GB", 2 * GB),
        ("512 MB", 512_000_000),
        ("1.5GiB", 3 * 2**29),
        ("3g", 3 * GB),
        ("800m", 800_000_000),
        ("4096KiB", 2**22),
        ("1000000000", GB),
    ],
)
def test_a_size(text: str, number: int) -> None:
    assert size_bytes(text) == number
    with duckdb.connect(config=duckdb_settings(environment={"PARLEY_MEMORY_LIMIT": text})):
        pass


@pytest.mark.parametrize("text", ["much", "0", "-1GB", "80%", "1 XB", "GB", "2GB 3GB", "nan"])
def test_what_is_no_size_gets_one_sentence(text: str) -> None:
    with pytest.raises(ResourceError, match=SENTENCE):
        size_bytes(text)


def machine(root: Path, groups: str, **limits: str) -> Path:
    """A `proc` and `sys` with control groups; limits by path, `__` is a slash."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, value in limits.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return root


def test_a_limit_of_control_groups_2(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/a/b\n", a__b__memory_DOT_max="max", a__memory_DOT_max="700000000")
    assert machine_bytes(root) == 700_000_000


def test_a_limit_of_control_groups_1(tmp_path: Path) -> None:
    groups = "5:cpu,cpuacct:/x\n4:memory:/jobs/one\n"
    limits = {
        "memory__jobs__one__memory_DOT_limit_in_bytes": "900000000",
        "memory__memory_DOT_limit_in_bytes": "9223372036854771712",
    }
    assert machine_bytes(machine(tmp_path, groups, **limits)) == 900_000_000


def test_a_limit_of_the_container_whose_group_has_a_path_of_the_host(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/docker/4711\n", memory_DOT_max="650000000")
    assert machine_bytes(root) == 650_000_000


def test_without_control_groups_the_machine_is_the_limit(tmp_path: Path) -> None:
    physical = machine_bytes(tmp_path)
    assert physical > LEAST_BYTES
    root = machine(tmp_path, "0::/\n", memory_DOT_max=str(physical + 1))
    assert machine_bytes(root) == physical


@pytest.mark.parametrize(
    ("has", "may"), [(GB // 2, LEAST_BYTES), (4 * GB, 2 * GB), (64 * GB, MOST_BYTES)]
)
def test_the_default_is_half_of_the_machine(
    has: int, may: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resources.machine_bytes", lambda: has)
    assert memory_limit_bytes({}) == may
    assert memory_limit_bytes({"PARLEY_MEMORY_LIMIT": ""}) == may
    assert memory_limit_bytes({"PARLEY_MEMORY_LIMIT": "5GB"}) == 5 * GB


def test_a_warehouse_outgrows_memory_when_its_catalogue_takes_a_tenth() -> None:
    assert not outgrows_memory(20_000_000, 2 * GB)
    assert outgrows_memory(40_000_000, 2 * GB)
    assert not outgrows_memory(40_000_000, 4 * GB)


def test_rows_are_deleted_from_tables_whose_traces_of_them_fit_into_memory() -> None:
    assert most_rows_to_delete_from(2 * GB) == 2 * GB // 80


def test_batches_are_as_long_as_memory_allows() -> None:
    assert (messages_of_a_batch(2 * GB), facts_of_a_batch(2 * GB)) == (
        2 * GB // 250,
        2 * GB // 2500,
    )
    assert (messages_of_a_batch(1), facts_of_a_batch(1)) == (1, 1)


def test_every_script_opens_files_with_the_limit() -> None:
    """generate.py has a limit of its own, on its command line."""
    unbounded = []
    for path in sorted((ROOT / "scripts").glob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        bounded = {
            ast.unparse(node.targets[0])
            for node in nodes
            if isinstance(node, ast.Assign) and "duckdb_settings(" in ast.unparse(node.value)
        }
        for node in nodes:
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "duckdb.connect":
                config = [ast.unparse(each.value) for each in node.keywords if each.arg == "config"]
                if not any("duckdb_settings(" in text or text in bounded for text in config):
                    unbounded.append(path.name)
    assert unbounded == ["generate.py"]


def test_what_was_spilled_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    monkeypatch.setenv("PARLEY_SPILL", str(shared))
    remove_spilled()
    shared.mkdir()
    for name in ("duckdb_temp_storage_DEFAULT-0.tmp", "duckdb_temp_block-1.block", "thesis.txt"):
        (shared / name).write_text("words")
    remove_spilled()
    assert [path.name for path in shared.iterdir()] == ["thesis.txt"]
    (shared / "thesis.txt").unlink()
    remove_spilled()
    assert not shared.exists()


def test_shared_by_two_processes_each_has_its_share() -> None:
    half = duckdb_settings(environment={"PARLEY_MEMORY_LIMIT": "1GB"}, share=0.5)
    assert half["memory_limit"] == "500000000B"


def test_the_loader_keeps_to_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_MEMORY_LIMIT", "512MiB")
    with opened_warehouse(tmp_path / "w.duckdb") as con:
        settings = con.execute(
            "select current_setting('memory_limit'), current_setting('temp_directory')"
        ).fetchone()
    assert settings == ("512.0 MiB", str(tmp_path / "spill"))
    monkeypatch.setenv("PARLEY_MEMORY_LIMIT", "much")
    with pytest.raises(LandingError, match=SENTENCE), opened_warehouse(tmp_path / "w.duckdb"):
        pass


# ----------------------------------------------------------------------------------------- disk


def landed(path: Path) -> LandedFile:
    kind = path.name.removesuffix(".gz").rsplit(".", 1)[1]
    return LandedFile(path, f"messages/{path.name}", kind, path.name.endswith(".gz"))


def write_csv(path: Path, rows: int) -> Path:
    text = "message_id,text\n" + "".join(f"m-{n:06},Hello number {n:06}\n" for n in range(rows))
    path.write_text(text)
    return path


def test_rows_of_a_landed_file(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", 50_000)
    assert rows_of(landed(path)).rows == pytest.approx(50_000, rel=0.01)
    zipped = tmp_path / "a.csv.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    assert 50_000 <= rows_of(landed(zipped)).rows <= 200_000
    parquet = tmp_path / "a.parquet"
    duckdb.sql(f"copy (from read_csv('{path}')) to '{parquet}' (row_group_size 20000)")
    assert rows_of(landed(parquet)).rows == 50_000
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    assert rows_of(landed(tmp_path / "broken.parquet")) == Landed()
    (tmp_path / "broken.csv.gz").write_bytes(b"no gzip")
    assert rows_of(landed(tmp_path / "broken.csv.gz")) == Landed()


def free(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let every file system have so many bytes free."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=number))


def test_places_on_one_disk_are_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs = [
        Need("the warehouse", tmp_path / "deep/er", "WAREHOUSE", 2 * GB),
        Need("a release", tmp_path, "PUBLISHED", GB),
        Need("spilling", tmp_path / "spill", "SPILL", 0),
    ]
    free(monkeypatch, 3 * GB)
    assert check_room(needs, then="") == 3 * GB
    free(monkeypatch, 3 * GB - 1)
    with pytest.raises(DiskNeedError) as refused:
        check_room(needs, then="Nothing was loaded.")
    assert str(refused.value) == (
        f"The disk of {tmp_path} has 3.0 GB free and about 3.0 GB are needed (2.0 GB for the "
        "warehouse, 1.0 GB for a release): make room there, or name another disk with WAREHOUSE "
        "or PUBLISHED. Nothing was loaded."
    )


def test_places_on_two_disks_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    needs = [
        Need("the warehouse", tmp_path, "WAREHOUSE", 2 * GB),
        Need("spilling", tmp_path / "other", "SPILL", 2 * GB),
    ]
    stat = Path.stat

    def two_disks(self: Path, **options: bool) -> object:
        return SimpleNamespace(st_dev=int(self.name == "other"))

    free(monkeypatch, 3 * GB)
    with pytest.raises(DiskNeedError):
        check_room(needs, then="")
    monkeypatch.setattr(disk_need, "_standing", lambda place: place)
    monkeypatch.setattr(Path, "stat", two_disks)
    try:
        assert check_room(needs, then="") == 4 * GB
    finally:
        monkeypatch.setattr(Path, "stat", stat)


def needs_of(loaded: Landed, new: Landed, warehouse: Path, memory: int = GB) -> dict[str, int]:
    found = build_needs(
        loaded,
        new,
        warehouse=warehouse,
        published=Path("published"),
        spill=Path("spill"),
        memory=memory,
    )
    return {need.setting: need.bytes for need in found}


def test_what_the_warehouse_holds_is_not_needed_again(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    million = Landed(1_000_000, 100_000_000)
    first = needs_of(Landed(), million, path)
    with path.open("wb") as stream:
        stream.truncate(first["WAREHOUSE"])
    # Were all tables built anew, the former ones would still be there.
    assert 0 < needs_of(million, Landed(), path)["WAREHOUSE"] < first["WAREHOUSE"]
    with path.open("wb") as stream:
        stream.truncate(first["WAREHOUSE"] * 2)
    assert needs_of(million, Landed(), path)["WAREHOUSE"] == 0
    again = needs_of(million, Landed(10_000, 1_000_000), path)
    assert 0 < again["WAREHOUSE"] < first["WAREHOUSE"] / 3
    assert again["PUBLISHED"] > first["PUBLISHED"]


def test_wide_rows_need_more(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    usual = needs_of(Landed(), Landed(1000, 100_000), path)["WAREHOUSE"]
    assert needs_of(Landed(), Landed(1000, 10_000_000), path)["WAREHOUSE"] > usual + 9_000_000


def test_little_data_or_much_memory_spills_nothing(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    assert needs_of(Landed(), Landed(100_000, 0), path)["SPILL"] == 0
    much = Landed(100_000_000, 0)
    less = needs_of(Landed(), much, path, memory=3 * GB)["SPILL"]
    assert 0 < less < needs_of(Landed(), much, path, memory=GB)["SPILL"]
