"""Write the KPI reference, docs/kpi-reference.md, and the list of KPIs in README.md.

Both are made from the metric definitions in models/metrics and the defaults in dbt_project.yml, so
neither dbt nor a warehouse is needed. With `--check` nothing is written; the exit code is 1 when a
page is not what it would be.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
PAGE = Path("docs") / "kpi-reference.md"
README = Path("README.md")
README_BEGIN = "<!-- kpis: written by scripts/kpi_reference.py -->"
README_END = "<!-- end of kpis -->"

GRAINS = ("day", "week", "month")

SOURCES = {
    "S1": "S1: 17 essential chatbot metrics",
    "S2": "S2: Analyse the customer agent's performance",
    "S3": "S3: AI customer service KPIs",
    "S4": "S4: Why companies need chatbots",
    "S5": "S5: Robot service as amplifier",
    "": "Also published",
}
OWNERS = {
    "marketing_sales": "Reach and sales",
    "service": "Service",
    "experience": "Experience and quality",
}
UNITS = {
    "rate": "rate (a share between 0 and 1)",
    "ratio": "ratio",
    "share": "share (may be negative)",
    "count": "count",
    "seconds": "seconds",
    "hours": "hours",
    "currency": "money in the reporting currency",
    "points": "points from -100 to 100",
    "score": "score from -1 to 1; a difference of two lies between -2 and 2",
}
# What a duration is published as beside its mean.
STATISTICS = {"median": "median", "p90": "90th percentile", "p95": "95th percentile"}

INTRODUCTION = """
# KPI reference

<!-- Written by scripts/kpi_reference.py from models/metrics; do not edit. -->

The {count} KPIs of `kpi_catalog`, grouped by the source document that asks for them. One that
several ask for stands under the first and is linked from the others. How to add or change one:
[add-a-kpi.md](add-a-kpi.md). Parameters are shown with their defaults;
`as_of`, `reporting_timezone` and `week_start` are parameters of all of them.

## From a value to its rows

`kpi_values` holds every KPI per `day`, `week` and `month`, over `all` members and cut by each
dimension. A member counts in the period of its own time, which the line *counted at* names: a local
date in the time zone `reporting_timezone` (default `{time_zone}`). While some members are not
mature, their number stands in `pending` and `is_final` is false. A member without a value of the
dimension is under `(none)`. A rate without members is null.

