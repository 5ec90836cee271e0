"""Naive reference, part 2: the samples of one marker. Which are usable, which compare, baseline, threshold, physiology.

Sources are named after each constant: R1-R26 are the reading rules of the evidence, "reading n" is `docs/readings.md`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, time
from typing import NamedTuple

from cds.chart.model import Chart, Event, Method, Result, Tri
from tests.reference.therapy import ANTI_PD_L1, BASELINE_DAYS, Place, before_first_dose, on_any

TRPC5, HOTAIR, PD_L1, TGF_B1 = "trpc5-ev", "hotair-ev", "pdl1-ev", "tgfb1-ev"

# Evidence 3.2: default analytical and within-person coefficients of variation.
DEFAULT_CVS = {TRPC5: (0.20, 0.30), HOTAIR: (0.30, 0.40), PD_L1: (0.15, 0.30), TGF_B1: (0.15, 0.30)}
Z = 1.645  # evidence 3.2, one-sided
FLOOR = 2.0  # G8
TOLERANCE = 1e-12  # reading 20

LATE_BASELINE_DAYS = 14  # G4
AFTER_OPERATION = 27  # G6, R10: last disturbed day; the operation is day 0
AFTER_RADIOTHERAPY = 27
AFTER_INFECTION = 20
AFTER_TRANSFUSION = 13
AFTER_PREGNANCY = 90

# Reading 12, evidence 3.5 "block".
CHECKS = {
    TRPC5: ("haemolysis", "lipaemia"),
    HOTAIR: ("haemolysis", "lipaemia", "dna-control"),
    PD_L1: ("haemolysis", "lipaemia"),
    TGF_B1: ("haemolysis", "lipaemia"),
}

# Reading 14, R4.
FAULTS_ANYWHERE = {"no-collection-date", "no-unit", "after-as-of"}
FAULTS_NEARBY = {"negative", "zero-without-lod", "conflict"}
ALL_VESICLES = 100  # reading 31, in %


class Baseline(NamedTuple):
    """What a sample is compared with: the upper ends of a geometric mean of `size` samples, or of a nadir."""

    high: float
    per_ev_high: float | None
    size: int
    late: bool = False


class Series:
    """The samples of one marker, in the order of reading 15; `usable` is R8's meaning but for comparability."""

    def __init__(self, chart: Chart, marker: str):
        self.chart = chart
        self.marker = marker
        self.results = chart.results[marker]
        dated = [
            result
            for result in self.results
            if result.collected is not None and result.collected <= chart.as_of and "after-as-of" not in result.faults
        ]
        self.samples = sorted(dated, key=_order)
        self.latest = self.samples[-1] if self.samples else None
        self.usable = [
            sample
            for sample in self.samples
            if method_stated(sample.method) and specimen_clear(self, sample) and not disturbed(chart, day_of(sample))
        ]

    def comparable_with(self, sample: Result) -> list[Result]:
        """The usable samples with which `sample` may be compared."""
        return [other for other in self.usable if comparable(other, sample)]

    def judged(self, place: Place) -> list[Result]:
        """Reading 16: what is usable, comparable with the latest and on the line, in order."""
        assert self.latest is not None
        return [other for other in self.comparable_with(self.latest) if on_therapy(other, place)]


def _order(sample: Result) -> tuple[date, bool, time, float, float, str]:
    low = math.inf if sample.low is None else -sample.low
    high = math.inf if sample.high is None else -sample.high
    moment = sample.collected_time
    return day_of(sample), moment is not None, moment or time.min, low, high, sample.ref


def day_of(sample: Result) -> date:
    """The collection day of a dated sample."""
    assert sample.collected is not None
    return sample.collected


def on_therapy(sample: Result, place: Place) -> bool:
    """Whether the sample was collected on or after day 0, and not before the first dose."""
    return place.day(sample) >= 0 and not (place.line and before_first_dose(sample, place.line))


