"""Land an export by a mapping written in SQL: every view of mapping.sql named like a table.

python examples/twitter_care/run.py <source directory> <landing directory>
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import duckdb

MAPPING = Path(__file__).with_name("mapping.sql")
TABLES = ("conversations", "messages")


def land(source: Path, landing: Path) -> dict[str, int]:
    """Write `<landing>/<table>/<table>.csv` for each table; return the rows written by table.

    Args:
        source: directory with the export's files.
        landing: directory to write to; made when missing, files of the same name are replaced.

    Raises:
        duckdb.Error: a file is missing or lacks a column.
    """
    rows = {}
    with duckdb.connect() as con:
        con.execute("set file_search_path = $path", {"path": str(source)})
        con.execute(MAPPING.read_text(encoding="utf-8"))
        for table in TABLES:
            folder = landing / table
            folder.mkdir(parents=True, exist_ok=True)
            con.table(table).order("all").write_csv(str(folder / f"{table}.csv"))
            row = con.execute(f"select count(*) from {table}").fetchone()
            assert row is not None
            rows[table] = int(row[0])
    return rows


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Land an export by mapping.sql.")
    parser.add_argument("source", type=Path, help="directory with messages.csv")
    parser.add_argument("landing", type=Path, help="directory the tables are written to")
    arguments = parser.parse_args()
    if not (arguments.source / "messages.csv").is_file():
        print(f"There is no messages.csv in {arguments.source}.", file=sys.stderr)
        return 1
    try:
        rows = land(arguments.source, arguments.landing)
    except duckdb.Error as error:
        print(f"The export does not fit the mapping: {error}", file=sys.stderr)
        return 1
    for table, count in rows.items():
        print(f"{table}: {count:,} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
