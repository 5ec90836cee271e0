"""From what a laboratory sent to FHIR R4: marker Observations with their Specimens, and whose and whence they are.

What a result is called in FHIR says `cds.intake.ids`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from cds.chart.catalogue import CANONICAL, MARKER_SYSTEM, METHOD_SYSTEM, Catalogue, Meaning
from cds.chart.declarations import CHECKS
from cds.chart.units import UCUM, normalised
from cds.intake.delivery import Code, Refused, Sent, SentSpecimen
from cds.intake.ids import NOT_TOLD_APART, made_id, result_key
from cds.intake.interfaces import Interface

Json = dict[str, Any]

_SYSTEMS = {
    "LN": "http://loinc.org",
    "SCT": "http://snomed.info/sct",
    "HL70487": "http://terminology.hl7.org/CodeSystem/v2-0487",
    "HL70493": "http://terminology.hl7.org/CodeSystem/v2-0493",
}
"""Names of code systems in HL7 table 0396."""
UNKNOWN_CODE = (
    "no rule file says what its code means", "add the code to the laboratory's file, if it is a marker's",
)  # fmt: skip
_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_PROFILE = f"{CANONICAL}/StructureDefinition/exosomal-marker-observation"
_COUNT_PROFILE = f"{CANONICAL}/StructureDefinition/exosomal-total-ev-observation"
_FIGURES = (
    "limit-of-detection",
    "limit-of-quantification",
    "total-ev",
    "analytical-cv",
    "within-person-cv",
    "amplification-efficiency",
)
_ANSWERS = {**CHECKS, "bridging": ("stated", "not-stated")}
_NO_VALUE = "http://terminology.hl7.org/CodeSystem/data-absent-reason"


@dataclass(slots=True)
class Mapped:
    """What became of a delivery: resources, and what was refused."""

    resources: list[Json] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    mapped: int = 0  # results that stand in the resources, as Observations or as parts of one


@dataclass(frozen=True, slots=True)
class _Known:
    """A result, and what its code means here."""

    sent: Sent
    code: Code  # the one of its codes that is known
    meaning: Meaning | None
    part: str
    key: str  # what tells it from others of its patient; "" if nothing does


def mapped(sent: Iterable[Sent], interface: Interface, catalogue: Catalogue, source: str, received: datetime) -> Mapped:
    """The resources of what was sent; `source` (the file) and `received` (aware) are for their Provenance.

    A result whose code nobody maps, whose unit is none of the marker's, or which belongs to no marker result, is refused.
    """
    return _Mapping(interface, catalogue, source, received).of(sent)


class _Mapping:
    """One delivery on its way to FHIR."""

    def __init__(self, interface: Interface, catalogue: Catalogue, source: str, received: datetime):
        self._interface, self._catalogue = interface, catalogue
        self._source, self._received = source, received
        self._laboratory = interface.laboratory
        self._found = Mapped()
        self._made: dict[str, Json] = {}  # patients and specimens, each once

    def of(self, sent: Iterable[Sent]) -> Mapped:
        groups: dict[Any, list[_Known]] = {}
        for one in sent:
            known = self._known(one)
            if known is not None:
                groups.setdefault((one.person, one.order, one.specimen), []).append(known)
        for group in groups.values():
            self._group(group)
        self._found.resources[:0] = self._made.values()
        return self._found

    def _refuse(self, one: Sent, reason: str, hint: str, *, foreign: bool = False) -> None:
        what = next((code.code or code.text for code in one.codes), "?")
        self._found.refused.append(Refused(one.where, what, reason, hint, foreign=foreign))

    # what it is ------------------------------------------------------------------------------------------------

    def _known(self, one: Sent) -> _Known | None:
        if not one.person.names:
            self._refuse(
                one, "it does not say whose result it is", "send the patient's number with its authority (PID-3)"
            )
            return None
        for code in one.codes:
            key = self._system(code), code.code
            part, meaning = self._catalogue.parts.get(key, ""), self._catalogue.codes.get(key)
            if part or (meaning is not None and not meaning.ignored):
                known = _Known(one, code, meaning, part, _key(one, part if part == "total-ev" else code.code))
                if not known.key and (meaning is not None or part == "total-ev"):  # other parts go with their result
                    self._refuse(one, *NOT_TOLD_APART)
                    return None
                return known
        shown = " ".join(f"{code.code} {code.text}" for code in one.codes)
        self._refuse(one, *UNKNOWN_CODE, foreign=self._catalogue.suspicious.search(shown) is None)
        return None

    def _system(self, code: Code) -> str:
        """The code system that a name means; a local one is the laboratory's own."""
        name = code.system
        known = self._interface.systems.get(name) or _SYSTEMS.get(name)
        return known or (name if ":" in name else self._laboratory.code_system)

    # one order -------------------------------------------------------------------------------------------------

    def _group(self, group: Sequence[_Known]) -> None:
        results = [one for one in group if one.meaning is not None]
        made: list[tuple[Sent, Json]] = []
        for one in results:
            observation = self._observation(one)
            if observation is not None:
                made.append((one.sent, observation))
        for one in group:
            if one.meaning is None:
                self._part(one, made)
        for sent, observation in made:
            if self._meets_profile(observation):
                observation["meta"] = {"profile": [_PROFILE]}
            self._keep(sent, observation)

    def _meets_profile(self, observation: Json) -> bool:
        """Whether it is a marker's, has a time and a value or the reason for none, and its parts answer what they are asked."""
        codes = self._catalogue.codes
        stated = [codes.get((coding.get("system"), coding["code"])) for coding in observation["code"]["coding"]]
        parts = observation.get("component", ())
        return (
            "effectiveDateTime" in observation
            and ("valueQuantity" in observation or "dataAbsentReason" in observation)
            and all(meaning is None or meaning.analyte is None for meaning in stated)
            and len({_asked(part) for part in parts}) == len(parts)
            and all(map(_fits, parts))
        )

    def _part(self, one: _Known, results: Sequence[tuple[Sent, Json]]) -> None:
        if one.part == "total-ev":  # counted in a specimen, whatever else was measured in it
            count = self._plain(one, {"system": MARKER_SYSTEM, "code": "total-ev"}) | _value(one.sent)
            if "code" in count.get("valueQuantity", {}):
                count["meta"] = {"profile": [_COUNT_PROFILE]}
            self._keep(one.sent, count)
            return
        owners = [found for sent, found in results if sent.sub == one.sent.sub] if len(results) > 1 else [
            found for _, found in results
        ]  # fmt: skip
        if len(owners) != 1:
            reason = (
                "no marker result of its order was taken" if not owners else "its order holds several marker results"
            )
            self._refuse(
                one.sent, reason, "send it in the order of its result, with the same OBX-4 if there are several"
            )
            return
        component = {"code": {"coding": [{"system": MARKER_SYSTEM, "code": one.part}]}, **self._answer(one)}
        owners[0].setdefault("component", []).append(component)
        self._found.mapped += 1

    def _answer(self, one: _Known) -> Json:
        value = one.sent.value
        said = value.code if isinstance(value, Code) else value
        if isinstance(said, str) and said.lower() in _ANSWERS.get(one.part, ()):
            return {"valueCodeableConcept": {"coding": [{"system": METHOD_SYSTEM, "code": said.lower()}]}}
        return _value(one.sent)

    def _keep(self, sent: Sent, observation: Json) -> None:
        source = f"{self._source}, {sent.where}"
        self._found.resources += [
            observation,
            provenance(
                observation["id"], self._laboratory.title, source, self._received, message=sent.message, order=sent.order
            ),
        ]  # fmt: skip
        self._found.mapped += 1

    # resources -------------------------------------------------------------------------------------------------

    def _observation(self, one: _Known) -> Json | None:
        sent, meaning = one.sent, one.meaning
        if meaning is None:
            return None
        if isinstance(sent.value, Decimal) and meaning.analyte is None:
            marker = self._catalogue.markers[meaning.marker]
            spelt = {
                own: unit for assay in self._laboratory.assays.get(marker.name, ()) for own, unit in assay.units.items()
            }
            reason, hint = wrong_unit(sent.unit, marker.name, meaning.scale, self._catalogue, spelt)
            if reason:
                self._refuse(sent, reason, hint)
                return None
        coding = {"system": self._system(one.code), "code": one.code.code, "display": one.code.text}
        observation = self._plain(one, {name: text for name, text in coding.items() if text}) | _value(sent)
        ours = next(self._ours(meaning), None)
        if ours is not None and coding["system"] != MARKER_SYSTEM:
            observation["code"]["coding"].append({"system": MARKER_SYSTEM, "code": ours})
        if sent.method is not None:
            observation["method"] = self._concept(sent.method)
        if sent.device:
            observation["device"] = {"display": sent.device}
        return observation

    def _ours(self, meaning: Meaning) -> Iterator[str]:
        """The code of our own code system for what a laboratory calls otherwise."""
        wanted = (meaning.marker, meaning.scale, meaning.analyte, False)
        for (system, code), known in self._catalogue.codes.items():
            if system == MARKER_SYSTEM and (known.marker, known.scale, known.analyte, known.ignored) == wanted:
                yield code

    def _plain(self, one: _Known, coding: Json) -> Json:
        sent = one.sent
        patient = self._patient(sent)
        signed = [{"system": system, "value": value} for system, value in sorted(self._laboratory.identifiers)[:1]]
        observation: Json = {
            "resourceType": "Observation",
            "id": self._id("Observation", self._number(patient), one.key),
            "identifier": [{"system": self._laboratory.code_system or "urn:ietf:rfc:3986", "value": one.key}],
            "status": sent.status,
            "category": [{"coding": [{"system": _CATEGORY, "code": "laboratory"}]}],
            "code": {"coding": [coding]},
            "subject": {"reference": f"Patient/{patient['id']}"},
            "performer": [
                *({"identifier": one, "display": self._laboratory.title} for one in signed),
            ],
        }
        if sent.measured_at:
            observation["effectiveDateTime"] = sent.measured_at
        if len(sent.reported) > 10:  # an instant has a time
            observation["issued"] = sent.reported
        if sent.specimen is not None and sent.specimen.id:
            specimen = self._specimen(sent.specimen, patient)
            observation["specimen"] = {"reference": f"Specimen/{specimen['id']}"}
        return observation

    def _patient(self, sent: Sent) -> Json:
        names = [
            {"value": name.value} | ({"system": self._authority(name.authority)} if name.authority else {})
            for name in sent.person.names
        ]
        # One number with two dates of birth is two people: only one of them can be whose number it is.
        told = [text for name in names for text in (name.get("system", ""), name["value"])]
        born = [sent.person.birth_date] if sent.person.birth_date else []
        made: Json = {"resourceType": "Patient", "id": self._id("Patient", *told, *born), "identifier": names}
        if sent.person.gender:
            made["gender"] = sent.person.gender
        if born:
            made["birthDate"] = sent.person.birth_date
        self._made[made["id"]] = made
        return made

    def _number(self, patient: Json) -> str:
        """What a patient's results are named by: their number, whatever else is said of them and corrected later."""
        first = patient["identifier"][0]
        return self._id("Patient", first.get("system", ""), first["value"])

    def _authority(self, stated: str) -> str:
        known = self._interface.authorities.get(stated, stated)
        return f"urn:oid:{known}" if known.replace(".", "").isdigit() and "." in known else known

    def _specimen(self, sent: SentSpecimen, patient: Json) -> Json:
        made: Json = {
            "resourceType": "Specimen",
            "id": self._id("Specimen", patient["id"], sent.id),
            "identifier": [{"value": sent.id}],
            "subject": {"reference": f"Patient/{patient['id']}"},
        }
        if sent.type is not None:
            made["type"] = self._concept(sent.type)
        if sent.collected:
            made["collection"] = {"collectedDateTime": sent.collected}
        if sent.received:
            made["receivedTime"] = sent.received
        if sent.condition is not None:
            made["condition"] = [self._concept(sent.condition)]
        self._made[made["id"]] = made
        return made

    def _concept(self, code: Code) -> Json:
        known = self._interface.methods.get(code.code) or self._interface.methods.get(code.text)
        if known:
            return {"coding": [{"system": METHOD_SYSTEM, "code": known}]}
        if not code.code or not code.system:
            return {"text": code.text or code.code}
        return {"coding": [{"system": self._system(code), "code": code.code}]} | (
            {"text": code.text} if code.text else {}
        )

    def _id(self, kind: str, *parts: str) -> str:
        return made_id(self._laboratory.name, kind, *parts)


