"""FHIR JSON in, `Record` out: whose each resource is, which of them are marker results, and which replace which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from cds.chart.assay import Json, items, laboratory_of, sample_of, text
from cds.chart.catalogue import Catalogue, Meaning
from cds.chart.clock import FROM_EVER, Item, Known, When, known_since, relative, when
from cds.chart.context import read_context
from cds.chart.envelope import Entry, Envelope, unpack
from cds.chart.model import LeftOut
from cds.chart.patients import Patients
from cds.chart.record import CountVersion, Identity, Record
from cds.chart.results import (
    ABSENT,
    COUNTS,
    REVISED,
    collected,
    read_result,
    recognise,
)  # fmt: skip
from cds.chart.therapy import read_therapy
from cds.chart.uncoded import uncoded
from cds.chart.values import read_count
from cds.chart.versions import Version, Versions, newest, rank_of, revision
from cds.errors import InputError

SHARED = frozenset(
    {"Medication", "Organization", "Device", "Substance", "Practitioner", "PractitionerRole", "Location"}
)
"""Types of resources that belong to nobody in particular, and to which others refer."""
READ = frozenset(
    {"Observation", "Patient", "Specimen", "Condition", "Procedure", "Immunization", "MedicationRequest",
                 "MedicationStatement", "MedicationAdministration", "MedicationDispense", "DiagnosticReport"}
)  # fmt: skip
"""Types of resources from which a record is read."""
_NAMES = {name.lower(): name for name in READ}


@lru_cache(maxsize=256)
def meant_type(kind: str) -> str:
    """The type of those read here that a misspelt one means; "" for another type of FHIR."""
    (name, *_) = get_close_matches(kind.lower(), _NAMES, n=1, cutoff=0.85) or [""]
    return _NAMES.get(name, "")


def read(
    data: bytes | str | Json | list[Any],
    catalogue: Catalogue,
    *,
    patient: str | None = None,
    received: datetime | None = None,
) -> Record:
    """The record of one patient from FHIR R4 JSON: a Bundle, a list, a resource, NDJSON or a CDS Hooks request.

    `patient` ("123", "Patient/123" or a full URL) is needed only if the input holds several and none is named by a
    hook. `received` (aware) is when data without issue and update time count as known; without it each counts as known
    since its own first clock. What could not be used is in `Record.left_out`. Raises `InputError` if nothing can be read,
    or if it is open whose record it is.
    """
    envelope = unpack(data)
    patients = Patients(envelope.entries)
    name = patient or envelope.patient
    if name is not None:
        key = patients.named(name)
    else:
        keys = patients.keys()
        if not keys:
            raise InputError("The input names no patient. Add the Patient resource, or say whose record it is")
        if len(keys) > 1:
            raise InputError(
                f"The input holds {len(keys)} patients ({', '.join(keys[:3])}{' …' if len(keys) > 3 else ''}). "
                "Say which one is meant, or read them all"
            )
        key = keys[0]
    return _Reading(envelope, patients, catalogue, received).record(key, envelope.entries, patients.owners)


def read_of(patient: str, resources: list[Json], catalogue: Catalogue) -> Record:
    """The record of a patient from resources that are all theirs, or shared; `patient` is their key, as it is, and so that of the record."""
    envelope = unpack(resources)
    patients = Patients(envelope.entries)
    return _Reading(envelope, patients, catalogue, None).record(
        patient, envelope.entries, [patient] * len(envelope.entries)
    )


def read_all(
    data: bytes | str | Json | list[Any], catalogue: Catalogue, *, received: datetime | None = None
) -> list[Record]:
    """The records of all patients of an input, in the order in which they first appear in it (a hook's only its own).

    What belongs to nobody in particular (a medication, an organisation) is at the service of every record; a clinical
    resource without a subject is left out of each. Raises `InputError` if nothing can be read.
    """
    envelope = unpack(data)
    patients = Patients(envelope.entries)
    reading = _Reading(envelope, patients, catalogue, received)
    keys = [patients.named(envelope.patient)] if envelope.patient is not None else patients.keys()
    if len(keys) == 1:
        return [reading.record(keys[0], envelope.entries, patients.owners)]
    own: dict[str | None, list[Entry]] = {key: [] for key in (*keys, None)}
    for entry, owner in zip(envelope.entries, patients.owners, strict=True):
        own[owner].append(entry)
    ownerless = own[None]
    return [
        reading.record(key, [*own[key], *ownerless], [*[key] * len(own[key]), *[None] * len(ownerless)]) for key in keys
    ]


class _Reading:
    """One pass over an input; the index of references is shared by all its patients."""

    def __init__(self, envelope: Envelope, patients: Patients, catalogue: Catalogue, received: datetime | None):
        self.patients = patients
        self.catalogue = catalogue
        self.left_out = envelope.left_out
        self.received = FROM_EVER
        if received is not None:
            aware = received if received.tzinfo is not None else received.replace(tzinfo=UTC)
            stamp = aware.isoformat()
            self.received = Known.at(When(stamp, aware.date(), aware.date(), aware.time(), aware.astimezone(UTC)))
        self.index: dict[str, Json] = {}
        for entry in envelope.entries:
            self.index[entry.ref] = entry.resource
            if entry.url is not None:
                self.index[entry.url] = entry.resource

    def record(self, patient: str, entries: Sequence[Entry], owners: Sequence[str | None]) -> Record:
        markers: list[tuple[Entry, Meaning]] = []
        counts: list[Entry] = []
        others: list[Item] = []
        people: list[Json] = []
        left_out: list[LeftOut] = []
        unmapped: dict[str, None] = {}
        alone = not set(self.patients.keys()) - {patient}
        catalogue, index, received = self.catalogue, self.index, self.received
        for entry, whose in zip(entries, owners, strict=True):
            resource, kind, ref, path = entry.resource, entry.kind, entry.ref, entry.path
            if kind in SHARED:
                continue
            if whose != patient and (whose is not None or not alone):
                left_out.append(_not_theirs(ref, path, whose, patient))
                continue
            if kind == "Observation":
                meaning, total_ev, suspicious, coded = recognise(resource, catalogue)
                if meaning is not None:
                    if not meaning.ignored:
                        markers.append((entry, meaning))
                    continue
                if total_ev:
                    counts.append(entry)
                    continue
                if suspicious:
                    unmapped[suspicious] = None
                    left_out.append(_unmapped(suspicious, ref, path))
                elif not coded and text(resource.get("status")) not in ABSENT:
                    left_out.append(LeftOut(f"{path}.code", ref, "it has no code that can be read", _CODE, True))
            elif kind == "Patient":
                people.append(resource)
                continue
            elif kind == "Specimen":
                continue
            elif kind not in READ and (meant := meant_type(kind)):
                hides = meant == "Observation"
                left_out.append(LeftOut(path, kind, f"'{kind}' is no resource type", f"write {meant}", hides))
                continue
            known, updated = known_since(resource, received)
            others.append(Item(resource, path, ref, known, 0, index, updated))
        _number_versions(others)
        exposures, unread_therapy = read_therapy(others, catalogue.therapies)
        context, unread_context = read_context(others, catalogue.events)
        results = self._results(markers, others, left_out)
        taken = {one.result.collected for versions in results for one in versions if one.result is not None}
        left_out += uncoded(others, sorted(day for day in taken if day is not None))
        return Record(
            self._identity(patient, people),
            catalogue,
            results,
            self._counts(counts, left_out),
            exposures,
            context,
            (*self.left_out, *left_out, *unread_therapy, *unread_context),
            tuple(unmapped),
            tuple(others),
            self._panels(entries) if counts else {},
        )

    def _identity(self, patient: str, people: list[Json]) -> Identity:
        if not people:
            return Identity(patient)
        person = newest(people)
        sex = person.get("gender")
        return Identity(
            patient,
            when(person.get("birthDate")),
            sex if isinstance(sex, str) else None,
            *death_of(person),
        )

    def _results(
        self, markers: list[tuple[Entry, Meaning]], others: list[Item], left_out: list[LeftOut]
    ) -> list[list[Version]]:
        groups, received = Versions(), self.received
        waiting: dict[str, LeftOut] = {}  # results that may still come to count
        for entry, meaning in markers:
            resource = entry.resource
            status = text(resource.get("status")) or ""
            ref = entry.ref
            known, updated = known_since(resource, received)
            if status in REVISED:
                known = updated
            linked = self._linked(resource) if "hasMember" in resource or "derivedFrom" in resource else _LINKED_TO_NONE
            result = None
            if status in COUNTS:
                result = read_result(resource, ref, meaning, known, self.catalogue, self.index)
                taken = result.collected
                left_out += (_unread_limit(entry, name) for name in result.unread)
                if known.assumed:
                    known = Known.supposed(when(result.known))
            else:
                stated = collected(resource, sample_of(resource, self.index))
                taken = None if stated is None else stated.first
                known = Known.supposed(stated) if known.assumed else known
                if status not in ABSENT:
                    left_out.append(
                        LeftOut(
                            f"{entry.path}.status", ref, f"status '{status[:40]}' is none that FHIR knows",
                            "final, amended and corrected count; ask the sender", True,
                        )
                    )  # fmt: skip
                elif status in _NOT_YET:
                    waiting[ref] = LeftOut(
                        f"{entry.path}.status", ref, f"its status is '{status}': it does not count yet",
                        "it counts once it is final", True,
                    )  # fmt: skip
            version = Version(known, updated, resource, result, linked, entry.path)
            groups.add(entry, ref, meaning.marker, version, taken, status in REVISED or status in ABSENT)
        if markers:
            for item in others:  # a later version of a result may carry another code: then it is no result any more
                if item.ref in groups:
                    groups.join(item.ref, Version(item.updated, item.updated, item.resource, None, path=item.path))
        found = groups.in_order()
        if waiting:
            counted = {ref for ref in waiting if any(one.result is not None for one in groups.of(ref))}
            left_out += [item for ref, item in waiting.items() if ref not in counted]
        return found

    def _counts(self, entries: list[Entry], left_out: list[LeftOut]) -> list[list[CountVersion]]:
        found: dict[str, list[CountVersion]] = {}
        for entry in entries:
            resource, ref = entry.resource, entry.ref
            status = text(resource.get("status")) or ""
            sample = sample_of(resource, self.index)
            taken = collected(resource, sample)
            known, updated = known_since(resource, self.received)
            if status in REVISED:
                known = updated
            if known.assumed:
                known = Known.supposed(taken)
            count = read_count(resource) if status in COUNTS else None
            if count is None and status not in ABSENT:
                left_out.append(
                    LeftOut(
                        entry.path, ref, "a total EV count that cannot be read", "a number above 0 in {particles}/mL"
                    )
                )
            laboratory, _ = laboratory_of(resource, Meaning(""), self.index, self.catalogue)
            rank = rank_of(known, updated, resource)
            day = None if taken is None else taken.first
            found.setdefault(ref, []).append(
                CountVersion(known, rank, ref, count, day, laboratory, sample.identity, resource, entry.path)
            )
        return [sorted(versions, key=lambda version: version.rank) for versions in found.values()]

    def _linked(self, resource: Json) -> frozenset[str]:
        """The Observations that this one names, as results call them."""
        targets = [*items(resource.get("hasMember")), *items(resource.get("derivedFrom"))]
        references = [reference for reference in (text(target.get("reference")) for target in targets) if reference]
        return frozenset(self._called(reference, self.index.get(reference)) for reference in references)

    @staticmethod
    def _called(reference: str, resource: Json | None) -> str:
        """How results call what a reference names."""
        if resource is None:
            return relative(reference)
        name = resource.get("id")
        return f"{resource['resourceType']}/{name}" if name and isinstance(name, str) else reference

    def _panels(self, entries: Sequence[Entry]) -> Mapping[str, frozenset[str]]:
        panels: dict[str, frozenset[str]] = {}
        for entry in entries:
            if "hasMember" in entry.resource and entry.kind == "Observation":
                members = self._linked(entry.resource)
                for member in members:
                    panels[member] = panels.get(member, frozenset()) | members
        return panels


_CODE = "write code.coding with a system and a code, so that it is known what was measured"
_NOT_YET = ("preliminary", "registered", "unknown")
_LINKED_TO_NONE: frozenset[str] = frozenset()


def death_of(person: Mapping[str, Any]) -> tuple[bool, When | None]:
    """Whether a Patient resource says that somebody has died, and when; None without a day that can be read."""
    died = person.get("deceasedDateTime")
    dead = person.get("deceasedBoolean") is True or bool(died) or isinstance(person.get("_deceasedDateTime"), dict)
    return dead, when(died)


def _number_versions(items: list[Item]) -> None:
    """Number the versions of one resource in the order in which they replace one another, and put them so."""
    if len({item.ref for item in items}) == len(items):
        return
    items.sort(key=lambda item: (item.known.order, item.updated.order, revision(item.resource)))
    seen: dict[str, int] = {}
    for item in items:
        item.version = seen[item.ref] = seen.get(item.ref, -1) + 1
        if item.version and not item.updated.assumed:
            item.known = item.updated


def _unread_limit(entry: Entry, name: str) -> LeftOut:
    return LeftOut(
        f"{entry.path}.component", entry.ref,
        f"the {name.replace('-', ' ')} that it states cannot be compared with its value, which was used as if none were stated",
        "state the limit as a number above 0 in a unit that converts into that of the value",
    )  # fmt: skip


def _unmapped(label: str, ref: str, path: str) -> LeftOut:
    # Without the words beside the code: those are whatever somebody typed.
    code = label.partition(" (")[0].removeprefix("None|")
    reason = (
        f"no rule file says what its code {code} means" if code else "no rule file says what it is, and it has no code"
    )
    hint = "correct the code where it was written; if it is right, have it declared in rules/labs/"
    return LeftOut(f"{path}.code", ref, reason, hint if code else _CODE, hides_results=True)


def _not_theirs(ref: str, path: str, whose: str | None, patient: str) -> LeftOut:
    if whose is None:
        reason = "it does not say whose it is, and the input holds several patients"
        return LeftOut(path, ref, reason, "add a subject", ref.startswith("Observation/"))
    hint = "send it with that patient's record; if it is this one's, its subject is to be written as Patient/id"
    return LeftOut(path, ref, "belongs to another patient", hint, ref.startswith("Observation/"))
