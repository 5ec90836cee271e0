"""The words of pages and paper: every English string in one file, `words.yaml`, ready to be translated."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cds.errors import Problem
from cds.source import raise_if_any, read_yaml


@cache
def words() -> SimpleNamespace:
    """Every string, by section and name: `words().patient.born`. Codes that have a label stand in sections of their own."""
    problems: list[Problem] = []
    found = read_yaml(Path(__file__).with_name("words.yaml"), problems)
    raise_if_any(problems)
    assert found is not None  # else there were problems
    named: SimpleNamespace = _named(found.value)
    return named


def label(section: str, code: str) -> str:
    """The label of a code, or the code as words if it has none."""
    return str(getattr(getattr(words(), section, None), code, code.replace("-", " ")))


def _named(value: Any) -> Any:
    return SimpleNamespace(**{key: _named(one) for key, one in value.items()}) if isinstance(value, dict) else value
