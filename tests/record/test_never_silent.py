"""An empty answer means that nothing stands: neither what was answered nor what was not sent makes a finding disappear."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from cds.record.database import Database
from cds.record.responses import Answer, Responses
from tests.record.test_service import SERVICE, Ehr, summaries

DAY = "2025-04-28"
"""On which A29 is suspected; one sample before, on 2025-03-31, it is watched."""
A_DAY = r"\d{1,2} [A-Z][a-z]{2} 20\d\d\b"
SUSPECTED = rf"On record since {A_DAY} for TRPC5-EV: suspected \(investigational; certainty very low\)$"


@pytest.fixture
def ehr(database: Database) -> Ehr:
    return Ehr(database)


def again(ehr: Ehr, name: str = "A29", day: str = DAY, **prefetch: Any) -> Any:
    """The same chart opened once more, with other data under some prefetch keys."""
    body = json.loads(json.dumps(ehr.request(name, day), default=float))
    body["prefetch"] |= prefetch
    return ehr.client.post(SERVICE, json=body)


def dismissed(database: Database, answer: Any) -> None:
    """Every card of an answer overridden without a reason, as one click does it."""
    cards = [Answer(card["uuid"], "overridden", f"{DAY}T13:00:00Z") for card in answer.json()["cards"]]
    Responses(database).feedback(cards, "ehr")


def only(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text[:400]
    (card,) = answer.json()["cards"]
    found: dict[str, Any] = card
    assert len(found["summary"]) < 140
    return found


def plain(card: dict[str, Any]) -> str:
    return str(card["detail"]).replace("\\", "").replace("\u2060", "")


@pytest.mark.parametrize(
    ("day", "words"),
    [("2025-01-02", "cannot be judged"), (DAY, "suspected")],
    ids=["unjudged", "suspected"],
)
def test_what_was_dismissed_and_still_stands_leaves_a_line(ehr: Ehr, database: Database, day: str, words: str) -> None:
    dismissed(database, ehr.opens("A29", day))
    for _ in range(2):  # and answering that line does not end it
        answer = ehr.opens("A29", day)
        card = only(answer)
        assert re.match(rf"On record since {A_DAY} for TRPC5-EV: {words} \(investigational", card["summary"])
        assert "Its card was answered on 28 Apr 2025" in plain(card)
        assert "The finding stands" in plain(card)
        assert card["indicator"] == "info"
        assert not card.keys() & {"suggestions", "overrideReasons"}
        assert len(card["detail"]) < 600
        dismissed(database, answer)


def test_the_line_about_what_was_answered_speaks_of_the_orders_at_hand(ehr: Ehr, database: Database) -> None:
    dismissed(database, ehr.opens("A29", DAY))
    body = json.loads(json.dumps(ehr.request("A29", DAY), default=float))
    order = {
        "resourceType": "MedicationRequest",
        "id": "d1",
        "status": "draft",
        "intent": "order",
        "subject": {"reference": f"Patient/{body['context']['patientId']}"},
        "medicationCodeableConcept": {"text": "Paclitaxel"},
    }
    body["hook"] = "order-sign"
    body["context"]["draftOrders"] = {"resourceType": "Bundle", "entry": [{"resource": order}]}
    card = only(ehr.client.post(SERVICE.replace("patient-view", "order-sign"), json=body))
    assert plain(card).startswith("1 order at hand could not be recognised")
    assert "MedicationRequest/d1: the drug is not coded (next: send its RxNorm or ATC code)" in plain(card)


def test_a_suspicion_whose_results_are_not_sent_again_is_named(ehr: Ehr, database: Database) -> None:
    ehr.opens("A29", DAY)
    card = only(again(ehr, observations=None))
    assert re.match(SUSPECTED, card["summary"])
    assert "Its results were not in this request" in plain(card)
    line = rf"- TRPC5-EV: \*\*suspected, on record since {A_DAY}\*\* \(investigational; certainty very low\), from samples of "
    assert re.match(line + "2 Jan 2025, 31 Mar 2025, 28 Apr 2025\\. Its results", plain(card))
    assert summaries(ehr.opens("A29", DAY))[0].startswith("TRPC5-EV: suspected")


def test_a_suspicion_is_named_where_the_patient_is_out_of_scope_now(ehr: Ehr, database: Database) -> None:
    ehr.opens("A29", DAY)
    born = json.loads(json.dumps(ehr.request("A29", DAY), default=float))["prefetch"]["patient"]
    card = only(again(ehr, patient={**born, "birthDate": "2015-01-01"}))
    assert re.match(SUSPECTED, card["summary"])


def test_a_card_that_cannot_judge_names_the_suspicion_under_its_first_line(ehr: Ehr, database: Database) -> None:
    ehr.opens("A29", DAY)
    card = only(again(ehr, conditions=None))
    assert "cannot be judged" in card["summary"]
    _, second, *_ = plain(card).split("\n\n")
    assert re.match(rf"\*\*An earlier finding stands: suspected, on record since {A_DAY}", second)
