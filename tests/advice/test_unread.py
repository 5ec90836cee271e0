"""What could not be read never looks like having nothing to say."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cds.advice.cards import Occasion
from cds.advice.unread import unread_card
from cds.chart import read
from cds.chart.model import LeftOut
from cds.reasoning.loading import default_rulebook
from tests.advice.conftest import CANONICAL

CATALOGUE = default_rulebook().catalogue
EXAMPLE = json.loads((Path(__file__).parents[2] / "fhir/examples/trpc5-suspected.json").read_text("utf-8"))
OCCASION = Occasion("d1577c69-dfbe-44ad-ba6d-3e05e953b2ea", "Patient/trpc5-suspected")


def markers(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        entry["resource"]
        for entry in bundle["entry"]
        if entry["resource"]["resourceType"] == "Observation"
        and entry["resource"]["code"]["coding"][0]["code"] == "trpc5-ev"
    ]


def recode(bundle: dict[str, Any]) -> None:
    for one in markers(bundle):
        one["code"] = {"coding": [{"system": "http://lab.example", "code": "EXO-1", "display": "Exosomal TRPC5"}]}


def name_in_words(bundle: dict[str, Any]) -> None:
    for one in markers(bundle):
        one["code"] = {"text": "Exosomal TRPC5 of Jane Doe"}


def still_preliminary(bundle: dict[str, Any]) -> None:
    for one in markers(bundle):
        one["status"] = "preliminary"


def of_another(bundle: dict[str, Any]) -> None:
    bundle["entry"].append({"resource": {"resourceType": "Patient", "id": "another"}})
    for one in markers(bundle):
        one["subject"] = {"reference": "Patient/another"}


def misspell_status(bundle: dict[str, Any]) -> None:
    for one in markers(bundle):
        one["status"] = "finished"


def misspell_type(bundle: dict[str, Any]) -> None:
    for one in markers(bundle):
        one["resourceType"] = "observation"


def more_pages(bundle: dict[str, Any]) -> None:
    bundle["link"] = [{"relation": "next", "url": "https://ehr.example/fhir?page=2"}]


def failed_search(bundle: dict[str, Any]) -> None:
    bundle["entry"].append(
        {"resource": {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]}}
    )


def empty_entry(bundle: dict[str, Any]) -> None:
    bundle["entry"].append({"fullUrl": "urn:uuid:1"})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            recode,
            [
                "5 entries",
                "Observation/trpc5-1 at ",
                "no rule file says what its code http://lab.example|EXO-1 means",
                "rules/labs/",
            ],
        ),
        (name_in_words, ["Observation/trpc5-1 at ", "it has no code", "write code.coding with a system and a code"]),
        (still_preliminary, ["its status is 'preliminary'", "it counts once it is final"]),
        (of_another, ["belongs to another patient", "send it with that patient's record"]),
        (
            misspell_status,
            ["5 entries", "Observation/", "status 'finished' is none that FHIR knows", "ask the sender"],
        ),
        (misspell_type, ["'observation' is no resource type", "write Observation"]),
        (more_pages, ["more pages follow", "send all pages"]),
        (failed_search, ["the server answered: timeout", "ask again"]),
        (empty_entry, ["an entry without resource"]),
    ],
)
def test_a_card_names_what_may_hide_results(spoil: Any, words: list[str]) -> None:
    bundle = copy.deepcopy(EXAMPLE)
    spoil(bundle)
    chart = read(bundle, CATALOGUE, patient="trpc5-suspected").as_of("2025-04-21")
    card = unread_card(chart, OCCASION, CANONICAL)
    assert card is not None
    assert unread_card(chart, OCCASION, CANONICAL) == card
    text = card["detail"].replace("\\", "").replace("\u2060", "")
    for word in words:
        assert word in text
    assert "no statement about the patient" in text
    assert card["indicator"] == "info"
    assert "suggestions" not in card
    assert len(card["summary"]) < 140
    assert card["source"]["topic"]["code"] == "unread-results"
    for typed in ("Exosomal", "Jane Doe"):
        assert typed not in text


def test_many_are_counted_and_the_first_are_named() -> None:
    chart = read(EXAMPLE, CATALOGUE).as_of("2025-04-21")
    hidden = tuple(LeftOut("code", f"Observation/{n}", f"reason {n}", hides_results=True) for n in range(25))
    card = unread_card(replace(chart, left_out=hidden), OCCASION, CANONICAL)
    assert card is not None
    assert "25 entries" in card["detail"]
    assert "and 15 more" in card["detail"]


def test_what_hides_no_result_makes_no_card() -> None:
    bundle = copy.deepcopy(EXAMPLE)
    bundle["entry"] += [
        {"resource": {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/trpc5-suspected"}}},
        {"resource": {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "informational"}]}},
    ]
    chart = read(bundle, CATALOGUE).as_of("2025-04-21")
    assert chart.left_out
    assert unread_card(chart, OCCASION, CANONICAL) is None


def test_text_from_the_record_is_escaped() -> None:
    bundle = copy.deepcopy(EXAMPLE)
    for one in markers(bundle):
        one["status"] = "<img src=x onerror=alert(1)>"
    card = unread_card(read(bundle, CATALOGUE).as_of("2025-04-21"), OCCASION, CANONICAL)
    assert card is not None
    assert "<img" not in card["detail"]
