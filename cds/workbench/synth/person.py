"""An invented patient: what is true of a person before it is written as FHIR.

Days are calendar days, `collected` and `issued` FHIR texts, values as the laboratory prints them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Laboratory:
    """A laboratory as it signs its results."""

    name: str
    identifier: str
    system: str | None = None


@dataclass(frozen=True, slots=True)
class Assay:
    """How a laboratory measures one marker."""

    code: str  # of the code system exosomal-marker
    unit: str
    limit: Decimal | None  # of detection, in `unit`
    laboratory: Laboratory
    specimen: str = "plasma"
    tube: str = "edta"
    isolation: str = "sec"
    method: str = "flow-cytometry"
    platform: str = "cytometer-1"
    reagents: str = "clone-1"
    normaliser: str = "none"
    lot: str = "1"
    efficiency: Decimal | None = None  # of the PCR, as a fraction
    checks: Mapping[str, str] = field(default_factory=dict)  # check -> answer, as in the code system exosomal-method
    declared: bool = False  # the laboratory has declared all this once and sends only what differs


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a result. `value` None: nothing was measured."""

    issued: str
    status: str = "final"
    value: Decimal | None = None
    comparator: str | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """One result, with its versions in the order of issue."""

    id: str
    specimen_id: str
    collected: str | None
    assay: Assay
    versions: tuple[Version, ...]
    total_ev: Decimal | None = None  # 10^9 particles per mL
    unit: str | None = None  # of the value, as sent: None if the laboratory left it out
    stated: Mapping[str, str] = field(default_factory=dict)  # parts sent with this result beside what is declared


@dataclass(frozen=True, slots=True)
class Therapy:
    """One drug of a line. Given as single doses, or as a period that may be open."""

    drug: str
    start: date
    end: date | None = None
    doses: tuple[date, ...] = ()  # set: MedicationAdministrations, else one record of the period
    ordered: bool = False  # MedicationRequest instead of MedicationStatement
    neoadjuvant: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """A curative operation on the breast primary."""

    day: date
    kind: str = "lumpectomy"


@dataclass(frozen=True, slots=True)
class Disturbance:
    """infection, pregnancy, transfusion or radiotherapy; `end` None: not over."""

    kind: str
    start: date
    end: date | None = None


@dataclass(frozen=True, slots=True)
class Imaging:
    """A response assessment: CR, PR, SD, PD, NE, iCR, iPR, iSD, iUPD, iCPD."""

    day: date
    response: str


@dataclass(frozen=True, slots=True)
class Former:
    """Under what a patient was known until two records were found to be of one person: samples before `until` stand there."""

    id: str
    number: str
    until: date


@dataclass(frozen=True, slots=True)
class Person:
    """A patient with everything that will stand in the record. Receptors: True positive, False negative."""

    id: str
    born: date
    diagnosed: date
    given: str = ""
    family: str = ""
    number: str = ""  # of the record
    sex: str = "female"
    disease: str = "invasive"  # invasive | dcis
    metastasis: str | None = None  # liver | bone
    receptors: Mapping[str, bool] = field(default_factory=dict)  # er, pr, her2
    measurements: tuple[Measurement, ...] = ()
    therapies: tuple[Therapy, ...] = ()
    operations: tuple[Operation, ...] = ()
    disturbances: tuple[Disturbance, ...] = ()
    imaging: tuple[Imaging, ...] = ()
    former: Former | None = None
    died: date | None = None

    def known_as(self, measurement: Measurement) -> tuple[str, str]:
        """Id and record number under which a result stands."""
        former, day = self.former, (measurement.collected or measurement.versions[0].issued)[:10]
        if former is not None and day < former.until.isoformat():
            return former.id, former.number
        return self.id, self.number
