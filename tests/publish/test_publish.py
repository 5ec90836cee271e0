"""Every resource that is emitted passes fhir.resources and our own invariants; what those refuse is shown to be refused."""

from __future__ import annotations

import copy
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cds.advice.cards import CardWriter, Occasion
from cds.advice.statements import Advisor
from cds.chart import Moment, read
from cds.publish.advice import AdvicePublisher, Answered, Issue, Mitigation
from cds.publish.check import problems
from cds.publish.endpoint import Audited, audit_event, capability_statement, searchset
from cds.publish.knowledge import RulePublisher
from cds.publish.reviews import Errand, Impression, Opinion, Outcome, ReviewPublisher, SecondView
from cds.reasoning.loading import default_rulebook, shipped_rules
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.rulebook import Rule
from cds.record.codes import ACTIONS, DISPOSITIONS, LEVELS, NOT_DONE, REASONS, RESISTANCE, RESPONSES, Status
from tests.patients.archetypes import patients

ROOT = Path(__file__).parents[2]
CANONICAL = "https://exowatch.example/fhir"
SOFTWARE = "Exowatch 0.1.0"
BOOK = default_rulebook()
NOW = "2026-01-02T03:04:05.000000Z"
STATUSES = tuple(Status)
STANDINGS = ("open", "not-reassessable", "withdrawn", "superseded", "closed")


def of_patients() -> Iterator[dict[str, Any]]:
    """Everything that is published of every patient of the evidence, at every date that it names."""
    reasoner, publisher, reviews = Reasoner(BOOK), AdvicePublisher(CANONICAL, SOFTWARE), ReviewPublisher(CANONICAL)
    advisor, writer = Advisor(BOOK), CardWriter(BOOK, CANONICAL)
    yield publisher.device()
    for number, one in enumerate(patients()):
        for expected in one.expected:
            evaluation = reasoner.evaluate(read(one.bundle(), BOOK.catalogue).as_of(Moment(expected.as_of)))
            said = advisor.advisories(evaluation)
            patient = evaluation.chart.patient
            key = f"00000000-0000-4000-8000-{number:012d}"
            cards = writer.cards(said, Occasion(key, patient, "Encounter/e-1"))
            issues = {advisory.digest: key for advisory in said if advisory.state in ("suspected", "watch")}
            yield from publisher.guidance(
                Answered(key, patient, "Encounter/e-1", NOW, "exowatch-patient-view", key, said, cards, issues)
            )
            for place, advisory in enumerate(said):
                standing = STANDINGS[(number + place) % len(STANDINGS)]
                decided = (Mitigation("accept", "board-7", NOW, label=DISPOSITIONS["accept"]),) if place % 2 else ()
                issue = Issue(key, patient, standing, "claimed", NOW, NOW, 1 + place, advisory, decided)
                yield publisher.detected_issue(issue)
                yield publisher.provenance(issue)
                if decided:
                    results = tuple(one.ref for one in advisory.readings)
                    yield from of_people(reviews, key, patient, results, number)


def coded(code: str, codes: Mapping[str, str]) -> tuple[str, str]:
    return code, codes[code]


def of_people(reviews: ReviewPublisher, key: str, patient: str, results: tuple[str, ...], number: int) -> Iterator[Any]:
    """Decisions with much in them and with little, and actions in every state."""
    full = Impression(
        key, key, patient, coded("reject", DISPOSITIONS), "board-7", NOW, coded("other", REASONS), "Haemolysed, & <see> the slide", coded("m2B", LEVELS),
        True, ("28301834", "10.1000/182"), results, key, (SecondView("prof-2", number % 2 == 0, "", NOW),),
    )  # fmt: skip
    yield reviews.impression(
        full if number % 3 else Impression(key, key, patient, coded("watch", DISPOSITIONS), "board-7", NOW)
    )
    yield reviews.opinion(Opinion(key, key, key, patient, full.views[0]))
    yield reviews.opinion(Opinion(key, key, key, patient, SecondView("prof-2", False, "I <see> & doubt", NOW)))
    for response, resistance in zip(RESPONSES, [*RESISTANCE, *RESISTANCE], strict=True):
        said = coded(response, RESPONSES), coded(resistance, RESISTANCE)
        yield reviews.outcome(Outcome(key, key, patient, 3, *said, "nurse-1", NOW, key if number % 2 else ""))
    for status in STATUSES:
        closed = ("nurse-1", NOW) if status != "open" else ("", "")
        reason = coded("patient-wish", NOT_DONE) if status in ("not-done", "partly") else ("", "")
        due = "2026-02-01" if number % 2 else ""
        imaging = coded("imaging", ACTIONS)
        yield reviews.task(Errand(key, key, key, patient, imaging, due, status, "board-7", NOW, reason, *closed))


