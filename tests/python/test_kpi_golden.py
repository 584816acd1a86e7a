"""Every KPI of the catalogue against numbers worked out by hand, on one landing made for it.

A scenario has its own campaign (or, where a KPI knows no conversation, its own month), so that its
cell holds nothing else. Every scenario says in its docstring what happens in it; the table
GOLDEN says what follows: numerator, denominator, value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from statistics import NormalDist, stdev
from typing import Any, NamedTuple

import pytest

from harness import Row, Warehouse, build, is_same, scratch_directory, write_landing

AS_OF = datetime(2026, 6, 30)
MONDAY = datetime(2026, 5, 4, 10)
EVENING = datetime(2026, 5, 4, 20)
MAY, JUNE = date(2026, 5, 1), date(2026, 6, 1)


class Story:
    """The rows of the landing; scenarios add to it."""

    def __init__(self) -> None:
        self.tables: dict[str, list[Row]] = {}
        self.numbers = count(1)

    def add(self, table: str, **row: Any) -> None:
        self.tables.setdefault(table, []).append(row)

    def chat(
        self, campaign: str, at: datetime = MONDAY, bot: str | None = "b", **columns: Any
    ) -> Chat:
        """A conversation of a visitor of its own, unless `contact_id` or `visitor_id` is given."""
        number = next(self.numbers)
        if "contact_id" not in columns:
            columns.setdefault("visitor_id", f"visitor {number}")
        self.add(
            "conversations",
            conversation_id=f"c{number:03}",
            platform="neutral",
            channel="web",
            opened_at=at,
            campaign=campaign,
            bot_id=bot,
            **columns,
        )
        return Chat(self, f"c{number:03}", at)

    def contact(self, contact_id: str, created_at: datetime = MONDAY) -> str:
        self.add("contacts", contact_id=contact_id, created_at=created_at)
        return contact_id

    def deal(self, contact_id: str, created: datetime, closed: datetime, **columns: Any) -> None:
        columns = {"is_won": True, "amount": 100, "margin": 10, "currency": "USD"} | columns
        self.add(
            "deals",
            deal_id=f"d{next(self.numbers):03}",
            contact_id=contact_id,
            created_at=created,
            closed_at=closed,
            **columns,
        )


class Chat:
    """One conversation; times are seconds after its opening."""

    def __init__(self, story: Story, conversation_id: str, opened_at: datetime) -> None:
        self.story = story
        self.id = conversation_id
        self.opened_at = opened_at

    def _add(self, table: str, key: str, time: str, seconds: float, **columns: Any) -> Chat:
        self.story.add(
            table,
            **{
                key: f"{table[0]}{next(self.story.numbers):04}",
                "conversation_id": self.id,
                time: self.opened_at + timedelta(seconds=seconds),
            },
            **columns,
        )
        return self

    def _say(self, sender: str, seconds: float, **columns: Any) -> Chat:
        return self._add(
            "messages", "message_id", "sent_at", seconds, sender_type=sender, **columns
        )

    def asks(self, seconds: float = 0, intent: str | None = None, **columns: Any) -> Chat:
        return self._say("contact", seconds, intent=intent, **columns)

    def bot(self, seconds: float = 10, kind: str | None = "answer", **columns: Any) -> Chat:
        return self._say("bot", seconds, kind=kind, **columns)

    def agent(self, seconds: float, name: str = "agent 1") -> Chat:
        return self._say("agent", seconds, sender_id=name)

    def event(self, event_type: str, seconds: float, **columns: Any) -> Chat:
        return self._add(
            "events", "event_id", "occurred_at", seconds, event_type=event_type, **columns
        )

    def handoff(self, seconds: float) -> Chat:
        return self.event("handoff_initiated", seconds, actor_type="bot")

    def rates(
        self, kind: str, score: float, scale_max: float, seconds: float = 60, **more: Any
    ) -> Chat:
        return self._add(
            "feedback",
            "feedback_id",
            "submitted_at",
            seconds,
            kind=kind,
            score=score,
            scale_max=scale_max,
            **more,
        )

    def field(
        self, name: str, seconds: float, valid: bool | None = True, flow: str = "lead"
    ) -> Chat:
        """A question for a field; `valid` None: never answered."""
        answered = None if valid is None else self.opened_at + timedelta(seconds=seconds + 5)
        value = None if valid is None else "x"
        return self._add(
            "answers",
            "answer_id",
            "asked_at",
            seconds,
            flow_id=flow,
            field=name,
            answered_at=answered,
            value=value,
            is_valid=valid,
        )


SCENARIOS: list[Callable[[Story], None]] = []


def scenario(function: Callable[[Story], None]) -> Callable[[Story], None]:
    SCENARIOS.append(function)
    return function


@scenario
def reference_tables(s: Story) -> None:
    """Intents, flows, opening hours, prices; contacts of the scenarios are made where used."""
    for intent, topic, tier, repeats, needs, fallback, minutes in [
        ("order", "orders", 1, True, True, False, 6),
        ("refund", "refunds", 2, False, True, False, 12),
        ("other", "others", 2, False, True, False, None),
        ("thanks", "smalltalk", 1, False, False, False, None),
        ("nlu_fallback", None, 2, False, True, True, None),
    ]:
        s.add(
            "intents",
            intent=intent,
            topic=topic,
            tier=tier,
            is_repetitive=repeats,
            needs_answer=needs,
            is_fallback=fallback,
            baseline_handle_minutes=minutes,
        )
    s.add("flows", flow_id="lead", name="L", purpose="lead", required_fields="email|budget")
    s.add("flows", flow_id="short", name="S", purpose="lead", required_fields=None)
    for weekday in range(1, 6):
        s.add(
            "business_hours",
            schedule_id="default",
            time_zone="UTC",
            weekday=weekday,
            opens_at="09:00",
            closes_at="18:00",
        )
    s.add(
        "model_prices",
        model="m",
        valid_from="2026-01-01",
        input_per_million=2,
        output_per_million=8,
        currency="USD",
    )
    s.add("knowledge_articles", article_id="old", updated_at=datetime(2025, 1, 1))
    s.add("knowledge_articles", article_id="new", updated_at=datetime(2026, 5, 1))


# ------------------------------------------------------------------------------ reach and sales


@scenario
def opens(s: Story) -> None:
    """Three chat opens of two visitors, one of them twice; two are engaged. Nobody opened the
    outbound chat."""
    s.chat("opens", visitor_id="twice").asks().bot()
    s.chat("opens", MONDAY + timedelta(days=1), visitor_id="twice")
    s.chat("opens").asks().bot()
    s.chat("opens", direction="outbound").bot(0).asks(10)


@scenario
def devices(s: Story) -> None:
    """Its own month, January: three opens on a phone, one on a desktop. Of the two lead flows on a
    phone one was completed."""
    january = datetime(2026, 1, 5, 10)
    s.chat("devices", january, device_type="mobile").field("email", 5).field("budget", 15)
    s.chat("devices", january, device_type="mobile").field("email", 5)
    s.chat("devices", january, device_type="mobile")
    s.chat("devices", january, device_type="desktop")


@scenario
def leads(s: Story) -> None:
    """Four visitors in February, three of them leads: a qualified one who bought twice within 90
    days (100 + 50, and once after them), a disqualified one, an undecided one. The fourth gave no
    valid address."""
    at = datetime(2026, 2, 10, 10)
    for name, verdict in [("buyer", "qualified_at"), ("loser", "disqualified_at")]:
        chat = s.chat("leads", at, contact_id=s.contact(name, at)).asks().bot()
        chat.field("email", 30)
        s.add(
            "leads",
            lead_id=name,
            contact_id=name,
            conversation_id=chat.id,
            created_at=at + timedelta(hours=1),
            **{verdict: at + timedelta(days=1)},
        )
    s.chat("leads", at).asks().bot().field("phone", 30)
    s.chat("leads", at).asks().bot().field("email", 30, valid=False)
    for days, amount in [(10, 100), (80, 50), (91, 7)]:
        s.deal("buyer", at + timedelta(days=days - 1), at + timedelta(days=days), amount=amount)


@scenario
def leads_elsewhere(s: Story) -> None:
    """A lead captured in an outbound chat: one lead, no visitor."""
    s.chat("lead without visitor", direction="outbound").bot(0).field("email", 30)


@scenario
def flows(s: Story) -> None:
    """Three lead flows. One has both required fields, one lacks an answer to the second, one has no
    required fields and was reported complete. Four fields asked, three filled."""
    s.chat("flows").event("flow_started", 1, flow_id="lead").field("email", 5).field("budget", 20)
    s.chat("flows").field("email", 5).field("budget", 20, valid=None)
    s.chat("flows").event("flow_started", 1, flow_id="short").event(
        "flow_completed", 9, flow_id="short"
    )


@scenario
def meetings(s: Story) -> None:
    """Five meetings: four name a conversation, one is of a person an episode touched. Two held, one
    cancelled."""
    chat = s.chat("meetings", contact_id=s.contact("guest")).asks().bot()
    for number, status in enumerate(["held", "held", "cancelled", "no_show", "booked"]):
        s.add(
            "meetings",
            meeting_id=f"meeting {number}",
            contact_id="guest",
            conversation_id=chat.id if number else None,
            booked_at=MONDAY + timedelta(days=1),
            status=status,
        )


@scenario
def sales(s: Story) -> None:
    """A deal of 200 after an episode is attributed; one of 300 with its episode between creation
    and closing is influenced; a lost one counts nowhere."""
    for name in ("first", "second"):
        s.chat("sales", contact_id=s.contact(name)).asks().bot()
    later = MONDAY + timedelta(days=20)
    s.deal("first", MONDAY + timedelta(days=8), later, amount=200)
    s.deal("first", MONDAY + timedelta(days=8), later, amount=999, is_won=False)
    s.deal("second", MONDAY - timedelta(days=2), later, amount=300)


# -------------------------------------------------------------------------------------- service


@scenario
def service(s: Story) -> None:
    """Five episodes. Four eligible; three with the bot involved: one confirmed, one assumed, one
    handed off to a person. One without an answer; one without a bot."""
    s.chat("service").asks().bot().event("resolution_confirmed", 20)
    s.chat("service").asks().bot()
    s.chat("service").asks().bot(kind="fallback").handoff(30).agent(90)
    s.chat("service").asks()
    s.chat("service", bot=None).asks().agent(60)


@scenario
def partial(s: Story) -> None:
    """Three handed off: after a sourced answer, after a completed flow, after neither."""
    s.chat("partial").asks().bot(cited_sources="new").handoff(30)
    s.chat("partial").asks().event("flow_completed", 20, flow_id="short").handoff(30)
    s.chat("partial").asks().bot().handoff(30)


@scenario
def policies(s: Story) -> None:
    """Its own month, March 2025: two resolved episodes, one by a sourced answer, which is what
    HubSpot's policy asks for."""
    at = datetime(2025, 3, 3, 10)
    s.chat("policies", at).asks().bot(action_status="success")
    s.chat("policies", at).asks().bot()


