"""Which gates a finding passed, which it failed, and why: the shared gates first, then what the rule itself asks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from cds.advice.advisory import Check
from cds.advice.wording import Wording
from cds.chart.model import Chart, Imaging
from cds.reasoning.combination import ImagingNear
from cds.reasoning.findings import Finding
from cds.reasoning.kinds.imaging import response_near
from cds.reasoning.rulebook import FactSpec, Gate, RuleBook

PASSED, FAILED, UNKNOWN, NOT_ASKED = "passed", "failed", "unknown", "not asked"


def is_judged(finding: Finding) -> bool:
    """Whether the latest value was judged at all: a sample that failed a gate supports no comparison, up or down."""
    return finding.clause is None or not finding.clause.gate


def checks(finding: Finding, chart: Chart, book: RuleBook, words: Wording) -> tuple[Check, ...]:
    """Every gate of the finding, in the order in which they are asked; of a combined rule those of its parts."""
    if finding.parts:
        named = ((words.marker(part.rule.watches), checks(part, chart, book, words)) for part in finding.parts)
        of_parts = [
            Check(check.name, f"{marker}: {check.title}", check.outcome, check.why, marker)
            for marker, part in named
            for check in part
        ]
        imaged = [spec.name for spec in finding.rule.facts if is_about_imaging(spec) and spec.name in finding.facts]
        together = [_imaging(imaged, finding, chart, words)] if imaged and finding.line is not None else []
        return (*of_parts, *together)
    asked = {clause.gate for clause in finding.rule.clauses if clause.gate}
    shared = (_shared(gate, finding, chart, words) for gate in book.gates if gate.name in asked)
    return tuple(chain(shared, _own(finding, chart, words)))


def _shared(gate: Gate, finding: Finding, chart: Chart, words: Wording) -> Check:
    facts = finding.facts
    title = words.gate(gate.name)
    if gate.name == "therapy":
        outcome = {True: PASSED, False: FAILED, None: UNKNOWN}[facts.get("applies")]
        why = words.missing("applies", finding) if outcome == UNKNOWN else ()
        return Check(gate.name, title, outcome, why)
    names = [spec.name for spec, _, _ in gate.fails_on if spec.name in facts]
    failed = [said for name in names if facts[name] is True for said in words.failures(name, finding, chart)]
    unknown = [missing for name in names if facts[name] is None for missing in words.missing(name, finding)]
    if failed:
        return Check(gate.name, title, FAILED, tuple(failed + [f"missing: {missing}" for missing in unknown]))
    if unknown:
        return Check(gate.name, title, UNKNOWN, tuple(f"missing: {missing}" for missing in unknown))
    if gate.name == "comparability" and (facts.get("no-baseline") or facts.get("only-a-baseline")):
        return Check(gate.name, title, NOT_ASKED, ("nothing to compare with",))
    return Check(gate.name, title, PASSED if names else NOT_ASKED)


def _own(finding: Finding, chart: Chart, words: Wording) -> Iterator[Check]:
    facts = finding.facts if is_judged(finding) else {}
    kinds: dict[str, list[str]] = {}
    for spec in finding.rule.facts:
        kinds.setdefault(spec.kind, []).append(spec.name)
    asked = {kind: [name for name in names if name in facts] for kind, names in kinds.items()}
    if early := asked.get("day"):
        too_early = tuple(words.fact(name) for name in early if facts[name])
        yield Check("timing", words.gate("timing"), FAILED if too_early else PASSED, too_early)
    for name, kind in (("magnitude", "value"), ("confirmation", "pair")):
        if kind in asked:
            yield _met(name, words.gate(name), asked[kind], finding, words)
    if "imaging" in asked:
        yield _imaging(asked["imaging"], finding, chart, words)
    if finding.rule.evidence:
        # A rule that rests on retracted evidence is not loaded, so that one which speaks has passed.
        yield Check("evidence", words.gate("evidence"), PASSED)


def _met(name: str, title: str, asked: list[str], finding: Finding, words: Wording) -> Check:
    if not asked:
        return Check(name, title, NOT_ASKED)
    lacking = [fact for fact in asked if finding.facts[fact] is False]
    unknown = [fact for fact in asked if finding.facts[fact] is None]
    if lacking:
        why = (words.fact(fact) for fact in lacking)
        return Check(name, title, FAILED, tuple(f"not the case: {said}" for said in why if said != title))
    if unknown:
        missing = (missing for fact in unknown for missing in words.missing(fact, finding))
        return Check(name, title, UNKNOWN, tuple(f"missing: {said}" for said in missing))
    return Check(name, title, PASSED)


def _imaging(asked: list[str], finding: Finding, chart: Chart, words: Wording) -> Check:
    title = words.gate("imaging")
    if not asked:
        return Check("imaging", title, NOT_ASKED)
    if finding.state == "discordant":
        against = tuple(words.fact(name) for name in asked if finding.facts[name])
        return Check("imaging", title, FAILED, against)
    seen = imaging_near(finding, chart)
    far = _too_far(seen, finding, chart)
    if seen is None:
        why = "no response by imaging near the samples" if chart.imaging else "no response by imaging recorded"
        return Check("imaging", title, NOT_ASKED, (why, *far))
    said = f"{seen.response} on {seen.day.isoformat()}"
    if not any(finding.facts[name] for name in asked):
        return Check("imaging", title, NOT_ASKED, (f"{said}, neither for nor against", *far))
    return Check("imaging", title, PASSED, (said, *far))


def _too_far(seen: Imaging | None, finding: Finding, chart: Chart) -> tuple[str, ...]:
    """That a newer response than the one which was asked is not used, and why; nothing if there is none."""
    newest = response_near(chart, (one.day for one in chart.imaging), 0)
    if newest is None or (seen is not None and newest.day <= seen.day):
        return ()
    return (
        f"{newest.response} on {newest.day.isoformat()} is not used: more than {_reach(finding)} days from the samples",
    )


def imaging_near(finding: Finding, chart: Chart) -> Imaging | None:
    """The response that a finding is compared with: the most recent near its samples; of one day, the worse."""
    resting = [result for part in (*finding.parts, finding) for result in (part.latest, *(part.pair or ())) if result]
    return response_near(chart, (result.collected for result in resting if result.collected), _reach(finding))


def is_about_imaging(spec: FactSpec) -> bool:
    """Whether a fact asks about imaging: of a rule about a marker, or of one that combines findings."""
    return spec.kind == "imaging" or isinstance(spec.params, ImagingNear)


def _reach(finding: Finding) -> int:
    """So many days imaging may lie from a sample of the finding."""
    return max((_within(spec) for spec in finding.rule.facts), default=0)


def _within(spec: FactSpec) -> int:
    """So many days imaging may lie from a sample, if the fact is about imaging."""
    if isinstance(spec.params, ImagingNear):
        return spec.params.within
    return int(spec.params[1]) if is_about_imaging(spec) else 0
