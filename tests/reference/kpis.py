"""Every KPI of the specification, each a small function registered by name.

A KPI function yields the members of its cohort. A member has an instant (the cohort time), the
dimensions it is counted under, and what it adds to numerator and denominator. `kpi_values` puts
the members into cells of grain, period, dimension and dimension value, and sums per cell, so a
ratio is always built from sums over one and the same cell.

Kinds of KPI:

* `count`: value = numerator = sum, denominator null.
* `amount`: the same, but null where no mature member has a number.
* `rate`: value = numerator / denominator, null when the denominator is 0.
* `duration`: value = mean, numerator = sum, denominator = n; besides `<kpi>_median`, `_p90`,
  `_p95` (linear interpolation), which keep n as denominator and have no numerator.

A member with `pending` counts in neither sum, only in `pending`. A cell without members has no
row, nor has one with nothing in numerator, denominator and pending: the cohort of a count is what
it counts.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from .facts import (
    Params,
    answers_among,
    cites_article,
    converted,
    cut,
    days,
    exchange_rate,
    local_date,
    owning_episode,
    seconds_between,
    sum_known,
    won_deals,
)
from .facts import Persons as PersonIndex
from .landing import Landing, Row

GRAINS = ["day", "week", "month"]
WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
CONVERSATION_DIMENSIONS = [
    "platform",
    "channel",
    "bot_id",
    "device_type",
    "language",
    "country",
    "entry_point",
    "campaign",
]
BOT_COSTS = ("bot_platform", "llm", "channel")
OTHER_COSTS = ("agent_labour", "tools", "devices")
QUANTILES = {"median": 0.5, "p90": 0.9, "p95": 0.95}


@dataclass
class Member:
    """What one thing adds to the cells it falls in.

    `num_key` and `den_key` count distinct things per cell instead of adding `num` and `den`.
    """

    at: datetime
    dims: dict[str, Any]
    num: float | None = 0.0
    den: float = 0.0
    pending: bool = False
    num_key: Any = None
    den_key: Any = None


@dataclass(frozen=True)
class Kpi:
    """A registered KPI."""

    name: str
    kind: str
    members: Callable[[Context], Iterator[Member]]
    grains: tuple[str, ...] = tuple(GRAINS)


REGISTRY: dict[str, Kpi] = {}
ROW_REGISTRY: dict[str, Callable[[Context], list[Row]]] = {}

MemberFunction = Callable[["Context"], Iterator[Member]]
RowFunction = Callable[["Context"], list[Row]]


def kpi(
    name: str, kind: str, grains: tuple[str, ...] = tuple(GRAINS)
) -> Callable[[MemberFunction], MemberFunction]:
    """Register a function that yields the members of a KPI."""

    def register(function: MemberFunction) -> MemberFunction:
        REGISTRY[name] = Kpi(name, kind, function, grains)
        return function

    return register


def kpi_rows(name: str) -> Callable[[RowFunction], RowFunction]:
    """Register a function that returns the finished rows of a KPI that is not a sum."""

    def register(function: RowFunction) -> RowFunction:
        ROW_REGISTRY[name] = function
        return function

    return register


@dataclass
class Context:
    """Facts, cut landing and the joins that several KPIs need."""

    facts: dict[str, list[Row]]
    data: dict[str, list[Row]]
    as_of: datetime
    params: Params
    conversations: dict[str, Row] = field(default_factory=dict)
    episodes: dict[str, Row] = field(default_factory=dict)
    episodes_in: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    deals_of: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        """Build the look-ups."""
        self.conversations = {c["conversation_id"]: c for c in self.facts["fct_conversations"]}
        self.episodes = {e["episode_id"]: e for e in self.facts["fct_episodes"]}
        for episode in self.facts["fct_episodes"]:
            self.episodes_in[episode["conversation_id"]].append(episode)
        self.deals = won_deals(self.data, PersonIndex(self.data), self.params)
        for deal in self.deals:
            self.deals_of[deal["person_id"]].append(deal)
        self.flows = {f["flow_id"]: f for f in self.data["flows"]}
        self.articles = {a["article_id"]: a for a in self.data["knowledge_articles"]}

    # -- cohorts

    def eligible(self) -> list[Row]:
        """Eligible episodes."""
        return [e for e in self.facts["fct_episodes"] if e["is_eligible"]]

    def involved(self) -> list[Row]:
        """Involved episodes."""
        return [e for e in self.facts["fct_episodes"] if e["is_involved"]]

    def chat_opens(self) -> list[Row]:
        """Sessions that are chat opens."""
        return [s for s in self.facts["fct_sessions"] if s["is_chat_open"]]

    def bot_turns(self) -> list[Row]:
        """Turns the bot is responsible for."""
        return [t for t in self.facts["fct_turns"] if t["responsible"] == "bot"]

    def messages(self, sender_type: str) -> Iterator[tuple[Row, Row]]:
        """(message, episode) for the public messages of reportable conversations."""
        for episode in self.facts["fct_episodes"]:
            for message in episode["_messages"]:
                if message["sender_type"] == sender_type:
                    yield message, episode

    def events(self, event_type: str) -> Iterator[tuple[Row, dict[str, Any]]]:
        """(event, dimensions) for the events of reportable conversations."""
        for event in self.data["events"]:
            conversation = self.conversations[event["conversation_id"]]
            if event["event_type"] == event_type and conversation["is_reportable"]:
                mine = self.episodes_in.get(event["conversation_id"], [])
                episode = owning_episode(mine, event["occurred_at"])
                if episode is not None:
                    yield event, self.episode_dims(episode)
                else:
                    yield event, self.conversation_dims(conversation, with_episode=True)

    # -- dimensions

    def conversation_dims(
        self, conversation: Row | None, with_episode: bool = False
    ) -> dict[str, Any]:
        """Dimensions of a conversation; `with_episode` adds those of an episode as null."""
        dims = {d: conversation[d] if conversation else None for d in CONVERSATION_DIMENSIONS}
        return {**dims, "topic": None, "business_hours": None} if with_episode else dims

    def episode_dims(self, episode: Row) -> dict[str, Any]:
        """Dimensions of an episode: its conversation's, its topic, in or out of hours."""
        out = episode["is_out_of_hours"]
        return {
            **self.conversation_dims(episode["_conversation"]),
            "topic": episode["topic"],
            "business_hours": None if out is None else ("out" if out else "in"),
        }

    def session_dims(self, session: Row) -> dict[str, Any]:
        """Dimensions of a session: its conversation's (it may span several episodes)."""
        return self.conversation_dims(session["_conversation"])

    # -- periods

    def period(self, day: date, grain: str) -> date:
        """First day of the period a day falls in."""
        if grain == "day":
            return day
        if grain == "month":
            return day.replace(day=1)
        first = WEEKDAYS.index(self.params.week_start.lower())
        return day - timedelta(days=(day.weekday() - first) % 7)

    def local_day(self, moment: datetime) -> date:
        """Day of an instant in the reporting time zone."""
        return local_date(moment, self.params.reporting_timezone)

    def local_hour(self, moment: datetime) -> tuple[date, str]:
        """Clock hour of an instant in the reporting time zone (a repeated hour is one hour)."""
        zone = ZoneInfo(self.params.reporting_timezone)
        local = moment.replace(tzinfo=UTC).astimezone(zone)
        return local.date(), f"{local:%H}"

    def periods_before(self, start: date, grain: str, count: int) -> list[date]:
        """The `count` periods before the one that begins at `start`."""
        out = []
        for _ in range(count):
            start = self.period(start - timedelta(days=1), grain)
            out.append(start)
        return out


