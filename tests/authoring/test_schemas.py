"""The schemas by which editors complete and check rule files: valid for all that loads, refusing what is built wrongly."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from cds.layers import FOLDERS, shipped_rules
from cds.reasoning.kinds import KINDS
from cds.workbench.authoring.lint import name_in_a_book
from tests.authoring.examples import BAD, EXAMPLE, ROOT
from tools.rule_schemas import PLACES
from tools.schemas import SCHEMAS

CHECKS = {name: Draft7Validator(SCHEMAS[f"{name}.schema.json"]()) for name in PLACES}
STRUCTURE = (
    "EX102", "EX103", "EX105", "EX106", "EX107", "EX108", "EX109", "EX110", "EX111", "EX112", "EX204", "EX210", "EX211",
    "EX218", "EX221", "EX224", "EX304", "EX403", "EX408", "EX415", "EX502", "EX503",
)  # fmt: skip
"""Mistakes of structure: an editor shows them while they are written. What needs other files only lint can tell."""

FILES = [
    (root, path)
    for root in (shipped_rules(), EXAMPLE)
    for path in sorted(root.rglob("*.yaml"))
    if path.parent.name in FOLDERS or path.parent == root
    if BAD not in path.parents
]


def schema_of(name: str) -> str:
    """The narrowest kind whose pattern fits."""
    fits = [kind for kind, pattern in PLACES.items() if PurePosixPath(name).match(pattern)]
    return max(fits, key=lambda kind: len(PLACES[kind]))


def as_editors_read(value: Any) -> Any:
    """YAML as an editor has it: keys are texts, and there are no dates."""
    if isinstance(value, dict):
        return {str(key): as_editors_read(one) for key, one in value.items()}
    if isinstance(value, list):
        return [as_editors_read(one) for one in value]
    return value.isoformat() if isinstance(value, date) else value


def mistakes(name: str, text: str) -> list[str]:
    check = CHECKS[schema_of(name)]
    texts = yaml.load(text, yaml.BaseLoader)  # noqa: S506 - every scalar is a text, as the loader reads them
    both = (texts, as_editors_read(yaml.safe_load(text)))
    return [f"{list(error.absolute_path)}: {error.message}" for read in both for error in check.iter_errors(read)]


@pytest.mark.parametrize(("root", "path"), FILES, ids=[str(path.relative_to(ROOT)) for _, path in FILES])
def test_every_file_that_loads_is_valid(root: Path, path: Path) -> None:
    assert mistakes(path.relative_to(root).as_posix(), path.read_text("utf-8")) == []


@pytest.mark.parametrize("code", STRUCTURE)
def test_a_mistake_of_structure_is_refused(code: str) -> None:
    (path,) = BAD.glob(f"{code}-*.yaml")
    assert mistakes(name_in_a_book(path), path.read_text("utf-8"))


def test_every_kind_of_fact_is_described() -> None:
    facts = SCHEMAS["rule.schema.json"]()["properties"]["facts"]["additionalProperties"]["anyOf"]
    assert {fact["required"][0] for fact in facts} == {*KINDS, "finding", "same_day"}
    described = json.dumps(facts)
    assert '"description"' in described


def test_the_editor_of_this_checkout_knows_which_file_is_of_which_kind() -> None:
    settings = json.loads((ROOT / ".vscode" / "settings.json").read_text("utf-8"))["yaml.schemas"]
    assert {Path(schema).name for schema in settings} == {f"{name}.schema.json" for name in PLACES}
    for schema, patterns in settings.items():
        assert (ROOT / schema).is_file()
        assert patterns == [f"**/{PLACES[Path(schema).name.removesuffix('.schema.json')]}"]
