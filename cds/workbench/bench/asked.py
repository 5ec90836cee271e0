"""What an address of these pages asks for, and what is to be said where it cannot be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cds.board.words import words
from cds.errors import RuleBookError
from cds.workbench.bench.patients import Patient
from cds.workbench.bench.points import Move, NoValue, Point, read_move

MOST_SHOWN = 120
"""So many letters of what somebody typed are shown again."""
_DAY = re.compile(r"-?\d{1,4}")
_FARTHEST = 3650


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a page cannot show what was asked for: where, what is wrong, what to do, and the field in which it can be mended."""

    where: str
    what: str
    next: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A point as the form shows it: what stands in its field, whether it is left out, and whether that differs from the case."""

    point: Point
    typed: str
    out: bool
    differs: bool
    wrong: bool = False


def trouble(code: str, where: str, field: str = "", **told: str) -> Trouble:
    """The words of a mistake; `told` is put into them."""
    found = vars(words().author_problems)[code]
    shown = {name: value[:MOST_SHOWN] for name, value in told.items()}
    return Trouble(where[:MOST_SHOWN], found.what.format_map(shown), found.next.format_map(shown), field)


def against_grammar(error: RuleBookError, where: str) -> list[Trouble]:
    """What the grammar of rules, or that of their tests, says against a text. `where` is a code of the words."""
    told = vars(words().author_problems)[where]
    return [
        Trouble(
            f"{one.file}, {words().author.line} {one.line}",
            f"{one.message} ({one.mistake.code})",
            one.hint or told.next,
        )
        for one in error.problems
    ]


def moves_of(patient: Patient, query: Mapping[str, str], problems: list[Trouble]) -> tuple[list[Row], dict[str, Move]]:
    """The points as somebody wants them: `v` and a key for a value, `x` and a key for what is left out."""
    rows: list[Row] = []
    moves: dict[str, Move] = {}
    for point in patient.points:
        typed = query.get(f"v{point.key}", point.typed)[:MOST_SHOWN]
        out = f"x{point.key}" in query
        wrong = False
        if out:
            moves[point.key] = Move(None)
        elif point.value is not None and typed.strip() != point.typed:
            try:
                moves[point.key] = read_move(typed, point)
            except NoValue as error:
                wrong = True
                problems.append(trouble(str(error), where_of(point), f"v{point.key}", typed=typed))
        rows.append(Row(point, typed, out, out or wrong or point.key in moves, wrong))
    for name, value in query.items():
        if (
            name[:1] in "vx"
            and re.fullmatch(r"-?\d+|undated", re.split(r"[.~]", name[1:])[0])
            and name[1:] not in patient.by_key
        ):
            problems.append(trouble("point", patient.choice.key, typed=f"{name}={value}", day=name[1:]))
    return rows, moves


def where_of(point: Point) -> str:
    """A point as a message names it."""
    return str(words().author.where_point.format(day=point.day, marker=point.short))


def day_of(patient: Patient, query: Mapping[str, str], problems: list[Trouble]) -> int | None:
    """The day on which the rule is asked: as somebody says it, else the last one of which the case speaks."""
    typed = query.get("day", "").strip()
    if typed:
        if _DAY.fullmatch(typed) and abs(int(typed)) <= _FARTHEST:
            return int(typed)
        problems.append(trouble("day", words().author.day, "day", typed=typed))
        return None
    return max(patient.expected, default=max(patient.days, default=0))
