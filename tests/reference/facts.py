"""Derive the fact tables from a judged landing, one definition of the specification at a time.

Everything is a list of dicts. Only the rows and milestones that exist at `as_of` are looked at
(`cut`), so nothing below that function needs to know the future. Person ids stay readable.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from .landing import Landing, Row

UTC_ZONE = ZoneInfo("UTC")


@dataclass(frozen=True)
class Policy:
    """One row of the seed `resolution_policies`."""

    policy: str
    window_hours: float
    anchor: str
    answer_rule: str
    agent_reply_blocks: bool
    request_blocks: bool
    negative_feedback_blocks: bool
    abandonment_blocks: bool
    return_blocks_hours: float | None = None
    takeover_needs_event: bool = False


DEFAULT_POLICIES = [
    Policy("house", 72, "last_bot_reply", "any", True, True, True, True),
    Policy(
        "hubspot", 72, "last_bot_reply", "sourced", False, True, True, False,
        takeover_needs_event=True,
    ),
    Policy("intercom_fin", 24, "last_activity", "any", True, True, True, False),
    Policy("zendesk_contained", 72, "last_activity", "any", True, True, False, False),
    Policy("rasa_containment", 1, "last_activity", "none", True, False, False, False),
    Policy("dialogflow_no_callback", 24, "last_activity", "none", True, False, False, False, 24),
]  # fmt: skip


@dataclass(frozen=True)
class Params:
    """The parameters of 2.1 with their defaults."""

    reporting_timezone: str = "UTC"
    week_start: str = "monday"
    session_timeout_minutes: float = 30
    episode_idle_hours: float = 72
    idle_cap_seconds: float = 300
    self_service_window_hours: float = 24
    fcr_window_days: float = 7
    conversion_window_days: float = 7
    attribution_window_days: float = 30
    lead_to_sale_window_days: float = 90
    low_confidence_threshold: float = 0.9
    stale_after_days: float = 180
    reporting_currency: str = "USD"
    policies: list[Policy] = field(default_factory=lambda: list(DEFAULT_POLICIES))


# The columns of the public interface, per table; the rows hold more.
COLUMNS: dict[str, list[str]] = {
    table: columns.split()
    for table, columns in {
        "fct_conversations": "conversation_id platform channel bot_id person_id opened_at "
        "closed_at device_type language country entry_point campaign is_reportable direction",
        "fct_episodes": "episode_id conversation_id person_id started_at ended_at topic "
        "is_eligible is_involved answer_count sourced_answer_count handoff_initiated_at outcome "
        "decided_at is_mature is_resolved is_contained is_deflected is_first_contact is_fcr "
        "is_reopened is_out_of_hours bot_service_seconds bot_handle_seconds "
        "agent_handle_seconds first_response_seconds attributed_revenue",
        "fct_sessions": "session_id conversation_id person_id started_at ended_at is_chat_open "
        "is_engaged is_bot_session turn_count conversation_seconds has_contact_action",
        "fct_turns": "turn_id session_id episode_id started_at replied_at replied_by "
        "response_seconds responsible needs_answer intent is_recognised is_fallback is_missed "
        "is_rephrase",
        "fct_handoffs": "episode_id requested_at initiated_at initiated_by reason accepted_at "
        "wait_seconds is_continuous",
        "fct_resolutions": "episode_id policy decided_at verdict",
        "fct_leads": "person_id lead_at conversation_id status first_won_at won_amount",
        "fct_lead_flows": "conversation_id flow_id started_at completed_at",
        "fct_lead_fields": "conversation_id flow_id field asked_at answered_at is_valid",
        "fct_meetings": "meeting_id person_id episode_id booked_at status",
        "fct_attribution": "deal_id episode_id model credit revenue",
        "fct_feedback": "feedback_id episode_id submitted_at kind score scale_max is_satisfied "
        "attributed_to",
        "fct_costs": "month category amount",
    }.items()
}

# --------------------------------------------------------------------------- the as-of rule

MILESTONES: dict[str, dict[str, list[str]]] = {
    "conversations": {"closed_at": []},
    "answers": {"answered_at": ["value", "is_valid"]},
    "leads": {"qualified_at": [], "disqualified_at": []},
    "deals": {"closed_at": ["is_won"]},
    "tickets": {"bot_assigned_at": [], "closed_at": []},
}
OWN_TIMES = {
    "conversations": "opened_at",
    "messages": "sent_at",
    "events": "occurred_at",
    "feedback": "submitted_at",
    "answers": "asked_at",
    "contacts": "created_at",
    "leads": "created_at",
    "meetings": "booked_at",
    "deals": "created_at",
    "tickets": "created_at",
    "experiment_assignments": "assigned_at",
}
CHILDREN = ["messages", "events", "feedback", "answers", "experiment_assignments"]


def cut(landing: Landing, as_of: datetime) -> dict[str, list[Row]]:
    """The rows that exist at `as_of`, later milestones (and what came with them) set to null."""
    out: dict[str, list[Row]] = {}
    for table, rows in landing.tables.items():
        own = OWN_TIMES.get(table)
        kept = [dict(row) for row in rows if own is None or row[own] <= as_of]
        for row in kept:
            for milestone, companions in MILESTONES.get(table, {}).items():
                if row[milestone] is None or row[milestone] > as_of:
                    for column in [milestone, *companions]:
                        row[column] = None
        out[table] = kept
    existing = {row["conversation_id"] for row in out["conversations"]}
    for table in CHILDREN:
        out[table] = [row for row in out[table] if row["conversation_id"] in existing]
    return out


# --------------------------------------------------------------------------- small helpers


def hours(value: float) -> timedelta:
    """A timedelta of so many hours."""
    return timedelta(hours=value)


def days(value: float) -> timedelta:
    """A timedelta of so many days."""
    return timedelta(days=value)


def seconds_between(start: datetime, end: datetime) -> float:
    """Seconds from start to end."""
    return (end - start).total_seconds()


def local_date(moment: datetime, zone: str) -> date:
    """The calendar date of a UTC instant in a time zone."""
    return moment.replace(tzinfo=UTC_ZONE).astimezone(ZoneInfo(zone)).date()


def exchange_rate(
    currency: str | None, day: date, data: dict[str, list[Row]], params: Params
) -> float | None:
    """1 unit of `currency` in the reporting currency on a day; no currency: the reporting one."""
    if currency is None or currency == params.reporting_currency:
        return 1.0
    best = None
    for row in data["exchange_rates"]:
        if row["currency"] == currency and row["rate"] is not None:
            starts = row["valid_from"] or date.min
            if starts <= day and (best is None or starts >= best[0]):
                best = (starts, row["rate"])
    return None if best is None else best[1]


def converted(
    amount: float | None,
    currency: str | None,
    day: date,
    data: dict[str, list[Row]],
    params: Params,
) -> float | None:
    """An amount in the reporting currency, null when there is no rate."""
    rate = exchange_rate(currency, day, data, params)
    return None if amount is None or rate is None else amount * rate


def sum_known(values: list[float | None]) -> float | None:
    """Sum of the values that are known; null if there is none."""
    known = [v for v in values if v is not None]
    return sum(known) if known else None


def _clock(text: str) -> timedelta:
    hour, minute = text.split(":")[:2]
    return timedelta(hours=int(hour), minutes=int(minute))


def is_out_of_hours(moment: datetime, data: dict[str, list[Row]]) -> bool | None:
    """Outside the `default` schedule (opening instant inside, closing instant outside).

    Null without any row of that schedule. A closing time at or before the opening time is on
    the next day; holiday and validity are those of the opening day.
    """
    schedule = [r for r in data["business_hours"] if r["schedule_id"] == "default"]
    if not schedule:
        return None
    holidays = {r["holiday"] for r in data["holidays"] if r["schedule_id"] == "default"}
    for row in schedule:
        zone = ZoneInfo(row["time_zone"])
        local = moment.replace(tzinfo=UTC_ZONE).astimezone(zone).replace(tzinfo=None)
        for day in (local.date(), local.date() - days(1)):
            if row["weekday"] != day.isoweekday() or day in holidays:
                continue
            if row["valid_from"] is not None and day < row["valid_from"]:
                continue
            if row["valid_to"] is not None and day > row["valid_to"]:
                continue
            opens, closes = _clock(row["opens_at"]), _clock(row["closes_at"])
            if closes <= opens:
                closes += days(1)
            since_midnight = local - datetime(day.year, day.month, day.day)
            if opens <= since_midnight < closes:
                return False
    return True


# --------------------------------------------------------------------------- persons


class Persons:
    """Who is who: contacts with their merges, visitors, anonymous conversations."""

    def __init__(self, data: dict[str, list[Row]]) -> None:
        self.contacts = {row["contact_id"]: row for row in data["contacts"]}
        self.conversations = {row["conversation_id"]: row for row in data["conversations"]}

    def of_contact(self, contact_id: str) -> str:
        """Follow merges to the end; a cycle ends at the last contact before a repetition."""
        seen = [contact_id]
        while True:
            row = self.contacts.get(seen[-1])
            target = row["merged_into"] if row else None
            if target is None or target in seen:
                return str(seen[-1])
            seen.append(target)

    def of_conversation(self, conversation: Row) -> str:
        """The person of a conversation."""
        if conversation["contact_id"] is not None:
            return self.of_contact(conversation["contact_id"])
        if conversation["visitor_id"] is not None:
            return f"visitor:{conversation['visitor_id']}"
        return f"conversation:{conversation['conversation_id']}"

    def of_crm_row(self, row: Row) -> str | None:
        """The person of a CRM row: its contact, else the person of the conversation it names."""
        if row["contact_id"] is not None:
            return self.of_contact(row["contact_id"])
        conversation = self.conversations.get(row.get("conversation_id") or "")
        return None if conversation is None else self.of_conversation(conversation)

    def contact_since(self) -> dict[str, datetime]:
        """Per person, the creation of its earliest CRM contact."""
        out: dict[str, datetime] = {}
        for contact_id, row in self.contacts.items():
            person = self.of_contact(contact_id)
            out[person] = min(out.get(person, row["created_at"]), row["created_at"])
        return out


# --------------------------------------------------------------------------- episodes, sessions


def public_messages(data: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """Public messages per conversation, in order."""
    out: dict[str, list[Row]] = defaultdict(list)
    for row in data["messages"]:
        if row["visibility"] == "public" and row["sender_type"] in ("contact", "bot", "agent"):
            out[row["conversation_id"]].append(row)
    for rows in out.values():
        rows.sort(key=lambda m: (m["sent_at"], m["message_id"]))
    return out


def split_episodes(messages: list[Row], closes: list[datetime], params: Params) -> list[list[Row]]:
    """Walk the public messages of a conversation; closes are all instants it was closed at."""
    episodes: list[list[Row]] = []
    previous_contact: Row | None = None
    for index, message in enumerate(messages):
        starts = index == 0
        if index > 0:
            gap = message["sent_at"] - messages[index - 1]["sent_at"]
            starts = gap > hours(params.episode_idle_hours)
            if message["sender_type"] == "contact":
                since = (previous_contact or messages[0])["sent_at"]
                if any(since <= closed <= message["sent_at"] for closed in closes):
                    starts = True
        if starts:
            episodes.append([])
        episodes[-1].append(message)
        if message["sender_type"] == "contact":
            previous_contact = message
    return episodes


def split_sessions(
    conversation: Row, events: list[Row], messages: list[Row], params: Params
) -> list[list[tuple[datetime, int, str, Row | None]]]:
    """Sessions as lists of activities (time, 0 for an open and 1 for a message, id, message)."""
    activities: list[tuple[datetime, int, str, Row | None]] = []
    if conversation["direction"] == "inbound":
        activities.append((conversation["opened_at"], 0, "", None))
    for event in events:
        if event["event_type"] == "opened":
            activities.append((event["occurred_at"], 0, event["event_id"], None))
    for message in messages:
        activities.append((message["sent_at"], 1, message["message_id"], message))
    activities.sort(key=lambda a: a[:3])
    sessions: list[list[tuple[datetime, int, str, Row | None]]] = []
    for activity in activities:
        timeout = timedelta(minutes=params.session_timeout_minutes)
        if not sessions or activity[0] - sessions[-1][-1][0] > timeout:
            sessions.append([])
        sessions[-1].append(activity)
    return sessions


def owning_episode(episodes: list[Row], moment: datetime) -> Row | None:
    """The last episode started at or before a moment, else the first; null without episodes."""
    owner = episodes[0] if episodes else None
    for episode in episodes:
        if episode["started_at"] <= moment:
            owner = episode
    return owner


# --------------------------------------------------------------------------- outcomes


def anchor_of(messages: list[Row], anchor: str, window_hours: float) -> datetime:
    """The instant from which a policy's window runs."""
    chain = messages
    if anchor == "last_bot_reply":
        chain = [m for m in messages if m["sender_type"] == "bot"] or messages
    for current, following in pairwise(chain):
        if following["sent_at"] - current["sent_at"] > hours(window_hours):
            return current["sent_at"]  # type: ignore[no-any-return]
    return chain[-1]["sent_at"]  # type: ignore[no-any-return]