The query of each KPI gives its values per month straight from the published fact table, in any
DuckDB client connected to `published/current/parley.duckdb`. Take the aggregates and the grouping
out and put a condition on the date in, and you see the rows behind a value.
"""


class DefinitionError(Exception):
    """A metric definition this page cannot describe; one sentence."""


@dataclass(frozen=True)
class Measure:
    """A measure: SQL over the rows of one fact, and the semantic model it belongs to."""

    name: str
    sql: str
    aggregation: str
    model: str


@dataclass(frozen=True)
class Model:
    """A semantic model: its fact, the local date its rows count at, its cutting dimensions.

    `cuts` maps a dimension to the KPIs it cuts, or to "all". `keys` maps an entity to the column
    the fact keeps its key in; `cut_by` is the entity whose own model has the dimensions, if any.
    """

    name: str
    fact: str
    day: str
    cuts: dict[str, list[str] | str]
    expressions: dict[str, str]
    entity: str
    keys: dict[str, str]
    cut_by: str | None


class Definitions:
    """All metric definitions of the project, by name."""

    def __init__(self, root: Path) -> None:
        """Read `models/metrics/*.yml` and the vars of `dbt_project.yml` below `root`."""
        self.models: dict[str, Model] = {}
        self.measures: dict[str, Measure] = {}
        self.metrics: dict[str, dict[str, Any]] = {}
        project = yaml.safe_load((root / "dbt_project.yml").read_text(encoding="utf-8"))
        self.defaults: dict[str, Any] = project["vars"]
        for path in sorted((root / "models" / "metrics").glob("*.yml")):
            parsed = yaml.safe_load(path.read_text(encoding="utf-8"))
            for model in parsed.get("semantic_models", []):
                self._add_model(model)
            for metric in parsed.get("metrics", []):
                self.metrics[metric["name"]] = metric
        for cut in self.models.values():
            if cutting := self.cutting_model(cut):
                shared = {name: cuts for name, cuts in cutting.cuts.items() if cuts == "all"}
                cut.cuts.update(shared)

    def cutting_model(self, model: Model) -> Model | None:
        """The semantic model that has the dimensions of another one; None when it has its own."""
        found = [other for other in self.models.values() if other.entity == model.cut_by]
        return found[0] if found else None

    def _add_model(self, model: dict[str, Any]) -> None:
        dimensions = {dimension["name"]: dimension for dimension in model["dimensions"]}
        day = dimensions[model["defaults"]["agg_time_dimension"]]
        fact = str(model["model"]).removeprefix("ref('").removesuffix("')")
        cuts = {name: _meta(dimension).get("cuts") for name, dimension in dimensions.items()}
        self.models[model["name"]] = Model(
            name=model["name"],
            fact=fact,
            day=day.get("expr") or day["name"],
            cuts={name: value for name, value in cuts.items() if value},
            expressions={name: d.get("expr") or name for name, d in dimensions.items()},
            entity=next(one["name"] for one in model["entities"] if one["type"] == "primary"),
            keys={one["name"]: one.get("expr") or one["name"] for one in model["entities"]},
            cut_by=_meta(model).get("cut_by"),
        )
        for measure in model["measures"]:
            name = measure["name"]
            self.measures[name] = Measure(
                name, _aggregated(measure), str(measure["agg"]), model["name"]
            )
            if measure.get("create_metric"):
                self.metrics[name] = {
                    "name": name,
                    "type": "simple",
                    "type_params": {"measure": name},
                }

    def published(self) -> Iterator[dict[str, Any]]:
        """Metrics that stand in the catalogue, by name."""
        for name in sorted(self.metrics):
            if _meta(self.metrics[name]).get("title"):
                yield self.metrics[name]

    def parts(self, kpi: str) -> list[dict[str, Any]]:
        """Metrics whose rows kpi_values holds under the name of a KPI, its own first."""
        others = [m for m in self.metrics.values() if _meta(m).get("kpi") == kpi]
        return [self.metrics[kpi], *sorted(others, key=lambda metric: str(metric["name"]))]

    def measure(self, metric: Mapping[str, Any]) -> Measure:
        """The measure of a simple metric."""
        named = metric["type_params"]["measure"]
        return self.measures[named["name"] if isinstance(named, dict) else named]

    def measures_of(self, metric: Mapping[str, Any]) -> list[Measure]:
        """The measures a metric is made of, numerator first."""
        if metric["type"] == "simple":
            return [self.measure(metric)]
        if metric["type"] != "ratio":
            raise DefinitionError(f"Metric {metric['name']} is neither simple nor ratio.")
        return [
            measure
            for side in ("numerator", "denominator")
            for measure in self.measures_of(self._side(metric, side))
        ]

    def _side(self, metric: Mapping[str, Any], side: str) -> dict[str, Any]:
        named = metric["type_params"][side]
        return self.metrics[named["name"] if isinstance(named, dict) else named]

    def models_of(self, metric: Mapping[str, Any]) -> list[Model]:
        """The semantic models a metric reads, each once, in the order of its measures."""
        names = dict.fromkeys(measure.model for measure in self.measures_of(metric))
        return [self.models[name] for name in names]

    def value_sql(self, metric: Mapping[str, Any], *, by_name: bool = False) -> str:
        """SQL of a metric's value over its fact, or over columns named for its measures."""
        if metric["type"] == "simple":
            measure = self.measure(metric)
            return f"coalesce({measure.name}, 0)" if by_name else measure.sql
        numerator = self.value_sql(self._side(metric, "numerator"), by_name=by_name)
        denominator = self.value_sql(self._side(metric, "denominator"), by_name=by_name)
        if self._side(metric, "denominator")["type"] == "ratio":
            return f"({numerator})\n/ nullif({denominator}, 0)"
        return f"{numerator}\n/ nullif({denominator}, 0)"

    def dimensions(self, metric: Mapping[str, Any], kpi: str) -> list[str]:
        """The values of `dimension` a metric's rows have in kpi_values."""
        if named := _meta(metric).get("dimensions"):
            return list(named)
        first, *others = self.models_of(metric)
        shared = [
            name
            for name, cuts in first.cuts.items()
            if (cuts == "all" or kpi in cuts) and all(name in other.cuts for other in others)
        ]
        return ["all", *shared]


