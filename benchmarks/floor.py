"""Floors: what no build and no loader could do without, measured on the same files.

`floor.py build LANDING WAREHOUSE SCRATCH` reads every column of every landed Parquet file, and
copies the tables of schema `marts` as they lie into a new DuckDB file. `floor.py load FILE SCRATCH`
reads one file into one table, nothing added and nothing judged. Both print one JSON object.
`floor.py sample LANDING FILE ROWS SCRATCH` writes the CSV or Parquet file such a load begins with.
The memory limit is PARLEY_MEMORY_LIMIT.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import duckdb

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from landed_file import name_sql, quoted
from resources import duckdb_settings


def _opened(scratch: Path) -> duckdb.DuckDBPyConnection:
    scratch.mkdir(parents=True, exist_ok=True)
    return duckdb.connect(
        config=duckdb_settings()
        | {"temp_directory": str(scratch / "spill"), "preserve_insertion_order": False}
    )


def scan(con: duckdb.DuckDBPyConnection, landing: Path) -> dict[str, float]:
    """Read all columns of all Parquet files of a landing; a hash keeps DuckDB from skipping any.

    Returns:
        `seconds` and `rows`.
    """
    started, rows = time.monotonic(), 0
    for folder in sorted(path for path in landing.iterdir() if path.is_dir()):
        files = f"read_parquet({quoted(str(folder / '*.parquet'))})"
        found = con.execute(f"select count(*), bit_xor(hash(each)) from {files} as each").fetchone()
        rows += int(found[0]) if found else 0
    return {"seconds": time.monotonic() - started, "rows": rows}


def write(con: duckdb.DuckDBPyConnection, warehouse: Path, scratch: Path) -> dict[str, float]:
    """Copy the marts of a warehouse, unsorted, into a new DuckDB file.

    Returns:
        `seconds`, `rows` and `bytes` of the file.
    """
    copy = scratch / "floor.duckdb"
    copy.unlink(missing_ok=True)
    con.execute(f"attach {quoted(str(warehouse))} as built (read_only)")
    names = con.execute(
        "select table_name from duckdb_tables() "
        "where database_name = 'built' and schema_name = 'marts' order by 1"
    ).fetchall()
    started, rows = time.monotonic(), 0
    con.execute(f"attach {quoted(str(copy))} as copied")
    for (name,) in names:
        table = name_sql(name)
        found = con.execute(f"create table copied.{table} as from built.marts.{table}").fetchone()
        rows += int(found[0]) if found else 0
    con.execute("checkpoint copied")
    seconds = time.monotonic() - started
    con.execute("detach copied")
    size = copy.stat().st_size
    copy.unlink()
    return {"seconds": seconds, "rows": rows, "bytes": size}


def load(con: duckdb.DuckDBPyConnection, file: Path, scratch: Path) -> dict[str, float]:
    """Read one CSV or Parquet file into a table of a new DuckDB file.

    Returns:
        `seconds` and `rows`.
    """
    copy = scratch / "plain.duckdb"
    copy.unlink(missing_ok=True)
    started = time.monotonic()
    con.execute(f"attach {quoted(str(copy))} as plain")
    name = quoted(str(file))
    reader = f"read_csv({name}, all_varchar = true)"
    if file.suffix == ".parquet":
        reader = f"read_parquet({name})"
    found = con.execute(f"create table plain.landed as from {reader}").fetchone()
    con.execute("checkpoint plain")
    seconds = time.monotonic() - started
    con.execute("detach plain")
    copy.unlink()
    return {"seconds": seconds, "rows": int(found[0]) if found else 0}


def sample(con: duckdb.DuckDBPyConnection, landing: Path, file: Path, rows: int) -> None:
    """Write the first messages of a landing into one file, CSV or Parquet by its name."""
    options = "format parquet" if file.suffix == ".parquet" else "format csv, header"
    source = f"read_parquet({quoted(str(landing / 'messages' / '*.parquet'))})"
    con.execute(f"copy (from {source} limit {rows}) to {quoted(str(file))} ({options})")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    kind, places = given[0], [Path(text) for text in given[1:]]
    scratch = places[-1]
    with _opened(scratch) as con:
        if kind == "build":
            answer: dict[str, object] = {
                "scan": scan(con, places[0]),
                "write": write(con, places[1], scratch),
            }
        elif kind == "sample":
            sample(con, places[0], places[1], int(given[3]))
            answer = {}
        else:
            answer = dict(load(con, places[0], scratch))
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
