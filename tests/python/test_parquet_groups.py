"""Row groups of Parquet files move to other files as they are, and no value is lost on the way."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from parquet_groups import ParquetError, Part, group_rows, write_groups

# Every type marts have, nulls, lists, repeated values (dictionaries and Bloom filters).
ROWS = """
    select
        'id' || i as id,
        case when i % 3 > 0 then i % 7 end as few,
        i % 2 = 0 as is_even,
        cast(i as integer) as whole,
        i / 7 as share,
        date '2026-01-01' + cast(i % 400 as integer) as day,
        timestamp '2026-01-01' + to_seconds(i) as moment,
        ['a', null, 'b' || i % 5] as tags,
        {'x': i, 'y': 'z'} as pair
    from range($first, $last) as numbers (i)
"""


def write(path: Path, first: int, last: int) -> Path:
    rows = ROWS.replace("$first", str(first)).replace("$last", str(last))
    duckdb.sql(f"copy ({rows}) to '{path}' (format parquet, compression zstd, row_group_size 2048)")
    return path


def test_groups_of_two_files_make_a_third(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1.parquet", 0, 7000), write(tmp_path / "2.parquet", 10_000, 13_000)
    assert group_rows(one) == [2048, 2048, 2048, 856]
    target = tmp_path / "3.parquet"
    write_groups(target, [Part(one, [0, 2, 3]), Part(two, [0, 1])])
    assert group_rows(target) == [2048, 2048, 856, 2048, 952]
    expected = duckdb.sql(
        f"(from '{one}' where whole not between 2048 and 4095) union all from '{two}'"
    ).fetchall()
    assert duckdb.sql(f"from '{target}'").fetchall() == expected
    # Positions, statistics and Bloom filters lead to the rows of their own group.
    for where in ("id = 'id5000'", "few = 3", "day = date '2026-02-03'", "whole > 12000"):
        found = duckdb.sql(f"from '{target}' where {where}").fetchall()
        at = f"(from '{one}' where whole not between 2048 and 4095) union all from '{two}'"
        assert found == duckdb.sql(f"from ({at}) where {where}").fetchall(), where
        assert found, where
    blooms = "select count(bloom_filter_offset), count(distinct bloom_filter_offset)"
    ((count, distinct),) = duckdb.sql(f"{blooms} from parquet_metadata('{target}')").fetchall()
    assert count == distinct > 0


def test_a_copy_of_a_group_is_the_file_itself(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1.parquet", 0, 2000), tmp_path / "2.parquet"
    write_groups(two, [Part(one, [0])])
    assert two.read_bytes() == one.read_bytes()


def test_a_file_without_groups_has_no_rows(tmp_path: Path) -> None:
    empty, target = write(tmp_path / "1.parquet", 0, 0), tmp_path / "2.parquet"
    write_groups(target, [Part(empty, []), Part(write(tmp_path / "3.parquet", 0, 5), [])])
    assert duckdb.sql(f"from '{target}'").fetchall() == []


def test_other_columns_and_other_files_are_refused(tmp_path: Path) -> None:
    one, other = write(tmp_path / "1.parquet", 0, 10), tmp_path / "2.parquet"
    duckdb.sql(f"copy (select 1 as id) to '{other}' (format parquet)")
    with pytest.raises(ParquetError, match="columns"):
        write_groups(tmp_path / "3.parquet", [Part(one, [0]), Part(other, [0])])
    text = tmp_path / "4.parquet"
    text.write_text("no Parquet, only a text that is long enough")
    with pytest.raises(ParquetError, match="no Parquet"):
        group_rows(text)
