"""Generate landing data for parley: a small believable demo, or a benchmark of any size.

Two modes, both seeded and both writing the neutral landing contract (``<out>/<table>/*``):

``demo``
    26 weeks (2026-01-05 .. 2026-07-05 UTC) of "Tarnhollow Outdoor", an invented cross-border shop
    for outdoor gear: about 1,500 conversations in three languages on five channels, with its CRM
    and reference tables, as CSV. It is meant to be viewed as of `DEMO_AS_OF`. The same seed gives
    the same bytes. It holds a few superseded, late and faulty rows on purpose.

``bulk``
    Any number of messages, computed set-based inside DuckDB from hashes of row numbers, streamed
    to Parquet or CSV in bounded memory. Every row belongs to the day of its own time, and depends
    only on (seed, messages, days): the rows of days 0..k and of day k+1 together are the rows of
    days 0..k+1. The same DuckDB version and arguments give the same rows.

All instants are UTC unless an offset is written out; durations are seconds; money is in the
currency of its row. Nothing here describes real people: names are invented, e-mail addresses lie in
example.com and example.org, telephone numbers in ranges set aside for fiction.
"""

from __future__ import annotations

import argparse
import csv
import heapq
import io
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import duckdb
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

Row = dict[str, object]

# --------------------------------------------------------------------------------------------
# The landing contract
# --------------------------------------------------------------------------------------------

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    table: tuple(columns.split())
    for table, columns in {
        "conversations": (
            "conversation_id platform channel opened_at closed_at direction bot_id contact_id "
            "visitor_id entry_point campaign device_type os browser language country is_test "
            "is_spam"
        ),
        "messages": (
            "message_id conversation_id sent_at sender_type sender_id visibility text kind intent "
            "intent_confidence intent_label sentiment language cited_sources action_name "
            "action_status flow_id step_id model input_tokens output_tokens is_grounded"
        ),
        "events": (
            "event_id conversation_id occurred_at event_type actor_type actor_id reason flow_id "
            "step_id"
        ),
        "feedback": (
            "feedback_id conversation_id message_id submitted_at kind score scale_max category "
            "comment"
        ),
        "answers": ("answer_id conversation_id flow_id field asked_at answered_at value is_valid"),
        "contacts": "contact_id created_at name email phone country language merged_into",
        "leads": (
            "lead_id contact_id conversation_id created_at source qualified_at disqualified_at"
        ),
        "meetings": "meeting_id contact_id conversation_id booked_at starts_at status",
        "deals": "deal_id contact_id created_at closed_at is_won amount margin currency",
        "tickets": (
            "ticket_id contact_id conversation_id channel topic url created_at bot_assigned_at "
            "closed_at"
        ),
        "agents": "agent_id team hourly_cost currency",
        "experiment_assignments": (
            "assignment_id experiment_id variant conversation_id assigned_at"
        ),
        "knowledge_articles": "article_id title topic updated_at status",
        "intents": (
            "intent topic tier is_repetitive needs_answer is_fallback baseline_handle_minutes"
        ),
        "flows": "flow_id name purpose required_fields",
        "business_hours": ("schedule_id time_zone weekday opens_at closes_at valid_from valid_to"),
        "holidays": "schedule_id holiday",
        "costs": "month category amount currency",
        "baseline": "metric value currency period_start period_end",
        "exchange_rates": "currency valid_from rate",
        "model_prices": "model valid_from input_per_million output_per_million currency",
        "kpi_targets": "kpi valid_from target warn",
    }.items()
}
"""Columns of every landed table, in the order they are written."""

OWN_TIME: Final[dict[str, str]] = {
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
    "knowledge_articles": "updated_at",
}
"""The instant at which a row of a table comes into being."""

MILESTONES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "conversations": {"closed_at": ()},
    "answers": {"answered_at": ("value", "is_valid")},
    "leads": {"qualified_at": (), "disqualified_at": ()},
    "deals": {"closed_at": ("is_won",)},
    "tickets": {"bot_assigned_at": (), "closed_at": ()},
}
"""Later instants on an existing row, with the columns that are known only from then on."""

BULK_FACTS: Final = (
    "conversations",
    "messages",
    "events",
    "feedback",
    "answers",
    "contacts",
    "leads",
    "meetings",
    "deals",
    "tickets",
    "experiment_assignments",
)

DEMO_START: Final = datetime(2026, 1, 5, tzinfo=UTC)
DEMO_AS_OF: Final = datetime(2026, 7, 5, 18, tzinfo=UTC)
DEMO_WEEKS: Final = 26
INCIDENT_WEEK: Final = 9  # payment outage, 2026-03-09 .. 2026-03-15
LAUNCH_WEEK: Final = 16  # launch of the Kestrel 2 tent, 2026-04-27 .. 2026-05-03
RECALL_WEEK: Final = 21  # a new topic (stove recall) appears, from 2026-06-01
VERSION_CHANGE: Final = datetime(2026, 4, 6, tzinfo=UTC)  # scout-v1 gives way to scout-v2
EXPERIMENT_START: Final = datetime(2026, 4, 13, tzinfo=UTC)
EXPERIMENT: Final = "menu_style"
OFFICE: Final = ZoneInfo("Europe/Berlin")
BULK_START: Final = date(2025, 1, 1)

LANGUAGES: Final = ("en", "de", "zh")
LANGUAGE_SHARES: Final = {"en": 0.47, "de": 0.32, "zh": 0.21}

HOLIDAYS: Final = (
    date(2025, 1, 1), date(2025, 4, 18), date(2025, 4, 21), date(2025, 5, 1), date(2025, 5, 29),
    date(2025, 6, 9), date(2025, 10, 3), date(2025, 12, 25), date(2025, 12, 26), date(2026, 1, 1),
    date(2026, 4, 3), date(2026, 4, 6), date(2026, 5, 1), date(2026, 5, 14), date(2026, 5, 25),
)  # fmt: skip
OFFICE_HOURS: Final = {1: (9, 18), 2: (9, 18), 3: (9, 18), 4: (9, 18), 5: (9, 18), 6: (10, 14)}


class GenerateError(Exception):
    """Something the caller can put right; its text is one sentence for a person."""


# --------------------------------------------------------------------------------------------
# The invented company: intents, texts, articles
# --------------------------------------------------------------------------------------------

# intent: (topic, tier, is_repetitive, needs_answer, is_fallback, baseline_handle_minutes)
INTENTS: Final[dict[str, tuple[str | None, int | None, bool, bool, bool, float | None]]] = {
    "order_status": ("orders", 1, True, True, False, 4.5),
    "shipping_time": ("orders", 1, True, True, False, 3.5),
    "change_address": ("orders", 1, False, True, False, 6),
    "cancel_order": ("orders", 2, False, True, False, 7),
    "return_request": ("returns", 1, True, True, False, 8),
    "refund_status": ("returns", 1, True, True, False, 6.5),
    "exchange_size": ("returns", 2, False, True, False, 9),
    "product_advice": ("advice", 2, False, True, False, 11),
    "sizing": ("advice", 1, True, True, False, 5),
    "stock": ("advice", 1, True, True, False, 3),
    "order_place": ("advice", 1, False, True, False, 10),
    "warranty": ("warranty", 2, False, True, False, 12),
    "repair": ("warranty", 2, False, True, False, 14),
    "payment_failed": ("payments", 2, False, True, False, 9),
    "invoice": ("payments", 1, True, True, False, 4),
    "voucher": ("payments", 1, True, True, False, 4),
    "customs_duty": ("customs", 1, True, True, False, 6),
    "account_login": ("account", 1, True, True, False, 5),
    "stove_recall": ("recall", 2, False, True, False, 10),
    "wholesale": ("wholesale", 2, False, True, False, 18),
    "trip_planning": ("trip_planning", 2, False, True, False, 15),
    "human_request": ("human", 2, False, True, False, None),
    "inform": (None, None, False, True, False, None),
    "greet": (None, None, False, False, False, None),
    "thanks": (None, None, False, False, False, None),
    "affirm": (None, None, False, False, False, None),
    "nlu_fallback": (None, None, False, True, True, None),
}

# Questions a contact asks and answers the bot gives, per intent and language.
# {order}, {product} and {days} are filled in.
TEXTS: Final[dict[str, dict[str, tuple[tuple[str, ...], tuple[str, ...]]]]] = {
    "order_status": {
        "en": (("Where is my order {order}?", "Has {order} shipped yet?"),
               ("Order {order} is on its way, about {days} days left.",)),
        "de": (("Wo ist meine Bestellung {order}?", "Ist {order} schon unterwegs?"),
               ("Bestellung {order} ist unterwegs, noch etwa {days} Tage.",)),
        "zh": (("我的订单{order}到哪了?", "{order}发货了吗?"),
               ("订单{order}已发出, 约{days}天送达。",)),
    },
    "shipping_time": {
        "en": (("How long is delivery?", "Delivery time for a {product}?"),
               ("Delivery takes {days} working days.",)),
        "de": (("Wie lange dauert die Lieferung?", "Lieferzeit für {product}?"),
               ("Die Lieferung dauert {days} Werktage.",)),
        "zh": (("多久能送到?", "{product}几天到货?"), ("配送需要{days}个工作日。",)),
    },
    "change_address": {
        "en": (("I need to change the address of {order}.", "Wrong address on {order}, sorry!"),
               ("Done, the address of {order} can be edited until it ships.",)),
        "de": (("Ich muss die Adresse von {order} ändern.", "Falsche Adresse bei {order}!"),
               ("Die Adresse von {order} ist bis zum Versand änderbar.",)),
        "zh": (("我要改{order}的地址。",), ("发货前可以修改{order}的地址。",)),
    },
    "cancel_order": {
        "en": (("Please cancel {order}.", "Can I still cancel {order}?"),
               ("{order} is cancelled, the money is back in {days} days.",)),
        "de": (("Bitte {order} stornieren.", "Kann ich {order} noch stornieren?"),
               ("{order} ist storniert, Erstattung in {days} Tagen.",)),
        "zh": (("请取消订单{order}。",), ("{order}已取消, {days}天内退款。",)),
    },
    "return_request": {
        "en": (("I want to return the {product}.", "How do I send {order} back?"),
               ("Your return label for {order} is ready.",)),
        "de": (("Ich möchte {product} zurückgeben.", "Wie schicke ich {order} zurück?"),
               ("Ihr Rücksendeetikett für {order} ist fertig.",)),
        "zh": (("我想退{product}。", "{order}怎么退货?"), ("{order}的退货单已生成。",)),
    },
    "refund_status": {
        "en": (("When do I get my refund?", "Still no refund for {order}."),
               ("The refund for {order} takes {days} days.",)),
        "de": (("Wann kommt meine Erstattung?", "Noch kein Geld für {order}."),
               ("Die Erstattung für {order} dauert {days} Tage.",)),
        "zh": (("退款什么时候到?",), ("{order}的退款需要{days}天。",)),
    },
    "exchange_size": {
        "en": (("Can I swap the {product} for a larger one?",),
               ("Yes, exchanges are free for {days} days more.",)),
        "de": (("Kann ich {product} größer umtauschen?",), ("Ja, der Umtausch ist gratis.",)),
        "zh": (("{product}可以换大一号吗?",), ("可以, 换货免费。",)),
    },
    "product_advice": {
        "en": (("Is the {product} good for winter?", "Which tent for two in strong wind?"),
               ("For that I would take the {product}.", "The {product} is rated for it.")),
        "de": (("Taugt {product} für den Winter?", "Welches Zelt für zwei bei Wind?"),
               ("Dafür empfehle ich {product}.", "{product} ist dafür gemacht.")),
        "zh": (("{product}冬天能用吗?", "两个人大风用哪款帐篷?"), ("推荐{product}。",)),
    },
    "sizing": {
        "en": (("What size {product} for 178 cm?", "Does the {product} run small?"),
               ("Size M fits from 172 to 180 cm.",)),
        "de": (("Welche Größe bei {product} für 178 cm?", "Fällt {product} klein aus?"),
               ("Größe M passt von 172 bis 180 cm.",)),
        "zh": (("178厘米穿什么码?",), ("M码适合172到180厘米。",)),
    },
    "stock": {
        "en": (("Is the {product} in stock?", "When is the {product} back?"),
               ("The {product} is in stock again in {days} days.",)),
        "de": (("Ist {product} lieferbar?", "Wann kommt {product} wieder?"),
               ("{product} ist in {days} Tagen wieder da.",)),
        "zh": (("{product}有货吗?",), ("{product}{days}天后到货。",)),
    },
    "order_place": {
        "en": (("I'd like to order the {product}.", "Can you put a {product} in my basket?"),
               ("The {product} is in your basket.",)),
        "de": (("Ich möchte {product} bestellen.",), ("{product} liegt im Warenkorb.",)),
        "zh": (("我想买{product}。",), ("{product}已加入购物车。",)),
    },
    "warranty": {
        "en": (("The zip of my {product} broke, is that warranty?",),
               ("Zips are covered for two years.",)),
        "de": (("Der Reißverschluss von {product} ist kaputt. Garantie?",),
               ("Reißverschlüsse haben zwei Jahre Garantie.",)),
        "zh": (("{product}的拉链坏了, 保修吗?",), ("拉链保修两年。",)),
    },
    "repair": {
        "en": (("Can you repair a torn {product}?",), ("Yes, repairs take {days} days.",)),
        "de": (("Repariert ihr einen Riss in {product}?",), ("Ja, das dauert {days} Tage.",)),
        "zh": (("{product}破了能修吗?",), ("可以, 需要{days}天。",)),
    },
    "payment_failed": {
        "en": (("My card is refused at checkout.", "Payment failed twice, what now?"),
               ("Please try again or choose another method.",)),
        "de": (("Meine Karte wird abgelehnt.", "Zahlung zweimal fehlgeschlagen!"),
               ("Bitte erneut versuchen oder eine andere Zahlart wählen.",)),
        "zh": (("付款失败了。", "为什么付不了款?"), ("请重试或更换支付方式。",)),
    },
    "invoice": {
        "en": (("I need an invoice for {order}.",), ("The invoice is in your account.",)),
        "de": (("Ich brauche eine Rechnung für {order}.",), ("Die Rechnung liegt im Konto.",)),
        "zh": (("{order}能开发票吗?",), ("发票在您的账户里。",)),
    },
    "voucher": {
        "en": (("My voucher does not work.",), ("Vouchers apply to full-price items.",)),
        "de": (("Mein Gutschein geht nicht.",), ("Gutscheine gelten für reguläre Ware.",)),
        "zh": (("优惠券用不了。",), ("优惠券仅限正价商品。",)),
    },
    "customs_duty": {
        "en": (("Do I pay customs on {order}?",), ("Duties are included in the price.",)),
        "de": (("Fällt Zoll auf {order} an?",), ("Zoll ist im Preis enthalten.",)),
        "zh": (("需要交关税吗?",), ("价格已含关税。",)),
    },
    "account_login": {
        "en": (("I can't log in.",), ("A reset link is on its way.",)),
        "de": (("Ich kann mich nicht anmelden.",), ("Ein Link ist unterwegs.",)),
        "zh": (("登录不了。",), ("重置链接已发送。",)),
    },
    "stove_recall": {
        "en": (("Is my Ember stove part of the recall?", "How does the stove recall work?"),
               ("Stoves sold since March get a free new valve.",)),
        "de": (("Ist mein Ember-Kocher vom Rückruf betroffen?",),
               ("Kocher ab März bekommen ein neues Ventil.",)),
        "zh": (("我的Ember炉头要召回吗?",), ("三月后售出的炉头免费换阀。",)),
    },
    "wholesale": {
        "en": (("Do you have trade prices for shops?",), ("Yes, let me take a few details.",)),
        "de": (("Gibt es Händlerpreise?",), ("Ja, ein paar Angaben bitte.",)),
        "zh": (("有批发价吗?",), ("有的, 请留下信息。",)),
    },
    "trip_planning": {
        "en": (("Can you help me plan gear for a trek?",), ("With pleasure, three questions.",)),
        "de": (("Hilfe bei der Ausrüstung für eine Tour?",), ("Gern, drei Fragen dazu.",)),
        "zh": (("能帮我搭配徒步装备吗?",), ("好的, 先问三个问题。",)),
    },
}  # fmt: skip

