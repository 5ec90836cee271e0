"""Naive reference, part 3: what all rules ask alike: scope, data, specimen, physiology, imaging, confirmation.

Sources are named after each constant: R1-R26 are the reading rules of the evidence, "reading n" is `docs/readings.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cds.chart.model import Chart, Result, Tri
from tests.reference.samples import (
    LATE_BASELINE_DAYS,
    PD_L1,
    Baseline,
    Series,
    before_samples,
    day_of,
    disturbed,
    faulty,
    interfered,
    method_stated,
    source_stated,
    specimen_clear,
)
from tests.reference.therapy import Place, every

ADULT = 18  # G0
PAIR_APART = (14, 56)  # G7, R18
IMAGING_DAYS = 28  # G10
PROGRESSION = {"PD", "iUPD", "iCPD"}  # R24
RESPONSE = {"CR", "PR", "iCR", "iPR"}

Pair = tuple[Result, Result]


def in_scope(chart: Chart) -> Tri:
    """G0: an adult with invasive breast cancer."""
    adult: Tri = None
    if chart.birth_date is not None:
        today = chart.as_of
        possible = {
            today.year - born.year - ((today.month, today.day) < (born.month, born.day)) >= ADULT
            for born in (chart.birth_date, chart.born_from)
            if born is not None
        }
        adult = possible.pop() if len(possible) == 1 else None
    return every(adult, chart.diagnosis.invasive_breast_cancer)


def asked_first(series: Series, place: Place, applies: Tri) -> str | None:
    """Scope, data faults, whether the rule applies (readings 1, 2, 14): the state, or None to read on."""
    chart = series.chart
    scope = in_scope(chart)
    if scope is False:
        return "out-of-scope"
    if faulty(series, place):
        return "data-quality"
    if scope is None or not (chart.lines or chart.operations) or applies is None:
        return "not-evaluable"
    return None if applies else "not-applicable"


def asked_next(series: Series, place: Place, base: Baseline | None, late_allowed: bool = True) -> str | None:
    """Specimen, comparability, baseline, physiology (readings 3, 4): the state, or None to judge the value."""
    latest = series.latest
    assert latest is not None
    if not specimen_clear(series, latest):
        return "not-evaluable"
    physiology = disturbed(series.chart, day_of(latest))
    if place.before:
        return physiology or "background"
    if not method_stated(latest.method) or not source_stated(latest):
        return "not-evaluable"
    if base is None:
        only_baseline = late_allowed and place.day(latest) <= LATE_BASELINE_DAYS
        # An earlier sample that does not compare is a matter of comparability, not of a late baseline (reading 17).
        if not only_baseline or before_samples(series.usable, place):
            return "not-evaluable"
        return physiology or "background"
    return physiology


def with_imaging(chart: Chart, state: str, rests_on: Sequence[Result]) -> str:
    """G10, R24, reading 28: what the newest imaging around the samples on which a state rests makes of it."""
    near = [
        assessment
        for assessment in chart.imaging
        if assessment.response != "NE"
        and any(abs((assessment.day - day_of(sample)).days) <= IMAGING_DAYS for sample in rests_on)
    ]
    if not near:
        return state
    newest_day = max(assessment.day for assessment in near)
    newest = {assessment.response for assessment in near if assessment.day == newest_day}
    if state == "no-flag" and newest & PROGRESSION:
        return "discordant"
    if state in ("watch", "suspected") and newest and newest <= RESPONSE:
        return "discordant"
    return state


# Confirmation (R18, reading 22)


def run_to_latest(judged: Sequence[Result], qualifies: Callable[[Result], bool | None]) -> list[Result]:
    """The successive samples up to the last that all qualify; one that cannot be compared (None) is passed over (R8)."""
    run: list[Result] = []
    for sample in reversed(judged):
        answer = qualifies(sample)
        if answer is None:
            continue
        if not answer:
            break
        run.insert(0, sample)
    return run


def earliest_pair(run: Sequence[Result], place: Place, second_from: int) -> Pair | None:
    """The pair with the earliest second sample, then the earliest first, that lies 14-56 d apart."""
    for second in run:
        if place.day(second) >= second_from:
            for first in run:
                if PAIR_APART[0] <= place.day(second) - place.day(first) <= PAIR_APART[1]:
                    return first, second
    return None


def rise(series: Series, place: Place, pair: Pair | None, base: Callable[[Result], Baseline | None]) -> str:
    """`suspected` if confirmed and nothing caps it, else `watch` (R25)."""
    latest = series.latest
    assert latest is not None
    if pair is None:
        return "watch"
    for sample in (latest, *pair):
        used = base(sample)
        if used is None or used.late:
            return "watch"
        if series.marker == PD_L1 and interfered(series.chart, sample) is not False:
            return "watch"
    return "suspected"
