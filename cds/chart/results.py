"""From a marker Observation to a `Result`: one value, its method, its limits, and whatever is wrong with it.

A marker Observation in a status that counts always becomes a Result. What cannot be used of it is named in
`Result.faults`, so that a bad value never looks like no value.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from cds.chart.assay import Json, Sample, codings, sample_of, text
from cds.chart.catalogue import MARKER_SYSTEM, METHOD_SYSTEM, Catalogue, Meaning, Recognised
from cds.chart.clock import Known, When, when
from cds.chart.measurement import wording_of
from cds.chart.model import Result
from cds.chart.values import Limits, above_count, bounded, per_ev, read_count, read_value

COUNTS = frozenset({"final", "amended", "corrected"})
ABSENT = frozenset({"registered", "preliminary", "cancelled", "entered-in-error", "unknown"})
REVISED = frozenset({"amended", "corrected", "cancelled", "entered-in-error"})

_STATED = frozenset({"effectiveDateTime", "effectiveInstant", "effectivePeriod"})
_ONE_DAY = timedelta(days=1)
"""Two clocks in two time zones may write the same moment on two days."""
_LATEST = date(9999, 1, 1)
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


_NOTHING = Recognised(coded=False)
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
    label = (f"{name} ({words})" if words else name)[:200]
    # Codes of our own that are no marker (a response by imaging, a method) are nobody's riddle.
    ours = name.startswith((f"{METHOD_SYSTEM}|", f"{MARKER_SYSTEM}|total-ev"))
    suspicious = found is None and not total_ev and not ours and catalogue.suspicious.search(label) is not None
    coded = words is not None or any(text(coding.get("code")) for coding in codings(concept))
    return Recognised(found, total_ev and found is None, label if suspicious else "", coded)


def collected(observation: Json, sample: Sample) -> When | None:
    """When the specimen was collected (`issued` is never taken for it); None if the day is not known.

    None too where Observation and Specimen contradict each other, or the Observation states what cannot be read.
    """
    period = observation.get("effectivePeriod")
    stated = when(
        observation.get("effectiveDateTime")
        or observation.get("effectiveInstant")
        or (period.get("start") if isinstance(period, dict) else None)
    )
    if stated is not None and stated is sample.collected and stated.first == stated.last and stated.first >= _EARLIEST:
        return stated  # the usual shape: both say the same in the same words
    exact = [
        found
        for found in (stated, sample.collected)
        if found is not None and found.first == found.last and found.first >= _EARLIEST
    ]
    if not exact:
        return None
    if _STATED.isdisjoint(observation) or sample.collected is None:
        return exact[0]
    # Both say when: what cannot be read, or names another day, leaves it open which of them is right.
    first, last = (stated.first, stated.last) if stated is not None else (date.max, date.max)
    near = first - _ONE_DAY if first > _EARLIEST else first
    agrees = near <= sample.collected.last and sample.collected.first <= min(last, _LATEST) + _ONE_DAY
    return exact[0] if agrees else None


def undated(observation: Json, sample: Sample) -> str:
    """Why the collection that is stated of an undated result is of no use, in words; "" if none is stated."""
    period, collection = observation.get("effectivePeriod"), (sample.resource or {}).get("collection")
    own = observation.get("effectiveDateTime") or observation.get("effectiveInstant") or _start(period)
    theirs = None
    if isinstance(collection, dict):
        theirs = collection.get("collectedDateTime") or _start(collection.get("collectedPeriod"))
    sent = [raw for raw in (own, theirs) if raw and str(raw).strip()]
    days = []
    for raw in sent:
        if not isinstance(raw, str):
            return f"{_KINDS.get(type(raw), 'a number')} stands where a date belongs"
        day = when(raw)
        if day is None:
            return f"“{''.join(sign for sign in raw[:40] if sign.isprintable()).strip()}” is no date"
        if day.first < _EARLIEST:
            return f"“{day.text}” lies before {_EARLIEST.year}"
        days.append(day.text[:10])
    if len(days) == 2:
        return f"its Observation says {days[0]} and its Specimen {days[1]}"
    if days:
        return f"“{days[0]}” names no day"
    return "its effectivePeriod is no period" if period and not isinstance(period, dict) else ""


_KINDS = {dict: "an object", list: "a list", bool: "true or false"}


def _start(period: object) -> Any:
    return period.get("start") if isinstance(period, dict) else None


def read_result(
    observation: Json, ref: str, meaning: Meaning, known: Known, catalogue: Catalogue, index: Mapping[str, Json]
) -> Result:
    """The Result of a marker Observation whose status counts."""
    marker = catalogue.markers[meaning.marker]
    sample = sample_of(observation, index)
    wording, counted = wording_of(observation, sample.resource, meaning, catalogue, index)
    declaration, laboratory = wording.declaration, wording.laboratory
    taken = collected(observation, sample)
    filled: list[str] = []
    if taken is not None and declaration is not None and declaration.zone is not None and taken.utc:
        # The laboratory's software writes Greenwich time; its own calendar says on which day the blood was drawn.
        taken = taken.at(declaration.zone)
        filled.append("collected")
    day = None if taken is None else taken.first
    assay = declaration.assay(meaning.marker, day) if declaration is not None else None
    if assay is not None and laboratory is not None and not observation.get("performer"):
        filled.append("laboratory")
    measured = wording.measurement(marker, assay)

    value = read_value(observation, marker.units, meaning.scale, measured.method.efficiency, measured.spellings)
    family = None if value.unit is None else value.unit.family
    limits, declared, unread = (Limits(), measured.declared, ()) if family is None else measured.limits(family)
    low, high, censored, fault = bounded(value, limits)
    lod = limits.detection
    faults = [name for name in (value.fault, fault) if name]
    if meaning.analyte is not None:
        faults.append("different-analyte")
    if family is not None and family.scale == "delta-ct" and measured.method.normaliser == "none":
        faults.append("no-reference-gene")  # what is left is the amount of RNA, not its expression
    if taken is None:
        faults.append("no-collection-date")
    count = None if counted is None else read_count(counted)
    if above_count(low, family, count):
        faults.append("above-total-ev")
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
        measured.method,
        laboratory,
        measured.lot,
        measured.bridged,
        measured.checks,
        measured.cva,
        measured.cvi,
        sample.identity,
        observation["status"],
        since.text,
        since.assumed,
        declared.union(filled) if filled else declared,
        (),
        frozenset(faults) if faults else _NO_FAULTS,
        measured.regulatory,
        unread,
        undated(observation, sample) if taken is None else "",
    )


_NO_FAULTS: frozenset[str] = frozenset()