def _meta(node: Mapping[str, Any]) -> dict[str, Any]:
    return dict((node.get("config") or {}).get("meta") or {})


def _aggregated(measure: Mapping[str, Any]) -> str:
    expression = " ".join(str(measure.get("expr") or measure["name"]).split())
    aggregation = measure["agg"]
    if aggregation == "percentile":
        return f"quantile_cont({expression}, {measure['agg_params']['percentile']})"
    templates = {
        "sum": "sum({})",
        "sum_boolean": "sum(case when {} then 1 else 0 end)",
        "count": "count({})",
        "count_distinct": "count(distinct {})",
        "average": "avg({})",
        "median": "median({})",
    }
    if aggregation not in templates:
        raise DefinitionError(f"Measure {measure['name']} has the unknown agg {aggregation}.")
    return templates[aggregation].format(expression)


# ----------------------------------------------------------------------------------------- SQL


def _month(day: str) -> str:
    return f"cast(date_trunc('month', {day}) as date) as period_start"


def query(definitions: Definitions, metrics: Sequence[Mapping[str, Any]], kpis: list[str]) -> str:
    """A query that gives the values of kpi_values per month straight from the facts.

    Args:
        definitions: the definitions.
        metrics: metrics over the same facts.
        kpis: the KPI each of them publishes; names its column.

    Returns:
        SQL with columns period_start, dimension_value for a metric without `all`, then the KPIs.
    """
    models = definitions.models_of(metrics[0])
    dimensions = definitions.dimensions(metrics[0], kpis[0])
    if len(models) > 1:
        return _joined_query(definitions, metrics[0], kpis[0], models)
    [model] = models
    columns = [_month(model.day)]
    if "all" not in dimensions:
        [dimension] = dimensions
        value = model.expressions[dimension]
        columns.append(f"coalesce(cast({value} as varchar), '(none)') as dimension_value")
    is_share = bool(_meta(metrics[0]).get("share_of_all"))
    for metric, kpi in zip(metrics, kpis, strict=True):
        columns.append(f"{definitions.value_sql(metric)} as {'members' if is_share else kpi}")
    body = (
        f"select\n{_columns(columns)}\nfrom marts.{model.fact}\n"
        f"where {model.day} is not null\ngroup by all"
    )
    order = "period_start" if "all" in dimensions else "period_start, dimension_value"
    if is_share:
        share = "members\n/ nullif(sum(members) over (partition by period_start), 0) as " + kpis[0]
        columns = ["period_start", "dimension_value", share]
        cells = indent(body, "    ")
        body = f"with cells as (\n\n{cells}\n\n)\n\nselect\n{_columns(columns)}\nfrom cells"
    return f"{body}\norder by {order}"


def _joined_query(
    definitions: Definitions, metric: Mapping[str, Any], kpi: str, models: Sequence[Model]
) -> str:
    """The query of a ratio whose sides count in different facts, each at its own time."""
    measures = definitions.measures_of(metric)
    tables = []
    for model in models:
        columns = [_month(model.day)]
        columns += [f"{m.sql} as {m.name}" for m in measures if m.model == model.name]
        body = (
            f"select\n{_columns(columns)}\nfrom marts.{model.fact}\n"
            f"where {model.day} is not null\ngroup by all"
        )
        tables.append(f"{model.name} as (\n\n{indent(body, '    ')}\n\n)")
    value = definitions.value_sql(metric, by_name=True)
    names = [model.name for model in models]
    joins = "\n".join(f"full outer join {name} using (period_start)" for name in names[1:])
    return (
        f"with {(chr(44) + chr(10) * 2).join(tables)}\n\n"
        f"select\n{_columns(['period_start', f'{value} as {kpi}'])}\n"
        f"from {names[0]}\n{joins}\norder by period_start"
    )


