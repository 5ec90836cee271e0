"""The tests beside laboratories' files run, and tell what went otherwise than they say."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cds.reasoning.loading import shipped_rules
from tests.test_cli import exowatch


def test_the_shipped_ones_hold() -> None:
    done = exowatch("labs", "test")
    assert (done.returncode, done.stdout.strip()) == (0, "13 passed, 0 failed")


@pytest.mark.parametrize(
    ("right", "wrong", "code", "words"),
    [
        ("trpc5-ev 5.6 Mio/mL 2025-04-08]", "trpc5-ev 5.7]", 1, ("a name for a unit", "trpc5-ev 5.7", "trpc5-ev 5.6 Mio/mL")),
        ("expect: [withdrawn]", "expect: []", 1, ("nothing", "withdrawn", "12 passed, 1 failed")),
        ("expect: [withdrawn]", "expect: [withdrawn, withdrawn]", 1, ("12 passed, 1 failed",)),
        ("{Patient: \"4711\", Probe: S-1, Entnahme: 04/08/2025", "{Patent: \"4711\", Probe: S-1, Entnahme: 04/08/2025", 2,
         ("unknown key 'Patent' (did you mean 'Patient'?)", "labs/example-lab.test.yaml:")),
        ("laboratory: example-lab", "laboratory: exampel-lab", 2, ("did you mean 'example-lab'?",)),
        ("    row: {Patient: \"4711\", Probe: S-1, Entnahme: 04/08/2025", "    raw: {Patient: \"4711\", Probe: S-1, Entnahme: 04/08/2025", 2,
         ("unknown key 'raw' (did you mean 'row'?)", "say what is sent, once")),
    ],
)  # fmt: skip
def test_what_went_otherwise_is_shown(
    tmp_path: Path, right: str, wrong: str, code: int, words: tuple[str, ...]
) -> None:
    shutil.copytree(shipped_rules(), tmp_path / "rules")
    file = tmp_path / "rules" / "labs" / "example-lab.test.yaml"
    text = file.read_text("utf-8").replace("its own name for a unit", "a name for a unit")
    assert right in text
    file.write_text(text.replace(right, wrong, 1), "utf-8")
    done = exowatch("labs", "test", "--rules", str(tmp_path / "rules"))
    assert done.returncode == code, done.stderr
    for word in words:
        assert word in done.stdout + done.stderr