@scenario
def handoffs(s: Story) -> None:
    """Four handoffs, accepted after 10, 20 and 60 seconds and never. One of the accepted asks again
    for what it was told; one asks again for what had not been valid."""
    s.chat("handoffs").asks().handoff(20).agent(30).field("email", 5).field("email", 40)
    s.chat("handoffs").asks().handoff(20).agent(40).field("email", 5, valid=False).field(
        "email", 50
    )
    s.chat("handoffs").asks().handoff(20).agent(80)
    s.chat("handoffs").asks().handoff(20)


@scenario
def turns(s: Story) -> None:
    """Six turns. Answered after 4 s; the same intent again, fallback after 6 s; a fallback intent
    below the threshold, asked back after 11 s; another below it, answered after 39 s; one with no
    intent and without a reply; in a second session thanks, which need no answer."""
    (
        s.chat("turns")
        .asks(0, "order", intent_confidence=0.95)
        .bot(4)
        .asks(60, "order", intent_confidence=0.9)
        .bot(66, "fallback")
        .asks(120, "nlu_fallback", intent_confidence=0.3)
        .bot(131, "prompt")
        .asks(180, "refund", intent_confidence=0.5)
        .bot(219)
        .asks(300)
        .asks(7200, "thanks")
    )


@scenario
def turns_of_people(s: Story) -> None:
    """A turn, but no bot: nothing a bot is responsible for."""
    s.chat("no bot", bot=None).asks(0, "order", intent_confidence=0.2).agent(9).asks(20)