# --------------------------------------------------------------------------- aggregation


def percentile(values: list[float], share: float) -> float:
    """Linear interpolation between closest ranks, as SQL percentile_cont."""
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    low, high = math.floor(position), math.ceil(position)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def text_of(value: Any) -> str:
    """A dimension value as text."""
    if value is None:
        return "(none)"
    return str(value)


def _row(name: str, cell: tuple[str, date, str, str], num: Any, den: Any, value: Any) -> Row:
    return {
        "kpi": name,
        "grain": cell[0],
        "period_start": cell[1],
        "dimension": cell[2],
        "dimension_value": cell[3],
        "numerator": num,
        "denominator": den,
        "value": value,
        "pending": 0,
    }


def cells_of(
    ctx: Context, members: list[Member], grains: tuple[str, ...]
) -> dict[tuple[str, date, str, str], list[Member]]:
    """Members per (grain, period_start, dimension, dimension_value)."""
    cells: dict[tuple[str, date, str, str], list[Member]] = defaultdict(list)
    for member in members:
        for grain in grains:
            start = ctx.period(ctx.local_day(member.at), grain)
            cells[(grain, start, "all", "all")].append(member)
            for dimension, value in member.dims.items():
                cells[(grain, start, dimension, text_of(value))].append(member)
    return cells


def _sum(members: list[Member], side: str) -> float:
    keys = {getattr(m, f"{side}_key") for m in members} - {None}
    return float(sum(getattr(m, side) or 0.0 for m in members)) + len(keys)


def aggregate(ctx: Context, spec: Kpi) -> list[Row]:
    """The rows of a registered KPI."""
    rows = []
    for cell, members in cells_of(ctx, list(spec.members(ctx)), spec.grains).items():
        mature = [m for m in members if not m.pending]
        pending = len(members) - len(mature)
        num, den = _sum(mature, "num"), _sum(mature, "den")
        if spec.kind == "count":
            mine = [_row(spec.name, cell, num, None, num)]
        elif spec.kind == "amount":
            amount = sum_known([m.num for m in mature])
            mine = [_row(spec.name, cell, amount, None, amount)]
        elif spec.kind == "rate":
            mine = [_row(spec.name, cell, num, den, num / den if den else None)]
        else:
            values = [m.num or 0.0 for m in mature]
            mine = [_row(spec.name, cell, num, len(values), num / len(values) if values else None)]
            if spec.kind == "duration" and values:
                for suffix, share in QUANTILES.items():
                    quantile = percentile(values, share)
                    mine.append(_row(f"{spec.name}_{suffix}", cell, None, len(values), quantile))
        for row in mine:
            row["pending"] = pending
        rows.extend(mine)
    return rows


def kpi_values(
    facts: dict[str, list[Row]],
    landing: Landing,
    as_of: datetime,
    params: Params | None = None,
    only: str | None = None,
) -> list[Row]:
    """All rows of all KPIs (or of one), from the facts that `derive` made with the same args."""
    params = params or Params()
    ctx = Context(facts, cut(landing, as_of), as_of, params)
    rows: list[Row] = []
    for name, spec in REGISTRY.items():
        if only in (None, name):
            rows.extend(aggregate(ctx, spec))
    for name, function in ROW_REGISTRY.items():
        if only in (None, name):
            rows.extend(function(ctx))
    return [r for r in rows if r["numerator"] or r["denominator"] or r["pending"]]


# --------------------------------------------------------------------------- reach and sales


@kpi("chat_opens", "count")
def chat_opens(ctx: Context) -> Iterator[Member]:
    """Chat-open sessions, at session start."""
    for s in ctx.chat_opens():
        yield Member(s["started_at"], ctx.session_dims(s), 1)


@kpi("visitors", "count")
def visitors(ctx: Context) -> Iterator[Member]:
    """Distinct persons with a chat open in the cell (a person counts once in every cell)."""
    for s in ctx.chat_opens():
        yield Member(s["started_at"], ctx.session_dims(s), num_key=s["person_id"])


@kpi("engagement_rate", "rate")
def engagement_rate(ctx: Context) -> Iterator[Member]:
    """Engaged chat-open sessions / chat-open sessions."""
    for s in ctx.chat_opens():
        yield Member(s["started_at"], ctx.session_dims(s), float(s["is_engaged"]), 1)


@kpi_rows("device_share")
def device_share(ctx: Context) -> list[Row]:
    """Only under `device_type`: chat opens of the device / all chat opens of the period."""
    members = list(chat_opens(ctx))
    cells = cells_of(ctx, members, tuple(GRAINS))
    rows = []
    for cell, mine in cells.items():
        if cell[2] == "device_type":
            total = len(cells[(cell[0], cell[1], "all", "all")])
            rows.append(_row("device_share", cell, len(mine), total, len(mine) / total))
    return rows


@kpi_rows("device_completion_rate")
def device_completion_rate(ctx: Context) -> list[Row]:
    """Only under `device_type`: lead_completion_rate of the device."""
    rows = aggregate(ctx, Kpi("device_completion_rate", "rate", lead_completion_rate))
    return [r for r in rows if r["dimension"] == "device_type"]


def _lead_dims(ctx: Context, lead: Row) -> dict[str, Any]:
    return ctx.conversation_dims(lead["_conversation"])


@kpi("leads_generated", "count")
def leads_generated(ctx: Context) -> Iterator[Member]:
    """Rows of fct_leads, at capture, under the conversation of the earliest capture."""
    for lead in ctx.facts["fct_leads"]:
        yield Member(lead["lead_at"], _lead_dims(ctx, lead), 1)


@kpi("lead_capture_rate", "rate")
def lead_capture_rate(ctx: Context) -> Iterator[Member]:
    """Leads captured in the period / distinct visitors of the period: two cohort times.

    Each side falls into the period of its own time; the quotient may exceed 1.
    """
    for lead in ctx.facts["fct_leads"]:
        yield Member(lead["lead_at"], _lead_dims(ctx, lead), 1)
    for s in ctx.chat_opens():
        yield Member(s["started_at"], ctx.session_dims(s), den_key=s["person_id"])


def _flow_members(ctx: Context, kind: str) -> Iterator[Member]:
    for flow in ctx.facts["fct_lead_flows"]:
        dims = ctx.conversation_dims(ctx.conversations[flow["conversation_id"]])
        done = float(flow["completed_at"] is not None)
        num = 1.0 if kind == "starts" else done
        yield Member(flow["started_at"], dims, num, 1)


@kpi("lead_flow_starts", "count")
def lead_flow_starts(ctx: Context) -> Iterator[Member]:
    """Lead flows (conversation and flow) at their start."""
    return _flow_members(ctx, "starts")


