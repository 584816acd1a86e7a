"""The example of docs/own-data.md: a real export mapped to the landing contract gives its figures.

The export lies in `$PARLEY_REAL_DATA/ibm_twitter_care`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = (sys.executable, "-m", "dbt.cli.main", "build", "--exclude", "test_type:unit")
RUN = ROOT / "examples" / "twitter_care" / "run.py"
GUIDE = ROOT / "docs" / "own-data.md"
REAL_DATA = os.environ.get("PARLEY_REAL_DATA")
needs_real_data = pytest.mark.skipif(
    not REAL_DATA, reason="set PARLEY_REAL_DATA to the directory that holds ibm_twitter_care"
)


def test_source_without_the_export_is_refused_in_one_sentence(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, str(RUN), str(tmp_path), str(tmp_path / "landing")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert run.stderr == f"There is no messages.csv in {tmp_path}.\n"
    assert not (tmp_path / "landing").exists()


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse built from the mapped export."""
    assert REAL_DATA is not None
    folder = tmp_path_factory.mktemp("twitter")
    landing = folder / "landing"
    source = Path(REAL_DATA) / "ibm_twitter_care"
    subprocess.run([sys.executable, str(RUN), str(source), str(landing)], check=True)
    run = subprocess.run(
        [*BUILD, "--target-path", str(folder / "target"), "--log-path", str(folder / "logs")],
        check=False,
        cwd=ROOT,
        env=os.environ
        | {
            "PARLEY_LANDING": str(landing),
            "PARLEY_WAREHOUSE": str(folder / "twitter.duckdb"),
            "PARLEY_SPILL": str(folder / "spill"),
        },
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-1000:]
    with duckdb.connect(str(folder / "twitter.duckdb"), read_only=True) as con:
        yield con


def guide_queries() -> list[str]:
    """The SQL blocks of the guide, in order."""
    return re.findall(r"```sql\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


def test_guide_shows_the_mapping_as_it_is() -> None:
    mapping = (ROOT / "examples" / "twitter_care" / "mapping.sql").read_text(encoding="utf-8")
    shown = guide_queries()[0].strip()
    assert shown in mapping


@needs_real_data
def test_everything_arrives(warehouse: duckdb.DuckDBPyConnection) -> None:
    counts = warehouse.execute(
        "select (select count(*) from conformed.conversations), "
        "(select count(*) from conformed.messages), "
        "(select count(*) from conformed.messages where sender_type = 'agent'), "
        "(select count(*) from marts.fct_conversations), "
        "(select count(distinct entry_point) from marts.fct_conversations)"
    ).fetchone()
    assert counts == (1025, 2350, 1139, 1025, 25)


@needs_real_data
def test_guide_shows_what_its_queries_give(warehouse: duckdb.DuckDBPyConnection) -> None:
    text = GUIDE.read_text(encoding="utf-8")
    shown = re.findall(r"```sql\n(select.*?|with.*?)```\n\n```\n(.*?)```", text, re.DOTALL)
    assert len(shown) == 3
    for query, table in shown:
        assert str(warehouse.sql(query)).strip() == table.strip()


@needs_real_data
def test_first_agent_reply_takes_124_7_minutes_in_the_median(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    """The guide's query over the marts, against the same figure over the messages."""
    by_marts = warehouse.execute(guide_queries()[-1]).fetchone()
    by_messages = warehouse.execute(
        "select count(*), round(median(epoch(agent_at - contact_at)) / 60, 1) from ("
        "select min(sent_at) filter (where sender_type = 'contact') as contact_at, "
        "min(sent_at) filter (where sender_type = 'agent') as agent_at "
        "from conformed.messages group by conversation_id)"
    ).fetchone()
    assert by_marts == (1025, 124.7)
    assert by_messages == by_marts
