"""One Observation, one Result: values, limits, faults, specimens, duplicates, conflicts."""

from __future__ import annotations

import itertools
from datetime import date, time
from typing import Any

import pytest

from cds.chart.catalogue import MARKER_SYSTEM, METHOD_SYSTEM
from tests.chart.make import LAB, chart, coded, observation, part, quantity, result, results

INFINITE = float("inf")
LOD = part("limit-of-detection", 0.5, "10*6{particles}/mL")
DAY = "2025-04-07"


@pytest.mark.parametrize(
    ("stated", "component", "low", "high", "lod", "censored", "shown"),
    [
        (quantity(5.6), None, 5.6e6, 5.6e6, None, False, "5.6 10*6{particles}/mL"),
        (quantity(5.6), [LOD], 5.6e6, 5.6e6, 5e5, False, "5.6 10*6{particles}/mL"),
        (quantity(0.5, comparator="<"), None, 0.0, 5e5, 5e5, True, "<0.5 10*6{particles}/mL"),
        (quantity(0.5, comparator="<="), None, 0.0, 5e5, 5e5, True, "<=0.5 10*6{particles}/mL"),
        (quantity(0.9, comparator="<"), [LOD], 0.0, 9e5, 5e5, True, "<0.9 10*6{particles}/mL"),
        (quantity(9, comparator=">"), [LOD], 9e6, INFINITE, 5e5, False, ">9 10*6{particles}/mL"),
        (quantity(9, comparator=">="), None, 9e6, INFINITE, None, False, ">=9 10*6{particles}/mL"),
        (quantity(0), [LOD], 0.0, 5e5, 5e5, True, "0 10*6{particles}/mL"),
        (quantity(0.3), [LOD], 0.0, 5e5, 5e5, True, "0.3 10*6{particles}/mL"),
    ],
)
def test_values_and_limits(
    stated: Any, component: Any, low: float, high: float, lod: float, censored: bool, shown: str
) -> None:
    read = result(observation(valueQuantity=stated, component=component))
    assert (read.low, read.high, read.lod, read.censored, read.shown) == (low, high, lod, censored, shown)
    assert read.faults == frozenset()


