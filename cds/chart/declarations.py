"""What a laboratory declares once, because it never sends it with a result: `rules/labs/*.yaml`.

A declaration only fills what a result leaves unsaid, and what it filled is marked on the result. What a result states,
even unreadably, is never replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

from cds.chart.clock import relative, when
from cds.chart.model import Method
from cds.chart.units import SCALES, Units, figure, fraction_of_efficiency, linear, normalised
from cds.errors import Problem
from cds.layers import RuleFile, Rules, rule_files
from cds.mistakes import Mistake
from cds.source import Section

CHECKS: Mapping[str, Mapping[str, bool]] = {
    "haemolysis": {"clear": True, "present": False},
    "lipaemia": {"clear": True, "present": False},
    "residual-platelets": {"clear": True, "present": False},
    "dna-control": {"passed": True, "failed": False},
    "drug-tolerance": {"tolerant": True, "not-tolerant": False},
}
"""Checks and controls with their possible answers, as in the code system exosomal-method."""

PARTS = (
    "limit-of-detection", "limit-of-quantification", "total-ev", "analytical-cv", "within-person-cv", "amplification-efficiency", "haemolysis",
    "lipaemia", "residual-platelets", "dna-control", "drug-tolerance", "bridging", "isolation", "tube",
    "specimen-type", "platform", "reagents", "normaliser", "reagent-lot", "regulatory-status",
)  # fmt: skip
"""What a component of a marker Observation can say."""

WORDS: Mapping[str, tuple[str, ...]] = {
    "specimen": ("serum", "plasma"),
    "tube": ("edta", "citrate", "heparin", "acd", "serum-gel", "serum-plain"),
    "isolation": (
        "uc", "density", "sec", "ultrafiltration", "precipitation", "immunoaffinity", "microfluidic", "spr",
    ),
    "assay": ("flow-cytometry", "immunofluorescence", "elisa", "simoa", "rt-qpcr", "dpcr"),
}  # fmt: skip
"""Parts of a method with their words, as in the code system exosomal-method: gates ask for some of them by name."""

NEEDED = ("laboratory", "title", "identifiers", "assays")
OPTIONAL = ("references", "code_system", "time_zone", "parts", "receives")
"""Keys of a laboratory's file; `ASSAY` are those of an assay, beside its marker."""

