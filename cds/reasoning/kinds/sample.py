"""Facts about single samples: faults, checks, events, references."""

from __future__ import annotations

from datetime import timedelta

from cds.chart.catalogue import Marker
from cds.chart.model import Chart, Tri
from cds.mistakes import Mistake
from cds.reasoning.change import Pair
from cds.reasoning.kinds.kind import Context, Kind, choice, nothing, read_pair_of, resting
from cds.reasoning.question import Question, Sample
from cds.source import Section

FAULTS = (
    "no-collection-date", "no-unit", "negative", "zero-without-lod", "conflict", "after-as-of", "no-value",
    "unreadable-value", "different-analyte", "unit-not-convertible", "efficiency-not-stated", "no-reference-gene",
    "above-total-ev",
)  # fmt: skip
"""What can be wrong with a result; see `cds.chart.model.Result`."""

CHECKS = ("haemolysis", "lipaemia", "residual-platelets", "dna-control", "drug-tolerance")
"""Quality and controls that a marker may require."""

_NOON = 12

EVENTS = (
    "radiotherapy", "infection", "pregnancy", "transfusion", "operation-of-uncertain-day", "g-csf", "steroid",
    "autoimmune", "immune-adverse-event", "vaccination", "hepatic", "renal", "lactation",
)  # fmt: skip
"""What can disturb a sample; see `cds.chart.model.Event`."""


def _read_fault(section: Section, _context: Context) -> tuple[frozenset[str], str]:
    section.keys("fault", optional=("where",))
    for fault in section.texts("fault"):
        if fault not in FAULTS:
            section.problem(
                f"'{fault}' is no fault", f"one of: {', '.join(FAULTS)}", at="fault", mistake=Mistake.UNKNOWN_FAULT
            )
    return frozenset(section.texts("fault")), section.choice("where", ["anywhere", "near", "latest"], "latest")


def _fault(question: Question, params: tuple[frozenset[str], str]) -> Tri:
    faults, where = params
    if where == "latest":
        return question.latest is not None and not faults.isdisjoint(question.latest.result.faults)
    near = question.book.windows.fault_before
    for result in question.results:
        if result.faults and not faults.isdisjoint(result.faults):
            if where == "anywhere" or (question.latest is not None and result is question.latest.result):
                return True
            if (
                question.begins is not None
                and result.collected is not None
                and (question.begins - result.collected).days <= near
            ):
                return True
    return False


def _check(question: Question, check: str, sample: Sample) -> Tri:
    """Whether a check that the marker requires failed; None if it was not stated, or if it is unknown to be required."""
    wanted = question.marker.checks.get(check)
    if wanted is None:
        return False
    stated = sample.result.checks.get(check)
    if wanted == "stated":
        return None if stated is None else False
    specimen = sample.result.method.specimen
    if wanted != "any" and specimen != wanted:
        return None if specimen is None and stated is not True else False
    return None if stated is None else not stated


def _event(question: Question, params: tuple[str, int], sample: Sample) -> Tri:
    kind, days = params
    day = sample.collected
    return any(
        event.kind == kind
        and (event.start is None or event.start <= day)
        and (event.end is None or day <= event.end + timedelta(days=days))
        for event in question.chart.events
    )


def _read_event(section: Section, _context: Context) -> tuple[str, int]:
    section.keys("event", optional=("for",))
    return section.choice("event", EVENTS), section.days("for")


def _given(question: Question, params: tuple[str, int], sample: Sample) -> Tri:
    kind, days = params
    return any(
        event.kind == kind
        and (event.start is None or event.start <= sample.collected)
        and ((last := event.end or event.start) is None or sample.collected <= last + timedelta(days=days))
        for event in question.chart.events
    )


def _read_given(section: Section, _context: Context) -> tuple[str, int]:
    section.keys("given", optional=("for",))
    return section.choice("given", EVENTS), section.days("for")


def _operation(question: Question, days: int, sample: Sample) -> Tri:
    return any(
        not operation.planned and 0 <= (sample.collected - operation.day).days <= days
        for operation in question.chart.operations
    )


def _read_operation(section: Section, _context: Context) -> int:
    section.keys("operation", "for")
    section.choice("operation", ["any"])
    return section.days("for")


def _unstated(question: Question, _params: object, sample: Sample) -> Tri:
    if question.before:
        return False  # nothing is compared yet [13]
    result = sample.result
    return (not result.bridged and (result.laboratory is None or result.lot is None)) or any(
        getattr(result.method, element) is None for element in question.book.windows.elements
    )


def _read_reference(section: Section, context: Context) -> tuple[str, Pair | None]:
    section.keys("reference", optional=("pair",))
    wanted = section.choice("reference", ["missing", "not-comparable", "late", "only"])
    return wanted, read_pair_of(section, context)


def _reference(question: Question, params: tuple[str, Pair | None]) -> Tri:
    wanted, pair = params
    if question.latest is None:
        return False
    if wanted == "only":
        return question.only_baseline
    if wanted == "late":
        references = [question.reference(sample) for sample in resting(question, pair)]
        return any(found is not None and found.kind == "late-baseline" for found in references)
    if question.latest.result.faults or question.only_baseline or question.reference(question.latest) is not None:
        return False
    return bool(question.possible_references()) is (wanted == "not-comparable")


def _time_of_day(question: Question, _params: object) -> Tri:
    """Whether the latest sample and one that it is compared with were drawn on different sides of noon; both are timed."""
    latest = question.latest
    reference = question.reference(latest) if latest is not None else None
    if latest is None or reference is None or latest.result.collected_time is None:
        return False
    compared = reference.samples
    if reference.kind == "nadir":
        compared = (min(compared, key=lambda sample: (sample.value.high, sample.index)),)
    times = [sample.result.collected_time for sample in compared]
    forenoon = latest.result.collected_time.hour < _NOON
    return any(time is not None and (time.hour < _NOON) is not forenoon for time in times)


def _wrong_specimen(question: Question, _params: object, sample: Sample) -> Tri:
    """Whether the marker may be measured only in other specimens."""
    specimen = sample.result.method.specimen
    return None if specimen is None else specimen not in question.marker.specimens


def _no_events(chart: Chart, _marker: Marker) -> bool:
    return not chart.events


KINDS = {
    "fault": Kind(_read_fault, _fault, stage="always"),
    "check": Kind(
        choice("check", *CHECKS),
        of_sample=_check,
        can_be_unknown=True,
        stage="applies",
        depends="method",
        never=lambda _chart, marker: not marker.checks,
    ),
    "event": Kind(_read_event, of_sample=_event, stage="applies", depends="sample", never=_no_events),
    "given": Kind(_read_given, of_sample=_given, stage="applies", depends="sample", never=_no_events),
    "operation": Kind(
        _read_operation,
        of_sample=_operation,
        stage="applies",
        depends="sample",
        never=lambda chart, _marker: not chart.operations,
    ),
    "unstated": Kind(nothing("unstated", "method"), of_sample=_unstated, stage="applies"),
    "reference": Kind(_read_reference, _reference, stage="applies"),
    "time_of_day": Kind(choice("time_of_day", "differs"), _time_of_day),
    "specimen": Kind(
        choice("specimen", "not allowed"),
        of_sample=_wrong_specimen,
        can_be_unknown=True,
        stage="applies",
        depends="method",
        never=lambda _chart, marker: not marker.specimens,
    ),
}
