"""Change of a marker against its reference, and its confirmation by a second sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from cds.chart.model import Tri
from cds.reasoning.question import Lowest, Question, Reference, Sample, bounded, reference_value
from cds.reasoning.rulebook import Rise
from cds.reasoning.statistics import Interval, at_least, ratio, reference_change


@dataclass(frozen=True, slots=True)
class Change:
    """Parameters of a change: of the value, or of the value per total EV count; a rise, or a fall that did not happen."""

    rise: Rise
    per_ev: bool = False
    not_fallen: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """Parameters of a confirmation: two samples of one unbroken run, so many days apart, in their windows of days."""

    changes: tuple[Change, ...]
    first_from: int
    first_to: int
    second_from: int
    second_to: int
    apart_from: int
    apart_to: int
    over_lowest: bool = False  # also at the threshold over the lowest on-treatment value before the first sample


class Comparison(msgspec.Struct, frozen=True):
    """One sample against its reference, with everything a card shows of how the threshold was built."""

    sample: Sample
    reference: Reference
    reference_value: Interval
    ratio: Interval
    threshold: float
    reference_change: float
    floor: float
    z: float
    cva: float
    cvi: float
    cv_source: str  # "laboratory" | "default" | "laboratory and default"
    per_ev: bool


def compare(question: Question, change: Change, sample: Sample) -> Comparison | None:
    """The sample against its reference; None if there is no reference, or a per-EV ratio cannot be formed."""
    key = (sample.index, change.per_ev, id(change.rise))
    if key in question.compared:
        known: Comparison | None = question.compared[key]
        return known
    question.compared[key] = found = _compare(question, change, sample)
    return found


def _compare(question: Question, change: Change, sample: Sample) -> Comparison | None:
    reference = question.reference(sample)
    if reference is None:
        return None
    value: Interval | None
    if change.per_ev:
        if sample.result.per_ev_low is None or sample.result.per_ev_high is None:
            return None
        value = Interval(sample.result.per_ev_low, sample.result.per_ev_high)
    else:
        value = bounded(sample, *reference.samples)
    base = reference_value(reference, sample, per_ev=change.per_ev)
    if base is None:
        return None
    cva, cvi, source = coefficients(question, sample)
    smallest = reference_change(cva, cvi, change.rise.z, reference.n)
    return Comparison(
        sample,
        reference,
        base,
        ratio(value, base),
        max(smallest, change.rise.floor),
        smallest,
        change.rise.floor,
        change.rise.z,
        cva,
        cvi,
        source,
        change.per_ev,
    )


def coefficients(question: Question, sample: Sample) -> tuple[float, float, str]:
    """Analytical and within-person coefficient of variation for a sample, and who states them."""
    cva, cvi = sample.result.cva, sample.result.cvi
    stated = (cva is not None) + (cvi is not None)
    source = ("default", "laboratory and default", "laboratory")[stated]
    marker = question.marker
    return (marker.cva if cva is None else cva), (marker.cvi if cvi is None else cvi), source


def holds(question: Question, change: Change, sample: Sample) -> Tri:
    """Whether the change may be claimed of the sample; None if a per-EV ratio cannot be formed."""
    comparison = compare(question, change, sample)
    if comparison is None:
        return None if change.per_ev else False
    if change.not_fallen:
        low = comparison.ratio.low
        return low > 0 and not at_least(1 / low, comparison.threshold)
    return at_least(comparison.ratio.low, comparison.threshold)


def may_hold(question: Question, change: Change, sample: Sample) -> bool:
    """Whether the change cannot be claimed, but cannot be excluded either: a value below the limit of detection."""
    comparison = compare(question, change, sample)
    if comparison is None or holds(question, change, sample):
        return False
    if change.not_fallen:
        low, high = comparison.ratio.low, comparison.ratio.high
        return low < high and (high == float("inf") or not at_least(1 / high, comparison.threshold))
    return at_least(comparison.ratio.high, comparison.threshold)


def _qualifies(question: Question, pair: Pair, sample: Sample) -> Tri:
    if sample.day < min(pair.first_from, pair.second_from):
        return False
    answer: Tri = True
    for change in pair.changes:
        value = holds(question, change, sample)
        if value is False:
            return False
        if value is None:
            answer = None
    return answer


def run_before(question: Question, pair: Pair, samples: Sequence[Sample]) -> tuple[list[Sample], bool]:
    """The unbroken run that ends `samples`, oldest first, and whether all of it qualifies for certain."""
    run: list[Sample] = []
    certain = True
    for sample in reversed(samples):
        if question.reference(sample) is None:
            continue  # not comparable with any reference: neither breaks nor extends
        value = _qualifies(question, pair, sample)
        if value is False:
            break
        certain = certain and value is True
        run.append(sample)
    run.reverse()
    return run, certain


def find_pair(pair: Pair, run: Sequence[Sample]) -> tuple[Sample, Sample] | None:
    """The earliest confirming pair of a run: second sample as early as possible, then first."""
    for place, second in enumerate(run):
        if not pair.second_from <= second.day <= pair.second_to:
            continue
        for first in run[:place]:
            if (
                pair.first_from <= first.day <= pair.first_to
                and pair.apart_from <= second.day - first.day <= pair.apart_to
            ):
                return first, second
    return None


def confirmation(question: Question, pair: Pair) -> tuple[Tri, tuple[Sample, Sample] | None]:
    """Whether the run that ends with the latest sample is confirmed, and by which pair.

    Unknown if it would be confirmed by samples of which only a missing total EV count keeps the qualification open.
    """
    known = question.confirmations.get(id(pair))
    if known is None:
        known = question.confirmations[id(pair)] = _confirmation(question, pair)
    return known


def _confirmation(question: Question, pair: Pair) -> tuple[Tri, tuple[Sample, Sample] | None]:
    samples = question.judged()
    if not samples or samples[-1] is not question.latest:
        return False, None
    possible, certain = run_before(question, pair, samples)
    if not certain:
        definite = _definite_end(question, pair, possible)
        found = _confirm(question, pair, definite, samples)
        if found is not None:
            return True, found
        return (None if _confirm(question, pair, possible, samples) is not None else False), None
    found = _confirm(question, pair, possible, samples)
    return found is not None, found


def _confirm(
    question: Question, pair: Pair, run: Sequence[Sample], samples: Sequence[Sample]
) -> tuple[Sample, Sample] | None:
    if not pair.over_lowest:
        return find_pair(pair, run)
    for place, first in enumerate(run):
        before = [sample for sample in samples if sample.collected < first.collected]
        if not before:
            continue
        floor = Lowest(before)
        if all(_over(question, pair, sample, floor) for sample in run[place:]):
            found = find_pair(pair, run[place:])
            if found is not None:
                return found
    return None


def _over(question: Question, pair: Pair, sample: Sample, before: Lowest) -> bool:
    """Whether the sample is at the threshold over the lowest of the values before."""
    cva, cvi, _ = coefficients(question, sample)
    rise = pair.changes[0].rise
    threshold = max(reference_change(cva, cvi, rise.z, 1), rise.floor)
    return at_least(ratio(bounded(sample, *before.samples), before.seen_from(sample)).low, threshold)


def _definite_end(question: Question, pair: Pair, run: Sequence[Sample]) -> list[Sample]:
    kept: list[Sample] = []
    for sample in reversed(run):
        if not _qualifies(question, pair, sample):
            break
        kept.append(sample)
    kept.reverse()
    return kept