def cites_article(message: Row) -> bool:
    """Whether a message cites at least one article."""
    return any(part.strip() for part in (message["cited_sources"] or "").split("|"))


def is_sourced(message: Row) -> bool:
    """Whether a message cites an article or acted with success."""
    return cites_article(message) or message["action_status"] == "success"


def answers_among(messages: list[Row]) -> list[Row]:
    """The answers of an episode: bot messages after a contact message, of an answering kind."""
    answers = []
    contact_seen = False
    for message in messages:
        if message["sender_type"] == "contact":
            contact_seen = True
        elif message["sender_type"] == "bot" and contact_seen:
            answering = message["kind"] in ("answer", "recommendation", None)
            if answering or is_sourced(message):
                answers.append(message)
    return answers


def rating_of(answer: Row | None, episode: Row, until: datetime) -> float | None:
    """score / scale_max of the latest csat or thumbs that rates this answer by `until`."""
    if answer is None:
        return None
    candidates = []
    for row in episode["_feedback"]:
        if row["kind"] not in ("csat", "thumbs") or row["submitted_at"] > until:
            continue
        names_it = row["message_id"] == answer["message_id"]
        names_none_after = row["message_id"] is None and row["submitted_at"] >= answer["sent_at"]
        if names_it or names_none_after:
            candidates.append(row)
    if not candidates:
        return None
    latest = max(candidates, key=lambda f: (f["submitted_at"], f["feedback_id"]))
    return latest["score"] / latest["scale_max"] if latest["scale_max"] else None


