"""Write down everything that is held about one person, as files that can be handed out.

`make subject-access PERSON=... OUT=<dir>` runs this: a CSV file per table, and `summary.json`. The
warehouse is only read.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from build import REFUSALS, Settings
from contract import read_contract
from database_errors import holder_text
from erasures import Person, rows_about, set_names
from landed_file import name_sql, quoted
from landing import LandingError
from persons import PersonError, find_person
from quiet_errors import without_values
from resources import duckdb_settings
from salt import keyed_hash, salt_beside

ROOT = Path(__file__).resolve().parent.parent


class AccessError(Exception):
    """The directory cannot be written; one sentence."""


def pseudonyms(person: Person, salt: str) -> list[str]:
    """The person ids under which the person is published, with and without merges."""
    names = [
        *person.contacts,
        *(f"visitor:{name}" for name in person.visitors),
        *(f"conversation:{name}" for name in person.conversations),
    ]
    return [keyed_hash(salt, name) for name in names]


def _for_spreadsheets(column: str) -> str:
    """A column as text that no spreadsheet takes for a formula; numbers stay as they are."""
    name = name_sql(column)
    begins = f"regexp_matches({name}, '^[-=+@\\t\\r]')"
    is_formula = f"{begins} and try_cast({name} as double) is null"
    return f"case when {is_formula} then '''' || {name} else {name} end as {name}"


def _write(con: duckdb.DuckDBPyConnection, query: str, path: Path) -> int:
    """Write the rows of a query; return their number. Nothing is written for none."""
    count = con.execute(f"select count(*) from ({query})").fetchone()
    rows = int(count[0]) if count else 0
    if rows:
        columns = ", ".join(
            _for_spreadsheets(name) if kind == "VARCHAR" else name_sql(name)
            for name, kind, *_ in con.execute(f"describe {query}").fetchall()
        )
        con.execute(
            f"copy (select {columns} from ({query})) to {quoted(str(path))} (format csv, header)"
        )
        path.chmod(0o600)
    return rows


def subject_access(settings: Settings, wanted: str, out: Path) -> dict[str, Any] | None:
    """Write what is held about a person to a new directory; None when nobody is found.

    Args:
        settings: where the warehouse is.
        wanted: a contact id, visitor id, e-mail address or telephone number.
        out: a directory that does not exist yet or is empty; created for its owner only.

    Returns:
        The summary, as written: rows by file.

    Raises:
        AccessError: `out` is not empty.
        BuildError: there is no warehouse.
        LandingError: the warehouse is being written, or there is no salt.
        PersonError: the person cannot be told from others.
        OSError, duckdb.Error: it cannot be read or written; `out` is what it was.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise AccessError(f"{out} is not empty; name a new directory with OUT=.")
    settings.require_warehouse()
    draft = out.with_name(f".{out.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        summary = _collect(settings, wanted, draft)
        if summary is not None:
            draft.replace(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return summary


def _collect(settings: Settings, wanted: str, out: Path) -> dict[str, Any] | None:
    """Write all files to a new directory; see `subject_access`."""
    rows: dict[str, int] = {}
    try:
        limits = duckdb_settings(settings.warehouse)
        with duckdb.connect(str(settings.warehouse), read_only=True, config=limits) as con:
            tables = read_contract()
            person = find_person(con, tables, wanted)
            if not (person.contacts or person.visitors):
                return None
            out.mkdir(mode=0o700, parents=True)
            set_names(con, person)
            for table in tables.values():
                name = f"landed_{table.raw_name}.csv"
                query = (
                    f"select * exclude (_load_id, _row_id) from raw.{name_sql(table.raw_name)} "
                    f"where {rows_about(table)} order by _row_id"
                )
                rows[name] = _write(con, query, out / name)
            rows |= _published(con, pseudonyms(person, salt_beside(settings.warehouse)), out)
    except duckdb.IOException as error:
        if holder := holder_text(str(error)):
            raise LandingError(
                f"The warehouse {settings.warehouse} is in use by {holder}; try again later."
            ) from None
        raise
    summary = {
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "contact_ids": sorted(person.contacts),
        "visitor_ids": sorted(person.visitors),
        "conversation_ids": sorted(person.conversations),
        "rows": {name: count for name, count in rows.items() if count},
    }
    path = out / "summary.json"
    path.write_text(json.dumps(summary, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    path.chmod(0o600)
    return summary


def _published(con: duckdb.DuckDBPyConnection, person_ids: list[str], out: Path) -> dict[str, int]:
    """Write the rows of marts that carry one of the person's pseudonyms."""
    con.execute("create or replace temp table pseudonyms as select unnest($1) as id", [person_ids])
    rows = {}
    for (table,) in con.execute(
        "select table_name from duckdb_columns() where schema_name = 'marts' "
        "and database_name = current_database() and column_name = 'person_id' order by 1"
    ).fetchall():
        name = f"published_{table}.csv"
        query = (
            f"select * from marts.{name_sql(table)} "
            "where person_id in (select id from pseudonyms) order by all"
        )
        rows[name] = _write(con, query, out / name)
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, or 1 with what failed on stderr."""
    parser = argparse.ArgumentParser(
        prog="subject_access.py",
        description="Write everything held about one person to a directory. See docs/privacy.md.",
    )
    parser.add_argument("person", nargs="?", default=os.environ.get("PARLEY_PERSON"))
    parser.add_argument("--out", metavar="DIR", default=os.environ.get("PARLEY_OUT"))
    chosen = parser.parse_args(arguments)
    wanted = (chosen.person or "").strip()
    if not wanted or not chosen.out:
        parser.error("say who and where to, as in make subject-access PERSON=<...> OUT=<dir>")
    os.chdir(ROOT)
    out = Path(chosen.out)
    try:
        settings = Settings.from_environment(os.environ)
        summary = subject_access(settings, wanted, out)
    except (*REFUSALS, AccessError, PersonError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{out} cannot be written: {error.strerror}.", file=sys.stderr)
        return 1
    except duckdb.Error as error:
        print(f"Nothing was written: {without_values(error)}.", file=sys.stderr)
        return 1
    if summary is None:
        print(f"Nothing is held: the warehouse {settings.warehouse} knows nobody under this name.")
        return 0
    total = sum(summary["rows"].values())
    print(f"{total:,} rows in {len(summary['rows'])} files, see {out}/summary.json.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
