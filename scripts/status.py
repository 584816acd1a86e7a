"""Say in one screen what is published, how fresh it is, what was rejected and what is pending.

`make status` runs this. It reads the published release, the run log and, if nobody writes to it,
the warehouse; it changes nothing. The exit code is 0 when what is published is whole and fresh.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from rich import box
from rich.console import Console
from rich.table import Table as Screen
from rich.text import Text

from build import ROOT, BuildError, Settings
from contract import ContractError
from database_errors import holder_text
from landed_file import name_sql, quoted
from load_report import count_text
from locking import holder_of
from publish import MARTS, current_release, releases_in
from resources import ResourceError, duckdb_settings
from run_log import Record, open_run, read_runs
from sources import rejected_in, sources_in

# A nightly build may take two hours longer than the one before.
FRESH_HOURS = 26.0
# Up to this size every value of a release is read; above, the rows of each table are counted.
READ_ALL_BYTES = 200_000_000

SHOWN_RUNS = 5
SHOWN_REJECTED = 8
SHOWN_PENDING = 5
SUCCESS = frozenset({"ok", "unchanged"})

Status = dict[str, Any]


class DamagedReleaseError(Exception):
    """What `current` leads to cannot be served; the text says what is wrong with it."""


# ------------------------------------------------------------------------------- what there is


@dataclass(frozen=True)
class _Release:
    """The marts of `current`, opened."""

    con: duckdb.DuckDBPyConnection
    folder: Path
    tables: list[str]

    def rows(self, table: str, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query over one mart; none if it is not published."""
        return self.con.execute(sql).fetchall() if table in self.tables else []