def provenance(
    observation: str, sender: str, source: str, received: datetime, *, message: str = "", order: str = ""
) -> Json:
    """Whence an Observation came: who sent it, and where in what they sent it stands, by the sender's own numbers too."""
    numbers = [
        {"role": "source", "what": {"type": kind, "identifier": {"value": number}}}
        for kind, number in (("MessageHeader", message), ("ServiceRequest", order))
        if number
    ]
    return {
        "resourceType": "Provenance",
        "id": made_id(sender, "Provenance", observation, source),
        "target": [{"reference": f"Observation/{observation}"}],
        "recorded": received.isoformat(),
        "agent": [{"who": {"display": sender}}],
        "entity": [{"role": "source", "what": {"display": source}}, *numbers],
    }


def wrong_unit(unit: str, marker: str, scale: str, catalogue: Catalogue, spelt: Mapping[str, str]) -> tuple[str, str]:
    """Why a unit cannot be that of a marker's value, and what to do; two empty texts if it can.

    `spelt` translates a laboratory's own spellings.
    """
    known, name = catalogue.markers[marker].units, normalised(unit)
    if (scale, spelt.get(name, name)) in known:
        return "", ""
    accepted = ", ".join(sorted({one for of, one in known if of == scale})[:6])
    reason = f"'{unit[:40]}' is no unit of {marker}" if unit else "it has no unit"
    return reason, f"the marker's file accepts {accepted} …; values are never converted by guess"


