"""What other limits of a rule would do: to its tests, and to a cohort that is always the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from cds.errors import Problem
from cds.layers import RuleFiles
from cds.reasoning.loading import load_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.rulebook import Rule, RuleBook
from cds.source import raise_if_any
from cds.workbench.bench.changing import FilesChanged, with_text
from cds.workbench.bench.patients import COHORT
from cds.workbench.proving.cases import RuleTest
from cds.workbench.proving.reading import read_tests
from cds.workbench.proving.running import run
from cds.workbench.trials.backtest import Backtest, Figures, backtest
from cds.workbench.trials.cohorts import Truth
from cds.workbench.trials.comparison import Flip, RuleFlips, compared
from cds.workbench.trials.lives import Life, lived


@dataclass(frozen=True, slots=True)
class Fails:
    """One expectation of a test that does not hold with the other limits; `before`: nor with those in use."""

    rule: str
    case: str
    file: str
    line: int
    day: int
    wanted: str
    got: str
    why: tuple[str, ...]
    before: bool


@dataclass(frozen=True, slots=True)
class Turned:
    """A patient of the cohort of whom the rule says something else: number, and the first day of the line on which it does."""

    number: int
    day: int
    course: str  # what truly happens to the marker
    has: bool  # the condition that the rule is to find


@dataclass(frozen=True, slots=True)
class Counted:
    """How many patients of the cohort ever had a state, before and after, and on how many visits it stood."""

    state: str
    patients: tuple[int, int]
    visits: tuple[int, int]
    flag: bool  # a state that warns


@dataclass(frozen=True, slots=True)
class Effects:
    """What the limits would do to one rule, or to one that combines it."""

    rule: str
    flips: tuple[tuple[str, str, tuple[Turned, ...]], ...]  # from which state to which, who
    counts: tuple[Counted, ...]
    figures: tuple[Figures | None, Figures | None]  # before, after; None where nobody was judged
    unheard: str = ""  # that the rule was asked of nobody, or could judge nobody: then no change shows nothing

    @property
    def turned(self) -> int:
        """Of how many patients the rule says something else on some visit."""
        return len({one.number for _, _, who in self.flips for one in who})


@dataclass(frozen=True, slots=True)
class Trial:
    """All that was found. `lives` are of the cohort under the limits in use, to be handed in at the next trial."""

    cases: int
    fails: tuple[Fails, ...]
    cohort: int
    effects: tuple[Effects, ...]
    lives: tuple[Life, ...]

    @property
    def visits(self) -> float:
        """On how many days something became known of a patient of the cohort, on average."""
        return sum(len(life.days) for life in self.lives) / len(self.lives) if self.lives else 0.0


def trial(files: RuleFiles, hash_: str, name: str, text: str, lives: Sequence[Life]) -> Trial:
    """Ask the tests and the cohort of a rule whose file would say `text`. `hash_` is that of the rule book in use.

    `lives` are of the cohort under the limits in use, if they are known. Raises `FilesChanged`, `RuleBookError`.
    """
    book = load_rulebook(files)
    if book.hash != hash_:
        raise FilesChanged(str(files.root))
    other = with_text(files, book.rule(name), text, book)
    asked = (book.rule(name), *(rule for rule in book.rules if name in rule.combines.values()))
    names = [rule.name for rule in asked]
    before, after = Reasoner(book), Reasoner(other)
    tests = _tests(files, book, asked)
    failed = {(one.test.rule, one.test.name, one.test.line, one.day) for one in run(tests, before)}
    fails = tuple(
        Fails(
            one.test.rule, one.test.name, one.test.file, one.test.line, one.day, one.wanted, one.got, one.trace,
            (one.test.rule, one.test.name, one.test.line, one.day) in failed,
        )
        for one in run(tests, after)
    )  # fmt: skip
    was = tuple(lives) or tuple(_lives(before))
    now = tuple(_lives(after))
    truths = {str(life.truth["patient"]): life.truth for life in was}
    flags = [state.name for state in book.states if state.indicator == "warning"]
    flips = {one.rule: one for one in compared(zip(was, now, strict=True), flags).rules if one.rule in names}
    first, then = backtest(was, book, COHORT.name), backtest(now, other, COHORT.name)
    effects = tuple(
        Effects(
            rule.name, _kinds(flips.get(rule.name), truths), _counts(rule.name, was, now, book),
            (_figures(rule.name, first), _figures(rule.name, then)),
            next((one for one in first.unheard if one.startswith(f"{rule.name}: ")), ""),
        )
        for rule in asked
        if not rule.part
    )  # fmt: skip
    return Trial(len(tests), fails, len(COHORT), effects, was)


def _tests(files: RuleFiles, book: RuleBook, rules: Sequence[Rule]) -> list[RuleTest]:
    """The cases beside these rules."""
    begins = tuple(f"resistance/{rule.name}." for rule in rules)
    problems: list[Problem] = []
    own = {name: file for name, file in files.files.items() if name.startswith(begins)}
    found = read_tests(replace(files, files=own), book, problems)
    raise_if_any(problems)
    return found


def _lives(reasoner: Reasoner) -> Sequence[Life]:
    made = (COHORT.patient(item, reasoner.rulebook.catalogue) for item in COHORT.items())
    return [lived(reasoner, record, truth) for record, truth in made]


def _kinds(found: RuleFlips | None, truths: Mapping[str, Truth]) -> tuple[tuple[str, str, tuple[Turned, ...]], ...]:
    if found is None:
        return ()
    return tuple((was, now, tuple(_turned(one, truths[one.patient]) for one in who)) for was, now, who in found.kinds())


def _turned(flip: Flip, truth: Truth) -> Turned:
    start = date.fromisoformat(str(truth["line_start"]))
    return Turned(int(truth["index"]), (flip.day - start).days, str(truth["course"]).replace("-", " "), flip.has)


def _counts(rule: str, was: Sequence[Life], now: Sequence[Life], book: RuleBook) -> tuple[Counted, ...]:
    counts = [_ever(rule, lives) for lives in (was, now)]
    return tuple(
        Counted(
            state.name,
            (counts[0].get(state.name, (0, 0))[0], counts[1].get(state.name, (0, 0))[0]),
            (counts[0].get(state.name, (0, 0))[1], counts[1].get(state.name, (0, 0))[1]),
            state.indicator == "warning",
        )
        for state in book.states
        if any(state.name in one for one in counts)
    )


def _ever(rule: str, lives: Sequence[Life]) -> Mapping[str, tuple[int, int]]:
    """By state, how many patients ever had it, and on how many visits."""
    found: dict[str, tuple[int, int]] = {}
    for life in lives:
        states = [state for state in life.states.get(rule, ()) if state]
        for state in dict.fromkeys(states):
            patients, visits = found.get(state, (0, 0))
            found[state] = patients + 1, visits + states.count(state)
    return found


def _figures(rule: str, counted: Backtest) -> Figures | None:
    return next((group.figures for group in counted.groups if (group.by, group.name) == ("rule", rule)), None)
