"""What comes in: envelopes, patients, versions, both clocks; nothing is lost without a word."""

from __future__ import annotations

import itertools
import json
import pickle
import random
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cds.chart import Moment, read, read_all
from cds.chart.catalogue import MARKER_SYSTEM
from cds.chart.clock import when
from cds.errors import InputError
from tests.chart.make import PATIENT, bundle, catalogue, chart, coded, observation, quantity, results

# envelopes -------------------------------------------------------------------------------------------------------

HOOK = {
    "hook": "patient-view",
    "hookInstance": "x",
    "context": {"userId": "Practitioner/1", "patientId": "1"},
    "prefetch": {"patient": PATIENT, "results": bundle(observation()), "nothing": None},
}


@pytest.mark.parametrize(
    "data",
    [
        bundle(PATIENT, observation()),
        {**bundle(PATIENT, observation()), "type": "searchset"},
        bundle(PATIENT, bundle(observation())),
        [PATIENT, observation()],
        observation(),
        HOOK,
        {**HOOK, "prefetch": {"results": [observation()]}},
        {**HOOK, "prefetch": {"result": observation()}},
        "\n".join(map(json.dumps, [PATIENT, observation()])),
        "\n\n".join(map(json.dumps, [bundle(PATIENT), observation()])) + "\n",
        "\ufeff" + json.dumps(bundle(PATIENT, observation())),
        json.dumps(bundle(PATIENT, observation()), indent=2).encode(),
        bytearray(json.dumps(HOOK).encode()),
    ],
)
def test_envelopes(data: Any) -> None:
    record = read(data, catalogue())
    assert [one.patient for one in read_all(data, catalogue())] == [record.patient]
    assert record.patient == "Patient/1"
    assert [result.ref for result in record.as_of("2030-01-01").results["trpc5-ev"]] == ["Observation/o1"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", ["empty"]),
        (b" \n ", ["empty"]),
        (b'{"resourceType": "Bundle", "entry": [', ["ends too early", "line 1, column 38", "send it again"]),
        (b'{"a":\n 1,}', ["trailing comma", "line 2, column 4"]),
        (b'{"value": NaN}', ["line 1, column 11"]),
        (b"\xff\xfe{\x00}\x00", ["UTF-16"]),
        (b'{"a": "Universit\xe4t"}', ["not UTF-8", "column 17", "0xe4", "Latin-1"]),
        (b"<Bundle/>", ["XML", "application/fhir+json"]),
        (b"MSH|^~\\&|LAB", ["HL7 v2"]),
        (b"\x1f\x8b\x08", ["gzip"]),
        (b"3", ["no FHIR resource"]),
        (b'"text"', ["no FHIR resource"]),
        (b"null", ["no FHIR resource"]),
        (b"{}", ["no resourceType"]),
        (b"[" * 100_000, ["nested too deeply"]),
        (b'{"a":' * 100_000 + b'"}"' + b"}" * 100_000, ["nested too deeply"]),
        ([[[[]]]] * 2, ["names no patient"]),
        (b"[]", ["names no patient"]),
        ("\ud800", ["half a character"]),
        (bundle(PATIENT, {**PATIENT, "id": "2"}), ["2 patients", "Patient/1", "Patient/2"]),
    ],
)
def test_what_cannot_be_read_at_all_says_where_and_why(data: Any, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        read(data, catalogue())
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("place", ["extension", "method", "device", "performer", "component", "valueQuantity"])
def test_deep_nesting_in_parsed_data_breaks_nothing(place: str) -> None:
    nested: Any = []
    for _ in range(5_000):
        nested = {"coding": [nested]}
    (result,) = read({**observation(), place: nested}, catalogue()).as_of("2026-01-01").results["trpc5-ev"]
    assert bool(result.faults) is (place == "valueQuantity")


@pytest.mark.parametrize(
    ("bad", "where", "reason"),
    [
        (None, "Bundle.entry[2]", "without resource"),
        ({"fullUrl": "urn:uuid:1"}, "Bundle.entry[2]", "without resource"),
        ({"resource": 3}, "Bundle.entry[2]", "without resource"),
        ({"resource": {}}, "Bundle.entry[2].resource", "no resourceType"),
        ({"resource": {"resourceType": ["Observation"]}}, "Bundle.entry[2].resource", "no resourceType"),
        ({"resource": {"resourceType": "observation"}}, "Bundle.entry[2].resource", "no resource type"),
        ({"resource": observation("x", status="finished")}, "Bundle.entry[2].resource.status", "'finished'"),
        ({"resource": observation("x", status=None)}, "Bundle.entry[2].resource.status", "''"),
        ({"resource": observation("x", status=["final"])}, "Bundle.entry[2].resource.status", "''"),
        (
            {"resource": observation("x", subject={"reference": "Patient/9"})},
            "Bundle.entry[2].resource",
            "another patient",
        ),
        (
            {"resource": {"resourceType": "OperationOutcome", "issue": [{"diagnostics": "not allowed"}]}},
            "Bundle.entry[2].resource",
            "not allowed",
        ),
    ],
)
def test_one_bad_entry_is_set_aside_and_the_rest_is_used(bad: Any, where: str, reason: str) -> None:
    data = bundle(PATIENT, observation())
    data["entry"].append(bad)
    record = read(data, catalogue(), patient="1")
    assert len(record.as_of("2030-01-01").results["trpc5-ev"]) == 1
    assert [left.where for left in record.left_out] == [where]
    assert reason in record.left_out[0].reason


def test_bad_lines_failed_prefetches_and_further_pages_are_listed() -> None:
    lines = [json.dumps(PATIENT), '{"resourceType": "Obser', json.dumps(observation()), "7"]
    assert [left.where for left in read("\n".join(lines), catalogue()).left_out] == ["line 2", "line 4"]
    outcome = {"resourceType": "OperationOutcome", "issue": [{"code": "timeout"}]}
    hook = {**HOOK, "prefetch": {"results": outcome, "patient": PATIENT}}
    assert read(hook, catalogue()).left_out[0].where == "prefetch.results"
    assert "timeout" in read(hook, catalogue()).left_out[0].reason
    page = {**bundle(PATIENT, observation()), "link": [{"relation": "next", "url": "https://h.example/2"}]}
    assert "more pages" in read(page, catalogue()).left_out[0].reason


def test_decimals_keep_their_digits() -> None:
    text = json.dumps(bundle(PATIENT, observation(value=12345))).replace("12345", "1.50")
    shown = read(text, catalogue()).as_of("2030-01-01").results["trpc5-ev"][0].shown
    assert shown.startswith("1.50 ")


# patients --------------------------------------------------------------------------------------------------------

HOST, OTHER = "https://h.example/fhir", "https://other.example/fhir"
UUID = "urn:uuid:11111111-1111-1111-1111-111111111111"
NUMBERED = {**PATIENT, "identifier": [{"system": "urn:mrn", "value": "77"}]}


def entries(*pairs: tuple[str | None, dict[str, Any]]) -> dict[str, Any]:
    entry = [{"fullUrl": url, "resource": resource} if url else {"resource": resource} for url, resource in pairs]
    return {"resourceType": "Bundle", "type": "collection", "entry": entry}


@pytest.mark.parametrize(
    ("patient_url", "patient", "subject", "theirs"),
    [
        (None, PATIENT, {"reference": "Patient/1"}, True),
        (None, PATIENT, {"reference": "Patient/1/_history/3"}, True),
        (None, PATIENT, {"reference": "Patient/10"}, False),
        (None, PATIENT, {"reference": "Group/1"}, False),
        (None, PATIENT, {"reference": UUID}, False),
        (None, PATIENT, {"reference": f"{HOST}/Patient/1"}, True),
        (f"{HOST}/Patient/1", PATIENT, {"reference": "Patient/1"}, True),
        (f"{HOST}/Patient/1", PATIENT, {"reference": f"{HOST}/Patient/1"}, True),
        (f"{HOST}/Patient/1", PATIENT, {"reference": f"{OTHER}/Patient/1"}, False),
        (UUID, PATIENT, {"reference": UUID}, True),
        (UUID, PATIENT, {"reference": "Patient/1"}, True),
        (UUID, {"resourceType": "Patient"}, {"reference": UUID}, True),
        (None, PATIENT, None, True),  # one patient, and nobody else is named
        (None, PATIENT, {"display": "Mrs X"}, True),
        (None, NUMBERED, {"identifier": {"system": "urn:mrn", "value": "77"}}, True),
        (None, NUMBERED, {"identifier": {"system": "urn:mrn", "value": "78"}}, False),
        (None, NUMBERED, {"reference": "#p"}, True),
    ],
)
def test_whose_a_result_is(patient_url: str | None, patient: Any, subject: Any, theirs: bool) -> None:
    contained = [{"resourceType": "Patient", "id": "p", "identifier": NUMBERED["identifier"]}]
    resource = observation(subject=subject, contained=contained)
    named = patient.get("id") or patient_url
    record = read(entries((patient_url, patient), (None, resource)), catalogue(), patient=named)
    assert bool(record.as_of("2030-01-01").results) == theirs
    assert len(record.left_out) == (0 if theirs else 1)


def test_two_servers_may_number_their_patients_alike() -> None:
    data = entries(
        (f"{HOST}/Patient/1", PATIENT),
        (f"{OTHER}/Patient/1", {**PATIENT, "gender": "male"}),
        (f"{HOST}/Observation/a", observation("a")),
        (f"{OTHER}/Observation/b", observation("b")),
    )
    records = read_all(data, catalogue())
    refs = [[result.ref for result in record.as_of("2030-01-01").results["trpc5-ev"]] for record in records]
    assert refs == [["Observation/a"], ["Observation/b"]]


@pytest.mark.parametrize("name", ["2", "Patient/2", f"{HOST}/Patient/2"])
def test_one_of_several_patients_by_name(name: str) -> None:
    two = {**PATIENT, "id": "2"}
    data = bundle(PATIENT, two, observation(), observation("o2", subject={"reference": "Patient/2"}))
    record = read(data, catalogue(), patient=name)
    assert record.patient == "Patient/2"
    assert [result.ref for result in record.as_of("2030-01-01").results["trpc5-ev"]] == ["Observation/o2"]
    assert {left.what for left in record.left_out} == {"Patient/1", "Observation/o1"}


def test_all_patients_of_a_population_file() -> None:
    resources = [{**PATIENT, "id": str(number)} for number in range(3)]
    resources += [observation(f"o{number}", subject={"reference": f"Patient/{number % 3}"}) for number in range(9)]
    resources.append(observation("orphan", subject=None))
    records = read_all("\n".join(map(json.dumps, resources)), catalogue())
    assert [record.patient for record in records] == ["Patient/0", "Patient/1", "Patient/2"]
    for record in records:
        assert [left.what for left in record.left_out] == ["Observation/orphan"]
        assert sum("conflict" in one.faults for one in record.as_of("2030-01-01").results["trpc5-ev"]) == 0


@pytest.mark.parametrize(
    ("birth", "days", "text"),
    [
        ("1970-02-03", (None, date(1970, 2, 3)), "1970-02-03"),
        ("1970", (date(1970, 1, 1), date(1970, 12, 31)), "1970"),
        ("1970-02", (date(1970, 2, 1), date(1970, 2, 28)), "1970-02"),
        ("3.2.1970", (None, None), None),
        (None, (None, None), None),
    ],
)
def test_birth_dates(birth: str | None, days: tuple[date | None, date | None], text: str | None) -> None:
    read_chart = read(bundle({**PATIENT, "birthDate": birth}), catalogue()).as_of("2025-01-01")
    assert (read_chart.born_from, read_chart.birth_date) == days
    assert (read_chart.birth_date_text, read_chart.sex) == (text, "female")


# clocks and versions ---------------------------------------------------------------------------------------------

APRIL = {"issued": "2025-04-08T09:00:00Z"}
LATE = {"meta": {"versionId": "2", "lastUpdated": "2025-05-02T09:00:00Z"}}


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        # each version: what is changed; expected: values by day of the chart
        ([{}], {"2025-04-06": [], "2025-04-07": [2.0]}),
        ([APRIL], {"2025-04-07": [], "2025-04-08": [2.0]}),
        ([{"meta": {"lastUpdated": "2025-04-09T00:30:00+02:00"}}], {"2025-04-08": [], "2025-04-09": [2.0]}),
        ([APRIL, {**LATE, "status": "corrected", "value": 9}], {"2025-04-08": [2.0], "2025-05-01": [2.0], "2025-05-02": [9.0]}),
        ([APRIL, {**APRIL, **LATE, "status": "corrected", "value": 9}], {"2025-05-01": [2.0], "2025-05-02": [9.0]}),
        ([APRIL, {**APRIL, **LATE, "value": 9}], {"2025-05-01": [2.0], "2025-05-02": [9.0]}),
        ([APRIL, {**APRIL, **LATE, "status": "entered-in-error"}], {"2025-05-01": [2.0], "2025-05-02": []}),
        ([APRIL, {**APRIL, **LATE, "status": "cancelled"}], {"2025-05-01": [2.0], "2025-05-02": []}),
        ([{**APRIL, "status": "preliminary"}, {**APRIL, **LATE}], {"2025-05-01": [], "2025-05-02": [2.0]}),
        ([APRIL, {**APRIL, **LATE, "code": coded("718-7", "http://loinc.org")}], {"2025-05-01": [2.0], "2025-05-02": []}),
        ([APRIL, APRIL], {"2025-04-08": [2.0]}),
        ([{}, {"status": "entered-in-error", "day": None, "value": None}], {"2025-04-07": [], "2030-01-01": []}),
        ([APRIL, {"status": "entered-in-error", "day": None}], {"2025-04-07": [], "2025-04-08": []}),
        ([{}, {"status": "corrected", "value": 9}], {"2025-04-07": [9.0]}),
        ([{"status": "registered"}], {"2030-01-01": []}),
        ([{"status": "unknown"}], {"2030-01-01": []}),
        ([{"day": None}], {"1990-01-01": [2.0]}),  # neither clock: it must not vanish
    ],
)  # fmt: skip
def test_as_of(versions: Any, expected: dict[str, list[float]]) -> None:
    resources = [observation(**version) for version in versions]
    for order in itertools.permutations(resources):
        record = read(bundle(PATIENT, *order), catalogue())
        for day, values in expected.items():
            read_results = record.as_of(day).results.get("trpc5-ev", ())
            assert [result.low for result in read_results] == [value * 1e6 for value in values], day


