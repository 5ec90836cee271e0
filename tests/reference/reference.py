"""Naive reference, part 4: one function per rule, chart to state, to check the real engine against.

It is written from the evidence and `docs/readings.md` alone, shares nothing with `cds.reasoning`, and prefers plain
steps over speed. Where the two sources leave something open it takes the weaker state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from cds.chart.model import Chart, Result, Tri
from tests.reference.gates import asked_first, asked_next, earliest_pair, rise, run_to_latest, with_imaging
from tests.reference.samples import (
    HOTAIR,
    PD_L1,
    TGF_B1,
    TRPC5,
    Baseline,
    Series,
    baseline,
    comparable,
    day_of,
    not_fallen,
    on_therapy,
    risen,
    risen_per_ev,
    upper_end,
)
from tests.reference.therapy import (
    BASELINE_DAYS,
    CHECKPOINT_INHIBITORS,
    CHEMOTHERAPY,
    ENDOCRINE,
    HER2_TARGETED,
    Place,
    curative_operation_of,
    every,
    line_of,
    on_any,
    opposite,
    tumour_elsewhere,
    tumour_removed,
)

FIRST_RISE, EARLY_UNTIL = 42, 60  # G7, R17: TRPC5, HO-03; PD-04/05: both samples from day 60
ENDOCRINE_UNTIL = 90  # HO-02
NADIR_AFTER_OPERATION = 75  # R14
CHECKPOINT_RISE = 56  # G7, PD-02
CHECKPOINT_EARLY = (14, 49)  # PD-01
POSTOPERATIVE_HOLD = 75  # R22: day 28-74; before, physiology holds
POSTOPERATIVE_FIRST = (75, 120)
POSTOPERATIVE_SECOND = 176
POSTOPERATIVE_APART = (21, 56)

WATCHED = {
    "trpc5-rise-on-chemotherapy": (TRPC5,),
    "hotair-after-surgery": (HOTAIR,),
    "hotair-rise-on-endocrine-therapy": (HOTAIR,),
    "hotair-rise-on-neoadjuvant-chemotherapy": (HOTAIR,),
    "pdl1-rise-on-checkpoint-inhibitor": (PD_L1,),
    "tgfb1-pdl1-rise-on-her2-therapy": (TGF_B1, PD_L1),
    "pdl1-on-chemotherapy": (PD_L1,),
}
"""Rule keys of `docs/readings.md`, with the markers that each rule watches."""

# R23: what stands for a marker that several rules read.
ONE_STATE = (
    *("out-of-scope", "data-quality", "hold", "discordant", "suspected", "persistent", "watch"),
    *("not-evaluable", "background", "no-flag", "not-applicable"),
)


def judge(chart: Chart) -> dict[str, str]:
    """The state of every rule of which a watched marker has a result; keys as in `docs/readings.md`."""
    series = {marker: Series(chart, marker) for marker in (TRPC5, HOTAIR, PD_L1, TGF_B1) if chart.results.get(marker)}
    states = {}
    for rule, markers in WATCHED.items():
        measured = [series[marker] for marker in markers if marker in series]
        if len(markers) > 1 and measured:
            states[rule] = rise_on_her2_therapy(chart, measured)
        elif measured:
            states[rule] = RULES[rule](measured[0])
    return states


def marker_state(chart: Chart, marker: str, states: Mapping[str, str]) -> str:
    """The one state of a marker that has a result, from the states of its rules (R23)."""
    assert chart.results.get(marker), "a marker without a result has no state (R3)"
    own = {states[rule] for rule, markers in WATCHED.items() if marker in markers}
    return next(state for state in ONE_STATE if state in own)


# One function per rule


def trpc5_rise_on_chemotherapy(series: Series) -> str:
    """TR-01 to TR-07."""
    chart, latest = series.chart, series.latest
    place = line_of(chart, (CHEMOTHERAPY,), latest)
    if state := asked_first(series, place, place.applies):
        return state
    assert latest is not None
    base = baseline(series, latest, place)
    if state := asked_next(series, place, base):
        return state
    assert base is not None
    if not risen(series, latest, base):
        return with_imaging(chart, "no-flag", [latest])
    if place.day(latest) < EARLY_UNTIL:
        return "hold"
    if risen_per_ev(series, latest, base) is False:
        return with_imaging(chart, "no-flag", [latest])

    def qualifies(sample: Result) -> bool | None:
        own = baseline(series, sample, place)
        if own is None:
            return None
        return (
            place.day(sample) >= FIRST_RISE and risen(series, sample, own) and risen_per_ev(series, sample, own) is True
        )

    pair = earliest_pair(run_to_latest(series.judged(place), qualifies), place, EARLY_UNTIL)
    state = rise(series, place, pair, lambda sample: baseline(series, sample, place))
    return with_imaging(chart, state, [latest, *(pair or ())])


def hotair_after_surgery(series: Series) -> str:
    """HO-01."""
    chart, latest = series.chart, series.latest
    place = curative_operation_of(chart, latest)

    def stayed(sample: Result) -> bool | None:
        own = baseline(series, sample, place, late_allowed=False)
        return None if own is None else not_fallen(series, sample, own)

    def is_first(sample: Result) -> bool:
        return POSTOPERATIVE_FIRST[0] <= place.day(sample) <= POSTOPERATIVE_FIRST[1]

    in_time = True
    if latest is not None and place.day_zero is not None and place.day(latest) > POSTOPERATIVE_FIRST[1]:
        earlier = [sample for sample in series.usable if sample is not latest and place.day(sample) >= 0]
        in_time = place.day(latest) <= POSTOPERATIVE_SECOND and any(map(is_first, run_to_latest(earlier, stayed)))
    only_if = chart.diagnosis.metastatic is not True and not chart.diagnosis.other_cancer
    elsewhere = tumour_elsewhere(chart, place, latest)
    if state := asked_first(series, place, every(place.applies, in_time, only_if, opposite(elsewhere))):
        return state
    assert latest is not None
    base = baseline(series, latest, place, late_allowed=False)
    if state := asked_next(series, place, base, late_allowed=False):
        return state
    if place.day(latest) < POSTOPERATIVE_HOLD:
        return "hold"
    run = run_to_latest(series.judged(place), stayed)
    if not run:
        return with_imaging(chart, "no-flag", [latest])
    confirmed = any(
        is_first(first) and POSTOPERATIVE_APART[0] <= place.day(second) - place.day(first) <= POSTOPERATIVE_APART[1]
        for second in run
        for first in run
    )
    return "persistent" if confirmed else "watch"


def hotair_rise_on_endocrine_therapy(series: Series) -> str:
    """HO-02."""
    chart, latest = series.chart, series.latest
    place = line_of(chart, (ENDOCRINE,), latest)
    if state := asked_first(series, place, every(place.applies, chart.diagnosis.hormone_receptor)):
        return state
    assert latest is not None

    def nadir(sample: Result) -> Baseline | None:
        operations = [
            operation.day
            for operation in chart.operations
            if operation.curative and not operation.planned and operation.day <= day_of(sample)
        ]
        ends = [
            upper_end(other, sample)[0]
            for other in series.comparable_with(sample)
            if day_of(other) < day_of(sample)
            and place.day(other) >= -BASELINE_DAYS
            and (not operations or (day_of(other) - max(operations)).days >= NADIR_AFTER_OPERATION)
        ]
        return Baseline(min(ends), None, 1) if ends else None

    base = None if place.before else nadir(latest)
    if state := asked_next(series, place, base, late_allowed=False):
        return state
    assert base is not None
    if not risen(series, latest, base):
        return with_imaging(chart, "no-flag", [latest])
    if place.day(latest) < ENDOCRINE_UNTIL:
        return "hold"

    def qualifies(sample: Result) -> bool | None:
        own = nadir(sample)
        return None if own is None else place.day(sample) >= ENDOCRINE_UNTIL and risen(series, sample, own)

    pair = earliest_pair(run_to_latest(series.judged(place), qualifies), place, ENDOCRINE_UNTIL)
    return with_imaging(chart, rise(series, place, pair, nadir), [latest, *(pair or ())])


def hotair_rise_on_neoadjuvant_chemotherapy(series: Series) -> str:
    """HO-03."""
    chart, latest = series.chart, series.latest
    place = line_of(chart, (CHEMOTHERAPY,), latest)
    neoadjuvant = None if place.line is None else place.line.neoadjuvant
    still_there = opposite(tumour_removed(chart, place, latest))
    if state := asked_first(series, place, every(place.applies, neoadjuvant, still_there)):
        return state
    return _rise_over_baseline(series, place, FIRST_RISE).alone(chart)


def pdl1_rise_on_checkpoint_inhibitor(series: Series) -> str:
    """PD-01, 02, 03, 11."""
    chart, latest = series.chart, series.latest
    place = line_of(chart, CHECKPOINT_INHIBITORS, latest)
    if state := asked_first(series, place, place.applies):
        return state
    assert latest is not None
    base = baseline(series, latest, place)
    if state := asked_next(series, place, base):
        return state
    assert base is not None
    day = place.day(latest)
    if not risen(series, latest, base) or CHECKPOINT_EARLY[0] <= day <= CHECKPOINT_EARLY[1]:
        return with_imaging(chart, "no-flag", [latest])
    if day < CHECKPOINT_RISE:
        return "hold"

    def late_rise(sample: Result) -> bool | None:
        own = baseline(series, sample, place)
        return None if own is None else place.day(sample) >= CHECKPOINT_RISE and risen(series, sample, own)

    def over_lowest(sample: Result, start: Result) -> bool:
        ends = [
            upper_end(other, sample)[0]
            for other in series.usable
            if on_therapy(other, place) and day_of(other) < day_of(start) and comparable(other, sample)
        ]
        return bool(ends) and risen(series, sample, Baseline(min(ends), None, 1))

    run = run_to_latest(series.judged(place), late_rise)
    pairs = []
    for number, start in enumerate(run):
        rest = run[number:]
        if all(over_lowest(sample, start) for sample in rest) and (found := earliest_pair(rest, place, 0)):
            pairs.append(found)
    pair = min(pairs, key=lambda found: (run.index(found[1]), run.index(found[0]))) if pairs else None
    state = rise(series, place, pair, lambda sample: baseline(series, sample, place))
    return with_imaging(chart, state, [latest, *(pair or ())])


def pdl1_on_chemotherapy(series: Series) -> str:
    """PD-06: asks scope, data faults and whether it applies, and nothing else (reading 5)."""
    chart, latest = series.chart, series.latest
    place = line_of(chart, (CHEMOTHERAPY,), latest)
    alone: Tri = None
    if latest is not None:
        alone = opposite(on_any(chart, (*CHECKPOINT_INHIBITORS, HER2_TARGETED), latest))
    return asked_first(series, place, every(place.applies, alone)) or "background"


# PD-04 and PD-05: two analytes, one state


class Reading(NamedTuple):
    """What one analyte says before imaging: a final word, or a rise that was judged."""

    state: str
    rests_on: tuple[Result, ...] = ()

    def alone(self, chart: Chart) -> str:
        """The state if no other analyte has a say."""
        return with_imaging(chart, self.state, self.rests_on) if self.rests_on else self.state


def _rise_over_baseline(series: Series, place: Place, first_from: int) -> Reading:
    """Rise over baseline on a line, held before day 60, confirmed by a pair whose first sample is from `first_from`."""
    latest = series.latest
    assert latest is not None
    base = baseline(series, latest, place)
    if state := asked_next(series, place, base):
        return Reading(state)
    assert base is not None
    if not risen(series, latest, base):
        return Reading("no-flag", (latest,))
    if place.day(latest) < EARLY_UNTIL:
        return Reading("hold")

    def qualifies(sample: Result) -> bool | None:
        own = baseline(series, sample, place)
        return None if own is None else place.day(sample) >= first_from and risen(series, sample, own)

    pair = earliest_pair(run_to_latest(series.judged(place), qualifies), place, EARLY_UNTIL)
    return Reading(rise(series, place, pair, lambda sample: baseline(series, sample, place)), (latest, *(pair or ())))


def _her2_analyte(series: Series) -> Reading:
    chart, latest = series.chart, series.latest
    place = line_of(chart, (HER2_TARGETED,), latest)
    applies: Tri = False
    if latest is not None:
        no_checkpoint_inhibitor = opposite(on_any(chart, CHECKPOINT_INHIBITORS, latest))
        applies = every(place.applies, chart.diagnosis.her2, no_checkpoint_inhibitor)
    if state := asked_first(series, place, applies):
        return Reading(state)
    return _rise_over_baseline(series, place, EARLY_UNTIL)


def rise_on_her2_therapy(chart: Chart, measured: Sequence[Series]) -> str:
    """PD-04, PD-05: the common state of TGF-b1 and PD-L1 (R21, reading 26)."""
    readings = [_her2_analyte(series) for series in measured]
    for first in ("out-of-scope", "data-quality"):
        if any(reading.state == first for reading in readings):
            return first
    readings = [reading for reading in readings if reading.state != "not-applicable"]
    states = [reading.state for reading in readings]
    if not states:
        return "not-applicable"
    if "hold" in states:
        return "hold"
    has_risen = "watch" in states or "suspected" in states
    if "not-evaluable" in states and not has_risen:
        return "not-evaluable"
    rests_on = [sample for reading in readings for sample in reading.rests_on]
    if has_risen:
        # A rise of one analyte alone, confirmed or not, is `watch` (PD-04, R21).
        both = states == ["suspected", "suspected"]
        one_day = len({day_of(series.latest) for series in measured if series.latest}) == 1
        return with_imaging(chart, "suspected" if both and one_day else "watch", rests_on)
    return with_imaging(chart, "no-flag", rests_on) if "no-flag" in states else "background"


RULES: dict[str, Callable[[Series], str]] = {
    "trpc5-rise-on-chemotherapy": trpc5_rise_on_chemotherapy,
    "hotair-after-surgery": hotair_after_surgery,
    "hotair-rise-on-endocrine-therapy": hotair_rise_on_endocrine_therapy,
    "hotair-rise-on-neoadjuvant-chemotherapy": hotair_rise_on_neoadjuvant_chemotherapy,
    "pdl1-rise-on-checkpoint-inhibitor": pdl1_rise_on_checkpoint_inhibitor,
    "pdl1-on-chemotherapy": pdl1_on_chemotherapy,
}
