"""From the folder `rules/` to a `RuleBook`: everything read, checked and cross-checked, all problems reported at once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from cds.chart.catalogue import read_catalogue
from cds.errors import Problem
from cds.reasoning.directives import refuse_in_rule, refuse_in_wording
from cds.reasoning.evidence import load_evidence
from cds.reasoning.kinds import Context
from cds.reasoning.rulebook import FactSpec, Gate, Rule, RuleBook, State, Windows
from cds.reasoning.rulefile import ASKED, RuleReader, read_fact
from cds.source import Section, raise_if_any, read_yaml


def shipped_rules() -> Path:
    """The rules that come with the package; in a checkout, its own `rules/`."""
    packaged = Path(str(files("cds") / "_data" / "rules"))
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "rules"


def load_rulebook(rules: Path | None = None) -> RuleBook:
    """The rule book of a folder (default: the shipped one).

    Raises `RuleBookError` with every problem found. A rule that rests on retracted evidence is not an error: it is
    left out and listed in `RuleBook.withheld`.
    """
    folder = rules or shipped_rules()
    problems: list[Problem] = []
    if not folder.is_dir():
        problems.append(
            Problem(str(folder), 1, 1, "no such folder", "name the folder that holds states.yaml and gates/")
        )
        raise_if_any(problems)
    catalogue = read_catalogue(folder, problems)
    evidence = load_evidence(folder, problems)
    wording = _wording(folder, problems)
    states = _states(folder, problems)
    gates, windows = _gates(folder, states, problems)
    for name in windows.lasting:
        if name not in catalogue.therapies.classes:
            known = ", ".join(sorted(catalogue.therapies.classes))
            problems.append(Problem("gates/", 1, 1, f"'lasting' names no therapy class: '{name}'", f"classes: {known}"))
    rules_read: list[Rule] = []
    withheld: dict[str, str] = {}
    for path in sorted((folder / "resistance").glob("*.yaml")):
        if path.name.endswith(".test.yaml"):
            continue
        section = read_yaml(path, problems, str(path.relative_to(folder)))
        if section is None:
            continue
        refuse_in_rule(section)
        rule = RuleReader(section, gates, states, catalogue, evidence, wording).read()
        retracted = [key for key in rule.evidence if key in evidence.studies and evidence.studies[key].retracted]
        if rule.status in ("draft", "retired"):
            continue
        if retracted:
            withheld[rule.name] = f"rests on retracted evidence: {', '.join(retracted)}"
        else:
            rules_read.append(rule)
    _check_together(rules_read, withheld, problems)
    raise_if_any(problems)
    shared = [folder / "states.yaml", *sorted((folder / "gates").glob("*.yaml"))]
    for place, rule in enumerate(rules_read):
        own = _files_of(rule, rules_read, folder)
        rules_read[place] = replace(
            rule, hash=_hash_of([*shared, *own], folder), text=_text_of([*own, *shared], folder)
        )
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
        _hash_of(sorted(folder.rglob("*.yaml")), folder),
        {rule.name: rule for rule in rules_read},
    )


@cache
def default_rulebook() -> RuleBook:
    """The shipped rule book, read once per process."""
    return load_rulebook()


def _files_of(rule: Rule, rules: list[Rule], folder: Path) -> list[Path]:
    """The files that can change the rule's answers, besides states and gates: its own, its marker's, its parts'."""
    own = [folder / rule.file]
    if rule.watches:
        own.append(folder / "markers" / f"{rule.watches}.yaml")
    for part in rules:
        if part.name in rule.combines.values():
            own += _files_of(part, rules, folder)
    return [path for path in own if path.exists()]