@dataclass
class Evidence:
    """What is known of an episode at or before an instant."""

    contact_messages: int
    bot_messages: int
    answers: list[Row]
    handoff: bool
    handoff_by_bot: bool
    handoff_event: bool
    agent_message: bool
    requested: bool
    rating: float | None
    abandoned: bool
    confirmed: bool


def evidence_until(episode: Row, until: datetime) -> Evidence:
    """Collect the facts of an episode at or before an instant."""
    messages = [m for m in episode["_messages"] if m["sent_at"] <= until]
    events = [e for e in episode["_events"] if e["occurred_at"] <= until]
    kinds = {e["event_type"] for e in events}
    handoff = episode["_handoff"]
    by_then = handoff is not None and handoff["initiated_at"] <= until
    answers = answers_among(messages)
    last = messages[-1] if messages else None
    return Evidence(
        contact_messages=sum(m["sender_type"] == "contact" for m in messages),
        bot_messages=sum(m["sender_type"] == "bot" for m in messages),
        answers=answers,
        handoff=by_then,
        handoff_by_bot=any(
            e["event_type"] == "handoff_initiated" and e["actor_type"] == "bot" for e in events
        ),
        handoff_event="handoff_initiated" in kinds,
        agent_message=any(m["sender_type"] == "agent" for m in messages),
        requested="handoff_requested" in kinds,
        rating=rating_of(answers[-1] if answers else None, episode, until),
        abandoned=last is not None and last["sender_type"] == "bot" and last["kind"] == "prompt",
        confirmed="resolution_confirmed" in kinds,
    )


def first_handoff(episode: Row) -> Row | None:
    """The first handoff of an episode: an event, or an agent taking over after a bot message."""
    initiated = [e for e in episode["_events"] if e["event_type"] == "handoff_initiated"]
    requested = [e for e in episode["_events"] if e["event_type"] == "handoff_requested"]
    event = min(initiated, key=lambda e: (e["occurred_at"], e["event_id"])) if initiated else None
    takeover = None
    bot_seen = False
    for message in episode["_messages"]:
        bot_seen = bot_seen or message["sender_type"] == "bot"
        if message["sender_type"] == "agent" and bot_seen:
            takeover = message
            break
    if event is not None and (takeover is None or event["occurred_at"] <= takeover["sent_at"]):
        at, by, reason = event["occurred_at"], event["actor_type"], event["reason"]
    elif takeover is not None:
        at, by, reason = takeover["sent_at"], "agent", None
    else:
        return None
    accepted = [
        m["sent_at"]
        for m in episode["_messages"]
        if m["sender_type"] == "agent" and m["sent_at"] >= at
    ]
    accepted_at = min(accepted, default=None)
    return {
        "episode_id": episode["episode_id"],
        "conversation_id": episode["conversation_id"],
        "person_id": episode["person_id"],
        "requested_at": min((e["occurred_at"] for e in requested), default=None),
        "initiated_at": at,
        "initiated_by": by,
        "reason": reason,
        "accepted_at": accepted_at,
        "wait_seconds": None if accepted_at is None else seconds_between(at, accepted_at),
    }


