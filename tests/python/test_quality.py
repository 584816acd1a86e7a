"""Data quality at both borders: each kind of expectation fails when it must, and nothing leaks."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

import quality as quality_script
from data_docs import BORDERS
from expectations import MARTS as MARTS_EXPECTATIONS
from expectations import Suite
from harness import CONFORMANCE, build, write_landing
from load import load_landing, opened_warehouse, settle_loads
from personal_data import holds_personal_data
from quality import Quality, QualityError, Verdict
from small_project import AS_OF, CONTRACT, PROJECT, ROOT, SOURCES, Project

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
AS_OF_TEXT = "2026-03-10T12:00:00Z"
EMAIL = "planted.person@example.com"

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def judge() -> Quality:
    """Great Expectations, imported once."""
    return Quality(Path("absent.duckdb"), Path("absent"))


@pytest.fixture
def quality(judge: Quality, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Quality]:
    monkeypatch.setenv("PARLEY_AS_OF", AS_OF_TEXT)
    judge.warehouse, judge.published = tmp_path / "w.duckdb", tmp_path / "published"
    yield judge
    docs = "".join(path.read_text() for path in tmp_path.rglob("quality/*"))
    assert EMAIL not in docs


# ------------------------------------------------------------------------------------- landing


def conversations(count: int, begin: int = 0, **values: Any) -> Rows:
    return [
        {
            "conversation_id": f"c{number}",
            "platform": "x",
            "channel": "web",
            "opened_at": NOW - timedelta(hours=number % 20),
            **values,
        }
        for number in range(begin, begin + count)
    ]


def messages(count: int, **values: Any) -> Rows:
    return [
        {
            "message_id": f"m{number}",
            "conversation_id": f"c{number % 100}",
            "sent_at": NOW - timedelta(hours=number % 20),
            "sender_type": "contact",
            "text": EMAIL,
            "sentiment": 0.5,
            **values,
        }
        for number in range(count)
    ]


def changed(rows: Rows, count: int, **values: Any) -> Rows:
    """The first rows with other values."""
    return [row | values if number < count else row for number, row in enumerate(rows)]


class Landing:
    """A landing that grows, and the warehouse it is loaded into."""

    def __init__(self, quality: Quality, directory: Path) -> None:
        self.quality = quality
        self.directory = directory
        self.loads = 0

    def load(self, **tables: Rows) -> Verdict:
        """Load more rows as files of their own, and check what is new."""
        self.loads += 1
        folder = self.directory / str(self.loads)
        write_landing(folder, tables)
        with opened_warehouse(self.quality.warehouse) as con:
            load_landing(con, folder, progress=False, now=NOW)
        return self.quality.landing(unchecked=True)

    def settle(self, verdict: Verdict) -> None:
        with opened_warehouse(self.quality.warehouse) as con:
            settle_loads(con, verdict.passed_loads, verdict.refused_loads)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.quality.warehouse), read_only=True) as con:
            return con.execute(sql).fetchall()


@pytest.fixture
def landing(quality: Quality, tmp_path: Path) -> Landing:
    return Landing(quality, tmp_path / "landing")


def test_a_load_as_it_should_be_passes_once(landing: Landing) -> None:
    verdict = landing.load(conversations=conversations(100), messages=messages(200))
    assert verdict == Verdict(passed_loads=[1])
    landing.settle(verdict)
    assert landing.quality.landing(unchecked=True).passed_loads == []


@pytest.mark.parametrize(
    ("column", "value", "wanted"),
    [
        ("sent_at", None, "an ISO 8601 instant in every row"),
        ("sent_at", "10/03/2026 09:30", "an ISO 8601 instant in every row"),
        ("conversation_id", None, "a value in every row"),
        ("sender_type", "planted", "one of contact, bot, agent, system in every row"),
        ("sentiment", "planted", "a number or nothing"),
    ],
)
def test_a_column_that_makes_nearly_all_rows_unusable_is_an_error(
    landing: Landing, column: str, value: object, wanted: str
) -> None:
    rows = changed(messages(200), 190, **{column: value})
    verdict = landing.load(conversations=conversations(100), messages=rows)
    assert verdict.errors == [
        (
            f"raw.messages {column}: expected {wanted}, found 95% of the rows unusable; "
            f"see {landing.quality.published}/quality/landing.html#messages"
        )
    ]
    assert (verdict.passed_loads, verdict.refused_loads) == ([], [1])
    assert "planted" not in "".join(
        path.read_text() for path in landing.quality.published.rglob("*.*")
    )


def test_fewer_bad_rows_are_left_to_the_rejections(landing: Landing) -> None:
    rows = changed(messages(200), 180, sent_at=None)
    verdict = landing.load(conversations=conversations(100), messages=rows)
    assert verdict.errors == []
    assert verdict.warnings == [
        (
            "raw.messages sent_at: expected an ISO 8601 instant in every row, "
            "found 90.0% of the rows unusable"
        )
    ]
    assert verdict.passed_loads == [1]
    small = landing.load(conversations=conversations(49, begin=200, channel="pigeon"))
    assert small.errors == []
    assert "channel: expected one of web, app" in small.warnings[0]


def test_numbers_outside_their_range_are_told(landing: Landing) -> None:
    feedback: Rows = [
        {
            "feedback_id": f"f{number}",
            "conversation_id": "c1",
            "submitted_at": NOW,
            "kind": "csat",
            "score": 6 if number == 0 else 5,
            "scale_max": 5,
        }
        for number in range(10)
    ]
    rows = changed(messages(100), 3, sentiment=-1.5)
    verdict = landing.load(conversations=conversations(100), messages=rows, feedback=feedback)
    assert verdict.errors == []
    assert verdict.warnings == [
        "raw.messages sentiment: expected -1 to 1, found 3.0% of them outside",
        "raw.feedback score: expected 0 to scale_max, found 10.0% of them outside",
    ]


def test_volume_is_compared_with_the_last_loads(landing: Landing) -> None:
    for number in range(3):
        landing.settle(landing.load(conversations=conversations(100, begin=number * 100)))
    assert landing.load(conversations=conversations(25, begin=300)).warnings == []
    (few,) = landing.load(conversations=conversations(20, begin=400)).warnings[:1]
    assert few.startswith("raw.conversations (table): expected 25 to 400 rows")
    assert few.endswith("found 20 rows")


def test_a_table_that_stays_away_is_told(landing: Landing) -> None:
    for number in range(3):
        both = {
            "conversations": conversations(100, begin=number * 100),
            "messages": messages(100, intent=f"i{number}"),
        }
        landing.settle(landing.load(**both))
    verdict = landing.load(conversations=conversations(100, begin=300))
    assert [text for text in verdict.warnings if text.endswith("found 0 rows")] == [
        (
            "raw.messages (table): expected 25 to 400 rows, a quarter to four times the last "
            "loads, found 0 rows"
        )
    ]


def test_a_source_that_has_gone_quiet_is_told(
    landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARLEY_AS_OF", "2026-03-17T11:00:00Z")
    assert landing.load(conversations=conversations(100)).warnings == []
    monkeypatch.setenv("PARLEY_AS_OF", "2026-03-17T13:00:00Z")
    assert landing.quality.landing(unchecked=True).warnings == [
        (
            "raw.conversations opened_at: expected a row of the 7 days before as-of, "
            "found the newest 7 days before it"
        )
    ]


def test_old_rows_that_land_late_are_no_quiet_source(
    landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARLEY_AS_OF", NOW.isoformat())
    landing.settle(landing.load(conversations=conversations(100)))
    late = conversations(100, begin=100, opened_at=NOW - timedelta(days=60))
    assert landing.load(conversations=late).warnings == []


def test_a_column_that_is_gone_is_told(landing: Landing) -> None:
    landing.settle(landing.load(conversations=conversations(60, language="en")))
    verdict = landing.load(conversations=conversations(60, begin=60))
    assert verdict.warnings == [
        "raw.conversations language: expected the column, which the load before had, found none"
    ]


def test_a_refused_load_leaves_nothing_and_can_be_loaded_again(landing: Landing) -> None:
    landing.settle(landing.load(conversations=conversations(60)))
    bad = {"conversations": conversations(60, begin=60), "messages": messages(60, sent_at=None)}
    verdict = landing.load(**bad)
    assert verdict.refused_loads == [2]
    landing.settle(verdict)
    assert landing.query("select count(*), max(_load_id) from raw.conversations") == [(60, 1)]
    assert landing.query("select count(*) from raw.messages") == [(0,)]
    assert landing.query("select table_name, removed_at is null from raw._loads order by all") == [
        ("conversations", False),
        ("conversations", True),
        ("messages", False),
    ]
    again = landing.load(**bad)
    assert again.refused_loads == [3]


# --------------------------------------------------------------------------------------- marts

MARTS = f"""
create schema marts;
create table marts.kpi_catalog as
    select 'resolution_rate' as kpi, 'rate' as unit, 'up' as direction
    union all select 'visitors', 'count', 'up';
