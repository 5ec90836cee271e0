"""Feedback by HTTP: batches, repeats, late answers, mistakes; and what follows from it for the next card."""

from __future__ import annotations

import json
import logging
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cds.record.database import Database
from cds.record.responses import Responses
from cds.service.logs import JsonLines
from tests.record.test_service import SERVICE, Ehr, summaries

NOON = "2025-05-02T12:00:00Z"


@pytest.fixture
def ehr(database: Database) -> Ehr:
    return Ehr(database)


def short(answer: Any) -> list[bool]:
    """Of each card whether it only says that a finding stands: what is left of a suspicion that was answered."""
    return [card["source"]["topic"]["code"] == "standing-finding" for card in answer.json()["cards"]]


def send(ehr: Ehr, *entries: dict[str, Any], service: str = SERVICE) -> Any:
    return ehr.client.post(f"{service}/feedback", json={"feedback": list(entries)})


def test_accepted_overridden_repeated_late(ehr: Ehr, database: Database) -> None:
    (card,) = ehr.opens("A29", "2025-04-28").json()["cards"]
    suggestion = card["suggestions"][0]["uuid"]
    accepted = {
        "card": card["uuid"], "outcome": "accepted", "outcomeTimestamp": NOON, "acceptedSuggestions": [{"id": suggestion}],
    }  # fmt: skip
    overridden = {
        "card": card["uuid"].upper(),
        "outcome": "overridden",
        "outcomeTimestamp": "2025-05-02T14:00:00.123+02:00",
        "overrideReason": {"reason": {"code": "evidence-too-weak"}, "userComment": "Mrs Smith does not want it"},
    }
    assert send(ehr, accepted).json() == {"new": 1, "known": 0, "unknownCards": []}
    assert send(ehr, accepted, overridden).json() == {"new": 1, "known": 1, "unknownCards": []}
    (counted,) = Responses(database).counts()
    assert (counted["shown"], counted["accepted"], counted["overridden"]) == (1, 0, 1)
    assert counted["reasons"] == {"evidence-too-weak": 1}
    assert short(ehr.opens("A29", "2025-04-28")) == [True]
    with database.reading() as connection:
        kept = str(connection.exec_driver_sql("SELECT * FROM feedback").all())
    assert "Smith" not in kept


def test_of_several_outcomes_the_latest_counts_whichever_came_first(ehr: Ehr, database: Database) -> None:
    (card,) = ehr.opens("A29", "2025-04-28").json()["cards"]
    accepted = {
        "card": card["uuid"], "outcome": "accepted", "outcomeTimestamp": "2025-05-02T16:00:00+02:00",
        "acceptedSuggestions": [{"id": card["suggestions"][0]["uuid"]}],
    }  # fmt: skip
    overridden = {"card": card["uuid"], "outcome": "overridden", "outcomeTimestamp": "2025-05-02T13:00:00Z"}
    assert send(ehr, accepted, overridden).json()["new"] == 2
    (counted,) = Responses(database).counts()
    assert (counted["shown"], counted["accepted"], counted["overridden"]) == (1, 1, 0)
    assert len(summaries(ehr.opens("A29", "2025-04-28"))) == 1


def test_an_answer_from_the_future_is_refused_for_it_would_outlast_every_later_one(
    ehr: Ehr, database: Database
) -> None:
    (card,) = ehr.opens("A29", "2025-04-28").json()["cards"]
    entry = {"card": card["uuid"], "outcome": "overridden"}
    for at in ("2130-01-01T00:00:00Z", (datetime.now(UTC) + timedelta(minutes=6)).isoformat()):
        answer = send(ehr, {**entry, "outcomeTimestamp": NOON}, {**entry, "outcomeTimestamp": at})
        assert answer.status_code == 400
        assert answer.json()["issue"][0]["expression"] == ["feedback[1].outcomeTimestamp"]
        assert "future" in answer.json()["issue"][0]["diagnostics"]
    (counted,) = Responses(database).counts()
    assert counted["overridden"] == 0
    # Clocks are not all alike.
    ahead = (datetime.now(UTC) + timedelta(minutes=4)).isoformat()
    assert send(ehr, {**entry, "outcomeTimestamp": ahead}).json()["new"] == 1


