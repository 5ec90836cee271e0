"""Value sets and concept maps from the rules and the code that own their facts, and examples of what is emitted: `make artefacts`.

A test makes them again and compares, so none of them can drift from what the software does.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cds.advice.cards import CardWriter, Occasion
from cds.advice.statements import Advisor
from cds.chart import Moment, read
from cds.chart.assay import ADDITIVES, BLOOD, ISOLATIONS, SPECIMENS
from cds.chart.catalogue import CANONICAL, MARKER_SYSTEM, METHOD_SYSTEM
from cds.intake.hl7v2 import SAYS_NOTHING, STATUS
from cds.publish.advice import AdvicePublisher, Answered, Issue, Mitigation
from cds.publish.reviews import (
    AGREEMENT,
    ASSESSMENTS,
    Errand,
    Impression,
    Opinion,
    Outcome,
    ReviewPublisher,
    SecondView,
)  # fmt: skip
from cds.publish.vocabulary import PRODUCT
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.record import codes

Json = dict[str, Any]
Code = tuple[str, str]
"""System and code."""

FHIR = Path(__file__).resolve().parents[1] / "fhir"
_BOOK = default_rulebook()
_HGNC = "http://www.genenames.org"
_REASONS = "http://terminology.hl7.org/CodeSystem/non-adherence-reason-codes"
_V2 = "http://terminology.hl7.org/CodeSystem/v2-"
_ADDITIVE_CODES = ("ACDA", "ACDB", "EDTK", "EDTK15", "EDTK75", "EDTN", "HEPA", "HEPL", "HEPN")
"""Those of HL7 table 0371 that begin as `ADDITIVES` says: a value set cannot name them by their beginning."""


def artefacts() -> Iterator[tuple[str, Json]]:
    """Every generated file: its path below `fhir/`, and what is in it."""
    for made in code_systems():
        yield f"terminology/{made['id']}.json", made
    for made in value_sets():
        yield f"terminology/valueset-{made['id']}.json", made
    for made in concept_maps():
        yield f"terminology/conceptmap-{made['id']}.json", made
    for made in outputs():
        kind = made["code"]["coding"][0]["code"] if made["resourceType"] == "ClinicalImpression" else ""
        more = f"-{kind}" if kind not in ("", "decision") else ""
        yield f"examples/good/output-{made['resourceType'].lower()}{more}.json", made


def code_systems() -> Iterator[Json]:
    """What boards can say, from the codes of the record."""
    told = "a record of what was discussed, never an instruction."
    retired = {code: code.replace("-", " ").capitalize() for code in codes.RETIRED}
    yield _codes(
        "disposition",
        "Dispositions of a board",
        f"What a board decided about an advisory; {told}",
        codes.DISPOSITIONS,
        retired,
    )
    yield _codes("decision-reason", "Reasons of a board", "Why a board decided so.", codes.REASONS)
    yield _codes(
        "evidence-level", "Levels of evidence", "As molecular tumour boards in Germany grade it. Code R is an add-on.",
        {**codes.LEVELS, "R": "Marker of resistance"},
    )  # fmt: skip
    yield _codes("board-action", "Actions of a board", f"What a board wants to be done; {told}", codes.ACTIONS)
    yield _codes(
        "assessment", "Assessments", "What a ClinicalImpression is that people made of an advisory.", ASSESSMENTS
    )
    yield _codes("agreement", "Second readings", "What a second reader says of a decision.", AGREEMENT)
    yield _codes("response", "Response by imaging", "How the disease responded, at an outcome.", codes.RESPONSES)
    yield _codes("resistance", "Resistance", "Whether resistance was found, at an outcome.", codes.RESISTANCE)
    yield _codes("not-done", "Why it was not done", "Why an action was not done, or only partly.", codes.NOT_DONE)


def _codes(
    name: str, title: str, description: str, known: Mapping[str, str], retired: Mapping[str, str] = MappingProxyType({})
) -> Json:
    concepts: list[Json] = [{"code": code, "display": display} for code, display in known.items()]
    status = [{"code": "status", "valueCode": "retired"}]
    concepts += [{"code": code, "display": display, "property": status} for code, display in retired.items()]
    told = {
        "code": "status",
        "uri": "http://hl7.org/fhir/concept-properties#status",
        "description": "retired: read, not taken any more",
        "type": "code",
    }
    head = _head("CodeSystem", f"exowatch-{name}", title, description)
    return {
        **head, "caseSensitive": True, "content": "complete", "count": len(concepts),
        **({"property": [told]} if retired else {}), "concept": concepts,
    }  # fmt: skip


def written(resource: Mapping[str, Any]) -> str:
    """A resource as all files in `fhir/` are written."""
    return json.dumps(resource, indent=2, ensure_ascii=False, default=float) + "\n"


def _url(kind: str, name: str) -> str:
    return f"{CANONICAL}/{kind}/{name}"


def _head(kind: str, name: str, title: str, description: str) -> Json:
    return {
        "resourceType": kind,
        "id": name,
        "url": _url(kind, name),
        "version": "0.1.0",
        "name": "".join(part.capitalize() for part in name.split("-")),
        "title": title,
        "status": "draft",
        "experimental": True,
        "date": "2026-11-23",
        "publisher": PRODUCT,
        "description": description,
    }


# value sets --------------------------------------------------------------------------------------------------------


def value_sets() -> Iterator[Json]:
    """What the profiles bind."""
    known = _BOOK.catalogue
    used = {name for name, marker in known.markers.items() if not marker.must_not_use}
    ours = [code for code, one in known.codes.items() if code[0] == MARKER_SYSTEM and one.marker in used]
    yield _value_set(
        "exosomal-marker", "Markers on extracellular vesicles", "What is measured; a site may add markers of its own.",
        (code for code in ours if known.codes[code].analyte is None),
    )  # fmt: skip
    yield _value_set(
        "other-analyte", "Analytes that are not taken for a marker",
        "Other analytes of the same name, and expression in tissue: a result with one of these codes is no result of a marker.",
        (code for code, one in known.codes.items() if one.analyte is not None or one.ignored),
    )  # fmt: skip
    for kind, (name, title) in _KINDS.items():
        yield _value_set(
            name, title, "Codes of the code system exosomal-method.", ((METHOD_SYSTEM, code) for code in _of_kind(kind))
        )
    for name, title, others in (
        ("specimen-type", "Specimen types as laboratories send them", SPECIMENS),
        ("tube", "Tube additives as laboratories send them", [(f"{_V2}0371", code) for code in _ADDITIVE_CODES]),
        ("isolation", "Isolation methods as laboratories send them", ISOLATIONS),
    ):
        made = _value_set(
            f"sent-{name}", title, f"Our own codes, and those that the concept map sent-{name} translates to them.",
            (code for code in others if code[0] != METHOD_SYSTEM),
        )  # fmt: skip
        made["compose"]["include"].insert(0, {"valueSet": [_url("ValueSet", f"exosomal-{name}")]})
        yield made


_KINDS = {
    "specimen": ("exosomal-specimen-type", "Specimen types"),
    "tube": ("exosomal-tube", "Tube additives"),
    "isolation": ("exosomal-isolation", "Isolation methods"),
    "assay": ("exosomal-method", "Assays for markers on extracellular vesicles"),
    "finding": ("exosomal-finding", "Whether something disturbs"),
    "control": ("exosomal-control", "How a control ended"),
    "drug-tolerance": ("exosomal-drug-tolerance", "Whether an assay tolerates the drug"),
    "bridging": ("exosomal-bridging", "Whether bridging is stated"),
}
"""Kinds of codes in the code system exosomal-method, with the value set of each."""


def _of_kind(kind: str) -> list[str]:
    system = json.loads((FHIR / "terminology/exosomal-method.json").read_text("utf-8"))
    return [one["code"] for one in system["concept"] if {"code": "kind", "valueCode": kind} in one["property"]]


def _value_set(name: str, title: str, description: str, codes: Iterable[Code]) -> Json:
    systems: dict[str, list[Json]] = {}
    for system, code in codes:
        systems.setdefault(system, []).append({"code": code})
    include = [{"system": system, "concept": concepts} for system, concepts in systems.items()]
    return {**_head("ValueSet", name, title, description), "compose": {"include": include}}


# concept maps ------------------------------------------------------------------------------------------------------


def concept_maps() -> Iterator[Json]:
    """Where the software takes one code for another."""
    known = _BOOK.catalogue
    genes = {
        code: known.markers[one.marker].gene["hgnc"]
        for code, one in known.codes.items()
        if code[0] == MARKER_SYSTEM and one.analyte is None and "hgnc" in known.markers[one.marker].gene
    }
    yield _concept_map(
        "exosomal-marker-gene", "Genes of markers", "Which gene a marker is the product of.",
        (_url("ValueSet", "exosomal-marker"), None), _HGNC, genes, "relatedto",
    )  # fmt: skip
    reasons = _BOOK.wording["advice"]["overrides"]
    yield _concept_map(
        "override-reason", "Override reasons in HL7's words",
        "The nearest of HL7's reasons for not following advice. No two of ours have the same, so it can be read both ways.",
        (None, None), _REASONS,
        {(_url("CodeSystem", "exowatch-override-reason"), code): words["hl7"] for code, words in reasons.items()},
        "relatedto",
    )  # fmt: skip
    table = f"{_V2}0085"
    yield _concept_map(
        "result-status", "OBX-11 as the status of an Observation", "How the status of an HL7 v2 result is read.",
        ("http://terminology.hl7.org/ValueSet/v2-0085", "http://hl7.org/fhir/ValueSet/observation-status"),
        "http://hl7.org/fhir/observation-status",
        {(table, code): status for code, status in STATUS.items()},
        unmatched={(table, code): f"No result: {why}." for code, why in SAYS_NOTHING.items()},
    )  # fmt: skip
    additives = {(f"{_V2}0371", code): ADDITIVES[code[:3]] for code in _ADDITIVE_CODES}
    neither = dict.fromkeys(sorted(BLOOD), "Blood as drawn is neither serum nor plasma.")
    for name, title, stated, unmatched in (
        ("specimen-type", "Specimen types in our codes", SPECIMENS, neither),
        ("tube", "Tube additives in our codes", additives, {}),
        ("isolation", "Isolation methods in our codes", ISOLATIONS, {}),
    ):
        yield _concept_map(
            f"sent-{name}", title, "How what a laboratory says of a specimen is read.",
            (None, _url("ValueSet", f"exosomal-{name}")), METHOD_SYSTEM,
            {code: ours for code, ours in stated.items() if code[0] != METHOD_SYSTEM}, unmatched=unmatched,
        )  # fmt: skip


def _concept_map(
    name: str,
    title: str,
    description: str,
    scope: tuple[str | None, str | None],
    target: str,
    codes: Mapping[Code, str],
    equivalence: str = "",
    unmatched: Mapping[Code, str] | None = None,
) -> Json:
    """`scope`: value sets of source and target. Without an `equivalence`, what several codes are read as is wider than each."""
    sharing = Counter((system, meant) for (system, _), meant in codes.items())
    groups: dict[str, list[Json]] = {}
    for (system, code), meant in codes.items():
        told = equivalence or ("wider" if sharing[system, meant] > 1 else "equivalent")
        groups.setdefault(system, []).append({"code": code, "target": [{"code": meant, "equivalence": told}]})
    for (system, code), why in (unmatched or {}).items():
        groups.setdefault(system, []).append({"code": code, "target": [{"equivalence": "unmatched", "comment": why}]})
    scopes = {f"{side}Canonical": url for side, url in zip(("source", "target"), scope, strict=True) if url}
    made = [{"source": system, "target": target, "element": elements} for system, elements in groups.items()]
    return {**_head("ConceptMap", name, title, description), **scopes, "group": made}


# examples ----------------------------------------------------------------------------------------------------------


def outputs() -> Iterator[Json]:
    """What is emitted of the example record: one resource of each type, and of each kind of what people say."""
    day, now, key = "2025-04-21", "2025-04-22T08:00:00Z", "00000000-0000-4000-8000-000000000001"
    record = read((FHIR / "examples/trpc5-suspected.json").read_bytes(), _BOOK.catalogue)
    evaluation = Reasoner(_BOOK).evaluate(record.as_of(Moment.parse(day)))
    said = [one for one in Advisor(_BOOK).advisories(evaluation) if one.state == "suspected"]
    patient = evaluation.chart.patient
    cards = CardWriter(_BOOK, CANONICAL).cards(said, Occasion(key, patient, "Encounter/example"))
    publisher = AdvicePublisher(CANONICAL, "Exowatch 0.1.0")
    decided = (Mitigation("accept", "Tumour board", now, label=codes.DISPOSITIONS["accept"]),)
    issue = Issue(key, patient, "open", "claimed", now, now, 1, said[0], decided)
    yield publisher.device()
    yield publisher.detected_issue(issue)
    yield publisher.provenance(issue)
    level = ("m2B", codes.LEVELS["m2B"])
    results = tuple(one.ref for one in said[0].readings)
    reviews, accepted = ReviewPublisher(CANONICAL), ("accept", codes.DISPOSITIONS["accept"])
    yield reviews.impression(
        Impression(
            key,
            key,
            patient,
            accepted,
            "Tumour board",
            now,
            level=level,
            resistance=True,
            references=("28301834",),
            results=results,
        )
    )
    second = SecondView("Second reader", True, "", now)
    yield reviews.opinion(Opinion(key, key, key, patient, second))
    response, resistance = ("PD", codes.RESPONSES["PD"]), ("yes", codes.RESISTANCE["yes"])
    yield reviews.outcome(Outcome(key, key, patient, 3, response, resistance, "Tumour board", now))
    due, imaging = "2025-05-06", ("imaging", codes.ACTIONS["imaging"])
    yield reviews.task(Errand(key, key, key, patient, imaging, due, "open", "Tumour board", now))
    yield from publisher.guidance(
        Answered(
            key, patient, "Encounter/example", now, "exowatch-patient-view", key, said, cards, {said[0].digest: key}
        )
    )


def main() -> None:
    for name, resource in artefacts():
        path = FHIR / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(written(resource), encoding="utf-8")


if __name__ == "__main__":
    main()
