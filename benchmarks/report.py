"""The results of a benchmark as tables on the terminal, as Markdown and as a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from rich.console import Console
from rich.table import Table

STEPS = ("load", "quality", "dbt", "publish")
COLOURS = ("#4c78a8", "#9ecae9", "#f58518", "#54a24b", "#bab0ac")
HEAVIEST = 10
ENGINES = ("DuckDB", "Spark")

# What others were measured at, on two cores of the same class of machine, DuckDB, full build of
# their models and tests without loading and publishing: seconds, million rows or events, peak GB.
YARDSTICKS = (
    ("Fivetran's Intercom package, 1.0M conversations", 93.0, 10.3, 4.7),
    ("Fivetran's Zendesk package, 1.0M tickets", 529.0, 13.8, 8.1),
    ("Segment sessionization by dbt Labs, first run", 110.0, 10.0, 5.6),
    ("Segment sessionization by dbt Labs, second run", 29.0, 10.0, None),
)


@dataclass(frozen=True)
class Sheet:
    """A table of results: title, head, rows of text; the first column is left-aligned."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def _seconds(number: float | None) -> str:
    return "" if number is None else f"{number:,.1f}"


def _bytes(number: float) -> str:
    return f"{number / 1e9:,.2f} GB" if number >= 1e9 else f"{number / 1e6:,.0f} MB"


def _total(rows: Mapping[str, int]) -> int:
    return sum(rows.values())


def sheets(results: Mapping[str, Any]) -> list[Sheet]:
    """All tables of a benchmark's results."""
    found = [
        _times(results["runs"]),
        _models(results),
        _places(results["runs"]),
        _floor(results),
        _loading(results["loading"]),
        _yardsticks(results),
        _heaviest(results["runs"][0]),
    ]
    return [sheet for sheet in found if sheet.rows]


def _times(runs: Sequence[Mapping[str, Any]]) -> Sheet:
    return Sheet(
        "Seconds of a run",
        ("run", "whole", *STEPS, "processor", "outcome"),
        [
            (
                run["run"],
                _seconds(run["seconds"]),
                *(_seconds(run["steps"].get(step)) for step in STEPS),
                _seconds(run["cpu_seconds"]),
                run["outcome"],
            )
            for run in runs
        ],
    )


def _models(results: Mapping[str, Any]) -> Sheet:
    before = 0
    rows = []
    for run in results["runs"]:
        messages = run["raw_rows"]["messages"]
        million = messages / 1e6 if run["run"] == "full" else None
        rows.append(
            (
                run["run"],
                f"{messages - before:,}",
                _seconds(run["model_seconds"]),
                _seconds(run["model_wall_seconds"]),
                _seconds(run["model_seconds"] / million if million else None),
                _seconds(run["model_wall_seconds"] / million if million else None),
                _seconds(run["seconds"] / million if million else None),
            )
        )
        before = messages
    return Sheet(
        "Models, and seconds per million messages",
        (
            "run", "new messages", "models, added up", "models, wall", "added up per M",
            "wall per M", "whole per M",
        ),
        rows,
    )  # fmt: skip


def _places(runs: Sequence[Mapping[str, Any]]) -> Sheet:
    return Sheet(
        "Memory and disk",
        (
            "run", "peak memory", "largest process", "peak spill", "peak disk", "warehouse",
            "release", "raw rows", "mart rows",
        ),
        [
            (
                run["run"],
                _bytes(run["peak_memory_bytes"]),
                _bytes(run["largest_process_bytes"]),
                _bytes(run["peak_spill_bytes"]),
                _bytes(run["peak_disk_bytes"]),
                _bytes(run["warehouse_bytes"]),
                _bytes(run["release_bytes"]),
                f"{_total(run['raw_rows']):,}",
                f"{_total(run['marts_rows']):,}",
            )
            for run in runs
        ],
    )  # fmt: skip


def floor_seconds(results: Mapping[str, Any]) -> float:
    """Seconds of the floor: all landed columns read, all marts written."""
    floor = results["floor"]
    return float(floor["scan"]["seconds"]) + float(floor["write"]["seconds"])


