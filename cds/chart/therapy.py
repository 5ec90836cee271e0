"""Therapy: which drugs of which class were given when, from `rules/therapies/` and the record.

    catalogue = load_therapies(rules, problems)
    exposures, left_out = read_therapy(items, catalogue)
    lines = exposures.lines(moment, imaging, operations, diagnosis)

Drugs are matched by (system, code), never by what a record calls them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeVar

import msgspec

from cds.chart.clock import Item, Moment, When
from cds.chart.codes import CodeTable
from cds.chart.exposure import TREATMENTS, Histories, Span, read_span, standing, stated, stated_period
from cds.chart.lines import Drug, Stretch, TherapyClass, is_neoadjuvant, lines_of, stretch_of
from cds.chart.model import Diagnosis, Imaging, LeftOut, Line, Operation, Tri, Unrecognised
from cds.chart.unlisted import UnlistedDrug, is_void, lines_of_unlisted, nature
from cds.errors import Problem
from cds.layers import Rules, rule_files
from cds.mistakes import Mistake
from cds.source import Section

T = TypeVar("T")

_NO_DRUG = ""  # a treatment of the class, by a drug that is not named
_PROGRESSIVE = frozenset({"PD", "iCPD"})
_COUNTS = ("final", "amended", "corrected")
_ROUTES = ("oral", "infusion", "injection")
_UNKNOWN = Diagnosis()


@dataclass(frozen=True, slots=True)
class TherapyCatalogue:
    """The therapy classes with their drugs, and the codes that tell intent and progression.

    `groups` are the classes of which a drug may be that none lists, by codes of groups of drugs.
    """

    classes: Mapping[str, TherapyClass]  # by name, sorted
    drugs: CodeTable[tuple[Drug, ...]] = field(compare=False, repr=False)
    procedures: CodeTable[tuple[Drug, ...]] = field(compare=False, repr=False)  # treatments without a drug
    intents: CodeTable[str] = field(compare=False, repr=False)
    judgements: CodeTable[str] = field(compare=False, repr=False)  # Observations of how the disease goes
    worse: CodeTable[str] = field(compare=False, repr=False)
    neoadjuvant_within: int = 365  # days from the first dose to the operation that it prepares
    groups: CodeTable[tuple[str, ...]] = field(default_factory=CodeTable, compare=False, repr=False)
    names: re.Pattern[str] = field(default=re.compile("$^"), compare=False, repr=False)  # the drugs, in running text
    named: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False, repr=False)  # their classes


class _Given(msgspec.Struct):
    """What one version of a resource says: these drugs, over this span, with this intent."""

    span: Span
    drugs: tuple[Drug, ...]
    intents: frozenset[str] = frozenset()


class Exposures:
    """What the record says of a patient's drugs, at any moment."""

    def __init__(self, catalogue: TherapyCatalogue) -> None:
        self._catalogue = catalogue
        self._given: Histories[_Given] = Histories()
        self._judged: Histories[date | None] = Histories()  # the day on which the disease was called worse

    def lines(
        self,
        as_of: Moment,
        imaging: Sequence[Imaging] = (),
        operations: Sequence[Operation] = (),
        diagnosis: Diagnosis = _UNKNOWN,
    ) -> tuple[Line, ...]:
        """The lines known at the moment, sorted by start (unknown first).

        `imaging` tells progression; `operations` and `diagnosis` tell whether a line was neoadjuvant where the record
        does not say so. All three are to be as of the same moment.
        """
        stretches: dict[tuple[str, str], list[Stretch]] = {}
        classes = self._catalogue.classes
        for given, settled in standing(self._given, as_of):
            for drug in given.drugs:
                if isinstance(drug, UnlistedDrug):
                    continue
                stretch = stretch_of(given.span, drug, given.intents, as_of.day, settled)
                if stretch is not None:
                    key = (drug.therapy, drug.name if classes[drug.therapy].line_per_drug else "")
                    stretches.setdefault(key, []).append(stretch)
        if not stretches:
            return ()
        worse = {scan.day for scan in imaging if scan.response in _PROGRESSIVE}
        worse |= {day for day, _ in standing(self._judged, as_of) if day is not None and day <= as_of.day}
        within = self._catalogue.neoadjuvant_within

        def prepares(start: date | None, intents: frozenset[str]) -> Tri:
            return is_neoadjuvant(start, intents, operations, diagnosis, within)

        found: list[Line] = []
        begun: list[date] = []
        # Those that another line can end come last: by then it is known when the others began.
        for (therapy, _), group in sorted(stretches.items(), key=lambda entry: classes[entry[0][0]].until_other_line):
            found += lines_of(classes[therapy], group, as_of.day, sorted(worse), begun, prepares)
            if not classes[therapy].until_other_line:
                begun += [line.start for line in found if line.start is not None and not line.planned]
        found.sort(key=lambda line: (line.start or date.min, line.planned, line.therapy, line.drugs))
        return tuple(found)

    def unrecognised(self, as_of: Moment) -> tuple[Unrecognised, ...]:
        """The treatments known at the moment of which no class is known, sorted by start (unknown first)."""
        stretches: dict[UnlistedDrug, list[Stretch]] = {}
        for given, settled in standing(self._given, as_of):
            for drug in given.drugs:
                if isinstance(drug, UnlistedDrug):
                    stretch = stretch_of(given.span, drug, given.intents, as_of.day, settled)
                    if stretch is not None:
                        stretches.setdefault(drug, []).append(stretch)
        return lines_of_unlisted(stretches, as_of.day)

    def take_drug(self, item: Item, span: Span, drugs: tuple[Drug, ...], intents: frozenset[str]) -> None:
        """Take up what a version of a treatment resource says."""
        self._given.add(item, span.start, _Given(span, drugs, intents))

    def withdraw(self, item: Item) -> None:
        """A later version of a resource that counted names no drug of ours any more."""
        if item.ref in self._given:
            self._given.add(item, None, _Given(Span(item.ref, "void"), ()))
        if item.ref in self._judged:
            self._judged.add(item, None, None)

    def take_judgement(self, item: Item, day: When | None) -> None:
        """Take up that the disease was called worse on a day."""
        self._judged.add(item, day, None if day is None else day.last)


