"""On whom a rule is tried: the cases of its own tests, and patients of a cohort that is always the same."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

import msgspec

from cds.chart import Record
from cds.chart.model import Chart, Result
from cds.errors import Problem, RuleBookError
from cds.layers import RuleFiles
from cds.reasoning.rulebook import Rule, RuleBook
from cds.source import raise_if_any
from cds.workbench.bench.as_test import as_test
from cds.workbench.bench.points import Move, Moves, Point, moved, points
from cds.workbench.proving.cases import DAY_0, RuleTest, Stated, date_of
from cds.workbench.proving.reading import read_tests
from cds.workbench.synth.cohort import make_person
from cds.workbench.trials.cohorts import Synthetic, Truth
from cds.workbench.trials.lives import visits

COHORT = Synthetic(2026, 300)
"""The patients on whom another limit is tried: few enough to be asked while somebody waits."""
_OFFERED, _SEARCHED = 12, 90
_SYNTHETIC = re.compile(r"synthetic (\d{1,3})")


@dataclass(frozen=True, slots=True)
class Choice:
    """Somebody on whom a rule can be tried: the key in an address, and where they come from."""

    key: str
    group: str  # the file of tests; "" for the cohort
    number: int = 0  # in the cohort
    course: str = ""  # of the cohort: what truly happens to the marker


@dataclass(frozen=True)
class Patient:
    """Somebody who was made up. `days` are those on which there is something to ask, counted like all days from `start`."""

    choice: Choice
    because: str
    start: date
    points: tuple[Point, ...]
    days: tuple[int, ...]
    expected: Mapping[int, str]  # what the test expects, by day
    _chart: Callable[[int, Mapping[str, Move]], Chart]
    _written: Callable[[Mapping[str, Move], Mapping[int, str]], str] = lambda _moves, _expect: ""

    def chart(self, day: int, moves: Moves) -> Chart:
        """The patient as of a day, with what was moved."""
        return self._chart(day, self._by_result(moves))

    def written(self, moves: Moves, expect: Mapping[int, str]) -> str:
        """The case with what was moved as a file of tests would say it; "" for who comes from no such file."""
        return self._written(self._by_result(moves), expect)

    def _by_result(self, moves: Moves) -> dict[str, Move]:
        return {point.ref: moves[point.key] for point in self.points if point.key in moves}

    @cached_property
    def by_key(self) -> Mapping[str, Point]:
        """The points by their keys."""
        return {point.key: point for point in self.points}


class Patients:
    """Those of one rule book; safe to share between threads."""

    def __init__(self, book: RuleBook, files: RuleFiles):
        self._book, self._files = book, files
        self._known: dict[str, tuple[Mapping[str, RuleTest], tuple[Choice, ...]]] = {}
        self._lock = threading.Lock()

    def choices(self, rule: Rule) -> tuple[Choice, ...]:
        """On whom the rule can be tried, its own cases first. Raises `RuleBookError` if its tests cannot be read."""
        return self._of(rule)[1]

    def patient(self, rule: Rule, key: str) -> Patient:
        """The patient whom a key names. Raises `KeyError` if there is none, `RuleBookError` if the tests cannot be read."""
        tests, choices = self._of(rule)
        choice = next((one for one in choices if one.key == key), None)
        if choice is not None and choice.group:
            return self._case(rule, choice, tests[key])
        found = _SYNTHETIC.fullmatch(key)
        if found is None or int(found[1]) >= len(COHORT):
            raise KeyError(key)
        return self._synthetic(rule, int(found[1]))

    def markers(self, rule: Rule) -> tuple[str, ...]:
        """What the rule watches, by itself or by those that it combines."""
        return (
            (rule.watches,) if rule.watches else tuple(self._book.rule(one).watches for one in rule.combines.values())
        )

    def _of(self, rule: Rule) -> tuple[Mapping[str, RuleTest], tuple[Choice, ...]]:
        with self._lock:
            if rule.name not in self._known:
                tests = self._tests(rule)
                cases = [Choice(key, test.file) for key, test in tests.items()]
                cases.sort(key=lambda one: one.group.count("."))  # NAME.test.yaml goes before NAME.more.test.yaml
                self._known[rule.name] = tests, (*cases, *self._offered(rule))
            return self._known[rule.name]

    def _tests(self, rule: Rule) -> dict[str, RuleTest]:
        """The cases beside a rule, by name; a name that comes again is numbered."""
        begins = f"resistance/{rule.name}."
        own = {name: file for name, file in self._files.files.items() if name.startswith(begins)}
        problems: list[Problem] = []
        found: dict[str, RuleTest] = {}
        for test in read_tests(replace(self._files, files=own), self._book, problems):
            again = sum(known == test.name or known.startswith(f"{test.name} (") for known in found)
            found[f"{test.name} ({again + 1})" if again else test.name] = test
        raise_if_any(problems)
        return found

    def _offered(self, rule: Rule) -> list[Choice]:
        """The first of the cohort for whom the rule is meant."""
        meant = {rule.name, *(one.name for one in self._book.rules if rule.name in one.combines.values())}
        found: list[Choice] = []
        for number in range(_SEARCHED):
            truth = make_person(COHORT.seed, number)[1]
            if truth["rule"] in meant and len(found) < _OFFERED:
                found.append(_chosen(number, truth))
        return found

    def _case(self, rule: Rule, choice: Choice, test: RuleTest) -> Patient:
        watched = self.markers(rule)
        own = [stated for stated in test.results if stated.result.marker in watched]
        known = {stated.known for stated in own if stated.known > -(10**5)}
        gone = {stated.until for stated in own if stated.until is not None}
        drawn = {(one.result.collected - DAY_0).days for one in own if one.result.collected is not None}
        days = sorted({*test.expect, *known, *gone, *drawn})
        expected = {day: str(wanted) for day, wanted in test.expect.items()}

        def chart(day: int, moves: Mapping[str, Move]) -> Chart:
            results = [
                Stated(result, one.known, one.until)
                for one in test.results
                for result in moved([one.result], moves, counted=False, catalogue=self._book.catalogue)
            ]
            return replace(test, results=results).chart(day)

        shown = points((one.result for one in own), DAY_0, self._book.catalogue)
        name = f"{test.name}, moved"
        return Patient(
            choice, test.because, date_of(0), shown, tuple(days), expected, chart,
            lambda moves, expect: as_test(test, name, watched, moves, expect),
        )  # fmt: skip

    def _synthetic(self, rule: Rule, number: int) -> Patient:
        record, truth = COHORT.patient(number, self._book.catalogue)
        start = date.fromisoformat(str(truth["line_start"]))
        watched = self.markers(rule)
        catalogue = self._book.catalogue

        def chart(day: int, moves: Mapping[str, Move]) -> Chart:
            found = record.as_of(date.fromordinal(start.toordinal() + day))
            results = {
                marker: tuple(moved(those, moves, counted=True, catalogue=catalogue))
                for marker, those in found.results.items()
            }
            return msgspec.structs.replace(found, results={marker: those for marker, those in results.items() if those})

        shown = points(_results(record, watched), start, catalogue)
        days = [(day - start).days for day in visits(record)]
        return Patient(_chosen(number, truth), "", start, shown, tuple(days), {}, chart)


def _results(record: Record, markers: tuple[str, ...]) -> list[Result]:
    """Every result that counted on some day, as it was known last."""
    found: dict[str, Result] = {}
    for day in visits(record):
        for marker in markers:
            found |= {one.ref: one for one in record.as_of(day).results.get(marker, ())}
    return list(found.values())


def _chosen(number: int, truth: Truth) -> Choice:
    return Choice(f"synthetic {number}", "", number, str(truth["course"]).replace("-", " "))


__all__ = ["COHORT", "Choice", "Patient", "Patients", "RuleBookError"]