def _key(sent: Sent, code: str) -> str:
    drawn = sent.specimen.id if sent.specimen is not None else ""
    return result_key(code, own=sent.key, shared=drawn or sent.order, sub=sent.sub, at=sent.measured_at)


def _asked(component: Json) -> str:
    return str(component["code"]["coding"][0]["code"])


def _fits(component: Json) -> bool:
    """Whether a part's value is of the kind that the profile knows: a figure, one of the answers, or a word."""
    part = _asked(component)
    if part in _FIGURES:
        return "valueQuantity" in component
    if part in _ANSWERS:
        return any(
            coding["system"] == METHOD_SYSTEM and coding["code"] in _ANSWERS[part]
            for coding in component.get("valueCodeableConcept", {}).get("coding", ())
        )
    return "valueString" in component or "valueCodeableConcept" in component


def _value(sent: Sent) -> Json:
    value = sent.value
    if value is None:
        return {"dataAbsentReason": {"coding": [{"system": _NO_VALUE, "code": "unknown"}]}}
    if isinstance(value, Code):
        return {"valueCodeableConcept": {"text": value.text or value.code}}
    if isinstance(value, str):
        return {"valueString": value}
    quantity: Json = {"value": value}
    if sent.comparator:
        quantity["comparator"] = sent.comparator
    if sent.unit:
        quantity |= {"unit": sent.unit, "system": UCUM, "code": normalised(sent.unit)}
    return {"valueQuantity": quantity}