def of_the_product() -> Iterator[dict[str, Any]]:
    def text_of(rule: Rule) -> bytes:
        return (shipped_rules() / rule.file).read_bytes()

    yield from RulePublisher(BOOK, CANONICAL, text_of).resources()
    yield capability_statement(CANONICAL, SOFTWARE, "2026-11-23")
    for number, action in enumerate(("evaluate", "feedback", "decide", "erase", "merge"), 1):
        for patient in ("Patient/1", ""):
            yield audit_event(CANONICAL, SOFTWARE, Audited(number, NOW, "ehr", action, "ab" * 32, patient, "cd" * 32))


@cache
def emitted() -> tuple[dict[str, Any], ...]:
    found = [*of_patients(), *of_the_product()]
    issues = {one["id"]: one for one in found if one["resourceType"] == "DetectedIssue"}
    found.append(searchset([*issues.values()][:20], CANONICAL, f"{CANONICAL}/DetectedIssue?patient=Patient/1"))
    return tuple(found)


def test_everything_emitted_passes_every_check() -> None:
    counted: Counter[str] = Counter()
    for resource in emitted():
        assert problems(resource) == [], resource["resourceType"]
        counted[resource["resourceType"]] += 1
    sys.stdout.write(
        "\nfhir.resources and invariants: " + ", ".join(f"{n} {kind}" for kind, n in counted.items()) + "\n"
    )
    assert set(counted) == {
        "AuditEvent", "Bundle", "CapabilityStatement", "ClinicalImpression", "DetectedIssue", "Device", "GuidanceResponse",
        "Library", "PlanDefinition", "Provenance", "RequestGroup", "Task",
    }  # fmt: skip


def test_every_shipped_artefact_passes() -> None:
    for path in sorted((ROOT / "fhir").rglob("*.json")):
        if path.parent.name == "bad":
            continue
        found = json.loads(path.read_text("utf-8"))
        resources = [entry["resource"] for entry in found["entry"]] if found["resourceType"] == "Bundle" else [found]
        for resource in resources:
            said = [one for one in problems(resource) if "dom-6" not in one]
            assert said == [], path.name


def test_the_same_content_is_the_same_bytes() -> None:
    again = [*of_patients()]
    assert json.dumps(again, default=str) == json.dumps(emitted()[: len(again)], default=str)


def sample(kind: str) -> dict[str, Any]:
    wanted = (one for one in emitted() if one["resourceType"] == kind)
    if kind == "RequestGroup":
        return copy.deepcopy(next(one for one in wanted if "contained" in one))
    return copy.deepcopy(next(wanted))


OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>x</p></div>'},
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "1-8"}]},
    "valueQuantity": {"value": 1, "system": "http://unitsofmeasure.org", "code": "mg"},
}


def observation(**changes: Any) -> dict[str, Any]:
    return {**OBSERVATION, **changes}


def detected(**changes: Any) -> dict[str, Any]:
    return {**sample("DetectedIssue"), **changes}


