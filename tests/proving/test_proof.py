"""What is shown of the shipped rules: every feasible pair, nearly every mutant, every boundary; docs/proof.md is current."""

from __future__ import annotations

import re

from tools.proof import DOCUMENT, text

_ROW = re.compile(
    r"\| `(?P<rule>[^`]+)` \|.*?\| (?P<shown>\d+) of (?P<pairs>\d+) \(.*?\| (?P<killed>\d+) of (?P<mutants>\d+) \("
)


def test_the_document_is_current_and_the_rules_are_proved() -> None:
    computed = text()
    assert DOCUMENT.read_text(encoding="utf-8") == computed, "run `make proof`"
    rows = list(_ROW.finditer(computed))
    assert len(rows) == 10
    for row in rows:
        assert row["shown"] == row["pairs"], row["rule"]
        assert int(row["killed"]) >= 0.95 * int(row["mutants"]), row["rule"]
    assert "## Mutants that survive" not in computed
    (total,) = re.findall(r"\| \*\*all\*\* \|.*\| (\d+) of (\d+) \|$", computed, re.MULTILINE)
    assert total[0] == total[1]
