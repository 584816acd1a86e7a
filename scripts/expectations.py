"""What is expected of data at the two borders, and the counts that tell whether it is so.

At the landing border stand the tables of the landing contract, of which a new load is looked at;
at the marts border the tables about to be published, of which every row counts. What is expected
follows from the YAML that describes the tables, so a column is described once. A few identities
between columns, which YAML cannot say, are written here (`RULES`).

DuckDB counts, over the whole table or a sample of a load; no value of a row leaves it. The counts
of a table are a `Suite`'s profile: one entry per column, one number per measure. Great
Expectations judges the profile, see quality.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import duckdb

from contract import ROOT, Column, Table, read_contract, read_yaml
from landed_file import name_sql, quoted
from personal_data import CANDIDATE, MARKS_IN_ID, holds_personal_data
from resources import duckdb_settings

# The entry of a profile that speaks of the table as a whole.
WHOLE = "(table)"

# Of a load with more rows a sample of this size is looked at: every n-th row.
SAMPLE_ROWS = 100_000

# A load is refused when of so many rows of a table all but this share are unusable for one column.
MEANINGLESS_ROWS = 50
MEANINGLESS_SHARE = 0.9

# What is only told: bad rows by the hundred, odd sizes of loads, a source that has gone quiet.
BAD_SHARE = 0.05
LOADS_COMPARED = 5
LOADS_NEEDED = 3
VOLUME_FACTOR = 4.0
FRESH_DAYS = {"conversation": 7.0, "crm": 31.0}

# A mart is told of that has halved or doubled since the release that is current.
DRIFT_FACTOR = 2.0
DRIFT_ROWS = 100

# Values a pattern cannot be ruled out for by DuckDB and that are looked at one by one, per column.
CANDIDATES = 200_000

NUMBERS = frozenset({"double", "bigint", "integer"})
RANGE = re.compile(r", (-?[0-9]+) to (-?[0-9]+)(?=[.;]|$)")


@dataclass(frozen=True)
class Expectation:
    """Bounds of one measure, for every column that has it.

    `wanted` says what is expected where the suite has no words for the column; `found` is a
    format of the measure's number.
    """

    measure: str
    wanted: str
    found: str
    low: float | None = None
    high: float | None = None
    is_error: bool = False

    def found_text(self, number: float) -> str:
        """What was found, in words."""
        text = self.found.format(number)
        return re.sub(r"^1 (\w+?)s\b", r"1 \1", text)


@dataclass
class Suite:
    """What is expected of one table, and its profile: `{column: {measure: number}}`.

    `words` holds what is expected of a column, where the contract says so; `load_id` is the load
    a landed table is judged for.
    """

    border: str
    table: str
    scope: str
    expectations: list[Expectation] = field(default_factory=list)
    profile: dict[str, dict[str, float]] = field(default_factory=dict)
    words: dict[tuple[str, str], str] = field(default_factory=dict)
    load_id: int | None = None

    def count(self, column: str, measure: str, number: float, words: str = "") -> None:
        """Enter a number, and what is expected of it in words."""
        self.profile.setdefault(column, {})[measure] = float(number)
        if words:
            self.words[column, measure] = words


def declared_range(column: Mapping[str, Any]) -> tuple[float, float] | None:
    """The bounds a number's description states at its end, as `Confidence, 0 to 1` does."""
    stated = RANGE.search(str(column.get("description", "")))
    if stated is None or str(column.get("data_type")).lower() not in NUMBERS:
        return None
    return float(stated.group(1)), float(stated.group(2))


def is_stated(column: Mapping[str, Any]) -> bool:
    """Whether a number follows from what a platform states alone, so that it may be below zero."""
    return bool((column.get("config") or {}).get("meta", {}).get("is_stated"))


def _row(con: duckdb.DuckDBPyConnection, sql: str, parameters: Any = None) -> tuple[Any, ...]:
    row = con.execute(sql, parameters).fetchone()
    assert row is not None
    return row


# ------------------------------------------------------------------------------------- landing