def resolved_by(policy: Policy, evidence: Evidence, returned: bool) -> bool:
    """The verdict of a policy over the facts up to its `decided_at`."""
    enough = {
        "any": bool(evidence.answers),
        "sourced": any(is_sourced(a) for a in evidence.answers),
        "none": True,
    }[policy.answer_rule]
    handed = evidence.handoff_event if policy.takeover_needs_event else evidence.handoff
    negative = evidence.rating is not None and evidence.rating <= 0.4
    return (
        enough
        and not handed
        and not (policy.agent_reply_blocks and evidence.agent_message)
        and not (policy.request_blocks and evidence.requested)
        and not (policy.negative_feedback_blocks and negative)
        and not (policy.abandonment_blocks and evidence.abandoned)
        and not (policy.return_blocks_hours is not None and returned)
    )


def outcome_of(evidence: Evidence) -> str:
    """The house outcome of a decided, involved episode: the first that holds."""
    if evidence.handoff or evidence.agent_message:
        return "handed_off"
    if evidence.requested:
        return "request_unmet"
    if not evidence.answers:
        return "unanswered"
    if evidence.rating is not None and evidence.rating <= 0.4:
        return "negative_feedback"
    if evidence.abandoned:
        return "abandoned"
    if evidence.confirmed or (evidence.rating is not None and evidence.rating >= 0.8):
        return "confirmed"
    return "assumed"


# --------------------------------------------------------------------------- turns


def derive_turns(
    messages: list[Row],
    session_of: dict[str, str],
    episode_of: dict[str, Row],
    has_bot: bool,
    catalogue: dict[str, Row],
    as_of: datetime,
    params: Params,
) -> list[Row]:
    """The turns of one conversation."""
    groups: list[list[int]] = []
    for index, message in enumerate(messages):
        if message["sender_type"] != "contact":
            continue
        mid = message["message_id"]
        continues = (
            bool(groups)
            and groups[-1][-1] == index - 1
            and session_of[messages[index - 1]["message_id"]] == session_of[mid]
            and episode_of[messages[index - 1]["message_id"]] is episode_of[mid]
        )
        if continues:
            groups[-1].append(index)
        else:
            groups.append([index])
    turns: list[Row] = []
    for number, group in enumerate(groups):
        asked = [messages[i] for i in group]
        first, last = asked[0], asked[-1]
        session_id = session_of[first["message_id"]]
        episode = episode_of[first["message_id"]]
        end = groups[number + 1][0] if number + 1 < len(groups) else len(messages)
        following = [
            m for m in messages[group[-1] + 1 : end] if session_of[m["message_id"]] == session_id
        ]
        reply = following[0] if following else None
        intents = [m["intent"] for m in asked if m["intent"] is not None]
        intent = intents[0] if intents else None
        needs_answer = not all(
            m["intent"] is not None
            and m["intent"] in catalogue
            and catalogue[m["intent"]]["needs_answer"] is False
            for m in asked
        )
        handoff = episode["_handoff"]
        agent_times = [
            m["sent_at"] for m in episode["_messages"] if m["sender_type"] == "agent"
        ] + ([handoff["initiated_at"]] if handoff else [])
        on_duty = has_bot or any(m["sender_type"] == "bot" for m in episode["_messages"])
        agents_turn = bool(agent_times) and first["sent_at"] >= min(agent_times)
        responsible = "agent" if agents_turn or not on_duty else "bot"
        recognised = intent is not None and not (
            intent in catalogue and catalogue[intent]["is_fallback"] is True
        )
        fallback_intent = intent is not None and not recognised
        fallback_reply = (
            reply is not None and reply["sender_type"] == "bot" and reply["kind"] == "fallback"
        )
        could_miss = needs_answer and responsible == "bot" and reply is None
        ripe = as_of >= last["sent_at"] + timedelta(minutes=params.session_timeout_minutes)
        previous = turns[-1] if turns and turns[-1]["session_id"] == session_id else None
        turns.append(
            {
                "turn_id": first["message_id"],
                "conversation_id": first["conversation_id"],
                "person_id": episode["person_id"],
                "session_id": session_id,
                "episode_id": episode["episode_id"],
                "started_at": first["sent_at"],
                "replied_at": reply["sent_at"] if reply else None,
                "replied_by": reply["sender_type"] if reply else None,
                "response_seconds": (
                    seconds_between(first["sent_at"], reply["sent_at"]) if reply else None
                ),
                "responsible": responsible,
                "needs_answer": needs_answer,
                "intent": intent,
                "is_recognised": recognised,
                "is_fallback": fallback_intent or fallback_reply,
                "is_missed": could_miss and ripe,
                "_is_awaiting_reply": could_miss and not ripe,
                "is_rephrase": (
                    recognised
                    and previous is not None
                    and previous["intent"] == intent
                    and previous["replied_by"] == "bot"
                ),
                "_messages": asked,
                "_reply": reply,
                "_episode": episode,
                "_last_message_at": last["sent_at"],
            }
        )
    return turns


# --------------------------------------------------------------------------- the fact tables


def _topic(turns: list[Row], catalogue: dict[str, Row]) -> str:
    for turn in turns:
        if turn["is_recognised"]:
            row = catalogue.get(turn["intent"])
            return str(row["topic"]) if row and row["topic"] is not None else "unknown"
    return "unknown"


