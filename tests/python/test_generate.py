"""The generator keeps the landing contract, repeats itself, and shows every behaviour it promises.

The contract is transcribed below and read by a small reader of its own, so that the generator is
not checked against its own list of columns.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import duckdb
import pytest

ROOT = Path(__file__).resolve().parents[2]
AS_OF = datetime(2026, 7, 5, 18, tzinfo=UTC)

# table | column[:type][*][(enum values)] ... ; the first column is the key, text is the default,
# `PK` tables have exactly one key column.
CONTRACT = """
conversations | conversation_id platform* channel*(web,app,whatsapp,messenger,instagram,wechat,line,telegram,sms,email,voice,other) opened_at:ts* closed_at:ts direction(inbound,outbound) bot_id contact_id visitor_id entry_point campaign device_type(desktop,mobile,tablet,other) os browser language country is_test:bool is_spam:bool
messages | message_id conversation_id* sent_at:ts* sender_type*(contact,bot,agent,system) sender_id visibility(public,private) text kind(answer,greeting,prompt,fallback,handoff_notice,survey,recommendation) intent intent_confidence:num intent_label sentiment:num language cited_sources action_name action_status(success,failure) flow_id step_id model input_tokens:int output_tokens:int is_grounded:bool
events | event_id conversation_id* occurred_at:ts* event_type*(opened,handoff_requested,handoff_initiated,handoff_failed,agent_assigned,closed,reopened,flow_started,step_reached,flow_completed,survey_sent,resolution_confirmed,guardrail_blocked,error,recommendation_accepted) actor_type(contact,bot,automation,agent) actor_id reason flow_id step_id
feedback | feedback_id conversation_id* message_id submitted_at:ts* kind*(csat,thumbs,nps,accuracy) score:num* scale_max:num* category comment
answers | answer_id conversation_id* flow_id* field* asked_at:ts* answered_at:ts value is_valid:bool
contacts | contact_id created_at:ts* name email phone country language merged_into
leads | lead_id contact_id conversation_id created_at:ts* source qualified_at:ts disqualified_at:ts
meetings | meeting_id contact_id conversation_id booked_at:ts* starts_at:ts status*(booked,held,cancelled,no_show)
deals | deal_id contact_id created_at:ts* closed_at:ts is_won:bool amount:num margin:num currency
tickets | ticket_id contact_id conversation_id channel topic url created_at:ts* bot_assigned_at:ts closed_at:ts
agents | agent_id team hourly_cost:num currency
experiment_assignments | assignment_id experiment_id* variant* conversation_id* assigned_at:ts*
knowledge_articles | article_id title topic updated_at:ts* status
intents | intent topic tier:int is_repetitive:bool needs_answer:bool is_fallback:bool baseline_handle_minutes:num
flows | flow_id name purpose required_fields
business_hours | schedule_id time_zone weekday:int opens_at closes_at valid_from:date valid_to:date
holidays | schedule_id holiday:date
costs | month:date category(bot_platform,llm,channel,agent_labour,tools,devices) amount:num currency
baseline | metric(cost_per_service,services_per_agent_day,accuracy_satisfaction_rate,conversion_rate) value:num currency period_start:date period_end:date
exchange_rates | currency valid_from:date rate:num
model_prices | model valid_from:date input_per_million:num output_per_million:num currency
kpi_targets | kpi valid_from:date target:num warn:num
"""  # noqa: E501
NO_KEY = {"business_hours", "holidays", "costs", "exchange_rates", "model_prices", "kpi_targets"}
CHILDREN = {"messages", "events", "feedback", "answers", "experiment_assignments"}
KPIS_OF_TARGETS = {
    "resolution_rate", "containment_rate", "handoff_rate", "csat", "fallback_rate", "missed_rate",
    "fcr_rate", "lead_capture_rate", "intent_accuracy", "hallucination_rate", "cost_per_service",
}  # fmt: skip


class Column(NamedTuple):
    """One column of the contract."""

    name: str
    kind: str
    required: bool
    values: frozenset[str]


def parse_contract() -> dict[str, list[Column]]:
    """Return table -> columns of the transcribed contract."""
    tables = {}
    for line in CONTRACT.strip().splitlines():
        table, columns = line.split(" | ")
        tables[table] = [
            Column(name, kind or "text", bool(star), frozenset((values or "").split(",")) - {""})
            for name, kind, star, values in re.findall(
                r"(\w+)(?::(\w+))?(\*)?(?:\(([\w,]+)\))?(?: |$)", columns
            )
        ]
    return tables


TABLES = parse_contract()


def instant(text: str) -> datetime:
    """Return the instant; text without an offset is not in the contract's form."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment.astimezone(UTC)


def boolean(text: str) -> bool:
    """Return the truth value of `true` or `false`."""
    return {"true": True, "false": False}[text]


CASTS: dict[str, Callable[[str], object]] = {
    "text": str,
    "int": int,
    "num": float,
    "bool": boolean,
    "ts": instant,
    "date": date.fromisoformat,
}
Row = dict[str, object]


class Landing(NamedTuple):
    """What a careful reader makes of a landing directory."""

    accepted: dict[str, list[Row]]
    superseded: Counter[str]
    rejected: dict[str, Counter[str]]
    headers: dict[str, list[str]]


def read_landing(directory: Path) -> Landing:
    """Read CSV landing tables as the contract says: cast, check, let the last copy win."""
    accepted: dict[str, list[Row]] = {}
    superseded: Counter[str] = Counter()
    rejected: dict[str, Counter[str]] = defaultdict(Counter)
    headers = {}
    for table, columns in TABLES.items():
        rows: dict[object, Row] = {}
        for path in sorted((directory / table).glob("*.csv")):
            with path.open(encoding="utf-8", newline="") as lines:
                reader = csv.DictReader(lines)
                headers[table] = list(reader.fieldnames or [])
                for number, raw in enumerate(reader):
                    row, reason = read_row(table, columns, raw, accepted)
                    if reason:
                        rejected[table][reason] += 1
                        continue
                    key = (path, number) if table in NO_KEY else row[columns[0].name]
                    superseded[table] += key in rows
                    rows.pop(key, None)
                    rows[key] = row
        accepted[table] = list(rows.values())
    return Landing(accepted, superseded, rejected, headers)