LANDING = (
    Expectation(
        "unusable",
        "",
        "{:.0%} of the rows unusable",
        high=MEANINGLESS_SHARE,
        is_error=True,
    ),
    Expectation("unusable", "", "{:.1%} of the rows unusable", high=BAD_SHARE),
    Expectation("outside", "values within their range", "{:.1%} of them outside", high=0),
    Expectation("gone", "the column, which the load before had", "none", high=0),
)

TYPE_WORDS = {
    "timestamp": "an ISO 8601 instant",
    "date": "a date",
    "double": "a number",
    "bigint": "a whole number",
    "integer": "a whole number",
    "boolean": "true or false",
}


def _castable(text: str, data_type: str) -> str:
    """Whether a landed text is a value of its type; near enough to what the models cast."""
    if data_type == "timestamp":
        return f"{text} like '____-__-__%' and try_cast({text} as timestamptz) is not null"
    if data_type in NUMBERS:
        return f"isfinite(try_cast({text} as double))"
    return f"try_cast({text} as {data_type}) is not null"


def _unusable(column: Column) -> tuple[str, str] | None:
    """When a column's value makes its row unusable, as SQL, and what is wanted instead."""
    text, data_type = name_sql(column.name), column.data_type.lower()
    accepted = column.meta.get("accepted_values") or []
    if data_type in TYPE_WORDS:
        bad = f"({text} is not null and not coalesce({_castable(text, data_type)}, false))"
        wanted = TYPE_WORDS[data_type]
    elif accepted:
        bad = f"coalesce({text} not in ({', '.join(map(quoted, accepted))}), false)"
        wanted = f"one of {', '.join(accepted)}"
    elif column.is_required:
        bad, wanted = "false", "a value"
    else:
        return None
    if column.is_required:
        return f"({text} is null or {bad})", f"{wanted} in every row"
    return bad, f"{wanted} or nothing"


def as_of() -> datetime:
    """The instant a build looks from, by the rule of the macro `as_of`; naive, UTC."""
    variables = read_yaml(ROOT / "dbt_project.yml").get("vars") or {}
    given = variables.get("as_of") or os.environ.get("PARLEY_AS_OF")
    named = [os.environ.get(name) for name in ("PARLEY_LANDING", "PARLEY_WAREHOUSE")]
    if not given and not any(named):
        given = variables.get("demo_as_of")
    try:
        instant = datetime.fromisoformat(str(given))
    except ValueError:  # none is given, or dbt will refuse it
        instant = datetime.now(UTC)
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return aware.astimezone(UTC).replace(tzinfo=None)


