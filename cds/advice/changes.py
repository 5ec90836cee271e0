"""Numbers in words: change from the reference, how its limit was built, and what the next sample would have to show."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

from cds.advice.advisory import ChangeFromReference, WhyNot
from cds.advice.checks import is_about_imaging, is_judged
from cds.advice.confirmation import LOWEST, over_lowest, pair_over_lowest
from cds.advice.waiting import goes_on, judged_again, second_sample
from cds.advice.wording import Wording
from cds.chart.model import Chart, Result, Tri
from cds.counting import counted
from cds.reasoning.change import Change, Comparison
from cds.reasoning.explanation import explain, figure, limit_of, rounded_beside, rounded_limit, threshold_value
from cds.reasoning.findings import Finding
from cds.reasoning.oracle import truth
from cds.reasoning.rulebook import FactSpec, RuleBook
from cds.reasoning.statistics import at_least, confidence_of

_REFERENCE = {
    "baseline": "before the treatment",
    "late-baseline": "after treatment had begun (late reference)",
    "nadir": "lowest of the earlier values",
    LOWEST: "lowest earlier value on treatment",
}


def changes(finding: Finding, book: RuleBook, words: Wording) -> Iterator[ChangeFromReference]:
    """Each comparison on which the finding rests, its parts' included; none of a sample that failed a gate.

    First the latest sample against its reference; then, where the rule asks for it, the samples of the rise against the
    lowest value on treatment.
    """
    for part in finding.parts:
        yield from changes(part, book, words)
    if not is_judged(finding):
        return
    for name, comparison in finding.comparisons.items():
        quantity = "value per EV" if comparison.per_ev else "value"
        yield _change(comparison, finding.rule.fact(name).params, quantity, finding.facts.get(name), words)
    pair = pair_over_lowest(finding.rule)
    if pair is None:
        return
    for comparison in over_lowest(finding, book):
        quantity = f"value of {comparison.sample.collected.isoformat()}"
        reached = at_least(comparison.ratio.low, comparison.threshold)
        yield _change(comparison, pair.changes[0], quantity, reached, words)


def _change(comparison: Comparison, change: Change, quantity: str, reached: Tri, words: Wording) -> ChangeFromReference:
    low, high = comparison.ratio.low, comparison.ratio.high
    result = comparison.sample.result
    limit = f"{_limit(comparison.threshold)} ×"
    if change.not_fallen:
        limit = f"{_limit(1 / comparison.threshold, up=False)} × or less"
    elif not comparison.per_ev and not _inverse(result):
        limit += f", that is {_limit(threshold_value(comparison))} {result.unit}"
    return ChangeFromReference(
        marker=words.marker(result.marker),
        quantity=quantity,
        reference=_reference(comparison),
        reference_value=_reference_value(comparison),
        fold=fold(comparison, falls=change.not_fallen),
        fold_low=low,
        fold_high=None if math.isinf(high) else high,
        threshold=comparison.threshold,
        limit=limit,
        built=_built(comparison, change),
        reached=reached,
    )


def _limit(number: float, *, up: bool = True) -> str:
    return figure(rounded_limit(number, up=up))


def fold(comparison: Comparison, *, falls: bool) -> str:
    """A ratio as it may be claimed: a bound where a value lies below the limit of detection, none where both do."""
    low, high = comparison.ratio.low, comparison.ratio.high
    limit = limit_of(comparison, falls=falls)
    if low == high:
        return f"{figure(rounded_beside(low, limit))} ×"
    if math.isinf(high):
        return f"≥ {figure(rounded_beside(low, limit))} ×" if low > 0 else "no ratio"
    return (
        f"≤ {figure(rounded_beside(high, limit))} ×"
        if low <= 0
        else f"{figure(rounded_beside(low, limit))} to {figure(rounded_beside(high, limit))} ×"
    )


def per_ev_in_words(finding: Finding) -> Mapping[str, str]:
    """What notes may say of a rise per vesicle: how large it is and what it is held against; empty where none is told."""
    per_ev = next((one for one in finding.comparisons.values() if one.per_ev), None)
    if per_ev is None:
        return {}
    return {"per_ev": fold(per_ev, falls=False), "per_ev_limit": f"{_limit(per_ev.threshold)} ×"}


def _reference(comparison: Comparison) -> str:
    samples = comparison.reference.samples
    days = ", ".join(sample.collected.isoformat() for sample in samples)
    kind = comparison.reference.kind
    if kind in ("nadir", LOWEST):
        return f"{_REFERENCE[kind]} ({days})"
    count = "1 sample" if len(samples) == 1 else f"geometric mean of {len(samples)} samples"
    return f"{count} {_REFERENCE.get(kind, kind)} ({days})"


def _reference_value(comparison: Comparison) -> str:
    low, high = comparison.reference_value.low, comparison.reference_value.high
    said = figure(high) if low == high else f"{figure(low)} to {figure(high)}"
    result = comparison.sample.result
    if comparison.per_ev:
        return f"{said} per EV"
    return f"{said} on the linear scale" if _inverse(result) else f"{said} {result.unit or ''}".rstrip()


def _built(comparison: Comparison, change: Change) -> str:
    confidence = confidence_of(comparison.z)
    result = comparison.sample.result
    n = comparison.reference.n
    said = (
        f"the larger of the reference change value {_limit(comparison.reference_change)} "
        f"(Z {comparison.z:g}{', ' + confidence if confidence else ''}; "
        f"analytical CV {_percent(comparison.cva)}, {_origin(result.cva, 'cva' in result.declared)}; "
        f"within-person CV {_percent(comparison.cvi)}, {_origin(result.cvi, 'cvi' in result.declared)}; "
        f"{counted(n, 'reference sample')}, 1 later sample) and the floor {comparison.floor:g}"
    )
    return f"{said}; {change.rise.because}" if change.rise.because else said


def _origin(stated: float | None, declared: bool) -> str:
    """Who says how large a coefficient of variation is."""
    if stated is None:
        return "assumed by this project, no published value"
    return "declared once by the laboratory" if declared else "stated by the laboratory"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"


def _inverse(result: Result) -> bool:
    """A ΔCt falls where the marker rises: its limits are told as ratios, never in its own unit."""
    return result.family is not None and "delta" in result.family


def would_change(finding: Finding, chart: Chart, book: RuleBook, words: Wording) -> Iterator[str]:
    """What a next comparable sample, other imaging, or missing data, would change."""
    if finding.state == "discordant" and (otherwise := _without_imaging(finding, book)):
        yield f"without what imaging shows it would be: {words.state(otherwise)}"
    for part in finding.parts:
        yield from (f"{words.marker(part.rule.watches)}: {said}" for said in would_change(part, chart, book, words))
    if finding.parts:
        return
    compared = finding.comparisons if is_judged(finding) else {}
    spec = next((spec for spec in finding.rule.facts if spec.kind == "value" and spec.name in compared), None)
    if spec is not None:
        yield from _next_value(spec, compared[spec.name], finding)
        yield from _next_over_lowest(compared[spec.name], finding, book, words)
        yield from _next_pair(finding, chart, book)
    if finding.state == "hold" and (days := judged_again(finding, chart, book)) is not None and days.first is not None:
        # A day that is only that of the data must not look like one before which nothing could be judged.
        now = days.first == chart.as_of
        yield f"a new sample, drawn {days}, can be judged" if now else f"a sample {days} can be judged"
    if finding.state == "data-quality":
        yield from _judged_once(words.settled(finding, chart))
    if finding.state == "not-evaluable":
        yield from _made_evaluable(finding, chart, book, words)


def _without_imaging(finding: Finding, book: RuleBook) -> str:
    """The state that the facts give if none of them is about imaging; "" if that is none that claims something."""
    imaging = {spec.name for spec in finding.rule.facts if is_about_imaging(spec)}
    facts = {name: False if name in imaging else value for name, value in finding.facts.items()}
    held = {
        clause.state
        for clause in finding.rule.clauses
        if clause.state and not clause.gate
        if all(truth(literal, facts) is True for literal in clause.all)
        if not any(truth(literal, facts) for literal in clause.unless)
    }
    found = min(held, key=book.rank, default="")
    return found if found in ("suspected", "persistent", "watch") else ""


def _made_evaluable(finding: Finding, chart: Chart, book: RuleBook, words: Wording) -> Iterator[str]:
    """What would make a finding evaluable: another sample, what is not stated, or something to compare with."""
    failed = [clause.all[0].fact for clause in finding.holding if clause.gate and clause.all[0].wanted]
    missing = [said for name in finding.missing for said in words.missing(name, finding)]
    if not failed or "method-not-stated" in failed:
        missing += words.unstated(finding)
    lacks_reference = "no-baseline" in failed
    settled = words.settled(finding, chart)
    spoilt = [words.failure(name) for name in failed if name not in _OF_THE_COMPARISON and name != _BOUND]
    if "unit-not-convertible" in failed:
        units = book.catalogue.markers[finding.rule.watches].units.values()
        known = ", ".join(dict.fromkeys(unit.family.canonical for unit in units))
        yield f"the same result can be judged in a unit that converts to one of: {known}"
    if spoilt and (missing or lacks_reference or settled):
        yield f"a sample, of which this does not hold, is needed: {', '.join(spoilt)}"
    elif spoilt:
        yield f"another sample, of which this does not hold, can be judged: {', '.join(spoilt)}"
    stated = (f"this is stated: {', '.join(dict.fromkeys(missing))}",) if missing else ()
    yield from _judged_once((*settled, *stated))
    if "method-changed" in failed and not missing:
        yield from words.meant(finding)
        yield "a sample measured in the same way as its reference can be judged"
    if lacks_reference and (finding.rule.reference != "nadir" or not spoilt):
        yield _reference_wanted(finding, book, words)


def _judged_once(conditions: Sequence[str]) -> Iterator[str]:
    """All that must come first, in one sentence: of several none is enough."""
    if conditions:
        yield f"it can be judged once {', and once '.join(conditions)}"


_BOUND = "drug-bound"
"""A failure that holds of every sample as long as the drug is given: another sample helps nothing."""

_OF_THE_COMPARISON = ("method-not-stated", "method-changed", "no-baseline")
"""Failures that are not of the sample itself: what it is compared with, or how that is known."""


def _reference_wanted(finding: Finding, book: RuleBook, words: Wording) -> str:
    """Which sample could still be the reference of a finding that has none; of a nadir, each sample is that of later ones."""
    start, windows = finding.begins, book.windows
    if finding.rule.reference == "nadir" or start is None:
        return "this sample is the reference of later ones: a later comparable sample can be judged"
    days = f"{(start - timedelta(days=windows.baseline_before)).isoformat()} to {start.isoformat()}"
    needed = f"it can be judged once a comparable sample from before the {{}} ({days}) is in the record"
    if finding.operation is not None:
        which = "operation" if start == finding.anchor_day else "first operation"
        return f"{needed.format(which)}; without one, these rules judge no later sample after this operation"
    return (
        f"{needed.format('treatment')}, or one of its first {windows.late_baseline} days, which limits it to "
        f"{words.state('watch')}; without one, these rules judge no later sample of this treatment line"
    )


def _next_value(spec: FactSpec, comparison: Comparison, finding: Finding) -> Iterator[str]:
    """Which value of the next sample would surely change the answer; nothing if there is none."""
    result, change = comparison.sample.result, spec.params
    reached = finding.facts.get(spec.name)
    if change.not_fallen:
        # Of a reference that is an interval the unfavourable end counts: its low one for a fall, its high one against it.
        base, ratio = comparison.reference_value, 1 / comparison.threshold
        edge = (base.low if reached else base.high) / comparison.threshold
        where, then = ("of at most", "would count as fallen") if reached else ("above", "would count as not fallen")
    else:
        edge, ratio = threshold_value(comparison), comparison.threshold
        where, then = ("below", "would end the rise") if reached else ("of at least", "would be a rise")
    if not 0 < edge < math.inf:
        return
    # Of a rise it is the figure that "Change and limit" shows, for two figures would look like two limits; of a fall, whose
    # limit is shown as a ratio alone, what is said holds of every value beyond the figure.
    up = where != "of at most"
    limit = f"{_limit(ratio, up=up)} × its reference" if _inverse(result) else f"{_limit(edge, up=up)} {result.unit}"
    anchor, start = finding.rule.anchor, finding.anchor_day
    # A second sample may be later; it counts only after a first that shows the change.
    last = anchor.second_until or anchor.until if reached and finding.state != "hold" else anchor.until
    until = (
        f", in a sample drawn by {(start + timedelta(days=last)).isoformat()}: later ones are not judged"
        if finding.operation is not None and start is not None and last
        else ""
    )
    yield f"a comparable value {where} {limit} {then}{until}"


def _next_over_lowest(comparison: Comparison, finding: Finding, book: RuleBook, words: Wording) -> Iterator[str]:
    """Which value of the next sample would leave a rise, but not a confirmed one; nothing where the rule asks for no such comparison.

    Every sample of a confirmed rise lies over the lowest value on treatment before it.
    """
    over = over_lowest(finding, book) if finding.state == "suspected" else ()
    if not over:
        return
    result, edge = over[-1].sample.result, threshold_value(over[-1])
    if threshold_value(comparison) < edge < math.inf and not _inverse(result):
        yield (
            f"a comparable value below {_limit(edge)} {result.unit}, the limit over the lowest earlier value on treatment, "
            f"would no longer confirm the rise, and leave: {words.state('watch')}"
        )


def _next_pair(finding: Finding, chart: Chart, book: RuleBook) -> Iterator[str]:
    found = second_sample(finding, chart, book)
    if found is None:
        return
    days = f"from {found.opens.isoformat()} to {found.closes.isoformat()}"
    if not found.is_past(chart):
        also = ", if it exceeds the limit over the lowest value on treatment too" if found.pair.over_lowest else ""
        yield f"a second such sample {days} would confirm it{also}"
        return
    start = finding.anchor_day
    again = start is not None and (chart.as_of - start).days <= found.pair.first_to
    again = again and goes_on(finding, chart, book, chart.as_of)
    yield f"the days for a second such sample, {days}, are past" + (
        "; a later one may begin a new pair" if again else ""
    )


_LAST = re.compile(r" (?:to|by) (\d{4}-\d{2}-\d{2})(?= would confirm it|: later ones are not judged)")


def last_day(said: str) -> date | None:
    """The last day on which a sample could do what a sentence of `would_change` says; None if it names none."""
    found = _LAST.search(said)
    return date.fromisoformat(found[1]) if found else None


def why(finding: Finding, book: RuleBook, words: Wording) -> tuple[str, ...]:
    """Each fact on which the state rests, in words; it says so of one that is not the case, or unknown."""
    return tuple(
        _kept(text, words).removeprefix("the case: ")
        for text in explain(finding, book).why
        if not text.endswith(("applies", "judged"))
    )


def why_not(finding: Finding, book: RuleBook, words: Wording) -> Iterator[WhyNot]:
    """What kept each suspicion away, in words; nothing where the question did not come so far."""
    if not is_judged(finding):
        return
    for item in explain(finding, book).why_not:
        if item.state in ("suspected", "persistent") and item.kept_by and "judged" not in " ".join(item.kept_by):
            kept = tuple(_kept(text, words) for text in item.kept_by if not text.endswith("applies"))
            if kept:
                yield WhyNot(item.state, words.state(item.state), kept)


def _kept(text: str, words: Wording) -> str:
    word, _, rest = text.partition(" ")
    said = {"not": "not the case", "unknown": "unknown"}.get(word) if rest else None
    return f"{said}: {words.fact(rest)}" if said else f"the case: {words.fact(text)}"