HOSTILE: list[tuple[Any, str]] = [
    ({"valueQuantity": None}, "no-value"),
    ({"valueQuantity": {}}, "no-value"),
    ({"valueQuantity": {"unit": "pg/mL"}}, "no-value"),
    ({"valueQuantity": quantity(None)}, "no-value"),
    ({"valueQuantity": None, "dataAbsentReason": {"text": "haemolysed"}}, "no-value"),
    ({"dataAbsentReason": coded("error")}, "unreadable-value"),
    ({"valueQuantity": quantity("5.6")}, "unreadable-value"),
    ({"valueQuantity": quantity("NaN")}, "unreadable-value"),
    ({"valueQuantity": quantity("")}, "unreadable-value"),
    ({"valueQuantity": quantity("5,6")}, "unreadable-value"),
    ({"valueQuantity": quantity(True)}, "unreadable-value"),
    ({"valueQuantity": quantity([5.6])}, "unreadable-value"),
    ({"valueQuantity": quantity({"value": 5.6})}, "unreadable-value"),
    ({"valueQuantity": quantity(float("nan"))}, "unreadable-value"),
    ({"valueQuantity": quantity(float("inf"))}, "unreadable-value"),
    ({"valueQuantity": quantity(1e300)}, "unreadable-value"),
    ({"valueQuantity": quantity(1e-300)}, "unreadable-value"),
    ({"valueQuantity": quantity(10**5000)}, "unreadable-value"),
    ({"valueQuantity": quantity(-1e300)}, "negative"),
    ({"valueQuantity": quantity(-0.1)}, "negative"),
    ({"valueQuantity": quantity(-5, comparator="<")}, "negative"),
    ({"valueQuantity": quantity(0)}, "zero-without-lod"),
    ({"valueQuantity": quantity(-0.0)}, "zero-without-lod"),
    ({"valueQuantity": quantity(0, comparator="<")}, "zero-without-lod"),
    ({"valueQuantity": quantity(5, comparator="~")}, "unreadable-value"),
    ({"valueQuantity": quantity(5, comparator="ad")}, "unreadable-value"),
    ({"valueQuantity": quantity(5, comparator="")}, "unreadable-value"),
    ({"valueQuantity": quantity(5, comparator=["<"])}, "unreadable-value"),
    ({"valueQuantity": quantity(5, None)}, "no-unit"),
    ({"valueQuantity": quantity(5, None, unit="")}, "no-unit"),
    ({"valueQuantity": quantity(5, None, unit="  ")}, "no-unit"),
    ({"valueQuantity": quantity(5, None, code=None)}, "no-unit"),
    ({"valueQuantity": quantity(5, None, unit=7)}, "unreadable-value"),
    ({"valueQuantity": quantity(5, None, unit="particles")}, "unit-not-convertible"),
    ({"valueQuantity": quantity(5, "{copies}/mL")}, "unit-not-convertible"),
    ({"valueQuantity": quantity(5, "{particles}/mL", system="http://snomed.info/sct")}, "no-fault"),
    ({"valueQuantity": quantity(5, None, code="/mL", system="http://snomed.info/sct")}, "unit-not-convertible"),
    ({"valueQuantity": "5.6"}, "unreadable-value"),
    ({"valueQuantity": [quantity(5)]}, "unreadable-value"),
    ({"valueQuantity": None, "valueString": "5.6"}, "unreadable-value"),
    ({"valueQuantity": None, "valueBoolean": True}, "unreadable-value"),
    ({"valueQuantity": None, "valueInteger": 5}, "unreadable-value"),
    ({"valueQuantity": None, "valueCodeableConcept": coded("detected")}, "unreadable-value"),
    ({"valueQuantity": None, "valueRange": {"low": quantity(1)}}, "unreadable-value"),
    ({"valueString": "see report"}, "unreadable-value"),
    ({"interpretation": [coded("QCF")]}, "unreadable-value"),
    ({"effectiveDateTime": None}, "no-collection-date"),
    ({"effectiveDateTime": None, "issued": "2025-04-08T09:00:00Z"}, "no-collection-date"),
    ({"effectiveDateTime": ""}, "no-collection-date"),
    ({"effectiveDateTime": "2025-04"}, "no-collection-date"),
    ({"effectiveDateTime": "2025"}, "no-collection-date"),
    ({"effectiveDateTime": "20250407"}, "no-collection-date"),
    ({"effectiveDateTime": "07.04.2025"}, "no-collection-date"),
    ({"effectiveDateTime": "2025-02-30"}, "no-collection-date"),
    ({"effectiveDateTime": "2025-04-07T25:00:00Z"}, "no-collection-date"),
    ({"effectiveDateTime": "0025-04-07"}, "no-collection-date"),
    ({"effectiveDateTime": 20250407}, "no-collection-date"),
    ({"effectiveDateTime": ["2025-04-07"]}, "no-collection-date"),
    ({"effectiveDateTime": None, "effectivePeriod": "2025-04-07"}, "no-collection-date"),
    ({"effectiveDateTime": None, "effectivePeriod": {"end": "2025-04-07"}}, "no-collection-date"),
    ({"effectiveDateTime": "2099-04-07", "issued": "2025-04-08T09:00:00Z"}, "after-as-of"),
    ({"code": coded("trpc5-tissue", MARKER_SYSTEM)}, "different-analyte"),
    ({"component": "none"}, "no-fault"),
    ({"component": [None, 3, {}, {"code": 5}, {"code": {"coding": [{"system": [], "code": {}}]}}]}, "no-fault"),
    ({"specimen": "x", "performer": 3, "device": [], "method": "elisa"}, "no-fault"),
    ({"specimen": {"reference": 3}, "performer": [{"reference": {}}], "identifier": [{"value": 1}]}, "no-fault"),
    ({"meta": "x", "issued": 5, "hasMember": 3, "contained": {}}, "no-fault"),
]


