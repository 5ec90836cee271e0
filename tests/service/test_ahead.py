"""Results whose report lies ahead of our clock, over HTTP: none of them vanishes without a word."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.service.conftest import NOW
from tests.service.test_hooks import VIEW

Body = dict[str, Any]


def observations(body: Body) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in body["prefetch"]["observations"]["entry"]]


def reported(body: Body, at: str, *ids: str) -> Body:
    for one in observations(body):
        if one["id"] in ids:
            one["issued"] = at
    return body


def cards(client: TestClient, body: Body) -> list[dict[str, Any]]:
    answer = client.post(VIEW, json=body)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["cards"]
    return found


def test_a_clock_three_minutes_ahead_changes_nothing(client: TestClient, request_body: Body) -> None:
    (card,) = cards(client, reported(request_body, (NOW + timedelta(minutes=3)).isoformat(), "trpc5-5"))
    assert "suspected" in card["summary"]
    assert "Left out" not in card["detail"]


def test_a_report_of_another_year_is_named_on_the_card(client: TestClient, request_body: Body) -> None:
    (card,) = cards(client, reported(request_body, "2027-04-21T16:00:00+02:00", "trpc5-5"))
    assert "suspected" not in card["summary"]
    left_out = card["detail"].partition("### Left out of this assessment")[2].partition("###")[0]
    assert "Observation/trpc5-5" in left_out
    assert "2027-04-21T16:00:00+02:00" in left_out
    assert "the sender's clock" in left_out


def test_it_stands_before_everything_else_that_was_left_out(client: TestClient, request_body: Body) -> None:
    request_body["prefetch"]["conditions"]["entry"] += [
        {
            "resource": {
                "resourceType": "Condition",
                "id": f"c{number}",
                "subject": {"reference": "Patient/trpc5-suspected"},
            }
        }
        for number in range(20)
    ]
    (card,) = cards(client, reported(request_body, "2027-04-21T16:00:00+02:00", "trpc5-5"))
    assert "Observation/trpc5-5" in card["detail"].partition("### Left out of this assessment")[2]


def test_where_nothing_else_is_known_it_has_a_card_of_its_own(client: TestClient, request_body: Body) -> None:
    ids = [f"trpc5-{number}" for number in range(1, 6)]
    body = reported(request_body, "2027-04-21T16:00:00+02:00", *ids)
    (card,) = cards(client, body)
    assert card["summary"] == "Exosomal markers: data that may hold results could not be used"
    assert all(f"Observation/{one}" in card["detail"] for one in ids)
    assert cards(client, body) == [card]


@pytest.mark.parametrize("day", ["2027-04-21", "2027-04-21T08:30:00+02:00"])
def test_a_collection_to_come_shows_even_if_nobody_says_when_it_was_reported(
    client: TestClient, request_body: Body, day: str
) -> None:
    for one in observations(request_body):
        if one["id"] == "trpc5-5":
            del one["issued"], one["specimen"]
            one["effectiveDateTime"] = day
    (card,) = cards(client, request_body)
    assert (
        card["summary"]
        == "TRPC5-EV: result data need checking (collection date in the future (6.3 × 10⁶/mL of 21 Apr 2027))"
    )
