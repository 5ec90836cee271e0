"""Whose a line is: the same as where a whole input is read at once; and what can be nobody's is refused, with the reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.chart.clinical import _READERS
from cds.chart.envelope import unpack
from cds.chart.exposure import TREATMENTS
from cds.chart.patients import Patients
from cds.chart.reading import READ, SHARED
from cds.screening.lines import Named, Owned, Refused, Shared, Unread, sort_out

_IDS = st.sampled_from(["1", "2", "a.b-c"])
_SYSTEMS = st.sampled_from(["https://a.example", "https://b.example"])
_IDENTIFIERS = st.lists(
    st.fixed_dictionaries({}, optional={"system": _SYSTEMS, "value": st.sampled_from(["x", "y"])}), max_size=2
)
_REFERENCES = st.one_of(
    _IDS.map(lambda one: f"Patient/{one}"),
    _IDS.map(lambda one: f"https://ehr.example/fhir/Patient/{one}"),
    _IDS.map(lambda one: f"Patient/{one}/_history/3"),
    _IDS.map(lambda one: f"urn:uuid:{one}"),
    st.sampled_from(["#p", "Group/7", ""]),
)
_SUBJECTS = st.one_of(
    st.none(),
    st.fixed_dictionaries({"reference": _REFERENCES}),
    st.fixed_dictionaries({"identifier": _IDENTIFIERS}),
    st.fixed_dictionaries({"reference": _REFERENCES, "identifier": _IDENTIFIERS, "display": st.just("somebody")}),
    st.fixed_dictionaries({"identifier": st.fixed_dictionaries({"system": _SYSTEMS, "value": st.just("x")})}),
    st.sampled_from(["Patient/1", 7, []]),
)


def lines_of(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"resourceType": st.just(kind)},
        optional={
            "id": _IDS,
            "subject": _SUBJECTS,
            "patient": _SUBJECTS,
            "identifier": _IDENTIFIERS,
            "contained": st.just([{"resourceType": "Patient", "id": "p", "identifier": [{"system": "https://a.example", "value": "y"}]}]),
            "meta": st.sampled_from([{"lastUpdated": "2026-01-01T00:00:00Z"}, {}, {"lastUpdated": 7}, "x"]),
        },
    )  # fmt: skip


_PEOPLE: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"resourceType": st.just("Patient"), "id": _IDS}, optional={"identifier": st.one_of(_IDENTIFIERS, st.just("x"))}
)


@given(
    people=st.lists(_PEOPLE, max_size=3, unique_by=lambda one: str(one["id"])),
    others=st.lists(st.one_of(*(lines_of(kind) for kind in ("Observation", "Condition", "Procedure"))), max_size=6),
)
def test_a_line_is_whose_the_chart_takes_it_for(people: list[Any], others: list[Any]) -> None:
    whole = [*people, *others]
    owners = Patients(unpack(whole).entries).owners
    known: dict[tuple[str, str], str] = {}
    for one in people:
        found = sort_out(json.dumps(one).encode())
        assert isinstance(found, Owned)
        known |= dict.fromkeys(found.identifiers, found.patient)
    for one, owner in zip(whole, owners, strict=True):
        found = sort_out(json.dumps(one).encode())
        if isinstance(found, Named):
            named = next((known[key] for key in found.identifiers if key in known), "|".join(found.identifiers[0]))
            assert named == owner
        elif isinstance(found, Owned):
            assert found.patient == owner
        else:
            assert isinstance(found, Refused)
            assert owner is None


def test_every_type_that_a_chart_reads_is_read() -> None:
    assert {*_READERS, *TREATMENTS, "Patient", "Specimen"} <= READ
    assert not READ & SHARED


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"resourceType":"Observation","subject":', "no JSON"),
        (b"\xff\xfe{}", "no JSON"),
        (b'{"resourceType":"Observation","subject":{"reference":"Patient/1"}} {}', "no JSON"),
        (b"[" * 5000 + b"]" * 5000, "no JSON"),
        (b"[1, 2]", "no resourceType"),
        (b"7", "no resourceType"),
        (b'{"id":"1"}', "no resourceType"),
        (b'{"resourceType":7}', "no resourceType"),
        (b'{"resourceType":"Patient"}', "Patient without an id"),
        (b'{"resourceType":"Patient","id":""}', "Patient without an id"),
        (b'{"resourceType":"Patient","id":5}', "Patient without an id"),
        (b'{"resourceType":"Observation"}', "does not say whose"),
        (b'{"resourceType":"Observation","subject":{"display":"Anna"}}', "does not say whose"),
        (b'{"resourceType":"Observation","subject":{"reference":"#p"}}', "does not say whose"),
        (b'{"resourceType":"Bundle","entry":[]}', "a Bundle"),
        (b'{"resourceType":"OperationOutcome","issue":[]}', "the server could not export"),
        (b'{"resourceType":"Observaton","subject":{"reference":"Patient/1"}}', "none of FHIR"),
        (b'{"resourceType":"Medication"}', "Medication without an id"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused(line: bytes, said: str) -> None:
    found = sort_out(line)
    assert isinstance(found, Refused), found
    assert said in found.reason
    assert found.hint
    assert "Anna" not in found.reason + found.hint


def test_what_no_rule_asks_about_and_what_is_shared() -> None:
    assert sort_out(b'{"resourceType":"Claim","patient":{"reference":"Patient/1"}}') == Unread("Claim")
    assert sort_out(b'{"resourceType":"Medication","id":"m1"}') == Shared("Medication/m1")
