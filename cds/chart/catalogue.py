"""The catalogue: which codes mean which marker, in which units, and what laboratories, therapies and events there are.

Everything here is read from `rules/`, so that a site adds a marker, a laboratory or a local code without Python.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from cds.chart.context import EventCatalogue, load_events
from cds.chart.declarations import CHECKS, PARTS, WORDS, Declarations, Laboratory, load_declarations
from cds.chart.therapy import TherapyCatalogue, load_therapies
from cds.chart.units import SCALES, Family, Unit, Units, normalised
from cds.errors import Problem
from cds.layers import Rules, rule_files
from cds.mistakes import Mistake
from cds.source import Section, raise_if_any

CANONICAL = "https://exowatch.example/fhir"
MARKER_SYSTEM = f"{CANONICAL}/CodeSystem/exosomal-marker"
METHOD_SYSTEM = f"{CANONICAL}/CodeSystem/exosomal-method"


class Meaning(NamedTuple):
    """What a code stands for: a marker on a scale, another `analyte` of the same name, or neither (`ignored`)."""

    marker: str
    scale: str = "linear"
    analyte: str | None = None
    ignored: bool = False
    laboratory: Laboratory | None = None  # for a laboratory's own code


@dataclass(frozen=True, slots=True)
class Marker:
    """A marker as its file describes it; coefficients of variation are fractions."""

    name: str
    title: str
    short: str
    families: Mapping[str, Family]
    units: Units
    cva: float
    cvi: float
    checks: Mapping[str, str]  # check -> "any", "plasma" (only for it) or "stated" (either answer will do)
    cargo: str = ""
    compartment: str = ""
    gene: Mapping[str, str] = field(default_factory=dict)
    bound_by: str = ""  # therapy class whose drugs bind what the assay measures
    specimens: tuple[str, ...] = ()  # the only ones in which it may be measured; empty: any
    must_not_use: str = ""  # the retracted evidence record: results are logged and never interpreted


class Recognised(NamedTuple):
    """What an Observation's codes say it is; all empty for one that is none of our business."""

    meaning: Meaning | None = None
    total_ev: bool = False
    suspicious: str = ""  # an unmapped code in the words of a marker
    coded: bool = True  # there is a code or a text that can be read


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything that is needed to turn FHIR resources into a chart."""

    markers: Mapping[str, Marker]
    therapies: TherapyCatalogue
    events: EventCatalogue
    declarations: Declarations
    codes: Mapping[tuple[Any, Any], Meaning]  # by (system, code)
    parts: Mapping[tuple[Any, Any], str]  # components, by (system, code)
    suspicious: re.Pattern[str]  # what an unmapped code that may be a marker looks like
    recognised: dict[Any, Recognised] = field(default_factory=dict, compare=False, repr=False)  # codes seen before
    wordings: dict[bytes, Any] = field(default_factory=dict, compare=False, repr=False)  # see `cds.chart.measurement`


def load_catalogue(rules: Rules) -> Catalogue:
    """The catalogue of a rules folder. Raises `RuleBookError` with every problem found."""
    problems: list[Problem] = []
    catalogue = read_catalogue(rules, problems)
    raise_if_any(problems)
    return catalogue


def read_catalogue(rules: Rules, problems: list[Problem]) -> Catalogue:
    """Like `load_catalogue`, but mistakes are added to `problems`."""
    markers: dict[str, Marker] = {}
    therapies = load_therapies(rules, problems)
    codes: dict[tuple[str, str], Meaning] = {}
    rules = rule_files(rules)
    for file in rules.of("markers"):
        section = file.read(problems)
        if section is None:
            continue
        marker = _marker(section)
        if marker.name in markers:
            section.problem(
                f"the marker '{marker.name}' has two files", "keep one", "marker", mistake=Mistake.MARKER_TWICE
            )
        elif marker.name != Path(file.name).stem:
            section.problem(
                f"the marker is called '{marker.name}', its file is not", "name file and marker alike", "marker",
                Mistake.MARKER_FILE_NAME,
            )  # fmt: skip
        if marker.bound_by and marker.bound_by not in therapies.classes:
            classes = ", ".join(therapies.classes)
            section.problem(
                f"'{marker.bound_by}' is no therapy class", f"classes: {classes}", "bound_by", Mistake.UNKNOWN_THERAPY
            )
        markers[marker.name] = marker
        _codes(section, marker, codes)
    declarations = load_declarations(rules, {name: marker.units for name, marker in markers.items()}, problems)
    for local in declarations.codes:
        known = codes.setdefault(
            (local.system, local.code), Meaning(local.marker, local.scale, laboratory=local.laboratory)
        )
        if (known.marker, known.scale, known.analyte) != (local.marker, local.scale, None):
            text, hint = f"code '{local.code}' already means {known.marker}", "a code has one meaning"
            problems.append(Problem(*local.place, text, hint, mistake=Mistake.CODE_TWICE))
    parts = {(MARKER_SYSTEM, part): part for part in PARTS} | declarations.parts
    return Catalogue(
        markers,
        therapies,
        load_events(rules, problems),
        declarations,
        codes,
        parts,
        _suspicious(markers),
    )


def _marker(section: Section) -> Marker:
    retracted = section.text("must_not_use")
    section.keys(
        "marker", "title", "short", "cargo", "compartment", "codes", "units", *(() if retracted else ("cv", "checks")),
        optional=("gene", "other_analytes", "ignored", "bound_by", "must_not_use", "cv", "checks", "specimens"),
    )  # fmt: skip
    families: dict[str, Family] = {}
    units: dict[tuple[str, str], Unit] = {}
    for name, entry in section.named("units"):
        family = _family(name, entry)
        families[name] = family
        for text, factor in family.factors.items():
            if (family.scale, text) in units:
                entry.problem(
                    f"'{text}' is a unit of two families",
                    "values of two families never compare",
                    "accepts",
                    mistake=Mistake.UNIT_TWICE,
                )
            units[family.scale, text] = Unit(family, factor)
    cv = section.section("cv")
    if cv.value:
        cv.keys("analytical", "within_person", "because")
    checks = section.section("checks")
    checks.keys(optional=tuple(CHECKS))
    for specimen in section.texts("specimens"):
        if specimen not in WORDS["specimen"]:
            known = ", ".join(WORDS["specimen"])
            section.problem(f"'{specimen}' is no specimen", f"one of: {known}", "specimens", Mistake.UNKNOWN_WORD)
    gene = section.section("gene")
    return Marker(
        section.text("marker"),
        section.text("title"),
        section.text("short"),
        families,
        units,
        cv.percent("analytical"),
        cv.percent("within_person"),
        {name: checks.choice(name, ("any", "plasma", "stated"), "any") for name in checks.value},
        section.text("cargo"),
        section.text("compartment"),
        {name: gene.text(name) for name in gene.value},
        section.text("bound_by"),
        section.texts("specimens"),
        retracted,
    )


def _family(name: str, entry: Section) -> Family:
    entry.keys("canonical", "accepts", optional=("scale", "per_ev"))
    accepts = entry.section("accepts")
    factors: dict[str, Decimal] = {}
    for text in accepts.value:
        if accepts.number(text) <= 0:
            accepts.problem(
                f"'{text}' needs a factor above 0",
                "how many canonical units it is",
                at=text,
                mistake=Mistake.FACTOR_NOT_POSITIVE,
            )
            continue
        factors[normalised(text)] = Decimal(accepts.text(text))
    canonical = entry.text("canonical")
    if factors.get(normalised(canonical)) != 1:
        entry.problem(
            "the canonical unit is to be accepted with factor 1",
            f"add '{canonical}: 1'",
            "accepts",
            mistake=Mistake.CANONICAL_UNIT,
        )
    return Family(
        name,
        canonical,
        entry.choice("scale", SCALES, "linear"),
        entry.choice("per_ev", ("divide", "itself")),
        factors,
    )


def _codes(section: Section, marker: Marker, codes: dict[tuple[str, str], Meaning]) -> None:
    for kind in ("codes", "other_analytes", "ignored"):
        for entry in section.sections(kind):
            entry.keys("code", optional=("system", {"codes": "scale", "other_analytes": "is"}.get(kind, "is")))
            key = entry.text("system", MARKER_SYSTEM), entry.text("code")
            if key in codes and not (kind == "ignored" and codes[key].ignored):
                entry.problem(
                    f"code '{key[1]}' already means {codes[key].marker}",
                    "a code has one meaning",
                    "code",
                    mistake=Mistake.CODE_TWICE,
                )
            codes[key] = Meaning(
                marker.name,
                entry.choice("scale", SCALES, "linear") if kind == "codes" else "linear",
                entry.text("is", key[1]) if kind == "other_analytes" else None,
                kind == "ignored",
            )


def _suspicious(markers: Mapping[str, Marker]) -> re.Pattern[str]:
    symbols = {marker.gene["symbol"] for marker in markers.values() if marker.gene.get("symbol")}
    words = [r"exosom", r"extracellular.?vesic", r"\bs?EVs?\b", *(rf"\b{re.escape(symbol)}" for symbol in symbols)]
    return re.compile("|".join(words), re.IGNORECASE)