@pytest.mark.parametrize(("change", "fault"), HOSTILE)
def test_a_bad_value_is_named_and_never_lost(change: Any, fault: str) -> None:
    read = result(observation(**change))
    assert read.faults == (frozenset() if fault == "no-fault" else {fault})
    if fault not in ("no-fault", "no-collection-date", "after-as-of", "different-analyte"):
        assert (read.low, read.high, read.per_ev_low) == (None, None, None)


def test_several_faults_at_once() -> None:
    assert result(observation(day=None, valueQuantity=quantity(-1))).faults == {"no-collection-date", "negative"}


@pytest.mark.parametrize(
    ("written", "day", "clock"),
    [
        ("2025-04-07", date(2025, 4, 7), None),
        ("2025-04-07T23:30:00-05:00", date(2025, 4, 7), time(23, 30)),
        ("2025-04-07T08:30", date(2025, 4, 7), time(8, 30)),
        ("2025-04-07T08:30:60Z", date(2025, 4, 7), time(8, 30, 59)),
        ("2025-04-07T08:30:00.123456789+02:00", date(2025, 4, 7), time(8, 30, 0, 123456)),
    ],
)
def test_the_calendar_day_is_kept_as_written(written: str, day: date, clock: time | None) -> None:
    read = result(observation(day=written))
    assert (read.collected, read.collected_time) == (day, clock)


def specimen(name: str = "s1", **more: Any) -> dict[str, Any]:
    return {"resourceType": "Specimen", "id": name, "subject": {"reference": "Patient/1"}, **more}


SNOMED = "http://snomed.info/sct"
TABLE = "http://terminology.hl7.org/CodeSystem/v2-"


@pytest.mark.parametrize(
    ("stated", "field", "value"),
    [
        ({"type": coded("119361006", SNOMED)}, "specimen", "plasma"),
        ({"type": coded("119364003", SNOMED)}, "specimen", "serum"),
        ({"type": coded("PLAS", f"{TABLE}0487")}, "specimen", "plasma"),
        ({"type": coded("122555007", SNOMED)}, "specimen", None),
        ({"type": coded("78014005", SNOMED)}, "specimen", None),
        ({"container": [{"additiveCodeableConcept": coded("EDTK15", f"{TABLE}0371")}]}, "tube", "edta"),
        ({"container": [{"additiveCodeableConcept": coded("edta")}]}, "tube", "edta"),
        ({"processing": [{"procedure": coded("sec")}]}, "isolation", "sec"),
        ({"processing": [{"procedure": coded("27872000", SNOMED)}, {"procedure": coded("uc")}]}, "isolation", "uc"),
    ],
)
def test_the_specimen_tells_the_method(stated: Any, field: str, value: str | None) -> None:
    read = result(observation(specimen={"reference": "Specimen/s1"}), specimen(**stated))
    assert getattr(read.method, field) == value
    assert read.specimen_id == "s1"
    contained = observation(specimen={"reference": "#s1"}, contained=[specimen(**stated)])
    assert getattr(result(contained).method, field) == value


def test_the_collection_date_may_stand_on_the_specimen() -> None:
    tube = specimen(collection={"collectedDateTime": "2025-04-06T09:00:00+02:00"})
    assert result(observation(day=None, specimen={"reference": "Specimen/s1"}), tube).collected == date(2025, 4, 6)
    haemolysed = specimen(condition=[coded("HEM", f"{TABLE}0493")])
    stated = observation(specimen={"reference": "Specimen/s1"}, component=[part("haemolysis", "clear")])
    assert result(stated, haemolysed).checks == {"haemolysis": False}