@kpi("completed_leads", "count")
def completed_leads(ctx: Context) -> Iterator[Member]:
    """Lead flows completed by `as_of`, at the flow's start (not its completion)."""
    return _flow_members(ctx, "completed")


@kpi("lead_completion_rate", "rate")
def lead_completion_rate(ctx: Context) -> Iterator[Member]:
    """Completed / started lead flows, at flow start; no maturity window."""
    return _flow_members(ctx, "completed")


@kpi("field_fill_rate", "rate")
def field_fill_rate(ctx: Context) -> Iterator[Member]:
    """Fields of lead flows validly answered / asked, at the field's first question.

    One member per conversation, flow and field however often it was asked; own dimension `field`.
    """
    for row in ctx.facts["fct_lead_fields"]:
        dims = ctx.conversation_dims(ctx.conversations[row["conversation_id"]])
        dims["field"] = row["field"]
        yield Member(row["asked_at"], dims, float(bool(row["is_valid"])), 1)


def _lead_status(ctx: Context, status: str) -> Iterator[Member]:
    for lead in ctx.facts["fct_leads"]:
        yield Member(lead["lead_at"], _lead_dims(ctx, lead), float(lead["status"] == status), 1)


@kpi("qualified_leads", "count")
def qualified_leads(ctx: Context) -> Iterator[Member]:
    """Leads with status qualified, at capture."""
    return _lead_status(ctx, "qualified")


@kpi("qualified_lead_rate", "rate")
def qualified_lead_rate(ctx: Context) -> Iterator[Member]:
    """Qualified leads / leads, at capture; undecided ones stay in the denominator."""
    return _lead_status(ctx, "qualified")


@kpi("undecided_lead_rate", "rate")
def undecided_lead_rate(ctx: Context) -> Iterator[Member]:
    """Leads neither qualified nor disqualified / leads, at capture."""
    return _lead_status(ctx, "undecided")


def _meeting_members(ctx: Context, statuses: list[str] | None) -> Iterator[Member]:
    for meeting in ctx.facts["fct_meetings"]:
        episode = ctx.episodes.get(meeting["episode_id"] or "")
        if episode is not None:
            dims = ctx.episode_dims(episode)
        else:
            conversation = ctx.conversations[meeting["conversation_id"]]
            dims = ctx.conversation_dims(conversation, with_episode=True)
        counts = statuses is None or meeting["status"] in statuses
        yield Member(meeting["booked_at"], dims, float(counts))


@kpi("meetings_booked", "count")
def meetings_booked(ctx: Context) -> Iterator[Member]:
    """Every row of fct_meetings whatever became of it, at booked_at."""
    return _meeting_members(ctx, None)


@kpi("meetings_held", "count")
def meetings_held(ctx: Context) -> Iterator[Member]:
    """Meetings with status held, at booked_at."""
    return _meeting_members(ctx, ["held"])


@kpi("meetings_cancelled", "count")
def meetings_cancelled(ctx: Context) -> Iterator[Member]:
    """Meetings with status cancelled (not no_show), at booked_at."""
    return _meeting_members(ctx, ["cancelled"])


def _lead_sales(ctx: Context, revenue: bool) -> Iterator[Member]:
    for lead in ctx.facts["fct_leads"]:
        ripe_at = lead["lead_at"] + days(ctx.params.lead_to_sale_window_days)
        pending = ctx.as_of < ripe_at
        num = lead["won_amount"] if revenue else float(lead["first_won_at"] is not None)
        yield Member(lead["lead_at"], _lead_dims(ctx, lead), num, 1, pending)


@kpi("sales_from_leads", "count")
def sales_from_leads(ctx: Context) -> Iterator[Member]:
    """Mature leads with a deal won (closed) within the window of capture; younger ones pend."""
    return _lead_sales(ctx, revenue=False)


@kpi("lead_to_sale_rate", "rate")
def lead_to_sale_rate(ctx: Context) -> Iterator[Member]:
    """Leads with a sale in the window / mature leads."""
    return _lead_sales(ctx, revenue=False)


@kpi("lead_revenue", "amount")
def lead_revenue(ctx: Context) -> Iterator[Member]:
    """Amount of all deals mature leads won within the window, in the reporting currency.

    Null, not 0, where no mature lead has won an amount.
    """
    return _lead_sales(ctx, revenue=True)


def _attributed(ctx: Context, column: str) -> Iterator[Member]:
    for row in ctx.facts["fct_attribution"]:
        if row["model"] == "last_touch":
            dims = ctx.episode_dims(ctx.episodes[row["episode_id"]])
            yield Member(row["closed_at"], dims, row[column] or 0.0)


@kpi("attributed_sales", "count")
def attributed_sales(ctx: Context) -> Iterator[Member]:
    """Won deals with a touch, at closed_at, under the dimensions of the last touch."""
    return _attributed(ctx, "credit")


@kpi("attributed_revenue", "count")
def attributed_revenue(ctx: Context) -> Iterator[Member]:
    """Their amount in the reporting currency (a currency without a rate adds nothing)."""
    return _attributed(ctx, "revenue")


@kpi("influenced_revenue", "count")
def influenced_revenue(ctx: Context) -> Iterator[Member]:
    """Amount of won deals with an involved episode started in [created_at, closed_at].

    At closed_at, once per deal, under the dimensions of the latest such episode.
    """
    for deal in ctx.deals:
        touches = [
            e
            for e in ctx.involved()
            if e["person_id"] == deal["person_id"]
            and deal["created_at"] <= e["started_at"] <= deal["closed_at"]
        ]
        if touches:
            last = max(touches, key=lambda e: (e["started_at"], e["episode_id"]))
            yield Member(deal["closed_at"], ctx.episode_dims(last), deal["revenue"] or 0.0)


# --------------------------------------------------------------------------- service


@kpi("conversations", "count")
def conversations(ctx: Context) -> Iterator[Member]:
    """All episodes of reportable conversations, also outbound ones, at S."""
    for e in ctx.facts["fct_episodes"]:
        yield Member(e["started_at"], ctx.episode_dims(e), 1)


@kpi("eligible_conversations", "count")
def eligible_conversations(ctx: Context) -> Iterator[Member]:
    """Eligible episodes, decided or not."""
    for e in ctx.facts["fct_episodes"]:
        yield Member(e["started_at"], ctx.episode_dims(e), float(e["is_eligible"]))


@kpi("handled_conversations", "count")
def handled_conversations(ctx: Context) -> Iterator[Member]:
    """Involved episodes, decided or not."""
    for e in ctx.facts["fct_episodes"]:
        yield Member(e["started_at"], ctx.episode_dims(e), float(e["is_involved"]))


@kpi("handle_rate", "rate")
def handle_rate(ctx: Context) -> Iterator[Member]:
    """Involved / eligible, over all eligible episodes: involvement is no outcome, none pends."""
    for e in ctx.eligible():
        yield Member(e["started_at"], ctx.episode_dims(e), float(e["is_involved"]), 1)


