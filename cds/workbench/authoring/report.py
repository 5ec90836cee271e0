"""What lint found, as people, programs and code hosts read it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cds.errors import Problem

_GITHUB = {"error": "error", "warning": "warning", "advice": "notice"}


def page(code: str) -> str:
    """Where a code is explained."""
    return f"docs/lint/{code}.md"


def shown_path(file: str) -> str:
    """A path as short as it can be from here."""
    path = Path(file)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        return str(path.relative_to(Path.cwd()))
    return file


def as_text(problems: Sequence[Problem]) -> str:
    """For people: one paragraph a problem, the next step below it."""
    return "\n".join(_paragraph(one) for one in problems)


def _paragraph(one: Problem) -> str:
    head = f"{shown_path(one.file)}:{one.line}:{one.column}: {one.mistake.severity} {one.mistake.code}: {one.message}"
    return f"{head}\n    {one.hint}" if one.hint else head


def as_github(problems: Sequence[Problem]) -> str:
    """Annotations of a workflow, at the lines of the files."""
    return "\n".join(
        f"::{_GITHUB[one.mistake.severity]} file={_property(shown_path(one.file))},line={one.line},col={one.column},"
        f"title={one.mistake.code} {_property(one.mistake.slug)}::{_data(one.message + (f'. {one.hint}' if one.hint else ''))}"
        for one in problems
    )


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def as_json(problems: Sequence[Problem]) -> str:
    """For programs."""
    return json.dumps(
        {
            "problems": [
                {
                    "file": shown_path(one.file),
                    "line": one.line,
                    "column": one.column,
                    "code": one.mistake.code,
                    "name": one.mistake.slug,
                    "severity": one.mistake.severity,
                    "message": one.message,
                    "next": one.hint,
                    "page": page(one.mistake.code),
                }
                for one in problems
            ]
        },
        ensure_ascii=False,
    )


def summary(problems: Sequence[Problem]) -> str:
    """How many of which severity, and where to read more."""
    if not problems:
        return "nothing to mend"
    counted: Counter[str] = Counter(one.mistake.severity for one in problems)
    words = {
        "error": ("error", "errors"),
        "warning": ("warning", "warnings"),
        "advice": ("piece of advice", "pieces of advice"),
    }
    said = ", ".join(f"{counted[name]} {words[name][counted[name] > 1]}" for name in words if counted[name])
    codes = sorted({one.mistake.code for one in problems})
    pages = f"docs/lint/{codes[0]}.md" if len(codes) == 1 else f"docs/lint/ has a page for each: {', '.join(codes)}"
    return f"{said}; {pages}"
