"""What a server is asked, with which tokens, how long it is waited for, and what is told of what it made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cds.chart import clinical, reading
from cds.exchange.bulk import TYPES, Stopped, Wanted
from cds.exchange.outcome import outcome_of
from cds.exchange.pace import Pace, stated_wait
from tests.bulk.fetching import (
    PEOPLE,
    RESULTS,
    WHOLE,
    Shown,
    body,
    content,
    exporting_two,
    fetched,
    first,
)
from tests.bulk.server import (
    JOB,
    ExportServer,
    always,
    cut,
    exporting,
    outcome,
    resources,
    say,
    times,
)


@pytest.fixture
def server() -> Iterator[ExportServer]:
    with exporting_two() as found:
        yield found


# what is asked ---------------------------------------------------------------------------------------------------------


def test_the_export_is_asked_for_as_the_guide_has_it(server: ExportServer, tmp_path: Path) -> None:
    fetched(server, tmp_path / "out", types=TYPES)
    kick_off, poll, *files = server.asked
    assert kick_off.path == "/fhir/Patient/$export"
    assert kick_off.query == {"_type": [",".join(TYPES)]}
    assert kick_off.headers["Prefer"] == "respond-async, handling=lenient"
    assert kick_off.headers["Accept"] == "application/fhir+json"
    assert poll.headers["Accept"] == "application/json"
    assert [one.headers.get("Accept-Encoding") for one in files] == ["gzip", "gzip", "identity"]


def test_the_default_types_are_those_that_a_chart_is_read_from() -> None:
    assert set(TYPES) == reading.READ | set(clinical._READERS) | {"Medication", "Organization"}
    assert set(TYPES) <= reading.READ | set(clinical._READERS) | reading.SHARED


@pytest.mark.parametrize(
    ("wanted", "asked"),
    [
        (Wanted("https://e/f", types=("Patient",)), "https://e/f/Patient/$export?_type=Patient"),
        (Wanted("https://e/f", "group", "a.b", ("Patient",)), "https://e/f/Group/a.b/$export?_type=Patient"),
        (Wanted("https://e/f", "system", "", ("A", "B"), "2026-01-01T00:00:00+01:00"), "https://e/f/$export?_type=A,B&_since=2026-01-01T00%3A00%3A00%2B01%3A00"),
    ],
)  # fmt: skip
def test_addresses_of_requests(wanted: Wanted, asked: str) -> None:
    assert wanted.address == asked


def test_a_file_is_gone_on_with_where_it_broke_off(server: ExportServer, tmp_path: Path) -> None:
    server.rules.append(times(1, first(server), cut(PEOPLE, 40, etag='"v1"')))
    shown = Shown()
    fetched(server, tmp_path / "out", shown)
    again = server.of(first(server))[1].headers
    assert (again["Range"], again["If-Range"]) == ("bytes=40-", '"v1"')
    assert shown.bytes == len(PEOPLE) + len(RESULTS)  # none came twice
    assert shown.done == (2, 2)


def test_progress_is_shown_and_controls_of_a_terminal_are_not(server: ExportServer, tmp_path: Path) -> None:
    server.rules.append(times(2, JOB, lambda r: say(r, 202, x_progress="half\x1b[2Jway" + "y" * 500)))
    shown = Shown()
    fetched(server, tmp_path / "out", shown)
    (told,) = [one for one in shown.said if "at work" in one]
    assert "half[2Jway" in told
    assert len(told) < 140


def test_a_line_may_be_longer_than_memory_is_used_for(server: ExportServer, tmp_path: Path) -> None:
    body(resources("Patient", 1, 20_000_000) * 2, count=2)(server)
    found = fetched(server, tmp_path / "out")
    assert found.resources["Patient"] == 2
    assert found.bytes == 2 * len(resources("Patient", 1, 20_000_000)) + len(RESULTS)


def test_files_of_errors_and_of_what_was_deleted_have_places_of_their_own(server: ExportServer, tmp_path: Path) -> None:
    gone = (
        b'{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"DELETE","url":"Patient/9"}}]}\n'
    )
    server.has("OperationOutcome", outcome("warning", "not-supported") + b"\n", section="error")
    server.has(
        "OperationOutcome",
        outcome("error", "processing", "Jane Roe") + b"\n" + outcome("information", "value"),
        section="error",
    )
    server.has("Bundle", gone, section="deleted")
    server.change = lambda found: [found["error"][0].pop("type"), found["deleted"][0].pop("type")]  # of later versions
    found = fetched(server, tmp_path / "out")
    assert content(tmp_path / "out") == WHOLE | {
        "deleted/Bundle.0001.ndjson": gone,
        "errors/OperationOutcome.0001.ndjson": server.files["/files/3.ndjson"].body,
        "errors/OperationOutcome.0002.ndjson": server.files["/files/4.ndjson"].body,
    }
    assert (found.errors.severe, len(found.errors.issues), found.deleted) == (1, 3, 1)
    assert str(found.errors) == "warning: not-supported, error: processing, information: value"
    assert found.resources == {"Observation": 5, "Patient": 3}


def test_several_files_of_a_type_have_numbers_and_what_is_missing_is_said(server: ExportServer, tmp_path: Path) -> None:
    server.has("Patient", resources("Patient", 1))
    server.has("Location", resources("Location", 1))
    found = fetched(server, tmp_path / "out", types=("Patient", "Specimen"))
    assert sorted(content(tmp_path / "out")) == [
        "Location.0001.ndjson", "Observation.0001.ndjson", "Patient.0001.ndjson", "Patient.0002.ndjson",
    ]  # fmt: skip
    assert found.missing == ("Specimen",)


@pytest.mark.parametrize("same", [True, False])
def test_new_addresses_are_taken_from_the_same_export_only(server: ExportServer, tmp_path: Path, same: bool) -> None:
    signed = ["old"]
    server.change = lambda found: [one.update(url=f"{one['url']}?signature={signed[0]}") for one in found["output"]]
    server.rules.append(lambda r: signed == ["old"] and r.path.startswith("/files/1") and say(r, 403))
    assert not fetched(server, tmp_path / "out").whole
    kept = server.change

    def renewed(found: dict[str, Any]) -> None:
        kept(found)
        if not same:
            found["transactionTime"] = "2026-11-21T00:00:00Z"

    signed[0], server.change = "new", renewed
    server.rules[:] = [lambda r: "signature=old" in r.path and say(r, 403)]
    assert fetched(server, tmp_path / "out").whole is same


@pytest.mark.parametrize(
    ("issue", "shown"),
    [
        ({"severity": "fatal", "code": "processing", "diagnostics": "Jane Roe"}, "fatal: processing"),
        ({"severity": "error", "code": "Jane Roe"}, "error: unknown"),
        ({"severity": "Jane Roe", "code": "invalid"}, "error: invalid"),
        ({"code": {"text": "Jane Roe"}, "details": {"text": "Jane Roe"}}, "error: unknown"),
    ],
)
def test_an_outcome_is_told_in_codes(issue: dict[str, Any], shown: str) -> None:
    body = json.dumps({"resourceType": "OperationOutcome", "issue": [issue]}).encode()
    assert str(outcome_of(body)) == shown


def test_an_empty_export_is_one(server: ExportServer, tmp_path: Path) -> None:
    server.files.clear()
    for _ in range(2):
        found = fetched(server, tmp_path / "out")
        assert found.whole
        assert found.resources == {}
    assert server.jobs == 1


def test_a_file_of_which_nothing_was_promised_is_named(server: ExportServer, tmp_path: Path) -> None:
    server.files["/files/2.ndjson"].length = False
    assert fetched(server, tmp_path / "out").unproved == ("Observation.0001.ndjson",)


def test_a_file_server_that_is_listed_is_asked(server: ExportServer, tmp_path: Path) -> None:
    server.protected = True
    with exporting() as files:
        files.has("Patient", PEOPLE)
        server.change = lambda found: found["output"][0].update(url=f"{files.base}/files/1.ndjson?signature=s3cret")
        found = fetched(server, tmp_path / "out", also=frozenset({files.base}))
        assert found.whole
        assert content(tmp_path / "out") == WHOLE
        assert files.asked[0].headers["Authorization"] == "Bearer secret-token-1"
        assert files.asked[0].query == {"signature": ["s3cret"]}
    assert "s3cret" not in (tmp_path / "out" / "fetch.json").read_text()  # once it is of no use any more


# tokens ----------------------------------------------------------------------------------------------------------------


def test_a_token_that_expires_in_the_middle_is_renewed(server: ExportServer, tmp_path: Path) -> None:
    server.protected = True

    def expire(request: Any) -> bool:
        server.valid.clear()
        return False

    server.rules += [times(1, first(server), cut(PEOPLE, 40, etag='"v1"'))]
    server.rules.insert(0, lambda r: len(server.of(first(server))) == 2 and len(server.tokens) == 1 and expire(r))
    found = fetched(server, tmp_path / "out")
    assert found.whole
    assert len(server.tokens) == 2
    assert "secret-token" not in (tmp_path / "out" / "fetch.json").read_text()


def test_a_token_that_is_never_taken_is_not_asked_for_without_end(server: ExportServer, tmp_path: Path) -> None:
    server.protected = True
    server.rules.append(always(first(server), lambda r: say(r, 401)))
    with pytest.raises(Stopped, match="did not take the access token"):
        fetched(server, tmp_path / "out")
    assert len(server.tokens) == 2


def test_files_that_need_no_token_are_asked_for_without(server: ExportServer, tmp_path: Path) -> None:
    server.protected, server.requires_token = True, False
    assert fetched(server, tmp_path / "out").whole
    for one in server.asked:
        assert ("Authorization" in one.headers) == (not one.path.startswith("/files") and one.path != "/token")


def test_no_token_is_had(server: ExportServer, tmp_path: Path) -> None:
    server.protected = True
    server.rules.append(always("/token", lambda r: say(r, 400, b'{"error":"invalid_client"}')))
    with pytest.raises(Stopped, match="no access token was had"):
        fetched(server, tmp_path / "out")


# waiting ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "120"}, 120.0), ({"retry-after": " 0 "}, 0.0), ({"retry-after": "-1"}, None), ({}, None),
        ({"retry-after": "1.5"}, None), ({"retry-after": "soon"}, None), ({"retry-after": "9" * 40}, 999999999.0),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}, 0.0),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT", "date": "Fri, 31 Dec 1999 23:59:29 GMT"}, 30.0),
        ({"retry-after": "Fri, 99 Dec 1999 23:59:59 GMT"}, None), ({"retry-after": "١٢"}, None),
    ],
)  # fmt: skip
def test_what_a_server_says_of_waiting(headers: dict[str, str], seconds: float | None) -> None:
    assert stated_wait(headers) == seconds


def test_waiting_is_bounded() -> None:
    pace = Pace()
    assert [pace.before(number) for number in (1, 2, 3, 7, 8, 500)] == [1, 2, 4, 60, 60, 60]
    assert pace.before(1, {"retry-after": "0"}) == 0.5
    assert pace.before(1, {"retry-after": "604800"}) == 3600