def _bytes_below(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # a build may remove it just now
            size += path.stat().st_size if path.is_file() else 0
    return size


def _checked_rows(release: _Release, *, read_all: bool) -> int:
    """Rows of all tables, which must be as many in both forms.

    Raises:
        DamagedReleaseError: a file is missing, or the two forms differ.
        duckdb.Error: a file cannot be read.
    """
    total = 0
    for table in release.tables:
        path = release.folder / MARTS / f"{table}.parquet"
        if not path.is_file():
            raise DamagedReleaseError(f"{path.name} is missing")
        measure = "count(*), bit_xor(hash(each))" if read_all else "count(*)"
        name = f"{MARTS}.{name_sql(table)}"
        both = [
            release.con.execute(f"select {measure} from {source} as each").fetchone()
            for source in (name, f"read_parquet({quoted(str(path))})")
        ]
        assert both[0] is not None
        if both[0] != both[1]:
            raise DamagedReleaseError(f"{path.name} and the table {table} differ")
        total += both[0][0]
    return total


def published_status(published: Path, now: datetime) -> Status:
    """What `current` holds.

    Returns:
        `release` (None when nothing is published) and, if it can be read, `published_at`,
        `age_hours`, `as_of`, `tables`, `rows`, `bytes`, `kept` releases, `rejected` and `pending`.

    Raises:
        DamagedReleaseError: `current` is there and cannot be read.
    """
    link = published / "current"
    if not link.is_symlink():
        if link.exists():
            raise DamagedReleaseError(f"{link} is not a link")
        return {"release": None}
    identity = current_release(published)
    if identity is None:
        raise DamagedReleaseError(f"{link} leads to nothing")
    folder = link.resolve()
    size = _bytes_below(folder)
    status: Status = {"release": identity, "bytes": size, "kept": len(releases_in(published))}
    with suppress(ValueError):
        moment = datetime.strptime(identity.split("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        status["published_at"] = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
        status["age_hours"] = round((now - moment).total_seconds() / 3600, 1)
    try:
        path = str(folder / "parley.duckdb")
        with duckdb.connect(path, read_only=True, config=duckdb_settings()) as con:
            names = con.execute(
                "select table_name from information_schema.tables where table_schema = $marts "
                "order by table_name",
                {"marts": MARTS},
            ).fetchall()
            release = _Release(con, folder, [name for (name,) in names])
            if not release.tables:
                raise DamagedReleaseError("it holds no table")
            status["rows"] = _checked_rows(release, read_all=size <= READ_ALL_BYTES)
            status["tables"] = len(release.tables)
            status |= _contents(release)
    except duckdb.Error as error:
        raise DamagedReleaseError(f"it cannot be read ({type(error).__name__})") from None
    return status


def _contents(release: _Release) -> Status:
    as_of = release.rows("kpi_values", "select max(as_of) from marts.kpi_values")
    episodes = release.rows(
        "fct_episodes",
        "select count(*) from marts.fct_episodes where is_involved and not is_mature",
    )
    pending = release.rows(
        "kpi_values",
        "select kpi, sum(pending), min(period_start) from marts.kpi_values "
        "where grain = 'month' and dimension = 'all' and pending > 0 "
        "group by kpi order by sum(pending) desc, kpi",
    )
    return {
        "as_of": f"{as_of[0][0]:%Y-%m-%dT%H:%M:%SZ}" if as_of and as_of[0][0] else None,
        "rejected": rejected_in(release.con),
        "pending": {
            "episodes": episodes[0][0] if episodes else 0,
            "kpis": [
                {"kpi": kpi, "members": int(members), "since": str(since)}
                for kpi, members, since in pending
            ],
        },
    }


def warehouse_status(warehouse: Path, runs: Sequence[Record]) -> Status:
    """State and sources of the warehouse; the last run's sources if somebody writes to it."""
    status: Status = {"path": str(warehouse), "state": "absent", "bytes": 0}
    logged = [run for run in runs if run.get("sources")]
    if logged:
        status |= {"sources": logged[-1]["sources"], "sources_seen_at": logged[-1]["ended_at"]}
    with suppress(OSError):
        status["bytes"] = warehouse.stat().st_size
        status["state"] = "readable"
        try:
            limits = duckdb_settings(warehouse)
            with duckdb.connect(str(warehouse), read_only=True, config=limits) as con:
                status |= {"sources": sources_in(con), "sources_seen_at": None}
        except duckdb.Error as error:
            is_locked = holder_text(str(error)) is not None
            status["state"] = "being written" if is_locked else "damaged"
    status["set_aside"] = sorted(
        path.name
        for path in warehouse.parent.glob(f"{warehouse.name}.damaged-*")
        if path.suffix != ".wal"
    )
    return status


def running_status(warehouse: Path) -> Status | None:
    """The build going on, if there is one: `pid`, `since`, `step`."""
    try:
        holder = holder_of(warehouse.with_name(f"{warehouse.name}.lock"))
    except OSError:
        return None
    if holder is None:
        return None
    run = open_run(warehouse) or {}
    step = run.get("step") if run.get("pid") == holder.get("pid") else None
    return holder | {"step": step}


def collect(settings: Settings, fresh_hours: float, now: datetime) -> Status:
    """All that `make status` shows, and the reasons why it is not healthy."""
    running = running_status(settings.warehouse)
    runs = read_runs(settings.warehouse)
    killed = open_run(settings.warehouse)
    if killed and running is None:
        runs.append(killed | {"outcome": "killed"})
    reasons: list[str] = []
    try:
        published = published_status(settings.published, now)
        if published["release"] is None:
            reasons.append("Nothing is published yet; make build publishes.")
    except DamagedReleaseError as damage:
        published = {"release": None, "damage": str(damage)}
        reasons.append(
            f"What {settings.published}/current leads to is damaged: {damage}. make build "
            "publishes anew; older releases stand beside it."
        )
    reasons += _run_reasons(runs, published, fresh_hours, now)
    warehouse = warehouse_status(settings.warehouse, runs)
    if warehouse["state"] == "damaged":
        reasons.append(
            f"The warehouse {settings.warehouse} cannot be opened; make build sets it aside."
        )
    return {
        "healthy": not reasons,
        "reasons": reasons,
        "published": published,
        "running": running,
        "warehouse": warehouse,
        "runs": [_short(run) for run in runs[-SHOWN_RUNS:]],
    }


def _run_reasons(
    runs: Sequence[Record], published: Status, fresh_hours: float, now: datetime
) -> list[str]:
    """Why the last runs are no ground to trust what is published."""
    ended = [run for run in runs if run.get("outcome") != "refused"]
    if not ended:
        return ["No run of make build is recorded for this warehouse."]
    last = ended[-1]
    if last.get("outcome") not in SUCCESS:
        why = f": {last['reason']}" if last.get("reason") else ""
        step = f" during {last['step']}" if last.get("step") else ""
        return [
            f"The last run, of {last.get('started_at')}, was {last.get('outcome')}{step}{why}."
            if last.get("outcome") in ("killed", "interrupted")
            else f"The last run, of {last.get('started_at')}, failed{step}{why}."
        ]
    reasons = []
    try:
        hours = (now - datetime.fromisoformat(last["ended_at"])).total_seconds() / 3600
    except (KeyError, TypeError, ValueError):
        return ["The run log is damaged; make build goes on with it."]
    if hours > fresh_hours:
        reasons.append(
            f"The last run ended {hours:,.0f} hours ago; more than {fresh_hours:g} is not fresh."
        )
    if published["release"] and last.get("release") != published["release"]:
        reasons.append(
            f"current is release {published['release']}, and not {last.get('release')}, which "
            "the last run of this warehouse left."
        )
    return reasons


def _short(run: Record) -> Status:
    names = ("run", "started_at", "ended_at", "outcome", "reason", "step", "built", "release")
    short = {name: run.get(name) for name in names}
    seconds = run.get("seconds")
    return short | {"seconds": seconds if isinstance(seconds, dict) else {}}


# ------------------------------------------------------------------------------- how it is shown


def _size(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def _age(hours: float) -> str:
    if hours < 0:
        return "in the future, by this clock"
    if hours < 1:
        return f"{count_text(round(hours * 60), 'minute')} old"
    return f"{count_text(round(hours), 'hour')} old" if hours < 48 else f"{hours / 24:.0f} days old"


def _moment(text: Any) -> str:
    return str(text).replace("T", " ").removesuffix("Z")[:16] if text else "-"


def _grid(*headers: str, numbers: Sequence[int] = ()) -> Screen:
    screen = Screen(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for number, header in enumerate(headers):
        screen.add_column(header, justify="right" if number in numbers else "left")
    return screen


def show(status: Status, console: Console) -> None:
    """Print one screen."""

    def line(text: str, style: str = "") -> None:
        console.print(Text(text, style=style), soft_wrap=True)

    published, warehouse, running = status["published"], status["warehouse"], status["running"]
    if status["healthy"]:
        line("Published data is whole and fresh.", "bold green")
    for reason in status["reasons"]:
        line(reason, "bold red")
    if running:
        step = f", in step {running['step']}" if running.get("step") else ""
        line(f"A build is running: process {running['pid']}, since {running['since']}{step}.")
    if published["release"]:
        line(
            f"Release {published['release']}, {_age(published.get('age_hours', 0))}, as of "
            f"{_moment(published.get('as_of'))}: {count_text(published['tables'], 'table')}, "
            f"{count_text(published['rows'], 'row')}, {_size(published['bytes'])}; "
            f"{count_text(published['kept'], 'release')} kept."
        )
    line(f"Warehouse {warehouse['path']}: {warehouse['state']}, {_size(warehouse['bytes'])}.")
    for name in warehouse["set_aside"]:
        line(f"Set aside as damaged: {name}.")
    _show_sources(warehouse, console)
    _show_rejected(published.get("rejected") or [], console)
    _show_pending(published.get("pending") or {}, console)
    _show_runs(status["runs"], console)


def _show_sources(warehouse: Status, console: Console) -> None:
    if not warehouse.get("sources"):
        return
    grid = _grid("source", "rows", "rejected", "latest row (UTC)", "last load", numbers=(1, 2))
    for table, source in warehouse["sources"].items():
        grid.add_row(
            table,
            f"{source['rows']:,}",
            f"{source.get('rejected', 0):,}",
            _moment(source.get("latest_at")),
            _moment(source.get("loaded_at")),
        )
    if warehouse.get("sources_seen_at"):
        grid.caption = f"as the run that ended {_moment(warehouse['sources_seen_at'])} left them"
        grid.caption_justify = "left"
    console.print(grid)


def _show_rejected(rejected: Sequence[Status], console: Console) -> None:
    if not rejected:
        console.print("No row is rejected.")
        return
    grid = _grid("rejected", "rows", "reason", numbers=(1,))
    for entry in rejected[:SHOWN_REJECTED]:
        grid.add_row(entry["table"], f"{entry['rows']:,}", entry["reason"])
    if rest := rejected[SHOWN_REJECTED:]:
        grid.add_row("others", f"{sum(entry['rows'] for entry in rest):,}", "see rejected_rows")
    console.print(grid)


def _show_pending(pending: Status, console: Console) -> None:
    kpis = pending.get("kpis") or []
    if not kpis:
        console.print("Nothing is pending.")
        return
    shown = ", ".join(f"{kpi['kpi']} {kpi['members']:,}" for kpi in kpis[:SHOWN_PENDING])
    more = f" and {len(kpis) - SHOWN_PENDING} more" if len(kpis) > SHOWN_PENDING else ""
    console.print(
        Text(
            f"Pending: {count_text(pending['episodes'], 'episode')} not yet mature; "
            f"{count_text(len(kpis), 'KPI')} with members that may still turn out either way, "
            f"since {min(kpi['since'] for kpi in kpis)}: {shown}{more}."
        ),
        soft_wrap=True,
    )


def _show_runs(runs: Sequence[Status], console: Console) -> None:
    if not runs:
        return
    grid = _grid("run (UTC)", "outcome", "seconds", "load / dbt / publish", "why", numbers=(2,))
    for run in reversed(runs):
        seconds = run["seconds"]
        steps = " / ".join(
            f"{seconds[step]:.1f}" if step in seconds else "-"
            for step in ("load", "dbt", "publish")
        )
        total = f"{seconds['total']:.1f}" if "total" in seconds else "-"
        is_killed = run["outcome"] == "killed"
        why = f"in {run['step']}" if is_killed else run["reason"] or run["built"] or ""
        grid.add_row(_moment(run["started_at"]), str(run["outcome"]), total, steps, Text(why))
    console.print(grid)


# ------------------------------------------------------------------------------- command line


def _fresh_hours() -> float:
    """The setting FRESH.

    Raises:
        BuildError: it is no positive number.
    """
    text = os.environ.get("PARLEY_FRESH") or str(FRESH_HOURS)
    with suppress(ValueError):
        if (hours := float(text)) > 0:
            return hours
    raise BuildError("FRESH must be the hours after which the last run is too old, above 0.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 when what is published is whole and fresh, 1 otherwise."""
    parser = argparse.ArgumentParser(
        prog="status.py",
        description=(
            "Say what is published, how fresh each source is, what was rejected, what is pending "
            "and how the last runs went. Exit code 0: what is published is whole, the last run "
            f"succeeded and ended at most PARLEY_FRESH ({FRESH_HOURS:g}) hours ago. See "
            "docs/operate.md."
        ),
    )
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")
    options = parser.parse_args(arguments)
    os.chdir(ROOT)
    try:
        settings = Settings.from_environment(os.environ)
        status = collect(settings, _fresh_hours(), datetime.now(UTC))
    except (BuildError, ContractError, ResourceError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or 'The disk'}: {error.strerror}.", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(status, ensure_ascii=False, indent=2))
    else:
        show(status, Console(highlight=False))
    return 0 if status["healthy"] else 1


if __name__ == "__main__":
    sys.exit(main())