def test_a_business_identifier_joins_versions_of_one_sample_only() -> None:
    number: dict[str, Any] = {"identifier": [{"system": "urn:lab", "value": "N1"}]}
    first = observation("a", **number, **APRIL)
    corrected = observation("b", 9, **number, status="corrected", issued="2025-05-02T09:00:00Z")
    assert [result.low for result in results(first, corrected)] == [9e6]
    assert [result.low for result in results(first, corrected, as_of="2025-05-01")] == [2e6]
    later_sample = observation("b", 9, "2025-05-05", **number)
    assert len(results(first, later_sample)) == 2
    other_marker = observation("b", code=coded("pdl1-ev", MARKER_SYSTEM), valueQuantity=quantity(5, "pg/mL"), **number)
    assert set(chart(first, other_marker).results) == {"trpc5-ev", "pdl1-ev"}


def test_two_versions_that_nothing_puts_in_order_are_a_conflict() -> None:
    for order in itertools.permutations([observation(value=2), observation(value=9)]):
        (only,) = results(*order)
        assert "conflict" in only.faults


def test_instants_within_a_day() -> None:
    record = read(bundle(PATIENT, observation(**APRIL)), catalogue())
    assert not record.as_of("2025-04-08T08:59:59Z").results
    assert record.as_of("2025-04-08T11:00:00+02:00").results
    assert record.as_of(datetime(2025, 4, 8, 9, tzinfo=UTC)).results
    assert record.as_of(date(2025, 4, 8)).as_of == date(2025, 4, 8)