@scenario
def awaiting(s: Story) -> None:
    """A question of ten minutes ago, unanswered so far."""
    s.chat("awaiting", AS_OF - timedelta(minutes=10)).asks()


@scenario
def tiers(s: Story) -> None:
    """Four episodes: a first-level, repetitive topic resolved (6 minutes saved) and handed off, a
    second-level one resolved (12 minutes), an unknown one resolved."""
    s.chat("tiers").asks(0, "order").bot()
    s.chat("tiers").asks(0, "order").bot().handoff(20)
    s.chat("tiers").asks(0, "refund").bot()
    s.chat("tiers").asks().bot()
    s.chat("no minutes").asks(0, "other").bot()


@scenario
def returns(s: Story) -> None:
    """Two first contacts; the second comes back to the same conversation on the fourth day, is then
    no first contact, and is resolved again."""
    s.chat("returns").asks(0, "order").bot()
    s.chat("returns").asks(0, "order").bot().asks(4 * 86400, "order").bot(4 * 86400 + 10)


@scenario
def handling(s: Story) -> None:
    """Gaps of 10, 390 (capped at 300) and 5 s; of 20 s before and 30 + 15 s after a handoff; of 30
    s before and 970 (capped at 300) + 10 s after one."""
    s.chat("handling").asks(0).bot(10).asks(400).bot(405)
    s.chat("handling").asks(0).bot(20).handoff(30).agent(50).asks(65)
    s.chat("handling").asks(0).bot(30).handoff(40).agent(1000).asks(1010)


@scenario
def first_responses(s: Story) -> None:
    """First replies after 2, 8 and 20 s; the second reply of an episode does not count."""
    s.chat("first").asks(0).bot(2).asks(50).bot(99)
    s.chat("first").asks(0).bot(8)
    s.chat("first").asks(0).bot(20)


@scenario
def sittings(s: Story) -> None:
    """Three engaged sessions of 10, 30 and 80 s from the first contact message, one without."""
    for seconds in (10, 30, 80):
        s.chat("sittings").bot(0, "greeting").asks(5).bot(5 + seconds)
    s.chat("sittings").bot(0, "greeting")


@scenario
def tickets(s: Story) -> None:
    """Three tickets closed 100, 300 and 800 s after the bot was assigned, and one still open; ten
    others closed after 1 to 10 s."""
    for campaign, seconds in [
        *(("tickets", n) for n in (100, 300, 800)),
        *(("ten tickets", n) for n in range(1, 11)),
    ]:
        s.add(
            "tickets",
            ticket_id=f"t{next(s.numbers)}",
            conversation_id=s.chat(campaign).id,
            created_at=MONDAY,
            bot_assigned_at=MONDAY,
            closed_at=MONDAY + timedelta(seconds=seconds),
        )
    chat = s.chat("tickets")
    s.add(
        "tickets",
        ticket_id="open",
        conversation_id=chat.id,
        created_at=MONDAY,
        bot_assigned_at=MONDAY,
    )


@scenario
def money(s: Story) -> None:
    """March 2026: costs of 100 + 20 + 30 for the bot and 200 + 40 + 10 besides; four episodes
    served, three of them by the bot; a deal with a margin of 60. Before, a service cost 160. April
    has only the platform to pay (70), December only people."""
    march = datetime(2026, 3, 9, 10)
    for month, category, amount in [
        ("2026-03-01", "bot_platform", 100),
        ("2026-03-01", "llm", 20),
        ("2026-03-01", "channel", 30),
        ("2026-03-01", "agent_labour", 200),
        ("2026-03-01", "tools", 40),
        ("2026-03-01", "devices", 10),
        ("2026-04-01", "bot_platform", 70),
        ("2025-12-01", "agent_labour", 55),
    ]:
        s.add("costs", month=month, category=category, amount=amount, currency="USD")
    s.add("baseline", metric="cost_per_service", value=160, currency="USD")
    s.chat("money", march, contact_id=s.contact("payer", march)).asks().bot()
    s.chat("money", march).asks().bot()
    s.chat("money", march).asks().bot()
    s.chat("money", march, bot=None).asks().agent(60)
    s.deal("payer", march + timedelta(days=1), march + timedelta(days=2), margin=60)


