"""Mistakes in laboratories' files: all of them at once, each at the key or item that is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cds.errors import RuleBookError
from cds.intake.interfaces import load_interfaces
from cds.reasoning.loading import default_rulebook, shipped_rules
from tests.test_cli import exowatch

MISTAKES = (  # what stood there, what stands there, and the key or item that is wrong
    ("title: Example", "titel: Example", "titel:"), ("tube: edta", "tube: edtaa", "tube: edtaa"),
    ("EV-LOD: limit-of-detection", "EV-LOD: lod", "EV-LOD: lod"), ("code: EV-HOTAIR-DCT", "code: EV-TRPC5", "{code: EV-TRPC5, scale"),
    ("facilities: [EEL]", "facilities: [EEL, [X]]", "[X]"), ("DD.MM.YYYY]", "DD.MM.JJJJ]", "DD.MM.JJJJ]"),
    ("decimal: comma", "decimal: komma", "decimal:"), ("gültig: final", "gültig: done", "gültig: done"),
)  # fmt: skip


def test_mistakes_of_both_halves_are_named_at_once_each_at_the_key_that_is_wrong(tmp_path: Path) -> None:
    shutil.copytree(shipped_rules(), tmp_path / "rules")
    path = tmp_path / "rules" / "labs" / "example-lab.yaml"
    text = path.read_text("utf-8")
    for right, wrong, _ in MISTAKES:
        text = text.replace(right, wrong, 1)
    path.write_text(text, "utf-8")
    done = exowatch("labs", "map", "--rules", str(tmp_path / "rules"), "nothing.hl7")
    assert done.returncode == 2
    for _, _, at in MISTAKES:
        line = text[: text.index(at)].count("\n") + 1
        column = text.index(at) - text.rfind("\n", 0, text.index(at))
        assert f"labs/example-lab.yaml:{line}:{column}:" in done.stdout + done.stderr, (at, done.stderr)
    assert ":1:1:" not in done.stdout + done.stderr


def test_a_facility_of_two_laboratories_is_named_where_it_stands(tmp_path: Path) -> None:
    shutil.copytree(shipped_rules() / "labs", tmp_path / "labs")
    path = tmp_path / "labs" / "example-research-lab.yaml"
    path.write_text(
        path.read_text("utf-8").replace("receives:", "receives:\n  hl7v2: {facilities: [NEW, EEL]}"), "utf-8"
    )
    with pytest.raises(RuleBookError) as raised:
        load_interfaces(tmp_path, default_rulebook().catalogue.declarations)
    (problem,) = raised.value.problems
    line = path.read_text("utf-8").splitlines()[problem.line - 1]
    assert line[problem.column - 1 :].startswith("EEL")
