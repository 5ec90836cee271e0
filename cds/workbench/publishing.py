"""A rule book is published when nothing stands against it: its files, its tests, its evidence, its reviews."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from cds.errors import Problem
from cds.layers import RuleFiles
from cds.mistakes import Mistake
from cds.reasoning.loading import load_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.releases import Release, ReleaseError, signing_key, write_release
from cds.selfcheck import self_test
from cds.settings import software
from cds.workbench.authoring.lint import lint_book
from cds.workbench.proving.reading import load_tests
from cds.workbench.proving.running import Failure, run

BARRED = frozenset({Mistake.REVIEW_PAST, Mistake.ABOVE_ITS_EVIDENCE, Mistake.RETRACTED_SUPPORT, Mistake.NOT_REVIEWED})
"""Warnings of lint with which nothing is published: a review that is overdue, advice above its evidence, retracted support,

expectations that nobody reviewed.
"""


@dataclass(frozen=True, slots=True)
class Objections:
    """What stands against publishing a rule book."""

    problems: Sequence[Problem]  # of its files, its evidence and its reviews
    failures: Sequence[Failure]  # tests beside its rules that do not hold
    untested: Sequence[str]  # rules without a test
    fault: str = ""  # of the engine's self-test
    unsigned: str = ""  # why nothing can be signed
    resting: Sequence[
        str
    ] = ()  # rules that are retired, or drafts: nothing stands against them, and nobody is asked by them

    def __bool__(self) -> bool:
        return bool(self.problems or self.failures or self.untested or self.fault or self.unsigned)


def objections(
    files: RuleFiles, today: date, step: Callable[[int], None] = lambda _cases: None, key: Path | None = None
) -> Objections:
    """What stands against a rule book, and against the `key` that is to sign it; `step` is called with the number of tests,

    then with 0 after each.
    """
    unsigned = _unsigned(key)
    problems = [one for one in lint_book(files, today) if one.mistake.severity == "error" or one.mistake in BARRED]
    if any(one.mistake.severity == "error" for one in problems):
        return Objections(problems, (), (), unsigned=unsigned)
    book = load_rulebook(files)
    reasoner, tests = Reasoner(book), load_tests(files, load_rulebook(files, drafts=True))
    tests = [test for test in tests if test.rule in {rule.name for rule in book.rules}]
    step(len(tests))
    failures: list[Failure] = []
    for test in tests:
        failures += run([test], reasoner)
        step(0)
    tested = {test.rule for test in tests}
    proved_elsewhere = [rule.name for rule in book.rules if files.site and not files.files[rule.file].own]  # as shipped
    untested = tuple(rule.name for rule in book.rules if rule.name not in {*tested, *proved_elsewhere})
    check = self_test(reasoner)
    return Objections(problems, failures, untested, "" if check.ok else check.detail, unsigned, sorted(book.resting))


def _unsigned(key: Path | None) -> str:
    if key is not None:
        try:
            signing_key(key)
        except ReleaseError as error:
            return str(error)
    return ""


def publish(files: RuleFiles, shelf: Path, key: Path, *, version: str, made: str, by: str, changes: str) -> Release:
    """Sign a rule book to which there is no objection, and put it on the shelf. Raises `ReleaseError`, `RuleBookError`."""
    if not changes.strip():
        raise ReleaseError("say what changes: a board that reads the new version wants to know")
    shelf.mkdir(parents=True, exist_ok=True)
    book = load_rulebook(files)
    return write_release(
        shelf, files, book, key, version=version, made=made, by=by, changes=changes.strip(), software=software()
    )