def faulty(series: Series, place: Place) -> bool:
    """`DATA_QUALITY`: R4, reading 14."""
    if series.latest is None:
        return True
    for result in series.results:
        if result.collected is None or result.faults & FAULTS_ANYWHERE or result.collected > series.chart.as_of:
            return True
        if (result.faults & FAULTS_NEARBY or above_all_vesicles(result)) and (
            result is series.latest
            or (place.untreated_until is not None and (place.untreated_until - result.collected).days <= BASELINE_DAYS)
        ):
            return True
    return False


def above_all_vesicles(result: Result) -> bool:
    """Reading 31: more vesicles with the marker than vesicles, as counts or as a share of them; told by the numbers alone."""
    if result.unit == "%":
        return result.low is not None and result.low > ALL_VESICLES
    return result.unit == "{particles}/mL" and result.per_ev_low is not None and result.per_ev_low > 1


def specimen_clear(series: Series, sample: Result) -> bool:
    """Whether the sample can be read at all: a value, every required check stated and passed (G5, readings 11, 12, 14)."""
    if sample.faults or above_all_vesicles(sample) or sample.low is None or sample.high is None:
        return False
    checks = sample.checks
    if not all(checks.get(check) for check in CHECKS[series.marker]):
        return False
    specimen = sample.method.specimen
    if specimen in ("plasma", None) and not checks.get("residual-platelets"):
        return False
    if series.marker == TGF_B1 and specimen != "plasma":  # PD-05: clotting releases it from platelets
        return False
    if series.marker == PD_L1:
        tolerant = checks.get("drug-tolerance")
        interference = interfered(series.chart, sample)
        return tolerant is not None and interference is not None and (tolerant or not interference)
    return True


def interfered(chart: Chart, sample: Result) -> Tri:
    """Whether an anti-PD-L1 drug may mask the target in this sample (PD-03, reading 11)."""
    return on_any(chart, (ANTI_PD_L1,), sample)


def method_stated(method: Method) -> bool:
    """Whether every element of the method that a comparison needs is stated (R6, reading 13)."""
    return None not in (
        method.specimen,
        method.tube,
        method.isolation,
        method.assay,
        method.platform,
        method.reagents,
        method.normaliser,
    )


def source_stated(sample: Result) -> bool:
    """Whether laboratory and lot are stated, or bridging makes up for it (reading 13)."""
    return sample.bridged or (sample.laboratory is not None and sample.lot is not None)


def comparable(earlier: Result, later: Result) -> bool:
    """Reading 13, R15; both are dated and usable, so their methods are stated."""
    if earlier.family is None or earlier.family != later.family or earlier.method != later.method:
        return False
    if later.bridged:
        return True
    if not source_stated(later) or (earlier.laboratory, earlier.lot) != (later.laboratory, later.lot):
        return False
    return not (earlier.censored or later.censored) or (earlier.lod is not None and earlier.lod == later.lod)


def upper_end(sample: Result, later: Result) -> tuple[float, float | None]:
    """The upper ends of value and per-EV ratio, as `later` may compare with them: the larger LOD bounds (3.3)."""
    assert sample.high is not None
    if not sample.censored or later.lod is None or later.lod <= sample.high:
        return sample.high, sample.per_ev_high
    ratio = None if sample.per_ev_high is None else sample.per_ev_high * later.lod / sample.high
    return later.lod, ratio


def mean_baseline(samples: Sequence[Result], later: Result, late: bool) -> Baseline:
    """R12: the geometric mean; the ends of a mean are the means of the ends (R15)."""
    ends = [upper_end(sample, later) for sample in samples]
    ratios = [ratio for _, ratio in ends if ratio is not None]
    per_ev = _geometric_mean(ratios) if len(ratios) == len(ends) else None
    return Baseline(_geometric_mean([high for high, _ in ends]), per_ev, len(ends), late)


