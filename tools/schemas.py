"""JSON Schemas by which an editor completes and checks the files of a rule book: `make artefacts`.

Keys and words are those of the loader, so a key that it learns has to be described here before the schema can be made.
What only the loader can tell (two meanings of one code, a unit that is none of the marker's) stays with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cds.chart.declarations import ASSAY, CHECKS, METHOD, NEEDED, OPTIONAL, PARTS, WORDS
from cds.chart.units import SCALES
from cds.intake.interfaces import DELIMITERS, FIELDS, LAYOUT, MESSAGES, RESULT, STATUSES, TABLE
from cds.reasoning.loading import default_rulebook
from tools.rule_schemas import RULE_SCHEMAS
from tools.schema_parts import DAY, NUMBER, PERCENT, TEXT, YES_NO, Schema, head, object_of, one_of, texts, words_of

FOLDER = Path(__file__).resolve().parents[1] / "rules" / "schemas"


def _assay(markers: Mapping[str, Any]) -> Schema:
    code = {"code": TEXT, "system": TEXT, "scale": one_of(SCALES, "what the figure is; linear if not stated")}
    described: Schema = {
        "marker": {"anyOf": [one_of(sorted(markers)), {"type": "string", "pattern": "-ev$"}]},
        "codes": {
            "description": "its own codes for it",
            "type": "array",
            "items": object_of(code, ["code"], ["system", "scale"]),
        },
        **{name: TEXT | {"description": "as people name it; another word is another method"} for name in METHOD},
        **{name: one_of(words) for name, words in WORDS.items()},
        "efficiency": TEXT | {"description": "of amplification: 95 %, 0.95, or the factor 1.95"},
        "limit_of_detection": object_of({"value": NUMBER, "unit": TEXT}, ["value", "unit"]),
        "limit_of_quantification": object_of({"value": NUMBER, "unit": TEXT}, ["value", "unit"]),
        "analytical_cv": PERCENT,
        "within_person_cv": PERCENT,
        "checks": object_of({name: one_of(answers) for name, answers in CHECKS.items()}, (), CHECKS),
        "lot": TEXT,
        "bridged": YES_NO | {"description": "whether each new lot is bridged to the one before"},
        "regulatory": TEXT | {"description": "RUO, LDT or IVD, with the accreditation"},
        "units": words_of("its own spellings of units", TEXT),
        "valid_from": DAY,
        "valid_to": DAY,
    }
    return object_of(described, ["marker"], ASSAY)


def _receives() -> Schema:
    described: Schema = {
        "columns": object_of({name: TEXT for name in FIELDS}, ["patient"], FIELDS),
        "results": {"type": "array", "minItems": 1, "items": _result()},
        "authority": TEXT | {"description": "whose numbers stand in the patient's column"},
        "dates": texts("forms of dates, from YYYY, YY, MM, DD, HH, mm, ss"),
        "delimiter": one_of(DELIMITERS),
        "decimal": one_of(("point", "comma")),
        "encoding": TEXT,
        "statuses": words_of("its own words for a status", one_of(STATUSES)),
        "facilities": texts("MSH-4 of its messages"),
        "systems": words_of("names of code systems in OBX-3", TEXT),
        "authorities": words_of("names of authorities in PID-3", TEXT),
        "numbers": texts("types of numbers in PID-3.5 that are a patient's own, beside MR and PI"),
    }
    known = [word for words in (*WORDS.values(), *CHECKS.values()) for word in words]
    forms: Schema = {
        "methods": words_of("its own words for methods", one_of(dict.fromkeys(known))),
        "hl7v2": object_of(described, (), MESSAGES),
        "table": object_of(described, TABLE, LAYOUT),
    }
    return object_of(forms, (), forms)


def _result() -> Schema:
    described: Schema = {name: TEXT for name in ("value", *RESULT)} | {"unit_in_value": YES_NO}
    made = object_of(described, ["value"], RESULT)
    return made | {"oneOf": [{"required": ["code"]}, {"required": ["code_column"]}]}


def laboratory() -> Schema:
    """The schema of `rules/labs/NAME.yaml`."""
    described: Schema = {
        "laboratory": TEXT | {"description": "its name here"},
        "title": TEXT,
        "identifiers": {
            "description": "how it signs its results", "type": "array",
            "items": object_of({"system": TEXT, "value": TEXT}, ["value"], ["system"]),
        },
        "assays": {"type": "array", "items": _assay(default_rulebook().catalogue.markers)},
        "references": texts("Organization/…, as its results refer to it"),
        "code_system": TEXT | {"description": "the system of its own codes"},
        "time_zone": TEXT | {"examples": ["Europe/Berlin"]},
        "parts": words_of("its own codes for what is stated beside a result", one_of(PARTS)),
        "receives": _receives(),
    }  # fmt: skip
    return head("laboratory", "A laboratory: what it declares, and how it delivers") | object_of(
        described, NEEDED, OPTIONAL
    )


def laboratory_test() -> Schema:
    """The schema of `rules/labs/NAME.test.yaml`."""
    row = words_of("a row of a table, by column", TEXT)
    case: Schema = {
        "message": texts("segments; MSH and PID are put before them"),
        "row": row,
        "rows": {"type": "array", "items": row},
        "expect": texts("how each line begins that comes of it"),
    }
    ways = [{"required": [name]} for name in ("message", "row", "rows")]
    cases = words_of("what is sent, by what it shows", object_of(case, ["expect"], case) | {"oneOf": ways})
    described: Schema = {"laboratory": TEXT, "cases": cases}
    return head("laboratory-test", "Tests of a laboratory's file") | object_of(described, described)


SCHEMAS = {"laboratory.schema.json": laboratory, "laboratory-test.schema.json": laboratory_test} | RULE_SCHEMAS


def written(schema: Schema) -> str:
    """A schema as its file holds it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, made in SCHEMAS.items():
        (FOLDER / name).write_text(written(made()), encoding="utf-8")


if __name__ == "__main__":
    main()