def test_received_is_known_since_for_what_states_nothing() -> None:
    received = datetime(2025, 6, 1, 12, tzinfo=UTC)
    record = read(
        bundle(PATIENT, observation(), observation("o2", 3, "2025-05-01", **APRIL)), catalogue(), received=received
    )
    assert [one.ref for one in record.as_of("2025-05-31").results["trpc5-ev"]] == ["Observation/o2"]
    (first, _) = record.as_of("2025-06-01").results["trpc5-ev"]
    assert (first.known, first.known_assumed) == (received.isoformat(), False)
    assert record.moments() == (date(2025, 4, 8), date(2025, 6, 1))


@pytest.mark.parametrize("moment", ["", "2025", "2025-13-01", "yesterday", "2025-04-08T10:00:00", datetime(2025, 4, 8)])
def test_moments_that_are_none(moment: Any) -> None:
    with pytest.raises(InputError):
        Moment.of(moment)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2025", "2025-01-01", "2025-12-31"),
        ("2025-02", "2025-02-01", "2025-02-28"),
        ("2024-12", "2024-12-01", "2024-12-31"),
        ("9999-12", "9999-12-01", "9999-12-31"),
        ("2025-02-03", "2025-02-03", "2025-02-03"),
    ],
)
def test_partial_dates(text: str, first: str, last: str) -> None:
    read_date = when(text)
    assert read_date is not None
    assert (read_date.first.isoformat(), read_date.last.isoformat()) == (first, last)