def read_row(
    table: str, columns: list[Column], raw: dict[str, str], accepted: dict[str, list[Row]]
) -> tuple[Row, str]:
    """Return the typed row and the reason for its rejection ('' if there is none)."""
    row: Row = {}
    for column in columns:
        text = raw[column.name]
        if text == "" and column.name != "text":
            row[column.name] = None
            if column.required:
                return row, "null"
            continue
        try:
            row[column.name] = CASTS[column.kind](text)
        except (ValueError, KeyError):
            return row, "cast"
        if column.values and text not in column.values:
            return row, "enum"
    if table not in NO_KEY and row[columns[0].name] is None:
        return row, "null key"
    if table in CHILDREN and row["conversation_id"] not in ids(accepted):
        return row, "orphan"
    return row, ""


_IDS: dict[int, frozenset[object]] = {}


def ids(accepted: dict[str, list[Row]]) -> frozenset[object]:
    """Return the ids of the accepted conversations."""
    rows = accepted["conversations"]
    if id(rows) not in _IDS:
        _IDS[id(rows)] = frozenset(row["conversation_id"] for row in rows)
    return _IDS[id(rows)]


def load_generator() -> ModuleType:
    """Import the script, which is no package."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "scripts" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate"] = module
    spec.loader.exec_module(module)
    return module


generate = load_generator()


def digests(directory: Path) -> dict[str, str]:
    """Return relative path -> SHA-256 of every file below a directory."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


# ---- demo ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo written with the default seed."""
    out: Path = tmp_path_factory.mktemp("demo")
    assert generate.main(["demo", "--out", str(out), "--seed", "7"]) == 0
    return out


@pytest.fixture(scope="module")
def demo(demo_dir: Path) -> Landing:
    """What the contract accepts of the demo."""
    return read_landing(demo_dir)


SQL_TYPES = {"ts": "timestamptz", "num": "double", "int": "bigint", "bool": "boolean",
             "date": "date", "text": "varchar"}  # fmt: skip