def test_parts() -> None:
    read = result(
        observation(
            method=coded("flow-cytometry"),
            device={"display": "Cytometer 3"},
            performer=[{"identifier": {"value": "lab A"}}],
            component=[
                part("specimen-type", "plasma"), part("tube", "edta"), part("isolation", "sec"),
                {**part("reagents"), "valueString": " clone  A "}, part("normaliser", "none"),
                part("reagent-lot", "L7"), part("bridging", "stated"), part("haemolysis", "clear"),
                part("lipaemia", "present"), part("residual-platelets", "++"), part("drug-tolerance", "tolerant"),
                part("analytical-cv", 12, "%"), part("within-person-cv", 0.3, "1"), part("regulatory-status", "LDT"),
                part("total-ev", 1.1e10, "{particles}/mL"), part("haemolysis", "present"),
            ],
        )
    )  # fmt: skip
    method = read.method
    assert (method.specimen, method.tube, method.isolation, method.assay) == ("plasma", "edta", "sec", "flow-cytometry")
    assert (method.platform, method.reagents, method.normaliser) == ("Cytometer 3", "clone A", "none")
    assert (read.laboratory, read.lot, read.bridged, read.cva, read.cvi) == ("lab A", "L7", True, 0.12, 0.3)
    assert read.checks == {"haemolysis": False, "lipaemia": False, "drug-tolerance": True}
    assert read.per_ev_low == read.per_ev_high == 2e6 / 1.1e10
    assert (read.regulatory, read.declared) == ("LDT", frozenset())


# total EV --------------------------------------------------------------------------------------------------------


def total(name: str = "t1", value: Any = 1e10, day: str | None = DAY, **more: Any) -> dict[str, Any]:
    code = coded("total-ev", MARKER_SYSTEM)
    return observation(name, day=day, code=code, valueQuantity=quantity(value, "{particles}/mL"), **more)


@pytest.mark.parametrize(
    ("of_result", "others", "low"),
    [
        ({}, [total()], 2e-4),
        ({}, [total(day="2025-04-08")], None),
        ({"day": None}, [total(day=None)], None),
        ({}, [total(performer=[LAB])], None),
        ({}, [total(), total("t2", 2e10)], None),  # two counts, and nothing says which
        ({"specimen": {"reference": "Specimen/s1"}}, [total(specimen={"reference": "Specimen/s1"})], 2e-4),
        ({"specimen": {"reference": "Specimen/s1"}}, [total(specimen={"reference": "Specimen/s2"})], None),
        ({"specimen": {"reference": "Specimen/s1"}}, [total()], None),
        (
            {"derivedFrom": [{"reference": "Observation/t1"}]},
            [total(day="2025-04-08")],
            None,
        ),  # a link is no common specimen
        ({"hasMember": [{"reference": "https://h.example/fhir/Observation/t1"}]}, [total(day=None)], 2e-4),
        ({}, [total(status="preliminary")], None),
        ({}, [total(value=0)], None),
        ({}, [total(issued="2031-01-01T00:00:00Z")], None),
    ],
)
def test_total_ev_of_another_observation(of_result: Any, others: Any, low: float | None) -> None:
    assert result(observation(**of_result), *others).per_ev_low == low


def test_total_ev_of_a_panel() -> None:
    panel = observation("p", code={"text": "panel"}, valueQuantity=None)
    panel["hasMember"] = [{"reference": "Observation/o1"}, {"reference": "Observation/t1"}]
    assert result(observation(), total(day=None), panel).per_ev_low == 2e-4


def test_a_share_of_all_ev_is_already_per_ev_and_asked_only_beside_their_count() -> None:
    share = observation(valueQuantity=quantity(3, "%"))
    assert result(share).per_ev_low is None
    assert (
        result(
            observation(valueQuantity=quantity(3, "%"), component=[part("total-ev", 1e10, "{particles}/mL")])
        ).per_ev_low
        == 3.0
    )
    assert result(observation(component=[part("total-ev", 1, "%")])).per_ev_low is None


