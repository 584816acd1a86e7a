"""Remove what landed and is too old, without changing a KPI of the periods that are kept.

`make prune BEFORE=<date>` or `DAYS=<n>` runs this. What goes are whole persons: everybody whose
last message, deal, ticket or other row lies more than `GUARD_DAYS` before the limit. See
docs/privacy.md.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb

from build import REFUSALS, Settings
from compact import compact, forget_built
from contract import Table, read_contract
from erase import Build, full_build
from erasures import THREADS
from landed_file import name_sql
from load import create_raw, opened_warehouse
from load_report import count_text
from locking import LockHeldError, only_one
from quiet_errors import without_values
from resources import remove_spilled

ROOT = Path(__file__).resolve().parent.parent

# The longest look back of any KPI over other people's rows is four months (growth of a topic);
# a day more for time zones. Looks back over one's own rows have no end: persons go whole.
GUARD_DAYS = 125


@dataclass
class Pruned:
    """Rows removed and rows left, by landed table with a row removed."""

    limit: date
    removed: dict[str, int]
    left: dict[str, int]


def _roots(edges: Iterator[tuple[str, str]]) -> dict[str, str]:
    """The nodes of a graph with a name of the connected part each lies in."""
    parents: dict[str, str] = {}

    def root(node: str) -> str:
        parents.setdefault(node, node)
        while parents[node] != node:
            parents[node] = parents[parents[node]]
            node = parents[node]
        return node

    for one, other in edges:
        parents[root(one)] = root(other)
    return {node: root(node) for node in list(parents)}


def _node(table: Table) -> str | None:
    """The node a row of a table hangs on, as SQL; None for a table without persons."""
    names = [column.name for column in table.columns]
    if table.raw_name in THREADS:
        return f"'thread ' || {THREADS[table.raw_name]}"
    conversation, contact = "'conversation ' || conversation_id", "'contact ' || contact_id"
    if "contact_id" in names and "conversation_id" in names:
        return f"coalesce({conversation}, {contact})"
    if "conversation_id" in names:
        return conversation
    return contact if "contact_id" in names else None


def _edges(
    con: duckdb.DuckDBPyConnection, tables: Mapping[str, Table]
) -> Iterator[tuple[str, str]]:
    """Pairs of nodes that stay or go together."""
    both = [
        f"select 'conversation ' || conversation_id, 'contact ' || contact_id from raw.{table.name}"
        for table in tables.values()
        if not table.platform
        and {"contact_id", "conversation_id"} <= {column.name for column in table.columns}
    ]
    cursor = con.execute(
        "select * from ("
        + " union ".join(
            [
                *both,
                "select 'contact ' || contact_id, 'contact ' || merged_into from raw.contacts",
                (
                    "select 'conversation ' || conversation_id, 'visitor ' || visitor_id "
                    "from raw.conversations where contact_id is null"
                ),
            ]
        )
        + ") as edges(one, other) where one is not null and other is not null"
    )
    while rows := cursor.fetchmany(100_000):
        yield from rows


def _last_instant(table: Table) -> str:
    """The latest instant of a row, as SQL; `infinity` when its own time is not one."""
    if table.raw_name in THREADS:
        instants = ["to_timestamp(try_cast(timestamp as double))::timestamp"]
    else:
        columns = [column.name for column in table.columns if column.data_type == "timestamp"]
        own = [column.name for column in table.columns if column.meta.get("own_time")]
        instants = [
            f"coalesce(try_cast(substr({name}, 1, 19) as timestamp), "
            + (
                "'infinity'::timestamp)"
                if name in own
                else f"case when {name} is not null then 'infinity'::timestamp end)"
            )
            for name in columns
        ]
    return f"coalesce(greatest({', '.join(instants)}), 'infinity'::timestamp)"


def _mark_old(
    con: duckdb.DuckDBPyConnection, tables: Mapping[str, Table], before: datetime
) -> None:
    """Fill the temporary table `old_nodes` with the nodes of persons who are to go."""
    roots = _roots(_edges(con, tables))
    con.execute("create or replace temp table roots (node text, root text)")
    if roots:
        con.execute(
            "insert into roots select unnest($nodes), unnest($roots)",
            {"nodes": list(roots), "roots": list(roots.values())},
        )
    selects = [
        f"select {node} as node, max({_last_instant(table)}) as last_at "
        f"from raw.{name_sql(table.raw_name)} group by {node}"
        for table in tables.values()
        if (node := _node(table)) is not None
    ]
    con.execute(
        "create or replace temp table old_nodes as "
        f"with nodes as ({' union all '.join(selects)}), "
        "parts as (select coalesce(roots.root, nodes.node) as root, nodes.node, nodes.last_at "
        "from nodes left join roots on nodes.node = roots.node where nodes.node is not null) "
        "select distinct node from parts where root in "
        "(select root from parts group by root having max(last_at) < $before)",
        {"before": before},
    )


def prune(settings: Settings, limit: date, *, make: Build = full_build) -> Pruned:
    """Remove whole persons whose last row is more than `GUARD_DAYS` older than `limit`.

    KPI values of periods that begin at or after `limit` do not change. The warehouse file is
    written anew, and everything is built and published again, as the only release.

    Raises:
        LockHeldError, OSError, duckdb.Error, one of `REFUSALS`: run it again.
    """
    settings.require_warehouse()
    before = datetime.combine(limit, datetime.min.time()) - timedelta(days=GUARD_DAYS)
    tables = read_contract()
    removed, left = {}, {}
    with only_one(settings.warehouse.with_name(f"{settings.warehouse.name}.lock")):
        with opened_warehouse(settings.warehouse) as con:
            create_raw(con)
            con.begin()
            _mark_old(con, tables, before)
            for table in tables.values():
                if (node := _node(table)) is None:
                    continue
                target = f"raw.{name_sql(table.raw_name)}"
                gone = f"{node} in (select node from old_nodes)"
                if table.platform:
                    con.execute(
                        "insert into raw._pruned select _file, count(*), "
                        f"max(try_cast(id as bigint)), sum(try_cast(id as bigint)) from {target} "
                        f"where {gone} and contains(_file, '#') group by _file"
                    )
                row = con.execute(f"delete from {target} where {gone}").fetchone()
                if row and row[0]:
                    removed[table.raw_name] = int(row[0])
                    count = con.execute(f"select count(*) from {target}").fetchone()
                    left[table.raw_name] = int(count[0]) if count else 0
            if removed:
                forget_built(con)
            con.commit()
        if removed:
            compact(settings.warehouse)
            settings.state.unlink(missing_ok=True)
            remove_spilled(settings.warehouse)
    if removed or not settings.state.exists():
        make(settings)
    return Pruned(limit, removed, left)


def _limit(before: str | None, days: str | None) -> date:
    """The first day that is kept.

    Raises:
        ValueError: not exactly one of the two is given, or it is no date or number.
    """
    if bool(before) == bool(days):
        raise ValueError("one date or one number of days")
    if before:
        return date.fromisoformat(before)
    if not str(days).isdecimal():
        raise ValueError("one date or one number of days")
    return datetime.now(UTC).date() - timedelta(days=int(str(days)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, or 1 with what failed on stderr."""
    parser = argparse.ArgumentParser(
        prog="prune.py",
        description=(
            "Remove what landed about people whose last row is older than a limit and "
            f"{GUARD_DAYS} days. KPIs of periods from the limit on do not change."
        ),
    )
    parser.add_argument("--before", metavar="DATE", default=os.environ.get("PARLEY_BEFORE"))
    parser.add_argument("--days", metavar="N", default=os.environ.get("PARLEY_DAYS"))
    chosen = parser.parse_args(arguments)
    try:
        limit = _limit(chosen.before, chosen.days)
    except ValueError:
        parser.error("give BEFORE=<date, as in 2026-01-31> or DAYS=<whole number>")
    os.chdir(ROOT)
    try:
        pruned = prune(Settings.from_environment(os.environ), limit)
    except LockHeldError as error:
        print(f"A build is running ({error}); prune when it has ended.", file=sys.stderr)
        return 1
    except REFUSALS as error:
        print(error, file=sys.stderr)
        return 1
    except (OSError, duckdb.Error) as error:
        reason = (error.strerror or "input failed") if isinstance(error, OSError) else ""
        print(f"Not pruned ({reason or without_values(error)}); run it again.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; not pruned, run it again.", file=sys.stderr)
        return 130
    for table, rows in pruned.removed.items():
        print(f"{table}: {count_text(rows, 'row')} removed, {pruned.left[table]:,} left")
    if not pruned.removed:
        print(f"Nobody's last row is more than {GUARD_DAYS} days before {limit}; nothing removed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
