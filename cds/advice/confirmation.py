"""The second comparison of a rise that some rules ask for: against the lowest earlier value on treatment."""

from __future__ import annotations

from cds.reasoning.change import Comparison, Pair
from cds.reasoning.findings import Finding
from cds.reasoning.question import Lowest, Reference, Sample, bounded
from cds.reasoning.rulebook import Rise, Rule, RuleBook
from cds.reasoning.statistics import at_least, ratio, reference_change

LOWEST = "lowest-on-treatment"
"""Kind of the reference of these comparisons."""

_CV_SOURCE = ("default", "laboratory and default", "laboratory")


def pair_over_lowest(rule: Rule) -> Pair | None:
    """The confirmation of the rule that asks for the comparison; None if none does."""
    pairs = (spec.params for spec in rule.facts if isinstance(spec.params, Pair))
    return next((pair for pair in pairs if pair.over_lowest), None)


def over_lowest(finding: Finding, book: RuleBook) -> tuple[Comparison, ...]:
    """The samples of the pair, the latest, and the first that falls short, against the lowest value on treatment before them.

    Empty if the rule asks for no such comparison (`over_lowest: yes`), if no pair was found, or if nothing was measured
    on treatment before it. The reference names the one sample that is the lowest.
    """
    asked = pair_over_lowest(finding.rule)
    if asked is None or finding.pair is None:
        return ()
    dated = [(result, result.collected) for result in finding.judged]
    samples = [Sample(result, index, day) for index, (result, day) in enumerate(dated) if day is not None]
    first = finding.pair[0].collected
    before = [sample for sample in samples if first is not None and sample.collected < first]
    if not before:
        return ()
    rise, shown = asked.changes[0].rise, (*finding.pair, finding.latest)
    lowest = Lowest(before)
    found: list[Comparison] = []
    short = False
    for sample in samples[len(before) :]:
        is_shown = any(sample.result is result for result in shown)
        if short and not is_shown:
            continue
        comparison = _compared(sample, lowest, rise, book)
        falls_short = not at_least(comparison.ratio.low, comparison.threshold)
        if is_shown or falls_short:
            found.append(comparison)
        short = short or falls_short
    return tuple(found)


def _compared(sample: Sample, lowest: Lowest, rise: Rise, book: RuleBook) -> Comparison:
    result = sample.result
    marker = book.catalogue.markers[result.marker]
    cva = marker.cva if result.cva is None else result.cva
    cvi = marker.cvi if result.cvi is None else result.cvi
    smallest = reference_change(cva, cvi, rise.z, 1)
    before, base = lowest.samples, lowest.seen_from(sample)
    least = next(other for other in before if bounded(other, sample).high == base.high)
    return Comparison(
        sample=sample,
        reference=Reference(LOWEST, (least,), 1),
        reference_value=base,
        ratio=ratio(bounded(sample, *before), base),
        threshold=max(smallest, rise.floor),
        reference_change=smallest,
        floor=rise.floor,
        z=rise.z,
        cva=cva,
        cvi=cvi,
        cv_source=_CV_SOURCE[(result.cva is not None) + (result.cvi is not None)],
        per_ev=False,
    )