METHOD = ("specimen", "tube", "isolation", "assay", "platform", "reagents", "normaliser")
ASSAY = (
    "codes", *METHOD, "efficiency", "limit_of_detection", "limit_of_quantification", "analytical_cv", "within_person_cv", "checks", "lot",
    "bridged", "regulatory", "units", "valid_from", "valid_to",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Assay:
    """One marker as a laboratory measures it, from `valid_from` to `valid_to` (both included)."""

    marker: str
    method: Method = Method()  # noqa: RUF009 - immutable
    lod: tuple[Decimal, str] | None = None  # value and unit
    cva: float | None = None
    cvi: float | None = None
    checks: Mapping[str, bool] = field(default_factory=dict)
    lot: str | None = None
    bridged: bool = False
    regulatory: str | None = None
    units: Mapping[str, str] = field(default_factory=dict)  # the laboratory's own spelling -> one of the marker's file
    valid_from: date = date.min
    valid_to: date = date.max
    loq: tuple[Decimal, str] | None = None  # value and unit


@dataclass(frozen=True, slots=True)
class Laboratory:
    """A laboratory: how it signs its results, and what it declares about each marker."""

    name: str
    title: str
    identifiers: frozenset[tuple[str, str]]  # (system, value)
    references: frozenset[str]  # "Organization/12"
    code_system: str
    zone: ZoneInfo | None
    assays: Mapping[str, Sequence[Assay]]

    def assay(self, marker: str, day: date | None) -> Assay | None:
        """What holds for a sample of that day; for an undated one only if nothing ever changed."""
        assays = self.assays.get(marker, ())
        if day is None:
            return assays[0] if len(assays) == 1 else None
        for assay in assays:
            if assay.valid_from <= day <= assay.valid_to:
                return assay
        return None


@dataclass(frozen=True, slots=True)
class LocalCode:
    """A laboratory's own code for a marker."""

    system: str
    code: str
    marker: str
    scale: str
    laboratory: Laboratory
    place: tuple[str, int, int]  # file, line and column


@dataclass(slots=True)
class Declarations:
    """All laboratories, and the ways in which a result names its own."""

    laboratories: dict[str, Laboratory] = field(default_factory=dict)
    by_identifier: dict[tuple[str, str], Laboratory] = field(default_factory=dict)
    by_reference: dict[str, Laboratory] = field(default_factory=dict)
    by_code_system: dict[str, Laboratory] = field(default_factory=dict)
    codes: list[LocalCode] = field(default_factory=list)
    parts: dict[tuple[str, str], str] = field(default_factory=dict)  # local codes of components


def load_declarations(rules: Rules, markers: Mapping[str, Units], problems: list[Problem]) -> Declarations:
    """The declarations under `rules`/labs; `markers` are the known markers with their units."""
    found = Declarations()
    for file in laboratory_files(rules):
        section = file.read(problems)
        if section is not None:
            _laboratory(section, markers, found)
    return found


def laboratory_files(rules: Rules) -> list[RuleFile]:
    """The files of laboratories under `rules`, without the tests beside them."""
    return rule_files(rules).of("labs")


def _laboratory(section: Section, markers: Mapping[str, Units], found: Declarations) -> None:
    section.keys(*NEEDED, optional=OPTIONAL)
    name, system = section.text("laboratory"), section.text("code_system")
    signed: dict[tuple[str, str], Section] = {}
    for entry in section.sections("identifiers"):
        entry.keys("value", optional=("system",))
        signed[entry.text("system"), entry.text("value")] = entry
    assays: dict[str, list[Assay]] = {}
    codes: list[tuple[Section, str, str, str, str]] = []
    for entry in section.sections("assays"):
        entry.keys("marker", optional=ASSAY)
        marker = entry.choice("marker", sorted(markers))
        if not marker:
            continue
        assay = _assay(entry, marker, markers[marker])
        for other in assays.get(marker, []):
            if assay.valid_from <= other.valid_to and other.valid_from <= assay.valid_to:
                entry.problem(
                    f"two declarations of '{marker}' hold on the same day",
                    "set valid_from and valid_to",
                    at="valid_from",
                    mistake=Mistake.ASSAYS_OVERLAP,
                )
        assays.setdefault(marker, []).append(assay)
        for code in entry.sections("codes"):
            code.keys("code", optional=("system", "scale"))
            scale = code.choice("scale", SCALES, "linear")
            if not code.text("system", system):
                code.problem(
                    "the code has no system",
                    "state it here, or code_system for the whole laboratory",
                    mistake=Mistake.CODE_WITHOUT_SYSTEM,
                )
            codes.append((code, code.text("system", system), code.text("code"), marker, scale))
    laboratory = Laboratory(
        name,
        section.text("title"),
        frozenset(signed),
        frozenset(relative(reference) for reference in section.texts("references")),
        system,
        _zone(section),
        {marker: tuple(declared) for marker, declared in assays.items()},
    )
    if name in found.laboratories or any(laboratory.title == other.title for other in found.laboratories.values()):
        section.problem(
            f"the laboratory '{name}' is declared twice",
            "keep one file for each laboratory",
            at="laboratory",
            mistake=Mistake.LABORATORY_TWICE,
        )
    found.laboratories[name] = laboratory
    for identifier, entry in signed.items():
        if identifier in found.by_identifier:
            entry.problem(
                f"identifier {identifier[1]} is that of another laboratory",
                "a laboratory is told by it, so each has its own",
                at="value",
                mistake=Mistake.OF_ANOTHER_LABORATORY,
            )
        found.by_identifier[identifier] = laboratory
    found.by_reference.update(dict.fromkeys(laboratory.references, laboratory))
    if system:
        if system in found.by_code_system:
            section.problem(
                f"the code system {system} is that of another laboratory",
                "a laboratory is told by it, so each has its own",
                at="code_system",
                mistake=Mistake.OF_ANOTHER_LABORATORY,
            )
        found.by_code_system[system] = laboratory
    known = {(code.system, code.code): (code.marker, code.scale) for code in found.codes}
    for entry, local_system, local, marker, scale in codes:
        if known.setdefault((local_system, local), (marker, scale)) != (marker, scale):
            entry.problem(
                f"code '{local}' already means {known[local_system, local][0]}",
                "a code has one meaning",
                "code",
                mistake=Mistake.CODE_TWICE,
            )
        found.codes.append(LocalCode(local_system, local, marker, scale, laboratory, (entry.file, *entry.place)))
    parts = section.section("parts")
    for local in parts.value:
        if (system, local) in known:
            parts.problem(
                f"code '{local}' already means {known[system, local][0]}",
                "a code has one meaning",
                at=local,
                mistake=Mistake.CODE_TWICE,
            )
        part = parts.text(local)
        if part not in PARTS:
            parts.problem(
                f"'{part}' (for '{local}') is no part of a result",
                f"one of: {', '.join(PARTS)}",
                at=local,
                mistake=Mistake.UNKNOWN_PART,
            )
        found.parts[system, local] = part


def _assay(entry: Section, marker: str, units: Units) -> Assay:
    lod, loq = (_limit(entry, name, units) for name in ("limit_of_detection", "limit_of_quantification"))
    if lod and loq and lod[1] == loq[1] and ("linear", lod[1]) in units and loq[0] <= lod[0]:
        entry.problem(
            "the limit of quantification does not lie above that of detection",
            "what can be quantified can be detected: likely the two were exchanged",
            at="limit_of_quantification",
            mistake=Mistake.LIMIT_OF_DETECTION,
        )
    return Assay(
        marker,
        Method(**{name: _word(entry, name) or None for name in METHOD}, efficiency=_efficiency(entry)),
        lod,
        entry.percent("analytical_cv") or None,
        entry.percent("within_person_cv") or None,
        _checks(entry),
        entry.text("lot") or None,
        entry.choice("bridged", ("yes", "no"), "no") == "yes",
        entry.text("regulatory") or None,
        _spellings(entry, units),
        _day(entry, "valid_from", date.min),
        _day(entry, "valid_to", date.max),
        loq,
    )


def _word(entry: Section, name: str) -> str:
    return entry.choice(name, WORDS[name]) if name in WORDS else entry.text(name)


def _efficiency(entry: Section) -> Decimal | None:
    stated = entry.text("efficiency")
    if not stated:
        return None
    percent = stated.endswith("%")
    if percent:
        entry.percent("efficiency")
    else:
        entry.number("efficiency")
    try:
        efficiency = fraction_of_efficiency(Decimal(stated.removesuffix("%").strip()), percent)
    except ArithmeticError:
        return None
    if efficiency is None:
        entry.problem(
            f"'efficiency: {stated}' is none",
            "write 0.95, 95 %, or the factor 1.95",
            at="efficiency",
            mistake=Mistake.NOT_AN_EFFICIENCY,
        )
    return efficiency


def _limit(entry: Section, name: str, units: Units) -> tuple[Decimal, str] | None:
    if name not in entry:
        return None
    limit = entry.section(name)
    limit.keys("value", "unit")
    unit = normalised(limit.text("unit"))
    if not any(known == unit for _, known in units):
        accepted = ", ".join(sorted({known for _, known in units}))
        limit.problem(
            f"the marker is not measured in '{unit}'",
            f"its file accepts {accepted}",
            at="unit",
            mistake=Mistake.UNIT_OF_ANOTHER_MARKER,
        )
    value = Decimal(repr(limit.number("value")))
    scales = [scale for scale, known in units if known == unit]
    if scales == ["linear"] and (value <= 0 or linear(value, units["linear", unit]) is None):
        limit.problem(
            f"a {name.replace('_', ' ')} is a number above 0",
            "such as 0.5",
            "value",
            mistake=Mistake.LIMIT_OF_DETECTION,
        )
        return None
    return figure(value) or Decimal(0), unit


def _checks(entry: Section) -> Mapping[str, bool]:
    checks = entry.section("checks")
    checks.keys(optional=tuple(CHECKS))
    answers = {}
    for name in checks.value:
        if name in CHECKS:
            answer = checks.choice(name, tuple(CHECKS[name]))
            if answer:
                answers[name] = CHECKS[name][answer]
    return answers


def _spellings(entry: Section, units: Units) -> Mapping[str, str]:
    spelt = entry.section("units")
    known = {unit for _, unit in units}
    spellings = {}
    for own in spelt.value:
        meant = normalised(spelt.text(own))
        if meant not in known:
            spelt.problem(
                f"the marker is not measured in '{meant}'",
                f"its file accepts {', '.join(known)}",
                at=own,
                mistake=Mistake.UNIT_OF_ANOTHER_MARKER,
            )
        spellings[normalised(own)] = meant
    return spellings


def _day(entry: Section, key: str, default: date) -> date:
    stated = entry.text(key)
    if not stated:
        return default
    read = when(stated)
    if read is None or read.day is None:
        entry.problem(f"'{key}: {stated}' is no day", "write it as 2025-04-08", at=key, mistake=Mistake.NOT_A_DATE)
        return default
    return read.day


def _zone(section: Section) -> ZoneInfo | None:
    name = section.text("time_zone")
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        section.problem(
            f"'{name}' is no time zone", "write it as Europe/Berlin", at="time_zone", mistake=Mistake.UNKNOWN_TIME_ZONE
        )
        return None