def load_therapies(rules: Rules, problems: list[Problem]) -> TherapyCatalogue:
    """Read `rules/therapies/`; mistakes are added to `problems`."""
    drugs: CodeTable[tuple[Drug, ...]] = CodeTable()
    procedures: CodeTable[tuple[Drug, ...]] = CodeTable()
    intents: CodeTable[str] = CodeTable()
    judgements: CodeTable[str] = CodeTable()
    worse: CodeTable[str] = CodeTable()
    groups: CodeTable[tuple[str, ...]] = CodeTable()
    classes: dict[str, TherapyClass] = {}
    grouped: list[tuple[str, Section]] = []
    within = 365
    for file in rule_files(rules).of("therapies"):
        section = file.read(problems)
        if section is None:
            continue
        if "therapy" not in section:
            section.keys("intents", "progression", "neoadjuvant_within", optional=("groups",))
            for intent, codes in section.named("intents"):
                intents.add(codes, intent)
            progression = section.section("progression")
            progression.keys("observations", "worse")
            judgements.add(progression.section("observations"), "disease status")
            worse.add(progression.section("worse"), "worse")
            within = _days(section, "neoadjuvant_within", within)
            grouped += section.named("groups") if "groups" in section else ()
            continue
        found = _class(section, drugs, procedures)
        if found.name in classes:
            section.problem(
                f"the therapy '{found.name}' has two files", "keep one", "therapy", mistake=Mistake.THERAPY_TWICE
            )
        classes[found.name] = found
    ordered = {name: classes[name] for name in sorted(classes)}
    for name, codes in grouped:
        if name not in ordered:
            hint = f"classes: {', '.join(ordered)}"
            codes.problem(f"'{name}' is no therapy class", hint, mistake=Mistake.UNKNOWN_THERAPY)
        groups.add(codes, (name,), also=_together)
    named: dict[str, tuple[str, ...]] = {}
    for together in drugs.exact.values():
        for drug in together:
            stem = drug.name.lower().removesuffix("e")
            named[stem] = _together(named.get(stem, ()), (drug.therapy,))
    return TherapyCatalogue(
        ordered, drugs, procedures, intents, judgements, worse, within, groups, _names(named), named
    )  # fmt: skip


def _names(known: Iterable[str]) -> re.Pattern[str]:
    """Finds the drugs in what people call them, in small letters; also as other languages end them (Letrozol, letrozolo)."""
    stems = sorted(known, key=lambda stem: (-len(stem), stem))
    return re.compile(rf"\b({'|'.join(map(re.escape, stems))})[aeo]?\b" if stems else "$^")