def _geometric_mean(values: Sequence[float]) -> float:
    return values[0] if len(values) == 1 else math.exp(math.fsum(map(math.log, values)) / len(values))


def before_samples(samples: Sequence[Result], place: Place) -> list[Result]:
    """Those collected 1-42 d before day 0 (the first operation of a course), or on day 0 before the first dose."""
    first_day = place.untreated_until
    assert first_day is not None
    return [
        sample
        for sample in samples
        if (first_day - day_of(sample)).days <= BASELINE_DAYS
        and not on_therapy(sample, place)
        and (day_of(sample) < first_day or place.treatment_from is None)
    ]


def baseline(series: Series, sample: Result, place: Place, late_allowed: bool = True) -> Baseline | None:
    """The baseline of one judged sample (R12, readings 16-18); None if there is none that compares with it."""
    comparables = series.comparable_with(sample)
    early = before_samples(comparables, place)
    if early:
        return mean_baseline(early, sample, late=False)
    late = [other for other in comparables if on_therapy(other, place) and place.day(other) <= LATE_BASELINE_DAYS]
    if late and late_allowed and place.day(sample) > LATE_BASELINE_DAYS:
        return mean_baseline(late, sample, late=True)
    return None


def threshold(series: Series, sample: Result, size: int) -> float:
    """The least ratio that counts as a change against `size` baseline samples (3.2, R13, reading 21)."""
    cva, cvi = DEFAULT_CVS[series.marker]
    cva = cva if sample.cva is None else sample.cva
    cvi = cvi if sample.cvi is None else sample.cvi
    deviation = math.sqrt(math.log(1 + cva**2 + cvi**2))
    return max(math.exp(Z * deviation * math.sqrt(1 / size + 1)), FLOOR)


def risen(series: Series, sample: Result, base: Baseline) -> bool:
    """Whether a rise of the value can be claimed, even from the unfavourable ends (R15)."""
    assert sample.low is not None
    return sample.low / base.high >= threshold(series, sample, base.size) * (1 - TOLERANCE)


def risen_per_ev(series: Series, sample: Result, base: Baseline) -> Tri:
    """The same for the value per total EV; unknown if it or one of its baseline has no total EV count (reading 19)."""
    if sample.per_ev_low is None or base.per_ev_high is None:
        return None
    return sample.per_ev_low / base.per_ev_high >= threshold(series, sample, base.size) * (1 - TOLERANCE)


def not_fallen(series: Series, sample: Result, base: Baseline) -> bool:
    """Whether the value certainly stayed above the limit of a fall (HO-01, reading 27)."""
    assert sample.low is not None
    return sample.low / base.high > (1 + TOLERANCE) / threshold(series, sample, base.size)


def disturbed(chart: Chart, day: date) -> str | None:
    """What physiology makes of a sample of that day: "not-evaluable", "hold" or None (G6, R10, reading 29)."""
    after = {
        "radiotherapy": AFTER_RADIOTHERAPY,
        "infection": AFTER_INFECTION,
        "transfusion": AFTER_TRANSFUSION,
        "operation-of-uncertain-day": AFTER_OPERATION,  # it may have been any of its days
    }
    hold = any(
        not operation.planned and 0 <= (day - operation.day).days <= AFTER_OPERATION for operation in chart.operations
    )
    for event in chart.events:
        if event.kind == "pregnancy" and _covers(event, day, AFTER_PREGNANCY):
            return "not-evaluable"
        if event.kind == "lactation" and _covers(event, day, 0):  # evidence 2.4
            return "not-evaluable"
        if event.kind in after and _covers(event, day, after[event.kind]):
            hold = True
    return "hold" if hold else None


def _covers(event: Event, day: date, days_after: int) -> bool:
    end = event.end
    if end is None and event.kind == "transfusion":
        end = event.start  # over on the day on which it is given
    begun = event.start is None or event.start <= day
    return begun and (end is None or (day - end).days <= days_after)
