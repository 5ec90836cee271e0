"""What people were shown and is no more: said for what it is, once for each question, and not lost where the advice goes on."""

from __future__ import annotations

import copy
import json
import re
import uuid
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import select

from cds.record import tables
from cds.record.database import Database
from tests.record.test_service import SERVICE, Ehr, summaries

Json = dict[str, Any]
NOON = "2025-06-02T12:00:00Z"


@pytest.fixture
def ehr(database: Database) -> Ehr:
    return Ehr(database)


def a29(ehr: Ehr) -> Json:
    """Suspected: 2.0, then 5.5 and 6.2."""
    body: Json = json.loads(json.dumps(ehr.request("A29", "2025-04-28"), default=float))
    return body


def entries(body: Json) -> list[Json]:
    found: list[Json] = body["prefetch"]["observations"]["entry"]
    return found


def observation(body: Json, key: str) -> Json:
    return next(entry["resource"] for entry in entries(body) if entry["resource"]["id"] == key)


def set_value(body: Json, key: str, value: float, status: str = "final") -> None:
    observation(body, key).update(status=status)
    observation(body, key)["valueQuantity"]["value"] = value


def add_sample(body: Json, day: str, value: float) -> Json:
    """One more sample, like the last."""
    for bundle in filter(None, body["prefetch"].values()):
        for entry in list(bundle.get("entry", ())):
            if entry["resource"]["id"] in ("a29-o3", "a29-s3"):
                text = json.dumps(entry).replace("a29-o3", "a29-o4").replace("a29-s3", "a29-s4")
                bundle["entry"].append(json.loads(text.replace("2025-04-28", day)))
    set_value(body, "a29-o4", value)
    return body


def opens(ehr: Ehr, body: Json, day: str) -> list[Json]:
    ehr.day = datetime.fromisoformat(f"{day}T23:00:00+00:00")
    answer = ehr.client.post(SERVICE, json={**body, "hookInstance": str(uuid.uuid4())})
    summaries(answer)
    cards: list[Json] = answer.json()["cards"]
    return cards


def answers(ehr: Ehr, card: Json) -> None:
    entry = {"card": card["uuid"], "outcome": "overridden", "outcomeTimestamp": NOON}
    assert ehr.client.post(f"{SERVICE}/feedback", json={"feedback": [entry]}).json()["new"] == 1


@pytest.mark.parametrize(
    ("status", "words", "never"),
    [
        ("corrected", "was corrected by the laboratory", "another in the record"),
        ("amended", "was corrected by the laboratory", "another in the record"),
        ("final", "the value or the day of a result on which it rested is another in the record", "laboratory"),
    ],
)
def test_only_a_status_says_that_the_laboratory_corrected(ehr: Ehr, status: str, words: str, never: str) -> None:
    body = a29(ehr)
    opens(ehr, body, "2025-04-28")
    set_value(body, "a29-o3", 2.6, status)
    (told,) = opens(ehr, body, "2025-05-02")
    assert told["summary"].startswith("Withdrawn")
    assert words in told["detail"]
    assert never not in told["detail"]


def test_a_withdrawal_says_which_result_it_was_and_what_it_is_now(ehr: Ehr) -> None:
    body = a29(ehr)
    opens(ehr, body, "2025-04-28")
    set_value(body, "a29-o3", 2.6, "corrected")
    (told,) = opens(ehr, body, "2025-05-02")
    made = r"Withdrawn on \d{1,2} \w{3} \d{4}: earlier advice on TRPC5-EV holds no more"
    assert re.fullmatch(rf"{made} \(28 Apr 2025: 6\.2 × 10⁶ particles/mL → 2\.6 × 10⁶ particles/mL\)", told["summary"])
    first, *_ = told["detail"].split("\n\n")
    assert first.endswith("**TRPC5-EV 6.2 × 10⁶ particles/mL of 28 Apr 2025: now 2.6 × 10⁶ particles/mL.**")
    lines = [line for line in told["detail"].splitlines() if line.startswith("- TRPC5-EV")]
    assert len(lines) > 2
    assert [line.partition(" – ")[2] for line in lines if "–" in line] == ["**now 2.6 × 10⁶ particles/mL**"]
    observation(body, "a29-o3")["status"] = "entered-in-error"
    told, *_ = opens(ehr, body, "2025-05-03")
    assert told["summary"].endswith("(28 Apr 2025: 6.2 × 10⁶ particles/mL → taken back)")
    set_value(body, "a29-o3", 6.2)
    told, *_ = opens(ehr, body, "2025-05-04")
    assert "no result differs from what it was then" in told["detail"]


