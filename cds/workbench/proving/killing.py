"""Which mutants a rule's tests kill, and of each survivor the test to write, or the proof that it says the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from cds.chart.model import Chart
from cds.errors import RuleBookError
from cds.reasoning.findings import Finding
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.rulebook import Rule, RuleBook
from cds.workbench.proving.candidates import Candidates, Case
from cds.workbench.proving.cases import TO_REVIEW, Expectation, RuleTest
from cds.workbench.proving.covering import percent, tests_of
from cds.workbench.proving.equivalence import equivalent
from cds.workbench.proving.mutants import Mutant, book_of, mutants_of, mutants_of_gates
from cds.workbench.proving.reading import read_case
from cds.workbench.proving.running import answer_of, met, reasons_of

_DAY = re.compile(r"-?\d+")
_TRIED = 3_000
"""Synthetic patients among which a difference is looked for."""


class Difference(NamedTuple):
    """A patient of whom original and mutant say different things on a day."""

    rule: str
    case: Case
    day: int
    said: str
    instead: str


@dataclass(frozen=True, slots=True)
class Survivor:
    """A mutant that no test killed: equivalent by proof, or told apart by a patient, or neither was found."""

    mutant: Mutant
    proof: str = ""
    difference: Difference | None = None

    def told(self) -> list[str]:
        """The survivor in lines."""
        if self.proof:
            return [f"  equivalent {self.mutant}: {self.proof}"]
        head = f"  survived   {self.mutant}"
        if self.difference is None:
            return [f"{head}: none of {_TRIED} patients tells it apart; think of one, or of why there is none"]
        other = self.difference.rule != self.mutant.rule
        told = written(self.difference).splitlines()
        return [
            f"{head}: write this test" + (f" of {self.difference.rule}" if other else ""),
            *(f"    {line}" for line in told),
        ]


@dataclass(frozen=True, slots=True)
class Score:
    """What became of the mutants of one rule."""

    target: str
    killed: int
    refused: int
    survivors: tuple[Survivor, ...] = field(repr=False)
    by_kind: dict[str, list[int]] = field(default_factory=dict, repr=False)  # kind → [killed, of]

    @property
    def equivalent(self) -> tuple[Survivor, ...]:
        return tuple(one for one in self.survivors if one.proof)

    @property
    def alive(self) -> tuple[Survivor, ...]:
        return tuple(one for one in self.survivors if not one.proof)

    @property
    def tenths(self) -> int:
        """Tenths of a percent killed of those that are not equivalent, rounded down."""
        of = self.killed + len(self.alive)
        return 1000 * self.killed // of if of else 1000

    def told(self) -> str:
        """The score for a person: a line, then each survivor with the test to write."""
        of = self.killed + len(self.alive)
        lines = [
            f"{self.target}: {self.killed} of {of} mutants killed ({percent(self.tenths)}), {len(self.equivalent)} equivalent,"
            f" {self.refused} refused by the loader"
        ]
        for one in self.survivors:
            lines += one.told()
        return "\n".join(lines)

    def as_data(self) -> dict[str, Any]:
        """The score for a program."""
        return {
            "rule": self.target,
            "killed": self.killed,
            "survived": len(self.alive),
            "equivalent": len(self.equivalent),
            "refused": self.refused,
            "percent": self.tenths / 10,
            "kinds": {kind: {"killed": count[0], "of": count[1]} for kind, count in sorted(self.by_kind.items())},
            "survivors": [
                {
                    "mutant": str(one.mutant),
                    "equivalent": one.proof,
                    "test": written(one.difference) if one.difference else "",
                }
                for one in self.survivors
            ],
        }


class _Asked(NamedTuple):
    chart: Chart
    rule: str
    wanted: Expectation


def mutate(rule: Rule, tests: Iterable[RuleTest], book: RuleBook) -> Score:
    """The score of a rule."""
    mutants, refused = mutants_of(rule, book)
    return scored(rule.name, mutants, refused, tests_of(rule.name, tests, book), book, [rule])


def mutate_gates(tests: Iterable[RuleTest], book: RuleBook) -> Score:
    """The score of what all rules share."""
    mutants, refused = mutants_of_gates(book)
    return scored("gates", mutants, refused, list(tests), book, list(book.rules))


def scored(
    target: str,
    mutants: Sequence[Mutant],
    refused: int,
    tests: Sequence[RuleTest],
    book: RuleBook,
    rules: Sequence[Rule],
) -> Score:
    """What the tests do to these mutants of `rules`, and what is to be said of those that they leave alive."""
    asked = [_Asked(test.chart(day), test.rule, wanted) for test in tests for day, wanted in test.expect.items()]
    by_kind: dict[str, list[int]] = {}
    killed = 0
    left: list[Mutant] = []
    for mutant in mutants:
        dead = _killed(mutant, asked, book)
        count = by_kind.setdefault(mutant.kind, [0, 0])
        count[0] += dead
        count[1] += 1
        killed += dead
        if not dead:
            left.append(mutant)
    survivors = tuple(_explained(left, tests, book, rules))
    return Score(target, killed, refused, survivors, by_kind)


def _killed(mutant: Mutant, asked: list[_Asked], book: RuleBook) -> bool:
    """Whether some expectation does not hold of the mutant; what killed one comes first for the next."""
    reasoner = Reasoner(mutant.book, engine=False)
    answering = {rule.name for rule in mutant.book.rules}
    for place, one in enumerate(asked):
        if one.rule in answering and not met(one.wanted, answer_of(reasoner.evaluate(one.chart), one.rule), book):
            asked.insert(0, asked.pop(place))
            return True
    return False


def written(difference: Difference, name: str = "tells the two apart") -> str:
    """A case of a test file that expects what the original says and fails of the mutant, to be reviewed."""
    lines = [f"{name}:", f"  because: {TO_REVIEW}"]
    for key, value in difference.case.items():
        if key != "asked":
            lines.append(f"  {key}: {_flow(value)}")
    lines.append(f"  expect: {{{difference.day}: {expected(difference.said, difference.instead)}}}")
    return "\n".join(lines)


def expected(said: str, instead: str = "") -> str:
    """The expectation that `said` meets and `instead` does not."""
    words, others = said.split(), instead.split()
    silent = words[:1] == others[:1] and set(words) < set(others)  # only what the other adds tells them apart
    extra = sorted(set(others) - set(words)) if silent else []
    return " ".join((said, *(("not", *extra) if extra else ())))


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        days = sorted(value.items(), key=lambda entry: (0, int(entry[0])) if _DAY.fullmatch(entry[0]) else (1, 0))
        return "{" + ", ".join(f"{key}: {text}" for key, text in days) + "}"
    if isinstance(value, list):
        return value[0] if len(value) == 1 else "[" + ", ".join(value) + "]"
    return str(value)


# survivors -----------------------------------------------------------------------------------------------------------


def _explained(
    left: Sequence[Mutant], tests: Sequence[RuleTest], book: RuleBook, rules: Sequence[Rule]
) -> Iterator[Survivor]:
    pools: dict[str, list[tuple[Case, int, Chart, str]]] = {}
    for mutant in left:
        proof = equivalent(mutant, book)
        if proof:
            yield Survivor(mutant, proof)
            continue
        difference = None
        for rule in rules:
            for name in _speaking(rule, book):
                pool = pools.get(name)
                if pool is None:
                    pool = pools[name] = list(_pool(book.rule(name), tests, book))
                difference = difference or _told_apart(mutant, name, pool)
        yield Survivor(mutant, "", difference)


def _speaking(rule: Rule, book: RuleBook) -> list[str]:
    """The rule, and what combines it: one of them has to show the difference."""
    return [rule.name, *(whole.name for whole in book.rules if rule.name in whole.combines.values())]


def _pool(rule: Rule, tests: Sequence[RuleTest], book: RuleBook) -> Iterator[tuple[Case, int, Chart, str]]:
    """Synthetic patients, days on which they are asked, and what the original says."""
    reasoner = Reasoner(book_of(rule, book), engine=False)
    candidates = Candidates(rule, book, tests)
    for case in islice(candidates, _TRIED):
        days = candidates.asked(case)
        test = parsed(case, rule.name, book, days)
        for day in days if test else ():
            chart = test.chart(day)  # type: ignore[union-attr]  # there is one where there are days
            yield case, day, chart, said(answer_of(reasoner.evaluate(chart), rule.name))


def parsed(case: Case, rule: str, book: RuleBook, days: Sequence[int]) -> RuleTest | None:
    """The case as a test; None if the notation refuses it."""
    stated: dict[str, Any] = {key: value for key, value in case.items() if key != "asked"}
    try:
        return read_case({**stated, "expect": {str(day): "none" for day in days}}, rule, book)
    except RuleBookError:
        return None


def said(finding: Finding | None) -> str:
    """What an expectation would say of a finding, in full."""
    return "none" if finding is None else " ".join((finding.state, *sorted(reasons_of(finding))))


def _told_apart(mutant: Mutant, rule: str, pool: Sequence[tuple[Case, int, Chart, str]]) -> Difference | None:
    reasoner = Reasoner(mutant.book, engine=False)
    found: list[Difference] = []
    for case, day, chart, original in pool:
        instead = said(answer_of(reasoner.evaluate(chart), rule))
        if instead != original:
            found.append(Difference(rule, case, day, original, instead))
            if len(found) == 4:
                break
    return min(found, key=lambda one: len(str(one.case)), default=None)
