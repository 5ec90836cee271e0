"""What people say of advice as FHIR: ClinicalImpressions, told apart by their code, and a Task for each action that follows.

Their authors are people, never the rule. A Task is what a board wrote down; it authorises nobody to do anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from cds.publish.vocabulary import Resource, Vocabulary, literal_references, narrative, on_server, without_nothing

Code = tuple[str, str]
"""A code and its label; ("", "") for none."""

ASSESSMENTS = {
    "decision": "Decision of a tumour board about an advisory",
    "second-reading": "Second reading of a decision",
    "outcome": "Outcome after an advisory",
}
"""What a ClinicalImpression of ours is."""
AGREEMENT = {"agrees": "Agrees with the decision", "disagrees": "Does not agree with the decision"}
"""What a second reader says."""

_STATUS = {
    "open": "requested", "done": "completed", "partly": "completed", "not-done": "cancelled", "replaced": "cancelled",
    "unknown": "on-hold",
}  # fmt: skip
_SAID_MORE = ("partly", "unknown", "replaced")
"""What a Task's own status does not say."""
_PUBMED = "https://pubmed.ncbi.nlm.nih.gov"
_DOI = "https://doi.org"


@dataclass(frozen=True, slots=True)
class SecondView:
    """What a second reader says of a decision."""

    by: str
    agrees: bool
    note: str
    at: str  # instant


@dataclass(frozen=True, slots=True)
class Impression:
    """A board's decision about an advisory. `results` are those on which the advice rested; `previous` is the decision before."""

    id: str
    issue: str  # id of the DetectedIssue
    patient: str
    code: Code
    by: str  # a role or a pseudonym
    at: str  # instant
    reason: Code = ("", "")
    note: str = ""
    level: Code = ("", "")
    resistance: bool = False
    references: tuple[str, ...] = ()  # PubMed ids and DOIs
    results: tuple[str, ...] = ()
    previous: str = ""
    views: tuple[SecondView, ...] = ()
    server: str = ""  # base of the FHIR server that holds the patient's record; "" if unknown


@dataclass(frozen=True, slots=True)
class Errand:
    """Something that a board wants to be done, and what became of it; times are instants, `due` is a day."""

    id: str
    issue: str
    impression: str  # id of the decision
    patient: str
    kind: Code
    due: str
    status: str  # a `followup.Status`
    by: str  # who decided it
    at: str
    reason: Code = ("", "")
    closed_by: str = ""
    closed: str = ""
    server: str = ""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a second reader says of a decision."""

    id: str
    impression: str  # id of the decision
    issue: str
    patient: str
    view: SecondView
    server: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the patient did so many months after an advisory, as somebody states it; `previous` is the statement that it amends."""

    id: str
    issue: str
    patient: str
    months: int
    response: Code
    resistance: Code
    by: str
    at: str
    previous: str = ""
    server: str = ""