@scenario
def llm(s: Story) -> None:
    """Half a million tokens in at 2 and a quarter of a million out at 8 per million."""
    s.chat("llm").asks().bot(model="m", input_tokens=500_000, output_tokens=250_000)


@scenario
def load(s: Story) -> None:
    """Two agents on one day, one with three episodes, one with one of these and one of his own."""
    for _ in range(2):
        s.chat("load").asks().agent(30)
    s.chat("load").asks().agent(30).agent(60, "agent 2")
    s.chat("load").asks().agent(30, "agent 2")


@scenario
def out_of_hours(s: Story) -> None:
    """Four eligible episodes, three in the evening: two answered and resolved, one of these with a
    deal; one without an answer. The one by day is answered and without a deal."""
    s.chat("hours", EVENING, contact_id=s.contact("owl", EVENING)).asks().bot()
    s.deal("owl", EVENING + timedelta(days=1), EVENING + timedelta(days=2))
    s.chat("hours", EVENING).asks().bot()
    s.chat("hours", EVENING).asks()
    s.chat("hours").asks().bot()


@scenario
def surges(s: Story) -> None:
    """Its own months. November 2025: three hours, so one is the busiest: three eligible, two
    answered; in the other two hours one of two. October: nothing answered in the calm hour."""
    for start, hour, answered in [
        (datetime(2025, 11, 3), 9, True),
        (datetime(2025, 11, 3), 10, True),
        (datetime(2025, 11, 3), 10, True),
        (datetime(2025, 11, 3), 10, False),
        (datetime(2025, 11, 3), 11, False),
        (datetime(2025, 10, 6), 10, True),
        (datetime(2025, 10, 6), 10, False),
        (datetime(2025, 10, 6), 11, False),
    ]:
        chat = s.chat("surges", start + timedelta(hours=hour)).asks()
        if answered:
            chat.bot()


# ----------------------------------------------------------------------- experience and quality


@scenario
def self_service(s: Story) -> None:
    """Four bot sessions: two without a person, one handed to an agent, one whose contact opened a
    ticket two hours later."""
    s.chat("alone").asks().bot()
    s.chat("alone").asks().bot()
    s.chat("alone").asks().bot().handoff(20).agent(30)
    s.chat("alone", contact_id=s.contact("ticketed")).asks().bot()
    s.add(
        "tickets",
        ticket_id="after",
        contact_id="ticketed",
        created_at=MONDAY + timedelta(hours=2),
    )


@scenario
def csat(s: Story) -> None:
    """Three surveys, two episodes rated: one ends at 5 of 5 after a bot's message, one at 2 of 5
    after an agent's. A rating without a survey stands apart."""
    s.chat("csat").asks().bot().event("survey_sent", 20).rates("csat", 1, 5, 30).rates(
        "csat", 5, 5, 60
    )
    s.chat("csat").asks().bot().agent(15).event("survey_sent", 20).rates("csat", 2, 5)
    s.chat("csat").asks().bot().event("survey_sent", 20)
    s.chat("unasked").asks().bot().rates("csat", 4, 5)


@scenario
def other_ratings(s: Story) -> None:
    """Thumbs up, up and down, two of them about speed; NPS 10, 9, 7 and 3; accuracy 5, 4 and 3 of
    5."""
    for score, category in [(1, "speed"), (0, "speed"), (1, "tone")]:
        s.chat("thumbs").asks().bot().rates("thumbs", score, 1, category=category)
    for score in (10, 9, 7, 3):
        s.chat("nps").asks().bot().rates("nps", score, 10)
    for score in (5, 4, 3):
        s.chat("accuracy").asks().bot().rates("accuracy", score, 5)


@scenario
def moods(s: Story) -> None:
    """Sentiments -0.5 and 0.4 in one episode, 0.4 alone in one, 0.5 and 0.1 in a third. Apart from
    these, 150 messages with 0 and 1 in turn."""
    s.chat("mood").asks(0, sentiment=-0.5).bot().asks(60, sentiment=0.4)
    s.chat("mood").asks(0, sentiment=0.4).bot()
    s.chat("mood").asks(0, sentiment=0.5).bot().asks(60, sentiment=0.1)
    many = s.chat("many")
    for number in range(150):
        many.asks(number, sentiment=number % 2)


@scenario
def labels(s: Story) -> None:
    """Three labelled messages: right, right, and one the bot had no intent for; one unlabelled."""
    s.chat("labels").asks(0, "order", intent_label="order").asks(5, "refund", intent_label="refund")
    s.chat("labels").asks(0, None, intent_label="order").asks(5, "order")


@scenario
def judged(s: Story) -> None:
    """Four bot messages: two grounded, one not, one not judged; one blocked output. A block in a
    chat without a bot message stands apart."""
    chat = s.chat("judged").asks().event("guardrail_blocked", 3)
    for seconds, grounded in enumerate([True, True, False, None], start=10):
        chat.bot(seconds, is_grounded=grounded)
    s.chat("blocked").asks().event("guardrail_blocked", 3)


