"""What a card says of a result whose data cannot be right: what it is, and what settles it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from cds.advice.advisory import Advisory
from cds.advice.cards import CardWriter, Occasion
from cds.advice.statements import Advisor
from cds.chart import read
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.rulebook import RuleBook
from tests.advice.conftest import CANONICAL, INSTANCE
from tests.test_cli import EXAMPLE

Json = dict[str, Any]


@pytest.fixture
def example() -> Json:
    """The example by the names of its resources, free to be changed."""
    entries = json.loads(EXAMPLE.read_text("utf-8"))["entry"]
    return {entry["resource"].get("id", ""): copy.deepcopy(entry["resource"]) for entry in entries}


def said(example: Json, reasoner: Reasoner, as_of: str = "2025-04-21") -> Advisory:
    """What is said of it."""
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in example.values()]}
    evaluation = reasoner.evaluate(read(bundle, reasoner.rulebook.catalogue).as_of(as_of))
    (advisory,) = Advisor(reasoner.rulebook).advisories(evaluation)
    return advisory


def card(advisory: Advisory, book: RuleBook) -> Json:
    (written,) = CardWriter(book, CANONICAL).cards([advisory], Occasion(INSTANCE, advisory.patient))
    return written


@pytest.mark.parametrize("ids", [("trpc5-1", "trpc5-2"), ("trpc5-5",)])
def test_more_of_a_marker_than_vesicles_in_all(
    example: Json, reasoner: Reasoner, book: RuleBook, ids: tuple[str, ...]
) -> None:
    for name in ids:
        example[name]["valueQuantity"]["value"] *= 1e6
    advisory = said(example, reasoner)
    latest = "trpc5-5" in ids
    named = "" if latest else " (1800000.0 10*6/mL of 2024-12-20, 2000000.0 10*6/mL of 2025-01-02)"
    assert (advisory.state, advisory.reasons) == ("data-quality", (f"marker count above the total EV count{named}",))
    shown = card(advisory, book)
    assert shown["summary"].startswith("TRPC5-EV: result data need checking (marker count above the total EV count")
    (step,) = advisory.would_change
    assert "unit" in step
    assert "power of ten" in step
    assert "power of ten" in shown["detail"]
    assert shown["detail"].count("above the total EV count (Observation/") == len(ids)
    assert [one.ref for one in advisory.readings if "above-total-ev" in one.faults] == [
        f"Observation/{name}" for name in ids
    ]


@pytest.mark.parametrize(
    ("sent", "specimen", "why"),
    [
        ("21.04.2025", None, "“21.04.2025” is no date"),
        ("21.04.2025", "2025-04-21", "“21.04.2025” is no date"),
        (20250421, None, "a number stands where a date belongs"),
        ("2025-04", None, "“2025-04” names no day"),
        ("2027-04-21", "2025-04-21T08:30:00+02:00", "its Observation says 2027-04-21 and its Specimen 2025-04-21"),
        (None, "2025", "“2025” names no day"),
        ("1799-04-21", None, "“1799-04-21” lies before 1900"),
    ],
)
def test_a_collection_date_that_was_sent_and_is_of_no_use(
    example: Json, reasoner: Reasoner, book: RuleBook, sent: object, specimen: str | None, why: str
) -> None:
    example["trpc5-5"]["effectiveDateTime"] = sent
    example["plasma-5"]["collection"] = {"collectedDateTime": specimen} if specimen else {}
    if sent is None:
        del example["trpc5-5"]["effectiveDateTime"]
    advisory = said(example, reasoner)
    assert advisory.state == "data-quality"
    assert advisory.reasons == (f"collection date of no use: {why}",)
    (step,) = advisory.would_change
    assert step == (
        "it can be judged once its collection date is sent as a day that can be read (YYYY-MM-DD), the same in Observation and Specimen"
    )
    shown = card(advisory, book)
    shown_values = shown["detail"].replace("\\", "").partition("### Values")[2]
    assert f"- collection date of no use, {why}: TRPC5-EV" in shown_values
    assert "no collection date" not in shown_values
    assert shown["summary"].startswith("TRPC5-EV: result data need checking (collection date of no use")


def test_no_collection_date_at_all_is_still_called_that(example: Json, reasoner: Reasoner, book: RuleBook) -> None:
    del example["trpc5-5"]["effectiveDateTime"], example["plasma-5"]["collection"]
    advisory = said(example, reasoner)
    assert advisory.reasons == ("no collection date",)
    assert advisory.would_change == ("it can be judged once its laboratory has stated the day of collection",)
    assert "- no collection date: TRPC5-EV" in card(advisory, book)["detail"]