def _over(
    ctx: Context, cohort: list[Row], hit: Callable[[Row], Any], mature: Callable[[Row], Any]
) -> Iterator[Member]:
    """Episodes at S: hit / cohort, over the mature ones."""
    for e in cohort:
        if mature(e):
            yield Member(e["started_at"], ctx.episode_dims(e), float(bool(hit(e))), 1)
        else:
            yield Member(e["started_at"], ctx.episode_dims(e), pending=True)


def _decided(episode: Row) -> bool:
    return bool(episode["is_mature"])


@kpi("resolved_conversations", "count")
def resolved_conversations(ctx: Context) -> Iterator[Member]:
    """Resolved (house) episodes; involved episodes not yet decided pend."""
    return _over(ctx, ctx.involved(), lambda e: e["is_resolved"], _decided)


@kpi("resolution_rate", "rate")
def resolution_rate(ctx: Context) -> Iterator[Member]:
    """House policy: resolved / mature involved. Under `policy`: the same with its own verdict."""
    yield from _over(ctx, ctx.involved(), lambda e: e["is_resolved"], _decided)


@kpi_rows("resolution_rate_by_policy")
def resolution_rate_by_policy(ctx: Context) -> list[Row]:
    """Rows of `resolution_rate` under the dimension `policy`; mature by the policy's window."""

    def members(_: Context) -> Iterator[Member]:
        for r in ctx.facts["fct_resolutions"]:
            at = ctx.episodes[r["episode_id"]]["started_at"]
            dims = {"policy": r["policy"]}
            pending = r["verdict"] == "pending"
            yield Member(at, dims, float(r["verdict"] == "resolved"), 1, pending)

    rows = aggregate(ctx, Kpi("resolution_rate", "rate", members))
    return [row for row in rows if row["dimension"] == "policy"]


@kpi("containment_rate", "rate")
def containment_rate(ctx: Context) -> Iterator[Member]:
    """Mature involved without handoff or agent message by decided_at / mature involved."""
    return _over(ctx, ctx.involved(), lambda e: e["is_contained"], _decided)


@kpi("deflection_rate", "rate")
def deflection_rate(ctx: Context) -> Iterator[Member]:
    """is_deflected / mature eligible; the ticket window is [S, decided_at], ends included.

    The answer must stand by decided_at; a ticket's person is its contact, else that of the
    conversation it names; any topic blocks.
    """
    return _over(ctx, ctx.eligible(), lambda e: e["is_deflected"], _decided)


@kpi("automation_rate", "rate")
def automation_rate(ctx: Context) -> Iterator[Member]:
    """Resolved / mature eligible."""
    return _over(ctx, ctx.eligible(), lambda e: e["is_resolved"], _decided)


@kpi("partial_automation_rate", "rate")
def partial_automation_rate(ctx: Context) -> Iterator[Member]:
    """Handed off by decided_at after a sourced answer or a completed flow / mature eligible.

    Handed off: the episode's handoff; after: answer or `flow_completed` at or before it.
    """

    def hit(e: Row) -> bool:
        at = e["handoff_initiated_at"]
        if at is None or at > e["decided_at"]:
            return False
        sourced = any(
            (cites_article(a) or a["action_status"] == "success") and a["sent_at"] <= at
            for a in answers_among(e["_messages"])
        )
        completed = any(
            v["event_type"] == "flow_completed" and v["occurred_at"] <= at for v in e["_events"]
        )
        return sourced or completed

    return _over(ctx, ctx.eligible(), hit, _decided)


def _handoffs(ctx: Context) -> Iterator[tuple[Row, dict[str, Any]]]:
    for handoff in ctx.facts["fct_handoffs"]:
        yield handoff, ctx.episode_dims(ctx.episodes[handoff["episode_id"]])


@kpi("handoffs", "count")
def handoffs(ctx: Context) -> Iterator[Member]:
    """First handoffs of all episodes, eligible or not, at initiated_at."""
    for handoff, dims in _handoffs(ctx):
        yield Member(handoff["initiated_at"], dims, 1)


@kpi("handoff_rate", "rate")
def handoff_rate(ctx: Context) -> Iterator[Member]:
    """Involved episodes with a handoff at any time / involved, decided or not."""
    return _over(
        ctx, ctx.involved(), lambda e: e["handoff_initiated_at"] is not None, lambda e: True
    )


@kpi("handoff_wait_seconds", "duration")
def handoff_wait_seconds(ctx: Context) -> Iterator[Member]:
    """accepted_at - initiated_at of accepted handoffs."""
    for handoff, dims in _handoffs(ctx):
        if handoff["accepted_at"] is not None:
            yield Member(handoff["initiated_at"], dims, handoff["wait_seconds"])


@kpi("handoff_acceptance_rate", "rate")
def handoff_acceptance_rate(ctx: Context) -> Iterator[Member]:
    """Handoffs with an agent message at or after initiation / handoffs; none pends."""
    for handoff, dims in _handoffs(ctx):
        yield Member(handoff["initiated_at"], dims, float(handoff["accepted_at"] is not None), 1)


@kpi("handoff_continuity_rate", "rate")
def handoff_continuity_rate(ctx: Context) -> Iterator[Member]:
    """Accepted handoffs where no field validly answered before is asked again after it.

    Over all answers of the conversation, any flow, compared by field name; both strictly.
    """
    for handoff, dims in _handoffs(ctx):
        if handoff["accepted_at"] is not None:
            yield Member(handoff["initiated_at"], dims, float(handoff["is_continuous"]), 1)


def _turn_dims(ctx: Context, turn: Row) -> dict[str, Any]:
    return ctx.episode_dims(turn["_episode"])


@kpi("fallback_rate", "rate")
def fallback_rate(ctx: Context) -> Iterator[Member]:
    """is_fallback / bot-responsible turns, at T."""
    for t in ctx.bot_turns():
        yield Member(t["started_at"], _turn_dims(ctx, t), float(t["is_fallback"]), 1)


def _is_tier1(episode: Row) -> bool:
    """The intent that gave the topic (the first recognised turn's) is of tier 1."""
    return episode["_intent"] is not None and episode["_intent"]["tier"] == 1


@kpi("tier1_rate", "rate")
def tier1_rate(ctx: Context) -> Iterator[Member]:
    """Episodes whose topic-giving intent has tier 1 / all episodes with a topic not `unknown`."""
    for e in ctx.facts["fct_episodes"]:
        if e["topic"] != "unknown":
            yield Member(e["started_at"], ctx.episode_dims(e), float(_is_tier1(e)), 1)


@kpi("tier1_resolution_rate", "rate")
def tier1_resolution_rate(ctx: Context) -> Iterator[Member]:
    """Resolved / mature involved, among episodes with a known topic of tier 1."""
    cohort = [e for e in ctx.involved() if e["topic"] != "unknown" and _is_tier1(e)]
    return _over(ctx, cohort, lambda e: e["is_resolved"], _decided)


@kpi("repetitive_coverage", "rate")
def repetitive_coverage(ctx: Context) -> Iterator[Member]:
    """Resolved / mature eligible, among episodes whose first recognised intent is repetitive."""
    cohort = [e for e in ctx.eligible() if e["_intent"] and e["_intent"]["is_repetitive"]]
    return _over(ctx, cohort, lambda e: e["is_resolved"], _decided)