def _columns(columns: Sequence[str]) -> str:
    return indent(",\n".join(columns), "    ")


# ---------------------------------------------------------------------------------------- pages


@dataclass(frozen=True)
class Entry:
    """A KPI as the page shows it; a duration together with its median and percentiles."""

    kpi: str
    metrics: list[dict[str, Any]]

    @property
    def names(self) -> list[str]:
        """The KPIs of the entry, as in kpi_catalog."""
        return [str(metric["name"]) for metric in self.metrics]

    @property
    def meta(self) -> dict[str, Any]:
        """Meta of the KPI itself."""
        return _meta(self.metrics[0])

    @property
    def sources(self) -> list[str]:
        """The source documents that ask for it."""
        return list(self.meta.get("source") or [""])


def entries(definitions: Definitions) -> list[Entry]:
    """All KPIs, in the order of their names."""
    published = {str(metric["name"]): metric for metric in definitions.published()}
    found = []
    for name, metric in published.items():
        base = name.rpartition("_")[0]
        if name.rpartition("_")[2] in STATISTICS and base in published:
            continue
        family = [published.get(f"{name}_{statistic}") for statistic in STATISTICS]
        found.append(Entry(name, [metric, *(member for member in family if member)]))
    return found


def _interval(definitions: Definitions, metric: Mapping[str, Any]) -> str:
    meta = _meta(metric)
    if metric["type"] == "ratio" or meta.get("share_of_all"):
        is_rate = meta.get("unit") == "rate"
        return "Wilson, 95 %" if is_rate else "none"
    kinds = {"average": "t, 95 %", "median": "order statistics, 95 %"}
    return kinds.get(definitions.measure(metric).aggregation, "none")


def _cell(text: object) -> str:
    return str(text).replace("|", "\\|")


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _ordered(grains: Sequence[str]) -> str:
    return ", ".join(grain for grain in GRAINS if grain in grains)


def _facts_line(definitions: Definitions, metric: Mapping[str, Any]) -> str:
    return "; ".join(f"`{model.day}` of `{model.fact}`" for model in definitions.models_of(metric))