def _floor(results: Mapping[str, Any]) -> Sheet:
    full = results["runs"][0]
    floor = results["floor"]
    total = floor_seconds(results)
    rows = [
        ("reading the landed Parquet", f"{floor['scan']['seconds']:.2f}", ""),
        ("writing the marts", f"{floor['write']['seconds']:.2f}", ""),
        ("floor", f"{total:.2f}", "1.0"),
        ("models of the full run, wall", _seconds(full["model_wall_seconds"]),
         f"{full['model_wall_seconds'] / total:.1f}"),
        ("whole full run", _seconds(full["seconds"]), f"{full['seconds'] / total:.1f}"),
    ]  # fmt: skip
    return Sheet(
        "The floor, measured in the same run", ("what", "seconds", "times the floor"), rows
    )


def _loading(loading: Sequence[Mapping[str, Any]]) -> Sheet:
    return Sheet(
        "Loading messages",
        ("format", "messages", "file", "seconds", "messages per second", "plain DuckDB",
         "times as long", "peak memory"),
        [
            (
                load["format"],
                f"{load['messages']:,}",
                _bytes(load["file_bytes"]),
                f"{load['seconds']:.2f}",
                f"{load['messages'] / load['seconds']:,.0f}",
                f"{load['plain_messages'] / load['plain_seconds']:,.0f}",
                f"{load['seconds'] / load['plain_seconds']:.1f}",
                _bytes(load["peak_memory_bytes"]),
            )
            for load in loading
        ],
    )  # fmt: skip


def _yardsticks(results: Mapping[str, Any]) -> Sheet:
    full = results["runs"][0]
    million = full["raw_rows"]["messages"] / 1e6
    dbt = full["steps"].get("dbt", 0.0)
    own = [
        ("parley, dbt of the full run: models and tests", dbt),
        ("parley, whole full run", full["seconds"]),
    ]
    rows = [
        (name, _seconds(seconds), f"{million:,.2f}", f"{seconds / million:.1f}",
         _bytes(full["peak_memory_bytes"]))
        for name, seconds in own
    ]  # fmt: skip
    rows += [
        (name, _seconds(seconds), f"{count:,.1f}", f"{seconds / count:.1f}",
         _bytes(memory * 1e9) if memory else "")
        for name, seconds, count, memory in YARDSTICKS
    ]  # fmt: skip
    return Sheet(
        "Beside others, as they were measured on the same class of machine",
        ("what", "seconds", "million messages, rows or events", "seconds per million", "memory"),
        rows,
    )


def _heaviest(full: Mapping[str, Any]) -> Sheet:
    return Sheet(
        "Heaviest models of the full run",
        ("model", "seconds", "share"),
        [
            (name, f"{seconds:.2f}", f"{seconds / full['model_seconds']:.0%}")
            for name, seconds in list(full["models"].items())[:HEAVIEST]
        ],
    )


def engine_sheets(results: Mapping[str, Any]) -> list[Sheet]:
    """The tables of Spark beside DuckDB."""
    return [*(_beside(found) for found in results["sizes"]), _divided(results)]


def _beside(found: Mapping[str, Any]) -> Sheet:
    """What each run of one size took, and how many times DuckDB's Spark's is."""
    figures = ("seconds", "cpu_seconds", "model_seconds", "model_wall_seconds", "peak_memory_bytes")
    runs = {run["run"]: run for run in found["runs"]}
    duckdb, spark = (runs[name] for name in ENGINES)
    rows = [
        (
            name,
            *(_seconds(run[figure] or None) for figure in figures[:-1]),
            _bytes(run["peak_memory_bytes"]),
            f"{_total(run['marts_rows']):,}" if "marts_rows" in run else "",
        )
        for name, run in runs.items()
    ]
    ratios = (f"{spark[figure] / duckdb[figure]:.1f}" for figure in figures)
    return Sheet(
        f"{found['messages']:,} messages on both engines",
        (
            "run", "whole", "processor", "models, added up", "models, wall", "peak memory",
            "mart rows",
        ),
        [*rows, (" / ".join(reversed(ENGINES)), *ratios, "")],
    )  # fmt: skip