@scenario
def errors(s: Story) -> None:
    """Two eligible episodes, two errors in one of them."""
    s.chat("errors").asks().bot().event("error", 5).event("error", 6)
    s.chat("errors").asks().bot()


@scenario
def sources(s: Story) -> None:
    """Three answers citing articles, two of them an old one; a fourth cites none."""
    s.chat("sources").asks().bot(cited_sources="old")
    s.chat("sources").asks().bot(cited_sources="new")
    s.chat("sources").asks().bot(cited_sources="new|old")
    s.chat("sources").asks().bot()


@scenario
def recommendations(s: Story) -> None:
    """Three recommendations: accepted, followed by a sale, neither."""
    s.chat("recommend").asks().bot(10, "recommendation").event("recommendation_accepted", 30)
    s.chat("recommend", contact_id=s.contact("advised")).asks().bot(10, "recommendation")
    s.deal("advised", MONDAY + timedelta(days=1), MONDAY + timedelta(days=2))
    s.chat("recommend").asks().bot(10, "recommendation")


@scenario
def topics(s: Story) -> None:
    """Its own months: two episodes on orders in August 2025; three on orders and one on refunds in
    September."""
    for month, intent in [(8, "order"), (8, "order"), *[(9, "order")] * 3, (9, "refund")]:
        s.chat("topics", datetime(2025, month, 10, 10)).asks(0, intent).bot()


@scenario
def nothing(s: Story) -> None:
    """Nobody opened, asked or answered: an outbound announcement."""
    s.chat("nothing", direction="outbound").bot(0, None)


@scenario
def pending(s: Story) -> None:
    """Yesterday evening, everything still open: an answered question outside business hours, a
    recommendation, a lead."""
    evening = datetime(2026, 6, 29, 20)
    chat = s.chat("pending", evening).asks(0, "order").bot(10, "recommendation")
    chat.field("email", 30)


# ------------------------------------------------------------------------------- what must follow


class Cell(NamedTuple):
    """A cell of kpi_values by the month; the dimension is campaign unless named."""

    kpi: str
    value_of_dimension: str
    numerator: float | None
    denominator: float | None
    value: float | None
    month: date = MAY
    dimension: str = "campaign"


def spread(kpi: str, campaign: str, values: list[float], *quantiles: float) -> list[Cell]:
    """The mean of `values` and, as worked out by hand, median, 90th and 95th percentile."""
    n, total = len(values), sum(values)
    names = [f"{kpi}_median", f"{kpi}_p90", f"{kpi}_p95"]
    return [
        Cell(kpi, campaign, total, n, total / n),
        *(Cell(name, campaign, None, n, at) for name, at in zip(names, quantiles, strict=True)),
    ]


