"""Any sequence of incremental runs gives the marts a full refresh gives, to the row.

The rows of a landing arrive in parts: late, out of order, corrected, before their conversation,
with merges of contacts in between. After each part dbt runs; now and then a parameter or a policy
changes, a run is interrupted, or time goes back. At the end all is built anew from the same rows.
"""

from __future__ import annotations

import csv
import gzip
import os
import random
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from harness import ROOT, BuildError, Warehouse, build_anew, scratch_directory, write_table
from load import opened_warehouse, rewrite_mark, settle_loads
from test_add_a_kpi import copy_of_the_project
from test_properties import assert_same_marts

sys.path.insert(0, str(ROOT))
from tests.reference.random_landing import write_random_landing

START = datetime(2026, 3, 1, 9)

# Tables that decide everything; they arrive first, and one of them once more later.
REFERENCE = {"intents", "flows", "business_hours", "holidays", "costs", "baseline", "model_prices"}


def rows_of(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns and rows of a landed CSV file."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    reader = csv.DictReader(text.splitlines(keepends=True), restkey="_too_many")
    rows = list(reader)
    return list(reader.fieldnames or []), rows


def parts(landing: Path, count: int, chance: random.Random) -> Iterator[dict[Path, str]]:
    """Files to be added to a landing, part by part; every row comes once, in the order of its file
    with some rows much later."""
    files: list[dict[Path, str]] = [{} for _ in range(count)]
    for path in sorted(p for p in landing.rglob("*") if p.is_file() and p.name != "landing.yml"):
        table = path.parent.name
        columns, rows = rows_of(path)
        chosen: list[list[dict[str, Any]]] = [[] for _ in range(count)]
        for number, row in enumerate(rows):
            part = 0
            if table not in REFERENCE:
                part = min(number * count // max(len(rows), 1), count - 1)
                if chance.random() < 0.15:
                    part = chance.randrange(count)
            chosen[part].append(row)
        for part, members in enumerate(chosen):
            if members or part == 0:
                name = path.name.split(".")[0]
                target = Path(table) / f"p{part:02}_{name}.csv"
                lines = [columns, *([row.get(c) for c in columns] for row in members)]
                files[part][target] = _csv(lines)
    yield from files


def _csv(lines: list[list[Any]]) -> str:
    from io import StringIO

    stream = StringIO()
    csv.writer(stream, lineterminator="\n").writerows(lines)
    return stream.getvalue()


def mode(warehouse: Warehouse) -> str:
    """How the last run worked."""
    return str(warehouse.query("select mode from touched.runs")[0]["mode"])


def reason(warehouse: Warehouse) -> str:
    """Why it worked on all rows; empty when it did not."""
    return str(warehouse.query("select reason from touched.runs")[0]["reason"] or "")


def arrive(home: Path, files: dict[Path, str]) -> None:
    for name, text in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")


# What may happen before a part is built, and why the run after it works on all rows, if it does.
EVENTS = {
    "nothing": "",
    "the same once more": "",
    "another parameter": "models, parameters, salt or versions are not those of the last run",
    "a policy changed": "resolution_policies landed, which decides over all rows",
    "a run was interrupted": "the last run failed, was killed or left models out",
    "one model was built": "the last run failed, was killed or left models out",
    "time went back": "as-of lies before that of the last run",
}
STEP = st.tuples(
    st.sampled_from([0, 1, 24, 24 * 9]),  # hours until the next build
    st.sampled_from(list(EVENTS)),
)
POLICIES = ROOT / "seeds" / "reference" / "resolution_policies.csv"


@settings(
    max_examples=int(os.environ.get("PARLEY_INCREMENTAL_EXAMPLES") or 4),
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(seed=st.integers(1, 10_000), steps=st.lists(STEP, min_size=3, max_size=3))
def test_parts_equal_the_whole(seed: int, steps: list[tuple[int, str]]) -> None:
    chance = random.Random(seed)
    source = scratch_directory("source")
    instants = write_random_landing(source, seed)
    landing, home = scratch_directory("landing"), scratch_directory("home")
    arriving = parts(source, len(steps) + 1, chance)
    as_of, variables = instants[len(instants) // 2], {"session_timeout_minutes": 30}
    arrive(landing, next(arriving))
    warehouse = build_anew(landing, as_of, variables=variables, directory=home)
    assert (mode(warehouse), reason(warehouse)) == ("full", "there was no run before")
    for number, ((hours, event), files) in enumerate(zip(steps, arriving, strict=True)):
        as_of += timedelta(hours=hours)
        if event == "the same once more":
            build_anew(landing, as_of, variables=variables, directory=home)
        elif event == "another parameter":
            variables = {"session_timeout_minutes": 30 + number}
        elif event == "a policy changed":
            policies = POLICIES.read_text(encoding="utf-8").replace(
                "house,72", f"house,{70 + number}"
            )
            arrive(landing, {Path("resolution_policies") / f"p{number}.csv": policies})
        elif event == "a run was interrupted":
            with pytest.raises(BuildError):
                interrupt(landing, as_of, variables, home)
        elif event == "one model was built":
            selection = ["--select", "int_verdicts+"]
            build_anew(landing, as_of, variables=variables, directory=home, arguments=selection)
        elif event == "time went back":
            as_of -= timedelta(days=20)
        arrive(landing, files)
        warehouse = build_anew(landing, as_of, variables=variables, directory=home)
        is_the_same = event == "another parameter" and number == 0
        why = "" if is_the_same else EVENTS[event]
        assert mode(warehouse) == ("full" if why else "touched"), (seed, number, event)
        assert reason(warehouse).split(", 20")[0] == why, (seed, number, event)
    anew = scratch_directory("anew")
    shutil.copy(warehouse.path, anew)
    full = build_anew(
        landing, as_of, variables=variables, directory=anew, arguments=["--full-refresh"]
    )
    assert (mode(full), reason(full)) == ("full", "that was asked for")
    assert_same_marts(full, warehouse)


# Names, types and nullability of all columns.
DESCRIBED = (
    "select schema_name, table_name, column_name, data_type, is_nullable from duckdb_columns() "
    "where schema_name in ('conformed', 'intermediate', 'marts') "
    "order by schema_name, table_name, column_index"
)


def test_long_tables_are_written_anew() -> None:
    """Of a table too long to delete from the rows are replaced alike, and types stay."""
    project = copy_of_the_project("long_tables")
    path = project / "macros" / "incremental" / "materialization.sql"
    text = path.read_text(encoding="utf-8")
    for former, latter in (
        ("getvariable('parley_most_rows_to_delete_from')", "-1"),
        ("'delete from ' ~ target_relation", "'delete from nothing'"),
    ):
        assert former in text
        text = text.replace(former, latter)
    path.write_text(text, encoding="utf-8")
    landing, home, source = (scratch_directory(name) for name in ("landing", "home", "source"))
    *_, as_of, _ = write_random_landing(source, 12)
    early, late = parts(source, 2, random.Random(12))
    arrive(landing, early)
    before = build_anew(landing, as_of, directory=home, project=project)
    described = before.query(DESCRIBED)
    arrive(landing, late)
    warehouse = build_anew(landing, as_of, directory=home, project=project)
    assert mode(warehouse) == "touched"
    assert warehouse.query(DESCRIBED) == described
    anew = scratch_directory("anew")
    full = build_anew(landing, as_of, directory=anew, project=project)
    assert_same_marts(full, warehouse)


def test_rows_are_found_in_as_many_stretches_as_they_lie_in() -> None:
    """With stretches a row apart rows are replaced alike."""
    project = copy_of_the_project("stretches")
    path = project / "macros" / "incremental" / "materialization.sql"
    text = path.read_text(encoding="utf-8")
    for former, latter in (("place > 10000", "place > 1"), ("limit 16", "limit 3")):
        assert text.count(former) == 1
        text = text.replace(former, latter)
    path.write_text(text, encoding="utf-8")
    landing, home, source = (scratch_directory(name) for name in ("landing", "home", "source"))
    *_, as_of, _ = write_random_landing(source, 12)
    for part in parts(source, 3, random.Random(12)):
        arrive(landing, part)
        warehouse = build_anew(landing, as_of, directory=home, project=project)
    assert mode(warehouse) == "touched"
    full = build_anew(landing, as_of, directory=scratch_directory("anew"), project=project)
    assert_same_marts(full, warehouse)


def test_windows_ripen_when_nothing_lands() -> None:
    """All rows are there and only time goes on: verdicts and look-aheads follow."""
    landing, home = scratch_directory("landing"), scratch_directory("home")
    as_of = write_random_landing(landing, 11)[-3]

    def pending(warehouse: Warehouse) -> set[str]:
        rows = warehouse.query("select episode_id from marts.fct_episodes where not is_mature")
        return {row["episode_id"] for row in rows}

    before = pending(build_anew(landing, as_of, directory=home))
    for hours in (1, 24):
        as_of += timedelta(hours=hours)
        warehouse = build_anew(landing, as_of, directory=home)
        assert mode(warehouse) == "touched"
    assert before - pending(warehouse)
    anew = scratch_directory("anew")
    shutil.copy(warehouse.path, anew)
    full = build_anew(landing, as_of, directory=anew, arguments=["--full-refresh"])
    assert_same_marts(full, warehouse)


# What a run must look at again though nothing of the conversation landed: the table and the column
# that tell, and their value before and after.
REACHED = {
    "a question nobody answered in time": ("fct_turns", "is_missed", False, True),
    "a message of the future": ("fct_messages", "sender_type", None, "bot"),
    "a recommendation whose window passes": ("fct_messages", "is_accepted", None, False),
    "an article whose date is corrected": ("fct_messages", "is_stale_answer", False, True),
    "an article that lands": ("fct_messages", "is_stale_answer", False, True),
    "a currency that has another rate": ("fct_messages", "llm_cost", 6.0, 15.0),
    "an episode nobody came back after": ("fct_episodes", "is_fcr", None, True),
    "an episode no sale followed": ("fct_episodes", "is_converted", None, False),
    "a session no person was called after": ("fct_sessions", "has_contact_action", None, False),
    "an episode of whose person a deal lands": ("fct_episodes", "is_converted", False, True),
    "a contact who is merged": ("fct_episodes", "is_first_contact", True, False),
    "an hour that another one surpasses": ("fct_episodes", "is_surge_of_day", True, False),
    "a deal of nobody in a currency that has another rate": ("fct_deals", "amount", 14.0, 35.0),
    "a deal that lands": ("fct_attribution", "credit", None, 1.0),
    "a conversation that opens later than was known": ("fct_episodes", "is_eligible", True, None),
    "a conversation that was a test": ("fct_episodes", "is_eligible", True, None),
    "an episode after one of another person": ("fct_episodes", "is_first_contact", False, True),
    "an episode before a sale to another person": ("fct_episodes", "is_converted", True, False),
    "an episode a ticket followed": ("fct_episodes", "is_deflected", True, False),
}


@pytest.fixture(scope="module")
def reached() -> tuple[Warehouse, Warehouse, Warehouse]:
    """A run before, the run that goes on from it, and a full one of the same rows."""
    landing, home = scratch_directory("landing"), scratch_directory("home")
    missed, future, recommended, cited, landed, priced, *others = REACHED
    returned, bought, called, dealt, merged, surged, of_nobody, deal, *others = others
    put_off, tried, alone, not_sold, ticketed = others
    past, quiet_day = START - timedelta(days=20), START - timedelta(days=40)
    answer = {"sender_type": "bot", "kind": "answer", "sent_at": past}
    messages: dict[str, dict[str, Any]] = {
        missed: {"sender_type": "contact", "sent_at": START},
        future: answer | {"sent_at": START + timedelta(hours=5)},
        recommended: {
            "sender_type": "bot",
            "kind": "recommendation",
            "sent_at": START - timedelta(days=7) + timedelta(hours=1),
        },
        cited: answer | {"cited_sources": "handbook"},
        landed: answer | {"cited_sources": "guide"},
        priced: answer | {"model": "m", "input_tokens": 1_000_000},
        returned: answer | {"sent_at": START - timedelta(days=7) + timedelta(minutes=11)},
        bought: answer | {"sent_at": START - timedelta(days=7) + timedelta(hours=7)},
        called: answer | {"sent_at": START - timedelta(hours=23)},
        dealt: answer,
        merged: answer,
        "of whom the contact is merged into": answer | {"sent_at": past - timedelta(days=1)},
        surged: answer | {"sent_at": quiet_day},
        put_off: answer,
        tried: answer,
        alone: answer,
        "of another person": answer | {"sent_at": past - timedelta(days=1)},
        not_sold: answer,
        ticketed: answer,
    }
    contact_ids = {
        dealt: "buyer", merged: "former", "of whom the contact is merged into": "latter",
        alone: "one", "of another person": "one", not_sold: "taken for another", ticketed: "caller",
    }  # fmt: skip
    # One conversation each, so that none is looked at for the sake of another.
    conversation = {"platform": "x", "channel": "web", "bot_id": "b"}
    write_table(landing, "conversations", [
        conversation | {"conversation_id": name, "contact_id": contact_ids.get(name),
                        "opened_at": past - timedelta(days=1)}
        for name in messages
    ])  # fmt: skip
    write_table(landing, "messages", [
        {"message_id": name, "conversation_id": name} | message
        for name, message in messages.items()
    ] + [
        {"message_id": f"question to {name}", "conversation_id": name, "sender_type": "contact",
         "sent_at": message["sent_at"] - timedelta(minutes=360 if name == bought else 1)}
        for name, message in messages.items() if message.get("kind") == "answer"
    ])  # fmt: skip
    # The house's own policy decides after 72 hours, when no other window closes.
    lines = POLICIES.read_text(encoding="utf-8").splitlines(keepends=True)
    arrive(landing, {Path("resolution_policies") / "house.csv": "".join(lines[:2])})
    contacts = [
        {"contact_id": name, "created_at": past, "merged_into": None}
        for name in ("former", "latter", "buyer")
    ]
    article = {"article_id": "handbook", "updated_at": past}
    rate = {"currency": "XTS", "valid_from": "2026-01-01", "rate": 2}
    write_table(landing, "contacts", contacts)
    write_table(landing, "knowledge_articles", [article])
    write_table(landing, "exchange_rates", [rate])
    sale = {"deal_id": "d", "created_at": past, "closed_at": past + timedelta(days=1),
            "is_won": True, "amount": 7, "currency": "XTS"}  # fmt: skip
    write_table(landing, "deals", [
        sale | {"deal_id": of_nobody, "closed_at": past},
        sale | {"contact_id": "taken for another"},
    ], name="former")  # fmt: skip
    write_table(landing, "model_prices", [
        {"model": "m", "valid_from": "2026-01-01", "input_per_million": 3, "output_per_million": 4,
         "currency": "XTS"},
    ])  # fmt: skip
    build_anew(landing, START + timedelta(minutes=10), directory=home)
    before = scratch_directory("before")
    shutil.copy(home / "warehouse.duckdb", before)

    as_of = START + timedelta(hours=6)
    write_table(landing, "contacts", [contacts[0] | {"merged_into": "latter"}], name="later")
    busy = quiet_day + timedelta(hours=2)
    opened = conversation | {"opened_at": past - timedelta(days=1)}
    write_table(landing, "conversations", [
        *[conversation | {"conversation_id": name, "opened_at": busy} for name in "xy"],
        opened | {"conversation_id": put_off, "opened_at": as_of + timedelta(hours=1)},
        opened | {"conversation_id": tried, "is_test": True},
        opened | {"conversation_id": "of another person", "contact_id": "another"},
    ], name="later")  # fmt: skip
    write_table(landing, "tickets", [
        {"ticket_id": "t", "contact_id": "caller", "created_at": past + timedelta(hours=1)},
    ])  # fmt: skip
    write_table(landing, "messages", [
        {"message_id": f"{sender} {name}", "conversation_id": name, "sender_type": sender,
         "kind": kind, "sent_at": busy + timedelta(minutes=minute)}
        for name in "xy"
        for minute, (sender, kind) in enumerate([("contact", None), ("bot", "answer")])
    ], name="later")  # fmt: skip
    write_table(landing, "deals", [
        {"deal_id": deal, "contact_id": "buyer", "created_at": past + timedelta(days=1),
         "closed_at": past + timedelta(days=2), "is_won": True, "amount": 10, "currency": "USD"},
        sale | {"contact_id": "the one it was"},
    ], name="later")  # fmt: skip
    write_table(landing, "knowledge_articles", [
        {"article_id": name, "updated_at": past - timedelta(days=400)}
        for name in ("handbook", "guide")
    ], name="later")  # fmt: skip
    write_table(
        landing, "exchange_rates", [rate | {"valid_from": "2026-01-15", "rate": 5}], name="later"
    )
    after = build_anew(landing, as_of, directory=home)
    assert mode(after) == "touched"
    full = build_anew(landing, as_of)
    return Warehouse(before / "warehouse.duckdb"), after, full


@pytest.mark.parametrize("name", REACHED)
def test_a_conversation_is_reached_though_nothing_of_it_landed(
    reached: tuple[Warehouse, Warehouse, Warehouse], name: str
) -> None:
    table, column, *expected = REACHED[name]
    key = {
        "fct_turns": "turn_id",
        "fct_messages": "message_id",
        "fct_deals": "deal_id",
        "fct_attribution": "deal_id",
    }.get(table, "conversation_id")
    found = [
        next((row[column] for row in warehouse.rows(table) if row[key] == name), None)
        for warehouse in reached
    ]
    assert found == [*expected, expected[-1]]


def test_the_run_that_reached_them_equals_a_full_one(
    reached: tuple[Warehouse, Warehouse, Warehouse],
) -> None:
    _, after, full = reached
    assert_same_marts(full, after)


def test_rows_taken_out_are_noticed_though_others_landed() -> None:
    landing, home = scratch_directory("landing"), scratch_directory("home")
    thread = {"platform": "x", "channel": "web", "opened_at": START}
    write_table(landing, "conversations", [thread | {"conversation_id": "a"}])
    build_anew(landing, START, directory=home)
    refused = write_table(landing, "conversations", [thread | {"conversation_id": "b"}], name="b")
    assert mode(build_anew(landing, START, directory=home)) == "touched"
    # what a checkpoint does with a load that means nothing
    with opened_warehouse(home / "warehouse.duckdb") as con:
        newest = con.execute("select max(load_id) from raw._loads").fetchone()
        assert newest is not None
        settle_loads(con, [], [newest[0]])
    refused.unlink()
    write_table(landing, "conversations", [thread | {"conversation_id": "c"}], name="c")
    warehouse = build_anew(landing, START, directory=home)
    assert reason(warehouse) == "rows that had landed were taken out or changed"
    found = warehouse.query("select conversation_id from marts.fct_conversations order by 1")
    assert [row["conversation_id"] for row in found] == ["a", "c"]
    assert mode(build_anew(landing, START, directory=home)) == "touched"


def test_rows_the_loader_changed_later_are_noticed() -> None:
    landing, home = scratch_directory("landing"), scratch_directory("home")
    thread = {"platform": "x", "channel": "web", "opened_at": START}
    write_table(landing, "conversations", [thread | {"conversation_id": "a"}])
    build_anew(landing, START, directory=home)
    assert mode(build_anew(landing, START, directory=home)) == "touched"
    rewrite_mark(home / "warehouse.duckdb").touch()  # as for an erased person who lands again
    warehouse = build_anew(landing, START, directory=home)
    assert reason(warehouse) == "rows that had landed were taken out or changed"
    assert mode(build_anew(landing, START, directory=home)) == "touched"


def interrupt(landing: Path, as_of: datetime, variables: dict[str, Any], home: Path) -> None:
    """A run that ends half-way: a fact cannot be written, so what depends on it is skipped."""
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        con.execute("alter table marts.fct_turns rename column started_at to began_at")
    build_anew(landing, as_of, variables=variables, directory=home)


# ------------------------------------------------------------------------------------ verdicts


RIPE, LATER = datetime(2026, 3, 5), datetime(2026, 3, 6)
FIRST = (1, "resolved", "first", RIPE)


@pytest.fixture
def answered() -> tuple[Path, Path]:
    """A landing with a question that was answered, and an empty place for its warehouse."""
    landing = scratch_directory("landing")
    write_table(landing, "conversations", [
        {"conversation_id": "c", "platform": "x", "channel": "web", "opened_at": START,
         "bot_id": "b"},
    ])  # fmt: skip
    write_table(landing, "messages", [
        {"message_id": "1", "conversation_id": "c", "sent_at": START, "sender_type": "contact"},
        {"message_id": "2", "conversation_id": "c", "sent_at": START + timedelta(minutes=1),
         "sender_type": "bot", "kind": "answer"},
    ])  # fmt: skip
    return landing, scratch_directory("home")


def history(answered: tuple[Path, Path], as_of: datetime, *options: str) -> list[tuple[Any, ...]]:
    """Build, and say what is on record under the house policy."""
    landing, home = answered
    warehouse = build_anew(landing, as_of, directory=home, arguments=options)
    return [
        (row["verdict_number"], row["verdict"], row["reason"], row["known_at"])
        for row in warehouse.query(
            "select * from marts.fct_resolution_history where policy = 'house' order by 3"
        )
    ]


def complain(answered: tuple[Path, Path]) -> None:
    """A bad rating lands, late."""
    write_table(answered[0], "feedback", [
        {"feedback_id": "f", "conversation_id": "c", "submitted_at": START + timedelta(hours=1),
         "kind": "thumbs", "score": 0, "scale_max": 1},
    ])  # fmt: skip


def test_the_first_verdict_stays_on_record(answered: tuple[Path, Path]) -> None:
    """Known once its window is past; late feedback makes another, a rerun and a refresh none."""
    landing, home = answered
    second = (2, "not_resolved", "late data", RIPE)
    assert history(answered, datetime(2026, 3, 2)) == []
    assert history(answered, RIPE) == [FIRST]
    complain(answered)
    with pytest.raises(BuildError):  # what a run that failed made of it was never published
        interrupt(landing, RIPE, {}, home)
    assert history(answered, RIPE) == [FIRST, second]
    assert history(answered, LATER) == [FIRST, second]
    assert history(answered, LATER, "--full-refresh") == [FIRST, second]
    policy = POLICIES.read_text(encoding="utf-8").replace(
        "house,72,last_bot_reply,any,true,true,true", "house,72,last_bot_reply,any,true,true,false"
    )
    arrive(landing, {Path("resolution_policies") / "p.csv": policy})
    assert history(answered, LATER)[2:] == [(3, "resolved", "policy changed", LATER)]


def test_late_data_is_not_put_down_to_a_policy_that_changed_before(
    answered: tuple[Path, Path],
) -> None:
    """The policy changed, and the verdict did not; later a bad rating lands."""
    assert history(answered, RIPE) == [FIRST]
    policy = POLICIES.read_text(encoding="utf-8").replace(
        "house,72,last_bot_reply,any,true,true,true,true",
        "house,72,last_bot_reply,any,true,true,true,false",
    )
    arrive(answered[0], {Path("resolution_policies") / "p.csv": policy})
    assert history(answered, RIPE) == [FIRST]
    complain(answered)
    assert history(answered, LATER) == [FIRST, (2, "not_resolved", "late data", LATER)]


def test_what_a_failed_run_found_is_not_on_record(answered: tuple[Path, Path]) -> None:
    """It is known when a run that succeeds finds it, not when one that failed did."""
    assert history(answered, RIPE) == [FIRST]
    complain(answered)
    with pytest.raises(BuildError):
        interrupt(answered[0], RIPE, {}, answered[1])
    assert history(answered, LATER) == [FIRST, (2, "not_resolved", "late data", LATER)]