@pytest.mark.parametrize(
    ("value", "unit", "count", "above"),
    [
        (1.8e12, "{particles}/mL", 1.1e10, True),
        (1.8, "10*9/mL", 1.1e9, True),
        (1.1e10, "{particles}/mL", 1.1e10, False),
        (1.8, "10*6/mL", 1.1e10, False),
        (1.8e12, "pg/mL", 1.1e10, False),  # a mass is no count
        (100, "%", 1.1e10, False),
        (180, "%", None, True),  # a share of all vesicles
    ],
)
def test_no_marker_is_on_more_vesicles_than_there_are(
    value: float, unit: str, count: float | None, above: bool
) -> None:
    parts = [part("total-ev", count, "{particles}/mL")] if count is not None else []
    one = observation(valueQuantity=quantity(value, unit), component=parts)
    assert result(one).faults == ({"above-total-ev"} if above else set())
    if count is not None:  # the same if the count is an Observation of its own
        apart = observation(valueQuantity=quantity(value, unit))
        assert result(apart, total(value=count)).faults == ({"above-total-ev"} if above else set())


def test_an_open_end_of_either_count_is_no_contradiction() -> None:
    def faults(comparator: str, value: float, of_count: str, count: float) -> frozenset[str]:
        stated = part("total-ev")
        stated["valueQuantity"] = quantity(count, "{particles}/mL", **({"comparator": of_count} if of_count else {}))
        more = {"comparator": comparator} if comparator else {}
        return result(observation(valueQuantity=quantity(value, "{particles}/mL", **more), component=[stated])).faults

    assert faults("<", 2e10, "", 1e10) == faults("", 2e10, ">", 1e10) == frozenset()
    assert faults(">", 2e10, "", 1e10) == faults("", 2e10, "<", 1e10) == {"above-total-ev"}


# one occasion ----------------------------------------------------------------------------------------------------

LAB_A: dict[str, Any] = {"performer": [{"identifier": {"value": "A"}}]}
LAB_B: dict[str, Any] = {"performer": [{"identifier": {"value": "B"}}]}
TUBE_1, TUBE_2 = {"specimen": {"reference": "Specimen/1"}}, {"specimen": {"reference": "Specimen/2"}}


@pytest.mark.parametrize(
    ("first", "second", "count", "conflict"),
    [
        ({}, {}, 1, False),
        (LAB_A, {}, 1, False),
        (LAB_A, LAB_B, 2, False),
        ({"method": coded("elisa")}, {}, 1, False),
        ({"method": coded("elisa")}, {"method": coded("simoa")}, 2, False),
        ({}, {"valueQuantity": quantity(2e6, "{particles}/mL")}, 1, False),
        ({}, {"value": 2.1}, 2, True),
        (LAB_A, LAB_B | {"value": 2.1}, 2, True),
        (LAB_A | TUBE_1, LAB_A | TUBE_2 | {"value": 2.1}, 2, False),
        (TUBE_1, TUBE_2 | {"value": 2.1}, 2, True),  # no laboratory: two specimens prove nothing
        (LAB_A | TUBE_1, LAB_B | TUBE_2 | {"value": 2.1}, 2, True),
        ({"day": f"{DAY}T08:00:00Z"}, {"day": f"{DAY}T16:00:00Z", "value": 2.1}, 2, True),
        ({"day": f"{DAY}T08:00:00Z"}, {"day": f"{DAY}T16:00:00Z"}, 1, False),
        ({}, {"day": "2025-05-07", "value": 2.1}, 2, False),
        (TUBE_1, TUBE_1 | {"day": "2025-05-07", "value": 2.1}, 2, True),  # one specimen was drawn on one day
        (TUBE_1, TUBE_1 | {"day": "2025-05-07"}, 1, False),
        ({}, {"valueQuantity": quantity(2, "%")}, 2, False),
        ({}, {"valueQuantity": quantity(2, comparator="<")}, 2, True),
        ({"day": None}, {"day": None, "value": 2.1}, 2, False),
        ({}, {"valueQuantity": None}, 2, False),
    ],
)
def test_duplicates_and_conflicts(first: Any, second: Any, count: int, conflict: bool) -> None:
    resources = [observation("a", **first), observation("b", **second)]
    for order in itertools.permutations(resources):
        read = results(*order)
        assert len(read) == count
        assert ["conflict" in one.faults for one in read] == [conflict] * count
    if count == 1:
        assert {read[0].ref, *read[0].also} == {"Observation/a", "Observation/b"}