class _Landing:
    """The loads of a warehouse, and the profile of one of them."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con
        self.tables = read_contract()
        self.ranges = _landed_ranges()
        self.rows: dict[int, dict[str, int]] = {}
        self.missing: dict[int, dict[str, set[str]]] = {}
        for load_id, table, rows, missing in con.execute(
            "select load_id, table_name, row_count, missing_columns from raw._loads "
            "where removed_at is null order by load_id"
        ).fetchall():
            of_load = self.rows.setdefault(load_id, {})
            of_load[table] = of_load.get(table, 0) + rows
            lacking = self.missing.setdefault(load_id, {})
            lacking[table] = lacking[table] & set(missing) if table in lacking else set(missing)

    def before(self, load_id: int) -> list[int]:
        """The loads before one, newest first."""
        return sorted((other for other in self.rows if other < load_id), reverse=True)

    def relation(self, table: Table, load_ids: Collection[int], rows: int) -> str:
        """The rows of loads, or a sample of them: every n-th by its number."""
        step = max(1, -(-rows // SAMPLE_ROWS))
        listed = ", ".join(str(load_id) for load_id in load_ids)
        every = f" and _row_id % {step} = 0" if step > 1 else ""
        return f"raw.{name_sql(table.raw_name)} where _load_id in ({listed}){every}"

    def suite(self, table: Table, load_id: int) -> Suite | None:
        """What one load brought of a table; None when it brought none and none was due."""
        rows = self.rows[load_id].get(table.raw_name, 0)
        suite = Suite("landing", table.raw_name, f"{rows:,} rows of load {load_id}")
        suite.load_id = load_id
        suite.expectations += LANDING if rows >= MEANINGLESS_ROWS else LANDING[1:]
        if rows:
            if rows > SAMPLE_ROWS:
                suite.scope += f", every {-(-rows // SAMPLE_ROWS)}th looked at"
            self._columns(suite, table, self.relation(table, [load_id], rows))
            self._gone(suite, table, load_id)
        self._volume(suite, table, load_id, rows)
        return suite if suite.profile else None

    def _columns(self, suite: Suite, table: Table, relation: str) -> None:
        counted: list[tuple[str, str, str, str]] = []
        for column in table.columns:
            if unusable := _unusable(column):
                bad, wanted = unusable
                counted.append((column.name, "unusable", f"avg(cast({bad} as int))", wanted))
            number = f"try_cast({name_sql(column.name)} as double)"
            if bounds := self.ranges.get((table.raw_name, column.name)):
                low, high = bounds
                out = f"avg(cast({number} not between {low} and {high} as int))"
                counted.append((column.name, "outside", out, f"{low:g} to {high:g}"))
        if {"score", "scale_max"} <= {column.name for column in table.columns}:
            score, most = "try_cast(score as double)", "try_cast(scale_max as double)"
            out = f"avg(cast({score} not between 0 and {most} as int))"
            counted.append(("score", "outside", out, "0 to scale_max"))
        numbers = _row(
            self.con,
            f"select {', '.join(['count(*)', *(sql for _, _, sql, _ in counted)])} from {relation}",
        )[1:]
        for (name, measure, _, wanted), number in zip(counted, numbers, strict=True):
            suite.count(name, measure, number or 0, wanted)

    def _gone(self, suite: Suite, table: Table, load_id: int) -> None:
        former = next((id_ for id_ in self.before(load_id) if table.raw_name in self.rows[id_]), 0)
        if former:
            lacking = self.missing[load_id][table.raw_name]
            for name in sorted(lacking - self.missing[former][table.raw_name]):
                suite.count(name, "gone", 1)

    def _volume(self, suite: Suite, table: Table, load_id: int, rows: int) -> None:
        earlier = self.before(load_id)[:LOADS_COMPARED]
        sizes = [size for other in earlier if (size := self.rows[other].get(table.raw_name, 0))]
        if len(sizes) < LOADS_NEEDED or median(sizes) < MEANINGLESS_ROWS:
            return
        usual = median(sizes)
        low, high = usual / VOLUME_FACTOR, usual * VOLUME_FACTOR
        wanted = f"{low:,.0f} to {high:,.0f} rows, a quarter to four times the last loads"
        suite.expectations.append(Expectation("rows", wanted, "{:,.0f} rows", low, high))
        suite.count(WHOLE, "rows", rows)

    def freshness(self, table: Table, instant: datetime) -> Suite | None:
        """How long before as-of the newest row of a table came into being."""
        own_time = next((c.name for c in table.columns if c.meta.get("own_time")), None)
        days = FRESH_DAYS.get(table.side)
        loads = [id_ for id_ in sorted(self.rows) if self.rows[id_].get(table.raw_name)]
        if own_time is None or days is None or not loads:
            return None
        lag, newest = None, loads[-1:]
        for newest in (loads[-1:], loads[-LOADS_COMPARED:]):  # seldom more than the newest one
            lag = self._lag(table, own_time, newest, instant)
            if lag is not None and lag <= days:
                break
        if lag is None:
            return None
        loads_looked_at = f"the last {len(newest)} loads" if len(newest) > 1 else "the last load"
        suite = Suite("landing", table.raw_name, loads_looked_at)
        wanted = f"a row of the {days:.0f} days before as-of"
        found = "the newest {:,.0f} days before it"
        suite.expectations.append(Expectation("days since", wanted, found, high=days))
        suite.count(own_time, "days since", lag)
        return suite

    def _lag(
        self, table: Table, own_time: str, load_ids: Collection[int], instant: datetime
    ) -> float | None:
        """Days from the newest row of loads to an instant; None without a row that tells."""
        rows = sum(self.rows[load_id][table.raw_name] for load_id in load_ids)
        text = name_sql(own_time)
        lag: float | None
        (lag,) = _row(
            self.con,
            "select date_diff('hour', max(moment), $instant) / 24.0 from (select timezone('UTC', "
            f"case when {text} like '____-__-__%' then try_cast({text} as timestamptz) end) "
            f"as moment from {self.relation(table, load_ids, rows)}) "
            "where moment <= $instant + interval 1 day",
            {"instant": instant},
        )
        return lag


def _landed_ranges() -> dict[tuple[str, str], tuple[float, float]]:
    path = ROOT / "models" / "conformed" / "_conformed__models.yml"
    return {
        (model["name"].removeprefix("conformed_"), column["name"]): bounds
        for model in read_yaml(path).get("models") or []
        for column in model.get("columns") or []
        if (bounds := declared_range(column))
    }


def unchecked_loads(con: duckdb.DuckDBPyConnection) -> list[int]:
    """Loads that no landing checkpoint has passed yet, oldest first."""
    checked = "where removed_at is null"
    if con.execute(
        "select 1 from duckdb_tables() where schema_name = 'raw' and table_name = '_load_checks'"
    ).fetchone():
        checked += " and load_id not in (select load_id from raw._load_checks)"
    found = con.execute(f"select distinct load_id from raw._loads {checked} order by 1").fetchall()
    return [load_id for (load_id,) in found]


def landing_suites(
    con: duckdb.DuckDBPyConnection, load_ids: Collection[int] | None = None
) -> Iterator[Suite]:
    """Yield the suites of loads, and of how fresh each table is.

    Args:
        con: the warehouse.
        load_ids: the loads; the newest one when None.
    """
    landing = _Landing(con)
    chosen = sorted(landing.rows)[-1:] if load_ids is None else sorted(load_ids)
    instant = as_of()
    for table in landing.tables.values():
        fresh = landing.freshness(table, instant)
        for load_id in chosen:
            suite = landing.suite(table, load_id)
            if suite and fresh and load_id == chosen[-1]:
                suite.expectations += fresh.expectations
                for column, measures in fresh.profile.items():
                    suite.profile.setdefault(column, {}).update(measures)
                fresh = None
            if suite:
                yield suite
        if fresh:
            yield fresh


# --------------------------------------------------------------------------------------- marts

MARTS = (
    Expectation("missing", "a value in every row", "{:,.0f} rows without", high=0, is_error=True),
    Expectation("repeated", "each value once", "{:,.0f} repeated", high=0, is_error=True),
    Expectation("unlisted", "", "{:,.0f} rows with another value", high=0, is_error=True),
    Expectation("outside", "", "{:,.0f} rows outside", high=0, is_error=True),
    Expectation("broken", "", "{:,.0f} rows where it is not so", high=0, is_error=True),
    Expectation(
        "personal",
        "no e-mail address, telephone, identity or card number",
        "{:,.0f} values that might be one",
        high=0,
        is_error=True,
    ),
)


@dataclass(frozen=True)
class Rule:
    """An identity between columns of a mart: `broken` is true of a row that is not as it should."""

    table: str
    column: str
    needs: tuple[str, ...]
    wanted: str
    broken: str
    other_table: str = ""


RULES = (
    Rule(
        "kpi_values",
        "value",
        ("kpi", "value"),
        "rates within 0 and 1",
        "value not between 0 and 1 and kpi in "
        "(select catalog.kpi from marts.kpi_catalog as catalog where catalog.unit = 'rate')",
        "kpi_catalog",
    ),
    Rule(
        "kpi_values",
        "ci_low",
        ("value", "ci_low", "ci_high"),
        "ci_low <= value <= ci_high, and none or both of the bounds",
        "ci_low > value + 1e-9 * greatest(abs(value), 1) "
        "or ci_high < value - 1e-9 * greatest(abs(value), 1) "
        "or (ci_low is null) <> (ci_high is null)",
    ),
    Rule(
        "kpi_values",
        "is_final",
        ("pending", "is_final"),
        "final values without pending members, and no others",
        "is_final <> (pending = 0)",
    ),
    Rule(
        "fct_episodes",
        "outcome",
        ("outcome", "is_involved", "is_mature", "is_resolved"),
        "one outcome for each involved episode and for no other, pending until it is mature, "
        "confirmed or assumed if resolved",
        "is_involved <> (outcome is not null) "
        "or (is_involved and is_mature) <> (is_resolved is not null) "
        "or (is_involved and is_mature = (outcome = 'pending')) "
        "or is_resolved <> (outcome in ('confirmed', 'assumed'))",
    ),
    Rule(
        "reconciliation",
        "raw_rows",
        ("raw_rows", "accepted", "superseded", "rejected"),
        "raw rows that add up from accepted, superseded and rejected ones",
        "raw_rows <> accepted + superseded + rejected",
    ),
)


def _is_id(name: str) -> bool:
    """Whether a column holds ids, hashes or file names, in which long numbers are usual."""
    return name in ("id", "file", "agent_day") or name.endswith(("_id", "_key"))


def _candidate(column: str) -> str:
    """Whether a text may hold personal data, as SQL; without a pattern in a quarter of the time."""
    text = name_sql(column)
    if _is_id(column):
        return f"({' or '.join(f'contains({text}, {quoted(mark)})' for mark in MARKS_IN_ID)})"
    return f"regexp_matches({text}, {quoted(CANDIDATE)})"


@dataclass(frozen=True)
class Mart:
    """A table of schema `marts` as its YAML describes it."""

    name: str
    columns: tuple[Mapping[str, Any], ...]
    keys: tuple[tuple[str, ...], ...]


def _tests(described: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for test in described.get("data_tests") or []:
        if isinstance(test, str):
            yield test, {}
        else:
            ((name, options),) = list(test.items())[:1]
            yield name, (options or {}).get("arguments") or {}


def read_marts(root: Path = ROOT) -> dict[str, Mart]:
    """Return the described tables of schema `marts`, by name, keys as their uniqueness tests say.

    Raises:
        ContractError: the YAML cannot be read.
    """
    marts: dict[str, Mart] = {}
    for path in sorted((root / "models" / "marts").rglob("*.yml")):
        for model in read_yaml(path).get("models") or []:
            columns = tuple(model.get("columns") or [])
            keys = [
                tuple(options["columns"])
                for name, options in _tests(model)
                if name == "unique_combination"
            ]
            keys += [
                (column["name"],)
                for column in columns
                if any(name == "unique" for name, _ in _tests(column))
            ]
            marts[model["name"]] = Mart(model["name"], columns, tuple(keys))
    return marts


class _Marts:
    """The profile of marts: over all rows, or those the last run wrote where the others passed."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        former: Mapping[str, int],
        written: Collection[str],
    ) -> None:
        self.con = con
        self.former = former
        self.written = frozenset(written)
        self.landed_ranges = tuple(column for _, column in _landed_ranges())
        self.types: dict[str, dict[str, str]] = {}
        for table, column, data_type in con.execute(
            "select table_name, column_name, data_type from duckdb_columns() "
            "where schema_name = 'marts' and database_name = current_database()"
        ).fetchall():
            self.types.setdefault(table, {})[column] = data_type

    def suite(self, mart: Mart) -> Suite:
        """What is expected of a mart, and what it holds."""
        suite = Suite("marts", mart.name, "")
        suite.expectations += MARTS
        is_written = mart.name in self.written
        relation = f"{'touched' if is_written else 'marts'}.{name_sql(mart.name)}"
        rows = self._columns(suite, mart, relation)
        suite.scope = f"all {rows:,} rows"
        if is_written:
            written = rows
            (rows,) = _row(self.con, f"select count(*) from marts.{name_sql(mart.name)}")
            suite.scope = f"{rows:,} rows, of which the {written:,} written last are looked at"
        self._keys(suite, mart, relation)
        self._rules(suite, mart, relation)
        self._drift(suite, mart, rows)
        return suite

    def _columns(self, suite: Suite, mart: Mart, relation: str) -> int:
        counted: list[tuple[str, str, str, str]] = []
        for column in mart.columns:
            name, text = column["name"], name_sql(column["name"])
            if name not in self.types[mart.name]:
                continue  # of another version of the models; dbt's contract speaks of it
            if any(one.get("type") == "not_null" for one in column.get("constraints") or []):
                counted.append((name, "missing", f"{text} is null", ""))
            for test, options in _tests(column):
                if test == "accepted_values":
                    listed = [str(value) for value in options["values"]]
                    bad = f"{text} not in ({', '.join(map(quoted, listed))})"
                    counted.append((name, "unlisted", bad, f"one of {', '.join(listed)}"))
            if name.startswith(self.landed_ranges):
                continue  # what a platform states, told of at the landing border (decision 13)
            if bounds := declared_range(column):
                low, high = bounds
                bad = f"{text} not between {low} and {high}"
                counted.append((name, "outside", bad, f"{low:g} to {high:g}"))
            elif name.endswith(("_count", "_seconds")) and not is_stated(column):
                counted.append((name, "outside", f"{text} < 0", "0 or more"))
        texts = [name for name, kind in self.types[mart.name].items() if kind == "VARCHAR"]
        counted += [(name, "personal", _candidate(name), "") for name in texts]
        counts = [f"count(*) filter (where {bad})" for _, _, bad, _ in counted]
        rows, *numbers = _row(
            self.con, f"select {', '.join(['count(*)', *counts])} from {relation}"
        )
        for (name, measure, _, wanted), number in zip(counted, numbers, strict=True):
            is_doubtful = measure == "personal" and number > 0
            found = self._personal(relation, name) if is_doubtful else number
            suite.count(name, measure, found, wanted)
        return int(rows)

    def _keys(self, suite: Suite, mart: Mart, relation: str) -> None:
        for key in mart.keys:
            if set(key) <= self.types[mart.name].keys():
                names = ", ".join(map(name_sql, key))
                (number,) = _row(
                    self.con,
                    f"select count(*) from (select {names} from {relation} "
                    f"group by {names} having count(*) > 1)",
                )
                suite.count(", ".join(key), "repeated", number)

    def _rules(self, suite: Suite, mart: Mart, relation: str) -> None:
        for rule in RULES:
            is_there = rule.table == mart.name and set(rule.needs) <= self.types[mart.name].keys()
            if is_there and (not rule.other_table or rule.other_table in self.types):
                (number,) = _row(self.con, f"select count(*) from {relation} where {rule.broken}")
                suite.count(rule.column, "broken", number, rule.wanted)

    def _personal(self, relation: str, column: str) -> int:
        """Distinct values of a text column that hold a pattern of personal data."""
        name, is_id = name_sql(column), _is_id(column)
        found = self.con.execute(
            f"select distinct {name} from {relation} where {_candidate(column)} "
            f"and not regexp_full_match({name}, '[0-9a-f]{{64}}') order by 1 limit {CANDIDATES}"
        )
        number = 0
        while batch := found.fetchmany(10_000):
            number += sum(holds_personal_data(value, is_id=is_id) for (value,) in batch)
        return number

    def _drift(self, suite: Suite, mart: Mart, rows: int) -> None:
        former = self.former.get(mart.name, 0)
        if former < DRIFT_ROWS:
            return
        low, high = former / DRIFT_FACTOR, former * DRIFT_FACTOR
        wanted = f"{low:,.0f} to {high:,.0f} rows, half to twice the current release"
        suite.expectations.append(Expectation("rows", wanted, "{:,.0f} rows", low, high))
        suite.count(WHOLE, "rows", rows)


def released_rows(release: Path) -> dict[str, int]:
    """Rows by table of a published `parley.duckdb`; none when it cannot be read."""
    try:
        with duckdb.connect(str(release), read_only=True, config=duckdb_settings()) as con:
            return {
                name: int(_row(con, f"select count(*) from marts.{name_sql(name)}")[0])
                for (name,) in con.execute(
                    "select table_name from duckdb_tables() where schema_name = 'marts'"
                ).fetchall()
            }
    except duckdb.Error:
        return {}


def marts_suites(
    con: duckdb.DuckDBPyConnection,
    tables: Collection[str] | None,
    former: Mapping[str, int],
    written: Collection[str] = (),
) -> Iterator[Suite]:
    """Yield the suites of marts.

    Args:
        con: the warehouse.
        tables: the tables to be published; all that are described and built when None.
        former: rows by table of the release that is current.
        written: tables of which the rows the last run wrote, in `touched`, are looked at.
    """
    marts, described = _Marts(con, former, written), read_marts()
    for name in sorted(marts.types if tables is None else tables):
        if name in marts.types and (name in described or tables is not None):
            yield marts.suite(described.get(name, Mart(name, (), ())))
