"""The boundaries of a rule that no test tells from their neighbours, and a case for each, to be reviewed.

A boundary is tested if moving it by a step either way is noticed: then there are tests at it, just under and just over.
Beside the boundaries stand situations that every rule meets: a missing reference, a stale, repeated, late or unreadable result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cds.reasoning.change import Change
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.rulebook import Rule, RuleBook
from cds.workbench.proving.candidates import Candidates, Case
from cds.workbench.proving.cases import RuleTest
from cds.workbench.proving.covering import tests_of
from cds.workbench.proving.killing import Difference, Survivor, parsed, said, scored, written
from cds.workbench.proving.mutants import Mutant, book_of, mutants_of
from cds.workbench.proving.reading import read_case
from cds.workbench.proving.running import answer_of

_ROUNDS = 3
_KINDS = ("threshold", "comparator", "window", "marker")


class Missing(NamedTuple):
    """A boundary or situation without a test. `text` is a case to review; "" where none was found."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Boundaries:
    """The boundaries of a rule, by whether its tests hold them."""

    rule: str
    tested: tuple[str, ...]
    missing: tuple[Missing, ...]

    def file(self) -> str:
        """A test file with the missing cases."""
        lines = [
            "# Written by `exowatch rules boundaries`: what the rule says today. Review each case, and say why under 'because'.",
            f"rule: {self.rule}",
            "cases:",
        ]
        for one in self.missing:
            lines += [f"  {line}" for line in one.text.splitlines()]
        return "\n".join(lines) + "\n"


def boundaries(rule: Rule, tests: Sequence[RuleTest], book: RuleBook) -> Boundaries:
    """What of the rule's thresholds, windows and usual situations is tested, and a case for what is not."""
    own = tests_of(rule.name, tests, book)
    mutants = [one for one in mutants_of(rule, book)[0] if one.kind in _KINDS and _is_step(one)]
    alive = {one.mutant.what: one for one in scored(rule.name, mutants, 0, own, book, [rule]).alive}
    for _ in range(_ROUNDS):
        # Cases that were found are where the next ones are looked for.
        lost = [one.mutant for one in alive.values() if one.difference is None]
        found = [_as_test(one.difference, book) for one in alive.values() if one.difference is not None]
        if not lost or not found:
            break
        again = scored(rule.name, lost, 0, [*own, *found], book, [rule])
        alive |= {one.mutant.what: one for one in again.alive}
        for mutant in set(map(str, lost)) - {str(one.mutant) for one in again.alive}:
            alive = {what: one for what, one in alive.items() if str(one.mutant) != mutant}
    edges = dict.fromkeys(_edge(mutant) for mutant in mutants)
    lacking: list[Missing] = []
    for what, survivor in alive.items():
        lacking.append(Missing(what, _case(survivor, what)))
        edges.pop(_edge(survivor.mutant), None)
    tested = list(edges)
    for name, there, change in _situations(rule):
        if any(there(test) for test in own):
            tested.append(name)
        else:
            lacking.append(Missing(name, _situation(rule, book, own, name, change)))
    return Boundaries(rule.name, tuple(tested), tuple(lacking))


def _as_test(difference: Difference, book: RuleBook) -> RuleTest:
    stated = {key: value for key, value in difference.case.items() if key != "asked"}
    return read_case({**stated, "expect": {str(difference.day): difference.said}}, difference.rule, book)


def _is_step(mutant: Mutant) -> bool:
    """Whether it moves a boundary by a step, rather than taking it away or exchanging it."""
    return "dropped" not in mutant.what and any(char.isdigit() for char in mutant.what.rpartition(" → ")[2])


def _edge(mutant: Mutant) -> str:
    return mutant.what.rpartition(" → ")[0].removesuffix(" more than").replace(": at least ", ": floor ")


def _case(survivor: Survivor, what: str) -> str:
    if survivor.difference is None:
        return ""
    edge, _, moved = what.rpartition(" → ")
    return written(survivor.difference, f"{edge.replace(':', '')}, not {moved}")


# situations ----------------------------------------------------------------------------------------------------------

_Situation = tuple[str, Callable[[RuleTest], bool], Callable[[Case, str, list[int]], None]]


def _situations(rule: Rule) -> Iterator[_Situation]:
    """Name, whether a case holds it, and what makes it of a plain case (its marker, its days)."""
    if rule.combines:
        return
    marker = rule.watches

    def in_values(word: str) -> Callable[[RuleTest], bool]:
        return lambda test: any(word in str(value) for value in _values(test, marker))

    def alter(rest: str) -> Callable[[Case, str, list[int]], None]:
        def change(case: Case, marker: str, days: list[int]) -> None:
            case[marker][str(days[-1])] = f"{case[marker][str(days[-1])].split()[0]} {rest}"

        return change

    if rule.reference != "none":
        yield "no reference", lambda test: len(_values(test, marker)) == 1, _only_last
        yield "the latest result is unreadable", in_values("fault="), alter("fault=unreadable-value")
        yield (
            "the latest result is in a unit that does not convert",
            in_values("unit-not-convertible"),
            alter("fault=unit-not-convertible"),
        )
    yield "a result without a unit", in_values("no-unit"), alter("fault=no-unit")
    yield "one result under two numbers", in_values("|"), _repeated
    yield "an earlier result that becomes known later", in_values("known="), _late
    if rule.stale_after:
        yield (
            "a stale result",
            lambda test: any("stale" in one.reasons for one in test.expect.values()),
            _stale(rule.stale_after),
        )
    if any(isinstance(spec.params, Change) and spec.params.per_ev for spec in rule.facts):
        yield "total vesicles are not counted", in_values("ev=none"), alter("ev=none")


def _values(test: RuleTest, marker: str) -> list[Any]:
    stated = test.stated.get(marker, {})
    return list(stated.values()) if isinstance(stated, dict) else [stated]


def _only_last(case: Case, marker: str, days: list[int]) -> None:
    case[marker] = {str(days[-1]): case[marker][str(days[-1])]}


def _repeated(case: Case, marker: str, days: list[int]) -> None:
    value = case[marker][str(days[-1])]
    case[marker] = {str(days[0]): case[marker][str(days[0])], str(days[-1]): f"{value} | {value}"}


def _late(case: Case, marker: str, days: list[int]) -> None:
    case[marker][str(days[-2])] += f" known={days[-1]}"


def _stale(days_after: int) -> Callable[[Case, str, list[int]], None]:
    def change(case: Case, _marker: str, days: list[int]) -> None:
        case["asked"] = str(days[-1] + days_after + 1)

    return change


def _situation(
    rule: Rule, book: RuleBook, tests: Sequence[RuleTest], name: str, change: Callable[[Case, str, list[int]], None]
) -> str:
    """A case of the situation, with what the rule says of it."""
    case = Candidates(rule, book, tests).plain_rise()
    days = sorted(int(day) for day in case[rule.watches])
    change(case, rule.watches, days)
    asked = int(case.get("asked", days[-1]))
    test = parsed(case, rule.name, book, [asked])
    if test is None:
        return ""
    reasoner = Reasoner(book_of(rule, book), engine=False)
    answer = said(answer_of(reasoner.evaluate(test.chart(asked)), rule.name))
    return written(Difference(rule.name, case, asked, answer, answer), name)
