"""Every problem of every file of a rule book at once: what the loader refuses, and what loads and is likely not meant.

A single file that is part of no book is looked at as if it were laid over the shipped one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from cds.errors import InputError, Problem, RuleBookError
from cds.intake.interfaces import load_interfaces, mistakes
from cds.layers import OVERLAY, RuleFile, RuleFiles, rule_files, shipped_rules
from cds.mistakes import Mistake
from cds.reasoning.loading import read_rulebook
from cds.reasoning.rulebook import RuleBook
from cds.source import read_yaml
from cds.workbench.authoring.book_checks import check_book, check_files
from cds.workbench.authoring.rule_checks import check_rule
from cds.workbench.authoring.written import written_rules
from cds.workbench.labtests import load_lab_tests
from cds.workbench.proving.cases import TO_REVIEW, RuleTest
from cds.workbench.proving.reading import read_tests

_PLACES = (
    ("rule", "resistance"), ("marker", "markers"), ("gate", "gates"), ("therapy", "therapies"), ("intents", "therapies"),
    ("events", "events"), ("laboratory", "labs"), ("studies", "evidence"), ("items", "evidence"),
)  # fmt: skip
"""Keys by which a file is known, and the folder in which it belongs."""


def lint(places: Sequence[Path], today: date) -> list[Problem]:
    """Problems of folders and files, sorted by place. Raises `InputError` for what is not there."""
    found: list[Problem] = []
    loose: dict[str, Path] = {}
    for place in places:
        if place.is_dir():
            found += lint_book(place, today)
        elif not place.is_file():
            raise InputError(f"{place}: no such file or folder")
        elif (root := _book_of(place)) is not None:
            book = rule_files(root)
            found += [one for one in lint_book(book, today) if Path(one.file).resolve() == place.resolve()]
        else:
            loose[name_in_a_book(place)] = place
    if loose:
        book = rule_files(shipped_rules()).with_files(loose)
        found += [one for one in lint_book(book, today) if Path(one.file) in loose.values()]
    return sorted(dict.fromkeys(found), key=lambda one: (one.file, one.line, one.column, one.mistake.code))


def lint_book(rules: Path | RuleFiles, today: date) -> list[Problem]:
    """All problems of one rule book, each with the path of its file."""
    files = rule_files(rules)
    problems: list[Problem] = []
    try:
        book = read_rulebook(files, problems, drafts=True)
    except RuleBookError as error:
        return list(error.problems)
    tests = read_tests(files, book, problems)
    problems += _not_reviewed(files, tests)
    problems += _laboratories(files, book)
    for written in written_rules(files, book, tests, problems):
        check_rule(written, book, today)
    if not any(problem.mistake.severity == "error" for problem in problems):
        check_book(files, book, problems)
    check_files(files, problems)
    paths = {file.shown: str(file.path) for file in _every(files.files.values())}
    return [replace(problem, file=paths.get(problem.file, problem.file)) for problem in dict.fromkeys(problems)]


def _every(files: Iterable[RuleFile]) -> list[RuleFile]:
    return [one for file in files for one in (file, file.over) if one is not None]


def _not_reviewed(files: RuleFiles, tests: Iterable[RuleTest]) -> Iterator[Problem]:
    """Cases that expect what the rule was computed to say: they hold whatever it says. One problem for each file."""
    found: dict[str, list[RuleTest]] = {}
    for test in tests:
        if test.because == TO_REVIEW:
            found.setdefault(test.file, []).append(test)
    for file, several in found.items():
        lines = ", ".join(str(line) for line in sorted({test.line for test in several}))
        which = f"'{several[0].name}' expects" if len(several) == 1 else f"{len(several)} cases expect (lines {lines})"
        yield Problem(
            files.files[file].shown, min(test.line for test in several), 1,
            f"nobody has reviewed what {which}: it was computed from the rule",
            "see whether the rule should say that, and write the reason in the place of 'because'", Mistake.NOT_REVIEWED,
        )  # fmt: skip


def _laboratories(files: RuleFiles, book: RuleBook) -> Collection[Problem]:
    """What is wrong with how laboratories deliver, and with the tests of that."""
    found = mistakes(files)
    if found:
        return found
    try:
        load_lab_tests(files, load_interfaces(files, book.catalogue.declarations))
    except RuleBookError as error:
        return error.problems
    return ()


def _book_of(file: Path) -> Path | None:
    """The rule book in whose folder a file stands, if it is read there."""
    root = file.resolve().parent.parent
    if any((root / name).is_file() for name in ("states.yaml", OVERLAY)):
        name = f"{file.resolve().parent.name}/{file.name}"
        return root if name in rule_files(root).files else None
    return None


def name_in_a_book(file: Path) -> str:
    """Where a file that is part of no book would stand in one: by the key that says what it is."""
    section = read_yaml(file, [])
    keys = section.value if section is not None else {}
    if "states" in keys:
        return "states.yaml"
    folder = next((folder for key, folder in _PLACES if key in keys), "resistance")
    name = file.name
    if "cases" in keys and not name.endswith(".test.yaml"):
        name = f"{file.stem}.test.yaml"
    if folder == "evidence" and not name.startswith(("studies-", "inventory-")):
        name = f"{'studies' if 'studies' in keys else 'inventory'}-{name}"
    return f"{folder}/{name}"