def _durations(episode: Row, session_of: dict[str, str], params: Params) -> tuple[Any, ...]:
    """bot_service_seconds, bot_handle_seconds, agent_handle_seconds, before the null rules."""
    messages = episode["_messages"]
    handoff_at = episode["handoff_initiated_at"]
    service = 0.0
    for session_id in {session_of[m["message_id"]] for m in messages}:
        inside = [m for m in messages if session_of[m["message_id"]] == session_id]
        bots = [
            m["sent_at"]
            for m in inside
            if m["sender_type"] == "bot" and (handoff_at is None or m["sent_at"] <= handoff_at)
        ]
        if bots:
            service += seconds_between(inside[0]["sent_at"], max(bots))
    bot_handle = agent_handle = 0.0
    for current, following in pairwise(messages):
        gap = seconds_between(current["sent_at"], following["sent_at"])
        gap = min(gap, params.idle_cap_seconds)
        if handoff_at is None or following["sent_at"] <= handoff_at:
            bot_handle += gap
        else:
            agent_handle += gap
    return service, bot_handle, agent_handle


def same_topic(one: str | None, other: str | None) -> bool:
    """Equal topics; an unknown topic matches any."""
    one, other = one or "unknown", other or "unknown"
    return one == other or "unknown" in (one, other)


def derive(landing: Landing, as_of: datetime, params: Params | None = None) -> dict[str, list[Row]]:
    """All fact tables at `as_of`. Keys that begin with `_` are working material, not columns."""
    params = params or Params()
    data = cut(landing, as_of)
    persons = Persons(data)
    catalogue = {row["intent"]: row for row in data["intents"]}
    flows = {row["flow_id"]: row for row in data["flows"]}
    messages_of = public_messages(data)
    events_of: dict[str, list[Row]] = defaultdict(list)
    for event in data["events"]:
        events_of[event["conversation_id"]].append(event)
    feedback_of: dict[str, list[Row]] = defaultdict(list)
    for row in data["feedback"]:
        feedback_of[row["conversation_id"]].append(row)
    house = next(p for p in params.policies if p.policy == "house")

    conversations: list[Row] = []
    for row in data["conversations"]:
        conversations.append(
            {
                **row,
                "person_id": persons.of_conversation(row),
                "is_reportable": not (row["is_test"] or row["is_spam"]),
            }
        )
    conversation_by_id = {c["conversation_id"]: c for c in conversations}
    reportable = [c for c in conversations if c["is_reportable"]]
    reportable_ids = {c["conversation_id"] for c in reportable}

    episodes: list[Row] = []
    sessions: list[Row] = []
    turns: list[Row] = []
    feedback: list[Row] = []
    episodes_in: dict[str, list[Row]] = {}
    session_of: dict[str, str] = {}
    for conversation in reportable:
        cid = conversation["conversation_id"]
        messages = messages_of.get(cid, [])
        events = events_of.get(cid, [])
        closes = [e["occurred_at"] for e in events if e["event_type"] == "closed"]
        if conversation["closed_at"] is not None:
            closes.append(conversation["closed_at"])
        mine: list[Row] = []
        for number, part in enumerate(split_episodes(messages, closes, params), start=1):
            mine.append(
                {
                    "episode_id": f"{cid}:{number}",
                    "conversation_id": cid,
                    "person_id": conversation["person_id"],
                    "channel": conversation["channel"],
                    "started_at": part[0]["sent_at"],
                    "ended_at": part[-1]["sent_at"],
                    "_conversation": conversation,
                    "_messages": part,
                    "_events": [],
                    "_feedback": [],
                }
            )
        episodes_in[cid] = mine
        episodes.extend(mine)
        for event in sorted(events, key=lambda e: (e["occurred_at"], e["event_id"])):
            owner = owning_episode(mine, event["occurred_at"])
            if owner is not None:
                owner["_events"].append(event)
        for row in feedback_of.get(cid, []):
            owner = owning_episode(mine, row["submitted_at"])
            if owner is not None:
                owner["_feedback"].append(row)
            feedback.append(_feedback_fact(row, owner, messages, conversation))
        for episode in mine:
            episode["_handoff"] = first_handoff(episode)
            handoff = episode["_handoff"]
            episode["handoff_initiated_at"] = handoff["initiated_at"] if handoff else None
        parts = split_sessions(conversation, events, messages, params)
        for number, activities in enumerate(parts, start=1):
            session_id = f"{cid}:s{number}"
            for activity in activities:
                if activity[3] is not None:
                    session_of[activity[3]["message_id"]] = session_id
            sessions.append(_session_fact(session_id, conversation, activities))
        episode_of = {m["message_id"]: e for e in mine for m in e["_messages"]}
        turns.extend(
            derive_turns(
                messages,
                session_of,
                episode_of,
                conversation["bot_id"] is not None,
                catalogue,
                as_of,
                params,
            )
        )

    turns_in: dict[str, list[Row]] = defaultdict(list)
    turns_per_session: dict[str, int] = defaultdict(int)
    for turn in turns:
        turns_in[turn["episode_id"]].append(turn)
        turns_per_session[turn["session_id"]] += 1
    for session in sessions:
        session["turn_count"] = turns_per_session[session["session_id"]]
    episodes_by_person: dict[str, list[Row]] = defaultdict(list)
    for episode in episodes:
        episodes_by_person[episode["person_id"]].append(episode)
    tickets_by_person: dict[str, list[Row]] = defaultdict(list)
    for ticket in data["tickets"]:
        person = persons.of_crm_row(ticket)
        if person is not None:
            tickets_by_person[person].append(ticket)

    resolutions: list[Row] = []
    for episode in episodes:
        _judge_episode(episode, turns_in[episode["episode_id"]], catalogue, house, as_of)
    for episode in episodes:
        others = [e for e in episodes_by_person[episode["person_id"]] if e is not episode]
        tickets = tickets_by_person[episode["person_id"]]
        _finish_episode(
            episode,
            turns_in[episode["episode_id"]],
            others,
            tickets,
            episodes_in[episode["conversation_id"]],
            session_of,
            data,
            as_of,
            params,
        )
        if episode["is_involved"]:
            for policy in params.policies:
                resolutions.append(_resolution(episode, policy, others, as_of))

    handoffs = [e["_handoff"] for e in episodes if e["_handoff"] is not None]
    for handoff in handoffs:
        handoff["is_continuous"] = _is_continuous(handoff, data["answers"])
    for session in sessions:
        session["has_contact_action"] = _contact_action(
            session,
            episodes_by_person[session["person_id"]],
            tickets_by_person[session["person_id"]],
            as_of,
            params,
        )
    deals = won_deals(data, persons, params)
    attribution = _attribution(deals, episodes_by_person, params)
    for episode in episodes:
        episode["attributed_revenue"] = (
            sum_known(
                [
                    a["revenue"]
                    for a in attribution
                    if a["episode_id"] == episode["episode_id"] and a["model"] == "last_touch"
                ]
            )
            or 0.0
        )
    lead_flows, lead_fields = _lead_flows(data, flows, reportable_ids)
    return {
        "fct_conversations": conversations,
        "fct_episodes": episodes,
        "fct_sessions": sessions,
        "fct_turns": turns,
        "fct_handoffs": handoffs,
        "fct_resolutions": resolutions,
        "fct_leads": _leads(data, persons, conversation_by_id, deals, params),
        "fct_lead_flows": lead_flows,
        "fct_lead_fields": lead_fields,
        "fct_meetings": _meetings(
            data, persons, reportable_ids, episodes_in, episodes_by_person, params
        ),
        "fct_attribution": attribution,
        "fct_feedback": feedback,
        "fct_costs": _costs(data, params),
    }


