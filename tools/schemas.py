"""JSON Schemas by which an editor completes and checks the files of laboratories: `make artefacts`.

Keys and words are those of the loader, so a key that it learns has to be described here before the schema can be made.
What only the loader can tell (two meanings of one code, a unit that is none of the marker's) stays with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cds.chart.declarations import ASSAY, CHECKS, METHOD, NEEDED, OPTIONAL, PARTS, WORDS
from cds.chart.units import SCALES
from cds.intake.interfaces import DELIMITERS, FIELDS, LAYOUT, MESSAGES, RESULT, STATUSES, TABLE
from cds.reasoning.loading import default_rulebook

Schema = dict[str, Any]
FOLDER = Path(__file__).resolve().parents[1] / "rules" / "schemas"

_TEXT: Schema = {"type": ["string", "number"]}
_NUMBER: Schema = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^[0-9.eE+-]+$"}]}
_PERCENT: Schema = {"type": "string", "pattern": r"^\s*[0-9.]+\s*%$", "examples": ["12 %"]}
_DAY: Schema = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
_YES_NO: Schema = {"enum": ["yes", "no", True, False]}


def _one_of(words: Iterable[str], description: str = "") -> Schema:
    return {"enum": list(words)} | ({"description": description} if description else {})


def _texts(description: str) -> Schema:
    return {"description": description, "type": "array", "items": _TEXT}


def _object(described: Mapping[str, Schema], needed: Iterable[str] = (), keys: Iterable[str] = ()) -> Schema:
    """An object with the loader's `keys`, each as described. KeyError if one is not."""
    needed = list(needed)
    properties = {key: described[key] for key in [*needed, *keys]}
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}


def _words(description: str, values: Schema) -> Schema:
    """An object whose keys are the laboratory's own words."""
    return {"description": description, "type": "object", "additionalProperties": values}


def _assay(markers: Mapping[str, Any]) -> Schema:
    code = {"code": _TEXT, "system": _TEXT, "scale": _one_of(SCALES, "what the figure is; linear if not stated")}
    described: Schema = {
        "marker": _one_of(sorted(markers)),
        "codes": {
            "description": "its own codes for it",
            "type": "array",
            "items": _object(code, ["code"], ["system", "scale"]),
        },
        **{name: _TEXT | {"description": "as people name it; another word is another method"} for name in METHOD},
        **{name: _one_of(words) for name, words in WORDS.items()},
        "efficiency": _TEXT | {"description": "of amplification: 95 %, 0.95, or the factor 1.95"},
        "limit_of_detection": _object({"value": _NUMBER, "unit": _TEXT}, ["value", "unit"]),
        "analytical_cv": _PERCENT,
        "within_person_cv": _PERCENT,
        "checks": _object({name: _one_of(answers) for name, answers in CHECKS.items()}, (), CHECKS),
        "lot": _TEXT,
        "bridged": _YES_NO | {"description": "whether each new lot is bridged to the one before"},
        "regulatory": _TEXT | {"description": "RUO, LDT or IVD, with the accreditation"},
        "units": _words("its own spellings of units", _TEXT),
        "valid_from": _DAY,
        "valid_to": _DAY,
    }
    return _object(described, ["marker"], ASSAY)


def _receives() -> Schema:
    described: Schema = {
        "columns": _object({name: _TEXT for name in FIELDS}, ["patient"], FIELDS),
        "results": {"type": "array", "minItems": 1, "items": _result()},
        "authority": _TEXT | {"description": "whose numbers stand in the patient's column"},
        "dates": _texts("forms of dates, from YYYY, YY, MM, DD, HH, mm, ss"),
        "delimiter": _one_of(DELIMITERS),
        "decimal": _one_of(("point", "comma")),
        "encoding": _TEXT,
        "statuses": _words("its own words for a status", _one_of(STATUSES)),
        "facilities": _texts("MSH-4 of its messages"),
        "systems": _words("names of code systems in OBX-3", _TEXT),
        "authorities": _words("names of authorities in PID-3", _TEXT),
        "numbers": _texts("types of numbers in PID-3.5 that are a patient's own, beside MR and PI"),
    }
    known = [word for words in (*WORDS.values(), *CHECKS.values()) for word in words]
    forms: Schema = {
        "methods": _words("its own words for methods", _one_of(dict.fromkeys(known))),
        "hl7v2": _object(described, (), MESSAGES),
        "table": _object(described, TABLE, LAYOUT),
    }
    return _object(forms, (), forms)


def _result() -> Schema:
    described: Schema = {name: _TEXT for name in ("value", *RESULT)} | {"unit_in_value": _YES_NO}
    made = _object(described, ["value"], RESULT)
    return made | {"oneOf": [{"required": ["code"]}, {"required": ["code_column"]}]}


def laboratory() -> Schema:
    """The schema of `rules/labs/NAME.yaml`."""
    described: Schema = {
        "laboratory": _TEXT | {"description": "its name here"},
        "title": _TEXT,
        "identifiers": {
            "description": "how it signs its results", "type": "array",
            "items": _object({"system": _TEXT, "value": _TEXT}, ["value"], ["system"]),
        },
        "assays": {"type": "array", "items": _assay(default_rulebook().catalogue.markers)},
        "references": _texts("Organization/…, as its results refer to it"),
        "code_system": _TEXT | {"description": "the system of its own codes"},
        "time_zone": _TEXT | {"examples": ["Europe/Berlin"]},
        "parts": _words("its own codes for what is stated beside a result", _one_of(PARTS)),
        "receives": _receives(),
    }  # fmt: skip
    return _head("laboratory", "A laboratory: what it declares, and how it delivers") | _object(
        described, NEEDED, OPTIONAL
    )


def laboratory_test() -> Schema:
    """The schema of `rules/labs/NAME.test.yaml`."""
    row = _words("a row of a table, by column", _TEXT)
    case: Schema = {
        "message": _texts("segments; MSH and PID are put before them"),
        "row": row,
        "rows": {"type": "array", "items": row},
        "expect": _texts("how each line begins that comes of it"),
    }
    ways = [{"required": [name]} for name in ("message", "row", "rows")]
    cases = _words("what is sent, by what it shows", _object(case, ["expect"], case) | {"oneOf": ways})
    described: Schema = {"laboratory": _TEXT, "cases": cases}
    return _head("laboratory-test", "Tests of a laboratory's file") | _object(described, described)


def _head(name: str, title: str) -> Schema:
    return {"$schema": "http://json-schema.org/draft-07/schema#", "$id": f"{name}.schema.json", "title": title}


SCHEMAS = {"laboratory.schema.json": laboratory, "laboratory-test.schema.json": laboratory_test}


def written(schema: Schema) -> str:
    """A schema as its file holds it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, made in SCHEMAS.items():
        (FOLDER / name).write_text(written(made()), encoding="utf-8")


if __name__ == "__main__":
    main()
