"""From the folder `rules/` to a `RuleBook`: everything read, checked and cross-checked, all problems reported at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from cds.chart.catalogue import Catalogue, read_catalogue
from cds.errors import Problem
from cds.layers import RuleFile, RuleFiles, Rules, rule_files, shipped_rules
from cds.mistakes import Mistake
from cds.reasoning.directives import refuse_in_rule, refuse_in_wording
from cds.reasoning.evidence import EvidenceCatalogue, load_evidence
from cds.reasoning.kinds import Context
from cds.reasoning.rulebook import FactSpec, Gate, Rule, RuleBook, State, Windows
from cds.reasoning.rulefile import ASKED, RuleReader, read_fact
from cds.source import Section, raise_if_any

__all__ = ["default_rulebook", "load_rulebook", "read_rulebook", "shipped_rules"]


def load_rulebook(rules: Rules | None = None, *, drafts: bool = False) -> RuleBook:
    """The rule book of a folder (default: the shipped one); `drafts`: with the rules that are still being written.

    Raises `RuleBookError` with every problem found. A rule that rests on retracted evidence is not an error: it is
    left out and listed in `RuleBook.withheld`.
    """
    problems: list[Problem] = []
    book = read_rulebook(rules or shipped_rules(), problems, drafts=drafts)
    raise_if_any(problems)
    return book


def read_rulebook(rules: Rules, problems: list[Problem], *, drafts: bool = False) -> RuleBook:
    """Like `load_rulebook`, but mistakes are added to `problems`; what is mistaken then has harmless values."""
    book = rule_files(rules)
    if not book.files:
        problems.append(
            Problem(
                str(book.root), 1, 1, "no rule book stands here" if book.root.is_dir() else "no such folder",
                "name a folder that holds states.yaml and gates/, or one with an overlay.yaml, which is laid over the shipped rules",
                Mistake.NOT_A_RULE_BOOK,
            )
        )  # fmt: skip
        raise_if_any(problems)
    catalogue = read_catalogue(book, problems)
    evidence = load_evidence(book, problems)
    wording = _wording(book, problems)
    states = _states(book, problems)
    gates, windows = _gates(book, states, catalogue, problems)
    _check_markers(book, evidence, problems)
    rules_read: list[Rule] = []
    sections: dict[str, Section] = {}
    withheld: dict[str, str] = {}
    resting: set[str] = set()
    loaded = ("draft", "shadow", "active") if drafts else ("shadow", "active")
    for file in book.of("resistance"):
        section = file.read(problems)
        if section is None:
            continue
        sections[file.name] = section
        refuse_in_rule(section)
        rule = RuleReader(section, gates, states, catalogue, evidence, wording).read()
        retracted = [key for key in rule.evidence if key in evidence.studies and evidence.studies[key].retracted]
        if rule.status not in loaded:
            resting.add(rule.name)
            continue
        if retracted:
            withheld[rule.name] = f"rests on retracted evidence: {', '.join(retracted)}"
        else:
            rules_read.append(rule)
    _check_together(rules_read, withheld, sections, problems)
    shared = [file for file in book.content() if file.name == "states.yaml" or file.name.startswith("gates/")]
    shared.sort(key=lambda file: (file.name != "states.yaml", file.name))
    for place, rule in enumerate(rules_read):
        own = _files_of(rule, rules_read, book)
        rules_read[place] = replace(rule, hash=_hash_of([*shared, *own]), text=_text_of([*own, *shared]))
    rules_read.sort(key=lambda rule: (bool(rule.combines), rule.name))
    return RuleBook(
        tuple(rules_read),
        withheld,
        gates,
        states,
        windows,
        catalogue,
        evidence,
        wording,
        _hash_of(book.content()),
        {rule.name: rule for rule in rules_read},
        frozenset(resting),
    )


@cache
def default_rulebook() -> RuleBook:
    """The shipped rule book, read once per process."""
    return load_rulebook()


def _files_of(rule: Rule, rules: list[Rule], book: RuleFiles) -> list[RuleFile]:
    """The files that can change the rule's answers, besides states and gates: its own, its marker's, its parts'."""
    names = [rule.file, *([f"markers/{rule.watches}.yaml"] if rule.watches else [])]
    own = [book.files[name] for name in names if name in book.files]
    for part in rules:
        if part.name in rule.combines.values():
            own += _files_of(part, rules, book)
    return own


