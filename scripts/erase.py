"""Erase one person: from what landed, from everything built and published, and from the files.

`make erase PERSON=...` runs this. Ids become random names and texts are blanked, row by row, so
that every KPI stays what it was; see docs/privacy.md. A run that is killed is finished by the next
one.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from build import REFUSALS, Settings, build
from compact import compact, forget_built
from contract import read_contract
from erasures import Journal, Person, pending_file, rewrite, set_names
from landed_file import name_sql
from load import DEMO, DEMO_LABEL, create_raw, opened_warehouse
from locking import LockHeldError, only_one
from persons import PersonError, find_person
from publish import current_release
from quiet_errors import without_values
from resources import remove_spilled
from salt import salt_beside
from traces import OF_WAREHOUSES, landed_files_naming, traces_of

ROOT = Path(__file__).resolve().parent.parent

Build = Callable[[Settings], None]


class EraseError(Exception):
    """The person is not wholly erased; one sentence without an identifier."""


@dataclass
class Certificate:
    """What was done, without a word that identifies."""

    request: str
    erased_at: str
    rows: dict[str, int]
    contacts: int
    conversations: int
    release: str
    landed: list[str]
    kept_elsewhere: list[str]

    def text(self) -> str:
        """For the screen and the file."""
        lines = [
            "Certificate of erasure",
            f"  request          {self.request}",
            f"  finished         {self.erased_at}",
            f"  contact ids      {self.contacts}",
            f"  conversations    {self.conversations}",
            "  rows about them  "
            + (", ".join(f"{table} {rows:,}" for table, rows in self.rows.items()) or "none"),
            f"  published        release {self.release}; all releases before it were removed",
            "  verified         no identifier of the person in warehouse, release, target or logs",
        ]
        if self.landed:
            lines.append("  Landed files that still hold the person, yours to change:")
            lines += [f"    {name}" for name in self.landed]
        if self.kept_elsewhere:
            lines.append("  Not looked at, other warehouses in the same directory:")
            lines += [f"    {name}" for name in self.kept_elsewhere]
        return "\n".join(lines)


@dataclass
class _Pending:
    """A request under way: kept in a private file, from its first step to its last."""

    path: Path
    request: str
    person: Person
    rows: dict[str, int]

    def write(self) -> None:
        """Write the file in one step, readable by its owner only."""
        draft = self.path.with_name(f"{self.path.name}.draft")
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(
                {"request": self.request, "person": self.person.as_json(), "rows": self.rows},
                stream,
            )
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(self.path)

    @classmethod
    def read(cls, path: Path) -> _Pending | None:
        """The request a killed run has left; None when there is none."""
        path.with_name(f"{path.name}.draft").unlink(missing_ok=True)
        if not path.exists():
            return None
        values = json.loads(path.read_text(encoding="utf-8"))
        return cls(path, values["request"], Person.from_json(values["person"]), values["rows"])

    def remove(self) -> None:
        """Overwrite and remove the file."""
        with self.path.open("r+b") as stream:
            stream.write(b"\0" * self.path.stat().st_size)
            stream.flush()
            os.fsync(stream.fileno())
        self.path.unlink()


def full_build(settings: Settings) -> None:
    """Build everything from all rows and publish it as the only release."""
    build(replace(settings, keep=1), ["--full-refresh"], force=True, unit_tests=False)


# ------------------------------------------------------------------------------------- the steps


def begin(settings: Settings, wanted: str) -> _Pending | None:
    """Find the person and write the request down; None when there is nobody.

    Raises:
        LandingError: the warehouse cannot be opened.
        PersonError: the person cannot be told from others.
    """
    path = pending_file(settings.warehouse)
    if pending := _Pending.read(path):
        return pending
    tables = read_contract()
    with opened_warehouse(settings.warehouse) as con:
        create_raw(con)
        person = find_person(con, tables, wanted)
        if not (person.contacts or person.visitors) and not _stands_in_texts(con, person):
            return None
    pending = _Pending(path, f"er-{secrets.token_hex(6)}", person, {})
    pending.write()
    return pending


def _stands_in_texts(con: duckdb.DuckDBPyConnection, person: Person) -> bool:
    pattern = person.addresses(is_re2=True)
    if pattern is None:
        return False
    for table in read_contract().values():
        tests = " or ".join(
            f"regexp_matches({name_sql(name)}, $pattern)"
            for name in [*(column.name for column in table.columns), "_extra"]
        )
        found = con.execute(
            f"select 1 from raw.{name_sql(table.raw_name)} where {tests} limit 1",
            {"pattern": pattern},
        ).fetchone()
        if found:
            return True
    return False


def note(settings: Settings, pending: _Pending, wanted: str) -> None:
    """Write the request, hashed, and the list that keeps the person out."""
    journal = Journal(settings.warehouse.parent, salt_beside(settings.warehouse))
    if pending.request not in journal.requests:
        journal.append(
            [
                {
                    "event": "requested",
                    "request": pending.request,
                    "person": journal.hash("request", wanted.strip().lower()),
                    "warehouse": settings.warehouse.name,
                }
            ]
        )
    journal.suppress(pending.request, pending.person)


def rewrite_raw(settings: Settings, pending: _Pending) -> None:
    """Take the person out of everything that landed, in one transaction."""
    person = pending.person
    with opened_warehouse(settings.warehouse) as con:
        con.begin()
        set_names(con, person)
        rows = {}
        for table in read_contract().values():
            count = rewrite(con, f"raw.{name_sql(table.raw_name)}", table, person).about
            if count:
                rows[table.raw_name] = count
        _forget_files(con, person)
        forget_built(con)
        con.commit()
    if not pending.rows:
        pending.rows = rows
        pending.write()


def _forget_files(con: duckdb.DuckDBPyConnection, person: Person) -> None:
    """Take the person out of the names of files."""
    if (pattern := person.addresses(is_re2=True)) is None:
        return
    con.execute("delete from raw._files_seen where regexp_matches(path, $1)", [pattern])
    for column in ("file", "landing"):
        for (name,) in con.execute(
            f"select distinct {column} from raw._loads where regexp_matches({column}, $1)",
            [pattern],
        ).fetchall():
            con.execute(
                f"update raw._loads set {column} = $new where {column} = $old",
                {"new": person.redact(name), "old": name},
            )


def clean_files(settings: Settings) -> None:
    """Write the warehouse file anew, and remove what dbt and earlier builds have written."""
    compact(settings.warehouse)
    settings.state.unlink(missing_ok=True)
    remove_spilled(settings.warehouse)
    target = Path(os.environ.get("DBT_TARGET_PATH") or ROOT / "target")
    shutil.rmtree(target, ignore_errors=True)
    logs = Path(os.environ.get("DBT_LOG_PATH") or ROOT / "logs")
    for path in logs.glob("dbt.log*"):
        path.unlink()


def refuse_damaged_copies(settings: Settings) -> None:
    """A warehouse that was set aside as damaged holds everybody, where nobody can look for them.

    Raises:
        EraseError: there is one.
    """
    found = sorted(settings.warehouse.parent.glob(f"{settings.warehouse.name}.damaged-*"))
    if found:
        raise EraseError(
            f"{found[0]} is a damaged warehouse that was set aside; it may hold the person and "
            "cannot be searched. Remove it and run this again."
        )


def verify(settings: Settings, person: Person) -> None:
    """Look for every identifier of the person, in rows and in bytes.

    Raises:
        EraseError: something is left; the text says where and not what.
    """
    refuse_damaged_copies(settings)
    left = traces_of(
        person,
        warehouse=settings.warehouse,
        published=settings.published,
        places=(
            Path(os.environ.get("DBT_TARGET_PATH") or ROOT / "target"),
            Path(os.environ.get("DBT_LOG_PATH") or ROOT / "logs"),
        ),
    )
    if left:
        raise EraseError(
            f"The person is still to be found in {', '.join(left[:5])}"
            f"{' and more' if len(left) > 5 else ''}; nothing was certified. Run it again, and "
            "remove by hand what is not of parley's making."
        )


def _landings(settings: Settings) -> list[Path]:
    with opened_warehouse(settings.warehouse) as con:
        found = con.execute("select distinct landing from raw._loads").fetchall()
    return [DEMO if name == DEMO_LABEL else Path(name) for (name,) in found]


def erase(settings: Settings, wanted: str, *, make: Build = full_build) -> Certificate | None:
    """Erase the person `wanted` names; None when nothing is left to erase.

    A request left by a killed run is finished first.

    Raises:
        EraseError, LockHeldError, PersonError, OSError, duckdb.Error, one of `REFUSALS`: it is not
            finished; run it again.
    """
    settings.require_warehouse()
    refuse_damaged_copies(settings)
    resumed = None
    while True:
        certificate, was_pending = _erase_one(settings, wanted, make)
        if not was_pending:
            return certificate or resumed
        resumed = certificate


def _erase_one(settings: Settings, wanted: str, make: Build) -> tuple[Certificate | None, bool]:
    was_pending = pending_file(settings.warehouse).exists()
    with only_one(settings.warehouse.with_name(f"{settings.warehouse.name}.lock")):
        pending = begin(settings, wanted)
        if pending is None:
            return None, False
        note(settings, pending, wanted)
        rewrite_raw(settings, pending)
        clean_files(settings)
    make(settings)
    verify(settings, pending.person)
    certificate = Certificate(
        request=pending.request,
        erased_at=datetime.now(UTC).isoformat(timespec="seconds"),
        rows=pending.rows,
        contacts=len(pending.person.contacts),
        conversations=len(pending.person.conversations),
        release=current_release(settings.published) or "none",
        landed=landed_files_naming(pending.person, _landings(settings)),
        kept_elsewhere=[
            path.name
            for path in sorted(settings.warehouse.parent.iterdir())
            if path.name != settings.warehouse.name and OF_WAREHOUSES.search(path.name)
        ],
    )
    journal = Journal(settings.warehouse.parent, salt_beside(settings.warehouse))
    done: dict[str, Any] = {"event": "done", "request": pending.request}
    journal.append([done | {"rows": pending.rows, "release": certificate.release}])
    pending.remove()
    return certificate, was_pending


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, or 1 when the person is not wholly erased."""
    parser = argparse.ArgumentParser(
        prog="erase.py",
        description=(
            "Erase one person from the warehouse, the releases and their files, and keep them "
            "erased when they are exported again. KPIs stay what they were. See docs/privacy.md."
        ),
    )
    parser.add_argument(
        "person",
        nargs="?",
        default=os.environ.get("PARLEY_PERSON"),
        help="contact id, visitor id, e-mail address or telephone number (default: $PARLEY_PERSON)",
    )
    wanted = (parser.parse_args(arguments).person or "").strip()
    if not wanted:
        parser.error("say who, as in make erase PERSON=<contact id, e-mail or phone>")
    os.chdir(ROOT)
    # dbt writes down the command it was started with.
    del sys.argv[1:]
    os.environ.pop("PARLEY_PERSON", None)
    try:
        settings = Settings.from_environment(os.environ)
        certificate = erase(settings, wanted)
        if certificate is None:
            print(
                f"Nothing left to erase: the warehouse {settings.warehouse} holds nobody under "
                "this name."
            )
        else:
            print(certificate.text())
    except LockHeldError as error:
        print(f"A build is running ({error}); erase when it has ended.", file=sys.stderr)
        return 1
    except (*REFUSALS, EraseError, PersonError) as error:
        print(error, file=sys.stderr)
        return 1
    except (OSError, duckdb.Error) as error:
        reason = (error.strerror or "input failed") if isinstance(error, OSError) else ""
        print(
            f"The erasure is not finished ({reason or without_values(error)}); run it again.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("Interrupted; the erasure is not finished, run it again.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
