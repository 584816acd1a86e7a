"""MetricFlow and kpi_values give the same numbers: one definition, two readers.

MetricFlow compiles the published metrics to SQL; the SQL runs on warehouses built from a
conformance case and from the golden landing, in which every KPI has a value, and every period is
compared with the rows of kpi_values.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from metricflow.engine.metricflow_engine import MetricFlowEngine, MetricFlowQueryRequest
from metricflow.protocols.sql_client import SqlEngine
from metricflow.sql.render.duckdb_renderer import DuckDbSqlPlanRenderer
from metricflow_semantics.model.dbt_manifest_parser import (
    parse_manifest_from_dbt_generated_manifest,
)
from metricflow_semantics.model.semantic_manifest_lookup import SemanticManifestLookup

from harness import CONFORMANCE, ROOT, Row, Warehouse, build, is_same, semantic_manifest
from test_kpi_golden import AS_OF, golden_landing

LANDINGS = ["case12", "golden"]
GRAINS = ["day", "week", "month"]
Metric = dict[str, Any]


def definitions() -> Iterator[dict[str, Any]]:
    """The files that define semantic models and metrics."""
    for path in sorted((ROOT / "models" / "metrics").glob("*.yml")):
        yield yaml.safe_load(path.read_text(encoding="utf-8"))


METRICS = {m["name"]: m for file in definitions() for m in file.get("metrics") or []}
MODELS = {m["name"]: m for file in definitions() for m in file.get("semantic_models") or []}
MODEL_OF = {m["name"]: name for name, model in MODELS.items() for m in model["measures"]}
PROXIES = {
    measure["name"]
    for model in MODELS.values()
    for measure in model["measures"]
    if measure.get("create_metric")
}


def meta(metric: Metric) -> dict[str, Any]:
    found: dict[str, Any] = metric.get("config", {}).get("meta", {})
    return found


def kpi_of(metric: Metric) -> str | None:
    """The KPI a metric publishes or adds cells to; None when it is only a part of one."""
    named: str | None = meta(metric).get("kpi")
    return named or (metric["name"] if meta(metric).get("title") else None)


PUBLISHED = {name: metric for name, metric in METRICS.items() if kpi_of(metric)}


def models_of(name: str) -> tuple[str, ...]:
    """The semantic models a metric reads."""
    if name not in METRICS:
        return (MODEL_OF[name],)
    parameters = METRICS[name]["type_params"]
    if measure := parameters.get("measure"):
        return (MODEL_OF[measure if isinstance(measure, str) else measure["name"]],)
    parts = (parameters["numerator"], parameters["denominator"])
    return tuple(sorted({model for part in parts for model in models_of(part)}))


def is_compared_in_total(metric: Metric) -> bool:
    """Whether a metric has cells without a dimension; shares of a total are no such metrics."""
    return "dimensions" not in meta(metric)


class MetricFlow:
    """MetricFlow's compiler, and a warehouse to run what it compiles."""

    def __init__(self, warehouse: Warehouse) -> None:
        manifest = parse_manifest_from_dbt_generated_manifest(semantic_manifest())
        client: Any = SimpleNamespace(
            sql_engine_type=SqlEngine.DUCKDB, sql_plan_renderer=DuckDbSqlPlanRenderer()
        )
        self.metrics = {metric.name: metric for metric in manifest.metrics}
        self.warehouse = warehouse
        self.values = warehouse.kpis()
        self.engine = MetricFlowEngine(
            SemanticManifestLookup(manifest),
            client,
        )

    def query(self, metrics: list[str], group_by: list[str]) -> list[Row]:
        """The rows `mf query --metrics ... --group-by ...` gives."""
        request = MetricFlowQueryRequest.create(metric_names=metrics, group_by_names=group_by)
        statement = self.engine.explain(request).sql_statement
        return self.warehouse.query(statement.sql)


@cache
def metricflow_on(landing: str) -> MetricFlow:
    if landing == "golden":
        return MetricFlow(build(golden_landing(), AS_OF))
    return MetricFlow(build(CONFORMANCE / landing / "landing", datetime(2026, 9, 20)))


@pytest.fixture
def flow() -> MetricFlow:
    return metricflow_on("case12")


def differences(
    flow: MetricFlow, names: list[str], grain: str, dimension: str = "all", group: str = ""
) -> tuple[list[str], set[str]]:
    """Cells in which the two disagree, and the metrics with a value in both.

    A period without members has no row in kpi_values; MetricFlow gives null or a count of 0.
    """
    time = f"metric_time__{grain}"
    rows = flow.query(names, [time, *([group] if group else [])])
    found: dict[tuple[str, date, str], Any] = {}
    for row in rows:
        moment = row[time]
        start = moment.date() if isinstance(moment, datetime) else moment
        label = "all" if not group else ("(none)" if row[group] is None else str(row[group]))
        for name in names:
            assert (name, start, label) not in found
            found[name, start, label] = row[name]
    lines, agreed = [], set()
    for name in names:
        kpi = kpi_of(METRICS[name])
        expected = {
            (name, key[2], key[4]): row["value"]
            for key, row in flow.values.items()
            if (key[0], key[1], key[3]) == (kpi, grain, dimension)
        }
        mine = {key for key in found if key[0] == name}
        for key in expected.keys() | mine:
            wanted, got = expected.get(key), found.get(key)
            if key not in expected and got == 0:
                got = None
            if not is_same(wanted, float(got) if got is not None else None):
                lines.append(f"{grain} {key}: kpi_values {wanted}, MetricFlow {got}")
            if wanted is not None and got is not None:
                agreed.add(name)
    return lines, agreed