@pytest.fixture(scope="module")
def sql(
    demo: Landing, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The accepted rows as typed tables, with a few helping views."""
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    for table, columns in TABLES.items():
        fields = ", ".join(f'"{column.name}" {SQL_TYPES[column.kind]}' for column in columns)
        connection.execute(f"create table {table} ({fields})")
        lines = tmp_path_factory.getbasetemp() / f"{table}.jsonl"
        with lines.open("w", encoding="utf-8") as file:
            for row in demo.accepted[table]:
                record = {column.name: row[column.name] for column in columns}
                file.write(json.dumps(record, default=str) + "\n")
        types = {column.name: SQL_TYPES[column.kind] for column in columns}
        connection.execute(
            f"insert into {table} select * from read_json("
            f"'{lines}', format = 'newline_delimited', columns = {types})"
        )
    connection.execute(HELPERS)
    yield connection
    connection.close()


HELPERS = """
create view chat as  -- public messages with what came before
select
    messages.*, channel, bot_id, contact_id, visitor_id, direction, opened_at,
    lag(sent_at) over thread as previous_at, lag(sender_type) over thread as previous_sender,
    lead(sender_type) over thread as next_sender, lead(kind) over thread as next_kind,
    lead(sent_at) over thread as next_at, row_number() over thread as position,
    bool_or(sender_type = 'bot') over (thread rows between unbounded preceding and 1 preceding)
        as after_bot
from messages join conversations using (conversation_id)
where coalesce(visibility, 'public') = 'public' and sender_type <> 'system'
window thread as (partition by conversation_id order by sent_at, message_id);
create view last_answer as
select conversation_id, max_by(message_id, sent_at) as message_id, max(sent_at) as sent_at
from messages where sender_type = 'bot' and coalesce(kind, 'answer') in ('answer', 'recommendation')
group by all;
create view weekly as
select
    date_diff('day', date '2026-01-05', opened_at::date) // 7 as week, count(*) as chats,
    count(*) filter (exists (from messages where messages.conversation_id
        = conversations.conversation_id and intent = 'payment_failed')) as payments,
    count(*) filter (exists (from messages where messages.conversation_id
        = conversations.conversation_id and intent = 'stove_recall')) as recalls
from conversations group by all;
"""

# behaviour: (least number wanted, query)
BEHAVIOURS: dict[str, tuple[float, str]] = {
    # traffic
    "three languages": (3, "select count(distinct language) from conversations"),
    "five channels": (5, "select count(distinct channel) from conversations"),
    "several bots": (3, "select count(distinct bot_id) from conversations"),
    "about 1,500 conversations": (1400, "select count(*) from conversations"),
    "all 26 weeks": (26, "select count(distinct week) from weekly"),
    "growth": (
        1.2,
        """
        select avg(chats) filter (week between 19 and 24) / avg(chats) filter (week < 6)
        from weekly""",
    ),
    "weekdays busier than weekends": (
        1.5,
        """
        select count(*) filter (isodow(opened_at) < 6) / 5 * 2
            / count(*) filter (isodow(opened_at) > 5) from conversations""",
    ),
    "launch week surge": (
        1.6,
        """
        select max(chats) filter (week = 16) / avg(chats) filter (week in (14, 15, 17, 18))
        from weekly""",
    ),
    "payment incident": (
        4,
        """
        select max(payments) filter (week = 9) / avg(payments) filter (week not in (9, 10))
        from weekly""",
    ),
    "a topic emerges late": (15, "select sum(recalls) filter (week >= 21) from weekly"),
    "night orders": (
        5,
        """
        select count(distinct conversation_id) from chat where intent = 'order_place'
        and (hour(sent_at at time zone 'Europe/Berlin') >= 18
            or hour(sent_at at time zone 'Europe/Berlin') < 7)""",
    ),
    # who writes
    "visitor without contact": (
        50,
        """
        select count(*) from conversations where contact_id is null and visitor_id is not null""",
    ),
    "neither contact nor visitor": (
        10,
        """
        select count(*) from conversations where contact_id is null and visitor_id is null""",
    ),
    "visitor identified later": (
        5,
        """
        select count(distinct later.visitor_id)
        from conversations as early join conversations as later using (visitor_id)
        where early.contact_id is null and later.contact_id is not null
            and early.opened_at < later.opened_at""",
    ),
    "no bot": (20, "select count(*) from conversations where bot_id is null"),
    "outbound campaigns": (
        20,
        """
        select count(*) from conversations where direction = 'outbound' and campaign is not null""",
    ),
    "tests": (5, "select count(*) from conversations where is_test"),
    "spam": (5, "select count(*) from conversations where is_spam"),
    "merge chain with chats": (
        1,
        """
        select count(*) from contacts as a join contacts as b on a.merged_into = b.contact_id
        join contacts as c on b.merged_into = c.contact_id and c.merged_into is null
        where (select count(distinct contact_id) from conversations
            where contact_id in (a.contact_id, b.contact_id, c.contact_id)) = 3""",
    ),
    "merge cycle": (
        1,
        """
        select count(*) from contacts as a join contacts as b
            on a.merged_into = b.contact_id and b.merged_into = a.contact_id""",
    ),
    "same person, other channel within a day": (
        8,
        """
        select count(*) from conversations as a join conversations as b using (contact_id)
        where a.channel <> b.channel
            and b.opened_at between a.opened_at and a.opened_at + interval 24 hours""",
    ),
    "opened and left": (
        30,
        """
        select count(*) from conversations where direction is distinct from 'outbound'
        and conversation_id not in
            (select conversation_id from messages where sender_type = 'contact')""",
    ),
    # episodes and sessions
    "writes again after closing": (
        60,
        """
        select count(distinct conversation_id) from chat join events using (conversation_id)
        where event_type = 'closed' and sender_type = 'contact' and sent_at > occurred_at""",
    ),
    "idle over 72 hours": (
        5,
        """
        select count(*) from chat where sent_at - previous_at > interval 72 hours""",
    ),
    "third episode": (
        5,
        """
        select count(*) from (select conversation_id from events where event_type = 'reopened'
            group by all having count(*) = 2)""",
    ),
    "several sessions in one sitting's thread": (
        60,
        """
        select count(*) from chat where sent_at - previous_at
            between interval 31 minutes and interval 24 hours""",
    ),
    # handoff
    **{
        f"handoff initiated by {actor}": (
            10,
            f"""
            select count(*) from events
            where event_type = 'handoff_initiated' and actor_type = '{actor}'""",
        )
        for actor in ("bot", "automation", "contact", "agent")
    },
    "takeover without event": (
        15,
        """
        select count(distinct conversation_id) from chat
        where sender_type = 'agent' and after_bot and conversation_id not in
            (select conversation_id from events where event_type = 'handoff_initiated')""",
    ),
    "request unmet": (
        20,
        """
        select count(distinct conversation_id) from events
        where event_type = 'handoff_requested'
            and conversation_id not in (select conversation_id from events
                where event_type in ('handoff_initiated', 'handoff_failed'))
            and conversation_id not in
                (select conversation_id from messages where sender_type = 'agent')""",
    ),
    "handoff failed": (5, "select count(*) from events where event_type = 'handoff_failed'"),
    "handoff nobody takes": (
        5,
        """
        select count(*) from events where event_type = 'handoff_initiated'
        and conversation_id not in
            (select conversation_id from messages where sender_type = 'agent')""",
    ),
    "handoff before any answer": (
        5,
        """
        select count(distinct conversation_id) from events
        where event_type = 'handoff_initiated' and actor_type = 'bot'
            and conversation_id not in (select conversation_id from last_answer)""",
    ),
    "asked again after the handoff": (
        3,
        """
        select count(*) from answers as early join answers as late
            using (conversation_id, flow_id, field)
        join events using (conversation_id)
        where event_type = 'handoff_initiated' and early.is_valid
            and early.answered_at <= occurred_at and late.asked_at > occurred_at""",
    ),
    "private notes": (20, "select count(*) from messages where visibility = 'private'"),
    "system messages": (10, "select count(*) from messages where sender_type = 'system'"),
    # outcomes
    "abandoned at a prompt": (
        25,
        """
        select count(*) from chat where next_sender is null and kind = 'prompt'
            and conversation_id not in (select conversation_id from events
                where event_type in ('handoff_requested', 'handoff_initiated'))""",
    ),
    "last answer rated badly": (
        30,
        """
        select count(*) from feedback join last_answer using (message_id)
        where score / scale_max <= 0.4""",
    ),
    "earlier answer rated badly": (
        10,
        """
        select count(*) from feedback join messages using (message_id)
        where sender_type = 'bot' and score / scale_max <= 0.4
            and message_id not in (select message_id from last_answer)""",
    ),
    "confirmed": (80, "select count(*) from events where event_type = 'resolution_confirmed'"),
    "pending at the end": (
        10,
        """
        select count(distinct conversation_id) from messages
        where sender_type = 'bot' and sent_at > timestamptz '2026-07-02 18:00:00Z'""",
    ),
    # turns
    "fallback messages": (80, "select count(*) from messages where kind = 'fallback'"),
    "fallback intent": (80, "select count(*) from messages where intent = 'nlu_fallback'"),
    "missed turns": (
        20,
        """
        select count(*) from chat where sender_type = 'contact' and bot_id is not null
        and coalesce(next_at, timestamptz '2026-07-05 18:00:00Z') > sent_at + interval 30 minutes
        and intent not in ('thanks', 'greet')""",
    ),
    "rephrased": (
        50,
        """
        select count(*) from chat as a join chat as b
            on a.conversation_id = b.conversation_id and b.position = a.position + 2
        where a.sender_type = 'contact' and a.next_sender = 'bot' and b.intent = a.intent
            and b.sent_at - a.sent_at < interval 30 minutes""",
    ),
    "bursts": (
        100,
        """
        select count(*) from chat where sender_type = 'contact' and previous_sender = 'contact'""",
    ),
    "unsure, then a prompt, fallback or handoff": (
        100,
        """
        select count(*) from chat where intent_confidence < 0.9
        and next_kind in ('prompt', 'fallback', 'handoff_notice')""",
    ),
    "unsure, answered all the same": (
        100,
        """
        select count(*) from chat where intent_confidence < 0.9 and next_kind = 'answer'""",
    ),
    "intent outside the catalogue": (
        3,
        """
        select count(*) from messages where intent not in (select intent from intents)""",
    ),
    "messages per conversation": (
        8,
        """
        select (select count(*) from messages) / (select count(*) from conversations)""",
    ),
    # quality
    "judged": (300, "select count(*) from messages where is_grounded is not null"),
    "ungrounded": (10, "select count(*) from messages where not is_grounded"),
    "stale sources": (
        50,
        """
        select count(*) from messages join knowledge_articles
            on list_contains(string_split(cited_sources, '|'), article_id)
        where sent_at - updated_at > interval 180 days""",
    ),
    "fresh sources": (
        50,
        """
        select count(*) from messages join knowledge_articles
            on list_contains(string_split(cited_sources, '|'), article_id)
        where sent_at - updated_at < interval 180 days""",
    ),
    "several sources": (
        10,
        """
        select count(*) from messages where contains(cited_sources, '|')""",
    ),
    "actions that succeed": (
        200,
        """
        select count(*) from messages where action_status = 'success' and action_name <> ''""",
    ),
    "actions that fail": (10, "select count(*) from messages where action_status = 'failure'"),
    "guardrail": (3, "select count(*) from events where event_type = 'guardrail_blocked'"),
    "errors": (20, "select count(*) from events where event_type = 'error'"),
    "two models with tokens": (
        2,
        """
        select count(distinct model) from messages where input_tokens > 0 and output_tokens > 0""",
    ),
    "recommendations": (50, "select count(*) from messages where kind = 'recommendation'"),
    "recommendations accepted": (
        20,
        """
        select count(*) from events where event_type = 'recommendation_accepted'""",
    ),
    "recommendations bought, not accepted": (
        3,
        """
        select count(distinct messages.conversation_id) from messages
        join conversations using (conversation_id) join deals using (contact_id)
        where kind = 'recommendation' and is_won
            and deals.created_at between sent_at and sent_at + interval 7 days
            and messages.conversation_id not in (select conversation_id from events
                where event_type = 'recommendation_accepted')""",
    ),
    "recommendations without effect": (
        20,
        """
        select count(*) from messages where kind = 'recommendation' and conversation_id not in
            (select conversation_id from events where event_type = 'recommendation_accepted')""",
    ),
    "labelled, about 10 %": (
        0.05,
        """
        select count(intent_label) / count(*) from messages where sender_type = 'contact'""",
    ),
    "sentiment": (1000, "select count(sentiment) from messages where sender_type = 'contact'"),
    "e-mails in messages": (4, "select count(*) from messages where contains(text, '@')"),
    "phones in messages": (
        4,
        "select count(*) from messages where text similar to '.*\\+1 202 .*'",
    ),
    # feedback
    "surveys": (300, "select count(*) from events where event_type = 'survey_sent'"),
    "all feedback kinds": (4, "select count(distinct kind) from feedback"),
    "all nps groups": (
        3,
        """
        select count(distinct case when score >= 9 then 1 when score <= 6 then -1 else 0 end)
        from feedback where kind = 'nps'""",
    ),
    "several scales": (2, "select count(distinct scale_max) from feedback where kind = 'csat'"),
    "thumbs with categories": (
        3,
        """
        select count(distinct category) from feedback where kind = 'thumbs'""",
    ),
    "csat after an agent": (
        50,
        """
        select count(*) from feedback where kind = 'csat' and
            (select max_by(sender_type, sent_at) from chat
            where chat.conversation_id = feedback.conversation_id
                and sent_at <= submitted_at and sender_type <> 'contact') = 'agent'""",
    ),
    "csat improves with the version": (
        0.05,
        """
        select avg((score / scale_max >= 0.8)::int) filter (bot_id = 'scout-v2')
            - avg((score / scale_max >= 0.8)::int) filter (bot_id = 'scout-v1')
        from feedback join conversations using (conversation_id) where kind = 'csat'""",
    ),
    # leads and CRM
    "lead flows left early": (
        5,
        """
        select count(distinct conversation_id) from events
        where event_type = 'flow_started' and flow_id in ('trip_planner', 'trade_account')
            and conversation_id not in
                (select conversation_id from events where event_type = 'flow_completed')""",
    ),
    "lead flows done": (
        20,
        """
        select count(*) from events join flows using (flow_id)
        where event_type = 'flow_completed' and purpose = 'lead'""",
    ),
    "flow without required fields": (
        5,
        """
        select count(*) from events join flows using (flow_id)
        where event_type = 'flow_completed' and purpose = 'lead' and required_fields is null""",
    ),
    "steps": (50, "select count(*) from events where event_type = 'step_reached'"),
    "invalid, then valid": (
        5,
        """
        select count(*) from answers as a join answers as b using (conversation_id, flow_id, field)
        where not a.is_valid and b.is_valid and b.asked_at > a.asked_at""",
    ),
    "asked, not answered": (5, "select count(*) from answers where answered_at is null"),
    "qualified leads": (10, "select count(qualified_at) from leads"),
    "disqualified leads": (3, "select count(disqualified_at) from leads"),
    "qualified and disqualified": (
        1,
        """
        select count(*) from leads where qualified_at is not null
            and disqualified_at is not null""",
    ),
    "undecided leads": (
        5,
        """
        select count(*) from leads where qualified_at is null and disqualified_at is null""",
    ),
    "contact made by the capture": (
        5,
        """
        select count(*) from conversations join contacts using (contact_id)
        where created_at > opened_at""",
    ),
    "meetings of all statuses": (4, "select count(distinct status) from meetings"),
    "meetings without conversation": (
        3,
        """
        select count(*) from meetings where conversation_id is null""",
    ),
    "deals won, lost, open": (3, "select count(distinct coalesce(is_won::text, '')) from deals"),
    "deals in three currencies": (
        3,
        """
        select count(distinct deals.currency) from deals join exchange_rates using (currency)""",
    ),
    "a won deal without a rate, touched": (
        1,
        """
        select count(distinct deal_id) from deals join conversations using (contact_id)
        where is_won and deals.currency not in (select currency from exchange_rates)
            and opened_at between deals.created_at - interval 30 days and deals.created_at""",
    ),
    "deals inside the attribution window": (
        40,
        """
        select count(distinct deal_id) from deals join conversations using (contact_id)
        where is_won and opened_at between deals.created_at - interval 30 days
            and deals.created_at""",
    ),
    "deals long after the last chat": (
        3,
        """
        select count(*) from deals where is_won and (select max(opened_at) from conversations
            where conversations.contact_id = deals.contact_id and opened_at <= created_at)
            < created_at - interval 30 days""",
    ),
    "deals without any chat": (
        10,
        """
        select count(*) from deals where contact_id not in
            (select contact_id from conversations where contact_id is not null)""",
    ),
    "multi-touch deals": (
        10,
        """
        select count(*) from (select deal_id from deals join conversations using (contact_id)
            where is_won and bot_id is not null
                and opened_at between deals.created_at - interval 30 days and deals.created_at
            group by all having count(*) > 1)""",
    ),
    "influenced deals": (
        8,
        """
        select count(distinct deal_id) from deals join conversations using (contact_id)
        where is_won and opened_at > deals.created_at and opened_at < deals.closed_at""",
    ),
    "tickets by the bot": (
        20,
        """
        select count(*) from tickets where bot_assigned_at is not null and closed_at is not null""",
    ),
    "tickets within a day of a chat, elsewhere": (
        8,
        """
        select count(distinct ticket_id) from tickets
        join conversations on tickets.contact_id = conversations.contact_id
        where tickets.conversation_id is null
            and created_at between opened_at and opened_at + interval 24 hours""",
    ),
    "tickets off topic or without": (
        5,
        """
        select count(*) from tickets where topic is null or topic = 'invoices'""",
    ),
    "tickets on topic": (
        20,
        """
        select count(*) from tickets where topic in (select topic from intents)""",
    ),
    "three variants": (3, "select count(distinct variant) from experiment_assignments"),
    "cost categories": (6, "select count(distinct category) from costs"),
    "months of costs": (7, "select count(distinct month) from costs"),
    "a price change": (
        2,
        """
        select max(steps) from (select count(*) as steps from model_prices group by model)""",
    ),
    "all baseline metrics": (4, "select count(distinct metric) from baseline"),
    "stale and archived articles": (2, "select count(distinct status) from knowledge_articles"),
}


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_demo_shows(name: str, sql: duckdb.DuckDBPyConnection) -> None:
    least, query = BEHAVIOURS[name]
    found = sql.execute(query).fetchone()
    assert found is not None
    assert found[0] is not None
    assert found[0] >= least


def test_demo_resolves_two_thirds_and_hands_off_a_fifth(sql: duckdb.DuckDBPyConnection) -> None:
    """A rough count per conversation; the exact rules are the warehouse's."""
    served, handed, rated = sql.execute("""
        select count(distinct conversation_id),
            count(distinct conversation_id) filter (conversation_id in
                (select conversation_id from messages where sender_type = 'agent')),
            (select avg((score / scale_max >= 0.8)::int) from feedback where kind = 'csat')
        from last_answer join conversations using (conversation_id)
        where direction is distinct from 'outbound' and bot_id is not null
        """).fetchone() or (0, 0, 0)
    assert 0.15 < handed / served < 0.30
    assert 0.74 < rated < 0.86


def test_demo_out_of_hours_share(sql: duckdb.DuckDBPyConnection) -> None:
    share = sql.execute("""
        select avg((not (hour(berlin) >= case when isodow(berlin) = 6 then 10 else 9 end
            and hour(berlin) < case when isodow(berlin) = 6 then 14 else 18 end
            and isodow(berlin) < 7))::int)
        from (select opened_at at time zone 'Europe/Berlin' as berlin from conversations)
        """).fetchone()
    assert share is not None
    assert 0.29 < share[0] < 0.42


def test_demo_labels_are_right_nine_times_of_ten_per_language(
    sql: duckdb.DuckDBPyConnection,
) -> None:
    rates = sql.execute("""
        select conversations.language, avg((intent = intent_label)::int)
        from messages join conversations using (conversation_id)
        where intent_label is not null group by all""").fetchall()
    assert len(rates) == 3
    assert all(0.88 < rate < 0.96 for _, rate in rates)


def test_demo_costs_less_per_service_than_the_baseline(sql: duckdb.DuckDBPyConnection) -> None:
    spent, served, before = sql.execute("""
        select (select sum(amount) from costs),
            (select count(distinct conversation_id) from messages
                where sender_type in ('bot', 'agent')),
            (select value from baseline where metric = 'cost_per_service')""").fetchone() or (
        0,
        0,
        0,
    )
    assert 0.3 < spent / served / before < 0.9


def test_demo_experiment_has_a_real_effect(sql: duckdb.DuckDBPyConnection) -> None:
    rates = dict(
        sql.execute("""
        select variant, avg((conversation_id in (select conversation_id from events
            where event_type in ('handoff_requested', 'handoff_initiated')))::int)
        from experiment_assignments group by all""").fetchall()
    )
    assert rates["guided_menu"] < rates["control"] - 0.05


def test_demo_is_the_same_bytes_for_the_same_seed(demo_dir: Path, tmp_path: Path) -> None:
    again, other = tmp_path / "again", tmp_path / "other"
    generate.generate_demo(again, 7)
    generate.generate_demo(other, 8)
    assert digests(again) == digests(demo_dir)
    assert digests(other)["messages/messages.csv"] != digests(again)["messages/messages.csv"]


def test_demo_committed_is_the_demo_of_seed_7(demo_dir: Path) -> None:
    committed = ROOT / "seeds" / "demo"
    if not committed.is_dir():
        pytest.skip("the demo is not in this tree")
    found = digests(committed)
    assert {name: found.get(name) for name in digests(demo_dir)} == digests(demo_dir)


def test_demo_is_under_three_megabytes(demo_dir: Path) -> None:
    assert sum(path.stat().st_size for path in demo_dir.rglob("*.csv")) < 3_000_000


def test_demo_has_every_table_and_column_of_the_contract(demo: Landing) -> None:
    assert demo.headers == {
        table: [column.name for column in columns] for table, columns in TABLES.items()
    }
    assert all(demo.accepted[table] for table in TABLES)


def test_demo_fills_every_column(demo: Landing) -> None:
    empty = [
        f"{table}.{column.name}"
        for table, columns in TABLES.items()
        for column in columns
        if all(row[column.name] is None for row in demo.accepted[table])
    ]
    assert empty == []


def test_demo_uses_every_enum_value_that_fits_a_shop(demo: Landing) -> None:
    unused = {
        f"{table}.{column.name}={value}"
        for table, columns in TABLES.items()
        for column in columns
        for value in column.values
        if value not in {row[column.name] for row in demo.accepted[table]}
        and column.name != "channel"
    }
    assert unused == set()


def test_demo_rejects_exactly_the_faults_put_in(demo: Landing) -> None:
    assert {table: dict(reasons) for table, reasons in demo.rejected.items()} == {
        "conversations": {"null": 1, "null key": 1, "enum": 1, "cast": 2},
        "messages": {"null key": 1, "enum": 2, "cast": 2, "orphan": 1},
        "events": {"null key": 1, "enum": 1, "null": 1, "orphan": 1},
        "feedback": {"enum": 1, "cast": 1, "orphan": 1},
        "answers": {"null key": 1, "null": 1, "orphan": 1},
        "contacts": {"null key": 1, "null": 1, "cast": 1},
        "deals": {"null key": 1, "null": 1, "cast": 1},
        "meetings": {"null key": 1, "null": 1, "enum": 1},
    }


def test_demo_has_superseded_copies(demo: Landing) -> None:
    assert +demo.superseded == Counter(
        conversations=7, messages=14, events=4, contacts=5, deals=5, tickets=3
    )


def test_demo_older_copy_never_wins(demo: Landing) -> None:
    assert not [row for row in demo.accepted["messages"] if row["text"] == "..."]


def test_demo_late_file_holds_messages_of_earlier_weeks(demo_dir: Path) -> None:
    with (demo_dir / "messages" / "messages_late.csv").open(encoding="utf-8") as lines:
        times = [instant(row["sent_at"]) for row in csv.DictReader(lines)]
    assert len(times) > 20
    assert max(times) < AS_OF - timedelta(days=7)


def test_demo_nothing_lies_after_the_view_but_scheduled_meetings(demo: Landing) -> None:
    late = {
        f"{table}.{column.name}"
        for table, columns in TABLES.items()
        for column in columns
        for row in demo.accepted[table]
        if column.kind == "ts" and row[column.name] is not None and row[column.name] > AS_OF  # type: ignore[operator]
    }
    assert late == {"meetings.starts_at"}
    assert all(
        row["status"] in ("booked", "cancelled")
        for row in demo.accepted["meetings"]
        if row["starts_at"] > AS_OF  # type: ignore[operator]
    )


def test_demo_deals_are_open_or_closed_as_a_whole(demo: Landing) -> None:
    assert all((row["closed_at"] is None) == (row["is_won"] is None)
               for row in demo.accepted["deals"])  # fmt: skip


def test_demo_writes_several_offsets(demo_dir: Path) -> None:
    text = (demo_dir / "messages" / "messages.csv").read_text(encoding="utf-8")
    offsets = Counter(re.findall(r",\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([^,]+),", text))
    assert set(offsets) == {"Z", "+08:00", "+01:00"}
    assert min(offsets.values()) > 300


REFERENCES = (
    ("messages", "flow_id", "flows", "flow_id"),
    ("events", "flow_id", "flows", "flow_id"),
    ("answers", "flow_id", "flows", "flow_id"),
    ("feedback", "message_id", "messages", "message_id"),
    ("conversations", "contact_id", "contacts", "contact_id"),
    ("contacts", "merged_into", "contacts", "contact_id"),
    ("leads", "contact_id", "contacts", "contact_id"),
    ("meetings", "contact_id", "contacts", "contact_id"),
    ("deals", "contact_id", "contacts", "contact_id"),
    ("tickets", "contact_id", "contacts", "contact_id"),
    ("leads", "conversation_id", "conversations", "conversation_id"),
    ("meetings", "conversation_id", "conversations", "conversation_id"),
    ("tickets", "conversation_id", "conversations", "conversation_id"),
    ("messages", "model", "model_prices", "model"),
    ("messages", "intent_label", "intents", "intent"),
)


@pytest.mark.parametrize(("table", "column", "parent", "key"), REFERENCES)
def test_demo_references_exist(
    table: str, column: str, parent: str, key: str, demo: Landing
) -> None:
    known = {row[key] for row in demo.accepted[parent]} | {None}
    assert {row[column] for row in demo.accepted[table]} <= known | {"loyalty_points"}


def test_demo_children_come_after_their_conversation_opened(demo: Landing) -> None:
    opened = {row["conversation_id"]: row["opened_at"] for row in demo.accepted["conversations"]}
    for table, column in (("messages", "sent_at"), ("events", "occurred_at"),
                          ("feedback", "submitted_at"), ("answers", "asked_at")):  # fmt: skip
        for row in demo.accepted[table]:
            assert row[column] >= opened[row["conversation_id"]]  # type: ignore[operator]


def test_demo_only_bot_messages_have_a_kind(demo: Landing) -> None:
    assert all(row["sender_type"] == "bot" for row in demo.accepted["messages"] if row["kind"])


def test_demo_kpi_targets_name_kpis(demo: Landing) -> None:
    assert {row["kpi"] for row in demo.accepted["kpi_targets"]} == KPIS_OF_TARGETS


def test_demo_personal_data_stays_where_it_may(demo: Landing) -> None:
    """E-mails and phones only in contacts, answers and a handful of messages, all invented."""
    allowed = {("contacts", "email"), ("contacts", "phone"), ("answers", "value"),
               ("messages", "text")}  # fmt: skip
    found: Counter[tuple[str, str]] = Counter()
    for table, rows in demo.accepted.items():
        for row in rows:
            for column, value in row.items():
                if not isinstance(value, str):
                    continue
                for host in re.findall(r"@([\w.-]+)", value):
                    assert host in ("example.com", "example.org"), value
                if "@" in value or re.search(r"\+\d", value):
                    found[(table, column)] += 1
                for phone in re.findall(r"\+[\d ]{6,}", value):
                    assert re.match(r"\+1 202 555 01\d\d|\+49 30 23125 \d{3}|\+86 100 0000 \d{4}",
                                    phone), phone  # fmt: skip
    assert set(found) == allowed
    assert found[("messages", "text")] < 12


def test_demo_refuses_a_directory_with_other_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "messages").mkdir()
    (tmp_path / "messages" / "mine.csv").write_text("message_id\n")
    assert generate.main(["demo", "--out", str(tmp_path)]) == 1
    assert "mine.csv is not part of the demo" in capsys.readouterr().err


