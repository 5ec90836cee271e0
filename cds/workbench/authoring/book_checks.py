"""What loads and is likely not meant: checks of a rule book as a whole."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from cds.errors import Problem
from cds.layers import FOLDERS, OVERLAY, RuleFiles
from cds.mistakes import Mistake
from cds.reasoning.rulebook import RuleBook
from cds.source import Section
from cds.workbench.authoring.ucum import no_unit, what_to_write


def check_book(files: RuleFiles, book: RuleBook, problems: list[Problem]) -> None:
    """Note what no single file shows; for a book that loads."""
    _markers(files, book, problems)
    _retracted(files, book, problems)
    _own_words(files, book, problems)


def check_files(files: RuleFiles, problems: list[Problem]) -> None:
    """Note files that nothing reads, and what an upgrade changed under an overlay; for any book."""
    for path, meant in _unread(files.root):
        problems.append(Problem(str(path), 1, 1, "nothing reads this file", meant, Mistake.READ_BY_NOBODY))
    mistaken = {problem.file for problem in problems}
    for name, made_for in files.outdated().items():
        over = files.files[name].over
        if over is not None and over.shown in mistaken:
            continue
        said = (
            f"the shipped {name} says something else where this speaks too than when it was written"
            if made_for
            else f"nobody has said against which version of the shipped {name} this was written"
        )
        problems.append(
            Problem(
                over.shown if over is not None else name, 1, 1, said,
                f"compare the two, then: exowatch rules overlay {files.root} --accept", Mistake.SHIPPED_CHANGED,
            )
        )  # fmt: skip


def _markers(files: RuleFiles, book: RuleBook, problems: list[Problem]) -> None:
    watched = {rule.watches for rule in book.rules}
    limitations = book.wording.get("cards", {}).get("limitations", {})
    for file in files.of("markers"):
        section = file.read(problems)
        marker = book.catalogue.markers.get(section.text("marker")) if section is not None else None
        if section is None or marker is None or marker.must_not_use:
            continue
        _measured(section)
        if marker.name not in watched:
            section.problem(
                f"no rule reads '{marker.name}'", "add a rule that watches it: exowatch rules new", "marker",
                Mistake.UNREAD_MARKER,
            )  # fmt: skip
        elif marker.name not in limitations:
            section.problem(
                f"cards say nothing of the limitations of '{marker.name}'",
                f"add '{marker.name}: […]' under 'limitations:' in wording/cards.yaml",
                "marker",
                Mistake.NO_LIMITATIONS,
            )


def _measured(section: Section) -> None:
    """Coefficients of variation and units that load and can hardly be meant."""
    cv, units = section.section("cv"), section.section("units")
    for key in ("analytical", "within_person"):
        if cv.percent(key) > 1:
            section.problem(
                f"'{key}: {cv.text(key)}': with a coefficient of variation above 100 % a value says nothing", "likely a slip: write 18 % for 0.18",
                ("cv", key), Mistake.VARIATION_ABOVE_ALL,
            )  # fmt: skip
    for family in units.value:
        for unit in units.section(family).section("accepts").value:
            part = no_unit(str(unit))
            if part:
                section.problem(
                    f"'{part}' in '{unit}' is no unit of UCUM that laboratories use here", what_to_write(part),
                    ("units", family, "accepts", str(unit)), Mistake.NO_UCUM,
                )  # fmt: skip


def _retracted(files: RuleFiles, book: RuleBook, problems: list[Problem]) -> None:
    retracted = {key for key, study in book.evidence.studies.items() if study.retracted}
    for file in files.of("resistance"):
        section = file.read(problems)
        for number, key in enumerate(section.texts("evidence") if section is not None else ()):
            if section is not None and key in retracted:
                section.problem(
                    f"'{key}' is retracted: the rule is withheld and says nothing",
                    "rest it on another study, or write 'status: retired'",
                    ("evidence", number),
                    Mistake.RETRACTED_SUPPORT,
                )


def _own_words(files: RuleFiles, book: RuleBook, problems: list[Problem]) -> None:
    """Words that a site wrote and nothing says; the shipped ones are a stock to choose from."""
    notes = {clause.note for rule in book.rules for clause in rule.clauses}
    said = {
        "notes": notes,
        "by_note": notes,
        "options": {option for rule in book.rules for options in rule.advise.values() for option in options},
        "by_rule": {rule.name for rule in book.rules},
        "limitations": set(book.catalogue.markers),
        "facts": {spec.name for rule in book.rules for spec in rule.facts},
    }
    for file in files.of("wording"):
        if file.over is None:
            continue
        whole = file.read(problems)
        shipped = files.shipped(file.name, problems)
        if whole is None or shipped is None:
            continue
        for kind, used in said.items():
            for key in whole.section(kind).value:
                if key not in shipped.section(kind).value and key not in used:
                    whole.problem(
                        f"nothing says '{key}'", "use it in a rule, or take it away", (kind, key), Mistake.UNUSED_WORDS
                    )


def _unread(root: Path) -> Iterator[tuple[Path, str]]:
    """Files that look as if they were of a rule book, and where they would be read."""
    for folder in sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else ():
        if folder.name in FOLDERS:
            for path in sorted(folder.rglob("*.y*ml")):
                if path.suffix != ".yaml":
                    yield path, "call it NAME.yaml"
                elif path.parent != folder:
                    yield path, f"put it in {folder.name}/ itself"
        elif close := difflib.get_close_matches(folder.name, FOLDERS, n=1):
            yield from ((path, f"did you mean the folder {close[0]}/?") for path in sorted(folder.glob("*.y*ml")))
    for path in sorted(root.glob("*.y*ml")):
        if path.name not in ("states.yaml", OVERLAY):
            yield path, f"put it in one of {', '.join(f'{name}/' for name in FOLDERS)}"