def _feedback_fact(row: Row, owner: Row | None, messages: list[Row], conversation: Row) -> Row:
    """A feedback row; written by: the last bot or agent message at or before it."""
    writers = [
        m["sender_type"]
        for m in messages
        if m["sender_type"] in ("bot", "agent") and m["sent_at"] <= row["submitted_at"]
    ]
    share = row["score"] / row["scale_max"] if row["scale_max"] else None
    satisfied = None if row["kind"] == "nps" or share is None else share >= 0.8
    return {
        **row,
        "episode_id": owner["episode_id"] if owner else None,
        "person_id": conversation["person_id"],
        "is_satisfied": satisfied,
        "attributed_to": writers[-1] if writers else None,
    }


def _session_fact(session_id: str, conversation: Row, activities: list[Any]) -> Row:
    """A session from its activities."""
    messages = [a[3] for a in activities if a[3] is not None]
    contact = [m for m in messages if m["sender_type"] == "contact"]
    first = activities[0]
    opened_by_contact = first[3] is None or first[3]["sender_type"] == "contact"
    return {
        "session_id": session_id,
        "conversation_id": conversation["conversation_id"],
        "person_id": conversation["person_id"],
        "started_at": first[0],
        "ended_at": activities[-1][0],
        "is_chat_open": conversation["direction"] == "inbound" and opened_by_contact,
        "is_engaged": bool(contact),
        "is_bot_session": bool(contact) and any(m["sender_type"] == "bot" for m in messages),
        "conversation_seconds": (
            seconds_between(contact[0]["sent_at"], messages[-1]["sent_at"]) if contact else None
        ),
        "_conversation": conversation,
        "_messages": messages,
    }


def _judge_episode(
    episode: Row, turns: list[Row], catalogue: dict[str, Row], house: Policy, as_of: datetime
) -> None:
    """Everything about an episode that needs no other episode."""
    messages = episode["_messages"]
    anchor = anchor_of(messages, house.anchor, house.window_hours)
    decided_at = anchor + hours(house.window_hours)
    evidence = evidence_until(episode, decided_at)
    conversation = episode["_conversation"]
    on_duty = conversation["bot_id"] is not None or evidence.bot_messages > 0
    eligible = conversation["direction"] == "inbound" and evidence.contact_messages > 0 and on_duty
    involved = eligible and (bool(evidence.answers) or evidence.handoff_by_bot)
    mature = as_of >= decided_at
    outcome = None
    if involved:
        outcome = outcome_of(evidence) if mature else "pending"
    episode["decided_at"] = decided_at
    episode["is_mature"] = mature
    episode["is_eligible"] = eligible
    episode["is_involved"] = involved
    episode["outcome"] = outcome
    answers = answers_among(messages)
    episode["answer_count"] = len(answers)
    episode["sourced_answer_count"] = sum(is_sourced(a) for a in answers)
    episode["is_resolved"] = (outcome in ("confirmed", "assumed")) if involved and mature else None
    untouched = not evidence.handoff and not evidence.agent_message
    episode["is_contained"] = untouched if involved and mature else None
    episode["_untouched"] = untouched
    episode["_has_answer"] = bool(evidence.answers)
    episode["_evidence"] = evidence
    episode["topic"] = _topic(turns, catalogue)
    recognised = [t["intent"] for t in turns if t["is_recognised"]]
    episode["_intent"] = catalogue.get(recognised[0]) if recognised else None