# Sayings that do not depend on the intent.
PHRASES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "hello": {"en": ("Hi", "Hello!"), "de": ("Hallo", "Guten Tag"), "zh": ("你好", "在吗")},
    "greeting": {
        "en": ("Hi, this is Scout. How can I help?",),
        "de": ("Hallo, hier ist Scout. Was kann ich tun?",),
        "zh": ("您好, 我是小鹿。",),
    },
    "thanks": {
        "en": ("Thanks!", "Great, thank you"),
        "de": ("Danke!", "Super, vielen Dank"),
        "zh": ("谢谢!", "好的谢谢"),
    },
    "human": {
        "en": ("Can I talk to a person?", "Agent please"),
        "de": ("Kann ich mit einem Menschen sprechen?",),
        "zh": ("转人工",),
    },
    "notice": {
        "en": ("I am connecting you with a colleague.",),
        "de": ("Ich verbinde Sie mit dem Team.",),
        "zh": ("正在为您转接人工。",),
    },
    "busy": {
        "en": ("Nobody is free right now. May I note your question?",),
        "de": ("Gerade ist niemand frei. Darf ich notieren?",),
        "zh": ("客服不在线, 可以留言吗?",),
    },
    "fallback": {
        "en": ("Sorry, I did not get that.",),
        "de": ("Das habe ich nicht verstanden.",),
        "zh": ("抱歉, 我没听懂。",),
    },
    "prompt": {
        "en": ("Could you give me the order number?", "Which product do you mean?"),
        "de": ("Wie lautet die Bestellnummer?", "Welches Produkt meinen Sie?"),
        "zh": ("请提供订单号。",),
    },
    "inform": {"en": ("It is {order}.",), "de": ("Es ist {order}.",), "zh": ("是{order}。",)},
    "survey": {
        "en": ("Did that help you?",), "de": ("Hat das geholfen?",), "zh": ("请为服务评分。",),
    },
    "recommend": {
        "en": ("Many customers take the {product} with it.",),
        "de": ("Dazu passt {product}.",),
        "zh": ("推荐搭配{product}。",),
    },
    "again": {
        "en": ("I mean: ", "That is not what I asked. "),
        "de": ("Ich meine: ", "Nein: "),
        "zh": ("我是说: ",),
    },
    "blocked": {
        "en": ("I cannot help with that.",), "de": ("Dabei kann ich nicht helfen.",),
        "zh": ("这个我帮不了。",),
    },
    "agent_open": {
        "en": ("Hello, I have read the chat.", "Hi, I am taking over."),
        "de": ("Hallo, ich habe mitgelesen.", "Ich übernehme gern."),
        "zh": ("您好, 我来帮您。",),
    },
    "agent_reply": {
        "en": ("I have sorted that out for you.", "Give me a minute, please."),
        "de": ("Das habe ich erledigt.", "Einen Moment bitte."),
        "zh": ("已经处理好了。", "请稍等。"),
    },
    "agent_ask": {
        "en": ("Could you give me that once more?",),
        "de": ("Können Sie mir das noch einmal nennen?",),
        "zh": ("请再说一遍。",),
    },
    "contact_more": {
        "en": ("And can you check the rest?", "It says so in my account."),
        "de": ("Und der Rest?", "So steht es im Konto."),
        "zh": ("其他的呢?",),
    },
    "form": {"en": ("[form sent]",), "de": ("[form sent]",), "zh": ("[form sent]",)},
    "hello_again": {"en": ("Anybody there?",), "de": ("Ist jemand da?",), "zh": ("有人吗?",)},
    "campaign": {
        "en": ("News from Tarnhollow: 15 % off the {product} this week.",),
        "de": ("Neu bei Tarnhollow: 15 % auf {product}.",),
        "zh": ("Tarnhollow本周{product}八五折。",),
    },
    "spam": {"en": ("Buy followers cheap!!!",), "de": ("Gratis Krypto!!!",), "zh": ("刷单兼职",)},
    "personal": {
        "en": ("Reach me at {email} or {phone}.",),
        "de": ("Bitte an {email} oder {phone}.",),
        "zh": ("联系我 {email} 或 {phone}。",),
    },
}  # fmt: skip

# Questions outside the bot's knowledge; they return often enough to form gaps.
HARD_QUESTIONS: Final[dict[str, tuple[str, ...]]] = {
    "en": (
        "Do you rent out avalanche beacons?",
        "Can I rent a beacon for a weekend?",
        "Is the down traceable to the farm?",
        "Which farm is your down from?",
        "Can I pay in instalments?",
        "Do you pay instalments over six months?",
        "Will the pole fit my 2019 tent?",
    ),
    "de": (
        "Verleiht ihr LVS-Geräte?",
        "Kann ich ein LVS-Gerät leihen?",
        "Woher kommt die Daune?",
        "Geht auch Ratenzahlung?",
        "Passt das Gestänge in mein Zelt von 2019?",
    ),
    "zh": ("可以租雪崩信标吗?", "能分期付款吗?", "羽绒从哪里来?"),
}

PRODUCTS: Final = ("Kestrel 2", "Tarn 40", "Ember", "Ridge", "Lichen")
AGENT_NOTES: Final = ("Checked with the warehouse.", "Regular customer.", "Refund needs approval.")
COMMENTS: Final = {True: ("quick", "friendly", "clear answer"), False: ("too slow", "wrong answer")}

# article: (title, topic, days before 2026-01-01 of the last update, status)
ARTICLES: Final[dict[str, tuple[str, str, int, str]]] = {
    "kb-101": ("Track an order", "orders", 40, "published"),
    "kb-102": ("Delivery times by country", "orders", 320, "published"),
    "kb-103": ("Change or cancel an order", "orders", 75, "published"),
    "kb-201": ("Return within 30 days", "returns", 60, "published"),
    "kb-202": ("Refunds step by step", "returns", 200, "published"),
    "kb-301": ("Choosing a tent", "advice", -40, "published"),
    "kb-302": ("Size chart", "advice", 410, "published"),
    "kb-303": ("Kestrel 2 in detail", "advice", -112, "published"),
    "kb-401": ("Warranty terms", "warranty", 100, "published"),
    "kb-402": ("Repair service", "warranty", 260, "published"),
    "kb-501": ("Ways to pay", "payments", 20, "published"),
    "kb-502": ("Invoices and vouchers", "payments", 90, "published"),
    "kb-601": ("Customs and duties", "customs", 350, "published"),
    "kb-701": ("Account and password", "account", 10, "published"),
    "kb-801": ("Ember stove recall", "recall", -152, "published"),
    "kb-901": ("Trade accounts", "wholesale", 150, "draft"),
    "kb-902": ("Packing lists", "trip_planning", 500, "archived"),
}

ACTIONS: Final = {
    "order_status": "lookup_order",
    "change_address": "update_address",
    "cancel_order": "cancel_order",
    "return_request": "create_return_label",
    "refund_status": "lookup_refund",
    "order_place": "add_to_basket",
    "account_login": "send_reset_link",
}

# flow: (name, purpose, required fields)
FLOWS: Final[dict[str, tuple[str, str, str]]] = {
    "trip_planner": ("Trip planner", "lead", "email|name|budget"),
    "newsletter": ("Newsletter", "lead", "email"),
    "trade_account": ("Trade account", "lead", ""),
    "fitting": ("Boot fitting appointment", "booking", "phone|date"),
    "return_label": ("Return label", "support", "order_no"),
}
FLOW_FIELDS: Final = {
    "trip_planner": ("email", "name", "budget"),
    "newsletter": ("email",),
    "trade_account": ("email", "phone"),
    "fitting": ("phone", "date"),
    "return_label": ("order_no",),
}

# model: ((valid_from, input, output per million tokens), ...)
MODEL_PRICES: Final[dict[str, tuple[tuple[date, float, float], ...]]] = {
    "ridge-small": ((date(2025, 1, 1), 6.0, 18.0),),
    "ridge-large": ((date(2025, 1, 1), 10.0, 30.0), (date(2026, 5, 1), 7.5, 24.0)),
}
EXCHANGE_RATES: Final = (
    ("USD", date(2024, 1, 1), 1.0),
    ("EUR", date(2024, 1, 1), 1.08),
    ("EUR", date(2026, 1, 1), 1.11),
    ("EUR", date(2026, 4, 1), 1.13),
    ("CNY", date(2024, 1, 1), 0.138),
    ("CNY", date(2026, 4, 1), 0.141),
)
BASELINE: Final = (
    ("cost_per_service", 11.8, "USD"),
    ("services_per_agent_day", 34.0, None),
    ("accuracy_satisfaction_rate", 0.71, None),
    ("conversion_rate", 0.055, None),
)
KPI_TARGETS: Final = (
    ("resolution_rate", date(2026, 1, 1), 0.60, 0.55),
    ("resolution_rate", date(2026, 4, 1), 0.66, 0.60),
    ("containment_rate", date(2026, 1, 1), 0.75, 0.70),
    ("handoff_rate", date(2026, 1, 1), 0.22, 0.28),
    ("csat", date(2026, 1, 1), 0.80, 0.72),
    ("fallback_rate", date(2026, 1, 1), 0.08, 0.12),
    ("missed_rate", date(2026, 1, 1), 0.02, 0.04),
    ("fcr_rate", date(2026, 1, 1), 0.60, 0.50),
    ("lead_capture_rate", date(2026, 1, 1), 0.05, 0.03),
    ("intent_accuracy", date(2026, 1, 1), 0.92, 0.88),
    ("hallucination_rate", date(2026, 1, 1), 0.04, 0.07),
    ("cost_per_service", date(2026, 1, 1), 8.0, 10.0),
)
AGENTS: Final = (
    ("agent_01", "orders", 24.0, "EUR"),
    ("agent_02", "orders", 23.0, "EUR"),
    ("agent_03", "returns", 23.5, "EUR"),
    ("agent_04", "advice", 27.0, "EUR"),
    ("agent_05", "advice", 26.0, "USD"),
    ("agent_06", "china", 95.0, "CNY"),
    ("agent_07", "china", 90.0, "CNY"),
)
COST_CATEGORIES: Final = ("bot_platform", "llm", "channel", "agent_labour", "tools", "devices")


def reference_rows(first: date, last: date) -> dict[str, list[Row]]:
    """Return the rows of the reference tables both modes share.

    Args:
        first: first day of the generated period (UTC), for `costs`.
        last: last day of the generated period (UTC).

    Returns:
        table name -> rows; `costs` is left out (it depends on the traffic).
    """
    articles_from = min(datetime(2026, 1, 1, 8, tzinfo=UTC),
                        datetime(first.year, first.month, first.day, 8, tzinfo=UTC))  # fmt: skip
    tables: dict[str, list[tuple[object, ...]]] = {
        "intents": [(name, *values) for name, values in INTENTS.items()],
        "flows": [(name, *values) for name, values in FLOWS.items()],
        "business_hours": [
            *(
                ("default", OFFICE.key, day, "08:00", "16:00", date(2020, 1, 1), date(2023, 12, 31))
                for day in range(1, 6)
            ),
            *(
                ("default", OFFICE.key, day, f"{opens:02d}:00", f"{closes:02d}:00",
                 date(2024, 1, 1), None)
                for day, (opens, closes) in OFFICE_HOURS.items()
            ),
        ],
        "holidays": [("default", day) for day in HOLIDAYS],
        "baseline": [
            (metric, value, currency, date(2025, 1, 1), date(2025, 12, 31))
            for metric, value, currency in BASELINE
        ],
        "exchange_rates": [tuple(rate) for rate in EXCHANGE_RATES],
        "model_prices": [
            (model, valid_from, per_input, per_output, "USD")
            for model, prices in MODEL_PRICES.items()
            for valid_from, per_input, per_output in prices
        ],
        "kpi_targets": [tuple(target) for target in KPI_TARGETS],
        "agents": [tuple(agent) for agent in AGENTS],
        "knowledge_articles": [
            (article, title, topic, min(articles_from - timedelta(days=age),
                                        datetime(last.year, last.month, last.day, tzinfo=UTC)),
             status)
            for article, (title, topic, age, status) in ARTICLES.items()
        ],
    }  # fmt: skip
    return {
        table: [dict(zip(COLUMNS[table], values, strict=True)) for values in rows]
        for table, rows in tables.items()
    }


# --------------------------------------------------------------------------------------------
# Writing
# --------------------------------------------------------------------------------------------


