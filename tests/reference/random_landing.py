"""Seeded generator of small adversarial landings in the neutral contract.

Everything that decides a definition is placed on, just before and just after its boundary:
session and episode gaps, windows of every policy, opening hours and clock changes, closes at the
instant of a message, and so on. With `dirty` the files also hold copies, older copies and rows
of every kind of rejection. With `unsettled` the landing also holds shapes the specification
leaves open; without it, two faithful readings must agree on everything.
"""

from __future__ import annotations

import csv
import gzip
import io
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from .landing import CONTRACT, ENUMS

Raw = dict[str, Any]

START = datetime(2025, 3, 3)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
GAPS = [
    0, 0, 0, 1, 2, 5, 5, 10, 30, 60, 61, 120, 299, 300, 301, 900, 1799, 1800, 1801, 3599, 3600,
    3601, 7200, 86399, 86400, 86401, 259199, 259200, 259201, 300000,
]  # fmt: skip
SHORT_GAPS = [0, 0, 1, 1, 2, 5, 10, 30, 60, 300, 301, 1799, 1800]
AFTER = [
    timedelta(0), SECOND, HOUR, HOUR + SECOND, DAY, DAY - SECOND, DAY + SECOND, 3 * DAY,
    3 * DAY - SECOND, 3 * DAY + SECOND, 4 * DAY, 7 * DAY, 7 * DAY - SECOND, 7 * DAY + SECOND,
    30 * DAY, 30 * DAY - SECOND, 30 * DAY + SECOND, -SECOND, -HOUR, -7 * DAY,
]  # fmt: skip
RETURNS = [
    timedelta(0), SECOND, timedelta(minutes=5), HOUR, 6 * HOUR, DAY, DAY + SECOND, 2 * DAY,
    3 * DAY, 6 * DAY, 7 * DAY - SECOND, 7 * DAY, 7 * DAY + SECOND, 8 * DAY, 29 * DAY,
]  # fmt: skip
INTENTS = [
    "order_status", "refund", "shipping", "thanks", "goodbye", "nlu_fallback", "pricing",
    "untopical", "not_in_catalogue", None, None,
]  # fmt: skip
# Numbers that look like a telephone and a card, and an address: ids of articles are what they are.
ARTICLES = ["k0", "k1", "13746361245", "4222222222222", "refunds@kb.example.com", "k5"]
BOT_KINDS = [
    "answer", "answer", "answer", "greeting", "prompt", "prompt", "fallback", "handoff_notice",
    "survey", "recommendation", "recommendation", None,
]  # fmt: skip
SIDE_EVENTS = [
    "handoff_requested", "handoff_initiated", "handoff_initiated", "handoff_failed",
    "agent_assigned", "closed", "closed", "reopened", "step_reached", "survey_sent",
    "resolution_confirmed", "guardrail_blocked", "error", "recommendation_accepted", "opened",
]  # fmt: skip
ACTORS = ["contact", "bot", "bot", "automation", "agent", None]
OFFSETS = ["Z", "+00:00", "+08:00", "-05:00", "+05:30", "-03:30", "naive", "space"]
CURRENCIES = ["USD", "EUR", "GBP", None]
ZONES = ["Europe/Berlin", "America/New_York", "Asia/Shanghai"]
FIELDS = {"lead1": ["email", "name"], "lead2": ["phone"], "sup": ["order_no", "email"]}


