"""Intent accuracy on a public benchmark: predictions of a classifier on CLINC150.

The data are not part of this repository; PARLEY_REAL_DATA names the directory that has them.
"""

from __future__ import annotations

import csv
import os
from datetime import date, datetime
from pathlib import Path

import pytest

from harness import Warehouse, build_anew, scratch_directory, write_landing

DATA = os.environ.get("PARLEY_REAL_DATA")
FILE = Path(DATA or "") / "clinc150_nlu" / "predictions_linear_svm_tfidf.csv"
AT = datetime(2026, 3, 2, 10)

pytestmark = pytest.mark.skipif(
    DATA is None, reason="PARLEY_REAL_DATA is unset, so CLINC150 is not compared"
)


@pytest.fixture(scope="module")
def warehouse() -> Warehouse:
    """One conversation per query, in scope or out of scope by the label a person gave it."""
    assert FILE.is_file(), f"{FILE} does not exist"
    with FILE.open(newline="", encoding="utf-8") as stream:
        queries = list(csv.DictReader(stream))
    conversations, messages = [], []
    for number, query in enumerate(queries):
        scope = "out of scope" if query["gold_intent"] == "oos" else "in scope"
        conversations.append(
            {
                "conversation_id": f"c{number}",
                "platform": "clinc150",
                "channel": "other",
                "opened_at": AT,
                "campaign": scope,
            }
        )
        messages.append(
            {
                "message_id": f"m{number}",
                "conversation_id": f"c{number}",
                "sent_at": AT,
                "sender_type": "contact",
                "text": query["text"],
                "intent": query["predicted_intent"],
                "intent_label": query["gold_intent"],
            }
        )
    tables = {"conversations": conversations, "messages": messages}
    landing = write_landing(scratch_directory("clinc"), tables)
    return build_anew(landing, datetime(2026, 4, 1))


@pytest.mark.parametrize(
    ("scope", "right", "labelled"), [("in scope", 4106, 4500), ("out of scope", 140, 1000)]
)
def test_intent_accuracy(warehouse: Warehouse, scope: str, right: int, labelled: int) -> None:
    key = ("intent_accuracy", "month", date(2026, 3, 1), "campaign", scope)
    row = warehouse.kpis("intent_accuracy")[key]
    assert (row["numerator"], row["denominator"]) == (right, labelled)
    assert row["value"] == right / labelled