create table marts.kpi_values as
    select 'resolution_rate' as kpi, 'day' as grain,
        date '2026-01-01' + cast(i as int) as period_start,
        'all' as dimension, 'all' as dimension_value, 0.5 as value, 0.4 as ci_low, 0.6 as ci_high,
        0 as pending, true as is_final
    from range(200) as days (i)
    union all
    select 'visitors', 'day', '2026-01-01', 'all', 'all', 20, null, null, 0, true;
create table marts.fct_episodes as
    select 'e' || i as episode_id, sha256('p' || i) as person_id, 'topic' as topic,
        2 as answer_count, 'assumed' as outcome,
        true as is_involved, true as is_mature, true as is_resolved
    from range(200) as episodes (i);
create table marts.fct_conversations as
    select '4111111111111111' as conversation_id, sha256('p') as person_id, 'shop' as entry_point;
create table marts.reconciliation as
    select 'messages' as table_name, 3 as raw_rows, 1 as accepted, 1 as superseded, 1 as rejected;
create table marts.of_someone_else as select '{EMAIL}' as mail;
"""


def tampered(quality: Quality, *statements: str) -> Verdict:
    """Check marts made by hand, after some statements."""
    with duckdb.connect(str(quality.warehouse)) as con:
        con.execute(MARTS)
        for statement in statements:
            con.execute(statement)
    return quality.marts(None)


def test_marts_as_they_should_be_pass(quality: Quality) -> None:
    assert tampered(quality) == Verdict()
    tables = json.loads((quality.published / "quality" / "marts.json").read_text())["tables"]
    assert [table["table"] for table in tables] == [
        "fct_conversations",
        "fct_episodes",
        "kpi_catalog",
        "kpi_values",
        "reconciliation",
    ]


def test_of_a_mart_kept_by_rows_those_written_are_looked_at(quality: Quality) -> None:
    everything = tampered(
        quality,
        "create schema touched",
        "create table touched.fct_episodes as from marts.fct_episodes where episode_id = 'e1'",
        "update marts.fct_episodes set person_id = null where episode_id = 'e2'",
    )
    assert everything.errors  # all rows are
    assert quality.marts(None, ["fct_episodes"]) == Verdict()
    with duckdb.connect(str(quality.warehouse)) as con:
        con.execute("insert into touched.fct_episodes from touched.fct_episodes")
    (error,) = quality.marts(None, ["fct_episodes"]).errors
    assert error.startswith("marts.fct_episodes episode_id: expected each value once, found 1 rep")


def test_a_ticket_that_was_closed_before_it_was_assigned_stops_no_release(
    quality: Quality,
) -> None:
    row = "create table marts.fct_tickets as select 't' as ticket_id, -60e0 as resolution_seconds"
    assert tampered(quality, row).errors == []


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "insert into marts.fct_episodes from marts.fct_episodes limit 1",
            "marts.fct_episodes episode_id: expected each value once, found 1 repeated",
        ),
        (
            "insert into marts.kpi_values from marts.kpi_values limit 1",
            (
                "marts.kpi_values kpi, grain, period_start, dimension, dimension_value: "
                "expected each value once, found 1 repeated"
            ),
        ),
        (
            "update marts.fct_episodes set person_id = null where episode_id in ('e1', 'e2')",
            "marts.fct_episodes person_id: expected a value in every row, found 2 rows without",
        ),
        (
            "update marts.kpi_values set grain = 'planted' where period_start = '2026-01-05'",
            (
                "marts.kpi_values grain: expected one of day, week, month, "
                "found 1 row with another value"
            ),
        ),
        (
            "update marts.fct_episodes set answer_count = -1 where episode_id = 'e1'",
            "marts.fct_episodes answer_count: expected 0 or more, found 1 row outside",
        ),
        (
            (
                "update marts.kpi_values set value = 1.2, ci_high = 1.3 "
                "where period_start = '2026-01-05'"
            ),
            "marts.kpi_values value: expected rates within 0 and 1, found 1 row where it is not so",
        ),
        (
            "update marts.kpi_values set ci_low = 0.55 where period_start = '2026-01-05'",
            (
                "marts.kpi_values ci_low: expected ci_low <= value <= ci_high, and none or both of "
                "the bounds, found 1 row where it is not so"
            ),
        ),
        (
            "update marts.kpi_values set pending = 1 where period_start = '2026-01-05'",
            (
                "marts.kpi_values is_final: expected final values without pending members, and no "
                "others, found 1 row where it is not so"
            ),
        ),
        (
            "update marts.fct_episodes set outcome = null where episode_id = 'e1'",
            "marts.fct_episodes outcome: expected one outcome for each involved episode",
        ),
        (
            "update marts.reconciliation set accepted = 0",
            "marts.reconciliation raw_rows: expected raw rows that add up",
        ),
        (
            f"update marts.fct_conversations set entry_point = 'contact?to={EMAIL}'",
            (
                "marts.fct_conversations entry_point: expected no e-mail address, telephone, "
                "identity or card number, found 1 value that might be one"
            ),
        ),
        (
            "update marts.fct_conversations set entry_point = 'call 13812345678'",
            "marts.fct_conversations entry_point: expected no e-mail address",
        ),
        (
            "update marts.fct_conversations set conversation_id = 'whatsapp:+4915112345678'",
            "marts.fct_conversations conversation_id: expected no e-mail address",
        ),
    ],
)
def test_a_mart_that_is_not_as_it_should_be_is_an_error(
    quality: Quality, statement: str, expected: str, capfd: pytest.CaptureFixture[str]
) -> None:
    verdict = tampered(quality, statement)
    assert len(verdict.errors) == 1, verdict.errors
    assert verdict.errors[0].startswith(expected)
    table = expected.split()[0].removeprefix("marts.")
    assert verdict.errors[0].endswith(f"; see {quality.published}/quality/marts.html#{table}")
    page = (quality.published / "quality" / "marts.html").read_text()
    assert f'id="{table}" open' in page
    shown = page + repr(verdict) + "".join(capfd.readouterr())
    for secret in (EMAIL, "planted", "13812345678", "+4915112345678"):
        assert secret not in shown


def test_drift_against_the_current_release_is_told(quality: Quality) -> None:
    release = quality.published / "releases" / "r1"
    release.mkdir(parents=True)
    with duckdb.connect(str(release / "parley.duckdb")) as con:
        con.execute(MARTS)
    (quality.published / "current").symlink_to(release)
    gone = "delete from marts.fct_episodes where cast(substr(episode_id, 2) as int) >= 50"
    verdict = tampered(quality, gone)
    assert verdict.errors == []
    assert len(verdict.warnings) == 1
    assert re.fullmatch(
        r"marts\.fct_episodes \(table\): expected 100 to 400 rows, half to twice the current "
        r"release, found 50 rows",
        verdict.warnings[0],
    )


def test_what_great_expectations_cannot_judge_does_not_pass(quality: Quality) -> None:
    suite = Suite("marts", "odd", "", list(MARTS_EXPECTATIONS))
    suite.profile["column"] = {"missing": "no number"}  # type: ignore[dict-item]
    with pytest.raises(QualityError, match="could not judge missing of odd"):
        quality._judge.failed(suite)


# ---------------------------------------------------------------------------------------- docs


def test_the_pages_open_from_disk_and_fetch_nothing(landing: Landing) -> None:
    landing.load(conversations=conversations(100), messages=messages(200, sentiment=3))
    folder = landing.quality.published / "quality"
    pages = sorted(folder.glob("*.html"))
    assert {page.stem for page in pages} == {"index", *BORDERS}
    for page in pages:
        text = page.read_text()
        assert not re.search(r"://|<script|<link|<img|src=|url\(|@import", text), page
        for target in re.findall(r'href="([^"#]+)', text):
            assert (folder / target).is_file(), target
    assert "Not checked yet" in (folder / "marts.html").read_text()
    assert "expected" in (folder / "landing.html").read_text()
    assert "to look at" in (folder / "index.html").read_text()


# -------------------------------------------------------------------------------- personal data


@pytest.mark.parametrize(
    ("text", "as_text", "as_id"),
    [
        (f"write to {EMAIL}.", True, True),
        ("+49 30 1234567", True, True),
        ("(+1-202-555-0143)", True, True),
        ("138 1234 5678", True, False),
        ("13812345678", True, False),
        ("113812345678", False, False),
        ("11010519491231002X", True, False),
        ("110105194912310021", False, False),
        ("4111 1111 1111 1111", True, False),
        ("4111 1111 1111 1112", False, False),
        ("9111111111111110", False, False),
        ("a" * 24 + "4111111111111111" + "b" * 24, True, False),
        ("138****5678 ***@***", False, False),
        ("2026-03-01T09:30:00+08:00", False, False),
        ("1719850000", False, False),
    ],
)
def test_patterns_of_personal_data(text: str, as_text: bool, as_id: bool) -> None:
    assert holds_personal_data(text) is as_text
    assert holds_personal_data(text, is_id=True) is as_id


# ------------------------------------------------------------------------------------- commands


def test_make_quality_tells_by_its_exit_code(
    quality: Quality,
    landing: Landing,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PARLEY_WAREHOUSE", str(quality.warehouse))
    monkeypatch.setenv("PARLEY_PUBLISHED", str(quality.published))
    assert quality_script.main([]) == 1
    assert capsys.readouterr().err == (
        f"There is no warehouse {quality.warehouse}; run make build first.\n"
    )
    landing.load(conversations=conversations(100))
    with duckdb.connect(str(quality.warehouse)) as con:
        con.execute(MARTS)
    before = quality.warehouse.read_bytes()
    assert quality_script.main([]) == 0
    assert "Data quality is as expected" in capsys.readouterr().out
    assert quality.warehouse.read_bytes() == before
    assert not (quality.published / "releases").exists()
    with duckdb.connect(str(quality.warehouse)) as con:
        con.execute("update marts.kpi_values set value = 7, ci_high = 8")
    assert quality_script.main([]) == 1
    assert "marts.kpi_values value: expected rates within 0 and 1" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------- builds


def test_a_build_stops_at_either_border(tmp_path: Path) -> None:
    project = Project(tmp_path / "clone")
    ignored = shutil.ignore_patterns("__pycache__", ".*_cache", "generate*")
    shutil.copytree(ROOT / "scripts", project.root / "scripts", ignore=ignored)
    shutil.copytree(ROOT / "macros" / "project", project.root / "macros" / "project")
    shutil.copy(ROOT / "profiles.yml", project.root)
    project.write("dbt_project.yml", PROJECT)
    project.write("models/conformed/_conformed__models.yml", CONTRACT)
    project.write("models/conformed/conformed_conversations.sql", AS_OF)
    project.write("models/sources.yml", SOURCES)
    project.write("models/marts/fct_conversations.sql", AS_OF)
    project.land("first", "c1", "c2")
    built = project.build()
    assert built.returncode == 0, built.stderr
    former, rows = project.current, project.rows()

    project.land("second", "c3", *[""] * 60)
    refused = project.build()
    assert refused.returncode == 1
    assert refused.stderr.split("already loaded\n")[-1].splitlines()[-3:] == [
        "Refused at the landing border, and taken out again:",
        (
            "  raw.conversations conversation_id: expected a value in every row, found 98% of the "
            "rows unusable; see published/quality/landing.html#conversations"
        ),
        "Nothing was published.",
    ]
    assert "dbt:" not in refused.stdout
    assert (project.current, project.rows()) == (former, rows)
    with duckdb.connect(str(project.root / "warehouse" / "demo.duckdb"), read_only=True) as con:
        assert con.execute("select distinct _load_id from raw.conversations").fetchall() == [(1,)]

    project.land("second", EMAIL)
    refused = project.build()
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-3:] == [
        "Refused at the border of the marts:",
        (
            "  marts.fct_conversations conversation_id: expected no e-mail address, telephone, "
            "identity or card number, found 1 value that might be one; "
            "see published/quality/marts.html#fct_conversations"
        ),
        "Nothing was published.",
    ]
    assert (project.current, project.rows()) == (former, rows)
    shown = refused.stdout + refused.stderr
    for path in (project.root / "published" / "quality").iterdir():
        shown += path.read_text()
    assert EMAIL not in shown


@pytest.mark.parametrize("case", ["case11", "case12"])
def test_conformance_landings_pass(
    quality: Quality, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARLEY_AS_OF", "2026-04-20T00:00:00Z")
    quality.warehouse = build(CONFORMANCE / case / "landing", datetime(2026, 4, 20)).path
    verdict = quality.landing(unchecked=True)
    assert (verdict.errors, verdict.passed_loads) == ([], [1])
    assert quality.marts(None).errors == []
