"""Running rule tests, and saying why an expectation does not hold: which clause held, and what kept the expected one away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch

from cds.reasoning.findings import Evaluation, Finding
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.rulebook import Clause, RuleBook
from cds.workbench.proving.cases import QUIET, Expectation, RuleTest
from cds.workbench.proving.timeline import drawn


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation that did not hold. `trace` says in a line or two why."""

    test: RuleTest
    day: int
    wanted: str
    got: str
    trace: tuple[str, ...]
    evaluation: Evaluation

    def __str__(self) -> str:
        head = f"{self.test.file}:{self.test.line}: {self.test.name}\n  day {self.day}: expected {self.wanted}, got {self.got}"
        because = [f"because: {self.test.because}"] if self.test.because else []
        return "\n".join((head, *(f"  {line}" for line in (*because, *self.trace))))

    def timeline(self) -> list[str]:
        """The case drawn as it was known on the day, in plain text of at most 100 columns."""
        return drawn(self.day, self.evaluation, answer_of(self.evaluation, self.test.rule))


def run(tests: Iterable[RuleTest], reasoner: Reasoner) -> list[Failure]:
    """The expectations that do not hold."""
    return [failure for test in tests for failure in failures_of(test, reasoner)]


def failures_of(test: RuleTest, reasoner: Reasoner) -> Iterator[Failure]:
    """What does not hold of one case, day by day."""
    for day, wanted in sorted(test.expect.items()):
        evaluation = reasoner.evaluate(test.chart(day))
        finding = answer_of(evaluation, test.rule)
        if not met(wanted, finding, reasoner.rulebook):
            got = "none" if finding is None else " ".join((finding.state, *sorted(reasons_of(finding))))
            trace = tuple(_trace(wanted, finding, reasoner.rulebook))
            yield Failure(test, day, str(wanted), got, trace, evaluation)


def chosen(tests: Iterable[RuleTest], pattern: str) -> list[RuleTest]:
    """The cases whose file, rule or name holds `pattern` (which may have wildcards)."""
    wanted = f"*{pattern}*" if pattern else "*"
    return [test for test in tests if any(fnmatch(text, wanted) for text in (test.name, test.rule, test.file))]


def answer_of(evaluation: Evaluation, rule: str) -> Finding | None:
    """The rule's own answer, also of one that only a combining rule hands on."""
    parts = (part for finding in evaluation.answers.values() for part in finding.parts if part.rule.name == rule)
    return evaluation.answers.get(rule) or next(parts, None)


def reasons_of(finding: Finding) -> set[str]:
    """What an expectation may name: clauses that hold, notes, the certainty, `open=CLAUSE` for what only an unknown holds back."""
    reasons = {
        *(clause.key for clause in finding.holding),
        *finding.notes,
        *(f"open={held.clause}" for held in finding.cannot_exclude),
    }
    return reasons | {finding.certainty} if finding.certainty else reasons


def met(wanted: Expectation, finding: Finding | None, rulebook: RuleBook) -> bool:
    """Whether a finding is what was expected."""
    if wanted.state == QUIET:
        return finding is None or _is_quiet(finding.state, rulebook)
    if finding is None:
        return wanted.state == "none" and not wanted.reasons
    if finding.state != wanted.state:
        return False
    reasons = reasons_of(finding)
    return reasons.issuperset(wanted.reasons) and reasons.isdisjoint(wanted.absent)


def _is_quiet(state: str, rulebook: RuleBook) -> bool:
    return not rulebook.states[rulebook.rank(state)].indicator


# why it was not met --------------------------------------------------------------------------------------------------


def _trace(wanted: Expectation, finding: Finding | None, rulebook: RuleBook) -> Iterator[str]:
    if finding is None:
        yield "the rule gave no answer: its marker has no result by this day"
        return
    if finding.holding:
        yield "held: " + "; ".join(f"{clause.key} ({_why(clause)})" for clause in finding.holding)
    else:
        yield "no clause held; unknown: " + (", ".join(finding.missing) or "nothing, the rule has a gap")
    held = {clause.key for clause in finding.holding}
    for clause in finding.rule.clauses:
        named = clause.key in wanted.reasons or clause.note in wanted.reasons
        if clause.key in held or not (named or (clause.state == wanted.state and not clause.gate)):
            continue
        kept = _kept(clause, finding)
        if kept:
            yield f"{clause.key} was kept away: " + ", ".join(kept)
        elif clause.state and rulebook.rank(finding.state) < rulebook.rank(clause.state):
            yield f"{clause.key} holds too, but {finding.state} comes before {clause.state}"
    for word in sorted(reasons_of(finding) & set(wanted.absent)):
        yield f"{word} is among the reasons and was to be absent"
    if wanted.state == QUIET:
        yield f"{finding.state} shows a card; quiet are states without one"


def _why(clause: Clause) -> str:
    return ", ".join([*map(str, clause.all), *(f"unless {literal}" for literal in clause.unless)])


def _kept(clause: Clause, finding: Finding) -> list[str]:
    kept = []
    for literal in (*clause.asked, *clause.all):
        if literal.fact not in finding.facts:
            kept.append(f"{literal.fact} was not asked")
        elif finding.facts[literal.fact] is not literal.wanted:
            kept.append(f"{literal.fact} is {_word(finding.facts[literal.fact])}")
    for literal in clause.unless:
        if literal.fact in finding.facts and finding.facts[literal.fact] is literal.wanted:
            kept.append(f"unless {literal}: {literal.fact} is {_word(finding.facts[literal.fact])}")
    return kept


def _word(value: bool | None) -> str:
    return {True: "true", False: "false", None: "unknown"}[value]