def as_text(value: object, zone: timezone = UTC) -> str:
    """Return one value as the contract writes it: ISO 8601 with offset, true/false, '' for null.

    Args:
        value: None, text, number, bool, date or aware datetime.
        zone: offset in which an instant is written.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        text = value.astimezone(zone).isoformat(timespec="seconds")
        return text[:-6] + "Z" if zone is UTC else text
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    return str(value)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> int:
    """Write rows as UTF-8 CSV with a header and Unix line ends; return the number of bytes.

    A row may carry the key ``_zone`` (a `datetime.timezone`): the offset its instants are written
    in. Keys that are not in `columns` are left out.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        zone = row.get("_zone")
        offset = zone if isinstance(zone, timezone) else UTC
        writer.writerow([as_text(row.get(column), offset) for column in columns])
    data = buffer.getvalue().encode("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return len(data)


def progress_bar() -> Progress:
    """Return a progress bar on standard error that vanishes when it is done."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )


# --------------------------------------------------------------------------------------------
# Demo
# --------------------------------------------------------------------------------------------


@dataclass
class Person:
    """Somebody who writes to the shop; known by contact, by visitor id, by both or by neither."""

    language: str
    country: str
    contact_id: str | None = None
    visitor_id: str | None = None


@dataclass
class Episode:
    """What the generator meant an episode to be; later CRM rows are drawn from it."""

    person: Person
    conversation_id: str
    channel: str
    topic: str | None
    intent: str
    started: datetime
    ended: datetime
    plan: str
    counted: bool  # inbound, with a bot, neither test nor spam


@dataclass
class Chat:
    """One conversation being written: a cursor in time and the row it belongs to."""

    row: Row
    person: Person
    language: str
    channel: str
    bot: str | None
    now: datetime
    quality: float  # > 1: failures are likelier
    zone: timezone
    agent: str
    outbound: bool = False
    agent_last: bool = False
    last_answer: Row | None = None
    earlier_answer: Row | None = None
    answered_fields: list[tuple[str, str]] = field(default_factory=list)


PLANS: Final = (  # (what happens to an episode, weight, whether bad quality makes it likelier)
    ("resolved", 66.0, False),
    ("handoff_bot", 9.0, True),
    ("handoff_automation", 2.6, True),
    ("handoff_contact", 2.8, True),
    ("handoff_agent", 1.8, True),
    ("takeover", 3.0, True),
    ("request_unmet", 1.8, True),
    ("handoff_failed", 1.3, True),
    ("negative", 2.0, True),
    ("abandoned", 4.0, True),
    ("missed", 2.2, True),
    ("only_fallback", 2.4, True),
)
COUNTRIES: Final = {
    "en": (("US", 50), ("GB", 30), ("CA", 20)),
    "de": (("DE", 70), ("AT", 18), ("CH", 12)),
    "zh": (("CN", 88), ("SG", 12)),
}
CHANNELS: Final = {
    "en": (("web", 46), ("app", 16), ("whatsapp", 20), ("email", 18)),
    "de": (("web", 50), ("app", 16), ("whatsapp", 20), ("email", 14)),
    "zh": (("wechat", 52), ("app", 26), ("web", 22)),
}
CURRENCIES: Final = {"DE": "EUR", "AT": "EUR", "CH": "EUR", "CN": "CNY"}
NAMES: Final = {
    "en": (("Avery", "Rowan", "Marlow", "Tamsin", "Idris"), ("Fennick", "Oakhollow", "Brambley")),
    "de": (("Ilka", "Veit", "Runa", "Korbin", "Malea"), ("Tannwald", "Moosberg", "Steinquell")),
    "zh": (("小松", "云溪", "青石", "望岳", "听泉"), ("林", "岳", "石")),
}
HOUR_WEIGHTS: Final = {  # office time (Europe/Berlin), 0 h to 23 h
    "en": (2, 1, 1, 1, 1, 1, 1, 1, 3, 8, 10, 10, 9, 10, 11, 11, 10, 9, 4, 3, 3, 3, 3, 3),
    "de": (1, 1, 0, 0, 0, 1, 1, 2, 3, 10, 11, 11, 9, 10, 11, 10, 10, 8, 4, 3, 3, 3, 2, 1),
    "zh": (1, 1, 2, 2, 3, 4, 4, 4, 5, 9, 10, 10, 10, 10, 10, 8, 5, 2, 1, 1, 0, 0, 0, 1),
}
WEEKDAY_WEIGHTS: Final = (19, 18, 18, 17, 16, 6, 6)
TOPIC_WEIGHTS: Final = {
    "order_status": 17, "shipping_time": 9, "change_address": 4, "cancel_order": 4,
    "return_request": 9, "refund_status": 6, "exchange_size": 3, "product_advice": 7, "sizing": 6,
    "stock": 6, "order_place": 5, "warranty": 3, "repair": 2, "payment_failed": 4, "invoice": 4,
    "voucher": 3, "customs_duty": 4, "account_login": 4,
}  # fmt: skip


class Demo:
    """Writes the demo company's half-year, conversation by conversation.

    Args:
        seed: any integer; the same seed gives the same rows.

    `tables` holds the rows of every table after `run`, already cut at `DEMO_AS_OF`.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - the same seed must give the same company
        self.tables: dict[str, list[Row]] = {table: [] for table in COLUMNS}
        self.counts: dict[str, int] = {}
        self.pool: list[Person] = []
        self.episodes: list[Episode] = []
        self.labelled = dict.fromkeys(LANGUAGES, 0)
        self.queue: list[tuple[datetime, int, Person | None, str | None]] = []
        self.waves = 0
        self.personal_left = 6

    # -- small helpers ------------------------------------------------------------------------

    def chance(self, probability: float) -> bool:
        """Return true with the given probability."""
        return self.rng.random() < probability

    def pick(self, weighted: Sequence[tuple[str, float]]) -> str:
        """Return one name, drawn by weight."""
        names = [name for name, _ in weighted]
        return self.rng.choices(names, [weight for _, weight in weighted])[0]

    def seconds(self, low: float, high: float) -> timedelta:
        """Return a duration of whole seconds between the two bounds."""
        return timedelta(seconds=round(self.rng.uniform(low, high)))

    def add(self, table: str, prefix: str, values: Row) -> Row:
        """Append a row with the next key of its table and return it."""
        number = self.counts[table] = self.counts.get(table, 0) + 1
        row: Row = {COLUMNS[table][0]: f"{prefix}{number:05d}", **values}
        self.tables[table].append(row)
        return row

    def say(self, key: str, language: str) -> str:
        """Return a saying in the language, filled in."""
        return self.fill(self.rng.choice(PHRASES[key][language]))

    def fill(self, text: str) -> str:
        """Return the text with its placeholders filled in."""
        return text.format(
            order=f"TH-{self.rng.randrange(10000, 99999)}",
            product=self.rng.choice(PRODUCTS),
            days=self.rng.randrange(2, 12),
            email=f"guest{self.rng.randrange(100, 999)}@example.org",
            phone=f"+1 202 555 01{self.rng.randrange(10, 99)}",
        )

    # -- people -------------------------------------------------------------------------------

    def new_contact(self, person: Person, at: datetime) -> str:
        """Give a person a CRM contact created at `at` and return its id."""
        first, last = NAMES[person.language]
        number = self.counts.get("contacts", 0) + 1
        phone = {
            "en": f"+1 202 555 01{number % 100:02d}",
            "de": f"+49 30 23125 {number % 1000:03d}",
            "zh": f"+86 100 0000 {number:04d}",
        }[person.language]
        given, family = self.rng.choice(first), self.rng.choice(last)
        row = self.add("contacts", "c-", {
            "created_at": at,
            "name": f"{family}{given}" if person.language == "zh" else f"{given} {family}",
            "email": f"customer{number}@example.{'org' if number % 3 else 'com'}",
            "phone": phone if number % 4 else None,
            "country": person.country,
            "language": person.language,
            "merged_into": None,
            "_zone": zone_of(person.language, number),
        })  # fmt: skip
        person.contact_id = str(row["contact_id"])
        return person.contact_id

    def new_visitor(self, person: Person) -> None:
        """Give a person an anonymous browser id."""
        number = self.counts["visitors"] = self.counts.get("visitors", 0) + 1
        person.visitor_id = f"v-{number:05d}"

    def choose_person(self, at: datetime, language: str, channel: str) -> Person:
        """Return a returning person of that language, or somebody new."""
        known = [person for person in self.pool[-260:] if person.language == language]
        if known and self.chance(0.42):
            person = self.rng.choice(known)
            if person.contact_id is None and self.chance(0.3):
                self.new_contact(person, at - self.seconds(0, 3600))  # identified later
            return person
        person = Person(language, self.pick(COUNTRIES[language]))
        if self.chance(0.03):
            return person  # neither contact nor visitor: never seen again
        if channel == "web" and self.chance(0.72):
            self.new_visitor(person)
        else:
            old = self.chance(0.6)
            self.new_contact(person, at - timedelta(days=self.rng.randrange(1, 400)) if old else at)
            if channel == "web" and self.chance(0.5):
                self.new_visitor(person)
        self.pool.append(person)
        return person

    # -- messages and events ------------------------------------------------------------------

    def message(self, chat: Chat, sender: str, text: str, **values: object) -> Row:
        """Add a message at the chat's present and return it."""
        row = self.add("messages", "m-", {
            "conversation_id": chat.row["conversation_id"],
            "sent_at": chat.now,
            "sender_type": sender,
            "text": text,
            "_zone": chat.zone,
            **values,
        })  # fmt: skip
        if sender in ("bot", "agent") and row.get("visibility") != "private":
            chat.agent_last = sender == "agent"
        return row

    def event(self, chat: Chat, kind: str, actor: str | None = None, **values: object) -> Row:
        """Add an event at the chat's present and return it."""
        return self.add("events", "e-", {
            "conversation_id": chat.row["conversation_id"],
            "occurred_at": chat.now,
            "event_type": kind,
            "actor_type": actor,
            "_zone": chat.zone,
            **values,
        })  # fmt: skip

    def write(self, chat: Chat, text: str, intent: str | None, mood: float = 0.0,
              confidence: float | None = None) -> float | None:  # fmt: skip
        """Let the contact write one message after some thought; return its confidence."""
        chat.now += self.seconds(8, 75)
        values: Row = {}
        if intent is not None:
            if confidence is None:
                low = self.chance(0.13)
                confidence = self.rng.uniform(0.55, 0.89) if low else self.rng.uniform(0.9, 0.995)
            confidence = round(confidence, 2)
            values |= {"intent": intent, "intent_confidence": confidence}
            if self.chance(0.1):
                values["intent_label"] = self.label(intent, chat.language)
        if self.chance(0.6):
            values["sentiment"] = round(max(-1.0, min(1.0, self.rng.gauss(mood, 0.3))), 1)
        if self.chance(0.3):
            values["language"] = chat.language
        if self.chance(0.1):
            values["visibility"] = "public"
        self.message(chat, "contact", text, **values)
        return confidence

    def label(self, intent: str, language: str) -> str:
        """Return a person's label: the predicted intent, or every 12th time another one."""
        self.labelled[language] += 1
        if self.labelled[language] % 12 != 6:
            return intent
        return self.rng.choice([name for name in TOPIC_WEIGHTS if name != intent])

    def reply(self, chat: Chat, text: str, kind: str | None, **values: object) -> Row:
        """Let the bot send one message after a few seconds; return it."""
        chat.now += self.seconds(1, 7) if self.chance(0.95) else self.seconds(12, 50)
        bot = chat.bot or "scout-v1"
        if kind in ("answer", "recommendation", None):
            late = chat.now >= VERSION_CHANGE
            values = {
                "model": "ridge-large" if late else "ridge-small",
                "input_tokens": self.rng.randrange(1800, 7200),
                "output_tokens": self.rng.randrange(30, 260),
                **values,
            }
            if self.chance(0.16):
                values["is_grounded"] = self.chance(0.97 if late else 0.92)
        return self.message(chat, "bot", text, sender_id=bot, kind=kind, **values)

    def answer(self, chat: Chat, intent: str) -> Row:
        """Let the bot answer a question, with a source where it has one; return the message."""
        values: Row = {}
        topic = INTENTS[intent][0]
        if intent in ACTIONS:
            working = self.chance(0.95)
            values["action_name"] = ACTIONS[intent]
            values["action_status"] = "success" if working else "failure"
            if not working:
                self.event(chat, "error", "bot", reason="action_failed")
        elif self.chance(0.85):
            fitting = [key for key, (_, about, _, _) in ARTICLES.items() if about == topic]
            if intent == "stove_recall":
                fitting = [key for key in fitting if chat.now.date() >= date(2026, 6, 3)]
            cited = self.rng.sample(fitting, min(len(fitting), 1 + self.chance(0.2)))
            values["cited_sources"] = "|".join(cited) or None
        texts = TEXTS[intent][chat.language][1] if intent in TEXTS else ("OK.",)
        kind = "answer" if self.chance(0.93) else None
        row = self.reply(chat, self.fill(self.rng.choice(texts)), kind, **values)
        chat.earlier_answer, chat.last_answer = chat.last_answer, row
        if self.chance(0.06 if topic == "payments" else 0.03):
            self.rate(chat, "thumbs", False if self.chance(0.4) else None)
        return row

    def ask(self, chat: Chat, intent: str, mood: float = 0.0, prefix: str = "") -> float | None:
        """Let the contact ask a question of this intent; return the bot's confidence."""
        if self.chance(0.16):
            self.write(chat, self.say("hello", chat.language), None, mood)
            chat.now -= timedelta(seconds=5)
        if intent == "human_request":
            text = self.say("human", chat.language)
        else:
            text = self.fill(self.rng.choice(TEXTS[intent][chat.language][0]))
        predicted = "loyalty_points" if intent == "voucher" and self.chance(0.1) else intent
        return self.write(chat, prefix + text, predicted, mood)

    def ask_hard(self, chat: Chat) -> None:
        """Let the contact ask something outside the bot's knowledge, and the bot give up."""
        text = self.rng.choice(HARD_QUESTIONS[chat.language])
        self.write(chat, text, "nlu_fallback", -0.2, self.rng.uniform(0.12, 0.6))
        self.reply(chat, self.say("fallback", chat.language), "fallback")

    # -- feedback -----------------------------------------------------------------------------

    def satisfied(self, chat: Chat, good: bool) -> bool:
        """Draw whether a rating is positive; the second bot version does better."""
        if not good:
            return self.chance(0.22)
        base = 0.94 if chat.now >= VERSION_CHANGE or chat.bot == "xiaolu" else 0.83
        return self.chance(base - 0.12 * max(0.0, chat.quality - 1.2))

    def rate(self, chat: Chat, kind: str, good: bool | None, message: Row | None = None) -> None:
        """Add one rating after a moment; `good` None draws it from the episode's mood.

        Thumbs name `message` (default: the last answer); other kinds name it only if it is given.
        """
        happy = self.satisfied(chat, True) if good is None else good
        at = chat.now + self.seconds(3, 40)
        scale: float = 5
        score: float
        if kind == "thumbs":
            message = message or chat.last_answer
            scale, score = 1, float(happy)
        elif kind == "nps":
            scale = 10
            score = self.rng.choice((9, 10, 10, 8)) if happy else self.rng.choice((1, 3, 5, 6, 7))
        else:
            if kind == "csat" and chat.channel == "wechat":
                scale = 10
            step = scale / 5
            score = step * (self.rng.choice((4, 5, 5)) if happy else self.rng.choice((1, 2, 2, 3)))
        bad = ("wrong_answer", "not_understood", "too_slow", "outdated")
        self.add("feedback", "f-", {
            "conversation_id": chat.row["conversation_id"],
            "message_id": message["message_id"] if message else None,
            "submitted_at": at,
            "kind": kind,
            "score": score,
            "scale_max": scale,
            "category": None if kind != "thumbs" else "helpful" if happy else self.rng.choice(bad),
            "comment": self.rng.choice(COMMENTS[happy]) if self.chance(0.2) else None,
            "_zone": chat.zone,
        })  # fmt: skip

    def survey(self, chat: Chat, good: bool, share: float = 0.5) -> None:
        """Send the end-of-chat survey to a share of chats, and collect what comes back."""
        if self.chance(share):
            chat.now += timedelta(seconds=4)
            self.event(chat, "survey_sent", "automation")
            if not chat.agent_last and self.chance(0.6):
                self.reply(chat, self.say("survey", chat.language), "survey")
            if self.chance(0.62):
                named = chat.last_answer if not chat.agent_last and self.chance(0.5) else None
                happy = self.satisfied(chat, good)
                if chat.agent_last:
                    happy = self.chance(0.86)
                self.rate(chat, "csat", happy, named)
        if self.chance(0.07):
            self.rate(chat, "nps", self.satisfied(chat, good))
        if self.chance(0.09) and chat.last_answer is not None:
            self.rate(chat, "accuracy", self.satisfied(chat, good), chat.last_answer)
        if good and chat.earlier_answer is not None and self.chance(0.05):
            self.rate(chat, "thumbs", False, chat.earlier_answer)  # an earlier answer was poor

    # -- handoff ------------------------------------------------------------------------------

    def office_open(self, at: datetime) -> bool:
        """Return whether the office is open at that instant."""
        local = at.astimezone(OFFICE)
        opens, closes = OFFICE_HOURS.get(local.isoweekday(), (0, 0))
        return opens <= local.hour < closes and local.date() not in HOLIDAYS

    def next_opening(self, at: datetime) -> datetime:
        """Return the next hour at which the office is open (from two hours on, in hours)."""
        while not self.office_open(at):
            at += timedelta(minutes=30)
        return at

    def hand_over(self, chat: Chat, how: str) -> None:
        """Hand the chat to an agent, who answers, or at night may not."""
        if how == "handoff_contact" or (how == "handoff_bot" and self.chance(0.5)):
            self.ask(chat, "human_request", -0.2)
            self.event(chat, "handoff_requested", "contact", reason="asked_for_human")
        if how == "handoff_bot":
            self.reply(chat, self.say("notice", chat.language), "handoff_notice")
        chat.now += timedelta(seconds=2)
        actor = {
            "handoff_bot": "bot",
            "handoff_automation": "automation",
            "handoff_contact": "contact",
            "handoff_agent": "agent",
        }.get(how)
        if actor is not None:
            reason = self.rng.choice(("low_confidence", "policy", "complex_topic", "vip"))
            actor_id = chat.agent if actor == "agent" else chat.bot if actor == "bot" else None
            self.event(chat, "handoff_initiated", actor, reason=reason, actor_id=actor_id)
        if not self.office_open(chat.now):
            if actor is not None and self.chance(0.4):
                return  # nobody takes it
            chat.now = self.next_opening(chat.now) + self.seconds(60, 1800)
        elif actor is not None and self.chance(0.07):
            return
        chat.now += self.seconds(40, 1100)
        if actor is not None:
            self.event(chat, "agent_assigned", "automation", actor_id=chat.agent)
            if self.chance(0.4):
                self.message(chat, "system", "Assigned to the team.")
        if self.chance(0.45):
            chat.now += timedelta(seconds=9)
            self.message(chat, "agent", self.rng.choice(AGENT_NOTES), sender_id=chat.agent,
                         visibility="private")  # fmt: skip
        chat.now += self.seconds(15, 90)
        self.message(chat, "agent", self.say("agent_open", chat.language), sender_id=chat.agent)
        if chat.answered_fields and self.chance(0.5):
            flow, name = chat.answered_fields[0]
            chat.now += self.seconds(20, 60)
            self.message(chat, "agent", self.say("agent_ask", chat.language), sender_id=chat.agent)
            asked = chat.now
            self.write(chat, self.say("form", chat.language), None, -0.4)
            self.capture(chat, flow, name, asked, chat.now, True)
        for _ in range(self.rng.randrange(1, 4)):
            self.write(chat, self.say("contact_more", chat.language), None, 0.0)
            chat.now += self.seconds(25, 240)
            self.message(chat, "agent", self.say("agent_reply", chat.language),
                         sender_id=chat.agent)  # fmt: skip
        if self.chance(0.5):
            self.write(chat, self.say("thanks", chat.language), "thanks", 0.5)

    # -- lead and support flows ---------------------------------------------------------------

    def capture(self, chat: Chat, flow: str, name: str, asked: datetime,
                answered: datetime | None, valid: bool | None) -> Row:  # fmt: skip
        """Add one asked question, with its answer if `answered` is given."""
        number = self.counts.get("answers", 0) + 1
        values = {
            "email": f"lead{number}@example.com",
            "phone": f"+1 202 555 01{number % 100:02d}",
            "name": self.rng.choice(NAMES[chat.language][0]),
            "budget": str(self.rng.randrange(2, 30) * 50),
            "order_no": f"TH-{self.rng.randrange(10000, 99999)}",
            "date": "next week",
        }
        wrong = {"email": "lead at example", "phone": "12"}.get(name, "?")
        return self.add("answers", "a-", {
            "conversation_id": chat.row["conversation_id"],
            "flow_id": flow,
            "field": name,
            "asked_at": asked,
            "answered_at": answered,
            "value": None if answered is None else values[name] if valid else wrong,
            "is_valid": valid if answered is not None else None,
            "_zone": chat.zone,
        })  # fmt: skip

    def run_flow(self, chat: Chat, flow: str, drop: float) -> bool:
        """Let the bot ask a flow's questions; return whether all of them were answered.

        Args:
            chat: the conversation.
            flow: a key of `FLOWS`.
            drop: chance per question that the contact stops answering.
        """
        self.event(chat, "flow_started", "bot", flow_id=flow)
        for name in FLOW_FIELDS[flow]:
            for attempt in range(2):
                self.reply(chat, self.say("prompt", chat.language), "prompt", flow_id=flow,
                           step_id=name)  # fmt: skip
                asked = chat.now
                self.event(chat, "step_reached", "bot", flow_id=flow, step_id=name)
                if self.chance(drop):
                    self.capture(chat, flow, name, asked, None, None)
                    return False
                self.write(chat, self.say("form", chat.language), "inform", 0.1)
                valid = attempt == 1 or self.chance(0.86)
                self.capture(chat, flow, name, asked, chat.now, valid)
                if valid:
                    chat.answered_fields.append((flow, name))
                    break
        self.event(chat, "flow_completed", "bot", flow_id=flow)
        return True

    def lead_episode(self, chat: Chat, intent: str) -> str:
        """Play a lead or booking flow and add what the CRM makes of it; return the plan."""
        flow = {"wholesale": "trade_account", "trip_planning": "trip_planner"}.get(
            intent, "fitting" if self.chance(0.5) else "newsletter"
        )
        self.ask(chat, intent, 0.2)
        self.answer(chat, intent)
        done = self.run_flow(chat, flow, drop=0.11)
        if not done:
            return "abandoned"
        contact = chat.person.contact_id
        if contact is None and self.chance(0.7):
            contact = self.new_contact(chat.person, chat.now)
            chat.row["contact_id"] = contact
        if self.chance(0.3):
            self.hand_over(chat, "handoff_bot")
            plan = "handoff_bot"
        else:
            self.reply(chat, self.fill("OK, {order}."), "answer")
            plan = "resolved"
        draw = self.rng.random()
        if FLOWS[flow][1] == "lead" and self.chance(0.8):
            self.add("leads", "l-", {
                "contact_id": contact,
                "conversation_id": chat.row["conversation_id"],
                "created_at": chat.now + timedelta(seconds=30),
                "source": "chat",
                "qualified_at": chat.now + self.seconds(3600, 500000) if draw < 0.55 else None,
                "disqualified_at":
                    chat.now + self.seconds(3600, 500000) if 0.5 < draw < 0.75 else None,
                "_zone": chat.zone,
            })  # fmt: skip
        if flow in ("fitting", "trade_account") or self.chance(0.3):
            self.meeting(contact, str(chat.row["conversation_id"]), chat.now, chat.zone)
        return plan

    def meeting(self, contact: str | None, conversation: str | None, booked: datetime,
                zone: timezone) -> None:  # fmt: skip
        """Add a meeting booked at `booked` that takes place some days later."""
        starts = booked.replace(minute=0, second=0) + timedelta(days=self.rng.randrange(2, 13))
        weights = (("held", 60), ("no_show", 15), ("cancelled", 18), ("booked", 7))
        if starts > DEMO_AS_OF:
            weights = (("booked", 85), ("cancelled", 15), ("held", 0), ("no_show", 0))
        self.add("meetings", "mt-", {
            "contact_id": contact,
            "conversation_id": conversation,
            "booked_at": booked + timedelta(seconds=20),
            "starts_at": starts,
            "status": self.pick(weights),
            "_zone": zone,
        })  # fmt: skip

    # -- episodes and conversations -----------------------------------------------------------

    def choose_intent(self, at: datetime, entry: str | None) -> str:
        """Return what the contact wants, by week, hour and page."""
        if entry in ("/trade", "/plan-a-trip") and self.chance(0.8):
            return "wholesale" if entry == "/trade" else "trip_planning"
        week = (at - DEMO_START).days // 7
        weights: dict[str, float] = dict(TOPIC_WEIGHTS)
        if week == INCIDENT_WEEK:
            weights["payment_failed"] = 70
        if week == LAUNCH_WEEK:
            weights |= {"product_advice": 45, "stock": 40, "order_place": 15}
        if week >= RECALL_WEEK:
            weights["stove_recall"] = 7.0 * (week - RECALL_WEEK + 1)
        if not self.office_open(at):
            weights["order_place"] *= 4
        return self.pick(list(weights.items()))

    def quality_at(self, at: datetime, intent: str, chat_bot: str | None) -> float:
        """Return how much likelier than usual a failure is at that time for that question."""
        week = (at - DEMO_START).days / 7
        quality = 1.42 - 0.02 * week
        if at >= VERSION_CHANGE or chat_bot == "xiaolu":
            quality -= 0.22
        if int(week) == INCIDENT_WEEK:
            quality *= 4.0 if intent == "payment_failed" else 1.6
        if int(week) == LAUNCH_WEEK:
            quality *= 1.6
        if intent == "stove_recall" and week < RECALL_WEEK + 2:
            quality *= 1.8
        return quality

    def choose_plan(self, quality: float) -> str:
        """Return what happens to an episode: one of `PLANS`."""
        return self.pick(
            [(plan, weight * quality if worse else weight) for plan, weight, worse in PLANS]
        )

    def bot_episode(self, chat: Chat, intent: str, first: bool) -> str:
        """Play one request for help with a bot on duty; return the plan it followed."""
        chat.last_answer = chat.earlier_answer = None
        chat.answered_fields = []
        chat.agent_last = False
        if first and not chat.outbound and chat.channel in ("web", "app") and self.chance(0.3):
            self.reply(chat, self.say("greeting", chat.language), "greeting")
        if intent in ("wholesale", "trip_planning") or (
            intent == "product_advice" and first and self.chance(0.25)
        ):
            return self.lead_episode(chat, intent)
        plan = self.choose_plan(chat.quality)
        if self.chance(0.03):
            self.write(chat, self.say("hello", chat.language), "greet", 0.1, 0.98)
            self.reply(chat, self.say("greeting", chat.language), "greeting")
        if plan == "missed":
            self.ask(chat, intent, -0.1)
            if self.chance(0.5):
                self.event(chat, "error", "bot", reason="timeout")
            if self.chance(0.4):
                chat.now += self.seconds(2400, 9000)
                self.write(chat, self.say("hello_again", chat.language), None, -0.5)
            return plan
        if plan == "only_fallback":
            for _ in range(self.rng.randrange(1, 3)):
                self.ask_hard(chat)
            return plan
        if self.chance(0.17 * chat.quality):
            self.ask_hard(chat)
        mood = -0.1 if chat.quality > 1.5 else 0.05
        confidence = self.ask(chat, intent, mood)
        if self.personal_left and chat.person.language != "zh" and self.chance(0.02):
            self.personal_left -= 1
            self.write(chat, self.say("personal", chat.language), "inform", 0.0)
        if confidence is not None and confidence < 0.9 and self.chance(0.6):
            self.reply(chat, self.say("prompt", chat.language), "prompt")
            self.write(chat, self.say("inform", chat.language), "inform")
        if self.chance(0.008):
            self.event(chat, "guardrail_blocked", "bot", reason="off_policy")
            self.reply(chat, self.say("blocked", chat.language), "fallback")
            self.ask(chat, intent, -0.3)
        if plan == "handoff_bot" and self.chance(0.2):
            self.hand_over(chat, plan)  # straight to a person: involved without an answer
            return plan
        if intent == "return_request" and self.chance(0.6):
            self.run_flow(chat, "return_label", drop=0.05)
        self.answer(chat, intent)
        last_asked = intent
        if self.chance(0.07 * chat.quality):
            self.ask(chat, intent, -0.35, self.say("again", chat.language))
            self.answer(chat, intent)
        for _ in range(self.rng.choice((0, 1, 2, 2, 3))):
            if self.chance(0.1):
                chat.now += self.seconds(2700, 72000)
                if chat.channel in ("web", "app"):
                    self.event(chat, "opened", "contact")
            near = [name for name in TOPIC_WEIGHTS
                    if INTENTS[name][0] == INTENTS[intent][0] and name != last_asked]  # fmt: skip
            follow_up = self.choose_intent(chat.now, None)
            if near and self.chance(0.7):
                follow_up = self.rng.choice(near)
            last_asked = follow_up
            self.ask(chat, follow_up, mood)
            if self.chance(0.012):
                break  # no reply
            self.answer(chat, follow_up)
        if INTENTS[intent][0] == "advice" and self.chance(0.55):
            row = self.reply(chat, self.say("recommend", chat.language), "recommendation")
            chat.earlier_answer, chat.last_answer = chat.last_answer, row
            if self.chance(0.3):
                chat.now += self.seconds(5, 60)
                self.event(chat, "recommendation_accepted", "contact")
        if plan == "resolved":
            if self.chance(0.5):
                self.write(chat, self.say("thanks", chat.language), "thanks", 0.6)
            if self.chance(0.2):
                chat.now += self.seconds(2, 20)
                self.event(chat, "resolution_confirmed", "contact")
            elif self.chance(0.08):
                self.rate(chat, "thumbs", True)
        elif plan == "request_unmet":
            self.ask(chat, "human_request", -0.4)
            self.event(chat, "handoff_requested", "contact", reason="asked_for_human")
            self.reply(chat, self.say("busy", chat.language), "prompt")
        elif plan == "handoff_failed":
            self.ask(chat, "human_request", -0.4)
            self.event(chat, "handoff_requested", "contact", reason="asked_for_human")
            chat.now += timedelta(seconds=3)
            self.event(chat, "handoff_failed", "automation", reason="no_agent_available")
            self.reply(chat, self.say("busy", chat.language), "prompt")
        elif plan == "negative":
            if self.chance(0.5):
                self.write(chat, self.say("again", chat.language), None, -0.7)
                self.answer(chat, intent)
            self.rate(chat, self.rng.choice(("thumbs", "thumbs", "csat")), False, chat.last_answer)
        elif plan == "abandoned":
            self.reply(chat, self.say("prompt", chat.language), "prompt")
        else:
            self.hand_over(chat, plan)
        return plan

    def agent_episode(self, chat: Chat, intent: str) -> None:
        """Play a request that only people handle."""
        self.ask(chat, intent)
        if not self.office_open(chat.now):
            chat.now = self.next_opening(chat.now)
        for _ in range(self.rng.randrange(1, 4)):
            chat.now += self.seconds(120, 2400)
            self.message(chat, "agent", self.say("agent_reply", chat.language),
                         sender_id=chat.agent)  # fmt: skip
            self.write(chat, self.say("contact_more", chat.language), None)

    def close(self, chat: Chat, actor: str) -> None:
        """Close the conversation some minutes after its last message."""
        chat.now += self.seconds(240, 1500)
        self.event(chat, "closed", actor, actor_id=chat.agent if actor == "agent" else None)
        chat.row["closed_at"] = chat.now

    def start_chat(self, at: datetime, forced: Person | None, channel: str | None) -> Chat:
        """Create a conversation row opened at `at` and the chat to be written into it."""
        rng = self.rng
        language = forced.language if forced else self.language_at(at)
        channel = channel or self.pick(CHANNELS[language])
        person = forced or self.choose_person(at, language, channel)
        number = self.counts.get("conversations", 0) + 1
        outbound = forced is None and person.contact_id is not None and self.chance(0.075)
        bot: str | None = "scout-v2" if at >= VERSION_CHANGE else "scout-v1"
        if channel == "wechat":
            bot = "xiaolu"
        if (forced is not None and channel == "email") or (not outbound and self.chance(0.045)):
            bot = None
        mobile = channel in ("app", "whatsapp", "wechat")
        device = "mobile" if mobile else None
        if channel == "web":
            device = self.pick((("desktop", 56), ("mobile", 37), ("tablet", 6), ("other", 1)))
        systems = {"desktop": ("Windows", "macOS"), "mobile": ("iOS", "Android"),
                   "tablet": ("iPadOS",)}  # fmt: skip
        entry = None
        if channel in ("web", "app"):
            entry = self.pick((("/help", 34), ("/product", 26), ("/checkout", 14), ("/", 15),
                               ("/plan-a-trip", 7), ("/trade", 4)))  # fmt: skip
        campaign = None
        if outbound:
            launch = (at - DEMO_START).days // 7 in (LAUNCH_WEEK - 1, LAUNCH_WEEK)
            campaign = "kestrel-launch" if launch else rng.choice(("spring-sale", "cart-reminder"))
        elif self.chance(0.06):
            campaign = "newsletter"
        zone = zone_of(language, number)
        row = self.add("conversations", "cv-", {
            "platform": "wechat_bridge" if channel == "wechat" else "helmdesk",
            "channel": channel,
            "opened_at": at,
            "closed_at": None,
            "direction": "outbound" if outbound else None if self.chance(0.1) else "inbound",
            "bot_id": bot,
            "contact_id": person.contact_id,
            "visitor_id": person.visitor_id if channel == "web" else None,
            "entry_point": entry,
            "campaign": campaign,
            "device_type": device,
            "os": rng.choice(systems[device]) if device in systems else None,
            "browser": rng.choice(("Firefox", "Chrome", "Safari")) if channel == "web" else None,
            "language": language,
            "country": person.country,
            "is_test": True if self.chance(0.012) else None,
            "is_spam": None,
            "_zone": zone,
        })  # fmt: skip
        agents = {"zh": ("agent_06", "agent_07")}.get(language, tuple(a[0] for a in AGENTS[:5]))
        return Chat(row, person, language, channel, bot, at, 1.0, zone, rng.choice(agents),
                    outbound)  # fmt: skip

    def language_at(self, at: datetime) -> str:
        """Return the language somebody who writes at that hour is likely to speak."""
        hour = at.astimezone(OFFICE).hour
        return self.pick(
            [
                (name, share * (0.05 + HOUR_WEIGHTS[name][hour]))
                for name, share in LANGUAGE_SHARES.items()
            ]
        )

    def conversation(self, at: datetime, forced: Person | None, channel: str | None) -> None:
        """Play one conversation with all its episodes."""
        chat = self.start_chat(at, forced, channel)
        if forced is None and self.chance(0.015):
            chat.row["is_spam"] = True
            self.write(chat, self.say("spam", chat.language), None)
            return
        entry = chat.row["entry_point"]
        intent = self.choose_intent(at, str(entry) if entry else None)
        if chat.channel in ("web", "app") and forced is None:
            if self.chance(0.03):
                self.event(chat, "opened", "contact")
            if self.chance(0.07):  # looked in and left
                if chat.bot and self.chance(0.6):
                    self.reply(chat, self.say("greeting", chat.language), "greeting")
                return
        chat.quality = self.quality_at(at, intent, chat.bot)
        at_entry = chat.channel in ("web", "app") and not chat.outbound
        if chat.bot and at_entry and at >= EXPERIMENT_START:
            number = self.counts.get("experiment_assignments", 0)
            variant = ("control", "guided_menu", "short_answers")[number * 5 // 2 % 3]
            self.add("experiment_assignments", "x-", {
                "experiment_id": EXPERIMENT,
                "variant": variant,
                "conversation_id": chat.row["conversation_id"],
                "assigned_at": at,
                "_zone": chat.zone,
            })  # fmt: skip
            chat.quality *= {"guided_menu": 0.4}.get(variant, 1.25)
        if chat.outbound:
            self.reply(chat, self.say("campaign", chat.language), None)
            if self.chance(0.55):
                return
            chat.now += self.seconds(300, 30000)
        number = 1
        while True:
            started = chat.now
            if chat.bot:
                plan = self.bot_episode(chat, intent, number == 1)
            else:
                self.agent_episode(chat, intent)
                plan = "agent"
            good = plan == "resolved"
            if plan not in ("missed", "negative"):
                self.survey(chat, good, 0.7 if good or chat.agent_last else 0.3)
            self.log(chat, intent, started, plan)
            closed = self.chance(0.85)
            if closed:
                self.close(chat, "agent" if chat.agent_last else
                           self.rng.choice(("automation", "automation", "contact")))  # fmt: skip
            sticky = chat.channel in ("whatsapp", "wechat", "email")
            if number == 3 or not self.chance(0.17 if sticky else 0.08):
                return
            hours = (1, 110) if closed else (74, 140)
            chat.now += self.seconds(hours[0] * 3600, hours[1] * 3600)
            while self.chance(0.4) and chat.now.hour in (0, 1, 2, 3, 4):
                chat.now += timedelta(hours=5)
            if closed:
                self.event(chat, "reopened", "contact")
                chat.row["closed_at"] = None
            if not self.chance(0.6):
                intent = self.choose_intent(chat.now, None)
            number += 1

    def log(self, chat: Chat, intent: str, started: datetime, plan: str) -> None:
        """Remember the episode for the CRM, and let some people try another channel next."""
        row = chat.row
        counted = bool(chat.bot) and not chat.outbound and not row["is_test"] and not row["is_spam"]
        episode = Episode(chat.person, str(row["conversation_id"]), chat.channel,
                          INTENTS[intent][0], intent, started, chat.now, plan, counted)  # fmt: skip
        self.episodes.append(episode)
        may_switch = chat.person.contact_id and plan != "agent" and chat.channel != "email"
        if may_switch and self.chance(0.02 if plan == "resolved" else 0.12):
            other = "email" if chat.language != "zh" else "app"
            self.schedule(chat.now + self.seconds(1800, 60000), chat.person, other)
        if plan.startswith("handoff") and self.chance(0.35):
            self.ticket(episode, chat.now + self.seconds(60, 900), episode.topic, True)

    # -- CRM ----------------------------------------------------------------------------------

    def ticket(self, episode: Episode, at: datetime, topic: str | None, named: bool) -> None:
        """Add a ticket of the episode's person; `named` ones name the conversation."""
        number = self.counts.get("tickets", 0) + 1
        by_bot = self.chance(0.45)
        assigned = at + self.seconds(2, 60)
        self.add("tickets", "t-", {
            "contact_id": episode.person.contact_id,
            "conversation_id": episode.conversation_id if named else None,
            "channel": "email" if not named else episode.channel,
            "topic": topic,
            "url": f"https://desk.example.com/tickets/{number}",
            "created_at": at,
            "bot_assigned_at": assigned if by_bot else None,
            "closed_at": assigned + self.seconds(900, 260000) if self.chance(0.85) else None,
            "_zone": zone_of(episode.person.language, number),
        })  # fmt: skip

    def deal(self, person: Person, created: datetime, closed: datetime | None, won: bool | None,
             amount: float, currency: str | None = None) -> None:  # fmt: skip
        """Add a deal; `amount` is in dollars or euros, and about its worth in yuan."""
        number = self.counts.get("deals", 0) + 1
        currency = currency or CURRENCIES.get(person.country, "USD")
        amount = round(amount * (7.2 if currency == "CNY" else 1), 2)
        self.add("deals", "d-", {
            "contact_id": person.contact_id,
            "created_at": created,
            "closed_at": closed,
            "is_won": won,
            "amount": amount,
            "margin": round(amount * self.rng.uniform(0.18, 0.42), 2) if self.chance(0.9) else None,
            "currency": currency,
            "_zone": zone_of(person.language, number),
        })  # fmt: skip

    def draw_crm(self) -> None:
        """Add the deals, tickets and meetings that follow, or do not follow, from the chats."""
        rng = self.rng
        lead_contacts = [row["contact_id"] for row in self.tables["leads"] if row["contact_id"]]
        for episode in list(self.episodes):
            person = episode.person
            if person.contact_id is None:
                continue
            share = {"advice": 0.34, "trip_planning": 0.4, "wholesale": 0.4}.get(
                episode.topic or "", 0.045
            )
            if episode.plan not in ("resolved", "handoff_bot"):
                share *= 0.5
            if self.chance(share):
                wait = self.pick((("soon", 72), ("later", 18), ("late", 10)))
                span = {"soon": (600, 500000), "later": (700000, 2400000),
                        "late": (3000000, 7000000)}[wait]  # fmt: skip
                created = episode.ended + self.seconds(*span)
                fast = self.chance(0.65)
                closed = created + (
                    self.seconds(60, 3000) if fast else self.seconds(86400, 2000000)
                )
                won = self.chance(0.9 if fast else 0.55)
                open_ = not fast and self.chance(0.3)
                amount = rng.uniform(35, 420) * (5 if episode.topic == "wholesale" else 1)
                if open_:
                    self.deal(person, created, None, None, amount)
                else:
                    self.deal(person, created, closed, won, amount)
            if self.chance(0.045):
                topic = rng.choice((episode.topic, episode.topic, "invoices", None))
                wait_seconds = rng.choice(((1800, 80000), (90000, 590000)))
                self.ticket(episode, episode.ended + self.seconds(*wait_seconds), topic, False)
            if self.chance(0.008):
                self.meeting(person.contact_id, None, episode.ended + self.seconds(3600, 900000),
                             UTC)  # fmt: skip
        touched = [episode for episode in self.episodes
                   if episode.counted and episode.plan == "resolved" and episode.person.contact_id
                   and episode.started < DEMO_AS_OF - timedelta(days=20)]  # fmt: skip
        for episode in rng.sample(touched, 14):  # chats in the middle of an open deal
            created = episode.started - self.seconds(86400, 500000)
            self.deal(episode.person, created, episode.ended + self.seconds(7200, 600000), True,
                      rng.uniform(300, 900))  # fmt: skip
        swiss = next(episode for episode in touched if episode.person.country == "CH")
        created = swiss.ended + timedelta(hours=5)
        self.deal(swiss.person, created, created + timedelta(hours=1), True, 260.0, "CHF")
        strangers = [row for row in self.tables["contacts"] if row["contact_id"] not in {
            episode.person.contact_id for episode in self.episodes}]  # fmt: skip
        for row in strangers + rng.sample(self.tables["contacts"], 40):
            at = DEMO_START + self.seconds(0, 180 * 86400)
            other = Person(str(row["language"]), str(row["country"]), str(row["contact_id"]))
            self.deal(other, at, at + timedelta(minutes=20), True, rng.uniform(30, 200))
        for contact in lead_contacts[:4]:  # leads the CRM has from elsewhere
            self.add("leads", "l-", {"contact_id": contact, "conversation_id": None,
                                     "created_at": DEMO_START + self.seconds(0, 15000000),
                                     "source": "fair"})  # fmt: skip

    def merge_contacts(self) -> None:
        """Mark some contacts as merged: pairs, one chain of two steps, one cycle."""
        used: list[str] = []
        for episode in self.episodes:
            contact = episode.person.contact_id
            if episode.counted and contact and contact not in used:
                used.append(contact)
        rows = {str(row["contact_id"]): row for row in self.tables["contacts"]}
        chosen = self.rng.sample(used[: len(used) // 2], 13)
        links = [(chosen[0], chosen[1]), (chosen[1], chosen[2]), (chosen[3], chosen[4]),
                 (chosen[4], chosen[3])]  # fmt: skip
        links += [(chosen[number], chosen[number + 1]) for number in range(5, 13, 2)]
        for merged, survivor in links:
            rows[merged]["merged_into"] = survivor

    def draw_costs(self) -> None:
        """Add monthly costs that follow the traffic; the last month is a part of one."""
        prices = {model: list(steps) for model, steps in MODEL_PRICES.items()}
        llm: dict[date, float] = {}
        agent: dict[date, int] = {}
        total: dict[date, int] = {}
        for row in self.tables["messages"]:
            at = row["sent_at"]
            assert isinstance(at, datetime)
            month = at.date().replace(day=1)
            total[month] = total.get(month, 0) + 1
            if row["sender_type"] == "agent":
                agent[month] = agent.get(month, 0) + 1
            model, tokens_in, tokens_out = (row.get("model"), row.get("input_tokens"),
                                            row.get("output_tokens"))  # fmt: skip
            if isinstance(model, str) and isinstance(tokens_in, int):
                assert isinstance(tokens_out, int)
                step = [price for price in prices[model] if price[0] <= at.date()][-1]
                spent = tokens_in * step[1] + tokens_out * step[2]
                llm[month] = llm.get(month, 0.0) + spent / 1e6
        for month in sorted(total):
            share = 5 / 31 if month == date(2026, 7, 1) else 1.0
            amounts = {
                "bot_platform": 390 * share,
                "llm": llm.get(month, 0.0) * 1.08,
                "channel": 0.045 * total[month],
                "agent_labour": 120 * share + 5.2 * agent.get(month, 0),
                "tools": 140 * share,
                "devices": 45 * share,
            }
            self.tables["costs"] += [
                {"month": month, "category": category, "amount": round(amounts[category], 2),
                 "currency": "USD"}
                for category in COST_CATEGORIES
            ]  # fmt: skip

    # -- the whole half-year ------------------------------------------------------------------

    def schedule(self, at: datetime, person: Person | None, channel: str | None) -> None:
        """Queue a conversation; without a person, somebody is chosen when it opens."""
        self.waves += 1
        heapq.heappush(self.queue, (at, self.waves, person, channel))

    def plan_traffic(self) -> None:
        """Schedule the openings of all conversations, by week, weekday and hour."""
        overall = [
            sum(HOUR_WEIGHTS[name][hour] * share for name, share in LANGUAGE_SHARES.items())
            for hour in range(24)
        ]
        for week in range(DEMO_WEEKS):
            size = 40.0 + 0.95 * week
            size *= {INCIDENT_WEEK: 1.45, LAUNCH_WEEK: 2.1}.get(week, 1.0)
            for _ in range(round(size * self.rng.uniform(0.94, 1.06))):
                day = self.rng.choices(range(7), WEEKDAY_WEIGHTS)[0]
                hour = self.rng.choices(range(24), overall)[0]
                local = datetime(2026, 1, 5, tzinfo=OFFICE) + timedelta(
                    days=7 * week + day, hours=hour, seconds=self.rng.randrange(3600)
                )
                at = local.astimezone(UTC)
                if DEMO_START <= at < DEMO_AS_OF - timedelta(minutes=5):
                    self.schedule(at, None, None)
        for minutes in (9, 31, 64, 170, 410):  # something is always going on at the end
            self.schedule(DEMO_AS_OF - timedelta(minutes=minutes), None, None)

    def cut(self) -> None:
        """Drop what lies after `DEMO_AS_OF`, and blank milestones that do."""
        for table, column in OWN_TIME.items():
            kept: list[Row] = []
            for row in self.tables[table]:
                if not before_as_of(row[column]):
                    continue
                for milestone, known_then in MILESTONES.get(table, {}).items():
                    if row.get(milestone) is not None and not before_as_of(row[milestone]):
                        row.update(dict.fromkeys((milestone, *known_then)))
                kept.append(row)
            self.tables[table] = kept
        contacts = {row["contact_id"] for row in self.tables["contacts"]}
        for rows in self.tables.values():
            for row in rows:
                if row.get("contact_id") not in contacts and "contact_id" in row:
                    row["contact_id"] = None

    def run(self) -> None:
        """Generate all rows into `tables`."""
        for table, rows in reference_rows(DEMO_START.date(), DEMO_AS_OF.date()).items():
            self.tables[table] += rows
        for number in range(24):  # customers who never chat
            person = Person(LANGUAGES[number % 3], COUNTRIES[LANGUAGES[number % 3]][0][0])
            self.new_contact(person, DEMO_START - timedelta(days=20 + number))
        self.plan_traffic()
        while self.queue:
            at, _, somebody, channel = heapq.heappop(self.queue)
            if before_as_of(at):
                self.conversation(at, somebody, channel)
        self.draw_crm()
        self.merge_contacts()
        self.cut()
        self.draw_costs()


def before_as_of(value: object) -> bool:
    """Return whether an instant is at or before `DEMO_AS_OF`."""
    assert isinstance(value, datetime)
    return value <= DEMO_AS_OF


def zone_of(language: str, number: int) -> timezone:
    """Return the offset of a source's instants: mostly UTC, else the office's or China's."""
    if language == "zh" and number % 2:
        return timezone(timedelta(hours=8))
    if language == "de" and number % 3 == 0:
        return timezone(timedelta(hours=1))
    return UTC


# Rows a warehouse must refuse, per table: what is changed in a good row.
FAULTS: Final[dict[str, tuple[Row, ...]]] = {
    "conversations": (
        {"conversation_id": None},
        {"conversation_id": "cv-bad-1", "channel": "fax"},
        {"conversation_id": "cv-bad-2", "opened_at": "yesterday"},
        {"conversation_id": "cv-bad-3", "platform": None},
        {"conversation_id": "cv-bad-4", "is_test": "maybe"},
    ),
    "messages": (
        {"message_id": None},
        {"message_id": "m-bad-1", "sent_at": "2026-13-40T25:00:00Z"},
        {"message_id": "m-bad-2", "sender_type": "robot"},
        {"message_id": "m-bad-3", "conversation_id": "cv-unknown"},
        {"message_id": "m-bad-4", "intent_confidence": "high"},
        {"message_id": "m-bad-5", "kind": "smalltalk"},
    ),
    "events": (
        {"event_id": None},
        {"event_id": "e-bad-1", "event_type": "teleported"},
        {"event_id": "e-bad-2", "conversation_id": "cv-unknown"},
        {"event_id": "e-bad-3", "occurred_at": None},
    ),
    "feedback": (
        {"feedback_id": "f-bad-1", "score": "five"},
        {"feedback_id": "f-bad-2", "kind": "stars"},
        {"feedback_id": "f-bad-3", "conversation_id": "cv-unknown"},
    ),
    "answers": (
        {"answer_id": None},
        {"answer_id": "a-bad-1", "flow_id": None},
        {"answer_id": "a-bad-2", "conversation_id": "cv-unknown"},
    ),
    "contacts": (
        {"contact_id": None},
        {"contact_id": "c-bad-1", "created_at": None},
        {"contact_id": "c-bad-2", "created_at": "long ago"},
    ),
    "deals": (
        {"deal_id": None},
        {"deal_id": "d-bad-1", "amount": "n/a"},
        {"deal_id": "d-bad-2", "created_at": None},
    ),
    "meetings": (
        {"meeting_id": None},
        {"meeting_id": "mt-bad-1", "status": "postponed"},
        {"meeting_id": "mt-bad-2", "booked_at": None},
    ),
}
# Columns an older copy of a row had other values in; the newer copy stands further down.
OLDER_COPIES: Final[dict[str, tuple[int, Row]]] = {
    "conversations": (7, {"closed_at": None, "language": None}),
    "messages": (14, {"intent_label": None, "is_grounded": None, "text": "..."}),
    "events": (4, {}),
    "contacts": (5, {"phone": None, "merged_into": None}),
    "deals": (5, {"closed_at": None, "is_won": None}),
    "tickets": (3, {"closed_at": None}),
}


def soil(rng: random.Random, table: str, rows: list[Row]) -> list[Row]:
    """Return rows with older copies put before and faulty rows put between them."""
    soiled = list(rows)
    copies, changes = OLDER_COPIES.get(table, (0, {}))
    for number in sorted(rng.sample(range(len(rows)), copies), reverse=True):
        identical = not changes or number % 4 == 0
        soiled.insert(number, dict(rows[number]) if identical else {**rows[number], **changes})
    for fault in FAULTS.get(table, ()):
        soiled.insert(rng.randrange(len(soiled)), {**rng.choice(rows), **fault})
    return soiled


def generate_demo(out: Path, seed: int) -> dict[str, int]:
    """Write the demo as ``<out>/<table>/<table>.csv`` (and late messages beside the others).

    Args:
        out: directory; missing parents are made, files of an earlier run are replaced.
        seed: any integer.

    Returns:
        table name -> number of rows written, superseded and faulty ones included.

    Raises:
        GenerateError: `out` cannot be written, or holds data files of the same tables that this
            command does not write.
    """
    written = {table: [f"{table}.csv"] for table in COLUMNS}
    written["messages"].append("messages_late.csv")
    for table, names in written.items():
        for path in sorted((out / table).glob("*")):
            if path.name not in names and path.suffix in (".csv", ".jsonl", ".parquet", ".gz"):
                raise GenerateError(
                    f"{path} is not part of the demo; move it or choose another --out."
                )
    with progress_bar() as bar:
        task = bar.add_task("demo", total=2)
        demo = Demo(seed)
        demo.run()
        bar.advance(task)
        counts: dict[str, int] = {}
        try:
            for table, rows in demo.tables.items():
                files = {f"{table}.csv": rows}
                if table == "messages":
                    prompt, late = split_late(demo.rng, rows)
                    files = {f"{table}.csv": prompt, "messages_late.csv": late}
                counts[table] = 0
                for name, part in files.items():
                    final = soil(demo.rng, table, part) if name == f"{table}.csv" else part
                    write_csv(out / table / name, COLUMNS[table], final)
                    counts[table] += len(final)
        except OSError as error:
            raise GenerateError(f"Cannot write to {out}: {error.strerror}.") from error
        bar.advance(task)
    return counts


def split_late(rng: random.Random, rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Return (prompt, late) messages: some 45 of earlier weeks arrive only with the last file."""
    limit = DEMO_AS_OF - timedelta(days=21)
    early = [number for number, row in enumerate(rows)
             if isinstance(row["sent_at"], datetime) and row["sent_at"] < limit]  # fmt: skip
    late = set(rng.sample(early, 45))
    return (
        [row for number, row in enumerate(rows) if number not in late],
        [row for number, row in enumerate(rows) if number in late],
    )


# --------------------------------------------------------------------------------------------
# Bulk
# --------------------------------------------------------------------------------------------

MESSAGES_PER_CONVERSATION: Final = 10.0  # measured over a year; see `test_bulk_size`
LOOK_BACK_DAYS: Final = {  # how long after its conversation was opened a row may come into being
    "conversations": 0,
    "messages": 10,
    "events": 10,
    "feedback": 10,
    "answers": 10,
    "contacts": 1,
    "leads": 11,
    "meetings": 11,
    "deals": 22,
    "tickets": 11,
    "experiment_assignments": 0,
}
FAULTY_TABLES: Final = {  # table: (key, time, enum)
    "messages": ("message_id", "sent_at", "sender_type"),
    "events": ("event_id", "occurred_at", "event_type"),
    "feedback": ("feedback_id", "submitted_at", "kind"),
}


@dataclass(frozen=True)
class BulkPlan:
    """What to generate.

    Attributes:
        messages: about how many messages the whole dataset has.
        seed: any integer.
        days: length of the whole dataset, from `BULK_START`.
        from_day, to_day: the part of it to write, both ends included, 0-based.
        dirty: extra faulty rows per row of messages, events and feedback, 0..1.
    """

    messages: int
    seed: int = 1
    days: int = 365
    from_day: int = 0
    to_day: int = 364
    dirty: float = 0.0

    def __post_init__(self) -> None:
        if self.messages < 1:
            raise GenerateError("--messages must be at least 1.")
        if self.days < 1:
            raise GenerateError("--days must be at least 1.")
        if not 0 <= self.from_day <= self.to_day < self.days:
            raise GenerateError(
                f"The days to write must lie in 0..{self.days - 1}, in order; "
                f"got {self.from_day}..{self.to_day}."
            )
        if not 0 <= self.dirty <= 1:
            raise GenerateError("--dirty must lie between 0 and 1.")


def day_bounds(plan: BulkPlan) -> list[int]:
    """Return days + 1 conversation numbers: day d opens conversations [bounds[d], bounds[d+1]).

    Traffic grows by half over the whole length and is lower at weekends.
    """
    first = BULK_START.weekday()
    weights = [
        (1 + 0.5 * day / plan.days) * (0.55 if (first + day) % 7 >= 5 else 1.0)
        for day in range(plan.days)
    ]
    conversations = max(1, round(plan.messages / MESSAGES_PER_CONVERSATION))
    bounds, running, whole = [0], 0.0, sum(weights)
    for weight in weights:
        running += weight
        bounds.append(round(conversations * running / whole))
    return bounds


def sql_list(values: Iterable[object]) -> str:
    """Return an SQL list literal of numbers, texts and nulls."""
    items = []
    for value in values:
        if value is None:
            items.append("null")
        elif isinstance(value, str):
            items.append("'" + value.replace("'", "''") + "'")
        else:
            items.append(str(value))
    return "[" + ", ".join(items) + "]"


def spread(weights: Mapping[str, float] | Sequence[float], size: int = 100) -> list[int]:
    """Return `size` positions, each repeated in proportion to its weight (largest shares first)."""
    numbers = list(weights.values()) if isinstance(weights, Mapping) else list(weights)
    whole, running = sum(numbers), 0.0
    result: list[int] = []
    for position, number in enumerate(numbers):
        running += number
        result += [position] * (round(size * running / whole) - len(result))
    return result


BULK_INTENTS: Final = tuple(TOPIC_WEIGHTS)


def turn_at(j: str) -> str:
    """Return SQL for the start of turn `j` of an episode, in epoch seconds."""
    return (
        f"(started + ({j}) * pace + case when ({j}) >= gap_turn then gap else 0 end "
        f"+ case when ({j}) >= handoff_turn then wait else 0 end)"
    )


def macros(plan: BulkPlan) -> list[str]:
    """Return the SQL macros the bulk queries use.

    `r(key, salt, n)` is a pseudo-random integer 0..n-1, `same_day` an instant, null if it lies on
    a later day than the row's own; `question`, `bot_answer` and `say_...` are texts.
    """
    seed = plan.seed * 1000
    questions: dict[str, list[str]] = {}
    answers: dict[str, list[str]] = {}
    for language in LANGUAGES:
        tidy = {"order": "TH-48213", "product": "Kestrel 2", "days": 5}
        questions[language] = [TEXTS[name][language][0][0].format(**tidy) for name in BULK_INTENTS]
        answers[language] = [TEXTS[name][language][1][0].format(**tidy) for name in BULK_INTENTS]

    def by_language(texts: Mapping[str, Sequence[str]]) -> str:
        cases = " ".join(f"when '{name}' then {sql_list(texts[name])}[1 + n]" for name in LANGUAGES)
        return f"case language {cases} end"

    one = {key: {name: PHRASES[key][name][:1] for name in LANGUAGES}
           for key in ("thanks", "human", "fallback", "notice", "survey", "greeting", "prompt",
                       "agent_reply", "contact_more", "recommend")}  # fmt: skip
    plain = {key: {name: [text.format(product="Tarn 40") for text in texts[name]]
                   for name in LANGUAGES} for key, texts in one.items()}  # fmt: skip
    return [
        (
            f"create or replace temp macro r(key, salt, n) as "
            f"(hash(key, {seed}::bigint + salt) % (n)::ubigint)::bigint"
        ),
        (
            "create or replace temp macro same_day(moment, own) as "
            "case when (moment) // 86400 = (own) // 86400 then (moment) end"
        ),
        "create or replace temp macro instant(moment) as make_timestamp((moment) * 1000000)",
        f"create or replace temp macro question(language, n) as {by_language(questions)}",
        f"create or replace temp macro bot_answer(language, n) as {by_language(answers)}",
        *(
            f"create or replace temp macro say_{key}(language, n) as {by_language(texts)}"
            for key, texts in plain.items()
        ),
    ]


def conversations_sql(days: Sequence[tuple[int, int, int]], plan: BulkPlan) -> str:
    """Return SQL for the conversations of (day, first number, end number) triples."""
    epoch = int(datetime(BULK_START.year, BULK_START.month, BULK_START.day, tzinfo=UTC).timestamp())
    rows = ", ".join(str(triple) for triple in days)
    window = max(1, round(day_bounds(plan)[-1] / plan.days * 14 / 3))
    hours = spread((2, 2, 1, 1, 1, 2, 2, 3, 4, 7, 8, 8, 7, 8, 8, 8, 7, 6, 4, 3, 3, 3, 2, 2))
    channels = {
        "en": ["web"] * 46 + ["app"] * 16 + ["whatsapp"] * 20 + ["email"] * 18,
        "de": ["web"] * 50 + ["app"] * 16 + ["whatsapp"] * 20 + ["email"] * 14,
        "zh": ["wechat"] * 52 + ["app"] * 26 + ["web"] * 22,
    }
    channel = " ".join(
        f"when '{name}' then {sql_list(values)}[1 + r(i, 6, 100)]"
        for name, values in channels.items()
    )
    return f"""
        select
            i, person, language, day,
            case language {channel} end as channel,
            {epoch} + day * 86400 + {sql_list(hours)}[1 + r(i, 3, 100)] * 3600
                + r(i, 4, 3600) as opened,
            case when r(i, 7, 1000) < 955
                then case when language = 'zh' then 'xiaolu'
                    when day * 2 < {plan.days} then 'scout-v1' else 'scout-v2' end
            end as bot,
            r(i, 8, 1000) < 40 as is_outbound,
            case when r(i, 9, 1000) < 65 then 0 when r(i, 9, 1000) < 915 then 1
                when r(i, 9, 1000) < 980 then 2 else 3 end as episode_count,
            case when r(i, 60, 100) < 30 and channel in ('web', 'app') and bot is not null
                and not is_outbound
                then ['control', 'guided_menu', 'short_answers'][1 + r(i, 61, 3)] end as variant,
            case when person % 10 < 7 then 'c' || person end as contact_id,
            case when person % 10 in (7, 8) or (person % 10 < 2 and channel = 'web')
                then 'v' || person end as visitor_id
        from (
            select
                i, day, person,
                case when r(person, 5, 100) < 50 then 'en'
                    when r(person, 5, 100) < 80 then 'de' else 'zh' end as language
            from (
                select
                    day, i,
                    case when i % 3 = 0 then i // 3
                        else i // 3 - r(i, 2, least({window}, i // 3 + 1)) end as person
                from (
                    select day, unnest(range(low, high)) as i
                    from (values {rows}) as days(day, low, high)
                )
            )
        )"""


def episodes_sql(conversations: str, plan: BulkPlan) -> str:
    """Return SQL for the episodes of conversations, with everything their rows are drawn from."""
    lengths = sql_list((1, 2, 2, 3, 3, 4, 4, 5, 6, 8))
    intents = sql_list(spread(TOPIC_WEIGHTS))
    draws = f"""
        select
            *, i * 4 + e as x,
            opened + 5 + r(i * 4 + e, 10, 60)
                + case when e > 0 then e * 259200 + r(i * 4 + e, 11, 129600) else 0 end as started,
            r(i * 4 + e, 12, 1000) as luck,
            e = 0 and r(i * 4 + e, 22, 1000) < 60 and bot is not null as is_lead
        from (select *, unnest(range(episode_count)) as e from ({conversations}))"""
    plans = f"""
        select
            *, 620 + 60 * day // {plan.days}
                + case when variant = 'guided_menu' then 80 else 0 end as limit_,
            case when bot is null then 11 when luck < limit_ then 0 else
                case when (luck - limit_) * 100 // (1000 - limit_) < 32 then 1
                    when (luck - limit_) * 100 // (1000 - limit_) < 42 then 2
                    when (luck - limit_) * 100 // (1000 - limit_) < 50 then 3
                    when (luck - limit_) * 100 // (1000 - limit_) < 58 then 4
                    when (luck - limit_) * 100 // (1000 - limit_) < 68 then 5
                    when (luck - limit_) * 100 // (1000 - limit_) < 74 then 6
                    when (luck - limit_) * 100 // (1000 - limit_) < 78 then 7
                    when (luck - limit_) * 100 // (1000 - limit_) < 85 then 8
                    when (luck - limit_) * 100 // (1000 - limit_) < 95 then 9 else 10 end
            end as plan,
            greatest({lengths}[1 + r(x, 13, 10)], case when is_lead then 5 else 1 end)
                as bot_turns,
            30 + r(x, 16, 90) as pace,
            2700 + r(x, 19, 72000) as gap,
            case when r(x, 20, 10) = 0 then 3600 + r(x, 21, 36000)
                else 60 + r(x, 21, 1800) end as wait,
            {intents}[1 + r(x, 23, 100)] as intent_no
        from ({draws})"""
    return f"""
        select
            *,
            plan between 1 and 5 and (plan = 5 or r(x, 14, 100) < 90) as is_accepted,
            case when plan between 1 and 5 then bot_turns when plan = 11 then 0 else 99 end
                as handoff_turn,
            bot_turns + case when is_accepted then 1 + r(x, 15, 3) else 0 end as turns,
            case when r(x, 17, 100) < 12 then 1 + r(x, 18, greatest(bot_turns - 1, 1))
                else 99 end as gap_turn,
            {turn_at("turns - 1")} + pace as ended,
            started + bot_turns * pace + case when bot_turns >= gap_turn then gap else 0 end
                as handed_at,
            is_lead and r(x, 40, 100) < 65 as is_lead_done,
            plan <= 5 and r(x, 41, 100) < 50 as is_surveyed
        from ({plans})"""


def messages_sql(episodes: str) -> str:
    """Return SQL for the messages of episodes: per turn a question, a reply and what goes along."""
    intents = sql_list(BULK_INTENTS)
    numbers = sql_list(spread(TOPIC_WEIGHTS))
    articles = sql_list(
        next((key for key, value in ARTICLES.items() if value[1] == INTENTS[name][0]), None)
        for name in BULK_INTENTS
    )
    actions = sql_list(ACTIONS.get(name) for name in BULK_INTENTS)
    turns = f"""
        select
            *, x * 16 + j as y,
            {turn_at("j")} + r(x * 16 + j, 30, pace // 4) as asked,
            case when j = 0 or r(x * 16 + j, 31, 100) < 8 then intent_no
                else {numbers}[1 + r(x * 16 + j, 32, 100)] end as n,
            r(x * 16 + j, 33, 1000) < 55 as is_hard,
            j >= handoff_turn as is_agent,
            (plan = 10 and j = turns - 1) or r(x * 16 + j, 34, 1000) < 12 as is_missed,
            j = turns - 1 as is_last
        from (select *, unnest(range(turns)) as j from ({episodes}))"""
    slots = f"""
        select
            *, y * 8 + slot as z,
            case
                when slot = 2 then case when is_agent then 'agent' else 'bot' end
                when slot in (3, 5) then 'bot' when slot = 4 then 'agent' else 'contact'
            end as sender,
            case slot
                when 0 then asked when 1 then asked + pace // 8
                when 2 then asked + pace // 4 + 1 + r(y, 36, pace // 3)
                when 3 then asked + pace // 4 + pace // 3 + 4
                when 4 then asked + 2 else started - 3 end as happens,
            case
                when slot = 5 then case when is_outbound then null else 'greeting' end
                when slot = 3 then case when plan = 1 then 'handoff_notice' else 'survey' end
                when slot <> 2 or is_agent then null
                when is_hard then 'fallback'
                when (is_lead and j < 3) or (is_last and plan in (6, 7, 9)) then 'prompt'
                when r(y, 37, 1000) < 35 then 'recommendation'
                when r(y, 37, 1000) > 970 then null else 'answer' end as kind,
            slot = 2 and not is_agent and not is_hard and not (is_lead and j < 3)
                and not (is_last and plan in (6, 7, 9)) as is_answer,
            slot = 0 and is_last and plan = 0 and r(y, 38, 100) < 35 as is_thanks,
            slot = 0 and ((is_last and plan in (6, 7)) or (plan in (1, 3) and j = bot_turns - 1))
                as is_request
        from (select *, unnest([0, 1, 2, 3, 4, 5]) as slot from ({turns}))
        where case slot
            when 0 then j <> handoff_turn or plan = 11
            when 1 then r(y, 35, 100) < 12 and j <> handoff_turn
            when 2 then is_agent or not is_missed
            when 3 then (plan = 1 and j = handoff_turn - 1)
                or (plan = 0 and is_last and is_surveyed)
            when 4 then j = handoff_turn and r(y, 39, 100) < 40
            else j = 0 and e = 0 and bot is not null
                and (is_outbound or (channel in ('web', 'app') and r(y, 42, 100) < 40)) end"""
    intent = f"""case
                when slot <> 0 or plan = 11 or is_agent then null
                when is_thanks then 'thanks' when is_request then 'human_request'
                when is_hard then 'nlu_fallback' else {intents}[1 + n] end"""
    return f"""
        select
            'm' || z as message_id,
            'k' || i as conversation_id,
            instant(happens) as sent_at,
            sender as sender_type,
            case when sender = 'agent' then 'agent_0' || (1 + r(x, 43, 7))
                when sender = 'bot' then coalesce(bot, 'scout-v1') end as sender_id,
            case when slot = 4 then 'private' else 'public' end as visibility,
            case
                when slot = 4 then 'Checked with the warehouse.'
                when sender = 'agent' then say_agent_reply(language, 0)
                when slot = 1 then say_contact_more(language, 0)
                when sender = 'contact' then case
                    when is_thanks then say_thanks(language, 0)
                    when is_request then say_human(language, 0)
                    when is_agent then say_contact_more(language, 0)
                    else question(language, n) || ' ' || r(z, 44, 90000) end
                when kind = 'greeting' then say_greeting(language, 0)
                when kind = 'handoff_notice' then say_notice(language, 0)
                when kind = 'survey' then say_survey(language, 0)
                when kind = 'fallback' then say_fallback(language, 0)
                when kind = 'prompt' then say_prompt(language, 0)
                when kind = 'recommendation' then say_recommend(language, 0)
                else bot_answer(language, n) || ' ' || r(z, 44, 90000) end as text,
            kind,
            {intent} as intent,
            case when slot = 0 and not is_agent and plan <> 11 then
                case when is_hard then 0.2 + r(y, 45, 40) / 100
                    when r(y, 46, 100) < 12 then 0.6 + r(y, 45, 29) / 100
                    else 0.9 + r(y, 45, 10) / 100 end end as intent_confidence,
            case when slot = 0 and not is_agent and plan <> 11 and r(y, 47, 100) < 3 then
                case when r(y, 48, 100) < 92 then {intent}
                    else {intents}[1 + r(y, 49, {len(BULK_INTENTS)})] end end as intent_label,
            case when sender = 'contact' and r(z, 50, 100) < 40
                then (r(z, 51, 21) - 10) / 10 end as sentiment,
            case when sender = 'contact' then language end as language,
            case when is_answer and {actions}[1 + n] is null and r(y, 52, 100) < 80
                then {articles}[1 + n] end as cited_sources,
            case when is_answer then {actions}[1 + n] end as action_name,
            case when is_answer and {actions}[1 + n] is not null
                then case when r(y, 53, 100) < 95 then 'success' else 'failure' end
                end as action_status,
            case when kind = 'prompt' and is_lead then 'trip_planner' end as flow_id,
            case when kind = 'prompt' and is_lead and j < 3
                then ['email', 'name', 'budget'][1 + j] end as step_id,
            case when is_answer then case when bot = 'scout-v1' then 'ridge-small'
                else 'ridge-large' end end as model,
            case when is_answer then 900 + r(y, 54, 5000) end as input_tokens,
            case when is_answer then 20 + r(y, 55, 240) end as output_tokens,
            case when is_answer and r(y, 56, 100) < 5 then r(y, 57, 100) < 96 end as is_grounded,
            happens as own_
        from ({slots})"""


def events_sql(episodes: str) -> str:
    """Return SQL for the events of episodes."""
    last = f"{turn_at('turns - 1')} + pace // 4"
    kinds = {  # event type: (condition, instant, actor, reason, flow, step)
        "handoff_requested": (
            "plan in (3, 6, 7) or (plan = 1 and r(x, 70, 100) < 50)",
            f"case when plan in (6, 7) then {last} else handed_at - 1 end",
            "'contact'", "'asked_for_human'", "null", "null"),
        "handoff_initiated": (
            "plan between 1 and 4", "handed_at",
            "['bot', 'automation', 'contact', 'agent'][plan]", "'complex_topic'", "null", "null"),
        "agent_assigned": (
            "is_accepted and plan < 5", f"{turn_at('handoff_turn')} - 5",
            "'automation'", "null", "null", "null"),
        "handoff_failed": (
            "plan = 7", f"{last} + 3", "'automation'", "'no_agent_available'", "null", "null"),
        "closed": (
            "r(x, 24, 100) < 85", "ended + 300 + r(x, 25, 900)",
            "case when plan <= 5 and is_accepted then 'agent' else 'automation' end",
            "null", "null", "null"),
        "reopened": ("e > 0", "started - 1", "'contact'", "null", "null", "null"),
        "opened": (
            "gap_turn < turns and channel in ('web', 'app')", f"{turn_at('gap_turn')} - 2",
            "'contact'", "null", "null", "null"),
        "flow_started": ("is_lead", "started + 1", "'bot'", "null", "'trip_planner'", "null"),
        "step_reached": (
            "is_lead", f"{turn_at('2')} + pace // 2",
            "'bot'", "null", "'trip_planner'", "'budget'"),
        "flow_completed": (
            "is_lead_done", turn_at("3"), "'bot'", "null", "'trip_planner'", "null"),
        "survey_sent": ("is_surveyed", "ended + 2", "'automation'", "null", "null", "null"),
        "resolution_confirmed": (
            "plan = 0 and r(x, 71, 100) < 20", "ended + 1", "'contact'", "null", "null", "null"),
        "guardrail_blocked": (
            "bot is not null and r(x, 72, 1000) < 8", "started + 4",
            "'bot'", "'off_policy'", "null", "null"),
        "error": (
            "r(x, 73, 1000) < 15 or (plan = 10 and r(x, 74, 2) = 0)", "ended",
            "'bot'", "'timeout'", "null", "null"),
        "recommendation_accepted": (
            "plan = 0 and r(x, 75, 1000) < 30", "ended", "'contact'", "null", "null", "null"),
    }  # fmt: skip

    def cases(part: int) -> str:
        whens = " ".join(
            f"when {number} then {values[part]}" for number, values in enumerate(kinds.values())
        )
        return f"case number {whens} end"

    return f"""
        select
            'e' || (x * 32 + number) as event_id,
            'k' || i as conversation_id,
            instant(happens) as occurred_at,
            {sql_list(kinds)}[1 + number] as event_type,
            {cases(2)} as actor_type,
            null::varchar as actor_id,
            {cases(3)} as reason,
            {cases(4)} as flow_id,
            {cases(5)} as step_id,
            happens as own_
        from (
            select *, {cases(1)} as happens
            from (select *, unnest(range({len(kinds)})) as number from ({episodes}))
            where {cases(0)}
        )"""


def feedback_sql(episodes: str) -> str:
    """Return SQL for the ratings of episodes."""
    return f"""
        select
            'f' || (x * 4 + number) as feedback_id,
            'k' || i as conversation_id,
            case when number = 1 or (number = 0 and r(x, 80, 2) = 0 and plan = 0)
                then 'm' || ((x * 16 + bot_turns - 1) * 8 + 2) end as message_id,
            instant(ended + 10 + number) as submitted_at,
            ['csat', 'thumbs', 'nps', 'accuracy'][1 + number] as kind,
            (case number
                when 0 then case when is_happy then 4 + r(x, 81, 2) else 1 + r(x, 81, 3) end
                when 1 then case when is_happy then 1 else 0 end
                when 2 then case when is_happy then 8 + r(x, 82, 3) else r(x, 82, 9) end
                else case when is_happy then 4 + r(x, 83, 2) else 1 + r(x, 83, 3) end
            end)::double as score,
            [5, 1, 10, 5][1 + number]::double as scale_max,
            case when number = 1 then case when is_happy then 'helpful' else 'wrong_answer' end end
                as category,
            null::varchar as comment,
            ended + 10 + number as own_
        from (
            select
                *, case when plan = 8 and number = 1 then false
                    else r(x, 84, 100) < case when plan <= 5 then 84 else 30 end end as is_happy
            from (select *, unnest(range(4)) as number from ({episodes}))
            where case number
                when 0 then is_surveyed and r(x, 85, 100) < 60
                when 1 then plan in (0, 8) and not r(x * 16 + bot_turns - 1, 34, 1000) < 12
                    and (plan = 8 or r(x, 86, 100) < 9)
                when 2 then r(x, 87, 100) < 4
                else plan = 0 and r(x, 88, 100) < 5 end
                and not (number = 0 and plan = 0
                    and r(x * 16 + bot_turns - 1, 34, 1000) < 12)
        )"""


def answers_sql(episodes: str) -> str:
    """Return SQL for the questions of lead flows; some are asked again by the agent."""
    return f"""
        select
            'a' || (x * 4 + number) as answer_id,
            'k' || i as conversation_id,
            'trip_planner' as flow_id,
            ['email', 'name', 'budget', 'email'][1 + number] as field,
            instant(asked) as asked_at,
            instant(answered) as answered_at,
            case when answered is not null then case
                when number = 1 then 'Guest ' || i when number = 2 then '' || (100 + r(x, 90, 900))
                when not is_right then 'none' else 'lead' || i || '@example.com' end end as value,
            case when answered is not null then is_right end as is_valid,
            asked as own_
        from (
            select
                *, r(x * 4 + number, 91, 100) < 92 as is_right,
                case when number = 3 then {turn_at("handoff_turn")} + pace // 2
                    else {turn_at("number")} + pace // 2 end as asked,
                case when is_lead_done or number < r(x, 92, 3)
                    then same_day(asked + pace // 2, asked) end as answered
            from (select *, unnest(range(4)) as number from ({episodes}))
            where is_lead and case when number = 3
                then is_lead_done and is_accepted and r(x, 93, 100) < 40
                else is_lead_done or number <= r(x, 92, 3) end
        )"""


def bulk_sql(table: str, days: Sequence[tuple[int, int, int]], plan: BulkPlan) -> str:
    """Return SQL for the rows of one fact table, plus the column `own_` (their epoch second).

    Args:
        table: one of `BULK_FACTS`.
        days: (day, first conversation number, end conversation number) triples.
        plan: what to generate.
    """
    chats = conversations_sql(days, plan)
    episodes = episodes_sql(chats, plan)
    topics = sql_list(INTENTS[name][0] for name in BULK_INTENTS)
    queries: dict[str, Callable[[], str]] = {
        "messages": lambda: messages_sql(episodes),
        "events": lambda: events_sql(episodes),
        "feedback": lambda: feedback_sql(episodes),
        "answers": lambda: answers_sql(episodes),
        "conversations": lambda: (
            f"""
            select
                'k' || i as conversation_id,
                case when channel = 'wechat' then 'wechat_bridge' else 'helmdesk' end as platform,
                channel, instant(opened) as opened_at, null::timestamp as closed_at,
                case when is_outbound then 'outbound' else 'inbound' end as direction,
                bot as bot_id, contact_id, visitor_id,
                case when channel in ('web', 'app')
                    then ['/help', '/product', '/checkout', '/'][1 + r(i, 62, 4)] end
                    as entry_point,
                case when is_outbound then 'spring-sale' end as campaign,
                case when channel in ('app', 'whatsapp', 'wechat') then 'mobile'
                    when channel = 'web' then ['desktop', 'desktop', 'mobile'][1 + r(i, 63, 3)]
                    end as device_type,
                null::varchar as os, null::varchar as browser, language,
                case language when 'en' then ['US', 'GB', 'CA'][1 + r(person, 64, 3)]
                    when 'de' then ['DE', 'DE', 'AT', 'CH'][1 + r(person, 64, 4)]
                    else 'CN' end as country,
                r(i, 65, 1000) < 10 as is_test, r(i, 66, 1000) < 12 as is_spam, opened as own_
            from ({chats})"""
        ),
        "contacts": lambda: (
            f"""
            select
                'c' || person as contact_id, instant(opened + 60) as created_at,
                'Guest ' || person as name, 'guest' || person || '@example.com' as email,
                case when person % 3 = 0
                    then '+1 202 555 01' || lpad((person % 100)::varchar, 2, '0') end as phone,
                case language when 'en' then 'US' when 'de' then 'DE' else 'CN' end as country,
                language,
                case when person % 400 in (201, 202) then 'c' || (person - 1)
                    when person % 50000 = 111 then 'c' || (person + 1)
                    when person % 50000 = 112 then 'c' || (person - 1) end as merged_into,
                opened + 60 as own_
            from ({chats}) where i % 3 = 0 and contact_id is not null"""
        ),
        "leads": lambda: (
            f"""
            select
                'l' || x as lead_id, contact_id, 'k' || i as conversation_id,
                instant(created) as created_at, 'chat' as source,
                instant(case when r(x, 94, 10) < 5 then judged end) as qualified_at,
                instant(case when r(x, 94, 10) in (5, 6) then judged end) as disqualified_at,
                created as own_
            from (
                select
                    *, {turn_at("3")} + 30 as created, same_day(created + 3600, created) as judged
                from ({episodes}) where is_lead_done and r(x, 95, 10) < 8
            )"""
        ),
        "meetings": lambda: (
            f"""
            select
                'g' || x as meeting_id, contact_id, 'k' || i as conversation_id,
                instant(ended + 60) as booked_at,
                instant(ended + 60 + (2 + r(x, 96, 10)) * 86400) as starts_at,
                ['held', 'held', 'held', 'cancelled', 'no_show', 'booked'][1 + r(x, 97, 6)]
                    as status,
                ended + 60 as own_
            from ({episodes}) where plan <= 5 and e = 0 and r(x, 98, 1000) < 25"""
        ),
        "deals": lambda: (
            f"""
            select
                'd' || i as deal_id, contact_id, instant(happens) as created_at,
                instant(closed) as closed_at,
                case when closed is not null then r(i, 52, 100) < 90 end as is_won,
                (30 + r(i, 53, 40000) / 100)::decimal(12, 2) as amount,
                (5 + r(i, 54, 9000) / 100)::decimal(12, 2) as margin,
                case language when 'de' then 'EUR' when 'zh' then 'CNY' else 'USD' end as currency,
                happens as own_
            from (
                select
                    *, opened + 3600 + r(i, 51, 1728000) as happens,
                    same_day(happens + r(i, 55, 20000), happens) as closed
                from ({chats})
                where contact_id is not null and r(i, 50, 1000) < 80
            )"""
        ),
        "tickets": lambda: (
            f"""
            select
                't' || x as ticket_id, contact_id, 'k' || i as conversation_id, channel,
                {topics}[1 + intent_no] as topic, null::varchar as url,
                instant(handed_at + 60) as created_at,
                case when r(x, 99, 2) = 0
                    then instant(same_day(handed_at + 65, handed_at + 60)) end as bot_assigned_at,
                instant(same_day(handed_at + 65 + r(x, 100, 40000), handed_at + 60)) as closed_at,
                handed_at + 60 as own_
            from ({episodes}) where plan between 1 and 5 and r(x, 101, 100) < 25"""
        ),
        "experiment_assignments": lambda: (
            f"""
            select
                'x' || i as assignment_id, '{EXPERIMENT}' as experiment_id, variant,
                'k' || i as conversation_id, instant(opened) as assigned_at, opened as own_
            from ({chats}) where variant is not null"""
        ),
    }
    return queries[table]()


def with_faults(table: str, rows: str, dirty: float) -> str:
    """Return `rows` with a share of damaged or repeated copies added (tables that may have them).

    A copy has a null key, an unknown conversation, an unknown enum value, a null time, or is
    identical to its original.
    """
    if dirty <= 0 or table not in FAULTY_TABLES:
        return rows
    key, time, enum = FAULTY_TABLES[table]
    changed = {
        key: f"case fault when 1 then null when 5 then {key} when 0 then {key} "
        f"else {key} || '-' || fault end",
        "conversation_id": "case when fault = 2 then 'unknown' else conversation_id end",
        enum: f"case when fault = 3 then 'robot' else {enum} end",
        time: f"case when fault = 4 then null else {time} end",
    }
    columns = ", ".join(f"{changed.get(name, name)} as {name}" for name in COLUMNS[table])
    return f"""
        select {columns}, own_
        from (
            select *, unnest(case when r({key}, 110, 1000000) < {round(dirty * 1_000_000)}
                then [0, 1 + r({key}, 111, 5)] else [0] end) as fault
            from ({rows})
        )"""


def bulk_parts(table: str, plan: BulkPlan, files: int) -> Iterator[list[tuple[int, int, int]]]:
    """Yield, per output file, the (day, first, end) conversations that may have rows in it."""
    bounds = day_bounds(plan)
    first_day = max(0, plan.from_day - LOOK_BACK_DAYS[table])
    low, high = bounds[first_day], bounds[plan.to_day + 1]
    cuts = [low + (high - low) * number // files for number in range(files + 1)]
    for start, end in pairwise(cuts):
        ranges = [
            (day, max(start, bounds[day]), min(end, bounds[day + 1]))
            for day in range(first_day, plan.to_day + 1)
        ]
        yield [triple for triple in ranges if triple[1] < triple[2]]


def bulk_costs(plan: BulkPlan) -> list[Row]:
    """Return monthly costs in proportion to the traffic of a bulk dataset."""
    bounds = day_bounds(plan)
    traffic: dict[date, int] = {}
    for day in range(plan.days):
        month = (BULK_START + timedelta(days=day)).replace(day=1)
        traffic[month] = traffic.get(month, 0) + bounds[day + 1] - bounds[day]
    per_conversation = dict(zip(COST_CATEGORIES, (1.2, 0.2, 0.3, 2.6, 0.4, 0.1), strict=True))
    return [
        {"month": month, "category": category, "amount": round(share * number, 2),
         "currency": "USD"}
        for month, number in traffic.items()
        for category, share in per_conversation.items()
    ]  # fmt: skip


def generate_bulk(
    out: Path,
    plan: BulkPlan,
    file_format: str = "parquet",
    files_per_table: int | None = None,
    memory_limit: str = "1GB",
) -> dict[str, int]:
    """Write a benchmark dataset, or some days of it, in bounded memory.

    Files are named ``<table>/<table>-d<from>-d<to>-<part>.<format>``. Reference tables, agents and
    articles are part of day 0. In Parquet the fact tables are typed (instants as UTC `timestamp`),
    the reference tables are text.

    Args:
        out: directory that does not exist or is empty.
        plan: what to generate.
        file_format: ``parquet`` or ``csv``.
        files_per_table: files per fact table; default one per five million messages.
        memory_limit: DuckDB's limit for its buffers, e.g. ``1GB``.

    Returns:
        table name -> number of rows written.

    Raises:
        GenerateError: `out` is not empty or cannot be written, or a setting is out of range.
    """
    if file_format not in ("parquet", "csv"):
        raise GenerateError(f"--format must be parquet or csv, not {file_format}.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise GenerateError(f"{out} is not an empty directory; choose another --out.")
    share = (plan.to_day - plan.from_day + 1) / plan.days
    files = files_per_table or max(1, round(plan.messages * share / 5_000_000))
    if files < 1:
        raise GenerateError("--files-per-table must be at least 1.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GenerateError(f"Cannot write to {out}: {error.strerror}.") from error
    counts = dict.fromkeys(COLUMNS, 0)
    options = "format parquet, compression snappy"
    if file_format == "csv":
        options = "format csv, header, timestampformat '%Y-%m-%dT%H:%M:%SZ'"
    connection = duckdb.connect()
    spill = tempfile.mkdtemp(prefix="parley-generate-")
    low = f"epoch('{BULK_START}'::timestamp)::bigint + {plan.from_day} * 86400"
    high = f"epoch('{BULK_START}'::timestamp)::bigint + {plan.to_day + 1} * 86400"
    try:
        connection.execute("set memory_limit = ?", [memory_limit])
        connection.execute("set temp_directory = ?", [spill])
        for statement in macros(plan):
            connection.execute(statement)
        with progress_bar() as bar:
            task = bar.add_task("bulk", total=len(BULK_FACTS) * files)
            for table in BULK_FACTS:
                (out / table).mkdir()
                bar.update(task, description=table)
                for part, days in enumerate(bulk_parts(table, plan, files)):
                    if days:
                        name = f"{table}-d{plan.from_day:04d}-d{plan.to_day:04d}-{part:03d}"
                        path = out / table / f"{name}.{file_format}"
                        rows = with_faults(table, bulk_sql(table, days, plan), plan.dirty)
                        query = (
                            f"select {', '.join(COLUMNS[table])} from ({rows}) "
                            f"where own_ >= {low} and own_ < {high}"
                        )
                        target = str(path).replace("'", "''")
                        done = connection.execute(f"copy ({query}) to '{target}' ({options})")
                        counts[table] += (done.fetchone() or (0,))[0]
                    bar.advance(task)
        if plan.from_day == 0:
            counts |= write_reference(connection, out, plan, file_format)
    except (duckdb.Error, OSError) as error:
        raise GenerateError(f"Writing {out} failed: {str(error).splitlines()[0]}") from error
    finally:
        connection.close()
        shutil.rmtree(spill, ignore_errors=True)
    return counts


def write_reference(connection: duckdb.DuckDBPyConnection, out: Path, plan: BulkPlan,
                    file_format: str) -> dict[str, int]:  # fmt: skip
    """Write the reference tables of a bulk dataset; return table name -> number of rows."""
    tables = reference_rows(BULK_START, BULK_START + timedelta(days=plan.days - 1))
    tables["costs"] = bulk_costs(plan)
    for table, rows in tables.items():
        path = out / table / f"{table}.csv"
        write_csv(path, COLUMNS[table], rows)
        if file_format == "parquet":
            source = str(path).replace("'", "''")
            target = str(path.with_suffix(".parquet")).replace("'", "''")
            connection.execute(
                f"copy (from read_csv('{source}', header = true, all_varchar = true)) "
                f"to '{target}' (format parquet)"
            )
            path.unlink()
    return {table: len(rows) for table, rows in tables.items()}


# --------------------------------------------------------------------------------------------
# Command line
# --------------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    main_parser = argparse.ArgumentParser(
        prog="generate.py",
        description="Generate landing data: a believable demo, or a benchmark of any size.",
        epilog="Run 'generate.py demo --help' or 'generate.py bulk --help' for the settings.",
    )
    modes = main_parser.add_subparsers(dest="mode", required=True, metavar="{demo,bulk}")

    demo = modes.add_parser(
        "demo",
        help="the invented shop Tarnhollow Outdoor: 26 weeks, about 1,500 conversations, CSV",
        description=(
            "Write 26 weeks (2026-01-05 to 2026-07-05 UTC) of an invented shop as CSV, "
            "<out>/<table>/<table>.csv. View it as of 2026-07-05T18:00:00Z. "
            "The same seed gives the same bytes."
        ),
    )
    demo.add_argument("--out", type=Path, default=Path("seeds/demo"), metavar="DIR",
                      help="directory to write to (default: %(default)s)")  # fmt: skip
    demo.add_argument("--seed", type=int, default=7, help="default: %(default)s")

    bulk = modes.add_parser(
        "bulk",
        help="any number of messages, for benchmarks, Parquet or CSV",
        description=(
            f"Write a benchmark dataset that starts on {BULK_START}, about 10 messages a "
            "conversation, in bounded memory. Each row belongs to the day of its own time: with "
            "the same --messages, --days and --seed, --to-day 9 and then --slice day=10 "
            "together hold the rows of --to-day 10."
        ),
    )
    bulk.add_argument("--out", type=Path, required=True, metavar="DIR", help="an empty directory")
    bulk.add_argument("--messages", type=int, required=True, metavar="N",
                      help="about how many messages the whole dataset has")  # fmt: skip
    bulk.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    bulk.add_argument("--days", type=int, default=365, metavar="N",
                      help="length of the whole dataset (default: %(default)s)")  # fmt: skip
    bulk.add_argument("--from-day", type=int, default=None, metavar="K",
                      help="first day to write, from 0 (default: 0)")  # fmt: skip
    bulk.add_argument("--to-day", type=int, default=None, metavar="K",
                      help="last day to write (default: the last)")  # fmt: skip
    bulk.add_argument("--slice", type=day_slice, default=None, metavar="day=K",
                      help="write day K alone; short for --from-day K --to-day K")  # fmt: skip
    bulk.add_argument("--format", choices=("parquet", "csv"), default="parquet",
                      help="default: %(default)s")  # fmt: skip
    bulk.add_argument("--files-per-table", type=int, default=None, metavar="K",
                      help="default: one per five million messages")  # fmt: skip
    bulk.add_argument("--dirty", type=float, default=0.0, metavar="SHARE",
                      help="share of faulty and repeated rows to add to messages, events and "
                           "feedback, 0 to 1 (default: %(default)s)")  # fmt: skip
    bulk.add_argument("--memory-limit", default="1GB", metavar="SIZE",
                      help="DuckDB's memory limit (default: %(default)s)")  # fmt: skip
    return main_parser


def day_slice(text: str) -> int:
    """Return K of ``day=K``.

    Raises:
        argparse.ArgumentTypeError: the text has another form.
    """
    name, _, number = text.partition("=")
    if name != "day" or not number.isdigit():
        raise argparse.ArgumentTypeError(f"expected day=K with K from 0, got {text!r}")
    return int(number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (0 done, 1 failed, 2 wrong usage)."""
    options = parser().parse_args(arguments)
    try:
        if options.mode == "demo":
            counts = generate_demo(options.out, options.seed)
        else:
            if options.slice is not None and (options.from_day, options.to_day) != (None, None):
                raise GenerateError("--slice excludes --from-day and --to-day.")
            first, last = options.slice, options.slice
            if options.slice is None:
                first = 0 if options.from_day is None else options.from_day
                last = options.days - 1 if options.to_day is None else options.to_day
            plan = BulkPlan(options.messages, options.seed, options.days, first, last,
                            options.dirty)  # fmt: skip
            counts = generate_bulk(options.out, plan, options.format, options.files_per_table,
                                   options.memory_limit)  # fmt: skip
    except GenerateError as error:
        print(f"generate.py: {error}", file=sys.stderr)
        return 1
    width = max(len(table) for table in counts)
    for table, number in counts.items():
        print(f"{table:<{width}} {number:>12,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