class Generator:
    """One random landing; every table is a list of raw rows in load order."""

    def __init__(self, seed: int, conversations: int, unsettled: bool) -> None:
        self.random = Random(seed)
        self.count = conversations
        self.unsettled = unsettled
        self.zone = ZoneInfo(self.random.choice(ZONES))
        self.tables: dict[str, list[Raw]] = {name: [] for name in CONTRACT}
        self.instants: list[datetime] = []
        self.numbers = self.random.sample(range(100_000, 999_999), 4000)
        self.persons: list[dict[str, Any]] = []

    # -- small tools

    def chance(self, share: float) -> bool:
        """True with the given probability."""
        return self.random.random() < share

    def pick(self, *options: Any) -> Any:
        """One of the options."""
        return self.random.choice(options)

    def new_id(self, prefix: str) -> str:
        """An id whose text order says nothing about time."""
        return f"{prefix}{self.numbers.pop()}"

    def add(self, table: str, **row: Any) -> Raw:
        """Append a raw row."""
        self.tables[table].append(row)
        return row

    def nudge(self, moment: datetime) -> datetime:
        """The moment, or one second to either side."""
        return moment + int(self.pick(-1, 0, 0, 0, 1)) * SECOND

    # -- reference tables

    def reference(self) -> None:
        """Intents, flows, hours, costs, rates and prices."""
        for line in [
            "order_status,orders,1,true,true,false,4",
            "refund,refunds,2,false,true,false,12.5",
            "shipping,orders,1,true,true,false,5",
            "thanks,smalltalk,1,false,false,false,0",
            "goodbye,smalltalk,1,false,false,false,",
            "nlu_fallback,unknown,2,false,true,true,0",
            "pricing,sales,2,true,true,false,8",
            "untopical,,2,false,true,false,3",
        ]:
            columns = [c.name for c in CONTRACT["intents"].columns]
            self.add("intents", **dict(zip(columns, line.split(","), strict=True)))
        self.add("flows", flow_id="lead1", name="L", purpose="lead", required_fields="email|name")
        self.add("flows", flow_id="lead2", name="S", purpose="lead")
        self.add("flows", flow_id="sup", name="P", purpose="support", required_fields="order_no")
        for weekday in range(1, 6):
            hours = {"schedule_id": "default", "time_zone": str(self.zone), "weekday": weekday}
            self.add(
                "business_hours", **hours, opens_at="09:00", closes_at="18:00",
                valid_from="2020-01-01", valid_to="2025-04-13",
            )  # fmt: skip
            self.add(
                "business_hours", **hours, opens_at="08:30", closes_at="12:00",
                valid_from="2025-04-14",
            )  # fmt: skip
            self.add(
                "business_hours", **hours, opens_at="13:00", closes_at="17:30",
                valid_from="2025-04-14",
            )  # fmt: skip
            self.add(
                "business_hours", schedule_id="vip", time_zone="UTC", weekday=weekday,
                opens_at="00:00", closes_at="23:59", valid_from="2020-01-01",
            )  # fmt: skip
        for holiday in ["2025-03-31", "2025-04-21", "2025-05-01"]:
            self.add("holidays", schedule_id="default", holiday=holiday)
        self.add("holidays", schedule_id="vip", holiday="2025-03-10")
        self.add("exchange_rates", currency="USD", valid_from="2020-01-01", rate=1)
        for start, rate in [("2020-01-01", 1.1), ("2025-04-01", 1.2), ("2025-05-15", 1.05)]:
            self.add("exchange_rates", currency="EUR", valid_from=start, rate=rate)
        for month in ["2025-03-01", "2025-04-01", "2025-05-01"]:
            for category in ENUMS["costs", "category"]:
                if self.chance(0.85):
                    amount = self.pick(500, 120.5, 60, 4000)
                    currency = self.pick("USD", "USD", "EUR", None)
                    self.add(
                        "costs", month=month, category=category, amount=amount, currency=currency
                    )
        if self.chance(0.6):
            self.add(
                "baseline", metric="cost_per_service", value=40, currency=self.pick("USD", "EUR"),
                period_start="2024-01-01", period_end="2024-12-31",
            )  # fmt: skip
        for start, price in [("2020-01-01", 1), ("2025-04-15", 0.5)]:
            self.add(
                "model_prices", model="m1", valid_from=start, input_per_million=price,
                output_per_million=4 * price, currency=self.pick("USD", None),
            )  # fmt: skip
        for article in ARTICLES:
            age = self.pick(1, 100, 179, 180, 181, 400)
            self.add(
                "knowledge_articles", article_id=article, title="A", topic="orders",
                updated_at=START + DAY * self.random.randrange(80) - DAY * age, status="published",
            )  # fmt: skip

    # -- people

    def people(self) -> None:
        """Contacts with merges of every shape, visitors, and visitors who become contacts."""
        total = max(6, self.count // 3)
        for number in range(total):
            created = START + DAY * self.random.randrange(-20, 70) + SECOND * number
            self.add(
                "contacts", contact_id=f"c{number}", created_at=created, name=f"Name {number}",
                email=f"p{number}@example.com", phone=f"138{number:08d}",
                country=self.pick("CN", "US", None), language=self.pick("zh", "en", None),
            )  # fmt: skip
        rows = self.tables["contacts"]
        rows[1]["merged_into"] = "c0"
        rows[2]["merged_into"] = "c1"  # a chain
        if self.chance(0.5):
            rows[3]["merged_into"], rows[4]["merged_into"] = "c4", "c3"  # a cycle
        if self.chance(0.3):
            rows[5]["merged_into"] = self.pick("c5", "c3", "ghost")
        late = self.add(
            "contacts", contact_id="late", created_at=START + 75 * DAY, merged_into=self.pick("c0")
        )
        if self.chance(0.5):
            rows[total - 1]["merged_into"] = late["contact_id"]
        contacts = [f"c{n}" for n in range(total)] + ["late", "unknown_contact"]
        for number in range(total):
            self.persons.append({"contact_id": self.random.choice(contacts)})
            if number % 2:
                self.persons.append({"visitor_id": f"x{number}"})
            if number % 4 == 0:
                visitor = f"x{number}"
                self.persons.append({"visitor_id": visitor})
                self.persons.append({"contact_id": f"c{number}", "visitor_id": visitor})

    # -- conversations

    def opening(self, person: dict[str, Any]) -> datetime:
        """When a conversation begins: at random, after the person's last, or at a clock edge."""
        last = person.get("_last")
        if last is not None and self.chance(0.7):
            return self.nudge(last + self.random.choice(RETURNS))
        day = START.date() + DAY * self.random.randrange(75)
        if self.chance(0.25):
            hour, minute = self.pick((9, 0), (18, 0), (8, 30), (12, 0), (13, 0), (17, 30), (0, 0))
            local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=self.zone)
            return self.nudge(local.astimezone(UTC).replace(tzinfo=None))
        if self.chance(0.1):  # the clock changes of spring
            return self.nudge(self.pick(datetime(2025, 3, 9, 7), datetime(2025, 3, 30, 1)))
        seconds = self.random.randrange(86400)
        return datetime(day.year, day.month, day.day) + SECOND * seconds

    def conversation(self, number: int) -> None:
        """A conversation with its messages, events, feedback and answers."""
        person = self.random.choice(self.persons) if self.chance(0.88) else {}
        at = self.opening(person)
        opened_at = at - SECOND * self.pick(0, 0, 5, 30, 1799, 1800, 1801, 4000, -10)
        cid = f"v{number}"
        bot_id = self.pick("bot1", "bot2", None)
        row = self.add(
            "conversations", conversation_id=cid, platform=self.pick("alpha", "beta"),
            channel=self.pick("web", "app", "whatsapp"), opened_at=opened_at,
            direction=self.pick("inbound", "inbound", "inbound", "inbound", None, "outbound"),
            bot_id=bot_id, contact_id=person.get("contact_id"),
            visitor_id=person.get("visitor_id"), entry_point=self.pick("/", "/pricing"),
            campaign=self.pick(None, None, "spring"),
            device_type=self.pick("desktop", "mobile", "tablet", None),
            language=self.pick("en", "zh", None), country=self.pick("CN", "US", None),
            is_test="true" if self.chance(0.04) else self.pick("false", None),
            is_spam="true" if self.chance(0.04) else self.pick("false", None),
        )  # fmt: skip
        with_bot = bot_id is not None or self.chance(0.5)
        messages = self.messages(cid, at, with_bot, self.random.choice([0, 1, 2, 4, 6, 9, 14]))
        times = [m["sent_at"] for m in messages] or [at]
        if self.chance(0.3):
            row["closed_at"] = self.nudge(self.random.choice(times) + self.pick(0, 0, 1) * HOUR)
        handoff_at = self.events(cid, messages, times, opened_at)
        self.feedback(cid, messages, times)
        self.answers(cid, times, handoff_at)
        if self.chance(0.4):
            self.add(
                "experiment_assignments", assignment_id=f"x{cid}", experiment_id="exp1",
                variant=self.pick("A", "B"), conversation_id=cid, assigned_at=opened_at,
            )  # fmt: skip
        person["_last"] = times[-1]
        self.crm(cid, person, times)
        window = self.pick(timedelta(0), timedelta(minutes=30), HOUR, DAY, 3 * DAY, 7 * DAY)
        self.instants.append(self.nudge(self.random.choice(times) + window))

    def messages(self, cid: str, at: datetime, with_bot: bool, count: int) -> list[Raw]:
        """Messages of a conversation."""
        out = []
        agent_joined = False
        sticky_intent = self.random.choice(INTENTS)
        for index in range(count):
            if index:
                gaps = GAPS if self.chance(0.35) else SHORT_GAPS
                at += SECOND * self.random.choice(gaps)
            senders = ["contact"] * 5 + ["system"] * (index % 5 == 4)
            senders += ["bot"] * (4 if with_bot else 0)
            senders += ["agent"] * (4 if agent_joined else self.chance(0.3))
            sender = self.random.choice(senders)
            agent_joined = agent_joined or sender == "agent"
            row = self.add(
                "messages", message_id=self.new_id("m"), conversation_id=cid, sent_at=at,
                sender_type=sender, visibility=self.pick(None, "public", "public"), text="hi",
            )  # fmt: skip
            if self.chance(0.06):
                row["visibility"] = "private"
            if sender == "contact":
                intent = sticky_intent if self.chance(0.5) else self.random.choice(INTENTS)
                row["intent"] = intent
                if intent and self.chance(0.8):
                    row["intent_confidence"] = self.pick(0.2, 0.89, 0.9, 0.91, 1)
                row["intent_label"] = self.pick(None, None, intent, "refund")
                row["sentiment"] = self.pick(None, -1, -0.4, 0, 0.25, 1)
            elif sender == "bot":
                row["kind"] = self.random.choice(BOT_KINDS)
                row["cited_sources"] = self.pick(
                    *[None] * 4, "k0", f"k1|{ARTICLES[3]}", "gone", f"{ARTICLES[2]}| {ARTICLES[4]}",
                    "|", " ",
                )  # fmt: skip
                row["action_status"] = self.pick(None, None, None, "success", "failure")
                row["model"] = self.pick("m1", "m1", "m2", None)
                row["input_tokens"] = self.random.randrange(1000)
                row["output_tokens"] = self.random.randrange(300)
                row["is_grounded"] = self.pick(None, "true", "false")
            elif sender == "agent":
                row["sender_id"] = self.pick("g1", "g2")
            out.append(row)
        return out

    def events(
        self, cid: str, messages: list[Raw], times: list[datetime], opened_at: datetime
    ) -> datetime | None:
        """Events at, between and long after the messages; the first handoff, if any."""
        handoffs = []
        moments = list(times)
        moments += [t + self.random.choice(AFTER) for t in times[-2:]]
        moments += [opened_at]
        taken: set[tuple[datetime, str]] = set()
        for moment in moments:
            if not self.chance(0.33):
                continue
            kind = self.random.choice(SIDE_EVENTS)
            at = self.nudge(moment) if self.chance(0.4) else moment
            if (at, kind) in taken:  # the first of two at one instant is a matter of ids only
                continue
            taken.add((at, kind))
            self.add(
                "events", event_id=self.new_id("e"), conversation_id=cid, occurred_at=at,
                event_type=kind, actor_type=self.random.choice(ACTORS),
                reason=self.pick(None, "complaint", "low_confidence"),
            )  # fmt: skip
            if kind == "handoff_initiated":
                handoffs.append(at)
        takeovers = [m["sent_at"] for m in messages if m["sender_type"] == "agent"]
        if takeovers and self.chance(0.3):  # a handoff at the instant of an agent message
            at = self.random.choice(takeovers)
            if (at, "handoff_initiated") not in taken:
                handoffs.append(at)
                self.add(
                    "events", event_id=self.new_id("e"), conversation_id=cid, occurred_at=at,
                    event_type="handoff_initiated", actor_type=self.random.choice(ACTORS),
                )  # fmt: skip
        return min(handoffs, default=None)

    def feedback(self, cid: str, messages: list[Raw], times: list[datetime]) -> None:
        """Feedback that names the last answer, an earlier one, another's message, or none."""
        bot = [m["message_id"] for m in messages if m["sender_type"] == "bot"]
        others = [m["message_id"] for m in self.tables["messages"]]
        for _ in range(self.random.choice([0, 0, 0, 1, 1, 2, 3])):
            kind = self.pick("csat", "csat", "thumbs", "thumbs", "nps", "accuracy")
            scale = {"csat": 5, "thumbs": 1, "nps": 10, "accuracy": 5}[kind]
            score = {
                "csat": self.pick(1, 2, 3, 4, 5),
                "thumbs": self.pick(0, 1),
                "nps": self.pick(0, 6, 7, 8, 9, 10),
                "accuracy": self.pick(1, 3, 4, 5),
            }[kind]
            named = [None, None]
            named += ([bot[-1]] * 3 + [self.random.choice(bot)]) if bot else []
            named += [self.random.choice(others)] if others and self.chance(0.1) else []
            at = self.random.choice(times[-3:]) + self.random.choice(AFTER[:10])
            self.add(
                "feedback", feedback_id=self.new_id("f"), conversation_id=cid,
                message_id=self.random.choice(named), submitted_at=at, kind=kind, score=score,
                scale_max=scale, category=self.pick(None, "slow", "wrong"),
            )  # fmt: skip

    def answers(self, cid: str, times: list[datetime], handoff_at: datetime | None) -> None:
        """Questions of flows: answered well, badly, late, not at all, or asked again."""
        if not self.chance(0.4):
            return
        flow = self.pick("lead1", "lead1", "lead2", "sup", "unlisted")
        at = self.random.choice(times)
        if self.chance(0.7):
            self.add(
                "events", event_id=self.new_id("e"), conversation_id=cid, occurred_at=at,
                event_type="flow_started", actor_type="bot", flow_id=flow,
            )  # fmt: skip
        for name in FIELDS.get(flow, ["email"]):
            asked = [at + SECOND * self.pick(-1, 0, 1, 20)]
            if handoff_at is not None:
                asked += [handoff_at + SECOND * s for s in (-20, 30) if self.chance(0.6)]
            elif self.chance(0.3):
                asked.append(at + HOUR)
            for moment in asked:
                answered = self.chance(0.65)
                delay = SECOND * self.pick(1, 7, 100000) if answered else None
                self.add(
                    "answers", answer_id=self.new_id("a"), conversation_id=cid, flow_id=flow,
                    field=name, asked_at=moment, answered_at=moment + delay if delay else None,
                    value="x" if answered else None,
                    is_valid=self.pick("true", "true", "false", None) if answered else None,
                )  # fmt: skip
        if self.chance(0.5):
            self.add(
                "events", event_id=self.new_id("e"), conversation_id=cid,
                occurred_at=at + SECOND * self.pick(0, 5, 90), event_type="flow_completed",
                actor_type="bot", flow_id=flow,
            )  # fmt: skip

    def open_questions(self) -> None:
        """Shapes the specification leaves open."""
        for row in self.tables["messages"]:
            if self.chance(0.1):
                row["sent_at"] += timedelta(milliseconds=250)
        for row in self.tables["deals"]:
            if row["closed_at"] is None and self.chance(0.3):
                row["is_won"] = "true"
        for row in self.tables["answers"]:
            if row["answered_at"] is None and self.chance(0.2):
                row["value"], row["is_valid"] = "x", "true"
        for row in self.tables["leads"] + self.tables["meetings"] + self.tables["tickets"]:
            if self.chance(0.1):
                row["conversation_id"] = "elsewhere"
        self.add(
            "business_hours",
            schedule_id="default",
            time_zone=str(self.zone),
            weekday=6,
            opens_at="22:00",
            closes_at="02:00",
            valid_from="2020-01-01",
        )

    def crm(self, cid: str, person: dict[str, Any], times: list[datetime]) -> None:
        """Tickets, deals, meetings and leads around every window of the conversation."""

        def around() -> datetime:
            anchor: datetime = self.pick(times[0], times[-1])
            return self.nudge(anchor + self.random.choice(AFTER))

        contact = person.get("contact_id")
        who = {
            "contact_id": contact if self.chance(0.85) else None,
            "conversation_id": cid if self.chance(0.4) else None,
        }
        if self.chance(0.35):
            created = around()
            self.add(
                "tickets", ticket_id=self.new_id("t"), **who, channel="email",
                topic=self.pick("orders", "refunds", "unknown", None), created_at=created,
                bot_assigned_at=self.pick(None, created, times[0]),
                closed_at=self.pick(None, created - HOUR, created + 2 * DAY, created + 9 * DAY),
            )  # fmt: skip
        if self.chance(0.5):
            created = around()
            closed = self.pick(None, created, created + 3 * DAY, around(), around() + 90 * DAY)
            if closed is not None and closed < created:
                closed = created
            self.add(
                "deals", deal_id=self.new_id("d"), contact_id=who["contact_id"],
                created_at=created, closed_at=closed,
                is_won=None if closed is None else self.pick("true", "true", "false"),
                amount=self.pick(250, 99.99, 10.1, 1000, None), margin=self.pick(None, 40, 5.5),
                currency=self.random.choice(CURRENCIES),
            )  # fmt: skip
        if self.chance(0.3):
            booked = around()
            self.add(
                "meetings", meeting_id=self.new_id("mt"), **who, booked_at=booked,
                starts_at=self.pick(None, booked + DAY),
                status=self.pick("booked", "held", "cancelled", "no_show"),
            )  # fmt: skip
        if self.chance(0.4):
            created = around()
            self.add(
                "leads", lead_id=self.new_id("l"), **who, created_at=created,
                source=self.pick("chat", "form"),
                qualified_at=self.pick(None, None, created, created + 2 * DAY),
                disqualified_at=self.pick(None, None, created + DAY),
            )  # fmt: skip

    def run(self) -> None:
        """Fill every table."""
        self.reference()
        self.people()
        for number in range(self.count):
            self.conversation(number)
        if self.unsettled:
            self.open_questions()

    # -- from values to files

    def text(self, value: Any) -> str:
        """A value as an export would write it."""
        if value is None:
            return ""
        if isinstance(value, datetime):
            style = self.random.choice(OFFSETS)
            if style in ("naive", "space"):
                return value.isoformat(sep=" " if style == "space" else "T")
            if style == "Z":
                return value.isoformat() + "Z"
            sign = 1 if style[0] == "+" else -1
            shift = sign * timedelta(hours=int(style[1:3]), minutes=int(style[4:]))
            return (value + shift).isoformat() + style
        if isinstance(value, date):
            return value.isoformat()
        return str(value)

    def texts(self, table: str) -> list[Raw]:
        """The rows of a table as text, all columns present."""
        columns = [c.name for c in CONTRACT[table].columns]
        return [{c: self.text(row.get(c)) for c in columns} for row in self.tables[table]]

    def soil(self, table: str, rows: list[Raw]) -> list[Raw]:
        """Add copies, older copies and rows to be rejected, in an order that decides nothing."""
        spec = CONTRACT[table]
        key, own = spec.primary_key, spec.own_time
        out = list(rows)
        copies = max(1, len(rows) // 12)
        if not rows:
            return out
        if key is not None and own is not None:
            for row in self.random.sample(rows, min(copies, len(rows))):  # older: other values
                other = dict(self.random.choice(rows))
                out.insert(self.random.randrange(out.index(row) + 1), {**other, key: row[key]})
        for row in self.random.sample(rows, min(copies, len(rows))):
            out.append(dict(row))
        if key is None or own is None:
            return out
        required = [c.name for c in spec.columns if c.required and c.name != key]
        for number in range(copies + 4):
            bad = dict(self.random.choice(rows))
            if self.chance(0.6):  # else it is a bad later copy of a good row: no superseding
                bad[key] = f"bad-{table}-{number}"
            kind = self.random.choice(["key", "null", "cast", "enum", "orphan", "future"])
            if kind == "key":
                bad[key] = ""
            elif kind == "null":
                bad[self.random.choice(required)] = ""
            elif kind == "cast":
                wrong = {"ts": "not a time", "num": "12,x", "bool": "maybe", "int": "many"}
                typed = [c for c in spec.columns if c.type in wrong]
                column = self.random.choice(typed)
                bad[column.name] = wrong[column.type]
            elif kind == "enum" and table in ENUM_COLUMNS:
                bad[self.random.choice(ENUM_COLUMNS[table])] = "carrier-pigeon"
            elif kind == "orphan" and "conversation_id" in required:
                bad["conversation_id"] = self.pick("nowhere", "bad-conversations-0")
            else:
                bad[own] = "2999-01-01T00:00:00Z"
            out.insert(self.random.randrange(len(out) // 2, len(out) + 1), bad)
        return out

    def write(self, directory: Path, dirty: bool) -> None:
        """Write every table as one to three CSV files (BOM, gzip, column order vary)."""
        for table, spec in CONTRACT.items():
            rows = self.texts(table)
            if dirty:
                rows = self.soil(table, rows)
            if not rows:
                continue
            parts = self.random.choice([1, 2, 3])
            size = -(-len(rows) // parts)
            folder = directory / table
            folder.mkdir(parents=True, exist_ok=True)
            for index in range(parts):
                chunk = rows[index * size : (index + 1) * size]
                if chunk:
                    keyed = spec.primary_key is not None
                    self.write_file(folder, f"{'abc'[index]}_{table}.csv", chunk, keyed and dirty)
            if dirty and self.chance(0.3) and parts > 1:  # the last file again, under a new name
                last = max(folder.iterdir())
                (folder / f"z_again_{last.name}").write_bytes(last.read_bytes())

    def write_file(self, folder: Path, name: str, rows: list[Raw], vary: bool) -> None:
        """Write one file."""
        columns = list(rows[0])
        if vary:
            self.random.shuffle(columns)
            empty = [c for c in columns if all(r[c] == "" for r in rows)]
            required = {c.name for c in CONTRACT[folder.name].columns if c.required}
            columns = [c for c in columns if c not in empty or c in required or self.chance(0.5)]
        buffer = io.StringIO(newline="")
        extra = ["not_in_contract"] if vary and self.chance(0.15) else []
        writer = csv.writer(buffer, lineterminator=self.pick("\n", "\r\n"))
        writer.writerow(columns + extra)
        for row in rows:
            writer.writerow([row[c] for c in columns] + ["?" for _ in extra])
        data = buffer.getvalue().encode("utf-8-sig" if vary and self.chance(0.2) else "utf-8")
        if vary and self.chance(0.15):
            (folder / f"{name}.gz").write_bytes(gzip.compress(data, mtime=0))
        else:
            (folder / name).write_bytes(data)


ENUM_COLUMNS = {
    "conversations": ["channel", "direction", "device_type"],
    "messages": ["sender_type", "visibility", "kind", "action_status"],
    "events": ["event_type", "actor_type"],
    "feedback": ["kind"],
    "meetings": ["status"],
}


def write_random_landing(
    directory: Path | str,
    seed: int,
    conversations: int = 30,
    dirty: bool = True,
    unsettled: bool = False,
) -> list[datetime]:
    """Write a random landing; returns instants (naive, UTC) worth building it at, in order.

    The same arguments always write the same bytes. All data lie between 2024 and autumn 2025.
    """
    generator = Generator(seed, conversations, unsettled)
    generator.run()
    generator.write(Path(directory), dirty)
    return sorted({*generator.instants, START + 40 * DAY, START + 400 * DAY})