FEBRUARY = date(2026, 2, 1)
GOLDEN = [
    Cell("chat_opens", "opens", 3, None, 3),
    Cell("visitors", "opens", 2, None, 2),
    Cell("engagement_rate", "opens", 2, 3, 2 / 3),
    Cell("returning_rate", "opens", 1, 2, 1 / 2),
    Cell("sessions_per_visitor", "opens", 3, 2, 3 / 2),
    Cell("device_share", "mobile", 3, 4, 3 / 4, date(2026, 1, 1), "device_type"),
    Cell("device_completion_rate", "mobile", 1, 2, 1 / 2, date(2026, 1, 1), "device_type"),
    Cell("leads_generated", "leads", 3, None, 3, FEBRUARY),
    Cell("lead_capture_rate", "leads", 3, 4, 3 / 4, FEBRUARY),
    Cell("qualified_leads", "leads", 1, None, 1, FEBRUARY),
    Cell("qualified_lead_rate", "leads", 1, 3, 1 / 3, FEBRUARY),
    Cell("undecided_lead_rate", "leads", 1, 3, 1 / 3, FEBRUARY),
    Cell("sales_from_leads", "leads", 1, None, 1, FEBRUARY),
    Cell("lead_to_sale_rate", "leads", 1, 3, 1 / 3, FEBRUARY),
    Cell("lead_revenue", "leads", 150, None, 150, FEBRUARY),
    Cell("lead_flow_starts", "flows", 3, None, 3),
    Cell("completed_leads", "flows", 2, None, 2),
    Cell("lead_completion_rate", "flows", 2, 3, 2 / 3),
    Cell("field_fill_rate", "flows", 3, 4, 3 / 4),
    Cell("field_fill_rate", "budget", 1, 2, 1 / 2, dimension="field"),
    Cell("meetings_booked", "meetings", 5, None, 5),
    Cell("meetings_held", "meetings", 2, None, 2),
    Cell("meetings_cancelled", "meetings", 1, None, 1),
    Cell("attributed_sales", "sales", 1, None, 1),
    Cell("attributed_revenue", "sales", 200, None, 200),
    Cell("influenced_revenue", "sales", 300, None, 300),
    Cell("conversations", "service", 5, None, 5),
    Cell("eligible_conversations", "service", 4, None, 4),
    Cell("handled_conversations", "service", 3, None, 3),
    Cell("handle_rate", "service", 3, 4, 3 / 4),
    Cell("resolved_conversations", "service", 2, None, 2),
    Cell("resolution_rate", "service", 2, 3, 2 / 3),
    Cell("resolution_rate", "house", 2, 2, 1, date(2025, 3, 1), "policy"),
    Cell("resolution_rate", "hubspot", 1, 2, 1 / 2, date(2025, 3, 1), "policy"),
    Cell("containment_rate", "service", 2, 3, 2 / 3),
    Cell("deflection_rate", "service", 2, 4, 2 / 4),
    Cell("automation_rate", "service", 2, 4, 2 / 4),
    Cell("partial_automation_rate", "partial", 2, 3, 2 / 3),
    Cell("handoff_rate", "service", 1, 3, 1 / 3),
    Cell("handoffs", "handoffs", 4, None, 4),
    # Linear between ranks: 0.9 x 2 = 1.8, so 20 + 0.8 x 40; 0.95 x 2 = 1.9, so 20 + 0.9 x 40.
    *spread("handoff_wait_seconds", "handoffs", [10, 20, 60], 20, 52, 56),
    Cell("handoff_acceptance_rate", "handoffs", 3, 4, 3 / 4),
    Cell("handoff_continuity_rate", "handoffs", 2, 3, 2 / 3),
    Cell("fallback_rate", "turns", 2, 6, 2 / 6),
    Cell("missed_rate", "turns", 1, 5, 1 / 5),
    Cell("intent_match_rate", "turns", 3, 5, 3 / 5),
    Cell("low_confidence_compliance", "turns", 1, 2, 1 / 2),
    Cell("rephrase_rate", "turns", 1, 6, 1 / 6),
    Cell("interactions_per_session", "turns", 6, 2, 3),
    # 4, 6, 11, 39: (6 + 11) / 2; 0.9 x 3 = 2.7, so 11 + 0.7 x 28; 2.85, so 11 + 0.85 x 28.
    *spread("response_seconds", "turns", [4, 6, 11, 39], 8.5, 30.6, 34.8),
    *spread("first_response_seconds", "first", [2, 8, 20], 8, 17.6, 18.8),
    Cell("tier1_rate", "tiers", 2, 3, 2 / 3),
    Cell("tier1_resolution_rate", "tiers", 1, 2, 1 / 2),
    Cell("repetitive_coverage", "tiers", 1, 2, 1 / 2),
    Cell("hours_saved", "tiers", 0.3, None, 0.3),
    Cell("fcr_rate", "returns", 1, 2, 1 / 2),
    Cell("reopen_rate", "returns", 1, 3, 1 / 3),
    # One sitting of 405 s; 20 and 30 s up to the last bot message before the handoff.
    *spread("bot_service_seconds", "handling", [405, 20, 30], 30, 330, 367.5),
    *spread("bot_handle_seconds", "handling", [10 + 300 + 5, 20, 30], 30, 258, 286.5),
    *spread("agent_handle_seconds", "handling", [30 + 15, 300 + 10], 177.5, 283.5, 296.75),
    *spread("resolution_seconds", "tickets", [100, 300, 800], 300, 700, 750),
    Cell("cost_per_service", "all", 400, 4, 100, date(2026, 3, 1), "all"),
    Cell("bot_cost_per_conversation", "all", 150, 3, 50, date(2026, 3, 1), "all"),
    # 160 - 100 saved of 160.
    Cell("cost_saving_rate", "all", 60, 160, 0.375, date(2026, 3, 1), "all"),
    # 160 x 4 - 250 + 60 - 150 = 300, for 150.
    Cell("roi", "all", 300, 150, 2, date(2026, 3, 1), "all"),
    # 0.5 x 2 + 0.25 x 8.
    Cell("llm_cost", "llm", 3, None, 3),
    Cell("agent_daily_load", "load", 4, 2, 2),
    Cell("out_of_hours_share", "hours", 3, 4, 3 / 4),
    Cell("out_of_hours_answer_rate", "hours", 2, 3, 2 / 3),
    Cell("out_of_hours_conversion_rate", "hours", 1, 2, 1 / 2),
    Cell("conversion_rate", "hours", 1, 3, 1 / 3),
    Cell("surge_absorption", "all", 2 / 3, 1 / 2, 4 / 3, date(2025, 11, 1), "all"),
    Cell("self_service_rate", "alone", 2, 4, 2 / 4),
    Cell("human_assistance_rate", "alone", 2, 4, 2 / 4),
    Cell("other_channel_rate", "alone", 1, 4, 1 / 4),
    *spread("conversation_seconds", "sittings", [10, 30, 80], 30, 70, 75),
    Cell("csat", "csat", 1, 2, 1 / 2),
    Cell("csat", "agent", 0, 1, 0, dimension="attributed_to"),
    Cell("csat_response_rate", "csat", 2, 3, 2 / 3),
    Cell("helpful_rate", "thumbs", 2, 3, 2 / 3),
    Cell("helpful_rate", "speed", 1, 2, 1 / 2, dimension="category"),
    Cell("feedback_count", "thumbs", 3, None, 3),
    Cell("feedback_count", "thumbs", 3, None, 3, dimension="kind"),
    Cell("nps", "nps", 100 + 100 + 0 - 100, 4, 25),
    Cell("accuracy_satisfaction_rate", "accuracy", 2, 3, 2 / 3),
    Cell("sentiment", "mood", -0.5 + 0.4 + 0.4 + 0.5 + 0.1, 5, 0.18),
    Cell("sentiment_shift", "mood", 0.9 - 0.4, 2, 0.25),
    Cell("intent_accuracy", "labels", 2, 3, 2 / 3),
    Cell("hallucination_rate", "judged", 1, 3, 1 / 3),
    Cell("guardrail_rate", "judged", 1, 4, 1 / 4),
    Cell("bot_error_rate", "errors", 1, 2, 1 / 2),
    Cell("stale_answer_rate", "sources", 2, 3, 2 / 3),
    Cell("recommendation_acceptance_rate", "recommend", 2, 3, 2 / 3),
    Cell("topic_trend", "orders", 3, 4, 3 / 4, date(2025, 9, 1), "topic"),
    # The four months before had 2, 0, 0 and 0 episodes on orders.
    Cell("emerging_topics", "orders", 3, 0.5, 6, date(2025, 9, 1), "topic"),
]