@kpi("fcr_rate", "rate")
def fcr_rate(ctx: Context) -> Iterator[Member]:
    """is_fcr / mature involved first contacts; first contacts not yet past ended_at + 7 d pend.

    Earlier: started in [S - 7 d, S). Further: episode or ticket in (ended_at, ended_at + 7 d].
    """
    cohort = [e for e in ctx.involved() if e["is_first_contact"]]
    return _over(ctx, cohort, lambda e: e["is_fcr"], lambda e: e["is_fcr"] is not None)


@kpi("reopen_rate", "rate")
def reopen_rate(ctx: Context) -> Iterator[Member]:
    """Resolved episodes followed by one of the conversation started by ended_at + 7 d.

    Pending: resolved ones before that instant, and involved ones not yet decided.
    """
    cohort = [e for e in ctx.involved() if e["is_resolved"] is not False]
    return _over(ctx, cohort, lambda e: e["is_reopened"], lambda e: e["is_reopened"] is not None)


def _episode_seconds(ctx: Context, column: str) -> Iterator[Member]:
    for e in ctx.facts["fct_episodes"]:
        if e[column] is not None:
            yield Member(e["started_at"], ctx.episode_dims(e), e[column])


@kpi("bot_service_seconds", "duration")
def bot_service_seconds(ctx: Context) -> Iterator[Member]:
    """Per involved episode, decided or not; a session without a bot message adds 0."""
    return _episode_seconds(ctx, "bot_service_seconds")


@kpi("bot_handle_seconds", "duration")
def bot_handle_seconds(ctx: Context) -> Iterator[Member]:
    """Per involved episode, decided or not."""
    return _episode_seconds(ctx, "bot_handle_seconds")


@kpi("agent_handle_seconds", "duration")
def agent_handle_seconds(ctx: Context) -> Iterator[Member]:
    """Per episode with a handoff, eligible or not."""
    return _episode_seconds(ctx, "agent_handle_seconds")


@kpi("response_seconds", "duration")
def response_seconds(ctx: Context) -> Iterator[Member]:
    """Bot replies to bot-responsible turns of all episodes, from the turn's first message."""
    for t in ctx.bot_turns():
        if t["replied_by"] == "bot":
            yield Member(t["started_at"], _turn_dims(ctx, t), t["response_seconds"])


@kpi("first_response_seconds", "duration")
def first_response_seconds(ctx: Context) -> Iterator[Member]:
    """The first bot-responsible turn of an eligible episode that a bot replied to, at S."""
    return _episode_seconds(ctx, "first_response_seconds")


@kpi("resolution_seconds", "duration")
def resolution_seconds(ctx: Context) -> Iterator[Member]:
    """Tickets with both instants, at closed_at; not those that name a conversation not counted.

    Dimensions are those of the conversation named, else `(none)`.
    """
    for ticket in ctx.data["tickets"]:
        conversation = ctx.conversations.get(ticket["conversation_id"] or "")
        if conversation is not None and not conversation["is_reportable"]:
            continue
        if ticket["bot_assigned_at"] is not None and ticket["closed_at"] is not None:
            seconds = seconds_between(ticket["bot_assigned_at"], ticket["closed_at"])
            yield Member(ticket["closed_at"], ctx.conversation_dims(conversation), seconds)


# -- money, by month


def _served(ctx: Context) -> dict[date, int]:
    """Per month of S, episodes with an answer or an agent message at any time."""
    out: dict[date, int] = defaultdict(int)
    for e in ctx.facts["fct_episodes"]:
        agent = any(m["sender_type"] == "agent" for m in e["_messages"])
        if e["answer_count"] > 0 or agent:
            out[ctx.period(ctx.local_day(e["started_at"]), "month")] += 1
    return out


def _costs(ctx: Context, month: date, categories: tuple[str, ...]) -> float | None:
    return sum_known(
        [
            c["amount"]
            for c in ctx.facts["fct_costs"]
            if c["month"] == month and c["category"] in categories
        ]
    )


def _months(ctx: Context, counts: dict[date, int]) -> list[date]:
    return sorted({c["month"] for c in ctx.facts["fct_costs"]} | set(counts))


def _month_row(name: str, month: date, num: float | None, den: float | None) -> Row:
    value = num / den if num is not None and den else None
    return _row(name, ("month", month, "all", "all"), num, den, value)


def _baseline(ctx: Context, month: date) -> float | None:
    """Baseline cost_per_service in the reporting currency (rate of the month's first day)."""
    for row in ctx.data["baseline"]:
        if row["metric"] == "cost_per_service":
            return converted(row["value"], row["currency"], month, ctx.data, ctx.params)
    return None


@kpi_rows("cost_per_service")
def cost_per_service(ctx: Context) -> list[Row]:
    """Month and `all` only: all cost rows of the month / episodes served that started in it.

    A month without costs has a null numerator and value, not 0.
    """
    served = _served(ctx)
    return [
        _month_row("cost_per_service", m, _costs(ctx, m, BOT_COSTS + OTHER_COSTS), served.get(m, 0))
        for m in _months(ctx, served)
    ]


@kpi_rows("bot_cost_per_conversation")
def bot_cost_per_conversation(ctx: Context) -> list[Row]:
    """Month and `all` only: (bot_platform + llm + channel) / involved episodes of the month."""
    involved: dict[date, int] = defaultdict(int)
    for e in ctx.involved():
        involved[ctx.period(ctx.local_day(e["started_at"]), "month")] += 1
    return [
        _month_row("bot_cost_per_conversation", m, _costs(ctx, m, BOT_COSTS), involved.get(m, 0))
        for m in _months(ctx, involved)
    ]


@kpi("llm_cost", "count", grains=("month",))
def llm_cost(ctx: Context) -> Iterator[Member]:
    """Tokens of public messages x price in force on the day sent, in the reporting currency.

    Month only, at sent_at; a model without a price in force adds nothing.
    """
    for sender_type in ("contact", "bot", "agent"):
        for message, episode in ctx.messages(sender_type):
            day = ctx.local_day(message["sent_at"])
            prices = [
                p
                for p in ctx.data["model_prices"]
                if p["model"] == message["model"]
                and message["model"] is not None
                and (p["valid_from"] or date.min) <= day
            ]
            if not prices:
                continue
            price = max(prices, key=lambda p: p["valid_from"] or date.min)
            rate = exchange_rate(price["currency"], day, ctx.data, ctx.params)
            if rate is None:
                continue
            tokens = (message["input_tokens"] or 0) * (price["input_per_million"] or 0.0)
            tokens += (message["output_tokens"] or 0) * (price["output_per_million"] or 0.0)
            yield Member(message["sent_at"], ctx.episode_dims(episode), tokens / 1e6 * rate)


@kpi_rows("cost_saving_rate")
def cost_saving_rate(ctx: Context) -> list[Row]:
    """(baseline - cost_per_service) / baseline; null without baseline, costs or services."""
    rows = []
    for row in cost_per_service(ctx):
        month = row["period_start"]
        baseline = _baseline(ctx, month)
        known = baseline is not None and row["value"] is not None
        saving = baseline - row["value"] if known else None
        rows.append(_month_row("cost_saving_rate", month, saving, baseline))
    return rows


