"""The panels of a drawing: a marker's results as a curve, where it may not be read on, and what the latest is compared with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise

from cds.advice.advisory import Advisory
from cds.advice.changes import fold
from cds.advice.checks import is_judged
from cds.advice.confirmation import over_lowest
from cds.advice.methods import method_in_words
from cds.advice.waiting import second_sample
from cds.advice.wording import Wording
from cds.chart.model import Chart, Result
from cds.drawing.crossings import crossings
from cds.drawing.scene import Break, Decision, Lowest, Panel, Point, Replicates, Span, Vertex, Window
from cds.reasoning.change import Comparison
from cds.reasoning.explanation import threshold_value
from cds.reasoning.findings import Evaluation, Finding
from cds.reasoning.kinds.kind import Days
from cds.reasoning.question import comparable_results, what_differs
from cds.reasoning.rulebook import RuleBook
from cds.reasoning.statistics import reference_change

_FAULTS = {
    "no-value": "no value", "unreadable-value": "unreadable", "no-unit": "no unit", "negative": "negative",
    "unit-not-convertible": "unit", "zero-without-lod": "zero, no limit of detection", "conflict": "two values",
    "different-analyte": "another analyte", "after-as-of": "in the future", "efficiency-not-stated": "no efficiency",
    "no-reference-gene": "no reference gene",
    "above-total-ev": "above total EV",
}  # fmt: skip
_DISTURBS = ("haemolysis", "lipaemia", "residual-platelets", "dna-control")
"""Checks of which a bad answer makes a specimen useless, whatever it was measured for."""
_SHORT = {"efficiency": "PCR efficiency"}
_MOST_CURVES = 8
"""Of so many curves that lie side by side each new result may go on with one; no patient is measured in more ways at once."""


def on_axis(result: Result, chart: Chart) -> bool:
    """Whether a result has a day, and one that has come."""
    return result.collected is not None and result.collected <= chart.as_of


def used(chart: Chart, book: RuleBook) -> Mapping[str, Sequence[Result]]:
    """Results of markers that are used: one that rests on retracted evidence is logged, and shown nowhere."""
    known = book.catalogue.markers
    return {marker: results for marker, results in chart.results.items() if not known[marker].must_not_use}


def panels(evaluation: Evaluation, advisories: Sequence[Advisory], book: RuleBook) -> Iterator[Panel]:
    """One panel for each marker and kind of quantity; `advisories` are what is said of the evaluation."""
    for marker, results in used(evaluation.chart, book).items():
        dated = [one for one in results if on_axis(one, evaluation.chart)]
        families = dict.fromkeys(one.family for one in dated if one.family is not None)
        for number, family in enumerate(families or [None]):
            # What has no unit of its own is shown with the first: it is the same marker, and must not vanish.
            own = [one for one in dated if one.family == family or (number == 0 and one.family is None)]
            if own:
                yield _panel(marker, own, tuple(_elsewhere(dated, family)), evaluation, advisories, book)


def _elsewhere(dated: Sequence[Result], family: str | None) -> Iterator[Break]:
    """Where results go on in another kind of quantity, which has a panel of its own."""
    known = [one for one in dated if one.family is not None]
    for one, other in pairwise(known):
        if one.family == family != other.family and other.collected is not None:
            last = all(later.family != family for later in known[known.index(other) :])
            yield Break(other.collected, "other unit: a panel of its own", last)


def _panel(
    marker: str,
    results: Sequence[Result],
    elsewhere: tuple[Break, ...],
    evaluation: Evaluation,
    advisories: Sequence[Advisory],
    book: RuleBook,
) -> Panel:
    chart, known = evaluation.chart, book.catalogue.markers[marker]
    family = next((one.family for one in results if one.family is not None), None)
    finding = _finding(evaluation.findings, marker, family, book)
    about = [said for said in advisories if marker in said.markers and said.rule.status == "active"]
    own = [
        said
        for said in about
        if finding is not None and said.rule.name in (finding.rule.name, *_combining(finding, evaluation))
    ]
    said = next(iter(sorted(own or about, key=lambda one: one.rank)), None)
    second = second_sample(finding, chart, book) if finding is not None else None
    second = None if second is None or second.is_past(chart) else second
    roles = {one.ref: one.roles for one_said in own or about for one in one_said.readings}
    beyond = crossings(finding, chart, book, open_=second is not None) if finding is not None else {}
    points = tuple(_point(one, roles.get(one.ref, ()), beyond.get(one.ref, "")) for one in results)
    usable = [(one, point) for one, point in zip(results, points, strict=True) if point.usable]
    curve, breaks = _curve(usable, book.windows.elements)
    pair = finding.pair if finding is not None else None
    decision = _decision(finding, family, chart) if finding is not None else None
    return Panel(
        marker=marker,
        short=known.short or known.title,
        title=known.title,
        unit=next((one.unit for one in results if one.unit), ""),
        relative=family is not None and "delta" in family,
        points=points,
        curve=tuple(tuple(_vertex(station) for station in part) for part in curve),
        replicates=tuple(_replicates(one) for part in curve for one in part if len(one) > 1),
        breaks=tuple(sorted((*breaks, *elsewhere), key=lambda one: one.day)),
        decision=decision,
        pair=(pair[0].collected, pair[1].collected) if pair and pair[0].collected and pair[1].collected else None,
        second=Window(second.opens, second.closes, "a second sample here would confirm") if second else None,
        early=_early(finding, Wording(book)) if finding is not None else None,
        lowest=_lowest(finding, decision, book) if finding is not None and decision is not None else (),
        word=said.word if said is not None else "",
        certainty=said.certainty if said is not None else "",
        note=(said.reasons or said.missing) if said is not None and finding is None else (),
    )


# what is said of the marker ----------------------------------------------------------------------------------------


def _finding(findings: Iterable[Finding], marker: str, family: str | None, book: RuleBook) -> Finding | None:
    """The finding that compares the marker in this kind of quantity; of several the one that goes first."""
    found: list[Finding] = []
    for finding in findings:
        if finding.rule.status == "active":  # a rule in shadow is shown to nobody
            found += [one for one in (finding, *finding.parts) if one.rule.watches == marker and _compared(one, family)]
    return min(found, key=lambda one: book.rank(one.state), default=None)


def _combining(finding: Finding, evaluation: Evaluation) -> Iterator[str]:
    """Names of the rules of which the finding is a part."""
    for one in evaluation.findings:
        if any(part is finding for part in one.parts):
            yield one.rule.name


def _compared(finding: Finding, family: str | None) -> tuple[str, Comparison] | None:
    """The latest value against its reference, in the quantity that the panel shows, with the fact that asks for it."""
    if not is_judged(finding):  # what cannot be judged supports no comparison
        return None
    found = ((name, one) for name, one in finding.comparisons.items() if not one.per_ev)
    return next(((name, one) for name, one in found if one.sample.result.family == family), None)


def _decision(finding: Finding, family: str | None, chart: Chart) -> Decision | None:
    found = _compared(finding, family)
    if found is None:
        return None
    name, one = found
    high = one.reference_value.high
    low = one.reference_value.low or high  # below the limit of detection: anywhere down to nothing
    falls = bool(
        finding.rule.fact(name).params.not_fallen
    )  # a fall is asked for, and that there is none is the finding
    noise = reference_change(one.cva, 0.0, one.z, one.reference.n)
    days = tuple(sample.collected for sample in one.reference.samples)
    per_ev = next((other for other in finding.comparisons.values() if other.per_ev), None)
    return Decision(
        title=finding.rule.title,
        state=finding.state,
        kind=one.reference.kind,
        reference=(one.reference_value.low, high),
        references=days,
        limit=low / one.threshold if falls else threshold_value(one),
        falls=falls,
        expected=(low / one.reference_change, high * one.reference_change),
        noise=(low / noise, high * noise),
        start=finding.anchor_day or min(days, default=chart.as_of),
        fold=fold(one, falls=falls),
        threshold=one.threshold,
        reference_change=one.reference_change,
        noise_change=noise,
        floor=one.floor,
        cva=one.cva,
        cvi=one.cvi,
        stated=one.cv_source,
        per_ev=(high * per_ev.ratio.low, fold(per_ev, falls=False)) if per_ev and per_ev.ratio.low > 0 else None,
    )


def _lowest(finding: Finding, decision: Decision, book: RuleBook) -> tuple[Lowest, ...]:
    """What the samples of a pair have to reach as well; nothing where they reach it with the limit over the reference."""
    found = (
        Lowest(one.reference.samples[0].collected, threshold_value(one), one.threshold)
        for one in over_lowest(finding, book)
    )
    return tuple(dict.fromkeys(one for one in found if decision.limit < one.limit < math.inf))


def _early(finding: Finding, words: Wording) -> Window | None:
    """The days of the line in which the rule judges otherwise, if the state rests on them."""
    anchor = finding.anchor_day
    resting = {literal.fact for clause in finding.holding for literal in clause.all if literal.wanted}
    for spec in finding.rule.facts:
        if (
            anchor is not None
            and spec.name in resting
            and isinstance(spec.params, Days)
            and spec.params.last is not None
        ):
            first, last = max(spec.params.first or 0, 0), spec.params.last
            return Window(anchor + timedelta(days=first), anchor + timedelta(days=last), words.fact(spec.name))
    return None


# the curve ---------------------------------------------------------------------------------------------------------


def _point(result: Result, roles: tuple[str, ...], crossing: str) -> Point:
    assert result.collected is not None  # only dated results are drawn
    bounded = result.censored or result.unquantified
    value = result.high if bounded else result.low
    faults = tuple(_FAULTS.get(fault, fault) for fault in sorted(result.faults))
    faults += tuple(check.replace("-", " ") for check in _DISTURBS if result.checks.get(check) is False)
    return Point(
        ref=result.ref,
        day=result.collected,
        value=value or None,
        shown=result.shown,
        censored=bounded,
        detected=result.unquantified,
        roles=roles,
        faults=faults,
        crossing=crossing,
        laboratory=result.laboratory or "",
        method=method_in_words(result.method),
        total_ev=result.total_ev or "",
    )


_Measured = tuple[Result, Point]
_Station = list[_Measured]
"""Comparable results of one day."""


def _curve(usable: Sequence[_Measured], elements: Sequence[str]) -> tuple[list[list[_Station]], tuple[Break, ...]]:
    """The stretches in which each result may be compared with the one before, and where a new one begins."""
    stretches: list[list[_Station]] = []
    begun: list[tuple[int, str]] = []  # stretches after the first, and why they are new
    before: Result | None = None
    for one in usable:
        result = one[0]
        for stretch in stretches[-_MOST_CURVES:][::-1]:
            last = stretch[-1]
            if comparable_results(last[0][0], result, elements):
                if last[0][1].day == one[1].day:
                    last.append(one)
                else:
                    stretch.append([one])
                break
        else:
            if before is not None:
                begun.append((len(stretches), _why_apart(before, result, elements)))
            stretches.append([[one]])
        before = result
    breaks: list[Break] = []
    for number, why in begun:
        day = stretches[number][0][0][1].day
        over = any(part[0][0][1].day < day <= part[-1][0][1].day for part in stretches[:number])
        breaks.append(Break(day, why, not over))
    return stretches, tuple(breaks)


def _vertex(station: _Station) -> Vertex:
    values = [point.value for _, point in station if point.value is not None]
    return Vertex(station[0][1].day, _mean(values), any(point.censored for _, point in station))


def _replicates(station: _Station) -> Replicates:
    values = [point.value for _, point in station if point.value is not None]
    return Replicates(station[0][1].day, _mean(values), len(values), station[0][1].laboratory)


def _mean(values: Sequence[float]) -> float:
    return values[0] if len(values) == 1 else math.exp(math.fsum(map(math.log, values)) / len(values))


def _why_apart(earlier: Result, later: Result, elements: Sequence[str]) -> str:
    """What differs between two results that may not be compared, or what is not stated of them."""
    apart = what_differs(earlier, later, elements)
    if any(name == "unit" for name, _, _ in apart):
        return "other unit"
    changed = [name for name, one, other in apart if None not in (one, other)]
    limit = "limit of detection"
    if more := [_SHORT.get(name, name) for name in changed if name != limit]:
        return f"other {_listed(more)}"
    unstated = [(name, one is None) for name, one, other in apart if None in (one, other) and name != limit]
    if not unstated:
        return f"other {limit}"
    before = " before" if all(earlier for _, earlier in unstated) else ""
    return f"{_listed([name for name, _ in unstated])} not stated{before}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return (", ".join(names[:2]) if more else " and ".join(names[:2])) + more


def span_of(panel: Panel) -> Iterator[Span]:
    """The spans of days that a panel must have room for, besides its points."""
    for window in (panel.second, panel.early):
        if window is not None:
            yield window.first, window.last