def test_a_merged_result_has_what_either_states_and_every_failure() -> None:
    one = observation("a", component=[part("haemolysis", "clear"), part("tube", "edta"), part("lipaemia", "clear")])
    two = observation("b", component=[part("haemolysis", "present"), part("isolation", "sec")], **LAB_A)
    read = result(one, two)
    assert read.checks == {"haemolysis": False, "lipaemia": True}
    assert (read.method.tube, read.method.isolation, read.laboratory) == ("edta", "sec", "A")


def test_order() -> None:
    stated = [
        ("c", 2.0, f"{DAY}T09:00:00Z"), ("a", 2.0, "2025-04-01"), ("d", 1.0, f"{DAY}T10:00:00Z"),
        ("b", 3.0, DAY), ("e", 9.0, None), ("f", 1.0, "2025-05-01"),
    ]  # fmt: skip
    for order in itertools.islice(itertools.permutations(stated), 0, 720, 37):
        read = results(*(observation(name, value, day) for name, value, day in order))
        assert [one.ref[-1] for one in read] == ["a", "b", "c", "d", "f", "e"]


# identity of the analyte -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codings", "marker", "analyte"),
    [
        ([(MARKER_SYSTEM, "pdl1-ev")], "pdl1-ev", None),
        ([(MARKER_SYSTEM, "pdl1-soluble")], "pdl1-ev", "soluble PD-L1"),
        ([("http://loinc.org", "83052-1")], None, None),
        ([("http://loinc.org", "99999-9"), (MARKER_SYSTEM, "pdl1-ev")], "pdl1-ev", None),
        (
            [("http://loinc.org", "83052-1"), (MARKER_SYSTEM, "pdl1-ev")],
            "pdl1-ev",
            "something else as well, by its other code",
        ),
        ([(MARKER_SYSTEM, "pdl1-ev"), (MARKER_SYSTEM, "pdl1-soluble")], "pdl1-ev", "soluble PD-L1"),
        ([("http://loinc.org", "pdl1-ev")], None, None),
        ([(METHOD_SYSTEM, "pdl1-ev")], None, None),
        ([(None, "pdl1-ev")], None, None),
        ([(["x"], {"y": 1}), (MARKER_SYSTEM, "pdl1-ev")], "pdl1-ev", None),
    ],
)
def test_a_marker_is_known_by_system_and_code(codings: Any, marker: str | None, analyte: str | None) -> None:
    code = {"coding": [{"system": system, "code": value, "display": "PD-L1"} for system, value in codings]}
    read = chart(observation(code=code, valueQuantity=quantity(5, "pg/mL"))).results
    assert list(read) == ([marker] if marker else [])
    if marker:
        assert read[marker][0].analyte == analyte
        assert ("different-analyte" in read[marker][0].faults) == (analyte is not None)


@pytest.mark.parametrize(
    ("code", "unmapped"),
    [
        ({"coding": [{"system": "99LAB", "code": "X1", "display": "Exosomal TRPC5"}]}, ("99LAB|X1 (Exosomal TRPC5)",)),
        ({"text": "TRPC5 in EVs"}, (" (TRPC5 in EVs)",)),
        ({"coding": [{"system": "http://loinc.org", "code": "718-7", "display": "Hemoglobin"}]}, ()),
    ],
)
def test_what_looks_like_a_marker_and_is_mapped_by_nobody(code: Any, unmapped: tuple[str, ...]) -> None:
    assert chart(observation(code=code)).unmapped == unmapped


def test_a_retracted_marker_is_kept_for_the_log_only() -> None:
    read = result(observation(code=coded("mir-567-ev", MARKER_SYSTEM)), marker="mir-567-ev")
    assert read.low is None
