"""Every English string of pages and paper stands in one file, and every word that a page asks for is there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest

from cds.advice.wording import Wording
from cds.board.words import label, words
from cds.chart.model import Side
from cds.reasoning.loading import default_rulebook
from cds.record.codes import ACTIONS, DISPOSITIONS, NOT_DONE, REASONS, RESISTANCE, RESPONSES, RETIRED, Status
from cds.record.lifecycle import Kind, Standing
from cds.record.worklist import SORTS
from tests.test_cli import ROOT

TEMPLATES = sorted(
    path
    for stage in ("service/pages", "workbench/bench")
    for path in (ROOT / "cds" / stage / "templates").rglob("*.html")
)
_JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.S)
_SHOWN = re.compile(r'\b(?:aria-label|title|alt|placeholder|data-label|value)="([^"]*)"')
_COMMAND = re.compile(r"<code>exowatch [a-z ]+</code>")
_SETS = {"yes", "no", "en", "UTC"} | {
    "save",
    "hold",
    "close",
    "up",
    "down",
    "discussed",
    "undiscussed",
    "remove",
    "carry",
}
"""Values that forms send, which nobody reads."""


_MARKING = re.compile(r'aria-(invalid|describedby)="[a-z-]*"')
"""Attributes that a macro writes outside of any tag: what they hold are values and ids, and nobody reads them."""


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_holds_no_words(template: Path) -> None:
    source = _MARKING.sub("", _COMMAND.sub("", _JINJA.sub("", template.read_text(encoding="utf-8"))))
    texts = re.sub(r"<[^>]*>", "\n", source).split() + " ".join(_SHOWN.findall(source)).split()
    found = [one for one in texts if re.search(r"[A-Za-z]{2,}", one)]
    assert [
        one for one in found if one.strip(".,;:()") not in _SETS and not re.fullmatch(r"[a-z]+(-[a-z]+)*", one)
    ] == []
    in_text = re.sub(r"<[^>]*>", "\n", source)
    assert [
        line.strip() for line in in_text.splitlines() if re.search(r"[a-z]{3,}", line) and line.strip() not in _SETS
    ] == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_word_that_a_template_asks_for_is_there(template: Path) -> None:
    for section, name in re.findall(r"\bw\.(\w+)\.(\w+)", template.read_text(encoding="utf-8")):
        assert hasattr(getattr(words(), section), name), f"{template.name} asks for {section}.{name}"


def test_every_code_has_a_label() -> None:
    book = default_rulebook()
    expected: dict[str, Iterable[str]] = {
        "states": [state.name for state in book.states], "standing": list(Standing), "happened": list(Kind),
        "dispositions": [*DISPOSITIONS, *RETIRED], "dispositions_long": DISPOSITIONS, "decision_reasons": REASONS,
        "actions": ACTIONS, "action_states": [one.value for one in Status], "not_done": NOT_DONE, "responses": RESPONSES,
        "resistance": RESISTANCE, "sorts": SORTS, "sides": get_args(Side),
    }  # fmt: skip
    for section, codes in expected.items():
        known = getattr(words(), section)
        assert [code for code in codes if not hasattr(known, str(code))] == [], section


def test_a_state_is_called_the_same_in_lists_as_on_pages_and_cards() -> None:
    book = default_rulebook()
    assert {one.name: label("states", one.name) for one in book.states} == {
        one.name: Wording(book).state(one.name) for one in book.states
    }


def test_a_code_without_a_label_is_shown_as_words() -> None:
    assert label("states", "some-new-state") == "some new state"


def test_no_word_stands_there_for_nothing() -> None:
    sources = {
        path: path.read_text(encoding="utf-8")
        for path in (ROOT / "cds").rglob("*")
        if path.suffix in (".py", ".html", ".typ") and path.name != "words.yaml"
    }

    def is_asked_for(section: str, name: str) -> bool:
        for path, text in sources.items():
            if name not in text and f'{section}["' not in text:
                continue
            if re.search(rf"\b{section}\.{name}\b", text) or f'{section}["{name.partition("_")[0]}_' in text:
                return True
            short = "words|patient-words|common" if path.suffix == ".typ" else "w|of"
            is_short = path.suffix == ".typ" or re.search(rf"words\(\)\.{section}\b(?!\.)", text)
            if is_short and re.search(rf"\b(?:{short})\.{name}\b", text):
                return True
        return False

    by_code = {
        "states", "standing", "happened", "reasons", "sexes", "sides", "dispositions", "dispositions_long", "decision_reasons", "actions",
        "action_states", "not_done", "responses", "resistance", "sorts", "problems", "done", "notices", "notice_titles",
        "waits_because", "navigation", "queue_pages", "audit_actions", "audit_pages", "kept_fields", "rule_status", "author_parts",
        "author_problems", "outcome_questions",
    }  # fmt: skip
    idle = [
        f"{section}.{name}"
        for section, named in vars(words()).items()
        if section not in by_code and isinstance(named, SimpleNamespace)
        for name in vars(named)
        if not is_asked_for(section, name)
    ]
    assert idle == []