def _hash_of(paths: list[Path], folder: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        if not path.name.endswith(".test.yaml"):
            digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _text_of(paths: list[Path], folder: Path) -> str:
    return "".join(f"--- # {path.relative_to(folder)}\n{path.read_text('utf-8').rstrip()}\n\n" for path in paths)


def _wording(folder: Path, problems: list[Problem]) -> Mapping[str, Any]:
    wording: dict[str, Any] = {}
    for path in sorted((folder / "wording").glob("*.yaml")):
        section = read_yaml(path, problems, str(path.relative_to(folder)))
        if section is not None:
            refuse_in_wording(section)
            wording[path.stem] = section.value
    return wording


def _states(folder: Path, problems: list[Problem]) -> tuple[State, ...]:
    path = folder / "states.yaml"
    section = read_yaml(path, problems, "states.yaml") if path.exists() else None
    if section is None:
        problems.append(
            Problem("states.yaml", 1, 1, "the order of states is missing", "copy states.yaml of the shipped rules")
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


def _gates(folder: Path, states: tuple[State, ...], problems: list[Problem]) -> tuple[tuple[Gate, ...], Windows]:
    gates: list[Gate] = []
    found: dict[str, Any] = {}
    for path in sorted((folder / "gates").glob("*.yaml")):
        section = read_yaml(path, problems, str(path.relative_to(folder)))
        if section is None:
            continue
        section.keys("gate", "title", "because", "asked", "state", optional=("of", "windows", "fails_on", "facts"))
        asked = ASKED[section.choice("asked", list(ASKED), "always")]
        state = section.choice("state", [known.name for known in states])
        context = Context({}, {}, "")
        fails: list[tuple[FactSpec, str, bool]] = []
        for name, entry in section.named("fails_on"):
            own = entry.choice("state", [known.name for known in states], state)
            spec = read_fact(name, _without(entry, "state"), context, asked)
            if spec is not None:
                fails.append((spec, own, spec.can_be_unknown))
        shared = [spec for name, entry in section.named("facts") if (spec := read_fact(name, entry, context, asked))]
        gates.append(
            Gate(
                section.text("gate"),
                section.text("title"),
                asked,
                section.choice("of", ["every sample", "the latest"]) == "every sample",
                tuple(fails),
                tuple(shared),
            )
        )
        _windows(section.section("windows"), found)
    missing = [key for key in ("baseline_before", "late_baseline", "fault_before", "elements") if key not in found]
    if missing:
        problems.append(
            Problem("gates/", 1, 1, f"no gate states the windows {', '.join(missing)}", "see the shipped gates")
        )
    return tuple(gates), Windows(
        found.get("baseline_before", 42),
        found.get("late_baseline", 14),
        found.get("lasting", {}),
        found.get("fault_before", 42),
        found.get("elements", ()),
    )


def _windows(section: Section, found: dict[str, Any]) -> None:
    section.keys(optional=("baseline_before", "late_baseline", "fault_before", "elements", "lasting"))
    for key in ("baseline_before", "late_baseline", "fault_before"):
        if key in section:
            found[key] = section.days(key)
    if "elements" in section:
        found["elements"] = section.texts("elements")
    if "lasting" in section:
        lasting = {}
        for name, entry in section.named("lasting"):
            entry.keys("days", "cut_short")
            cut = entry.choice("cut_short", ["another line", "nothing"]) == "another line"
            lasting[name] = (entry.days("days"), cut)
        found["lasting"] = lasting


def _without(section: Section, key: str) -> Section:
    """The same section without one key, which the reader of the rest does not know."""
    section.value = {name: value for name, value in section.value.items() if name != key}
    return section


def _check_together(rules: list[Rule], withheld: Mapping[str, str], problems: list[Problem]) -> None:
    from cds.reasoning.compilation import check_limits  # compiles only to see that the engine will take the rule

    names: dict[str, str] = {}
    for rule in rules:
        if rule.name in names:
            problems.append(
                Problem(rule.file, 1, 1, f"'{rule.name}' is also the rule of {names[rule.name]}", "rename one")
            )
        names[rule.name] = rule.file
    for rule in rules:
        for part in rule.combines.values():
            if part not in names and part not in withheld:
                problems.append(Problem(rule.file, 1, 1, f"'{part}' is no rule that can be combined", "see 'combines'"))
        problems.extend(check_limits(rule))
