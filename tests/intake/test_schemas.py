"""The schemas by which an editor checks a laboratory's files: they accept what the loader accepts, and refuse typing errors."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from cds.errors import RuleBookError
from cds.intake.interfaces import load_interfaces
from cds.reasoning.loading import load_rulebook, shipped_rules
from cds.workbench.labtests import load_lab_tests
from tools.schemas import FOLDER, SCHEMAS, written

FILES = sorted((shipped_rules() / "labs").glob("*.yaml"))


def schema_of(path: Path) -> Draft7Validator:
    name = "laboratory-test.schema.json" if path.name.endswith(".test.yaml") else "laboratory.schema.json"
    return Draft7Validator(SCHEMAS[name]())


def parsed(text: str) -> Any:
    return yaml.load(text, yaml.BaseLoader)  # noqa: S506 - every scalar is a text, as the loader reads them


def loaded(rules: Path) -> None:
    load_lab_tests(rules, load_interfaces(rules, load_rulebook(rules).catalogue.declarations))


def test_the_files_are_current() -> None:
    assert {path.name for path in FOLDER.iterdir()} == SCHEMAS.keys()
    for name, made in SCHEMAS.items():
        Draft7Validator.check_schema(made())
        assert (FOLDER / name).read_text("utf-8") == written(made()), f"{name}: run make artefacts"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_shipped_files_are_valid_and_name_their_schema(path: Path) -> None:
    text = path.read_text("utf-8")
    assert [error.message for error in schema_of(path).iter_errors(parsed(text))] == []
    (named,) = (line for line in text.splitlines()[:1] if line.startswith("# yaml-language-server: $schema="))
    assert (path.parent / named.partition("=")[2]).resolve().is_file()
    assert [*schema_of(path).iter_errors(yaml.safe_load(text))] == []  # as an editor reads it: with numbers


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("example-lab.yaml", "title: Example", "titel: Example"),
        ("example-lab.yaml", "laboratory: example-lab", "labs: example-lab"),
        ("example-lab.yaml", "tube: edta", "tube: EDTA"),
        ("example-lab.yaml", "marker: trpc5-ev", "marker: trpc5"),
        ("example-lab.yaml", "scale: delta-ct", "scale: delta"),
        ("example-lab.yaml", "haemolysis: clear", "haemolysis: fine"),
        ("example-lab.yaml", "analytical_cv: 12 %", "analytical_cv: 0.12"),
        ("example-lab.yaml", "bridged: yes", "bridged: sometimes"),
        ("example-lab.yaml", "limit_of_detection: {value: 0.5, unit", "limit_of_detection: {value: half, unit"),
        ("example-lab.yaml", "EV-TOTAL: total-ev", "EV-TOTAL: total"),
        ("example-lab.yaml", "FCM: flow-cytometry", "FCM: flow"),
        ("example-lab.yaml", "facilities: [EEL]", "facility: [EEL]"),
        ("example-lab.yaml", "delimiter: semicolon", "delimiter: ;"),
        ("example-lab.yaml", "gültig: final", "gültig: done"),
        ("example-lab.yaml", "      patient: Patient", "      patients: Patient"),
        ("example-lab.yaml", "{value: TRPC5-EV, code: EV-TRPC5,", "{value: TRPC5-EV,"),
        ("example-lab.test.yaml", "    expect:", "    expects:"),
        ("example-lab.test.yaml", "    row:", "    line:"),
    ],
)
def test_a_typing_error_is_refused_by_the_schema_and_by_the_loader(
    tmp_path: Path, file: str, right: str, wrong: str
) -> None:
    shutil.copytree(shipped_rules(), tmp_path / "rules")
    path = tmp_path / "rules" / "labs" / file
    text = path.read_text("utf-8")
    assert right in text
    path.write_text(text.replace(right, wrong, 1), "utf-8")
    assert [*schema_of(path).iter_errors(parsed(path.read_text("utf-8")))]
    with pytest.raises(RuleBookError):
        loaded(tmp_path / "rules")