def test_a_suggestion_that_the_card_never_had_is_named_and_nothing_taken(ehr: Ehr, database: Database) -> None:
    (card,) = ehr.opens("A29", "2025-04-28").json()["cards"]
    own, strange = card["suggestions"][0]["uuid"], str(uuid.uuid4())
    good = {"card": card["uuid"], "outcome": "overridden", "outcomeTimestamp": NOON}
    bad = {
        "card": card["uuid"], "outcome": "accepted", "outcomeTimestamp": NOON,
        "acceptedSuggestions": [{"id": own}, {"id": strange}],
    }  # fmt: skip
    answer = send(ehr, good, bad)
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["expression"] == ["feedback[1].acceptedSuggestions[1].id"]
    (counted,) = Responses(database).counts()
    assert (counted["accepted"], counted["overridden"]) == (0, 0)


OWN = "https://exowatch.example/fhir/CodeSystem/exowatch-override-reason"


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ({"code": "foo", "system": OWN}, 400),
        ({"code": "foo"}, 400),
        ({"code": "local-policy", "system": OWN}, 200),
        ({"code": "foo", "system": "https://ehr.example/reasons"}, 200),
    ],
)
def test_of_our_own_reasons_only_those_that_cards_offer_are_taken(ehr: Ehr, reason: Any, status: int) -> None:
    (card,) = ehr.opens("A29", "2025-04-28").json()["cards"]
    answer = send(
        ehr,
        {"card": card["uuid"], "outcome": "overridden", "outcomeTimestamp": NOON, "overrideReason": {"reason": reason}},
    )
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["issue"][0]["expression"] == ["feedback[0].overrideReason.reason.code"]


@pytest.mark.parametrize(
    ("reason", "silent"),
    [
        (None, True),
        ({"code": "explained-otherwise", "system": OWN}, True),
        ({"code": "busy", "system": "https://ehr.example/reasons"}, True),
        ({"code": "wrong-recipient", "system": OWN}, False),
        ({"code": "wrong-moment", "system": OWN}, False),
        ({"code": "awaiting-results", "system": OWN}, False),
        (
            {
                "code": "inappropriate-recipient",
                "system": "http://terminology.hl7.org/CodeSystem/non-adherence-reason-codes",
            },
            False,
        ),
    ],
)
def test_only_a_judgement_about_the_advice_silences_it_for_everybody(ehr: Ehr, reason: Any, silent: bool) -> None:
    (card,) = ehr.opens("A29", "2025-04-28").json()["cards"]
    entry = {"card": card["uuid"], "outcome": "overridden", "outcomeTimestamp": NOON}
    assert send(ehr, {**entry, "overrideReason": {"reason": reason}} if reason else entry).json()["new"] == 1
    assert short(ehr.opens("A29", "2025-04-28")) == [silent]


def test_a_withdrawal_shown_to_the_wrong_person_is_shown_again(ehr: Ehr) -> None:
    ehr.opens("A29", "2025-04-28")
    (told,) = ehr.opens("A29", "2025-05-02").json()["cards"]
    entry = {"card": told["uuid"], "outcome": "overridden", "outcomeTimestamp": NOON}
    send(ehr, {**entry, "overrideReason": {"reason": {"code": "wrong-recipient", "system": OWN}}})
    assert len(summaries(ehr.opens("A29", "2025-05-03"))) == 1


def test_a_withdrawal_is_answered_like_any_card(ehr: Ehr) -> None:
    ehr.opens("A29", "2025-04-28")
    (told,) = ehr.opens("A29", "2025-05-02").json()["cards"]
    assert send(ehr, {"card": told["uuid"], "outcome": "overridden", "outcomeTimestamp": NOON}).json()["new"] == 1
    assert summaries(ehr.opens("A29", "2025-05-03")) == []


