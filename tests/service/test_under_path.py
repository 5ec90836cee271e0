"""A public base URL with a path: hooks, links of cards, feedback and tokens, whether or not a proxy strips the path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cds.reasoning.reasoner import Reasoner
from tests.service.test_trust import Site
from tests.service.tokens import BASE, SERVICE, claims, signed


@pytest.fixture
def site(tmp_path: Path, reasoner: Reasoner) -> Iterator[Site]:
    found = Site(tmp_path, reasoner)
    yield found
    found.database.close()


@pytest.mark.parametrize(
    "reached", [BASE, "https://cds.example"], ids=["as it is called", "behind a proxy that strips"]
)
def test_what_clients_call_is_what_is_served(site: Site, request_body: dict[str, Any], reached: str) -> None:
    def at(address: str) -> str:
        return reached + address.removeprefix(BASE)

    def headers(audience: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {signed(claims(aud=audience))}"}

    listed = site.client.get(at(f"{BASE}/cds-services")).json()["services"]
    assert SERVICE.rpartition("/")[2] in [one["id"] for one in listed]
    (card,) = site.client.post(at(SERVICE), json=request_body, headers=headers(SERVICE)).json()["cards"]
    (link,) = card["links"]
    assert link["url"].startswith(f"{BASE}/rules/")
    assert site.client.get(at(link["url"])).status_code == 200
    answer = {"card": card["uuid"], "outcome": "overridden", "outcomeTimestamp": "2026-05-01T10:05:31Z"}
    told = site.client.post(
        at(f"{SERVICE}/feedback"), json={"feedback": [answer]}, headers=headers(f"{SERVICE}/feedback")
    )
    assert told.json() == {"new": 1, "known": 0, "unknownCards": []}
    issues = site.client.get(at(f"{BASE}/fhir/DetectedIssue"), headers=headers(f"{BASE}/fhir"))
    assert issues.json()["total"] == 1
    wrong = headers(SERVICE.replace(urlsplit(BASE).path, ""))
    assert site.client.post(at(SERVICE), json=request_body, headers=wrong).status_code == 401


def test_only_the_whole_path_is_taken_for_it(site: Site) -> None:
    for path in ("/exowatchcds-services", "/exo/cds-services", "/exowatch/exowatch/cds-services", "/exowatch"):
        assert site.client.get(path).status_code != 200, path
