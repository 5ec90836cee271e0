"""A clock that runs ahead of ours takes nothing away from who asks now, and adds nothing to who looks back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from cds.chart.clock import AHEAD, Moment
from cds.chart.model import Chart
from cds.chart.reading import read
from tests.chart.make import PATIENT, Json, bundle, catalogue, coded, observation, part, quantity

NOW = datetime(2025, 4, 8, 10, tzinfo=UTC)


def live(*resources: Json, at: datetime = NOW) -> Chart:
    return read(bundle(PATIENT, *resources), catalogue()).as_of(Moment.live(at))


def issued(at: datetime | str) -> Json:
    return observation(issued=at if isinstance(at, str) else at.isoformat())


def named(chart: Chart) -> list[tuple[str, str]]:
    return [(item.what, item.where) for item in chart.left_out]


@pytest.mark.parametrize("ahead", [timedelta(), timedelta(minutes=3), AHEAD])
def test_a_clock_a_few_minutes_ahead_is_forgiven(ahead: timedelta) -> None:
    chart = live(issued(NOW + ahead))
    assert (len(chart.results["trpc5-ev"]), chart.left_out, chart.again) == (1, (), None)


def test_what_is_further_ahead_is_named_with_its_time_the_likely_cause_and_a_next_step() -> None:
    chart = live(issued("2027-04-08T12:00:00+02:00"))
    assert chart.results == {}
    (item,) = chart.left_out
    assert (item.what, item.where) == ("Observation/o1", "Bundle.entry[1].resource.issued")
    assert "2027-04-08T12:00:00+02:00" in item.reason
    assert "still to come" in item.reason
    assert "the sender's clock" in item.hint
    assert "mistyped" in item.hint
    assert item.hides_results
    assert chart.again == datetime(2027, 4, 8, 10, tzinfo=UTC) - AHEAD


def test_it_counts_when_its_time_has_come() -> None:
    one = issued(NOW + timedelta(hours=1))
    again = live(one).again
    assert again is not None
    assert "trpc5-ev" not in live(one, at=again - timedelta(seconds=1)).results
    assert "trpc5-ev" in live(one, at=again).results


def test_looking_back_lists_nothing_that_came_later() -> None:
    record = read(bundle(PATIENT, issued("2025-04-09T10:00:00Z"), observation("o2", day="2024-01-01")), catalogue())
    for moment in ("2025-04-08", "2025-04-08T10:00:00Z", "2020-01-01"):
        assert record.as_of(moment).left_out == ()
    assert record.as_of("2025-04-09T09:58:00Z").results["trpc5-ev"][0].ref == "Observation/o2"
    assert len(record.as_of("2025-04-09T09:58:00Z").results["trpc5-ev"]) == 1


def test_a_correction_or_a_withdrawal_that_lies_ahead_is_named_and_what_it_replaces_still_counts() -> None:
    first = issued("2025-04-08T09:00:00Z")
    later = {"meta": {"lastUpdated": "2027-01-01T00:00:00Z", "versionId": "2"}}
    for change in ({"status": "corrected", "valueQuantity": quantity(9.0)}, {"status": "entered-in-error"}):
        chart = live(first, {**first, **later, **change})
        assert [result.shown.split()[0] for result in chart.results["trpc5-ev"]] == ["2.0"]
        assert named(chart) == [("Observation/o1", "Bundle.entry[2].resource.meta.lastUpdated")]


def test_a_result_of_which_only_the_collection_is_known_is_here_now() -> None:
    """Nobody says when it was reported: it is in our hands, so a collection to come is a fault that shows."""
    (result,) = live(observation(day="2027-04-08")).results["trpc5-ev"]
    assert result.faults == {"after-as-of"}


def test_a_day_without_a_clock_has_come_where_it_came_first() -> None:
    evening = datetime(2025, 4, 7, 10, 30, tzinfo=UTC)
    assert "trpc5-ev" in live(issued("2025-04-08"), at=evening).results  # half past midnight in Kiritimati
    chart = live(issued("2025-04-08"), at=evening - timedelta(hours=1))
    assert named(chart) == [("Observation/o1", "Bundle.entry[1].resource.issued")]
    assert chart.again == datetime(2025, 4, 7, 10, tzinfo=UTC)


def test_a_sample_that_a_fast_clock_dates_tomorrow_is_none_of_the_future() -> None:
    west = datetime(2025, 4, 8, 23, 58, tzinfo=timezone(timedelta(hours=-5)))
    sample = observation(day="2025-04-09T00:01:00-05:00", issued="2025-04-09T00:02:00-05:00")
    (result,) = live(sample, at=west).results["trpc5-ev"]
    assert result.faults == frozenset()


def test_other_data_whose_report_lies_ahead_are_named_too() -> None:
    subject = {"subject": {"reference": "Patient/1"}}
    count = {**part("total-ev", 1e10, "{particles}/mL"), "resourceType": "Observation", "id": "count", "status": "final",
             **subject, "effectiveDateTime": "2025-04-07", "issued": "2025-04-08T10:30:00Z"}  # fmt: skip
    scan = {"resourceType": "Observation", "id": "scan", "status": "final", **subject, "effectiveDateTime": "2025-04-07",
            "code": coded("21976-6", "http://loinc.org"), "valueCodeableConcept": coded("PD"),
            "issued": "2025-04-08T10:30:00Z"}  # fmt: skip
    drug = {"resourceType": "MedicationStatement", "id": "drug", "status": "completed", **subject,
            "dateAsserted": "2025-01-06", "effectivePeriod": {"start": "2025-01-06", "end": "2025-04-07"},
            "medicationCodeableConcept": coded("56946", "http://www.nlm.nih.gov/research/umls/rxnorm"),
            "meta": {"lastUpdated": "2025-04-08T10:30:00Z"}}  # fmt: skip
    planned = {"resourceType": "Procedure", "id": "planned", "status": "preparation", **subject,
               "code": coded("392021009", "http://snomed.info/sct"), "performedDateTime": "2025-06-01"}  # fmt: skip
    chart = live(issued("2025-04-07T12:00:00Z"), count, scan, drug, planned)
    assert named(chart) == [
        ("Observation/count", "Bundle.entry[2].resource.issued"),
        ("Observation/scan", "Bundle.entry[3].resource.issued"),
        ("MedicationStatement/drug", "Bundle.entry[4].resource.meta.lastUpdated"),
    ]
    assert not any(item.hides_results for item in chart.left_out)
    assert chart.imaging == ()
    assert chart.lines[0].end is None
