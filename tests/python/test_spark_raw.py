"""The raw tables as Spark gets them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

import spark_raw
from spark_raw import ExportError, export_raw

LOADED_AT = datetime(2026, 3, 1, 12, 30)


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    path = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("create schema raw; create schema marts; create table marts.other (a integer)")
        con.execute('create table raw.events ("id" varchar, _loaded_at timestamp)')
        con.execute("insert into raw.events values (?, ?)", ["it's one", LOADED_AT])
        con.execute("create table raw._loads (load_id bigint)")
    return path


def test_every_raw_table_is_written_with_instants_in_utc(warehouse: Path, tmp_path: Path) -> None:
    assert export_raw(warehouse, tmp_path / "a dir's raw") == 1
    directory = tmp_path / "a dir's raw"
    assert sorted(path.name for path in directory.iterdir()) == ["_loads", "events"]
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'Asia/Shanghai'")
        rows = con.read_parquet(str(directory / "events" / "*.parquet"))
        assert rows.types[1] == "TIMESTAMP WITH TIME ZONE"
        assert rows.fetchall() == [("it's one", LOADED_AT.replace(tzinfo=UTC))]
        empty = con.read_parquet(str(directory / "_loads" / "*.parquet"))
        assert (empty.columns, empty.fetchall()) == (["load_id"], [])


def test_a_second_export_replaces_the_first(warehouse: Path, tmp_path: Path) -> None:
    export_raw(warehouse, tmp_path / "raw")
    with duckdb.connect(str(warehouse)) as con:
        con.execute("delete from raw.events")
        con.execute("insert into raw.events values ('a', null), ('b', null)")
    assert export_raw(warehouse, tmp_path / "raw") == 2
    with duckdb.connect() as con:
        rows = con.read_parquet(str(tmp_path / "raw" / "events" / "*.parquet")).fetchall()
    assert sorted(rows) == [("a", None), ("b", None)]


def test_what_is_not_a_loaded_warehouse_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ExportError, match=r"There is no warehouse .* make load"):
        export_raw(tmp_path / "none.duckdb", tmp_path / "raw")
    duckdb.connect(str(tmp_path / "empty.duckdb")).close()
    with pytest.raises(ExportError, match="holds no raw tables"):
        export_raw(tmp_path / "empty.duckdb", tmp_path / "raw")
    (tmp_path / "text.duckdb").write_text("no database")
    with pytest.raises(ExportError, match="open elsewhere or damaged"):
        export_raw(tmp_path / "text.duckdb", tmp_path / "raw")
    monkeypatch.setattr("sys.argv", ["spark_raw.py", "--warehouse", str(tmp_path / "none.duckdb")])
    assert spark_raw.main() == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "raw").exists()