def _divided(results: Mapping[str, Any]) -> Sheet:
    small, large = results["sizes"]
    rows = []
    for name in ENGINES:
        spent = [
            run["cpu_seconds"]
            for found in (small, large)
            for run in found["runs"]
            if run["run"] == name
        ]
        line = results["processor_seconds"][name]
        rows.append((name, *map(_seconds, (*spent, line["fixed"], line["per_million"]))))
    return Sheet(
        "Processor seconds of a build, divided",
        (
            "engine", f"{small['messages']:,} messages", f"{large['messages']:,} messages",
            "fixed", "a million messages more",
        ),
        rows,
    )  # fmt: skip


def _measured_on(results: Mapping[str, Any]) -> str:
    machine = results["machine"]
    spark = f"Spark {machine['spark']}, " if "spark" in machine else ""
    return (
        f"{results['size']}, measured {results['measured_at'][:10]}: {machine['cores']} cores "
        f"({machine['processor']}), {_bytes(machine['memory_bytes'])} of memory, memory limit "
        f"{_bytes(results['memory_limit_bytes'])}, load average before "
        f"{machine['load_average_before']}; DuckDB {machine['duckdb']}, {spark}"
        f"dbt {machine['dbt']}, "
        f"Python {machine['python']}."
    )


def print_tables(results: Mapping[str, Any], found: Sequence[Sheet]) -> None:
    """Print tables of results to the terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    console.print(_measured_on(results))
    for sheet in found:
        table = Table(title=sheet.title, title_justify="left")
        for number, name in enumerate(sheet.head):
            table.add_column(name, justify="right" if number else "left")
        for row in sheet.rows:
            table.add_row(*row)
        console.print(table)


def markdown(results: Mapping[str, Any], found: Sequence[Sheet]) -> str:
    """Tables of results as Markdown, to be pasted into docs/benchmarks.md."""
    parts = [f"### {results['size']}", _measured_on(results)]
    if "failed" in results:
        parts.append("The run after these failed, and what follows it was not measured.")
    for sheet in found:
        lines = [
            f"| {' | '.join(sheet.head)} |",
            f"|---|{'---:|' * (len(sheet.head) - 1)}",
            *(f"| {' | '.join(row)} |" for row in sheet.rows),
        ]
        parts += [f"**{sheet.title}**", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def chart(results: Mapping[str, Any]) -> str:
    """A bar per run, its steps side by side, and one for the floor, as a standing SVG."""
    bars: list[tuple[str, list[float]]] = []
    for run in results["runs"]:
        steps = [float(run["steps"].get(step, 0.0)) for step in STEPS]
        bars.append((run["run"], [*steps, max(0.0, run["seconds"] - sum(steps))]))
    bars.append(("floor", [0.0, 0.0, 0.0, 0.0, floor_seconds(results)]))
    left, width, height = 90.0, 620.0, 28
    scale = width / max(sum(parts) for _, parts in bars)
    title = escape(f"Seconds of a build of {results['size']} messages, by step")
    total_height = 94 + height * len(bars)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 70:.0f}"',
        f'     height="{total_height}" font-family="sans-serif" font-size="12">',
        f"<title>{title}</title>",
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{left}" y="24" font-size="15">{title}</text>',
    ]
    for number, (step, colour) in enumerate(zip((*STEPS, "rest"), COLOURS, strict=True)):
        x = left + number * 100
        lines.append(f'<rect x="{x}" y="36" width="12" height="12" fill="{colour}"/>')
        lines.append(f'<text x="{x + 17}" y="46">{step}</text>')
    for number, (name, parts) in enumerate(bars):
        y, x = 64 + number * height, left
        lines.append(f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
        for seconds, colour in zip(parts, COLOURS, strict=True):
            long = seconds * scale
            lines.append(
                f'<rect x="{x:.1f}" y="{y}" width="{long:.1f}" height="20" fill="{colour}"/>'
            )
            x += long
        lines.append(f'<text x="{x + 6:.1f}" y="{y + 15}">{sum(parts):,.1f} s</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"