@kpi_rows("roi")
def roi(ctx: Context) -> list[Row]:
    """As the formula says, month and `all` only; attributed margin = last touch, at closed_at.

    A cost category without a row is 0; without any bot cost or without a baseline it is null.
    """
    margins: dict[date, float] = defaultdict(float)
    for row in ctx.facts["fct_attribution"]:
        if row["model"] == "last_touch":
            month = ctx.period(ctx.local_day(row["closed_at"]), "month")
            margins[month] += row["profit"] or 0.0
    served = _served(ctx)
    rows = []
    for month in _months(ctx, served):
        baseline, bot = _baseline(ctx, month), _costs(ctx, month, BOT_COSTS)
        num = None
        if baseline is not None and bot is not None:
            others = _costs(ctx, month, OTHER_COSTS) or 0.0
            num = baseline * served.get(month, 0) - others + margins[month] - bot
        rows.append(_month_row("roi", month, num, bot))
    return rows


@kpi("hours_saved", "amount")
def hours_saved(ctx: Context) -> Iterator[Member]:
    """baseline_handle_minutes / 60 of the first recognised intent of resolved episodes.

    An intent without minutes adds nothing; null, not 0, where no resolved episode has minutes.
    """
    for e in ctx.involved():
        minutes = (e["_intent"] or {}).get("baseline_handle_minutes")
        num = minutes / 60 if e["is_resolved"] and minutes is not None else None
        yield Member(e["started_at"], ctx.episode_dims(e), num, pending=not e["is_mature"])


@kpi("agent_daily_load", "rate")
def agent_daily_load(ctx: Context) -> Iterator[Member]:
    """Episodes with a public agent message / distinct (agent, local day) of those messages.

    Both at S of the episode (one cohort), distinct per cell; an unnamed agent is one agent.
    """
    for e in ctx.facts["fct_episodes"]:
        sent = [m for m in e["_messages"] if m["sender_type"] == "agent"]
        for m in sent:
            agent_day = (m["sender_id"], ctx.local_day(m["sent_at"]))
            yield Member(
                e["started_at"],
                ctx.episode_dims(e),
                num_key=e["episode_id"],
                den_key=agent_day,
            )


@kpi("out_of_hours_share", "rate")
def out_of_hours_share(ctx: Context) -> Iterator[Member]:
    """Eligible episodes starting outside the default schedule / eligible (schedule known)."""
    for e in ctx.eligible():
        if e["is_out_of_hours"] is not None:
            yield Member(e["started_at"], ctx.episode_dims(e), float(e["is_out_of_hours"]), 1)


@kpi("out_of_hours_answer_rate", "rate")
def out_of_hours_answer_rate(ctx: Context) -> Iterator[Member]:
    """Eligible out-of-hours episodes with an answer at any time / those; none pends."""
    cohort = [e for e in ctx.eligible() if e["is_out_of_hours"]]
    return _over(ctx, cohort, lambda e: e["answer_count"] > 0, lambda e: True)


@kpi("out_of_hours_conversion_rate", "rate")
def out_of_hours_conversion_rate(ctx: Context) -> Iterator[Member]:
    """conversion_rate among episodes that start outside business hours."""
    return _conversion(ctx, [e for e in ctx.involved() if e["is_out_of_hours"]])


@kpi_rows("surge_absorption")
def surge_absorption(ctx: Context) -> list[Row]:
    """handle_rate in the busiest ceil(5 %) local hours / handle_rate in the other hours.

    Hours of the whole period with an eligible episode, by eligible episodes, the earlier hour
    first on a tie; the cells of every dimension use the same hours. Numerator and denominator are
    the two rates, each null without an eligible episode; null when the rate of the rest is 0.
    """
    cells = cells_of(ctx, list(handle_rate(ctx)), tuple(GRAINS))
    busiest: dict[tuple[str, date], set[tuple[date, str]]] = {}
    for (grain, start, dimension, _), members in cells.items():
        if dimension == "all":
            counts: dict[tuple[date, str], int] = defaultdict(int)
            for m in members:
                counts[ctx.local_hour(m.at)] += 1
            order = sorted(counts, key=lambda h: (-counts[h], h))
            busiest[(grain, start)] = set(order[: math.ceil(0.05 * len(order))])
    rows = []
    for cell, members in cells.items():
        sides: dict[bool, list[float]] = {True: [], False: []}
        for m in members:
            sides[ctx.local_hour(m.at) in busiest[cell[:2]]].append(m.num or 0.0)
        high, low = (sum(s) / len(s) if s else None for s in (sides[True], sides[False]))
        value = high / low if high is not None and low else None
        rows.append(_row("surge_absorption", cell, high, low, value))
    return rows


# --------------------------------------------------------------------------- experience


def _bot_sessions(ctx: Context, hit: Callable[[Row], Any]) -> Iterator[Member]:
    for s in ctx.facts["fct_sessions"]:
        if s["is_bot_session"]:
            dims, pending = ctx.session_dims(s), s["has_contact_action"] is None
            yield Member(s["started_at"], dims, float(bool(hit(s))), 1, pending)


@kpi("self_service_rate", "rate")
def self_service_rate(ctx: Context) -> Iterator[Member]:
    """Mature bot sessions without contact action / mature bot sessions.

    Actions of the person in all reportable conversations from session start to 24 h after its
    end, ends included: any handoff_initiated event, public agent message, ticket.
    """
    return _bot_sessions(ctx, lambda s: s["has_contact_action"] is False)


@kpi("human_assistance_rate", "rate")
def human_assistance_rate(ctx: Context) -> Iterator[Member]:
    """Mature bot sessions with a contact action / mature bot sessions."""
    return _bot_sessions(ctx, lambda s: s["has_contact_action"])


@kpi("other_channel_rate", "rate")
def other_channel_rate(ctx: Context) -> Iterator[Member]:
    """Mature bot sessions with an action in another conversation or a ticket (whether or not
    there is one in the same conversation too) / mature bot sessions.
    """
    return _bot_sessions(ctx, lambda s: s["_action_elsewhere"])


@kpi("conversation_seconds", "duration")
def conversation_seconds(ctx: Context) -> Iterator[Member]:
    """Engaged sessions, also outbound ones."""
    for s in ctx.facts["fct_sessions"]:
        if s["is_engaged"]:
            yield Member(s["started_at"], ctx.session_dims(s), s["conversation_seconds"])


@kpi("interactions_per_session", "rate")
def interactions_per_session(ctx: Context) -> Iterator[Member]:
    """Turns / engaged sessions; own dimension `outcome`: that of the session's last episode."""
    episode_of = {m["message_id"]: e for e in ctx.facts["fct_episodes"] for m in e["_messages"]}
    for s in ctx.facts["fct_sessions"]:
        if s["is_engaged"]:
            outcome = episode_of[s["_messages"][-1]["message_id"]]["outcome"]
            dims = {**ctx.session_dims(s), "outcome": outcome}
            yield Member(s["started_at"], dims, s["turn_count"], 1)


