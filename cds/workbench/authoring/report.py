"""What lint found, as people, programs and code hosts read it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from cds import terminal
from cds.errors import InputError, Problem

_COLOURS = {"error": "bold red", "warning": "yellow", "advice": "cyan"}
_GITHUB = {"error": "error", "warning": "warning", "advice": "notice"}


def page(code: str) -> str:
    """Where a code is explained."""
    return f"docs/lint/{code}.md"


@cache
def explained(code: str) -> str:
    """The page of a code, from the package or the checkout. Raises `InputError` for no code of ours."""
    packaged = Path(str(files("cds") / "_data" / "lint"))
    folder = packaged if packaged.is_dir() else Path(__file__).resolve().parents[3] / "docs" / "lint"
    path = folder / f"{code}.md"
    if not re.fullmatch(r"EX\d{3}", code) or not path.is_file():
        raise InputError(f"there is no code '{code}'. Next step: write it as in EX203; docs/lint/ lists them")
    return path.read_text("utf-8")


def cause(code: str) -> str:
    """The likely cause of a mistake, or why it is one."""
    return explained(code).split("\n## Why\n\n")[1].split("\n\n## ")[0].strip()


def shown_path(file: str) -> str:
    """A path as short as it can be from here."""
    path = Path(file)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        return str(path.relative_to(Path.cwd()))
    return file


def as_text(problems: Sequence[Problem]) -> str:
    """For people: one paragraph a problem, with its likely cause and the next step."""
    return "\n".join(
        f"{_place(one)}: {one.mistake.severity} {one.mistake.code}: {one.message}"
        f"\n    why:  {cause(one.mistake.code)}\n    next: {one.hint}"
        for one in problems
    )


def as_markup(problems: Sequence[Problem]) -> str:
    """The same for a terminal that has colours."""
    plain = terminal.as_it_is
    return "\n".join(
        f"[bold]{plain(_place(one))}[/]: [{_COLOURS[one.mistake.severity]}]{one.mistake.severity} {one.mistake.code}[/]: "
        f"{plain(one.message)}\n    [dim]why:  {plain(cause(one.mistake.code))}[/]\n    next: {plain(one.hint)}"
        for one in problems
    )


def _place(one: Problem) -> str:
    return f"{shown_path(one.file)}:{one.line}:{one.column}"


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
                    "cause": cause(one.mistake.code),
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