def _finish_episode(
    episode: Row,
    turns: list[Row],
    others: list[Row],
    tickets: list[Row],
    siblings: list[Row],
    session_of: dict[str, str],
    data: dict[str, list[Row]],
    as_of: datetime,
    params: Params,
) -> None:
    """What of an episode needs other episodes, tickets, sessions or the calendar."""
    start, end, decided = episode["started_at"], episode["ended_at"], episode["decided_at"]
    involved, mature = episode["is_involved"], episode["is_mature"]
    window = days(params.fcr_window_days)

    episode["is_deflected"] = None
    if episode["is_eligible"] and mature:
        ticket = any(start <= t["created_at"] <= decided for t in tickets)
        episode["is_deflected"] = episode["_has_answer"] and episode["_untouched"] and not ticket

    episode["is_first_contact"] = episode["is_fcr"] = None
    if involved:
        earlier = [
            e
            for e in others
            if start - window <= e["started_at"] < start
            and same_topic(e["topic"], episode["topic"])
        ]
        episode["is_first_contact"] = not earlier
        if not earlier and mature and as_of >= end + window:
            further = [
                e
                for e in others
                if end < e["started_at"] <= end + window
                and same_topic(e["topic"], episode["topic"])
            ]
            further_tickets = [
                t
                for t in tickets
                if end < t["created_at"] <= end + window
                and same_topic(t["topic"], episode["topic"])
            ]
            episode["is_fcr"] = episode["is_resolved"] and not further and not further_tickets

    episode["is_reopened"] = None
    if episode["is_resolved"] and as_of >= end + window:
        later = siblings[siblings.index(episode) + 1 :]
        episode["is_reopened"] = any(e["started_at"] <= end + window for e in later)

    episode["is_out_of_hours"] = is_out_of_hours(start, data)
    service, bot_handle, agent_handle = _durations(episode, session_of, params)
    episode["bot_service_seconds"] = service if involved else None
    episode["bot_handle_seconds"] = bot_handle if involved else None
    has_handoff = episode["handoff_initiated_at"] is not None
    episode["agent_handle_seconds"] = agent_handle if has_handoff else None
    responses = [
        t["response_seconds"]
        for t in turns
        if t["responsible"] == "bot" and t["replied_by"] == "bot"
    ]
    episode["first_response_seconds"] = (
        responses[0] if episode["is_eligible"] and responses else None
    )


def _resolution(episode: Row, policy: Policy, others: list[Row], as_of: datetime) -> Row:
    """The verdict of one policy over one involved episode."""
    anchor = anchor_of(episode["_messages"], policy.anchor, policy.window_hours)
    decided_at = anchor + hours(policy.window_hours)
    verdict = "pending"
    if as_of >= decided_at:
        returned = policy.return_blocks_hours is not None and any(
            anchor < e["started_at"] <= anchor + hours(policy.return_blocks_hours) for e in others
        )
        resolved = resolved_by(policy, evidence_until(episode, decided_at), returned)
        verdict = "resolved" if resolved else "not_resolved"
    return {
        "episode_id": episode["episode_id"],
        "policy": policy.policy,
        "decided_at": decided_at,
        "verdict": verdict,
    }


def _is_continuous(handoff: Row, answers: list[Row]) -> bool | None:
    """No field validly answered before the initiation is asked again after it; accepted only."""
    if handoff["accepted_at"] is None:
        return None
    at = handoff["initiated_at"]
    mine = [a for a in answers if a["conversation_id"] == handoff["conversation_id"]]
    known = {
        a["field"] for a in mine if a["is_valid"] and a["answered_at"] and a["answered_at"] < at
    }
    return not any(a["field"] in known and a["asked_at"] > at for a in mine)


def _contact_action(
    session: Row, episodes: list[Row], tickets: list[Row], as_of: datetime, params: Params
) -> bool | None:
    """Whether the person reached a human from the session's start until the window's end.

    Also leaves `_action_here` and `_action_elsewhere` for the shares by place.
    """
    until = session["ended_at"] + hours(params.self_service_window_hours)
    session["_window_until"] = until
    session["_action_here"] = session["_action_elsewhere"] = None
    if not session["is_bot_session"] or as_of < until:
        return None
    here = elsewhere = False
    for episode in episodes:
        times = [m["sent_at"] for m in episode["_messages"] if m["sender_type"] == "agent"]
        times += [
            e["occurred_at"] for e in episode["_events"] if e["event_type"] == "handoff_initiated"
        ]
        if any(session["started_at"] <= t <= until for t in times):
            if episode["conversation_id"] == session["conversation_id"]:
                here = True
            else:
                elsewhere = True
    if any(session["started_at"] <= t["created_at"] <= until for t in tickets):
        elsewhere = True
    session["_action_here"], session["_action_elsewhere"] = here, elsewhere
    return here or elsewhere


def won_deals(data: dict[str, list[Row]], persons: Persons, params: Params) -> list[Row]:
    """Won deals with person and amounts in the reporting currency (rate of the closing day)."""
    out = []
    for row in data["deals"]:
        if not row["is_won"] or row["closed_at"] is None:
            continue
        day = local_date(row["closed_at"], params.reporting_timezone)
        out.append(
            {
                **row,
                "person_id": persons.of_crm_row(row),
                "revenue": converted(row["amount"], row["currency"], day, data, params),
                "profit": converted(row["margin"], row["currency"], day, data, params),
            }
        )
    return out


def _attribution(
    deals: list[Row], episodes_by_person: dict[str, list[Row]], params: Params
) -> list[Row]:
    """Credits of won deals over the involved episodes in the window before their creation."""
    out = []
    for deal in deals:
        if deal["person_id"] is None:
            continue
        created = deal["created_at"]
        window = days(params.attribution_window_days)
        touches = sorted(
            (
                e
                for e in episodes_by_person.get(deal["person_id"], [])
                if e["is_involved"] and created - window <= e["started_at"] <= created
            ),
            key=lambda e: (e["started_at"], e["episode_id"]),
        )
        if not touches:
            continue
        credits = [("first_touch", touches[0], 1.0), ("last_touch", touches[-1], 1.0)]
        credits += [("linear", touch, 1.0 / len(touches)) for touch in touches]
        for model, touch, credit in credits:
            revenue, profit = deal["revenue"], deal["profit"]
            out.append(
                {
                    "deal_id": deal["deal_id"],
                    "episode_id": touch["episode_id"],
                    "model": model,
                    "credit": credit,
                    "revenue": None if revenue is None else revenue * credit,
                    "profit": None if profit is None else profit * credit,
                    "closed_at": deal["closed_at"],
                }
            )
    return out