@kpi("missed_rate", "rate")
def missed_rate(ctx: Context) -> Iterator[Member]:
    """Missed / bot-responsible turns that need an answer; an unanswered one pends until its
    timeout, an answered one counts at once.
    """
    for t in ctx.bot_turns():
        if t["needs_answer"]:
            dims, pending = _turn_dims(ctx, t), t["_is_awaiting_reply"]
            yield Member(t["started_at"], dims, float(bool(t["is_missed"])), 1, pending)


def _feedback_dims(ctx: Context, row: Row) -> dict[str, Any]:
    episode = ctx.episodes.get(row["episode_id"] or "")
    if episode is not None:
        return ctx.episode_dims(episode)
    return ctx.conversation_dims(ctx.conversations[row["conversation_id"]], with_episode=True)


def _last_csat(ctx: Context) -> list[Row]:
    last: dict[str, Row] = {}
    for row in ctx.facts["fct_feedback"]:
        if row["kind"] == "csat" and row["episode_id"] is not None:
            key = (row["submitted_at"], row["feedback_id"])
            best = last.get(row["episode_id"])
            if best is None or key > (best["submitted_at"], best["feedback_id"]):
                last[row["episode_id"]] = row
    return list(last.values())


@kpi("csat", "rate")
def csat(ctx: Context) -> Iterator[Member]:
    """Last csat of each episode >= 0.8 / rated episodes, at its submitted_at.

    Own dimension `attributed_to`: writer (bot or agent) of the last bot or agent message of the
    conversation at or before it; `(none)` when there is none.
    """
    for row in _last_csat(ctx):
        dims = {**_feedback_dims(ctx, row), "attributed_to": row["attributed_to"]}
        yield Member(row["submitted_at"], dims, float(bool(row["is_satisfied"])), 1)


@kpi("csat_response_rate", "rate")
def csat_response_rate(ctx: Context) -> Iterator[Member]:
    """Rated episodes at submitted_at / `survey_sent` events at occurred_at: two cohort times."""
    for row in _last_csat(ctx):
        yield Member(row["submitted_at"], _feedback_dims(ctx, row), 1)
    for event, dims in ctx.events("survey_sent"):
        yield Member(event["occurred_at"], dims, den=1)


def _ratings(ctx: Context, kind: str) -> Iterator[Member]:
    for row in ctx.facts["fct_feedback"]:
        if row["kind"] == kind:
            num = float(bool(row["is_satisfied"]))
            yield Member(row["submitted_at"], _feedback_dims(ctx, row), num, 1)


@kpi("helpful_rate", "rate")
def helpful_rate(ctx: Context) -> Iterator[Member]:
    """Thumbs up (score / scale_max >= 0.8) / thumbs; every thumb counts.

    Own dimension `category`.
    """
    for row in ctx.facts["fct_feedback"]:
        if row["kind"] == "thumbs":
            dims = {**_feedback_dims(ctx, row), "category": row["category"]}
            yield Member(row["submitted_at"], dims, float(bool(row["is_satisfied"])), 1)


@kpi("feedback_count", "count")
def feedback_count(ctx: Context) -> Iterator[Member]:
    """All feedback of reportable conversations; own dimensions `kind` and `category`."""
    for row in ctx.facts["fct_feedback"]:
        own = {"kind": row["kind"], "category": row["category"]}
        yield Member(row["submitted_at"], {**_feedback_dims(ctx, row), **own}, 1)


@kpi("nps", "rate")
def nps(ctx: Context) -> Iterator[Member]:
    """100 x (promoters - detractors) / ratings; scores are brought to 0..10 by scale_max."""
    for row in ctx.facts["fct_feedback"]:
        if row["kind"] == "nps" and row["scale_max"]:
            score = row["score"] * 10 / row["scale_max"]
            num = 100.0 if score >= 9 else (-100.0 if score <= 6 else 0.0)
            yield Member(row["submitted_at"], _feedback_dims(ctx, row), num, 1)


@kpi("accuracy_satisfaction_rate", "rate")
def accuracy_satisfaction_rate(ctx: Context) -> Iterator[Member]:
    """Accuracy ratings with score / scale_max >= 0.8 / accuracy ratings."""
    return _ratings(ctx, "accuracy")


def _scored(ctx: Context) -> Iterator[tuple[Row, Row]]:
    """(message, turn) of contact messages with a sentiment, in order."""
    for turn in ctx.facts["fct_turns"]:
        for message in turn["_messages"]:
            if message["sentiment"] is not None:
                yield message, turn


@kpi("sentiment", "mean")
def sentiment(ctx: Context) -> Iterator[Member]:
    """Mean over public contact messages with a sentiment, each at the start of its turn."""
    for message, turn in _scored(ctx):
        yield Member(turn["started_at"], _turn_dims(ctx, turn), message["sentiment"])


@kpi("sentiment_shift", "mean")
def sentiment_shift(ctx: Context) -> Iterator[Member]:
    """Last minus first over an episode's scored contact messages, if there are two or more.

    At the start of the turn of the first scored message.
    """
    by_episode: dict[str, list[tuple[Row, Row]]] = defaultdict(list)
    for message, turn in _scored(ctx):
        by_episode[turn["episode_id"]].append((message, turn))
    for scored in by_episode.values():
        if len(scored) >= 2:
            turn = scored[0][1]
            shift = scored[-1][0]["sentiment"] - scored[0][0]["sentiment"]
            yield Member(turn["started_at"], _turn_dims(ctx, turn), shift)


@kpi("intent_accuracy", "rate")
def intent_accuracy(ctx: Context) -> Iterator[Member]:
    """Public contact messages with a label: intent equals it (no intent: wrong) / labelled."""
    for message, episode in ctx.messages("contact"):
        if message["intent_label"] is not None:
            right = float(message["intent"] == message["intent_label"])
            yield Member(message["sent_at"], ctx.episode_dims(episode), right, 1)


@kpi("intent_match_rate", "rate")
def intent_match_rate(ctx: Context) -> Iterator[Member]:
    """Recognised / bot-responsible turns that need an answer."""
    for t in ctx.bot_turns():
        if t["needs_answer"]:
            yield Member(t["started_at"], _turn_dims(ctx, t), float(t["is_recognised"]), 1)


@kpi("low_confidence_compliance", "rate")
def low_confidence_compliance(ctx: Context) -> Iterator[Member]:
    """Bot-responsible turns whose intent (first non-null one) came with a confidence < threshold.

    Compliant: the bot's reply is a prompt or fallback, or the episode's handoff was initiated
    from the turn's start until before the episode's next turn begins.
    """
    turns_in: dict[str, list[Row]] = defaultdict(list)
    for t in ctx.facts["fct_turns"]:
        turns_in[t["episode_id"]].append(t)
    for t in ctx.bot_turns():
        predicted = [m for m in t["_messages"] if m["intent"] is not None]
        confidence = predicted[0]["intent_confidence"] if predicted else None
        if confidence is None or confidence >= ctx.params.low_confidence_threshold:
            continue
        mine = turns_in[t["episode_id"]]
        later = mine[mine.index(t) + 1 :]
        at = t["_episode"]["handoff_initiated_at"]
        handed = (
            at is not None
            and t["started_at"] <= at
            and not (later and at >= later[0]["started_at"])
        )
        reply = t["_reply"]
        careful = (
            reply is not None
            and reply["sender_type"] == "bot"
            and reply["kind"] in ("prompt", "fallback")
        )
        yield Member(t["started_at"], _turn_dims(ctx, t), float(handed or careful), 1)


