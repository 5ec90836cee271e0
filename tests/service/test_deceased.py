"""Nobody is advised about a patient who has died: no card, and the log and the record say why and what."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from starlette.testclient import TestClient

from cds.chart.reading import read
from cds.reasoning.loading import default_rulebook
from cds.record.database import Database
from cds.record.listing import advisories
from tests.record.test_service import Ehr

ADDRESS = "/cds-services/exowatch-patient-view"
DEAD: list[dict[str, Any]] = [
    {"deceasedBoolean": True},
    {"deceasedDateTime": "2025-04-21T10:00:00+02:00"},
    {"deceasedDateTime": "2025-04"},
    {"deceasedDateTime": "21.4.25"},
]
ALIVE: list[dict[str, Any]] = [{}, {"deceasedBoolean": False}, {"deceasedBoolean": "true"}, {"deceasedDateTime": ""}]


def called(
    client: TestClient, body: dict[str, Any], stated: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> tuple[Any, dict[str, Any]]:
    """The answer about a patient of whom that is stated, and what the log says of the call."""
    caplog.set_level(logging.INFO)
    body["prefetch"]["patient"].update(stated)
    answer = client.post(ADDRESS, json=body)
    (said,) = [one.fields for one in caplog.records if one.message == "call"]  # type: ignore[attr-defined]  # what the log adds
    return answer, said


@pytest.mark.parametrize("stated", DEAD, ids=str)
def test_no_card_is_shown_and_the_log_says_why(
    client: TestClient, request_body: dict[str, Any], stated: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    answer, said = called(client, request_body, stated, caplog)
    assert (answer.status_code, answer.json()) == (200, {"cards": []})
    assert said["deceased"] is True
    assert said["findings"]["suspected"] == 1


@pytest.mark.parametrize("stated", ALIVE, ids=str)
def test_whoever_is_not_said_to_be_dead_has_a_card(
    client: TestClient, request_body: dict[str, Any], stated: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    answer, said = called(client, request_body, stated, caplog)
    assert answer.json()["cards"]
    assert "deceased" not in said


def test_neither_withdrawals_nor_reminders_are_shown_and_the_record_has_all(database: Database) -> None:
    ehr = Ehr(database)
    assert ehr.opens("A01", "2025-05-02").json()["cards"]
    request = ehr.request("A01", "2025-05-03")
    request["prefetch"]["patient"]["deceasedDateTime"] = "2025-05-03"
    assert ehr.opens("A01", "2025-05-03", prefetch=request["prefetch"]).json() == {"cards": []}
    (advisory,) = advisories(database, "default")
    assert (advisory.state, advisory.standing) == ("suspected", "open")


def test_of_a_day_before_the_death_the_patient_lived(request_body: dict[str, Any]) -> None:
    request_body["prefetch"]["patient"]["deceasedDateTime"] = "2025-06-10"
    record = read(request_body, default_rulebook().catalogue)
    assert [record.as_of(day).deceased for day in ("2025-06-09", "2025-06-10", "2025-07-01")] == [False, True, True]