def test_withdrawals_of_one_question_are_one_card_and_none_is_lost(ehr: Ehr, database: Database) -> None:
    body = a29(ehr)
    for value in (6.2, 7.2, 8.2):
        set_value(body, "a29-o3", value)
        assert opens(ehr, body, "2025-05-02")
        set_value(body, "a29-o3", 2.2)
        cards = opens(ehr, body, "2025-05-03")
        assert [card["summary"][:9] for card in cards] == ["Withdrawn"]
    (told,) = cards
    text = told["detail"].replace("\\", "")
    assert "the newest of 3 that nobody has answered" in text
    assert text.count(", withdrawn: ") == 2
    assert "8.2" in text  # the newest is told in full
    with database.reading() as connection:
        kinds = list(connection.execute(select(tables.event.c.kind)).scalars())
    assert kinds.count("withdrawn") == 3
    answers(ehr, told)
    assert opens(ehr, body, "2025-05-11") == []


def test_a_result_that_was_shown_and_taken_back_is_told_though_the_advice_goes_on(ehr: Ehr) -> None:
    body = a29(ehr)
    opens(ehr, body, "2025-04-28")
    longer = add_sample(copy.deepcopy(body), "2025-05-12", 8.8)
    (shown,) = opens(ehr, longer, "2025-05-12")
    assert "8.8" in shown["detail"]
    observation(longer, "a29-o4")["status"] = "entered-in-error"
    for day in ("2025-05-14", "2025-05-15"):
        told, goes_on = opens(ehr, longer, day)
        assert told["summary"].startswith("Taken back")
        assert "holds no more" not in told["summary"] + told["detail"]
        assert "rests no more on" in told["detail"]
        assert "8.8" in told["detail"]
        assert "8.8" not in goes_on["detail"]
        assert "suspected" in goes_on["summary"].lower()
    answers(ehr, told)
    assert [card["summary"] for card in opens(ehr, longer, "2025-05-16")] == [goes_on["summary"]]


def test_a_correction_with_which_the_advice_goes_on_needs_no_card_of_its_own(ehr: Ehr) -> None:
    body = a29(ehr)
    opens(ehr, body, "2025-04-28")
    set_value(body, "a29-o3", 6.3, "corrected")
    (card,) = opens(ehr, body, "2025-05-02")
    assert "6.3" in card["detail"]
    assert not card["summary"].startswith(("Withdrawn", "Taken back"))


def mistyped(body: Json) -> str:
    observation(body, "a29-o2")["code"] = {
        "coding": [{"system": "https://exowatch.example/fhir/CodeSystem/exosomal-marker", "code": "trpc5-evv"}]
    }
    return "no rule file says what its code https"


def preliminary(body: Json) -> str:
    observation(body, "a29-o2")["status"] = "preliminary"
    return "its status is 'preliminary'"


def foreign(body: Json) -> str:
    observation(body, "a29-o2")["subject"] = {"reference": "Patient/somebody-else"}
    return "belongs to another patient"


@pytest.mark.parametrize("spoil", [mistyped, preliminary, foreign])
def test_what_may_have_held_results_is_said_near_the_top_and_named(ehr: Ehr, spoil: Any) -> None:
    body = a29(ehr)
    reason = spoil(body)
    (card,) = opens(ehr, body, "2025-04-28")
    text = card["detail"].replace("\\", "")
    top, _, rest = text.partition("### Values")
    assert "1 entry that may hold marker results was left out; see “Left out of this assessment” below" in top
    (line,) = [line for line in rest.splitlines() if reason in line]
    assert line.startswith("- Observation/a29-o2: ")
    assert "(next: " in line


def test_without_such_a_thing_nothing_is_said_of_it(ehr: Ehr) -> None:
    (card,) = opens(ehr, a29(ehr), "2025-04-28")
    assert "may hold marker results" not in card["detail"]
