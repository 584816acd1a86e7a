"""docs/kpi-reference.md and the list of KPIs in README.md say what the warehouse does.

The queries of the page are run on a warehouse of the demo, built for this module.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import pytest
import yaml

import kpi_reference

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / kpi_reference.PAGE).read_text(encoding="utf-8")
DEFINITIONS = kpi_reference.Definitions(ROOT)
ENTRIES = kpi_reference.entries(DEFINITIONS)

# The KPIs the definitions promise, in their order.
PROMISED_NAMES = """
chat_opens visitors engagement_rate device_share device_completion_rate leads_generated
lead_capture_rate lead_flow_starts completed_leads lead_completion_rate field_fill_rate
qualified_leads qualified_lead_rate undecided_lead_rate meetings_booked meetings_held
meetings_cancelled sales_from_leads lead_to_sale_rate lead_revenue attributed_sales
attributed_revenue influenced_revenue

conversations eligible_conversations handled_conversations handle_rate resolved_conversations
resolution_rate containment_rate deflection_rate automation_rate partial_automation_rate handoffs
handoff_rate handoff_wait_seconds handoff_acceptance_rate handoff_continuity_rate fallback_rate
tier1_rate tier1_resolution_rate repetitive_coverage fcr_rate reopen_rate bot_service_seconds
bot_handle_seconds agent_handle_seconds response_seconds first_response_seconds resolution_seconds
cost_per_service bot_cost_per_conversation llm_cost cost_saving_rate roi hours_saved
agent_daily_load out_of_hours_share out_of_hours_answer_rate out_of_hours_conversion_rate
surge_absorption