def _hash_of(files: Iterable[RuleFile]) -> str:
    """Over name and bytes of every file, and of what a site lays over it."""
    digest = hashlib.sha256()
    for file in files:
        for path in file.paths:
            digest.update(file.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _text_of(files: Iterable[RuleFile]) -> str:
    return "".join(
        f"--- # {file.name}{'' if path is file.path else ', laid over it'}\n{path.read_text('utf-8').rstrip()}\n\n"
        for file in files
        for path in file.paths
    )


def _wording(book: RuleFiles, problems: list[Problem]) -> Mapping[str, Any]:
    wording: dict[str, Any] = {}
    for file in book.of("wording"):
        section = file.read(problems)
        if section is not None:
            refuse_in_wording(section)
            wording[Path(file.name).stem] = section.value
    return wording


def _states(book: RuleFiles, problems: list[Problem]) -> tuple[State, ...]:
    file = book.files.get("states.yaml")
    section = file.read(problems) if file is not None else None
    if section is None:
        problems.append(
            Problem(
                "states.yaml",
                1,
                1,
                "the order of states is missing",
                "copy states.yaml of the shipped rules",
                mistake=Mistake.NO_STATES,
            )
        )
        return ()
    states = []
    for name, entry in section.named("states"):
        entry.keys("card", "about")
        card = entry.choice("card", ["none", "info", "warning"], "none")
        states.append(
            State(name, "" if card == "none" else card, entry.choice("about", ["marker", "rule"]) == "marker")
        )
    return tuple(states)


# gates -----------------------------------------------------------------------------------------------------------


def _gates(
    book: RuleFiles, states: tuple[State, ...], catalogue: Catalogue, problems: list[Problem]
) -> tuple[tuple[Gate, ...], Windows]:
    """The gates in the order of their files, and the windows that they state; mistakes are added to `problems`."""
    gates: list[Gate] = []
    found: dict[str, Any] = {}
    known_states = [known.name for known in states]
    for file in book.of("gates"):
        section = file.read(problems)
        if section is None:
            continue
        section.keys(
            "gate", "title", "because", "asked", "state", optional=("of", "windows", "fails_on", "facts", "notes")
        )
        asked = ASKED[section.choice("asked", list(ASKED), "always")]
        state = section.choice("state", known_states) if states else ""
        if any(section.text("gate") == gate.name for gate in gates):
            section.problem(
                f"the gate '{section.text('gate')}' has two files", "rename one", "gate", mistake=Mistake.GATE_TWICE
            )
        context = Context({}, {}, "", catalogue.therapies.classes)
        fails: list[tuple[FactSpec, str, bool]] = []
        for name, entry in section.named("fails_on"):
            own = entry.choice("state", known_states, state) if states else ""
            spec = read_fact(name, _without(entry, "state"), context, asked)
            if spec is not None:
                fails.append((spec, own, spec.can_be_unknown))
        shared, notes = (
            tuple(spec for name, entry in section.named(key) if (spec := read_fact(name, entry, context, asked)))
            for key in ("facts", "notes")
        )
        gates.append(
            Gate(
                section.text("gate"),
                section.text("title"),
                asked,
                section.choice("of", ["every sample", "the latest"]) == "every sample",
                tuple(fails),
                shared,
                notes,
            )
        )
        _windows(section.section("windows"), found, catalogue)
    missing = [key for key in ("baseline_before", "late_baseline", "fault_before", "elements") if key not in found]
    if missing:
        problems.append(
            Problem(
                "gates/",
                1,
                1,
                f"no gate states the windows {', '.join(missing)}",
                "see the shipped gates",
                mistake=Mistake.WINDOW_MISSING,
            )
        )
    return tuple(gates), Windows(
        found.get("baseline_before", 42),
        found.get("late_baseline", 14),
        found.get("lasting", {}),
        found.get("fault_before", 42),
        found.get("elements", ()),
    )


def _windows(section: Section, found: dict[str, Any], catalogue: Catalogue) -> None:
    section.keys(optional=("baseline_before", "late_baseline", "fault_before", "elements", "lasting"))
    for key in section.value:
        if key in found:
            section.problem(
                f"'{key}' is stated by another gate already", "every rule shares one", at=key,
                mistake=Mistake.WINDOW_TWICE,
            )  # fmt: skip
    for key in ("baseline_before", "late_baseline", "fault_before"):
        if key in section:
            found[key] = section.days(key)
    if "elements" in section:
        found["elements"] = section.texts("elements")
    if "lasting" in section:
        lasting = {}
        for name, entry in section.named("lasting"):
            entry.keys("days", "cut_short", "because")
            if name not in catalogue.therapies.classes:
                known = ", ".join(catalogue.therapies.classes)
                entry.problem(f"'{name}' is no therapy class", f"classes: {known}", mistake=Mistake.UNKNOWN_THERAPY)
            cut = entry.choice("cut_short", ["another line", "nothing"]) == "another line"
            lasting[name] = (entry.days("days"), cut)
        found["lasting"] = lasting


def _without(section: Section, key: str) -> Section:
    """The same section without one key, which the reader of the rest does not know."""
    section.value = {name: value for name, value in section.value.items() if name != key}
    return section


def _check_markers(book: RuleFiles, evidence: EvidenceCatalogue, problems: list[Problem]) -> None:
    """What a marker's file says of evidence, which is read after it; what else is wrong with it was noted then."""
    for file in book.of("markers"):
        section = file.read(problems)
        record = section.text("must_not_use") if section is not None else ""
        if section is not None and record and record not in evidence.studies:
            section.problem(
                f"'{record}' is no record in evidence/", "add the study there first", "must_not_use",
                Mistake.UNKNOWN_STUDY,
            )  # fmt: skip


def _check_together(
    rules: list[Rule], withheld: Mapping[str, str], sections: Mapping[str, Section], problems: list[Problem]
) -> None:
    from cds.reasoning.compilation import check_limits  # compiles only to see that the engine will take the rule

    names = {rule.name for rule in rules}
    for rule in rules:
        section = sections[rule.file]
        for key, part in rule.combines.items():
            if part not in names and part not in withheld:
                section.problem(
                    f"'{part}' is no rule that can be combined", f"rules: {', '.join(sorted(names))}",
                    ("combines", key), Mistake.NOT_COMBINABLE,
                )  # fmt: skip
        check_limits(rule, section)