@pytest.mark.parametrize(
    "text",
    ["", "0000", "2025-1", "2025-00", "2025-W01-1", "2025-04-07T", "2025-04-07X10:00Z", "2025-04-07T10Z", None, 2025],
)
def test_no_dates(text: Any) -> None:
    assert when(text) is None


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
def test_at_the_ends_of_the_calendar_a_day_stays_as_it_is(text: str) -> None:
    read_date = when(text)
    assert read_date is not None
    assert {read_date.at(ZoneInfo(name)) for name in ("Asia/Tokyo", "America/Chicago")} >= {read_date}


# everything at once ----------------------------------------------------------------------------------------------


def test_any_damage_to_a_result_leaves_a_trace() -> None:
    """Whatever is put in the place of any element: no exception, and the result or a note about it is there."""
    rng = random.Random(7)
    junk: list[Any] = [None, [], {}, "", "x", 0, -1, True, [None], [[]], {"coding": 3}, {"value": {}}, 10**400, "\x00"]
    whole = observation(
        issued="2025-04-08T09:00:00Z", specimen={"reference": "#s"}, method=coded("elisa"), device={"display": "d"},
        performer=[{"reference": "Organization/1", "identifier": {"system": "s", "value": "v"}}],
        identifier=[{"system": "s", "value": "v"}], meta={"versionId": "1", "lastUpdated": "2025-04-08T09:00:00Z"},
        contained=[{"resourceType": "Specimen", "id": "s", "type": coded("plasma"), "container": [
            {"additiveCodeableConcept": coded("edta")}], "processing": [{"procedure": coded("sec")}]}],
        component=[{"code": coded("haemolysis", MARKER_SYSTEM), "valueCodeableConcept": coded("clear")}],
    )  # fmt: skip
    for _ in range(4000):
        damaged = json.loads(json.dumps(whole))
        node: Any = damaged
        while True:
            key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
            if isinstance(node[key], (dict, list)) and node[key] and rng.random() < 0.7:
                node = node[key]
                continue
            node[key] = rng.choice(junk)
            break
        if damaged.get("resourceType") != "Observation" or "code" not in damaged or damaged["code"] != whole["code"]:
            continue
        record = read(bundle(PATIENT, damaged), catalogue(), patient="1")
        found = record.as_of("2030-01-01").results.get("trpc5-ev", ())
        assert found or record.left_out, damaged