self_service_rate human_assistance_rate other_channel_rate conversation_seconds
interactions_per_session missed_rate csat csat_response_rate helpful_rate feedback_count nps
accuracy_satisfaction_rate sentiment sentiment_shift intent_accuracy intent_match_rate
low_confidence_compliance rephrase_rate hallucination_rate guardrail_rate bot_error_rate
stale_answer_rate conversion_rate recommendation_acceptance_rate returning_rate
sessions_per_visitor topic_trend emerging_topics
"""
PROMISED = PROMISED_NAMES.split()
DURATIONS = [name for name in PROMISED if name.endswith("_seconds")]


def section(kpi: str) -> str:
    """The section of the page about one KPI."""
    found = re.search(rf"^### {kpi}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"no section about {kpi}"
    return found[1]


def test_pages_are_up_to_date() -> None:
    for path, text in kpi_reference.pages(ROOT).items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, (
            f"{path} is stale; run python scripts/kpi_reference.py"
        )


def test_check_writes_nothing_and_names_a_stale_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("dbt_project.yml", "models", "README.md"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "docs").mkdir()
    page = tmp_path / kpi_reference.PAGE
    page.write_text(PAGE, encoding="utf-8")
    monkeypatch.setattr(kpi_reference, "ROOT", tmp_path)
    assert kpi_reference.main(["--check"]) == 0
    page.write_text(PAGE.replace("Chats opened", "Chats closed"), encoding="utf-8")
    assert kpi_reference.main(["--check"]) == 1
    assert capsys.readouterr().err == (
        "docs/kpi-reference.md is stale; run python scripts/kpi_reference.py.\n"
    )
    assert "Chats closed" in page.read_text(encoding="utf-8")
    assert kpi_reference.main([]) == 0
    assert page.read_text(encoding="utf-8") == PAGE


@pytest.mark.parametrize("kpi", PROMISED)
def test_every_promised_kpi_has_a_section(kpi: str) -> None:
    text = section(kpi)
    assert "| formula | " in text
    assert "```sql\n" in text


@pytest.mark.parametrize("kpi", DURATIONS)
def test_a_duration_is_shown_with_median_and_percentiles(kpi: str) -> None:
    for name in (f"{kpi}_median", f"{kpi}_p90", f"{kpi}_p95"):
        assert f"| `{name}` | " in section(kpi)
        assert f" as {name}" in section(kpi)


def test_a_parameter_is_shown_with_its_default() -> None:
    assert "| parameter `fcr_window_days` | `7` |" in section("fcr_rate")


def test_a_readme_without_a_place_for_the_list_is_refused() -> None:
    with pytest.raises(kpi_reference.DefinitionError, match="has no lines"):
        kpi_reference.with_table("# parley\n", "table")


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """A warehouse of the demo."""
    folder = tmp_path_factory.mktemp("reference")
    project = yaml.safe_load((ROOT / "dbt_project.yml").read_text(encoding="utf-8"))
    settings = {key: value for key, value in os.environ.items() if not key.startswith("PARLEY_")}
    settings |= {
        "PARLEY_WAREHOUSE": str(folder / "demo.duckdb"),
        "PARLEY_SPILL": str(folder / "spill"),
        "PARLEY_AS_OF": project["vars"]["demo_as_of"],
    }
    run = subprocess.run(
        [
            *(sys.executable, "-m", "dbt.cli.main", "build", "--select", "+kpi_catalog"),
            *("--resource-types", "model", "seed"),
            *("--target-path", str(folder / "target"), "--log-path", str(folder / "logs")),
        ],
        check=False,
        cwd=ROOT,
        env=settings,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-3000:]
    with duckdb.connect(str(folder / "demo.duckdb"), read_only=True) as con:
        yield con


def queries(entry: kpi_reference.Entry) -> list[str]:
    """The queries of an entry as the page shows them."""
    return re.findall(r"^```sql\n(.*?)^```", section(entry.kpi), re.MULTILINE | re.DOTALL)


def test_the_catalogue_shows_every_parameter(warehouse: duckdb.DuckDBPyConnection) -> None:
    project = yaml.safe_load((ROOT / "dbt_project.yml").read_text(encoding="utf-8"))
    shown = {
        part.split("=")[0]
        for (text,) in warehouse.sql("select parameters from marts.kpi_catalog").fetchall()
        for part in text.split(", ")
    }
    others = {name for name in project["vars"] if name.startswith("rasa_")} | {"demo_as_of"}
    assert set(project["vars"]) - others <= shown


def test_the_page_lists_the_catalogue(warehouse: duckdb.DuckDBPyConnection) -> None:
    catalogue = warehouse.sql("select kpi from marts.kpi_catalog order by kpi").fetchall()
    assert [name for (name,) in catalogue] == sorted(
        name for entry in ENTRIES for name in entry.names
    )


def test_dimensions_and_grains_are_those_published(warehouse: duckdb.DuckDBPyConnection) -> None:
    for entry in ENTRIES:
        for column, line in (("dimension", "dimensions"), ("grain", "grains")):
            published = warehouse.execute(
                f"select distinct {column} from marts.kpi_values where kpi = $1", [entry.kpi]
            ).fetchall()
            shown = re.search(rf"^\| {line} \| (.*) \|$", section(entry.kpi), re.MULTILINE)
            assert shown, entry.kpi
            assert {name for (name,) in published} == set(shown[1].replace("`", "").split(", ")), (
                entry.kpi
            )


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.kpi)
def test_a_query_of_the_page_gives_the_published_values(
    entry: kpi_reference.Entry, warehouse: duckdb.DuckDBPyConnection
) -> None:
    for sql in queries(entry):
        result = warehouse.execute(sql)
        assert result.description is not None
        columns = [column[0] for column in result.description]
        rows = [dict(zip(columns, row, strict=True)) for row in result.fetchall()]
        for kpi in entry.names:
            assert kpi in columns
            computed = {
                (row["period_start"], row.get("dimension_value", "all")): row[kpi] for row in rows
            }
            published = published_values(warehouse, kpi, columns, section(entry.kpi), sql)
            assert any(value for value in published.values()), f"{kpi} has no value to compare"
            for member, value in published.items():
                expected = pytest.approx(value, rel=1e-9) if value is not None else None
                assert computed[member] == expected, (kpi, member)
            extra = {member: computed[member] for member in computed.keys() - published.keys()}
            assert not any(extra.values()), (kpi, extra)


def published_values(
    con: duckdb.DuckDBPyConnection, kpi: str, columns: list[str], text: str, sql: str
) -> dict[tuple[date, str], float | None]:
    """Monthly values of kpi_values under the dimension a query of the page is about."""
    before = text.split(sql)[0].rstrip().removesuffix("```sql").rstrip()
    cut = re.search(r"By `([a-z_]+)`:\Z", before)
    assert bool(cut) == ("dimension_value" in columns)
    rows = con.execute(
        "select period_start, dimension_value, value from marts.kpi_values "
        "where kpi = $1 and grain = 'month' and dimension = $2",
        [kpi, cut[1] if cut else "all"],
    ).fetchall()
    return {(period, value_of): value for period, value_of, value in rows}