# Cells with something in the numerator and nothing to divide it by: a row without a value.
NOTHING_TO_DIVIDE_BY = [
    Cell("lead_capture_rate", "lead without visitor", 1, 0, None),
    Cell("csat_response_rate", "unasked", 1, 0, None),
    Cell("guardrail_rate", "blocked", 1, 0, None),
    Cell("cost_per_service", "all", 70, 0, None, date(2026, 4, 1), "all"),
    Cell("bot_cost_per_conversation", "all", 70, 0, None, date(2026, 4, 1), "all"),
    Cell("cost_saving_rate", "all", None, 160, None, date(2026, 4, 1), "all"),
    Cell("surge_absorption", "all", 1 / 2, 0, None, date(2025, 10, 1), "all"),
    Cell("emerging_topics", "refunds", 1, 0, None, date(2025, 9, 1), "topic"),
]
# Cells in which these have no members: no row, or one without a value. All others are looked up
# where nobody asked anything.
EMPTY = {
    "device_share": ("device_type", "tablet", date(2026, 1, 1)),
    "device_completion_rate": ("device_type", "desktop", date(2026, 1, 1)),
    "roi": ("all", "all", date(2025, 12, 1)),
    "hours_saved": ("campaign", "no minutes", MAY),
    "topic_trend": ("topic", "others", date(2025, 9, 1)),
} | dict.fromkeys(
    [
        "fallback_rate",
        "missed_rate",
        "intent_match_rate",
        "low_confidence_compliance",
        "rephrase_rate",
        "response_seconds",
        "handle_rate",
        "resolution_rate",
        "first_response_seconds",
    ],
    ("campaign", "no bot", MAY),
)
# Where everything is still open; a count is 0 so far, all else has no value.
PENDING = dict.fromkeys(
    [
        "resolved_conversations",
        "resolution_rate",
        "containment_rate",
        "deflection_rate",
        "automation_rate",
        "partial_automation_rate",
        "tier1_resolution_rate",
        "repetitive_coverage",
        "fcr_rate",
        "reopen_rate",
        "hours_saved",
        "conversion_rate",
        "out_of_hours_conversion_rate",
        "self_service_rate",
        "human_assistance_rate",
        "other_channel_rate",
        "recommendation_acceptance_rate",
        "sales_from_leads",
        "lead_to_sale_rate",
        "lead_revenue",
    ],
    "pending",
) | {"missed_rate": "awaiting"}
PENDING_COUNTS = {"resolved_conversations", "sales_from_leads"}


@cache
def golden_landing() -> Path:
    """The landing of all scenarios."""
    story = Story()
    for tell in SCENARIOS:
        tell(story)
    return write_landing(scratch_directory("golden"), story.tables)


@pytest.fixture(scope="module")
def warehouse() -> Warehouse:
    """The landing of all scenarios, built."""
    return build(golden_landing(), AS_OF)


@pytest.fixture(scope="module")
def values(warehouse: Warehouse) -> dict[Any, Row]:
    """kpi_values by key."""
    return dict(warehouse.kpis())


@pytest.fixture(scope="module")
def catalog(warehouse: Warehouse) -> dict[str, Row]:
    """kpi_catalog by KPI."""
    return {row["kpi"]: row for row in warehouse.rows("kpi_catalog")}


def cell_of(values: dict[Any, Row], cell: Cell) -> Row | None:
    return values.get((cell.kpi, "month", cell.month, cell.dimension, cell.value_of_dimension))


def test_nothing_was_rejected(warehouse: Warehouse) -> None:
    assert warehouse.rows("rejected_rows") == []


def test_no_kpi_is_left_out(catalog: dict[str, Row], values: dict[Any, Row]) -> None:
    assert {cell.kpi for cell in GOLDEN} == catalog.keys() == {key[0] for key in values}
    assert PENDING.keys() == {kpi for kpi, row in catalog.items() if row["maturity"]}


@pytest.mark.parametrize("cell", GOLDEN, ids=lambda c: f"{c.kpi}-{c.value_of_dimension}")
def test_golden_value(values: dict[Any, Row], cell: Cell) -> None:
    row = cell_of(values, cell)
    assert row is not None
    found = (row["numerator"], row["denominator"], row["value"])
    assert all(map(is_same, found, cell[2:5])), (found, cell[2:5])
    assert (row["pending"], row["is_final"], row["as_of"]) == (0, True, AS_OF)


@pytest.mark.parametrize("cell", NOTHING_TO_DIVIDE_BY, ids=lambda c: c.kpi)
def test_nothing_to_divide_by(values: dict[Any, Row], cell: Cell) -> None:
    row = cell_of(values, cell)
    assert row is not None
    found = (row["numerator"], row["denominator"], row["value"])
    assert all(map(is_same, found, cell[2:5])), (found, cell[2:5])
    assert (row["ci_low"], row["ci_high"]) == (None, None)