# ---- bulk ---------------------------------------------------------------------------------------

SIZE = ["--messages", "20000", "--days", "40", "--seed", "3"]


def bulk(out: Path, *settings: str) -> Path:
    """Run the bulk mode into a directory and return it."""
    assert generate.main(["bulk", "--out", str(out), *SIZE, *settings]) == 0
    return out


@pytest.fixture(scope="module")
def bulk_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of a small bulk dataset as CSV."""
    return bulk(tmp_path_factory.mktemp("bulk") / "all", "--format", "csv")


@pytest.fixture(scope="module")
def bulk_rows(bulk_dir: Path) -> Landing:
    """What the contract accepts of it."""
    return read_landing(bulk_dir)


def table_lines(directory: Path, table: str) -> list[str]:
    """Return the sorted lines of a CSV table without headers."""
    lines: list[str] = []
    for path in (directory / table).glob("*.csv"):
        lines += path.read_text(encoding="utf-8").splitlines()[1:]
    return sorted(lines)


def test_bulk_rows_are_all_valid(bulk_rows: Landing) -> None:
    assert dict(bulk_rows.rejected) == {}
    assert +bulk_rows.superseded == Counter()
    assert all(bulk_rows.accepted[table] for table in TABLES)


def test_bulk_size(bulk_rows: Landing) -> None:
    messages = len(bulk_rows.accepted["messages"])
    assert 0.93 * 20_000 < messages < 1.05 * 20_000
    assert 9 < messages / len(bulk_rows.accepted["conversations"]) < 11


@pytest.mark.parametrize(("table", "column", "parent", "key"), REFERENCES)
def test_bulk_references_exist(
    table: str, column: str, parent: str, key: str, bulk_rows: Landing
) -> None:
    known = {row[key] for row in bulk_rows.accepted[parent]} | {None}
    unknown = {row[column] for row in bulk_rows.accepted[table]} - known
    # a deal or ticket may name a contact whose row comes later than the last day
    assert len(unknown) <= (3 if key == "contact_id" else 0)


def test_bulk_uses_every_event_and_kind(bulk_rows: Landing) -> None:
    events = {row["event_type"] for row in bulk_rows.accepted["events"]}
    kinds = {row["kind"] for row in bulk_rows.accepted["messages"]} - {None}
    senders = {row["sender_type"] for row in bulk_rows.accepted["messages"]}
    wanted = {(column.name): column.values for column in TABLES["messages"] + TABLES["events"]}
    assert events == wanted["event_type"]
    assert kinds == wanted["kind"]
    assert senders == {"contact", "bot", "agent"}
    assert {row["kind"] for row in bulk_rows.accepted["feedback"]} == {
        "csat", "thumbs", "nps", "accuracy"
    }  # fmt: skip


def test_bulk_children_come_after_their_conversation_opened(bulk_rows: Landing) -> None:
    opened = {
        row["conversation_id"]: row["opened_at"] for row in bulk_rows.accepted["conversations"]
    }
    for table, column in (("messages", "sent_at"), ("events", "occurred_at"),
                          ("feedback", "submitted_at"), ("answers", "asked_at")):  # fmt: skip
        for row in bulk_rows.accepted[table]:
            assert row[column] >= opened[row["conversation_id"]]  # type: ignore[operator]


def test_bulk_episodes_return_after_closing(bulk_rows: Landing) -> None:
    closed: dict[object, datetime] = {}
    for row in bulk_rows.accepted["events"]:
        if row["event_type"] == "closed":
            at = row["occurred_at"]
            assert isinstance(at, datetime)
            closed[row["conversation_id"]] = min(at, closed.get(row["conversation_id"], at))
    again = {
        row["conversation_id"]
        for row in bulk_rows.accepted["messages"]
        if row["sender_type"] == "contact"
        and row["sent_at"] > closed.get(row["conversation_id"], AS_OF)  # type: ignore[operator]
    }
    assert 0.03 < len(again) / len(closed) < 0.15


def test_bulk_no_person_dominates(bulk_rows: Landing) -> None:
    chats = Counter(
        row["contact_id"] for row in bulk_rows.accepted["conversations"] if row["contact_id"]
    )
    assert chats.most_common(1)[0][1] < 25


def test_bulk_slices_add_up(bulk_dir: Path, tmp_path: Path) -> None:
    """Days 0..k and day k+1 together are days 0..k+1; all days are the whole."""
    for size, names in ((("--to-day", "20"), "first"), (("--slice", "day=21"), "next"),
                        (("--to-day", "21"), "both"),
                        (("--from-day", "22"), "rest")):  # fmt: skip
        bulk(tmp_path / names, "--format", "csv", *size)
    for table in generate.BULK_FACTS:
        first, extra, both, rest = (
            table_lines(tmp_path / name, table) for name in ("first", "next", "both", "rest")
        )
        assert sorted(first + extra) == both, table
        assert sorted(both + rest) == table_lines(bulk_dir, table), table
    assert table_lines(tmp_path / "next", "messages")
    assert not (tmp_path / "next" / "intents").exists()


def test_bulk_slice_holds_the_rows_of_its_day_alone(tmp_path: Path) -> None:
    out = bulk(tmp_path / "day", "--format", "csv", "--slice", "day=21")
    day = generate.BULK_START + timedelta(days=21)
    for table, column in generate.OWN_TIME.items():
        for path in (out / table).glob("*.csv"):
            with path.open(encoding="utf-8") as lines:
                assert {instant(row[column]).date() for row in csv.DictReader(lines)} <= {day}
    older = [line for line in table_lines(out, "messages")
             if line.split(",")[1] not in
             {row.split(",")[0] for row in table_lines(out, "conversations")}]  # fmt: skip
    assert older  # messages of conversations opened on an earlier day


def test_bulk_parquet_is_typed_and_the_same_whatever_the_files(
    bulk_rows: Landing, tmp_path: Path
) -> None:
    out = bulk(tmp_path / "parquet", "--files-per-table", "3")
    assert len(list((out / "messages").glob("*.parquet"))) == 3
    source = f"read_parquet('{out}/messages/*.parquet')"
    types = {row[0]: row[1] for row in duckdb.sql(f"describe from {source}").fetchall()}
    assert types["sent_at"] == "TIMESTAMP"
    assert types["input_tokens"] == "BIGINT"
    assert types["is_grounded"] == "BOOLEAN"
    count = duckdb.sql(f"select count(distinct message_id) from {source}").fetchone()
    assert count == (len(bulk_rows.accepted["messages"]),)
    texts = duckdb.sql(f"select message_id, text from {source} order by all").fetchall()
    wanted = [(str(row["message_id"]), row["text"]) for row in bulk_rows.accepted["messages"]]
    assert texts == sorted(wanted)


def test_bulk_dirty_adds_faults_and_copies(bulk_rows: Landing, tmp_path: Path) -> None:
    dirty = read_landing(bulk(tmp_path / "dirty", "--format", "csv", "--dirty", "0.05"))
    assert set(dirty.rejected) == {"messages", "events", "feedback"}
    assert set(dirty.rejected["messages"]) == {"null key", "null", "enum", "orphan"}
    assert dirty.superseded["messages"] > 0
    assert dirty.accepted["answers"] == bulk_rows.accepted["answers"]
    faulty = sum(dirty.rejected["messages"].values()) + dirty.superseded["messages"]
    assert 0.04 < faulty / len(bulk_rows.accepted["messages"]) < 0.06
    assert len(dirty.accepted["messages"]) == len(bulk_rows.accepted["messages"])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["--messages", "0"], "--messages must be at least 1."),
        (["--messages", "9", "--days", "0"], "--days must be at least 1."),
        (["--messages", "9", "--days", "5", "--slice", "day=5"], "must lie in 0..4"),
        (["--messages", "9", "--dirty", "2"], "--dirty must lie between 0 and 1."),
        (["--messages", "9", "--slice", "day=0", "--to-day", "1"], "--slice excludes"),
        (["--messages", "9", "--files-per-table", "-1"], "--files-per-table must be at least 1."),
        (["--messages", "9", "--memory-limit", "lots"], "failed"),
    ],
)
def test_bulk_refuses_in_one_sentence(
    settings: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate.main(["bulk", "--out", str(tmp_path / "out"), *settings]) == 1
    error = capsys.readouterr().err.strip()
    assert sentence in error
    assert "\n" not in error


def test_bulk_refuses_a_directory_in_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    assert generate.main(["bulk", "--out", str(tmp_path), "--messages", "9"]) == 1
    assert "is not an empty directory" in capsys.readouterr().err
    assert (tmp_path / "kept.txt").read_text() == "mine"


@pytest.mark.parametrize("mode", [[], ["demo"], ["bulk"]])
def test_help_is_there(mode: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        generate.main([*mode, "--help"])
    assert stop.value.code == 0
    assert "usage: generate.py" in capsys.readouterr().out


def test_wrong_slice_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        generate.main(["bulk", "--out", str(tmp_path), "--messages", "9", "--slice", "week=1"])
    assert stop.value.code == 2
