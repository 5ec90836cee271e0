"""How a value was obtained, as the result states it: specimen, laboratory, and the parts of the measurement.

What is stated in a word that nobody knows is still *stated*: it stays unknown, and no declaration fills it.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from cds.chart.catalogue import METHOD_SYSTEM, Catalogue, Meaning
from cds.chart.clock import When, relative, resolve, when
from cds.chart.declarations import CHECKS, Laboratory
from cds.chart.units import figure, fraction_of_efficiency

SNOMED = "http://snomed.info/sct"
_V2 = "http://terminology.hl7.org/CodeSystem/v2-"

SPECIMENS = {
    (METHOD_SYSTEM, "serum"): "serum",
    (METHOD_SYSTEM, "plasma"): "plasma",
    (SNOMED, "119364003"): "serum",
    (SNOMED, "119361006"): "plasma",
    (f"{_V2}0487", "SER"): "serum",
    (f"{_V2}0487", "PLAS"): "plasma",
}
"""Codes of specimen types → ours."""
BLOOD = frozenset({(SNOMED, "122555007"), (SNOMED, "119297000"), (f"{_V2}0487", "BLD"), (f"{_V2}0487", "BLDV")})
"""Blood as drawn: says neither serum nor plasma, and contradicts neither."""
ADDITIVES = {"EDT": "edta", "SCI": "citrate", "HEP": "heparin", "ACD": "acd"}
"""Codes of HL7 table 0371, by their first letters → ours."""
ISOLATIONS: Mapping[tuple[Any, Any], str] = {(f"{_V2}0373", "UFIL"): "ultrafiltration"}
"""Codes of processing → ours."""

Json = dict[str, Any]


def items(value: object) -> list[Json]:
    """The objects of a JSON list (or a lone object, which some senders write for a list of one)."""
    if isinstance(value, list):
        return [item for item in value if isinstance(item, dict)]
    return [value] if isinstance(value, dict) else []


def codings(concept: object) -> list[Json]:
    """The codings of a CodeableConcept."""
    return items(concept.get("coding")) if isinstance(concept, dict) else []


def text(value: object, longest: int = 200) -> str | None:
    """A text without surplus spaces; None if it is empty or no text."""
    if not isinstance(value, str):
        return None
    if " " not in value and value.isprintable():
        return value[:longest] or None
    return " ".join(value.split())[:longest] or None


def code(concept: object) -> str | None:
    """The word of a CodeableConcept: its code in exosomal-method, else its first code, else its text."""
    if not isinstance(concept, dict):
        return None
    first = None
    for coding in codings(concept):
        word = text(coding.get("code"))
        if word is not None and coding.get("system") == METHOD_SYSTEM:
            return word
        first = first or word
    return first or text(concept.get("text"))


def word(part: Json | None) -> str | None:
    """The answer of a component that is a code or a text."""
    if part is None:
        return None
    try:  # the usual shape, at a third of the price
        coding = part["valueCodeableConcept"]["coding"][0]
        if coding["system"] == METHOD_SYSTEM:
            return text(coding["code"])
    except (KeyError, TypeError, IndexError):
        pass
    concept = part.get("valueCodeableConcept")
    return text(part.get("valueString")) if concept is None else code(concept)


def parts_of(observation: Json, catalogue: Catalogue) -> dict[str, Json]:
    """The components of a result by what they say; where one says it twice, a failed check goes first."""
    parts: dict[str, Json] = {}
    known = catalogue.parts
    for component in items(observation.get("component")):
        try:  # the usual shape
            coding = component["code"]["coding"][0]
            name = known.get((coding["system"], coding["code"]))
        except (KeyError, TypeError, IndexError):
            name = None
        name = name or _part_name(component.get("code"), known)
        if name and (name not in parts or CHECKS.get(name, {}).get(word(component) or "") is False):
            parts[name] = component
    return parts


def _part_name(concept: object, known: Mapping[tuple[Any, Any], str]) -> str | None:
    names = (known.get((text(coding.get("system")), text(coding.get("code")))) for coding in codings(concept))
    return next((name for name in names if name), None)


def checks_of(parts: Mapping[str, Json]) -> dict[str, bool]:
    """Stated checks and controls: True = clear, passed, tolerant. An unreadable answer is left unknown."""
    checks: dict[str, bool] = {}
    for name in CHECKS.keys() & parts.keys():
        answer = CHECKS[name].get(word(parts[name]) or "")
        if answer is not None:
            checks[name] = answer
    return checks


def fraction(part: Json | None) -> float | None:
    """A coefficient of variation given in `%` or as `1`, as a fraction; None outside (0, 5]."""
    quantity = part.get("valueQuantity") if part is not None else None
    value = figure(quantity.get("value")) if isinstance(quantity, dict) else None
    if value is None or abs(value.adjusted()) > 6:
        return None
    stated = float(value) / (100 if _is_percent(quantity) else 1)
    return stated if 0 < stated <= 5 else None


def efficiency(part: Json | None) -> Decimal | None:
    """The qPCR efficiency as a fraction."""
    quantity = part.get("valueQuantity") if part is not None else None
    value = figure(quantity.get("value")) if isinstance(quantity, dict) else None
    return None if value is None else fraction_of_efficiency(value, _is_percent(quantity))


def _is_percent(quantity: Any) -> bool:
    return bool((quantity.get("code") or quantity.get("unit")) == "%")


class Sample(msgspec.Struct, frozen=True):
    """The specimen of a result: its identity, when it was collected, and its resource if the input holds it."""

    identity: str | None = None
    collected: When | None = None
    resource: Json | None = None


class Preparation(NamedTuple):
    """What a specimen is, and what was done to it."""

    type: str | None = None
    type_unknown: bool = False  # a type is stated, in a code that is neither serum nor plasma
    tube: str | None = None
    isolation: str | None = None
    haemolysed: bool = False


_NO_SAMPLE = Sample()


def sample_of(observation: Json, index: Mapping[str, Json]) -> Sample:
    """The specimen of a result."""
    reference = observation.get("specimen")
    if not isinstance(reference, dict):
        return _NO_SAMPLE
    target = text(reference.get("reference"))
    specimen = resolve(reference, observation, index)
    if specimen is None:
        named = _identifier(reference.get("identifier"))
        return Sample(named or (relative(target) if target and target[0] != "#" else None))
    return Sample(_identity(specimen, target), _collected(specimen) if "collection" in specimen else None, specimen)


def preparation_of(specimen: Json | None) -> Preparation:
    """What the specimen is; nothing is known of one that the input does not hold."""
    if specimen is None:
        return Preparation()
    type_, type_unknown = _read_type(specimen.get("type"))
    tube = None
    for container in items(specimen.get("container")):
        additive = code(container.get("additiveCodeableConcept"))
        if additive:
            tube = ADDITIVES.get(additive[:3], additive)
            break
    steps = [step for step in map(_isolation, items(specimen.get("processing"))) if step]
    haemolysed = any(
        coding.get("code") == "HEM" and coding.get("system") == f"{_V2}0493"
        for condition in items(specimen.get("condition"))
        for coding in codings(condition)
    )
    return Preparation(type_, type_unknown, tube, "+".join(steps) or None, haemolysed)


def _identifier(identifier: object) -> str | None:
    return text(identifier.get("value")) if isinstance(identifier, dict) else None


def _identity(specimen: Json, target: str | None) -> str | None:
    if "identifier" in specimen or "accessionIdentifier" in specimen:
        for identifier in (*items(specimen.get("identifier")), specimen.get("accessionIdentifier")):
            if named := _identifier(identifier):
                return named
    # The id of a contained specimen tells it from nothing outside its own Observation.
    return None if not target or target[0] == "#" else text(specimen.get("id")) or target


def _collected(specimen: Json) -> When | None:
    collection = specimen.get("collection")
    if not isinstance(collection, dict):
        return None
    period = collection.get("collectedPeriod")
    return when(collection.get("collectedDateTime")) or (
        when(period.get("start")) if isinstance(period, dict) else None
    )


def _read_type(concept: object) -> tuple[str | None, bool]:
    """The type, and whether one is stated that is neither serum nor plasma."""
    if not isinstance(concept, dict):
        return None, False
    stated = codings(concept)
    unknown = False
    for coding in stated:
        system, value = coding.get("system"), coding.get("code")
        if not isinstance(system, str) or not isinstance(value, str):
            continue
        key = (system, value)
        if key in SPECIMENS:
            return SPECIMENS[key], False
        unknown = key not in BLOOD
    return (None, unknown) if stated else read_type_word(text(concept.get("text")))


def read_type_word(stated: str | None) -> tuple[str | None, bool]:
    """A specimen type given as a word, and whether it is neither serum nor plasma."""
    if stated is None:
        return None, False
    known = stated.lower()
    return (known, False) if known in ("serum", "plasma") else (None, True)


def _isolation(step: Json) -> str | None:
    procedure = step.get("procedure")
    for coding in codings(procedure):
        if coding.get("system") == METHOD_SYSTEM:
            return text(coding.get("code"))
        if known := ISOLATIONS.get((text(coding.get("system")), text(coding.get("code")))):
            return known
    return None


def laboratory_of(
    observation: Json, meaning: Meaning, index: Mapping[str, Json], catalogue: Catalogue
) -> tuple[str | None, Laboratory | None]:
    """The laboratory by the name to compare it by, and its declaration if there is one."""
    declared = catalogue.declarations
    named: str | None = None
    for performer in items(observation.get("performer")):
        reference = text(performer.get("reference"))
        organisation = resolve(performer, observation, index) if reference else None
        identifiers = [performer.get("identifier")] if performer.get("identifier") else []
        identifiers += items(organisation.get("identifier")) if organisation else ()
        for identifier in items(identifiers):
            value = _identifier(identifier)
            known = value and declared.by_identifier.get((text(identifier.get("system")) or "", value))
            if known:
                return known.title, known
            named = named or value
        target = relative(reference) if reference else None
        if target and target in declared.by_reference:
            return declared.by_reference[target].title, declared.by_reference[target]
        if target and target[0] == "#":
            target = text(organisation.get("name")) if organisation else None
        named = named or target or text(performer.get("display"))
    if named is None and meaning.laboratory is not None:
        return meaning.laboratory.title, meaning.laboratory
    return named, None


def platform_of(observation: Json, parts: Mapping[str, Json]) -> str | None:
    """The instrument."""
    stated = word(parts.get("platform"))
    device = observation.get("device")
    if stated or not isinstance(device, dict):
        return stated
    return text(device.get("display")) or _identifier(device.get("identifier")) or text(device.get("reference"))