def _class(
    section: Section, drugs: CodeTable[tuple[Drug, ...]], procedures: CodeTable[tuple[Drug, ...]]
) -> TherapyClass:
    section.keys(
        "therapy", "title", "gap", "bridge", "drugs", optional=("procedures", "line_per_drug", "until_other_line")
    )
    name = section.text("therapy")
    gap, bridge = _days(section, "gap", 42), _days(section, "bridge", 35)
    names = tuple(section.section("drugs").value)
    for drug, entry in section.named("drugs"):
        entry.keys("route", "codes", optional=("bridge",))
        days = _days(entry, "bridge", bridge)
        if days > gap:
            entry.problem(
                f"{drug} bridges {days} days, but a gap of {gap} days ends a line of {name}",
                "a treatment that counts as going on cannot have ended: make the class's gap at least as long",
                at="bridge" if "bridge" in entry else None,
                mistake=Mistake.BRIDGE_BEYOND_GAP,
            )
        oral = entry.choice("route", _ROUTES, "infusion") == "oral"
        drugs.add(entry.section("codes"), (Drug(drug, name, oral, days),), also=_together)
    procedures.add(section.section("procedures"), (Drug(_NO_DRUG, name, False, bridge),), also=_together)
    per_drug = section.choice("line_per_drug", ("yes", "no"), "no") == "yes"
    until_other = section.choice("until_other_line", ("yes", "no"), "no") == "yes"
    return TherapyClass(name, section.text("title"), gap, per_drug, until_other, names)


def _together(old: tuple[T, ...], new: tuple[T, ...]) -> tuple[T, ...]:
    """One product may hold several drugs, and one drug may belong to several classes."""
    return (*old, *(one for one in new if one not in old))


def _days(section: Section, key: str, default: int) -> int:
    if key not in section:
        return default
    stated = section.section(key)
    stated.keys("days", "because")
    return stated.days("days", default)


def read_therapy(items: Sequence[Item], catalogue: TherapyCatalogue) -> tuple[Exposures, list[LeftOut]]:
    """What a record says of anticancer drugs, and what of it could not be used."""
    exposures = Exposures(catalogue)
    left_out: list[LeftOut] = []
    judgements, drugs_of = catalogue.judgements, catalogue.drugs.of
    for item in items:
        resource = item.resource
        kind = resource["resourceType"]
        if kind == "Observation":
            if judgements.of(resource.get("code")):
                _read_judgement(item, exposures, catalogue, left_out)
        elif kind in TREATMENTS:
            if kind == "Procedure":
                found = catalogue.procedures.of(resource.get("code"))
            else:
                concepts = _medication(item, left_out)
                found = [drugs for concept in concepts for drugs in drugs_of(concept)]
                if not found and not is_void(resource) and (drug := nature(item, concepts, catalogue, left_out)):
                    found = [(drug,)]
            if not found:
                if item.version:
                    exposures.withdraw(item)
                continue
            drugs = found[0] if len(found) == 1 else tuple(dict.fromkeys(drug for each in found for drug in each))
            span = read_span(item, left_out)
            if span is not None:
                exposures.take_drug(item, span, drugs, _intents(resource, catalogue.intents))
    return exposures, left_out


def _medication(item: Item, left_out: list[LeftOut]) -> list[object]:
    """The concepts that name the drug: in the resource, or in the Medication it refers to (with its ingredients)."""
    resource = item.resource
    concept = resource.get("medicationCodeableConcept")
    if concept is not None:
        return [concept]
    reference = resource.get("medicationReference")
    medication = item.resolve(reference)
    if medication is None:
        if not is_void(resource):
            left_out.append(
                LeftOut(
                    f"{item.path}.medicationReference" if reference is not None else item.path, item.ref,
                    "the medication is not in the input" if reference is not None else "it names no medication",
                    "send the Medication too, or code the drug in medicationCodeableConcept",
                )
            )  # fmt: skip
        return []
    ingredients = medication.get("ingredient")
    parts = ingredients if isinstance(ingredients, list) else [ingredients]
    return [
        medication.get("code"),
        *(part.get("itemCodeableConcept") for part in parts if isinstance(part, dict)),
    ]


def _intents(resource: Mapping[str, Any], known: CodeTable[str]) -> frozenset[str]:
    """The intents that a treatment states, in an extension, its category or its reasons."""
    found: list[str] = []
    extensions = resource.get("extension")
    if isinstance(extensions, list):
        for extension in extensions:
            if isinstance(extension, dict) and "valueCodeableConcept" in extension:
                found += known.of(extension["valueCodeableConcept"])
    for name in ("category", "reasonCode"):
        concepts = resource.get(name)
        if concepts is not None:
            for concept in concepts if isinstance(concepts, list) else [concepts]:
                found += known.of(concept)
    return frozenset(found) if found else _NO_INTENT


_NO_INTENT: frozenset[str] = frozenset()


def _read_judgement(item: Item, exposures: Exposures, catalogue: TherapyCatalogue, left_out: list[LeftOut]) -> None:
    resource = item.resource
    worse = resource.get("status") in _COUNTS and catalogue.worse.of(resource.get("valueCodeableConcept"))
    if not worse:
        exposures.withdraw(item)
        return
    day = stated(item, resource, "effectiveDateTime", left_out) or stated_period(item, "effectivePeriod", left_out)[0]
    exposures.take_judgement(item, day)
