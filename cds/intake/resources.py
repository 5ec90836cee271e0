"""Results that come as FHIR: each Observation is taken as it is, or refused with a reason.

Ids are made anew (`cds.intake.ids`); what refers to another resource of the delivery follows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from cds.chart.assay import codings, text
from cds.chart.catalogue import MARKER_SYSTEM, Catalogue
from cds.chart.envelope import Entry, unpack
from cds.chart.results import recognise
from cds.errors import InputError
from cds.intake.delivery import Refused
from cds.intake.ids import NOT_TOLD_APART, made_id, result_key
from cds.intake.mapping import UNKNOWN_CODE, Mapped, provenance, wrong_unit
from cds.publish.check import problems

Json = dict[str, Any]

_KEPT = ("Observation", "Specimen", "Device")
_NO_NARRATIVE = "dom-6"
_MISTYPED = "likely mistyped: correct it; if it is right and a marker's, add it to the laboratory's file in rules/labs/"


def taken(data: bytes, sender: str, source: str, catalogue: Catalogue, received: datetime) -> tuple[Mapped, int]:
    """What becomes of a Bundle, a list or a single Observation, and how many Observations there are in it.

    `sender` is whose ids they are. Raises `InputError` for what is no FHIR JSON, or holds no Observation.
    """
    envelope = unpack(data)
    if not any(entry.kind == "Observation" for entry in envelope.entries):
        raise InputError(
            "there is no Observation in it; send a Bundle with the results and their Specimens, or one Observation"
        )
    taking = _Taking(sender, source, catalogue, received, envelope.entries)
    for left in envelope.left_out:
        taking.found.refused.append(Refused(left.where, left.what, left.reason, left.hint, results=1))
    found = taking.all()
    return found, sum(entry.kind == "Observation" for entry in envelope.entries) + len(envelope.left_out)


class _Taking:
    """One delivery."""

    def __init__(self, sender: str, source: str, catalogue: Catalogue, received: datetime, entries: list[Entry]):
        self.found = Mapped()
        self._sender, self._source, self._catalogue, self._received = sender, source, catalogue, received
        self._entries = entries
        self._by_ref: dict[str, Entry] = {}
        for entry in entries:
            for name in (entry.ref, entry.url):
                if name:
                    self._by_ref.setdefault(name, entry)
        self._ids = {id(entry): self._id(entry) for entry in entries}
        self._patients: dict[str, Json] = {}

    def all(self) -> Mapped:
        taken: list[tuple[Entry, Json]] = []
        for entry in self._entries:
            owner = self._whose(entry) if entry.kind == "Observation" else None
            if owner is not None:
                taken.append((entry, owner))
                self._patients[owner["id"]] = owner
        needed: dict[str, Json] = {}
        observations: list[Json] = []
        for entry, owner in taken:
            subject = {"reference": f"Patient/{owner['id']}"}
            one = {**self._following(entry.resource), "id": self._ids[id(entry)], "subject": subject}
            source = f"{self._source}, {entry.path or 'body'}"
            order = next((text for text in _ordered(entry.resource) if text), "")
            observations += [one, provenance(one["id"], self._sender, source, self._received, order=order)]
            needed |= self._companions(entry, subject)
        self.found.resources = [*self._patients.values(), *needed.values(), *observations]
        self.found.mapped = len(taken)
        return self.found

    def _whose(self, entry: Entry) -> Json | None:
        """The Patient whose result it is; None if it was refused."""
        resource = entry.resource
        meaning, total_ev, suspicious, _ = recognise(resource, self._catalogue)
        if (meaning is None and not total_ev) or (meaning is not None and meaning.ignored):
            self._refuse_code(entry, suspicious=bool(suspicious))
            return None
        wrong = [one for one in problems(resource) if _NO_NARRATIVE not in one]
        if wrong:
            self._refuse(entry, f"it is no valid FHIR R4: {wrong[0]}", "correct it at the sender")
            return None
        quantity = resource.get("valueQuantity")
        if meaning is not None and meaning.analyte is None and isinstance(quantity, dict):
            unit = str(quantity.get("code") or quantity.get("unit") or "")
            reason, hint = wrong_unit(unit, meaning.marker, meaning.scale, self._catalogue, self._spelt(meaning.marker))
            if reason:
                self._refuse(entry, reason, hint)
                return None
        owner = self._owner(resource)
        if owner is None:
            self._refuse(
                entry, "it does not say whose result it is",
                "send subject.identifier with its system, or the Patient with an identifier",
            )  # fmt: skip
            return None
        if "id" not in resource:
            key = self._key(resource)
            if not key:
                self._refuse(entry, *NOT_TOLD_APART)
                return None
            number = str(owner.get("identifier") or owner.get("link"))
            self._ids[id(entry)] = made_id(self._sender, entry.kind, number, key)
        return owner

    def _refuse_code(self, entry: Entry, *, suspicious: bool) -> None:
        """Name what is no marker's result: a code of a laboratory that is known, or of ours, is rather mistyped than foreign."""
        for coding in codings(entry.resource.get("code")):
            system, code = text(coding.get("system")), text(coding.get("code")) or ""
            if part := self._catalogue.parts.get((system, code)):
                reason = f"its code '{code[:40]}' means {part}, a part of a result"
                return self._refuse(entry, reason, "send it as a component of the Observation that holds the result")
            known = system == MARKER_SYSTEM or system in self._catalogue.declarations.by_code_system
            if known and (system, code) not in self._catalogue.codes:
                reason = f"no rule file says what its code '{code[:40]}' of {system} means"
                return self._refuse(entry, reason, _MISTYPED)
        self._refuse(entry, *UNKNOWN_CODE, foreign=not suspicious)

    def _refuse(self, entry: Entry, reason: str, hint: str, *, foreign: bool = False) -> None:
        self.found.refused.append(Refused(entry.path or "body", entry.ref, reason, hint, foreign=foreign))

    def _spelt(self, marker: str) -> dict[str, str]:
        """How laboratories spell units of a marker; which of them it is, the chart tells by its performer."""
        laboratories = self._catalogue.declarations.laboratories.values()
        assays = (assay for one in laboratories for assay in one.assays.get(marker, ()))
        return {own: unit for assay in assays for own, unit in assay.units.items()}

    # whose ----------------------------------------------------------------------------------------------------------

    def _owner(self, resource: Mapping[str, Any]) -> Json | None:
        """The Patient that is kept for its subject; None if that says nobody."""
        subject = resource.get("subject")
        if not isinstance(subject, dict):
            return None
        reference = subject.get("reference")
        patient: Mapping[str, Any] = {}
        if isinstance(reference, str):
            found = self._by_ref.get(reference)
            inside = [one for one in resource.get("contained", ()) if f"#{one.get('id')}" == reference]
            patient = found.resource if found is not None else inside[0] if inside else {}
        stated = [one for one in (*patient.get("identifier", ()), subject.get("identifier")) if isinstance(one, dict)]
        identifiers = [
            {"system": one["system"], "value": one["value"]} for one in stated if one.get("system") and one.get("value")
        ]
        made: Json = {"resourceType": "Patient"}
        if identifiers:
            made["identifier"] = [one for number, one in enumerate(identifiers) if one not in identifiers[:number]]
        elif isinstance(reference, str) and reference.startswith("https://") and "/Patient/" in reference:
            made["link"] = [{"other": {"reference": reference}, "type": "refer"}]
        else:
            return None
        made |= {name: patient[name] for name in ("birthDate", "gender") if name in patient}
        # One number with two dates of birth is two people: only one of them can be whose number it is.
        told = [repr(made.get("identifier") or reference), *([str(made["birthDate"])] if made.get("birthDate") else [])]
        return made | {"id": made_id(self._sender, "Patient", *told)}

    # ids ------------------------------------------------------------------------------------------------------------

    def _id(self, entry: Entry) -> str:
        """An id that the same resource of the same sender always gets."""
        own = entry.resource.get("id")
        if not isinstance(own, str):
            told = _identifiers(entry.resource)
            own = "\n".join((*told, _text(entry.resource.get("collection")))) if told else _digest(entry.resource)
        return made_id(self._sender, entry.kind, own)

    def _key(self, observation: Json) -> str:
        """What tells an Observation without an id from others of its patient: "" if nothing does."""
        when = ("effectiveDateTime", "effectivePeriod", "effectiveInstant")
        at = next((_text(observation[name]) for name in when if name in observation), "")
        specimen = self._by_ref.get(next(_references(observation.get("specimen")), ""))
        # A number may be that of a visit or an accession, which results of several days share.
        shared = [*_identifiers(observation), at] if _identifiers(observation) else [self._ids.get(id(specimen), "")]
        return result_key(_text(observation["code"]), shared="|".join(shared), at=at)

    def _following(self, value: Any) -> Any:
        """The value with references to resources of the delivery by their new ids."""
        if isinstance(value, list):
            return [self._following(one) for one in value]
        if not isinstance(value, dict):
            return value
        found = self._by_ref.get(value["reference"]) if isinstance(value.get("reference"), str) else None
        if found is not None and found.kind in _KEPT:
            return {**value, "reference": f"{found.kind}/{self._ids[id(found)]}"}
        return {key: self._following(one) for key, one in value.items()}

    def _companions(self, entry: Entry, subject: Json) -> dict[str, Json]:
        """The Specimens and Devices to which an Observation refers, and those to which they do."""
        found: dict[str, Json] = {}
        waiting = list(_references(entry.resource))
        while waiting:
            other = self._by_ref.get(waiting.pop())
            if other is None or other.kind not in _KEPT[1:] or self._ids[id(other)] in found:
                continue
            own = subject if other.kind == "Specimen" else {}
            found[self._ids[id(other)]] = self._following(other.resource) | {"id": self._ids[id(other)]}
            if own:
                found[self._ids[id(other)]]["subject"] = own
            waiting += _references(other.resource)
        return found


def _identifiers(resource: Mapping[str, Any]) -> list[str]:
    """All of them, as texts."""
    stated = resource.get("identifier")
    found = [one for one in (stated if isinstance(stated, list) else ()) if isinstance(one, dict) and one.get("value")]
    return sorted(f"{one.get('system')}|{one['value']}" for one in found)


def _ordered(observation: Mapping[str, Any]) -> Iterator[str]:
    """What its sender calls an Observation, or the order that it is of."""
    stated = observation.get("basedOn")
    orders = [one.get("identifier") for one in (stated if isinstance(stated, list) else ()) if isinstance(one, dict)]
    own = observation.get("identifier")
    for one in (*orders, *(own if isinstance(own, list) else ())):
        if isinstance(one, dict):
            yield str(one.get("value") or "")


def _text(value: Any) -> str:
    """The same text for the same content; "" for none."""
    return "" if value is None else json.dumps(value, sort_keys=True, default=str)


def _digest(resource: Json) -> str:
    return hashlib.sha256(repr(sorted(resource.items(), key=str)).encode()).hexdigest()


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for one in value.values():
            yield from _references(one)
    elif isinstance(value, list):
        for one in value:
            yield from _references(one)