def test_without_members_there_is_no_value(values: dict[Any, Row], catalog: dict[str, Row]) -> None:
    """Never a 0 that nothing stands behind, for any KPI."""
    counted = {"conversations": 1.0, "guardrail_rate": 0.0}
    for kpi in catalog:
        dimension, value, month = EMPTY.get(kpi, ("campaign", "nothing", MAY))
        row = values.get((kpi, "month", month, dimension, value))
        assert (row["value"] if row else None) == counted.get(kpi), kpi


@pytest.mark.parametrize("kpi", sorted(PENDING))
def test_all_pending(values: dict[Any, Row], kpi: str) -> None:
    row = values[(kpi, "month", JUNE, "campaign", PENDING[kpi])]
    assert (row["pending"], row["is_final"]) == (1, False)
    assert row["value"] == (0 if kpi in PENDING_COUNTS else None)
    assert not row["denominator"]
    assert (row["ci_low"], row["ci_high"]) == (None, None)


# ------------------------------------------------------------------------------------ intervals


def wilson(successes: float, n: float) -> tuple[float, float]:
    """The 95 % interval of Wilson (1927), as the roots of (p - x/n)^2 = z^2 p (1 - p) / n."""
    z2 = NormalDist().inv_cdf(0.975) ** 2
    a, b, c = 1 + z2 / n, -(2 * successes / n + z2 / n), (successes / n) ** 2
    root = math.sqrt(max(b * b - 4 * a * c, 0))
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def student_t(degrees: int) -> float:
    """The 97.5 % quantile of Student's t, by bisection over its integrated density."""
    scale = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2))
    scale /= math.sqrt(degrees * math.pi)

    def mass(until: float, steps: int = 2000) -> float:
        width = until / steps
        heights = [
            scale * (1 + (i * width) ** 2 / degrees) ** (-(degrees + 1) / 2)
            for i in range(steps + 1)
        ]
        simpson = heights[0] + heights[-1] + 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2])
        return float(simpson * width / 3)

    low, high = 0.0, 20.0
    while high - low > 1e-11:
        middle = (low + high) / 2
        low, high = (middle, high) if mass(middle) < 0.475 else (low, middle)
    return (low + high) / 2


@pytest.mark.parametrize(
    ("kpi", "campaign", "month", "dimension"),
    [
        ("resolution_rate", "service", MAY, "campaign"),
        ("fallback_rate", "turns", MAY, "campaign"),
        ("resolution_rate", "house", date(2025, 3, 1), "policy"),
        ("csat", "agent", MAY, "attributed_to"),
        ("device_share", "mobile", date(2026, 1, 1), "device_type"),
        ("topic_trend", "orders", date(2025, 9, 1), "topic"),
    ],
)
def test_a_rate_has_a_wilson_interval(
    values: dict[Any, Row], kpi: str, campaign: str, month: date, dimension: str
) -> None:
    row = values[(kpi, "month", month, dimension, campaign)]
    low, high = wilson(row["numerator"], row["denominator"])
    assert row["ci_low"] == pytest.approx(low, abs=1e-9)
    assert row["ci_high"] == pytest.approx(high, abs=1e-9)


def test_all_rates_have_an_interval_within_0_and_1(
    values: dict[Any, Row], catalog: dict[str, Row]
) -> None:
    for key, row in values.items():
        if catalog[key[0]]["unit"] == "rate" and row["value"] is not None:
            assert 0 <= row["ci_low"] <= row["value"] + 1e-12, key
            assert row["value"] - 1e-12 <= row["ci_high"] <= 1, key


@pytest.mark.parametrize(
    ("kpi", "campaign", "members"),
    [
        ("handoff_wait_seconds", "handoffs", [10, 20, 60]),
        ("response_seconds", "turns", [4, 6, 11, 39]),
        ("nps", "nps", [100, 100, 0, -100]),
        ("sentiment_shift", "mood", [0.9, -0.4]),
        ("sentiment", "many", [0, 1] * 75),
    ],
)
def test_a_mean_has_a_t_interval(
    values: dict[Any, Row], kpi: str, campaign: str, members: list[float]
) -> None:
    row = values[(kpi, "month", MAY, "campaign", campaign)]
    n = len(members)
    half = student_t(n - 1) * stdev(members) / math.sqrt(n)
    assert row["ci_low"] == pytest.approx(row["value"] - half, rel=1e-8)
    assert row["ci_high"] == pytest.approx(row["value"] + half, rel=1e-8)


def test_one_member_has_no_t_interval(values: dict[Any, Row]) -> None:
    row = values[("handoff_wait_seconds", "month", MAY, "campaign", "service")]
    assert (row["value"], row["ci_low"], row["ci_high"]) == (60, None, None)


def test_a_median_is_bounded_by_order_statistics(values: dict[Any, Row]) -> None:
    """Of ten members the 2nd and the 9th: fewer than 2 of 10 lie below the median with 1.1 %, fewer
    than 3 with 5.5 %. Below six members there is no such pair."""
    below = [sum(math.comb(10, k) for k in range(rank)) / 2**10 for rank in (2, 3)]
    assert below[0] <= 0.025 < below[1]
    ten = values[("resolution_seconds_median", "month", MAY, "campaign", "ten tickets")]
    assert (ten["ci_low"], ten["value"], ten["ci_high"]) == (2, 5.5, 9)
    three = values[("resolution_seconds_median", "month", MAY, "campaign", "tickets")]
    assert (three["ci_low"], three["ci_high"]) == (None, None)
