"""The forms in which a cohort is written: what each patient adds to which file.

A form gives pieces: bytes for a file of the patient's own, or for one that all share. What a form cannot say of a patient, as a
table without a column for a unit cannot leave the unit out, it takes out of the faults in the truth and names as unsaid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from cds.workbench.synth import laboratory_files
from cds.workbench.synth.cohort import file_name
from cds.workbench.synth.encoding import to_json
from cds.workbench.synth.fhir_output import current, to_bundle
from cds.workbench.synth.person import Person

Json = dict[str, Any]


class Piece(NamedTuple):
    """What a patient adds to a file. `items`: so many resources, rows or messages."""

    file: str
    data: bytes
    items: int = 1


@dataclass(frozen=True, slots=True)
class Form:
    """`heads` are what files begin with; `splits`: a file may be cut after so many pieces."""

    name: str
    pieces: Callable[[Person, Json, Path | None], list[Piece]]
    heads: Mapping[str, bytes] = field(default_factory=dict)
    own_files: bool = False
    splits: bool = False


def _collection(person: Person, truth: Json, rules: Path | None) -> list[Piece]:
    return [Piece(file_name(truth["index"]), to_json(to_bundle(person)))]


def _transaction(person: Person, truth: Json, rules: Path | None) -> list[Piece]:
    bundle = current(to_bundle(person))
    entries = [
        {**entry, "request": {"method": "PUT", "url": f"{entry['resource']['resourceType']}/{entry['resource']['id']}"}}
        for entry in bundle["entry"]
    ]
    return [Piece(file_name(truth["index"]), to_json({**bundle, "type": "transaction", "entry": entries}))]


def _bulk(person: Person, truth: Json, rules: Path | None) -> list[Piece]:
    return [
        Piece(f"{entry['resource']['resourceType']}.ndjson", to_json(entry["resource"]))
        for entry in current(to_bundle(person))["entry"]
    ]


def _hooks(person: Person, truth: Json, rules: Path | None) -> list[Piece]:
    from cds.workbench.synth.requests import hook_request

    bundle = current(to_bundle(person))
    theirs = [entry for entry in bundle["entry"] if _is_of(person, entry["resource"])]
    return [Piece(file_name(truth["index"]), to_json(hook_request({**bundle, "entry": theirs}, _service(rules))))]


def _is_of(person: Person, resource: Json) -> bool:
    """Whether a search by the patient's id finds it: not what stands under a former one."""
    stands = resource["id"] if resource["resourceType"] == "Patient" else resource["subject"]["reference"][8:]
    return bool(stands == person.id)


@cache
def _service(rules: Path | None) -> Json:
    """The definition of the service that a chart's opening calls."""
    from cds.reasoning.loading import load_rulebook
    from cds.service.discovery import services

    offered = services(load_rulebook(rules).catalogue)
    return next(service.definition() for service in offered.values() if service.hook == "patient-view")


def _csv(person: Person, truth: Json, rules: Path | None) -> list[Piece]:
    return [Piece(*one) for one in laboratory_files.rows(person, truth)]


def _hl7v2(person: Person, truth: Json, rules: Path | None) -> list[Piece]:
    return [Piece(*one) for one in laboratory_files.messages(person, truth)]


FORMS: Mapping[str, Form] = {
    form.name: form
    for form in (
        Form("collection", _collection, own_files=True),
        Form("bundle", _transaction, own_files=True),
        Form("bulk", _bulk, splits=True),
        Form("hooks", _hooks, own_files=True),
        Form("csv", _csv, heads=laboratory_files.HEADS),
        Form("hl7v2", _hl7v2, heads=laboratory_files.HEADS),
    )
}
"""`collection` holds every version of each result, as a record's history does; the others hold what is, or what was sent."""
