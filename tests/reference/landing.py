"""Read a landing directory in the neutral contract and judge every row.

Plain and slow on purpose: one pass per rule, no library but the standard one. Each raw row
becomes exactly one of accepted, superseded or rejected; accepted rows carry typed values
(timestamps as naive datetimes in UTC).
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

Row = dict[str, Any]

CHANNELS = [
    "web",
    "app",
    "whatsapp",
    "messenger",
    "instagram",
    "wechat",
    "line",
    "telegram",
    "sms",
    "email",
    "voice",
    "other",
]
ENUMS: dict[tuple[str, str], list[str]] = {
    ("conversations", "channel"): CHANNELS,
    ("conversations", "direction"): ["inbound", "outbound"],
    ("conversations", "device_type"): ["desktop", "mobile", "tablet", "other"],
    ("messages", "sender_type"): ["contact", "bot", "agent", "system"],
    ("messages", "visibility"): ["public", "private"],
    ("messages", "kind"): (
        ["answer", "greeting", "prompt", "fallback", "handoff_notice", "survey", "recommendation"]
    ),
    ("messages", "action_status"): ["success", "failure"],
    ("events", "event_type"): [
        "opened",
        "handoff_requested",
        "handoff_initiated",
        "handoff_failed",
        "agent_assigned",
        "closed",
        "reopened",
        "flow_started",
        "step_reached",
        "flow_completed",
        "survey_sent",
        "resolution_confirmed",
        "guardrail_blocked",
        "error",
        "recommendation_accepted",
    ],
    ("events", "actor_type"): ["contact", "bot", "automation", "agent"],
    ("feedback", "kind"): ["csat", "thumbs", "nps", "accuracy"],
    ("meetings", "status"): ["booked", "held", "cancelled", "no_show"],
    ("costs", "category"): ["bot_platform", "llm", "channel", "agent_labour", "tools", "devices"],
    ("baseline", "metric"): [
        "cost_per_service",
        "services_per_agent_day",
        "accuracy_satisfaction_rate",
        "conversion_rate",
    ],
}

# One line per table: `name:type`, with `!` behind a primary key and `*` behind a required column.
# The column in angle brackets is the row's own time.
_CONTRACT = """
conversations conversation_id:text! platform:text* channel:text* <opened_at>:ts* closed_at:ts \
direction:text bot_id:text contact_id:text visitor_id:text entry_point:text campaign:text \
device_type:text os:text browser:text language:text country:text is_test:bool is_spam:bool
messages message_id:text! conversation_id:text* <sent_at>:ts* sender_type:text* sender_id:text \
visibility:text text:raw kind:text intent:text intent_confidence:num intent_label:text \
sentiment:num language:text cited_sources:text action_name:text action_status:text flow_id:text \
step_id:text model:text input_tokens:int output_tokens:int is_grounded:bool
events event_id:text! conversation_id:text* <occurred_at>:ts* event_type:text* actor_type:text \
actor_id:text reason:text flow_id:text step_id:text
feedback feedback_id:text! conversation_id:text* message_id:text <submitted_at>:ts* kind:text* \
score:num* scale_max:num* category:text comment:text
answers answer_id:text! conversation_id:text* flow_id:text* field:text* <asked_at>:ts* \
answered_at:ts value:text is_valid:bool
contacts contact_id:text! <created_at>:ts* name:text email:text phone:text country:text \
language:text merged_into:text
leads lead_id:text! contact_id:text conversation_id:text <created_at>:ts* source:text \
qualified_at:ts disqualified_at:ts
meetings meeting_id:text! contact_id:text conversation_id:text <booked_at>:ts* starts_at:ts \
status:text*
deals deal_id:text! contact_id:text <created_at>:ts* closed_at:ts is_won:bool amount:num \
margin:num currency:text
tickets ticket_id:text! contact_id:text conversation_id:text channel:text topic:text url:text \
<created_at>:ts* bot_assigned_at:ts closed_at:ts
agents agent_id:text! team:text hourly_cost:num currency:text
experiment_assignments assignment_id:text! experiment_id:text* variant:text* \
conversation_id:text* <assigned_at>:ts*
knowledge_articles article_id:text! title:text topic:text updated_at:ts* status:text
intents intent:text! topic:text tier:int is_repetitive:bool needs_answer:bool is_fallback:bool \
baseline_handle_minutes:num
flows flow_id:text! name:text purpose:text required_fields:text
business_hours schedule_id:text time_zone:text weekday:int opens_at:text closes_at:text \
valid_from:date valid_to:date
holidays schedule_id:text holiday:date
costs month:date category:text amount:num currency:text
baseline metric:text! value:num currency:text period_start:date period_end:date
exchange_rates currency:text valid_from:date rate:num
model_prices model:text valid_from:date input_per_million:num output_per_million:num currency:text
kpi_targets kpi:text valid_from:date target:num warn:num
"""

# Tables whose conversation must be known; a CRM row may name a conversation of another system.
CHILDREN = ["messages", "events", "feedback", "answers", "experiment_assignments"]

DEFAULTS: dict[tuple[str, str], Any] = {
    ("conversations", "direction"): "inbound",
    ("conversations", "is_test"): False,
    ("conversations", "is_spam"): False,
    ("messages", "visibility"): "public",
}


@dataclass(frozen=True)
class Column:
    """One column of the contract."""

    name: str
    type: str
    required: bool


@dataclass(frozen=True)
class Table:
    """One table of the contract."""

    name: str
    columns: list[Column]
    primary_key: str | None
    own_time: str | None


def _parse_contract(text: str) -> dict[str, Table]:
    tables = {}
    for line in text.strip().splitlines():
        name, *specs = line.split()
        columns, primary_key, own_time = [], None, None
        for spec in specs:
            column, kind = spec.split(":")
            is_key, is_required = kind.endswith("!"), kind.endswith("*")
            if column.startswith("<"):
                column = own_time = column.strip("<>")
            if is_key:
                primary_key = column
            columns.append(Column(column, kind.rstrip("!*"), is_key or is_required))
        tables[name] = Table(name, columns, primary_key, own_time)
    return tables


CONTRACT = _parse_contract(_CONTRACT)

_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?"
    r"(?:\s?(Z|z|[+-]\d\d(?::?\d\d)?))?"
)


def cast_timestamp(value: str, zone: str = "UTC") -> datetime:
    """An ISO 8601 timestamp as a naive UTC datetime; without an offset it is read in `zone`."""
    match = _TIMESTAMP.fullmatch(value)
    if match is None:
        raise ValueError(value)
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    micros = int((fraction or "0").ljust(6, "0")[:6])
    local = datetime(
        int(year), int(month), int(day), int(hour), int(minute), int(second or 0), micros
    )
    if offset is None:
        return local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None)
    if offset in "Zz":
        return local
    digits = offset[1:].replace(":", "").ljust(4, "0")
    shift = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return local - shift if offset[0] == "+" else local + shift


def _cast_int(value: str) -> int:
    if not re.fullmatch(r"[+-]?\d+", value):
        raise ValueError(value)
    return int(value)


def _cast_num(value: str) -> float:
    if not re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", value):
        raise ValueError(value)
    return float(value)


def _cast_bool(value: str) -> bool:
    lowered = value.lower()
    if lowered in ("true", "t", "1", "yes", "y"):
        return True
    if lowered in ("false", "f", "0", "no", "n"):
        return False
    raise ValueError(value)


def _cast_date(value: str) -> date:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        raise ValueError(value)
    return date.fromisoformat(value)


CASTS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "raw": str,
    "int": _cast_int,
    "num": _cast_num,
    "bool": _cast_bool,
    "date": _cast_date,
}


@dataclass
class Landing:
    """What a landing directory holds after every row was judged."""

    tables: dict[str, list[Row]]
    reconciliation: dict[str, dict[str, int]]
    rejected: list[Row] = field(default_factory=list)
    superseded: list[Row] = field(default_factory=list)
    rejected_files: list[tuple[str, str]] = field(default_factory=list)

    def __getitem__(self, table: str) -> list[Row]:
        return self.tables[table]


def _read_text(path: Path) -> str:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return data.decode("utf-8-sig")


def _raw_rows(directory: Path, table: Table, rejected_files: list[tuple[str, str]]) -> list[Row]:
    """Raw rows of a table in load order: file name, then row number."""
    rows = []
    folder = directory / table.name
    paths = [*folder.glob("*.csv"), *folder.glob("*.csv.gz")] if folder.is_dir() else []
    for path in sorted(paths, key=lambda p: p.name):
        reader = csv.reader(io.StringIO(_read_text(path), newline=""))
        header = next(reader, None)
        if header is None:
            continue
        missing = [c.name for c in table.columns if c.required and c.name not in header]
        if missing:
            rejected_files.append((path.name, missing[0]))
            continue
        for number, cells in enumerate((c for c in reader if c), start=1):
            rows.append(
                {
                    "file": path.name,
                    "row_number": number,
                    "raw": dict(zip(header, cells, strict=False)),
                }
            )
    return rows


def _judge(table: Table, raw: Row, latest: datetime, zone: str) -> tuple[str | None, Row]:
    """The reason for rejection of a raw row (or None), and its typed values."""
    typed: Row = {}
    uncastable = []
    for column in table.columns:
        text = raw.get(column.name)
        if text is None or (text == "" and column.type != "raw"):
            typed[column.name] = None
            continue
        try:
            cast = CASTS.get(column.type)
            typed[column.name] = cast(text) if cast else cast_timestamp(text, zone)
        except ValueError:
            typed[column.name] = None
            uncastable.append(column.name)
    if table.primary_key and raw.get(table.primary_key) in (None, ""):
        return "primary_key_null", typed
    for column in table.columns:
        if column.required and raw.get(column.name) in (None, ""):
            return "required_null", typed
    if uncastable:
        return "uncastable", typed
    for column in table.columns:
        allowed = ENUMS.get((table.name, column.name))
        value = typed[column.name]
        if allowed is not None and value is not None and value not in allowed:
            return "enum", typed
    if table.own_time and typed[table.own_time] > latest:
        return "future", typed
    for column in table.columns:
        if typed[column.name] is None:
            typed[column.name] = DEFAULTS.get((table.name, column.name))
    return None, typed


def read_landing(
    directory: Path | str, loaded_at: datetime | None = None, source_zone: str = "UTC"
) -> Landing:
    """Read and judge every table of a landing directory.

    `loaded_at` (naive, UTC; default: now) is the time of the load, for the rejection `future`.
    """
    root = Path(directory)
    latest = (loaded_at or datetime.now(UTC).replace(tzinfo=None)) + timedelta(days=1)
    landing = Landing({}, {})
    known_conversations: set[str] = set()
    for table in CONTRACT.values():  # conversations come first: orphans need them
        raw_rows = _raw_rows(root, table, landing.rejected_files)
        valid: list[tuple[Row, Row]] = []
        rejected = []
        for raw_row in raw_rows:
            reason, typed = _judge(table, raw_row["raw"], latest, source_zone)
            parent = typed["conversation_id"] if table.name in CHILDREN else None
            if parent and reason in (None, "future") and parent not in known_conversations:
                reason = "orphan"
            if reason is None:
                valid.append((raw_row, typed))
            else:
                rejected.append({"table_name": table.name, **raw_row, "reason": reason})
        last: dict[Any, tuple[Row, Row]] = {}
        for raw_row, typed in valid:
            if table.primary_key:
                key: Any = typed[table.primary_key]
            else:
                key = tuple(sorted(raw_row["raw"].items()))
            if key in last:
                landing.superseded.append({"table_name": table.name, **last[key][0]})
            last[key] = (raw_row, typed)
        accepted = [typed for _, typed in last.values()]
        if table.name == "conversations":
            known_conversations = {row["conversation_id"] for row in accepted}
        landing.tables[table.name] = accepted
        landing.rejected.extend(rejected)
        landing.reconciliation[table.name] = {
            "raw_rows": len(raw_rows),
            "accepted": len(accepted),
            "superseded": len(valid) - len(accepted),
            "rejected": len(rejected),
        }
    return landing
