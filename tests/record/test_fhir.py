"""The FHIR endpoint over the record: what was said is read back, and passes every check."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from cds.publish.check import problems
from cds.publish.reviews import AGREEMENT, ASSESSMENTS
from cds.publish.vocabulary import ISSUES
from cds.record.codes import ACTIONS, DISPOSITIONS, LEVELS, NOT_DONE, REASONS, RESISTANCE, RESPONSES, RETIRED
from cds.record.database import Database
from cds.record.decisions import Decision, Planned
from cds.record.followup import FollowUp
from cds.record.listing import advisories
from cds.record.reviews import Reviews
from tests.record.boards import A_SEASON, behind
from tests.record.test_service import Ehr

TERMINOLOGY = Path(__file__).parents[2] / "fhir" / "terminology"


@pytest.fixture
def ehr(database: Database) -> Ehr:
    return Ehr(database)


def entries(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("application/fhir+json")
    assert problems(answer.json()) == []
    return [entry["resource"] for entry in answer.json().get("entry", [])]


def test_an_advisory_lives_as_a_detected_issue(ehr: Ehr, database: Database) -> None:
    ehr.opens("A29", "2025-03-31")
    ehr.opens("A29", "2025-04-28")
    (issue,) = entries(ehr.client.get("/fhir/DetectedIssue?patient=Patient/a29"))
    assert (issue["status"], issue["severity"]) == ("preliminary", "moderate")
    assert issue["code"]["coding"][0]["code"] == "suspected-acquired-resistance"
    assert "Do not start, stop or change treatment" in issue["detail"]
    (listed,) = advisories(database, "default")
    Reviews(database).decide(Decision(listed.id, listed.revision, "accept", "board-7"))
    decided = ehr.client.get(f"/fhir/DetectedIssue/{listed.id}").json()
    assert decided["status"] == "final"
    assert int(decided["meta"]["versionId"]) == int(issue["meta"]["versionId"]) + 1
    assert decided["meta"]["lastUpdated"] > issue["meta"]["lastUpdated"]
    assert decided["mitigation"][0]["action"]["coding"][0]["code"] == "accept"
    ehr.opens("A29", "2025-05-02")
    (issue,) = entries(ehr.client.get("/fhir/DetectedIssue?patient=a29"))
    assert issue["status"] == "entered-in-error"
    (provenance,) = entries(ehr.client.get("/fhir/Provenance?patient=a29"))
    assert provenance["target"][0]["reference"] == f"DetectedIssue/{listed.id}"


def test_each_evaluation_is_a_guidance_response_with_its_cards(ehr: Ehr) -> None:
    cards = ehr.opens("A01", "2025-12-31").json()["cards"]
    (response,) = entries(ehr.client.get("/fhir/GuidanceResponse?patient=a01"))
    (group,) = entries(ehr.client.get("/fhir/RequestGroup?patient=a01"))
    assert response["status"] == "success"
    assert response["result"]["reference"] == f"RequestGroup/{group['id']}"
    assert [action["id"] for action in group["action"]] == [card["uuid"] for card in cards]
    assert [action["title"] for action in group["action"]] == [card["summary"] for card in cards]
    ehr.opens("A01", "2025-01-03")
    newest, *_ = entries(ehr.client.get("/fhir/GuidanceResponse?patient=a01"))
    assert newest["status"] == "data-required"
    assert newest["dataRequirement"]


def test_searches_by_date(ehr: Ehr) -> None:
    ehr.opens("A01", "2025-12-31")
    everything = entries(ehr.client.get("/fhir/GuidanceResponse"))
    day = everything[0]["meta"]["lastUpdated"][:10]
    assert day == "2025-12-31"
    for query, count in (
        ("date=ge2020-01-01", 1), ("date=le2020-01-01", 0), ("date=ge2020-01-01&date=le2020-12-31", 0), ("date=lt2999", 1),
        ("date=gt2999-01-01", 0),
    ):  # fmt: skip
        assert len(entries(ehr.client.get(f"/fhir/DetectedIssue?{query}"))) == count, query


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("DetectedIssue?nonsense=1", 400, "is no search parameter here"),
        ("DetectedIssue?date=yesterday", 400, "it is to be a date"),
        ("Library?patient=1", 400, "is no search parameter here"),
        ("DetectedIssue/none", 404, "there is no DetectedIssue of that id"),
        ("Observation", 404, "see /fhir/metadata"),
    ],
)
def test_what_cannot_be_answered_is_named(ehr: Ehr, path: str, status: int, words: str) -> None:
    answer = ehr.client.get(f"/fhir/{path}")
    assert answer.status_code == status
    assert words in answer.json()["issue"][0]["diagnostics"]


def test_two_servers_patients_of_one_id_are_told_apart(ehr: Ehr) -> None:
    servers = ("https://one.example/fhir", "https://other.example/fhir/")
    for server in servers:
        assert ehr.opens("A01", "2025-12-31", fhirServer=server).status_code == 200
    for kind in ("DetectedIssue", "Provenance", "GuidanceResponse", "RequestGroup"):
        assert len(entries(ehr.client.get(f"/fhir/{kind}"))) == 2
        refused = ehr.client.get(f"/fhir/{kind}?patient=a01")
        assert refused.status_code == 400
        assert refused.json()["issue"][0]["code"] == "multiple-matches"
        for server in servers:
            address = f"{server.rstrip('/')}/Patient/a01"
            (found,) = entries(ehr.client.get(f"/fhir/{kind}?patient={address}"))
            told = json.dumps(found)
            assert (address in told) == (kind != "Provenance")
            assert '"Observation/' not in told  # which would be read as ours
            assert '"Patient/' not in told
            assert f'"{server.rstrip("/")}/Observation/' in told or kind not in ("DetectedIssue", "Provenance")
    assert entries(ehr.client.get("/fhir/DetectedIssue?patient=https://third.example/fhir/Patient/a01")) == []


def test_rules_and_abilities_are_published(ehr: Ehr) -> None:
    stated = ehr.client.get("/fhir/metadata").json()
    assert problems(stated) == []
    assert stated["fhirVersion"] == "4.0.1"
    assert {one["resource"]["resourceType"] for one in ehr.client.get("/fhir/Library").json()["entry"]} == {"Library"}
    plan = ehr.client.get("/fhir/PlanDefinition/trpc5-rise-on-chemotherapy").json()
    assert problems(plan) == []
    assert plan["library"][0].endswith("/Library/trpc5-rise-on-chemotherapy")
    for kind in (one["type"] for one in stated["rest"][0]["resource"]):
        assert ehr.client.get(f"/fhir/{kind}").status_code == 200


def test_every_code_that_is_emitted_has_a_meaning() -> None:
    def codes(name: str) -> set[str]:
        found = json.loads((TERMINOLOGY / f"{name}.json").read_text("utf-8"))
        return {concept["code"] for concept in found["concept"]}

    assert codes("exowatch-issue") == {code for code, _ in ISSUES.values()}
    assert codes("exowatch-disposition") == {*DISPOSITIONS, *RETIRED}
    assert codes("exowatch-audit-action") == actions_of_the_audit()
    for name, known in (
        ("decision-reason", REASONS), ("evidence-level", {*LEVELS, "R"}), ("board-action", ACTIONS), ("not-done", NOT_DONE),
        ("assessment", ASSESSMENTS), ("agreement", AGREEMENT), ("response", RESPONSES), ("resistance", RESISTANCE),
    ):  # fmt: skip
        assert codes(f"exowatch-{name}") == set(known)


def actions_of_the_audit() -> set[str]:
    """What entries are made with, by the code that makes them."""
    found = set()
    for path in (Path(__file__).parents[2] / "cds" / "record").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in _ENTRIES:
                chosen = [(one.body, one.orelse) if isinstance(one, ast.IfExp) else (one,) for one in node.args]
                stated = [each for ways in chosen for each in ways if isinstance(each, ast.Constant)]
                found |= {one.value for one in stated if isinstance(one.value, str)}
    return found - {"exowatch"}


_ENTRIES = ("Entry", "entry_of", "_change")


def test_what_a_board_did_is_read_back(database: Database) -> None:
    ehr = Ehr(database, clock=behind(A_SEASON))
    ehr.opens("A01", "2025-12-31")
    (listed,) = advisories(database, "default")
    reviews, follow_up = Reviews(database), FollowUp(database)
    plan = (Planned("imaging", "2026-01-20"), Planned("trial"))
    first = reviews.decide(Decision(listed.id, listed.revision, "watch", "board-7", actions=plan[:1]))
    more = Decision(
        listed.id,
        listed.revision,
        "accept",
        "board-7",
        1,
        note="<b>Rise</b>",
        actions=plan,
        level="m2B",
        references=("1",),
    )
    second = reviews.decide(more)
    reviews.second(second, "prof-2", agrees=False, note="Too early")
    imaging = next(one for one in follow_up.actions("default", advisory=listed.id) if one.kind == "imaging")
    follow_up.close("default", imaging.id, "not-done", "nurse-1", reason="patient-wish")
    for resistance in ("unclear", "yes"):
        follow_up.state("default", listed.id, 3, "PD", resistance, "nurse-1", seen=resistance == "yes")
    said = entries(ehr.client.get("/fhir/ClinicalImpression?patient=a01"))
    assert [one["date"] for one in said] == sorted((one["date"] for one in said), reverse=True)
    kinds = [one["code"]["coding"][0]["code"] for one in said]
    assert kinds == ["outcome", "outcome", "second-reading", "decision", "decision"]
    last, first_said, view, newest, oldest = said
    assert (last["previous"]["reference"], "previous" in first_said) == (
        f"ClinicalImpression/{first_said['id']}",
        False,
    )
    assert [one["itemCodeableConcept"]["coding"][0]["code"] for one in last["finding"]] == ["PD", "yes"]
    assert last["description"] == "3 months after the advisory"
    assert (view["assessor"]["display"], view["note"][0]["text"]) == ("prof-2", "Too early")
    assert view["finding"][0]["itemCodeableConcept"]["coding"][0]["code"] == "disagrees"
    assert [one["reference"] for one in view["supportingInfo"]] == [
        f"ClinicalImpression/{second}", f"DetectedIssue/{listed.id}",
    ]  # fmt: skip
    assert all(problems(one) == [] for one in said)
    assert (newest["id"], oldest["id"]) == (second, first)
    assert newest["previous"]["reference"] == f"ClinicalImpression/{first}"
    assert newest["assessor"]["display"] == "board-7"
    assert newest["investigation"][0]["item"]
    assert [one["text"] for one in newest["note"]] == ["<b>Rise</b>", "Second reading: does not agree. Too early"]
    assert "note" not in oldest
    tasks = {one["code"]["coding"][0]["code"]: one for one in entries(ehr.client.get("/fhir/Task?patient=a01"))}
    assert (tasks["imaging"]["status"], tasks["trial"]["status"]) == ("cancelled", "requested")
    assert tasks["imaging"]["statusReason"]["coding"][0]["code"] == "patient-wish"
    assert tasks["imaging"]["restriction"]["period"]["end"] == "2026-01-20"
    assert "restriction" not in tasks["trial"]
    assert tasks["trial"]["focus"]["reference"] == f"DetectedIssue/{listed.id}"
    (issue,) = entries(ehr.client.get("/fhir/DetectedIssue?patient=a01"))
    assert issue["status"] == "final"
    assert [one["action"]["coding"][0]["code"] for one in issue["mitigation"]] == ["watch", "accept"]
    impressions = (("ClinicalImpression", key) for key in (first, view["id"], last["id"]))
    for kind, key in (("Task", imaging.id), *impressions):
        assert ehr.client.get(f"/fhir/{kind}/{key}").json()["id"] == key
        assert entries(ehr.client.get(f"/fhir/{kind}?date=lt2020-01-01")) == []
    reviews.decide(Decision(listed.id, listed.revision, "reject", "chair", 2, "assay-artefact"))
    (issue,) = entries(ehr.client.get("/fhir/DetectedIssue?patient=a01"))
    assert issue["status"] == "preliminary"
