"""The results that a finding rests on, each with its part in it, and how it was measured, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from cds.advice.advisory import Reading
from cds.advice.checks import is_judged
from cds.advice.confirmation import over_lowest
from cds.advice.methods import method_in_words
from cds.advice.wording import Wording
from cds.chart.declarations import CHECKS
from cds.chart.model import Chart, Result
from cds.reasoning.change import Comparison
from cds.reasoning.explanation import figure
from cds.reasoning.findings import Finding
from cds.reasoning.question import Sample
from cds.reasoning.rulebook import RuleBook

_ANSWERS = {check: {good: answer for answer, good in answers.items()} for check, answers in CHECKS.items()}


def readings(finding: Finding, chart: Chart, book: RuleBook, words: Wording) -> Iterator[Reading]:
    """Every result that the finding rests on, of its parts one after the other, each oldest first."""
    for part in finding.parts or (finding,):
        for result, roles in _roles(part, chart, book):
            yield _reading(result, roles, part.anchor_day, words)


def _reading(result: Result, roles: tuple[str, ...], anchor: date | None, words: Wording) -> Reading:
    known = f"{result.known} (assumed)" if result.known and result.known_assumed else result.known
    return Reading(
        ref=result.ref,
        marker=words.marker(result.marker),
        value=result.shown or "no readable value",
        collected=result.collected,
        day=(result.collected - anchor).days if anchor and result.collected else None,
        roles=roles,
        total_ev=result.total_ev or "",
        method=method_in_words(result.method),
        specimen=result.specimen_id or "",
        laboratory=result.laboratory or "",
        lot=result.lot or "",
        status=result.status,
        regulatory=result.regulatory or "",
        quality=tuple(
            f"{name.replace('-', ' ')}: {_ANSWERS[name][good]}"
            for name, good in sorted(result.checks.items())
            if name in _ANSWERS
        ),
        declared=tuple(sorted(result.declared)),
        known=known,
        faults=tuple(sorted(result.faults)),
        undated=result.undated,
        below=_below(result),
    )


def _compared_with(comparison: Comparison) -> Sequence[Sample]:
    """The samples that are the reference: of a nadir only the lowest, of a baseline each that its mean is made of."""
    samples = comparison.reference.samples
    if comparison.reference.kind != "nadir":
        return samples
    return (min(samples, key=lambda sample: (sample.value.high, sample.index)),)


def _roles(finding: Finding, chart: Chart, book: RuleBook) -> Iterator[tuple[Result, tuple[str, ...]]]:
    """Every result that the finding rests on, oldest first, with its parts in it."""
    lowest = [sample.result for found in over_lowest(finding, book) for sample in found.reference.samples]
    references = [sample.result for found in finding.comparisons.values() for sample in _compared_with(found)]
    faulty = [result for result in chart.results.get(finding.rule.watches, ()) if result.faults]
    results: dict[int, Result] = {}
    for result in (
        *references,
        *finding.judged,
        *(finding.pair or ()),
        *(faulty if finding.state == "data-quality" else ()),
    ):
        results.setdefault(id(result), result)
    for one in (finding.latest, finding.uncompared):
        if one is not None:
            results.setdefault(id(one), one)
    for result in sorted(results.values(), key=lambda result: (result.collected or date.max, result.ref)):
        roles: list[str] = []
        if is_judged(finding):
            roles += ["reference"] if any(result is reference for reference in references) else []
            roles += ["lowest before the pair"] if any(result is one for one in lowest) else []
            pair = zip(("first of the pair", "second of the pair"), finding.pair or (), strict=False)
            roles += [role for role, one in pair if one is result]
        if result is finding.latest:
            roles.append("latest")
        if result is finding.uncompared:
            roles.append("could not be compared")
        yield result, tuple(roles)


def _below(result: Result) -> str:
    """What a figure that was sent counts as if it lies below a limit of its assay; a `<` says it by itself."""
    if result.low is None or result.high is None or result.shown.startswith("<"):
        return ""
    if result.unquantified:
        between = f"{figure(result.low)} to {figure(result.high)} {result.unit or ''}".strip()
        return f"detected below the limit of quantification, so it counts as {between}"
    if result.censored:
        limit = f"{figure(result.high)} {result.unit or ''}".strip()
        return f"below the limit of detection, so it counts as 0 to {limit}"
    return ""