def _places(definitions: Definitions, metric: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Where the dimensions are when a fact does not have them, as a line of the table."""
    for model in definitions.models_of(metric):
        if cutting := definitions.cutting_model(model):
            key = model.keys[cutting.entity]
            yield f"those of `{model.fact}`", f"in `{cutting.fact}`, by `{key}`"


def describe(definitions: Definitions, entry: Entry) -> str:
    """The section of one entry, in Markdown."""
    meta = entry.meta
    parts = definitions.parts(entry.kpi)
    dimensions = list(
        dict.fromkeys(name for part in parts for name in definitions.dimensions(part, entry.kpi))
    )
    grains = [grain for part in parts for grain in _meta(part).get("grains", GRAINS)]
    rows: list[tuple[str, str]] = []
    if len(entry.metrics) > 1:
        rows += [(f"`{m['name']}`", str(_meta(m)["title_zh"])) for m in entry.metrics]
    rows += [
        ("formula", _cell(meta["formula"])),
        ("unit", UNITS[meta["unit"]]),
        ("better when it goes", str(meta["direction"])),
    ]
    rows += [
        (f"parameter `{name}`", f"`{definitions.defaults[name]}`")
        for name in meta.get("parameters", [])
    ]
    rows += [
        ("counted at", _facts_line(definitions, entry.metrics[0])),
        ("a member is mature when", _cell(meta.get("maturity", "at once"))),
        ("interval", "; ".join(_interval(definitions, metric) for metric in entry.metrics)),
        ("dimensions", _names(dimensions)),
        *_places(definitions, entry.metrics[0]),
        ("grains", _ordered(grains)),
        ("needs", _cell(meta["requires"])),
        ("asked for by", ", ".join(entry.sources) if entry.sources != [""] else "none"),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    title = f"**{meta['title']}** · {meta['title_zh']}"
    if len(entry.metrics) > 1:
        statistics = "mean, median, 90th and 95th percentile"
        title = f"**{str(meta['title']).removesuffix(', mean')}** ({statistics})"
    return "\n\n".join(
        [
            f"### {entry.kpi}",
            title,
            str(entry.metrics[0]["description"]),
            f"| | |\n|---|---|\n{table}",
            *_queries(definitions, entry, parts),
        ]
    )


def _queries(
    definitions: Definitions, entry: Entry, parts: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    monthly = [part for part in parts if "month" in _meta(part).get("grains", GRAINS)]
    if len(entry.metrics) > 1:
        yield f"```sql\n{query(definitions, entry.metrics, entry.names)}\n```"
        return
    for part in monthly:
        dimensions = definitions.dimensions(part, entry.kpi)
        if "all" not in dimensions:
            yield f"By `{dimensions[0]}`:"
        yield f"```sql\n{query(definitions, [part], [entry.kpi])}\n```"


def page(definitions: Definitions) -> str:
    """docs/kpi-reference.md."""
    found = entries(definitions)
    count = sum(len(entry.names) for entry in found)
    time_zone = definitions.defaults["reporting_timezone"]
    text = [INTRODUCTION.format(count=count, time_zone=time_zone).strip()]
    for source, title in SOURCES.items():
        own = [entry for entry in found if entry.sources[0] == source]
        linked = [entry for entry in found if source in entry.sources[1:]]
        if not own and not linked:
            continue
        text.append(f"## {title}")
        if linked:
            links = ", ".join(f"[`{entry.kpi}`](#{entry.kpi})" for entry in linked)
            text.append(f"It also asks for {links}.")
        text += [describe(definitions, entry) for entry in own]
    return "\n\n".join(text) + "\n"


def readme_table(definitions: Definitions) -> str:
    """The list of KPIs in README.md: a table per owner, one line an entry."""
    text = []
    for owner, title in OWNERS.items():
        rows = []
        for entry in entries(definitions):
            if entry.meta["owner"] != owner:
                continue
            names = [f"[`{entry.kpi}`]({PAGE.as_posix()}#{entry.kpi})"]
            names += [f"`{name.removeprefix(entry.kpi)}`" for name in entry.names[1:]]
            meaning = _cell(entry.metrics[0]["description"])
            if len(entry.metrics) > 1:
                meaning = meaning.removeprefix("Mean of the ").removeprefix("Mean of ")
                meaning = meaning[:1].upper() + meaning[1:]
            rows.append(f"| {' '.join(names)} | {meaning} |")
        table = "\n".join(["| KPI | meaning |", "|---|---|", *rows])
        text.append(f"**{title}**\n\n{table}")
    return "\n\n".join(text)


def with_table(readme: str, table: str) -> str:
    """README.md with its list of KPIs replaced.

    Raises:
        DefinitionError: the README has no place for it.
    """
    head, begin, rest = readme.partition(README_BEGIN)
    _, end, tail = rest.partition(README_END)
    if not begin or not end:
        raise DefinitionError(f"{README} has no lines {README_BEGIN} and {README_END}.")
    return f"{head}{begin}\n\n{table}\n\n{end}{tail}"


def pages(root: Path) -> dict[Path, str]:
    """What the pages should be, by path relative to `root`."""
    definitions = Definitions(root)
    readme = (root / README).read_text(encoding="utf-8")
    return {PAGE: page(definitions), README: with_table(readme, readme_table(definitions))}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 1 when a page is stale or cannot be made."""
    parser = argparse.ArgumentParser(
        prog="kpi_reference.py",
        description=f"Write {PAGE} and the list of KPIs in {README} from models/metrics.",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail when stale")
    chosen = parser.parse_args(arguments)
    try:
        wanted = pages(ROOT)
    except DefinitionError as error:
        print(error, file=sys.stderr)
        return 1
    stale = [
        path
        for path, text in wanted.items()
        if not (ROOT / path).exists() or (ROOT / path).read_text(encoding="utf-8") != text
    ]
    for path in stale:
        if chosen.check:
            print(f"{path} is stale; run python scripts/kpi_reference.py.", file=sys.stderr)
        else:
            (ROOT / path).write_text(wanted[path], encoding="utf-8")
            print(f"Wrote {path}.")
    return 1 if chosen.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