def contained(**changes: Any) -> dict[str, Any]:
    group = sample("RequestGroup")
    group["contained"][0] |= changes
    return group


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({}, "resourceType: missing"),
        ({"resourceType": "Nonsense"}, "no resource type"),
        (observation(status="finished"), "not of the required codes"),
        (observation(dataAbsentReason={"text": "none"}), "obs-6"),
        (observation(valueQuantity={"value": 1, "code": "mg"}), "qty-3"),
        (observation(valueQuantity={"value": 1, "comparator": "~~", "unit": "mg"}), "is none"),
        (observation(effectivePeriod={"start": "2025-02-01", "end": "2025-01-01"}), "per-1"),
        (observation(id="x" * 65), "is no id"),
        (observation(subject={"reference": "nobody"}), "neither relative nor absolute"),
        (observation(subject={"reference": "#gone"}), "ref-1"),
        (observation(code={"coding": [{"system": "loinc", "code": "1-8"}]}), "is not absolute"),
        (observation(code={"coding": [{"system": "http://loinc.org", "code": " 1-8"}]}), "is no code"),
        (observation(category=[]), "an empty list"),
        (observation(method={}), "an empty element"),
        (observation(device={"display": ""}), "empty, or with spaces"),
        (observation(text=None), "dom-6"),
        (observation(extension=[{"url": "http://x.example", "valueRatioRange": {}}]), "not in R4"),
        (observation(issued="yesterday"), "issued"),
        (observation(nonsense=1), "nonsense"),
        (detected(severity="apocalyptic"), "not of the required codes"),
        (detected(author=[{"reference": "Device/1"}]), "author"),
        (contained(meta={"lastUpdated": "2026-01-01T00:00:00Z"}), "dom-4"),
        (contained(meta={"security": [{"code": "R"}]}), "dom-5"),
        (contained(contained=[{"resourceType": "Patient", "id": "p"}]), "dom-2"),
        (contained(id="nobody-names-it"), "dom-3"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(broken: dict[str, Any], words: str) -> None:
    assert problems(OBSERVATION) == []
    assert any(words in one for one in problems({k: v for k, v in broken.items() if v is not None})), problems(broken)


def test_text_from_a_record_is_escaped_in_narratives() -> None:
    one = next(archetype for archetype in patients() if archetype.id == "A01")
    evaluation = Reasoner(BOOK).evaluate(read(one.bundle(), BOOK.catalogue).as_of(Moment(date(2025, 12, 31))))
    (advisory, *_) = Advisor(BOOK).advisories(evaluation)
    from dataclasses import replace

    hostile = replace(advisory, headline="<script>alert(1)</script> & more")
    made = AdvicePublisher(CANONICAL, SOFTWARE).detected_issue(
        Issue("a", "Patient/1", "open", "claimed", NOW, NOW, 1, hostile)
    )
    assert "<script>" not in made["text"]["div"]
    assert problems(made) == []


def test_retracted_evidence_is_never_cited() -> None:
    retracted = {study.citation for study in BOOK.evidence.studies.values() if study.retracted}
    assert retracted
    text = json.dumps([one for one in emitted() if one["resourceType"] in ("Library", "PlanDefinition")])
    for citation in retracted:
        assert citation not in text


def test_decisions_and_actions_are_peoples_and_authorise_nobody() -> None:
    tasks = [one for one in emitted() if one["resourceType"] == "Task"]
    assert {one["status"] for one in tasks} == {"requested", "completed", "cancelled", "on-hold"}
    for one in tasks:
        assert one["intent"] == "plan"
        assert one["requester"]["display"] == "board-7"
        assert "owner" not in one
    for one in emitted():
        if one["resourceType"] == "ClinicalImpression":
            (kind,) = one["code"]["coding"]
            by = {"decision": "board-7", "second-reading": "prof-2", "outcome": "nurse-1"}[kind["code"]]
            assert one["assessor"]["identifier"] == {"system": f"{CANONICAL}/identifier/reviewer", "value": by}
            if kind["code"] == "decision":
                assert ("note" in one) == (one["finding"][0]["itemCodeableConcept"]["coding"][0]["code"] == "reject")


def test_a_patients_own_record_is_referred_to_where_it_is() -> None:
    server, reviews = "https://ehr.example/fhir", ReviewPublisher(CANONICAL)
    accepted, imaging = coded("accept", DISPOSITIONS), coded("imaging", ACTIONS)
    impression = reviews.impression(
        Impression("d", "a", "Patient/1", accepted, "board-7", NOW, results=("Observation/1",), server=server)
    )
    task = reviews.task(Errand("t", "a", "d", "Patient/1", imaging, "", "open", "board-7", NOW, server=server))
    assert impression["subject"]["reference"] == task["for"]["reference"] == f"{server}/Patient/1"
    assert impression["investigation"][0]["item"] == [{"reference": f"{server}/Observation/1"}]
    assert impression["supportingInfo"][0]["reference"] == task["focus"]["reference"] == "DetectedIssue/a"
    assert task["basedOn"][0]["reference"] == "ClinicalImpression/d"
    assert problems(impression) == problems(task) == []


@pytest.mark.parametrize(
    ("code", "final", "status"),
    [
        ("accept", True, "final"), ("accept", False, "preliminary"), ("reject", True, "preliminary"),
        ("watch", True, "preliminary"), ("not-discussed", True, "preliminary"), ("imaging-requested", True, "final"),
    ],
)  # fmt: skip
def test_only_what_a_board_made_its_own_is_final(code: str, final: bool, status: str) -> None:
    one = next(archetype for archetype in patients() if archetype.id == "A01")
    evaluation = Reasoner(BOOK).evaluate(read(one.bundle(), BOOK.catalogue).as_of(Moment(date(2025, 12, 31))))
    (advisory, *_) = Advisor(BOOK).advisories(evaluation)
    decided = (Mitigation(code, "board-7", NOW, final),)
    issue = Issue("a", "Patient/1", "open", "claimed", NOW, NOW, 1, advisory, decided)
    assert AdvicePublisher(CANONICAL, SOFTWARE).detected_issue(issue)["status"] == status


def test_advice_is_final_only_by_a_person_and_never_severe() -> None:
    for one in emitted():
        if one["resourceType"] == "DetectedIssue":
            assert one["severity"] in ("low", "moderate")
            assert one["status"] != "final" or one["mitigation"]