def test_a_card_that_nobody_knows_is_named_and_the_rest_taken(ehr: Ehr) -> None:
    (card,) = ehr.opens("A29", "2025-04-28").json()["cards"]
    nobody = str(uuid.uuid4())
    answer = send(
        ehr,
        {"card": nobody, "outcome": "overridden", "outcomeTimestamp": NOON},
        {"card": card["uuid"], "outcome": "overridden", "outcomeTimestamp": NOON},
    )
    assert answer.json() == {"new": 1, "known": 0, "unknownCards": [nobody]}


GOOD: dict[str, Any] = {"card": str(uuid.UUID(int=1)), "outcome": "overridden", "outcomeTimestamp": NOON}


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        ("text", "feedback[1]"),
        ({**GOOD, "card": "1"}, "feedback[1].card"),
        ({key: value for key, value in GOOD.items() if key != "card"}, "feedback[1].card"),
        ({**GOOD, "outcome": "ignored"}, "feedback[1].outcome"),
        ({**GOOD, "outcome": None}, "feedback[1].outcome"),
        ({**GOOD, "outcomeTimestamp": "2025-05-02T12:00:00"}, "feedback[1].outcomeTimestamp"),
        ({**GOOD, "outcomeTimestamp": "2025-05-02"}, "feedback[1].outcomeTimestamp"),
        ({**GOOD, "outcomeTimestamp": 1}, "feedback[1].outcomeTimestamp"),
        ({**GOOD, "outcome": "accepted"}, "feedback[1].acceptedSuggestions"),
        ({**GOOD, "outcome": "accepted", "acceptedSuggestions": [{}]}, "feedback[1].acceptedSuggestions[0].id"),
        ({**GOOD, "overrideReason": {}}, "feedback[1].overrideReason"),
        ({**GOOD, "overrideReason": {"reason": "no"}}, "feedback[1].overrideReason.reason"),
        ({**GOOD, "overrideReason": {"reason": {"code": 1}}}, "feedback[1].overrideReason.reason.code"),
    ],
)
def test_a_mistake_is_named_and_nothing_taken(ehr: Ehr, entry: Any, place: str) -> None:
    answer = send(ehr, GOOD, entry)
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["expression"] == [place]


@pytest.mark.parametrize("body", ["", "{", "[]", "{}", '{"feedback": {}}', '{"feedback": []}'])
def test_what_is_no_feedback_is_refused(ehr: Ehr, body: str) -> None:
    answer = ehr.client.post(f"{SERVICE}/feedback", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400


def test_an_unknown_service_is_not_found(ehr: Ehr) -> None:
    assert send(ehr, GOOD, service="/cds-services/none").status_code == 404


def test_every_answer_has_a_number_by_which_the_log_tells_who_what_and_where(
    ehr: Ehr, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="exowatch.service"):
        answers = [
            send(ehr, GOOD),
            send(ehr, GOOD, {**GOOD, "outcome": "Mrs Smith"}),
            send(ehr, GOOD, service="/cds-services/smith"),
            ehr.client.post(f"{SERVICE}/feedback", content="smith"),
        ]
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records if record.name == "exowatch.service"]
    assert [line["request"] for line in lines] == [answer.headers["x-request-id"] for answer in answers]
    assert [line["status"] for line in lines] == [answer.status_code for answer in answers] == [200, 400, 404, 415]
    assert [line["client"] for line in lines] == ["open"] * 4
    assert (lines[1]["code"], lines[1]["place"]) == ("value", "feedback[1].outcome")
    assert "smith" not in json.dumps(lines).lower()


@pytest.mark.parametrize(
    "asked", [("GET", "/nothing"), ("GET", "/health"), ("GET", "/fhir/Nothing"), ("POST", "/advisories/1/dispositions")]
)
def test_every_other_answer_has_one_too(ehr: Ehr, asked: tuple[str, str]) -> None:
    assert uuid.UUID(ehr.client.request(*asked).headers["x-request-id"])
