"""A case with what was moved, as its file of tests would say it: to be copied there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from cds.workbench.bench.points import Move, written
from cds.workbench.proving.cases import QUIET, RuleTest
from cds.workbench.proving.series import written_out

_PLAIN = re.compile(r"[0-9A-Za-z.<+-][0-9A-Za-z.<>=_/+%|-]*( [0-9A-Za-z.<>=_/+%|-]+)*")
_EXPECTS = ("expect", "quiet", "because")


def as_test(
    test: RuleTest, name: str, markers: Iterable[str], moves: Mapping[str, Move], expect: Mapping[int, str]
) -> str:
    """The lines of the case; `moves` by the references of its results, `expect` the state on each day that it is to expect."""
    stated = {key: value for key, value in test.stated.items() if key not in _EXPECTS}
    for marker in markers:
        if marker in stated:
            stated[marker] = _series(marker, stated[marker], moves)
    lines = [f"{_scalar(name)}:", *(f"  {key}: {_shown(value)}" for key, value in stated.items() if value != {})]
    wanted = {str(day): state for day, state in expect.items() if state != QUIET}
    calm = [str(day) for day, state in expect.items() if state == QUIET]
    lines += [f"  expect: {_shown(wanted)}"] if wanted else []
    return "\n".join([*lines, *([f"  quiet: {_shown(calm)}"] if calm else [])])


def _series(marker: str, stated: Any, moves: Mapping[str, Move]) -> dict[str, str]:
    """The values of a marker by day, without those that were left out."""
    values = written_out(stated, lambda _what, _hint: None) if isinstance(stated, str) else stated
    found = {}
    for day, text in values.items():
        kept = []
        for number, value in enumerate(str(text).split("|")):
            move = moves.get(f"Observation/{marker}-{day}-{number}")
            if move is None:
                kept.append(" ".join(value.split()))
            elif move.value is not None:
                kept.append(" ".join([f"{'<' if move.below else ''}{written(move.value)}", *value.split()[1:]]))
        if kept:
            found[day] = " | ".join(kept)
    return found


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(str(key))}: {_shown(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return _scalar(str(value))


def _scalar(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