def batches() -> list[tuple[str, str, list[str]]]:
    """Published metrics by grain and by the semantic models they read, for one query each."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, metric in PUBLISHED.items():
        if is_compared_in_total(metric):
            for grain in meta(metric).get("grains", GRAINS):
                groups[grain, " and ".join(models_of(name))].append(name)
    return [(grain, models, names) for (grain, models), names in sorted(groups.items())]


def test_every_metric_is_parsed(flow: MetricFlow) -> None:
    """In another flavour of YAML dbt would find none, and say nothing."""
    assert flow.metrics.keys() == METRICS.keys() | PROXIES
    assert len(PUBLISHED) > 110
    assert {kpi_of(m) for m in PUBLISHED.values()} == {
        row["kpi"] for row in flow.warehouse.rows("kpi_catalog")
    }


def test_kpi_values_knows_every_metric() -> None:
    """Simple and ratio metrics without a filter, offset or window: what kpi_values computes."""
    aggregations = {"sum", "sum_boolean", "count", "count_distinct", "average", "median"}
    for name, metric in METRICS.items():
        assert metric["type"] in ("simple", "ratio"), name
        assert not metric.get("filter"), name
        keys = {"measure"} if metric["type"] == "simple" else {"numerator", "denominator"}
        assert metric["type_params"].keys() == keys, name
        for part in metric["type_params"].values():  # kpi_values, too, fills with 0 across models
            assert isinstance(part, str) or part == {"name": part["name"], "fill_nulls_with": 0}
    for model in MODELS.values():
        for measure in model["measures"]:
            assert measure["agg"] in aggregations | {"percentile"}, measure["name"]
            assert "filter" not in measure
            assert "non_additive_dimension" not in measure


@pytest.mark.parametrize(
    ("grain", "models", "names"), batches(), ids=lambda part: part if isinstance(part, str) else ""
)
@pytest.mark.parametrize("landing", LANDINGS)
def test_totals(landing: str, grain: str, models: str, names: list[str]) -> None:
    lines, agreed = differences(metricflow_on(landing), names, grain)
    assert not lines, "\n".join(lines[:10])
    assert landing != "golden" or agreed == set(names)


def test_no_published_metric_is_left_out() -> None:
    in_total = {name for _, _, names in batches() for name in names}
    under_a_dimension = {name for case in UNDER_A_DIMENSION for name in case[0]}
    assert in_total | under_a_dimension | SHARES.keys() == PUBLISHED.keys()


UNDER_A_DIMENSION = [
    (["handle_rate", "resolution_rate", "fcr_rate", "hours_saved"], "channel", "episode__channel"),
    (["bot_handle_seconds", "bot_handle_seconds_p90"], "topic", "episode__topic"),
    (["deflection_rate"], "business_hours", "episode__business_hours"),
    (["chat_opens", "visitors", "self_service_rate"], "country", "session__country"),
    (["interactions_per_session"], "outcome", "session__outcome"),
    (["fallback_rate", "response_seconds_median"], "language", "turn__language"),
    (["csat"], "attributed_to", "feedback__attributed_to"),
    (["helpful_rate", "feedback_count"], "category", "feedback__category"),
    (["field_fill_rate"], "field", "lead_field__field"),
    (["device_completion_rate"], "device_type", "lead_flow__device_type"),
    (["policy_resolution_rate"], "policy", "resolution__policy"),
    (["emerging_topics"], "topic", "topic_period__topic"),
    (["emerging_topics_of_day"], "topic", "topic_period__topic"),
    (["emerging_topics_of_month"], "topic", "topic_period__topic"),
]


@pytest.mark.parametrize(
    ("names", "dimension", "group"), UNDER_A_DIMENSION, ids=lambda part: str(part)[:40]
)
def test_under_a_dimension(flow: MetricFlow, names: list[str], dimension: str, group: str) -> None:
    for grain in meta(METRICS[names[0]]).get("grains", ["week"]):
        lines, agreed = differences(flow, names, grain, dimension, group)
        assert not lines, "\n".join(lines[:10])
        assert agreed == set(names)


# Shares of the total of a period: to MetricFlow they are the counts, the numerators.
SHARES = {
    "device_share": ("device_type", "session__device_type"),
    "topic_trend": ("topic", "episode__topic"),
}


@pytest.mark.parametrize("name", sorted(SHARES))
@pytest.mark.parametrize("grain", GRAINS)
def test_shares_of_the_total(flow: MetricFlow, name: str, grain: str) -> None:
    assert meta(METRICS[name])["share_of_all"] is True
    dimension, group = SHARES[name]
    found = {
        (row[f"metric_time__{grain}"], row[group] or "(none)"): float(row[name])
        for row in flow.query([name], [f"metric_time__{grain}", group])
        if row[name]
    }
    expected = {
        (key[2], key[4]): row["numerator"]
        for key, row in flow.values.items()
        if (key[0], key[1], key[3]) == (name, grain, dimension)
    }
    assert {
        (start.date() if isinstance(start, datetime) else start, label): count
        for (start, label), count in found.items()
    } == expected


def test_the_semantic_manifest_has_a_time_spine() -> None:
    manifest = json.loads(semantic_manifest())
    (spine,) = manifest["project_configuration"]["time_spines"]
    assert spine["primary_column"]["time_granularity"] == "day"
