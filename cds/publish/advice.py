"""Advice as FHIR: a DetectedIssue for each advisory, GuidanceResponse and RequestGroup for each evaluation, with Provenance.

A DetectedIssue is never `final` by itself: only what a board decided about is. What was withdrawn because its data were wrong
is `entered-in-error`; what was closed or superseded is `cancelled`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cds.advice.advisory import Advisory
from cds.publish.vocabulary import (
    ISSUES,
    PRODUCT,
    Resource,
    Vocabulary,
    device_id,
    literal_references,
    narrative,
    on_server,
    without_nothing,
)

_STATUS = {
    "open": "preliminary",
    "not-reassessable": "preliminary",
    "withdrawn": "entered-in-error",
    "superseded": "cancelled",
    "closed": "cancelled",
}
_CONFIRMED = (
    "accept", "discussed-no-change", "imaging-requested", "repeat-requested", "biopsy-requested", "therapy-reviewed",
)  # fmt: skip
"""Dispositions by which a board made the advice its own; all but the first stand in older records only."""
_PRIORITY = {"info": "routine", "warning": "urgent"}


@dataclass(frozen=True, slots=True)
class Mitigation:
    """What a board decided about an advisory."""

    code: str
    by: str
    at: str  # instant
    final: bool = True  # it is about what stands now, and none has taken its place
    label: str = ""


@dataclass(frozen=True, slots=True)
class Issue:
    """An advisory of the record with what was said last. `standing` is a `lifecycle.Standing`, times are instants."""

    id: str
    patient: str
    standing: str
    reason: str
    opened: str
    changed: str
    revision: int
    said: Advisory
    mitigations: tuple[Mitigation, ...] = ()
    server: str = ""  # base of the FHIR server that holds the patient's record; "" if unknown


@dataclass(frozen=True, slots=True)
class Answered:
    """An evaluation with its cards."""

    id: str
    patient: str
    encounter: str
    at: str  # instant
    service: str
    request: str  # the hook instance
    said: Sequence[Advisory]
    cards: Sequence[Mapping[str, Any]]
    issues: Mapping[str, str]  # digest of an Advisory → id of its DetectedIssue
    server: str = ""  # base of the FHIR server that holds the patient's record; "" if unknown


class AdvicePublisher:
    """Advice under a site's canonical base. `software` is name and version of this software."""

    def __init__(self, canonical: str, software: str):
        self._words = Vocabulary(canonical)
        self._software = software
        self._author = {"reference": f"Device/{device_id(software)}", "display": software}

    def device(self) -> Resource:
        """This software, as the author of everything here."""
        name, _, version = self._software.partition(" ")
        return without_nothing(
            {
                "resourceType": "Device",
                "id": device_id(self._software),
                "text": narrative(f"{self._software}: advisory decision support, not a medical device"),
                "status": "active",
                "deviceName": [{"name": name or PRODUCT, "type": "user-friendly-name"}],
                "version": [{"value": version}] if version else [],
            }
        )

    def detected_issue(self, issue: Issue) -> Resource:
        """One advisory. Deterministic: the same advisory is the same bytes."""
        said, words = issue.said, self._words
        code, display = ISSUES.get(said.state, ISSUES["watch"])
        decided = issue.standing == "open" and any(one.final and one.code in _CONFIRMED for one in issue.mitigations)
        changed = max([issue.changed, *(one.at for one in issue.mitigations)])
        status = _STATUS[issue.standing]
        text = [said.headline, said.explanation, f"Status: {issue.standing} ({issue.reason})", said.fixed_sentence]
        made = without_nothing(
            {
                "resourceType": "DetectedIssue",
                "id": issue.id,
                "meta": {"versionId": str(issue.revision + len(issue.mitigations)), "lastUpdated": changed},
                "text": narrative(*text),
                "identifier": [words.identifier("advisory", issue.id)],
                "status": "final" if decided and status == "preliminary" else status,
                "code": words.concept("exowatch-issue", code, display),
                "severity": "moderate" if said.indicator == "warning" else "low",
                "patient": {"reference": issue.patient},
                "identifiedDateTime": issue.opened,
                "author": self._author,
                "implicated": literal_references(said.treatment.refs if said.treatment else ()),
                "evidence": [{"detail": found}]
                if (found := literal_references(one.ref for one in said.readings))
                else [],
                "detail": " ".join(text),
                "reference": words.url("PlanDefinition", said.rule.name),
                "mitigation": [self._mitigation(one) for one in issue.mitigations],
            }
        )
        return on_server(made, issue.server)

    def _mitigation(self, one: Mitigation) -> Resource:
        label = one.label or one.code.replace("-", " ")
        return {
            "action": self._words.concept("exowatch-disposition", one.code, label),
            "date": one.at,
            "author": {"display": one.by},
        }

    def provenance(self, issue: Issue) -> Resource:
        """From which results, by which rule in which version, by which software an advisory came."""
        said, words = issue.said, self._words
        rule = f"{words.url('Library', said.rule.name)}|{said.rule.hash[:12]}"
        sources: list[Resource] = [
            {"role": "source", "what": what} for what in literal_references(one.ref for one in said.readings)
        ]
        sources.append(
            {
                "role": "derivation",
                "what": {
                    "identifier": {"system": "urn:ietf:rfc:3986", "value": rule},
                    "display": f"{said.rule.title}; rule book {said.rule.rulebook_hash[:12]}",
                },
            }
        )
        made = {
            "resourceType": "Provenance",
            "id": issue.id,
            "text": narrative(f"{said.rule.title}, version {said.rule.hash[:12]}, by {self._software}"),
            "target": [{"reference": f"DetectedIssue/{issue.id}"}],
            "recorded": issue.changed,
            "agent": [
                {
                    "type": {
                        "coding": [
                            {
                                "system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
                                "code": "assembler",
                                "display": "Assembler",
                            }
                        ]
                    },
                    "who": self._author,
                }
            ],
            "entity": sources,
        }
        return on_server(made, issue.server)

    def guidance(self, answered: Answered) -> list[Resource]:
        """The GuidanceResponse of an evaluation, and the RequestGroup that holds its cards if it has any."""
        words = self._words
        wanting = [one for one in answered.said if one.missing and one.indicator]
        missing = list(dict.fromkeys(text for one in wanting for text in one.missing))
        group = self._group(answered) if answered.cards else None
        about = [
            {"reference": f"DetectedIssue/{answered.issues[one.digest]}"}
            for one in answered.said
            if one.digest in answered.issues
        ]
        response = without_nothing(
            {
                "resourceType": "GuidanceResponse",
                "id": answered.id,
                "meta": {"lastUpdated": answered.at},
                "text": narrative(
                    f"{len(answered.cards)} cards were shown", f"Missing: {'; '.join(missing)}" if missing else ""
                ),
                "requestIdentifier": words.identifier("hook-instance", answered.request) if answered.request else None,
                "identifier": [words.identifier("evaluation", answered.id)],
                "moduleUri": words.url("cds-services", answered.service),
                "status": "data-required" if missing else "success",
                "subject": {"reference": answered.patient},
                "encounter": {"reference": answered.encounter} if answered.encounter else None,
                "occurrenceDateTime": answered.at,
                "performer": self._author,
                "reasonReference": about,
                "note": [{"text": f"Missing: {text}"} for text in missing],
                "result": {"reference": f"RequestGroup/{answered.id}"} if group is not None else None,
                "dataRequirement": [self._requirement(one) for one in wanting],
            }
        )
        return [on_server(one, answered.server) for one in (response, group) if one is not None]

    def _requirement(self, said: Advisory) -> Resource:
        return {
            "type": "Observation",
            "profile": [self._words.url("StructureDefinition", "exosomal-marker-observation")],
            "mustSupport": ["code", "value", "specimen", "method", "component"],
            "codeFilter": [
                {
                    "path": "code",
                    "code": [
                        self._words.coding("exosomal-marker", marker, name)
                        for marker, name in zip(said.markers, said.marker_names, strict=True)
                    ],
                }
            ],
        }

    def _group(self, answered: Answered) -> Resource:
        contained: list[Resource] = []
        actions = [self._action(card, answered.patient, contained) for card in answered.cards]
        return without_nothing(
            {
                "resourceType": "RequestGroup",
                "id": answered.id,
                "meta": {"lastUpdated": answered.at},
                "text": narrative(*(str(card["summary"]) for card in answered.cards)),
                "contained": contained,
                "identifier": [self._words.identifier("evaluation", answered.id)],
                "instantiatesUri": [self._words.url("cds-services", answered.service)],
                "status": "active",
                "intent": "proposal",
                "priority": max((_PRIORITY[card["indicator"]] for card in answered.cards), key=_urgency),
                "subject": {"reference": answered.patient},
                "encounter": {"reference": answered.encounter} if answered.encounter else None,
                "authoredOn": answered.at,
                "author": self._author,
                "action": actions,
            }
        )

    def _action(self, card: Mapping[str, Any], patient: str, contained: list[Resource]) -> Resource:
        source = card["source"]
        suggestions = [self._suggestion(one, contained) for one in card.get("suggestions", ())]
        resource = None
        if not suggestions:  # an action has actions or a resource: a card that suggests nothing tells something
            name = f"draft-{len(contained) + 1}"
            payload = [{"contentString": card["summary"]}]
            contained.append(
                {
                    "resourceType": "CommunicationRequest", "id": name, "status": "draft",
                    "subject": {"reference": patient}, "payload": payload,
                }
            )  # fmt: skip
            resource = {"reference": f"#{name}"}
        return without_nothing(
            {
                "id": card["uuid"],
                "title": card["summary"],
                "description": card["detail"],
                "priority": _PRIORITY[card["indicator"]],
                "documentation": [
                    without_nothing({"type": "documentation", "label": source["label"], "url": source.get("url")})
                ],
                "selectionBehavior": card.get("selectionBehavior") if suggestions else None,
                "action": suggestions,
                "resource": resource,
            }
        )

    @staticmethod
    def _suggestion(suggestion: Mapping[str, Any], contained: list[Resource]) -> Resource:
        steps: list[Resource] = []
        for action in suggestion.get("actions", ()):
            name = f"draft-{len(contained) + 1}"
            contained.append({**action["resource"], "id": name})
            steps.append({"description": action["description"], "resource": {"reference": f"#{name}"}})
        return without_nothing({"id": suggestion["uuid"], "title": suggestion["label"], "action": steps})


def _urgency(priority: str) -> int:
    return ("routine", "urgent").index(priority)
