"""What the schemas of rule files are put together from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": ["string", "number"]}
NUMBER: Schema = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^[0-9.eE+-]+$"}]}
PERCENT: Schema = {"type": "string", "pattern": r"^\s*[0-9.]+\s*%$", "examples": ["12 %"]}
DAY: Schema = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
YES: Schema = {"enum": ["yes", True]}
YES_NO: Schema = {"enum": ["yes", "no", True, False]}


def one_of(words: Iterable[str], description: str = "") -> Schema:
    return {"enum": list(words)} | ({"description": description} if description else {})


def texts(description: str) -> Schema:
    return {"description": description, "type": "array", "items": TEXT}


def object_of(described: Mapping[str, Schema], needed: Iterable[str] = (), keys: Iterable[str] = ()) -> Schema:
    """An object with the loader's `keys`, each as described. KeyError if one is not."""
    needed = list(needed)
    properties = {key: described[key] for key in [*needed, *keys]}
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}


def words_of(description: str, values: Schema) -> Schema:
    """An object whose keys are the laboratory's own words."""
    return {"description": description, "type": "object", "additionalProperties": values}


def head(name: str, title: str) -> Schema:
    return {"$schema": "http://json-schema.org/draft-07/schema#", "$id": f"{name}.schema.json", "title": title}