def _leads(
    data: dict[str, list[Row]],
    persons: Persons,
    conversations: dict[str, Row],
    deals: list[Row],
    params: Params,
) -> list[Row]:
    """New persons captured in a reportable conversation, with status and first sale."""
    captures: dict[str, list[tuple[datetime, int, str]]] = defaultdict(list)
    for answer in data["answers"]:
        conversation = conversations[answer["conversation_id"]]
        captured = answer["field"] in ("email", "phone") and answer["is_valid"]
        if captured and conversation["is_reportable"]:
            captures[conversation["person_id"]].append(
                (answer["answered_at"], 0, conversation["conversation_id"])
            )
    crm_leads: dict[str, list[Row]] = defaultdict(list)
    for lead in data["leads"]:
        person = persons.of_crm_row(lead)
        if person is None:
            continue
        crm_leads[person].append(lead)
        named = conversations.get(lead["conversation_id"] or "")
        if named is not None and named["is_reportable"]:
            captures[person].append((lead["created_at"], 1, named["conversation_id"]))
    contact_since = persons.contact_since()
    out = []
    for person, candidates in captures.items():
        lead_at, _, conversation_id = min(candidates)
        since = contact_since.get(person)
        if since is not None and since < conversations[conversation_id]["opened_at"]:
            continue
        status = "undecided"
        if any(lead["qualified_at"] for lead in crm_leads[person]):
            status = "qualified"
        elif any(lead["disqualified_at"] for lead in crm_leads[person]):
            status = "disqualified"
        until = lead_at + days(params.lead_to_sale_window_days)
        won = [d for d in deals if d["person_id"] == person and lead_at <= d["closed_at"] <= until]
        out.append(
            {
                "person_id": person,
                "lead_at": lead_at,
                "conversation_id": conversation_id,
                "status": status,
                "first_won_at": min((d["closed_at"] for d in won), default=None),
                "won_amount": sum_known([d["revenue"] for d in won]),
                "_conversation": conversations[conversation_id],
            }
        )
    return out


def _lead_flows(
    data: dict[str, list[Row]], flows: dict[str, Row], reportable_ids: set[str]
) -> tuple[list[Row], list[Row]]:
    """Lead flows per conversation, and their fields (one row per field asked)."""
    started: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    finished: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    asked: dict[tuple[str, str], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))

    def is_lead_flow(row: Row) -> bool:
        flow = flows.get(row["flow_id"] or "")
        return (
            flow is not None
            and flow["purpose"] == "lead"
            and row["conversation_id"] in reportable_ids
        )

    for event in filter(is_lead_flow, data["events"]):
        key = (event["conversation_id"], event["flow_id"])
        if event["event_type"] == "flow_started":
            started[key].append(event["occurred_at"])
        elif event["event_type"] == "flow_completed":
            finished[key].append(event["occurred_at"])
    for answer in filter(is_lead_flow, data["answers"]):
        key = (answer["conversation_id"], answer["flow_id"])
        started[key].append(answer["asked_at"])
        asked[key][answer["field"]].append(answer)
    flow_rows, field_rows = [], []
    for key, times in started.items():
        required = [f for f in (flows[key[1]]["required_fields"] or "").split("|") if f.strip()]
        firsts = []
        for name in required:
            valid = [a["answered_at"] for a in asked[key].get(name.strip(), []) if a["is_valid"]]
            firsts.append(min(valid, default=None))
        if required:
            completed = None if None in firsts else max(f for f in firsts if f is not None)
        else:
            completed = min(finished[key], default=None)
        flow_rows.append(
            {
                "conversation_id": key[0],
                "flow_id": key[1],
                "started_at": min(times),
                "completed_at": completed,
            }
        )
        for name, answers in asked[key].items():
            valid = [a for a in answers if a["is_valid"]]
            answered = valid or [a for a in answers if a["answered_at"] is not None]
            judged = [a["is_valid"] for a in answered if a["is_valid"] is not None]
            field_rows.append(
                {
                    "conversation_id": key[0],
                    "flow_id": key[1],
                    "field": name,
                    "asked_at": min(a["asked_at"] for a in answers),
                    "answered_at": min((a["answered_at"] for a in answered), default=None),
                    "is_valid": True if valid else (False if judged else None),
                }
            )
    return flow_rows, field_rows


def _meetings(
    data: dict[str, list[Row]],
    persons: Persons,
    reportable_ids: set[str],
    episodes_in: dict[str, list[Row]],
    episodes_by_person: dict[str, list[Row]],
    params: Params,
) -> list[Row]:
    """Meetings that name a reportable conversation or follow an involved episode."""
    out = []
    for meeting in data["meetings"]:
        person = persons.of_crm_row(meeting)
        booked = meeting["booked_at"]
        episode: Row | None
        if meeting["conversation_id"] in reportable_ids:
            episode = owning_episode(episodes_in[meeting["conversation_id"]], booked)
        else:
            window = days(params.attribution_window_days)
            touches = [
                e
                for e in episodes_by_person.get(person or "", [])
                if e["is_involved"] and booked - window <= e["started_at"] <= booked
            ]
            if not touches:
                continue
            episode = max(touches, key=lambda e: (e["started_at"], e["episode_id"]))
        out.append(
            {
                **meeting,
                "person_id": person,
                "episode_id": episode["episode_id"] if episode else None,
                "_named": meeting["conversation_id"] in reportable_ids,
            }
        )
    return out


def _costs(data: dict[str, list[Row]], params: Params) -> list[Row]:
    """Costs per month and category in the reporting currency (rate of the month's first day)."""
    grouped: dict[tuple[date, str], list[float | None]] = defaultdict(list)
    for row in data["costs"]:
        if row["month"] is None or row["category"] is None:
            continue
        month = row["month"].replace(day=1)
        amount = converted(row["amount"], row["currency"], month, data, params)
        grouped[(month, row["category"])].append(amount)
    return [
        {"month": month, "category": category, "amount": sum_known(amounts)}
        for (month, category), amounts in grouped.items()
    ]
