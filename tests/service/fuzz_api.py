"""Schemathesis over the whole service, in all its phases: `python -m tests.service.fuzz_api`. No request may be a fault of ours.

The OpenAPI document is made here, from what the service offers, with complete requests as examples, and links from what
one answer names to where it is used next: a card to its feedback, an advisory to its decision.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from cds.conformance.probe import Probe
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.service.server import running

Json = dict[str, Any]


def openapi(probe: Probe) -> Json:
    """Every address of the service, with a complete request for each hook that has one."""
    paths: Json = {
        path: {"get": {"operationId": name, "responses": _ANY}}
        for path, name in (
            ("/cds-services", "discovery"), ("/health", "health"), ("/ready", "ready"), ("/metrics", "metrics"),
            ("/fhir/metadata", "metadata"),
        )
    }  # fmt: skip
    for service in probe.services:
        example = None if "." in service["hook"] else probe.request(service)
        path, answered = f"/cds-services/{service['id']}", f"{service['id']}-feedback"
        links = {
            "feedback": {"operationId": answered, "requestBody": {"feedback": [_SAID | {"card": "$response.body#/cards/0/uuid"}]}},
            "advisories": {"operationId": "search", "parameters": {"kind": "DetectedIssue"}},
        }  # fmt: skip
        paths[path] = {"post": _post(service["id"], _request(service), example, links)}
        said = {"feedback": [_SAID | {"card": "4247b991-aabd-5943-99b1-beac74d519dd"}]}
        paths[f"{path}/feedback"] = {"post": _post(answered, _FEEDBACK, said)}
    kinds = [
        "DetectedIssue",
        "Provenance",
        "GuidanceResponse",
        "RequestGroup",
        "Library",
        "PlanDefinition",
        "Device",
        "Patient",
    ]
    kind = {"name": "kind", "in": "path", "required": True, "schema": {"anyOf": [{"enum": kinds}, {"type": "string"}]}}
    query = [
        {"name": name, "in": "query", "schema": {"type": "string"}}
        for name in ("patient", "date", "_id", "identified", "_count")
    ]
    found = "$response.body#/entry/0/resource/id"
    links = {
        "read": {"operationId": "read", "parameters": {"kind": "$request.path.kind", "key": found}},
        "decide": {"operationId": "decide", "parameters": {"key": found}, "requestBody": _DECIDED},
    }
    searched = {"200": {"description": "what was found", "links": links}, **_ANY}
    paths["/fhir/{kind}"] = {"get": {"operationId": "search", "parameters": [kind, *query], "responses": searched}}
    key = {"name": "key", "in": "path", "required": True, "schema": {"type": "string"}}
    paths["/fhir/{kind}/{key}"] = {"get": {"operationId": "read", "parameters": [kind, key], "responses": _ANY}}
    decision = _post("decide", _DECISION, _DECIDED) | {"parameters": [key]}
    paths["/advisories/{key}/dispositions"] = {"post": decision}
    return {"openapi": "3.1.0", "info": {"title": "Exowatch", "version": "1"}, "paths": paths}


_ANY: Json = {"default": {"description": "an answer"}}
_TEXT: Json = {"type": "string"}


_SAID: Json = {"outcome": "overridden", "outcomeTimestamp": "2026-01-05T10:00:00Z"}
_DECIDED: Json = {"revision": 1, "code": "accept", "by": "board-7"}


def _post(name: str, schema: Json, example: Json | None, links: Json | None = None) -> Json:
    media = {"schema": schema} | ({"examples": {"complete": {"value": example}}} if example is not None else {})
    done = {"200": {"description": "done", "links": links}} if links else {}
    return {
        "operationId": name, "requestBody": {"required": True, "content": {"application/json": media}},
        "responses": {**done, **_ANY},
    }  # fmt: skip


def _request(service: Json) -> Json:
    resource = {
        "type": "object",
        "properties": {"resourceType": {"enum": ["Bundle", "Patient", "OperationOutcome", "Observation"]}},
    }
    return {
        "type": "object",
        "required": ["hook", "hookInstance", "context"],
        "properties": {
            "hook": {"enum": [service["hook"]]},
            "hookInstance": {"type": "string", "format": "uuid"},
            "fhirServer": {"enum": ["https://ehr.example/fhir", "http://127.0.0.1:9/fhir"]},
            "context": {
                "type": "object",
                "required": ["userId", "patientId"],
                "properties": {
                    "userId": {"type": "string", "pattern": "^(Practitioner|PractitionerRole|Patient)/[A-Za-z0-9.-]{1,24}$"}, "patientId": {"type": "string", "pattern": "^[A-Za-z0-9.-]{1,24}$"},
                    "encounterId": {"type": "string", "pattern": "^[A-Za-z0-9.-]{1,24}$"}, "draftOrders": resource, "results": resource,
                    "selections": {"type": "array", "items": _TEXT},
                },
            },
            "prefetch": {
                "type": "object",
                "properties": {key: {"anyOf": [{"type": "null"}, resource]} for key in service["prefetch"]},
            },
        },
    }  # fmt: skip


_FEEDBACK: Json = {
    "type": "object",
    "required": ["feedback"],
    "properties": {
        "feedback": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["card", "outcome", "outcomeTimestamp"],
                "properties": {
                    "card": {"type": "string", "format": "uuid"}, "outcome": {"enum": ["accepted", "overridden"]},
                    "outcomeTimestamp": {"type": "string", "format": "date-time"},
                    "acceptedSuggestions": {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "string", "format": "uuid"}}}},
                    "overrideReason": {"type": "object", "properties": {"reason": {"type": "object"}, "userComment": _TEXT}},
                },
            },
        }
    },
}  # fmt: skip
_DECISION: Json = {
    "type": "object",
    "required": ["revision", "code", "by"],
    "properties": {
        "revision": {"type": "integer"},
        "code": _TEXT,
        "by": _TEXT,
        "seen": {"type": "integer"},
        "reason": {"anyOf": [{"enum": ["no-time", "other"]}, _TEXT]},
        "note": _TEXT,
        "actions": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["kind"],
                "properties": {"kind": _TEXT, "due": {"type": "string", "format": "date"}},
            },
        },
        "level": _TEXT,
        "resistance": {"type": "boolean"},
        "references": {"type": "array", "items": _TEXT},
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=1500, help="most requests for each operation and phase")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running(Reasoner(default_rulebook()), database=f"sqlite:///{folder}/record.sqlite") as base:
            with Probe(base) as probe:
                (folder / "openapi.json").write_text(json.dumps(openapi(probe)), "utf-8")
            command = [
                sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run", str(folder / "openapi.json"),
                "--url", base, "--checks", "not_a_server_error", "--phases", "examples,coverage,fuzzing,stateful",
                "--max-examples", str(arguments.examples), "--seed", str(arguments.seed), "--workers", "1",
                "--suppress-health-check", "all",
            ]  # fmt: skip
            done = subprocess.run(command, env={**os.environ, "NO_COLOR": "1"}, check=False, cwd=folder)
    raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