class ReviewPublisher:
    """What people say, under a site's canonical base. Deterministic: of the same the same bytes."""

    def __init__(self, canonical: str):
        self._words = Vocabulary(canonical)

    def impression(self, one: Impression) -> Resource:
        """A decision, with what second readers said of it."""
        words = self._words
        code, label = one.code
        level = [f"Level of evidence {one.level[0]}: {one.level[1]}"] if one.level[0] else []
        level += ["R: marker of resistance"] if one.resistance else []
        notes = [{"authorString": one.by, "time": one.at, "text": one.note}] if one.note else []
        notes += [{"authorString": view.by, "time": view.at, "text": _said(view)} for view in one.views]
        results = literal_references(one.results)
        return self._assessment(
            "decision",
            one,
            one.by,
            one.at,
            {
                "meta": {"lastUpdated": max([one.at, *(view.at for view in one.views)])},
                "text": narrative(label, f"Reason: {one.reason[1]}" if one.reason[0] else "", f"By {one.by}", *level),
                "statusReason": words.concept("exowatch-decision-reason", *one.reason) if one.reason[0] else None,
                "previous": _impression(one.previous) if one.previous else None,
                "investigation": [{"code": {"text": "Results on which the advice rested"}, "item": results}]
                if results
                else [],
                "summary": label,
                "finding": [
                    without_nothing(
                        {
                            "itemCodeableConcept": words.concept("exowatch-disposition", code, label),
                            "basis": "; ".join(level),
                        }
                    )
                ],
                "supportingInfo": [_issue(one.issue), *map(_cited, one.references)],
                "note": notes,
            },
        )

    def opinion(self, one: Opinion) -> Resource:
        """A second reading, by the person who read."""
        view = one.view
        code = "agrees" if view.agrees else "disagrees"
        return self._assessment(
            "second-reading",
            one,
            view.by,
            view.at,
            {
                "text": narrative(AGREEMENT[code], view.note, f"By {view.by}"),
                "summary": AGREEMENT[code],
                "finding": [
                    {"itemCodeableConcept": self._words.concept("exowatch-agreement", code, AGREEMENT[code])},
                ],
                "supportingInfo": [_impression(one.impression), _issue(one.issue)],
                "note": [{"authorString": view.by, "time": view.at, "text": view.note}] if view.note else [],
            },
        )

    def outcome(self, one: Outcome) -> Resource:
        """An outcome: the response by imaging, and whether it was resistance, or after an operation a remaining source."""
        since = f"{one.months} months after the advisory"
        said = f"{since}: {one.response[1]}. {one.resistance[1]}"
        found = (("exowatch-response", one.response), ("exowatch-resistance", one.resistance))
        return self._assessment(
            "outcome",
            one,
            one.by,
            one.at,
            {
                "text": narrative(said, f"By {one.by}"),
                "description": since,
                "previous": _impression(one.previous) if one.previous else None,
                "summary": said,
                "finding": [
                    {"itemCodeableConcept": self._words.concept(system, *code) if code[0] else {"text": code[1]}}
                    for system, code in found
                ],
                "supportingInfo": [_issue(one.issue)],
            },
        )

    def _assessment(self, kind: str, one: Impression | Opinion | Outcome, by: str, at: str, more: Resource) -> Resource:
        """What somebody says of a patient, of that kind, with what they say."""
        made = {
            "resourceType": "ClinicalImpression",
            "id": one.id,
            "meta": {"lastUpdated": at},
            "identifier": [self._words.identifier(kind, one.id)],
            "status": "completed",
            "code": self._words.concept("exowatch-assessment", kind, ASSESSMENTS[kind]),
            "subject": {"reference": one.patient},
            "effectiveDateTime": at,
            "date": at,
            "assessor": self._person(by),
        }
        return on_server(without_nothing(made | more), one.server)

    def task(self, one: Errand) -> Resource:
        """An action that a board wants to be done."""
        words = self._words
        changed = one.closed or one.at
        said = f"{one.kind[1]}{f', by {one.due}' if one.due else ''}: {one.status}"
        made = without_nothing(
            {
                "resourceType": "Task",
                "id": one.id,
                "meta": {"lastUpdated": changed},
                "text": narrative(said, one.reason[1]),
                "identifier": [words.identifier("action", one.id)],
                "basedOn": [_impression(one.impression)],
                "status": _STATUS[one.status],
                "statusReason": words.concept("exowatch-not-done", *one.reason) if one.reason[0] else None,
                "businessStatus": {"text": one.status} if one.status in _SAID_MORE else None,
                "intent": "plan",  # people mean to; nobody is authorised by it
                "code": words.concept("exowatch-board-action", *one.kind),
                "description": one.kind[1],
                "focus": _issue(one.issue),
                "for": {"reference": one.patient},
                "authoredOn": one.at,
                "lastModified": changed,
                "requester": self._person(one.by),
                "note": [{"authorString": one.closed_by, "time": one.closed, "text": one.status}]
                if one.closed_by
                else [],
                "restriction": {"period": {"end": one.due}} if one.due else None,
            }
        )
        return on_server(made, one.server)

    def _person(self, by: str) -> Resource:
        return {"type": "Practitioner", "identifier": self._words.identifier("reviewer", by), "display": by}


def _impression(key: str) -> Resource:
    return {"reference": f"ClinicalImpression/{key}"}


def _issue(key: str) -> Resource:
    return {"reference": f"DetectedIssue/{key}"}


def _said(view: SecondView) -> str:
    told = f"Second reading: {'agrees' if view.agrees else 'does not agree'}."
    return f"{told} {view.note}" if view.note else told


def _cited(reference: str) -> Resource:
    system, label = (_DOI, "doi") if reference.startswith("10.") else (_PUBMED, "PMID")
    return {"identifier": {"system": system, "value": reference}, "display": f"{label} {reference}"}
