"""The chart: a patient's record as the rules see it, as of one moment.

Everything here is plain, immutable data in the field's own words. A chart holds only what was known at
`Chart.as_of`: what became known later (a correction, an end date, a scan) is not in it. All dates are calendar
days as written at their source; every measurement is on the linear scale of its marker's unit family.

Three-valued fields are `bool | None`: `None` means *unknown*, never *no*.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

import msgspec

Tri = bool | None
"""A three-valued truth: True, False, or None for unknown."""

_NOTHING: Mapping[str, bool] = MappingProxyType({})


class Method(msgspec.Struct, frozen=True):
    """How a value was obtained: two results compare only if these agree. `None`: not stated by anyone."""

    specimen: str | None = None  # "serum" | "plasma" | ...
    tube: str | None = None  # additive: "edta", "citrate", "serum-gel", ...
    isolation: str | None = None  # "sec", "uc", "precipitation", ...
    assay: str | None = None  # "flow-cytometry", "elisa", "rt-qpcr", ...
    platform: str | None = None  # instrument
    reagents: str | None = None  # antibody clone or primer set, with calibrator
    normaliser: str | None = None  # reference gene, spike-in, or "none"
    efficiency: Decimal | None = None  # qPCR efficiency as a fraction (1.00 = perfect doubling); only for delta-Ct


class Result(msgspec.Struct, frozen=True):
    """One marker measurement: one specimen, one method, one value, in a status that counts.

    `low` and `high` bound the value on the linear scale of the unit family (`family`): equal for a plain number,
    `(0, LOD)` for a value below the limit of detection, `(LOD, LOQ)` for one detected and not quantified. Both are None if there is no usable number; `faults`
    then says why.

    `faults` holds any of: "no-collection-date", "no-unit", "negative", "zero-without-lod", "conflict" (another
    value for the same day), "after-as-of" (collected after the moment of the chart), "no-value",
    "unreadable-value", "different-analyte", "unit-not-convertible", "efficiency-not-stated", "no-reference-gene" (a ΔCt
    over none), "above-total-ev" (more of the marker than vesicles in all). Of the last two the number stands in `low` and `high`,
    and is of no use.
    """

    ref: str  # "Observation/123"
    marker: str  # key of rules/markers/
    collected: date | None
    collected_time: time | None = None
    shown: str = ""  # value and unit as the laboratory wrote them: "5.6 10*6/mL", "<0.5 ..."
    low: float | None = None
    high: float | None = None
    family: str | None = None  # unit family: only values of one family can be compared
    unit: str | None = None  # the family's own unit, in which low and high are given
    lod: float | None = None  # limit of detection in `unit`
    censored: bool = False  # True if the value is below the LOD (an interval, not a number)
    per_ev_low: float | None = None  # the value per total EV count, as an interval; None: cannot be formed
    per_ev_high: float | None = None
    total_ev: str | None = None  # total EV count as shown: "1.1e10 {particles}/mL"
    analyte: str | None = None  # what it really is, if not this marker ("soluble PD-L1"): fault "different-analyte"
    method: Method = Method()
    laboratory: str | None = None
    lot: str | None = None
    bridged: bool = False  # the laboratory states bridging to its earlier lot, kit, LOD or to the earlier laboratory
    checks: Mapping[str, bool] = _NOTHING
    # quality and controls that were stated, True = clear / passed / tolerant, False = failed; a missing key is unknown:
    # "haemolysis", "residual-platelets", "lipaemia", "dna-control", "drug-tolerance"
    cva: float | None = None  # analytical coefficient of variation as a fraction, if the laboratory states it
    cvi: float | None = None  # within-person coefficient of variation as a fraction, if the laboratory states it
    specimen_id: str | None = None
    status: str = "final"  # final | amended | corrected
    known: str = ""  # when it became known, as text
    known_assumed: bool = False  # True: no issue or update time given, taken from the collection time
    declared: frozenset[str] = frozenset()  # names of fields filled from the laboratory's declaration
    also: tuple[str, ...] = ()  # references of duplicates that were counted as this one result
    faults: frozenset[str] = frozenset()  # why it cannot be used; see above
    regulatory: str | None = None  # "RUO", "LDT", "IVD", with accreditation as stated
    unread: tuple[str, ...] = ()  # limits of the assay that were stated and cannot be read: "limit-of-quantification"
    undated: str = ""  # why a collection date that was sent is of no use; "" if there is one, or none was sent

    @property
    def unquantified(self) -> bool:
        """Whether it was detected, and lies below the limit of quantification."""
        low, high = self.low, self.high
        return not self.censored and low is not None and high is not None and low < high < math.inf


class DrugCourse(msgspec.Struct, frozen=True):
    """A drug of a line, and the days on which it was or may have been going on: both ends included, None for an open one."""

    drug: str
    first: date | None
    last: date | None
    given: date | None = None  # the last day known, without the bridge that `last` counts; None: as `last`


class Line(msgspec.Struct, frozen=True):
    """A run of one therapy class. Drugs of several classes given together make one line for each class."""

    therapy: str  # key of rules/therapies/
    drugs: tuple[str, ...]
    start: date | None  # None: the start is not documented
    end: date | None = None  # last day; None: open (running, or the end is not documented)
    extent: str = (
        "known"  # "known" | "assumed-ongoing" (open, still active by its status) | "unknown" (how long: unknown)
    )
    planned: bool = False  # not begun at the moment of the chart
    first_dose: time | None = None
    neoadjuvant: Tri = None
    refs: tuple[str, ...] = ()
    courses: tuple[DrugCourse, ...] = ()  # of a line of several drugs; empty: each drug over the whole line

    def drugs_on(self, day: date) -> tuple[str, ...]:
        """The drugs that may have been going on on `day`; in a pause those before it, before the first day those of that day."""
        if not self.courses:
            return self.drugs
        found = [
            one for one in self.courses
            if (one.first is None or one.first <= day) and (one.last is None or day <= one.last)
        ]  # fmt: skip
        if not found:
            ended = max((one.last for one in self.courses if one.last is not None and one.last < day), default=None)
            begins = min((one.first for one in self.courses if one.first is not None), default=None)
            found = [one for one in self.courses if (one.last == ended if ended is not None else one.first == begins)]
        return tuple(dict.fromkeys([one.drug for one in found]))

    def drug_runs(self) -> tuple[DrugCourse, ...]:
        """The courses of its drugs, those of one drug that meet taken together; empty as `courses` is."""
        found: list[DrugCourse] = []
        for one in sorted(self.courses, key=lambda one: one.first or date.min):
            before = next((each for each in reversed(found) if each.drug == one.drug), None)
            if before is not None and (before.last is None or one.first is None or one.first <= before.last):
                last = None if None in (before.last, one.last) else max(before.last or date.min, one.last or date.min)
                longer = one if last is None or one.last == last else before
                found[found.index(before)] = DrugCourse(one.drug, before.first, last, longer.given)
            else:
                found.append(one)
        return tuple(found)

    def runs_on(self, day: date) -> Tri:
        """Whether this line runs on `day`: None if its start or its extent is not documented."""
        if self.planned:
            return False
        if self.start is None:
            return None if self.end is None or day <= self.end else False
        if day < self.start:
            return False
        if self.end is not None:
            return day <= self.end
        return None if self.extent == "unknown" and day > self.start else True


class Unrecognised(msgspec.Struct, frozen=True):
    """A treatment of which no therapy class is known: unknown is not false (R6)."""

    line: Line  # its `therapy` is ""
    may_be: tuple[str, ...] = ()  # keys of rules/therapies/; empty: any
    against_cancer: bool = False  # False: nothing says what it is, so it may be none


Side = Literal["left", "right", "both"]
"""Which breast."""


def both_or_one(sides: Collection[Side | None]) -> Side | None:
    """The sides taken together; those that are not known add nothing."""
    known = {side for side in sides if side is not None}
    return next(iter(known)) if len(known) == 1 else "both" if known else None


class Operation(msgspec.Struct, frozen=True):
    """One operation. `curative`: a curative-intent resection of the breast primary; unknown of a resection after another
    of which nothing tells whether it removed more of the tumour or the other, healthy breast."""

    day: date
    curative: Tri
    planned: bool = False
    ref: str = ""
    side: Side | None = None  # None: not stated


class Event(msgspec.Struct, frozen=True):
    """Something that disturbs markers for a while; kinds are the keys of rules/events/.

    Kinds that gates use: "radiotherapy", "infection", "pregnancy", "lactation", "transfusion" (operations are `Operation`s).
    Kinds that only add a note: "g-csf", "steroid", "autoimmune", "immune-adverse-event", "vaccination",
    "hepatic", "renal". An operation of which only the month or the year is known is "operation-of-uncertain-day".
    """

    kind: str
    start: date | None  # None: onset not documented, taken as before everything
    end: date | None = None  # last day, day of resolution, delivery; None: still on
    ref: str = ""
    curative: Tri = None  # of "operation-of-uncertain-day", done on one of these days: as of an `Operation`


class Imaging(msgspec.Struct, frozen=True):
    """A response assessment by imaging: CR, PR, SD, PD, NE, or iCR, iPR, iSD, iUPD, iCPD."""

    day: date
    response: str
    ref: str = ""


class Diagnosis(msgspec.Struct, frozen=True):
    """Disease and receptors. `other_cancer`: another active malignancy than breast cancer is recorded."""

    invasive_breast_cancer: Tri = None
    metastatic: Tri = None
    other_cancer: bool = False
    er: Tri = None
    pr: Tri = None
    her2: Tri = None
    her2_changed: bool = False
    refs: tuple[str, ...] = ()
    side: Side | None = None  # of the breast cancers that are not over; None: not stated
    suspected_side: Side | None = None  # of those that are only suspected

    @property
    def perhaps_side(self) -> Side | None:
        """The side of those that are known and those that are suspected."""
        return both_or_one((self.side, self.suspected_side))

    @property
    def hormone_receptor(self) -> Tri:
        """ER or PR positive (Kleene's or)."""
        if self.er or self.pr:
            return True
        return False if self.er is False and self.pr is False else None


class LeftOut(msgspec.Struct, frozen=True):
    """Something in the input that was not used: where it stood, why, and what can be done."""

    where: str  # "Bundle.entry[3].resource.valueQuantity" or "line 7"
    what: str  # "Observation/123"
    reason: str
    hint: str = ""
    hides_results: bool = False  # it may have been, or held, a marker result


class Chart(msgspec.Struct, frozen=True):
    """A patient's record as of one moment; see the module's docstring."""

    patient: str  # "Patient/123"
    as_of: date
    birth_date: date | None = None  # of a year or a month the last day
    born_from: date | None = None  # and the first; None if the day itself is stated
    sex: str | None = None
    diagnosis: Diagnosis = Diagnosis()
    lines: tuple[Line, ...] = ()  # sorted by start
    unrecognised: tuple[Unrecognised, ...] = ()  # sorted by start
    operations: tuple[Operation, ...] = ()  # sorted by day
    undated_resection: bool = False  # one that may have removed the tumour is recorded, and no day, month or year of it
    events: tuple[Event, ...] = ()
    imaging: tuple[Imaging, ...] = ()  # sorted by day
    results: Mapping[str, tuple[Result, ...]] = msgspec.field(default_factory=dict)  # by marker, sorted by collection
    left_out: tuple[LeftOut, ...] = ()
    unmapped: tuple[str, ...] = ()  # codes that look like markers and are mapped by nobody
    birth_date_text: str | None = None
    deceased: bool = False  # recorded as dead by then; where no readable day is stated, at any time
    died: date | None = None  # the day, if one is stated
    voided: tuple[str, ...] = ()  # marker results that were taken back: entered in error, cancelled, preliminary again
    again: datetime | None = None  # when the first of what says that it is still to come begins to count