@kpi("rephrase_rate", "rate")
def rephrase_rate(ctx: Context) -> Iterator[Member]:
    """is_rephrase / bot-responsible turns."""
    for t in ctx.bot_turns():
        yield Member(t["started_at"], _turn_dims(ctx, t), float(t["is_rephrase"]), 1)


@kpi("hallucination_rate", "rate")
def hallucination_rate(ctx: Context) -> Iterator[Member]:
    """Public bot messages with is_grounded false / those judged."""
    for message, episode in ctx.messages("bot"):
        if message["is_grounded"] is not None:
            bad = float(not message["is_grounded"])
            yield Member(message["sent_at"], ctx.episode_dims(episode), bad, 1)


@kpi("guardrail_rate", "rate")
def guardrail_rate(ctx: Context) -> Iterator[Member]:
    """`guardrail_blocked` events at occurred_at / public bot messages at sent_at."""
    for event, dims in ctx.events("guardrail_blocked"):
        yield Member(event["occurred_at"], dims, 1)
    for message, episode in ctx.messages("bot"):
        yield Member(message["sent_at"], ctx.episode_dims(episode), den=1)


@kpi("bot_error_rate", "rate")
def bot_error_rate(ctx: Context) -> Iterator[Member]:
    """Eligible episodes with an `error` event at any time / eligible episodes, at S."""
    return _over(
        ctx,
        ctx.eligible(),
        lambda e: any(v["event_type"] == "error" for v in e["_events"]),
        lambda e: True,
    )


@kpi("stale_answer_rate", "rate")
def stale_answer_rate(ctx: Context) -> Iterator[Member]:
    """Answers citing a known article with sent_at - updated_at > 180 d / answers citing any.

    One stale article is enough; an article outside the catalogue is not known to be stale.
    """
    for episode in ctx.facts["fct_episodes"]:
        for answer in answers_among(episode["_messages"]):
            if not cites_article(answer):
                continue
            cited = [part.strip() for part in answer["cited_sources"].split("|")]
            stale = any(
                a in ctx.articles
                and answer["sent_at"] - ctx.articles[a]["updated_at"]
                > days(ctx.params.stale_after_days)
                for a in cited
            )
            yield Member(answer["sent_at"], ctx.episode_dims(episode), float(stale), 1)


def _won_within(ctx: Context, person: str, start: datetime) -> bool:
    until = start + days(ctx.params.conversion_window_days)
    return any(start <= d["created_at"] <= until for d in ctx.deals_of.get(person, []))


def _conversion(ctx: Context, involved: list[Row]) -> Iterator[Member]:
    window = days(ctx.params.conversion_window_days)
    cohort = [e for e in involved if e["is_resolved"] is not False]
    return _over(
        ctx,
        cohort,
        lambda e: _won_within(ctx, e["person_id"], e["started_at"]),
        lambda e: e["is_mature"] and ctx.as_of >= e["started_at"] + window,
    )


@kpi("conversion_rate", "rate")
def conversion_rate(ctx: Context) -> Iterator[Member]:
    """Resolved episodes with a deal of the person created in [S, S + 7 d] and won by as_of.

    Pending: resolved ones before S + 7 d, and involved ones not yet decided.
    """
    return _conversion(ctx, ctx.involved())


@kpi("recommendation_acceptance_rate", "rate")
def recommendation_acceptance_rate(ctx: Context) -> Iterator[Member]:
    """Public bot messages of kind recommendation, at sent_at, mature after 7 d.

    Accepted: a `recommendation_accepted` event of the conversation, or a deal of the person
    created and since won, in [sent_at, sent_at + 7 d]; one event accepts all before it.
    """
    window = days(ctx.params.conversion_window_days)
    accepted: dict[str, list[datetime]] = defaultdict(list)
    for event, _ in ctx.events("recommendation_accepted"):
        accepted[event["conversation_id"]].append(event["occurred_at"])
    for message, episode in ctx.messages("bot"):
        if message["kind"] == "recommendation":
            at = message["sent_at"]
            said = any(at <= t <= at + window for t in accepted[message["conversation_id"]])
            hit = said or _won_within(ctx, episode["person_id"], at)
            pending = ctx.as_of < at + window
            yield Member(at, ctx.episode_dims(episode), float(hit), 1, pending)


@kpi("returning_rate", "rate")
def returning_rate(ctx: Context) -> Iterator[Member]:
    """Distinct persons with a chat open in the cell that has an earlier one (started before it,
    ever, in any cell) / distinct persons with a chat open in the cell.
    """
    first: dict[str, datetime] = {}
    for s in ctx.chat_opens():
        person = s["person_id"]
        first[person] = min(first.get(person, s["started_at"]), s["started_at"])
    for s in ctx.chat_opens():
        person = s["person_id"]
        again = person if s["started_at"] > first[person] else None
        yield Member(s["started_at"], ctx.session_dims(s), num_key=again, den_key=person)


@kpi("sessions_per_visitor", "rate")
def sessions_per_visitor(ctx: Context) -> Iterator[Member]:
    """Chat opens / distinct persons with one."""
    for s in ctx.chat_opens():
        yield Member(s["started_at"], ctx.session_dims(s), 1, den_key=s["person_id"])


def _per_topic(ctx: Context) -> dict[tuple[str, date, str], int]:
    counts: dict[tuple[str, date, str], int] = defaultdict(int)
    for e in ctx.facts["fct_episodes"]:
        for grain in GRAINS:
            start = ctx.period(ctx.local_day(e["started_at"]), grain)
            counts[(grain, start, e["topic"])] += 1
    return counts


@kpi_rows("topic_trend")
def topic_trend(ctx: Context) -> list[Row]:
    """Only under `topic`: episodes on the topic / all episodes of the period (its share)."""
    counts = _per_topic(ctx)
    totals: dict[tuple[str, date], int] = defaultdict(int)
    for (grain, start, _), count in counts.items():
        totals[(grain, start)] += count
    return [
        _row(
            "topic_trend",
            (grain, start, "topic", topic),
            count,
            totals[(grain, start)],
            count / totals[(grain, start)],
        )
        for (grain, start, topic), count in counts.items()
    ]


@kpi_rows("emerging_topics")
def emerging_topics(ctx: Context) -> list[Row]:
    """Only under `topic`: episodes of the period / mean of the four calendar periods before.

    Growth factor; periods before the first data count as 0; null when the mean is 0. `unknown`
    is a topic like any other here.
    """
    counts = _per_topic(ctx)
    rows = []
    for (grain, start, topic), count in counts.items():
        before = [counts.get((grain, p, topic), 0) for p in ctx.periods_before(start, grain, 4)]
        mean = sum(before) / 4
        value = count / mean if mean else None
        rows.append(_row("emerging_topics", (grain, start, "topic", topic), count, mean, value))
    return rows
