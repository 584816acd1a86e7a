"""Plans of the heaviest models of a built warehouse, by `EXPLAIN ANALYZE`, as text.

    python benchmarks/plans.py WAREHOUSE --results target/run_results.json --top 3

The statements are those dbt ran last; they are run again for reading only, so after a run that
computed everything they take what they took then, but for writing. `make bench` writes the plans
of its full build to `<size>.plans.txt`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from resources import duckdb_settings
from salt import hmac_blocks

TOP = 3
WIDTH = 96
LEAST_SHARE = 0.01  # of a statement's time, for an operator to be shown
# Details of an operator that say why it is slow; filters may quote values.
TOLD = ("Table", "Function", "Join Type", "Conditions", "Groups", "Order By")


def heaviest(results: Path, top: int) -> list[tuple[str, float, str]]:
    """Name, seconds and SQL of the models that took longest, by dbt's `run_results.json`."""
    ran = json.loads(results.read_text(encoding="utf-8"))["results"]
    models = [
        (str(result["unique_id"]).split(".")[-1], float(result["execution_time"]), str(code))
        for result in ran
        if result["unique_id"].startswith("model.") and (code := result.get("compiled_code"))
    ]
    return sorted(models, key=lambda model: -model[1])[:top]


def _operators(
    operator: Mapping[str, Any], depth: int = 0
) -> Iterator[tuple[int, Mapping[str, Any], str]]:
    """Each operator of a plan with its depth and its name, from the last one down to the scans."""
    name = str(operator.get("operator_name") or operator.get("operator_type") or "").strip()
    if name not in ("", "EXPLAIN_ANALYZE"):
        yield depth, operator, name
        depth += 1
    for child in operator.get("children", []):
        yield from _operators(child, depth)


def _line(depth: int, operator: Mapping[str, Any], name: str, total: float) -> str:
    seconds = float(operator.get("operator_timing", 0))
    details = operator.get("extra_info") or {}
    told = "; ".join(
        f"{key} {value if isinstance(value, str) else ', '.join(value)}"
        for key in TOLD
        if (value := details.get(key))
    )
    text = " ".join(f"{depth:>3} {name} {told}".split("\n")).rstrip()
    shown = text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."
    rows = int(operator.get("operator_cardinality", 0))
    return f"{seconds:9.3f} {seconds / total:6.0%} {rows:>13,}  {shown}"


def plan(con: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    """Run a statement and return its operators that take time: seconds of all threads, rows."""
    row = con.execute(f"explain (analyze, format json) {sql}").fetchone()
    assert row is not None
    profile = json.loads(row[1])
    operators = list(_operators(profile))
    seconds = [float(operator.get("operator_timing", 0)) for _, operator, _ in operators]
    total = sum(seconds) or 1.0
    lines = [
        f"{float(profile.get('latency', 0)):.2f} s; operators of all threads {total:.2f} s",
        f"{'seconds':>9} {'share':>6} {'rows':>13}  depth and operator",
    ]
    shown = [
        _line(*operator, total)
        for operator, own in zip(operators, seconds, strict=True)
        if own >= LEAST_SHARE * total
    ]
    left = len(operators) - len(shown)
    return [*lines, *shown, f"and {left} operators of less than {LEAST_SHARE:.0%} each"]


def plans(warehouse: Path, results: Path, top: int = TOP) -> str:
    """The plans of the heaviest models, as text.

    Raises:
        duckdb.Error, OSError: the warehouse or the results cannot be read.
    """
    inner, outer = hmac_blocks("plans publish nothing")
    parts = []
    settings = duckdb_settings(warehouse)
    with duckdb.connect(str(warehouse), read_only=True, config=settings) as con:
        con.execute("set TimeZone = 'UTC'")
        con.execute("set variable parley_hmac_inner = $1", [inner])
        con.execute("set variable parley_hmac_outer = $1", [outer])
        con.execute("set variable parley_build_digest = ''")
        for name, seconds, sql in heaviest(results, top):
            parts.append("\n".join([f"# {name}: {seconds:.2f} s in dbt", *plan(con, sql), ""]))
    return "\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="plans.py", description=str(__doc__).split("\n")[0])
    parser.add_argument("warehouse", type=Path, help="the DuckDB file")
    parser.add_argument(
        "--results", type=Path, default=Path("target/run_results.json"), metavar="FILE",
        help="dbt's run_results.json of its last full build (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--top", type=int, default=TOP, metavar="N", help="default: %(default)s")
    chosen = parser.parse_args(arguments)
    for path in (chosen.warehouse, chosen.results):
        if not path.is_file():
            print(f"There is no {path}; run a build first.", file=sys.stderr)
            return 1
    try:
        print(plans(chosen.warehouse, chosen.results, chosen.top))
    except duckdb.Error as error:
        print(f"DuckDB failed: {type(error).__name__}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