def test_the_order_of_an_input_does_not_matter() -> None:
    rng = random.Random(3)
    resources = [observation(f"o{n}", 2 + n % 3, f"2025-0{1 + n % 4}-07") for n in range(12)]
    first = chart(*resources).results
    for _ in range(20):
        rng.shuffle(resources)
        assert chart(*resources).results == first


def test_a_chart_can_be_sent_to_another_process() -> None:
    made = chart(observation())
    assert pickle.loads(pickle.dumps(made.results)) == made.results  # noqa: S301 - what it has just written


SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "samples"


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the public samples are not here")
@pytest.mark.parametrize("path", sorted((SAMPLES / "mcode").glob("*.json")), ids=lambda path: path.name)
def test_public_records_with_a_result_put_in(path: Path) -> None:
    data = json.loads(path.read_text())
    (patient,) = (
        entry for entry in data["entry"] if entry.get("resource", entry).get("resourceType") == "Patient"
    )  # fmt: skip
    reference = patient.get("fullUrl") or f"Patient/{patient['resource']['id']}"
    data["entry"].append({"resource": observation(subject={"reference": reference})})
    record = read(data, catalogue())
    assert len(record.as_of("2030-01-01").results["trpc5-ev"]) == 1
    assert not [left for left in record.left_out if "belongs to" in left.reason]
