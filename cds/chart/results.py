"""From a marker Observation to a `Result`: one value, its method, its limits, and whatever is wrong with it.

A marker Observation in a status that counts always becomes a Result. What cannot be used of it is named in
`Result.faults`, so that a bad value never looks like no value.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Any

from cds.chart.assay import (
    Json,
    Sample,
    checks_of,
    code,
    codings,
    efficiency,
    fraction,
    laboratory_of,
    parts_of,
    platform_of,
    read_type_word,
    sample_of,
    text,
    word,
)  # fmt: skip
from cds.chart.catalogue import Catalogue, Marker, Meaning, Recognised
from cds.chart.clock import Known, When, when
from cds.chart.declarations import Assay
from cds.chart.model import Method, Result
from cds.chart.units import linear
from cds.chart.values import INFINITE, Value, bounded, per_ev, read_count, read_value

COUNTS = frozenset({"final", "amended", "corrected"})
ABSENT = frozenset({"registered", "preliminary", "cancelled", "entered-in-error", "unknown"})
REVISED = frozenset({"amended", "corrected", "cancelled", "entered-in-error"})

_EARLIEST = date(1900, 1, 1)
"""An older date is a typing error."""


def recognise(observation: Json, catalogue: Catalogue) -> Recognised:
    """What an Observation is about, by (system, code) only.

    Codes that name a marker and something else at once make it another analyte: the weaker reading.
    """
    concept = observation.get("code")
    if not isinstance(concept, dict):
        return _NOTHING
    try:
        stated = concept.get("coding")
        if isinstance(stated, list) and len(stated) == 1 and isinstance(stated[0], dict):
            coding = stated[0]
            key: Any = (coding.get("system"), coding.get("code"), coding.get("display"), concept.get("text"))
        else:
            key = (
                *[(coding.get("system"), coding.get("code"), coding.get("display")) for coding in codings(concept)],
                concept.get("text"),
            )
        return catalogue.recognised[key]
    except KeyError:
        found = _recognised(concept, catalogue)
        if len(catalogue.recognised) < _SEEN_AT_MOST:
            catalogue.recognised[key] = found
        return found
    except TypeError:  # a system, code or display that is no text
        return _recognised(concept, catalogue)


_NOTHING = Recognised()
_SEEN_AT_MOST = 20_000


def _recognised(concept: Json, catalogue: Catalogue) -> Recognised:
    found: Meaning | None = None
    total_ev = False
    name, words = "", text(concept.get("text"))
    for coding in codings(concept):
        system, value = text(coding.get("system")), text(coding.get("code"))
        words = words or text(coding.get("display"))
        name = name or f"{system}|{value}"
        total_ev = total_ev or catalogue.parts.get((system, value)) == "total-ev"
        meaning = catalogue.codes.get((system, value))
        if meaning is None or found is None:
            found = found or meaning
        elif (found.marker, found.scale, found.analyte, found.ignored) != (
            meaning.marker, meaning.scale, meaning.analyte, meaning.ignored,
        ):  # fmt: skip
            marker = found if not found.ignored else meaning
            analyte = found.analyte or meaning.analyte or "something else as well, by its other code"
            found = marker._replace(analyte=analyte, ignored=False)
    label = f"{name} ({words})"[:200]
    suspicious = found is None and not total_ev and catalogue.suspicious.search(label) is not None
    return Recognised(found, total_ev and found is None, label if suspicious else "")


def collected(observation: Json, sample: Sample) -> When | None:
    """When the specimen was collected (`issued` is never taken for it); None if the day is not known."""
    period = observation.get("effectivePeriod")
    stated = when(
        observation.get("effectiveDateTime")
        or observation.get("effectiveInstant")
        or (period.get("start") if isinstance(period, dict) else None)
    )
    for found in (stated, sample.collected):
        if found is not None and found.first == found.last and found.first >= _EARLIEST:
            return found
    return None


def read_result(
    observation: Json, ref: str, meaning: Meaning, known: Known, catalogue: Catalogue, index: Mapping[str, Json]
) -> Result:
    """The Result of a marker Observation whose status counts."""
    marker = catalogue.markers[meaning.marker]
    parts = parts_of(observation, catalogue)
    sample = sample_of(observation, index)
    laboratory, declaration = laboratory_of(observation, meaning, index, catalogue)
    taken = collected(observation, sample)
    declared: set[str] = set()
    if taken is not None and taken.utc and declaration is not None and declaration.zone is not None:
        # The laboratory's software writes Greenwich time; its own calendar says on which day the blood was drawn.
        taken = taken.at(declaration.zone)
        declared.add("collected")
    day = None if taken is None else taken.first
    assay = declaration.assay(meaning.marker, day) if declaration is not None else None
    if assay is not None and laboratory is not None and not observation.get("performer"):
        declared.add("laboratory")

    method = _method(observation, parts, sample, meaning.scale, assay, declared)
    checks = checks_of(parts)
    if sample.haemolysed:
        checks["haemolysis"] = False
    spellings = None
    cva, cvi = fraction(parts.get("analytical-cv")), fraction(parts.get("within-person-cv"))
    lot, regulatory = word(parts.get("reagent-lot")), word(parts.get("regulatory-status"))
    bridged = word(parts.get("bridging")) == "stated"
    if assay is not None:
        spellings = assay.units
        for name, answer in assay.checks.items():
            if name not in checks and name not in parts:
                checks[name] = answer
                declared.add(name)
        if assay.cva is not None and "analytical-cv" not in parts:
            cva = assay.cva
            declared.add("cva")
        if assay.cvi is not None and "within-person-cv" not in parts:
            cvi = assay.cvi
            declared.add("cvi")
        if assay.lot is not None and "reagent-lot" not in parts:
            lot = assay.lot
            declared.add("lot")
        if assay.bridged and "bridging" not in parts:
            bridged = True
            declared.add("bridged")
        if assay.regulatory is not None and "regulatory-status" not in parts:
            regulatory = assay.regulatory
            declared.add("regulatory")

    value = read_value(observation, marker.units, meaning.scale, method.efficiency, spellings)
    faults = {value.fault} if value.fault else set()
    lod = _limit(parts, marker, value, meaning.scale, method, assay, declared)
    low, high, censored, fault = bounded(value, lod)
    if fault:
        faults.add(fault)
    if meaning.analyte is not None:
        faults.add("different-analyte")
    if taken is None:
        faults.add("no-collection-date")
    family = value.unit.family if value.unit is not None else None
    count = read_count(parts["total-ev"]) if "total-ev" in parts else None
    per_low, per_high = per_ev(low, high, family, count)
    since = known if not known.assumed else Known.supposed(taken)
    return Result(
        ref,
        meaning.marker,
        day,
        None if taken is None else taken.time,
        value.shown,
        low,
        high,
        None if family is None else family.name,
        None if family is None else family.canonical,
        lod if lod is not None or not censored else high,
        censored,
        per_low,
        per_high,
        None if count is None else count.shown,
        meaning.analyte,
        method,
        laboratory,
        lot,
        bridged,
        checks,
        cva,
        cvi,
        sample.identity,
        observation["status"],
        since.text,
        since.assumed,
        frozenset(declared),
        (),
        frozenset(faults),
        regulatory,
    )


@lru_cache(maxsize=4096)
def _intern(*fields: Any) -> Method:
    """One Method for all results measured alike: they are compared with each other again and again."""
    return Method(*fields)


def _method(
    observation: Json,
    parts: Mapping[str, Json],
    sample: Sample,
    scale: str,
    assay: Assay | None,
    declared: set[str],
) -> Method:
    if "specimen-type" in parts and sample.type is None:
        sample = Sample(sample.identity, tube=sample.tube, isolation=sample.isolation, haemolysed=sample.haemolysed)
        read_type_word(word(parts["specimen-type"]), sample)
    fields = [
        sample.type,
        word(parts.get("tube")) or sample.tube,
        word(parts.get("isolation")) or sample.isolation,
        code(observation.get("method")),
        platform_of(observation, parts),
        word(parts.get("reagents")),
        word(parts.get("normaliser")),
        efficiency(parts.get("amplification-efficiency")) if scale == "delta-ct" else None,
    ]
    if assay is not None:
        for number, (name, part) in enumerate(_METHOD.items()):
            if fields[number] is None and part not in parts:
                fill = getattr(assay.method, name)
                if fill is None or (name == "specimen" and sample.type_unknown):
                    continue
                if name == "efficiency" and scale != "delta-ct":
                    continue
                fields[number] = fill
                declared.add(name)
    return _intern(*fields)


# The fields of Method in their order, with the component that states each.
_METHOD = {
    "specimen": "specimen-type",
    **{name: name for name in ("tube", "isolation", "assay", "platform", "reagents", "normaliser")},
    "efficiency": "amplification-efficiency",
}


def _limit(
    parts: Mapping[str, Json],
    marker: Marker,
    value: Value,
    scale: str,
    method: Method,
    assay: Assay | None,
    declared: set[str],
) -> float | None:
    """The limit of detection on the linear scale of the value's own family."""
    if value.unit is None:
        return None
    part = parts.get("limit-of-detection")
    if part is not None:
        limit = read_value(part, marker.units, scale, method.efficiency, assay.units if assay is not None else None)
        if limit.unit is None or limit.unit.family.name != value.unit.family.name:
            return None
        return (limit.high if limit.high != INFINITE else limit.low) or None
    if assay is None or assay.lod is None:
        return None
    figures, unit_text = assay.lod
    unit = marker.units.get((scale, unit_text))
    if unit is None or unit.family.name != value.unit.family.name:
        return None
    if unit.family.scale == "delta-ct" and method.efficiency is None:
        return None
    declared.add("lod")
    return linear(figures, unit, method.efficiency)
