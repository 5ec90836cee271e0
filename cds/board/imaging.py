"""The newest response by imaging in words, whether or not a rule compares anything with it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from cds.board.age import days_told
from cds.board.words import words
from cds.chart.model import Imaging
from cds.legible import day
from cds.reasoning.kinds.imaging import NOT_EVALUABLE, WORSE_RESPONSE


def imaging_told(seen: Iterable[Imaging], sampled: date | None) -> tuple[str, ...]:
    """The newest response, of one day the worse, and how far it lies from the newest sample; nothing where none is recorded.

    Where the newest could not be evaluated, the newest that could stands after it: it is what is known of the tumour.
    """
    latest = sorted(seen, key=lambda one: (one.day, WORSE_RESPONSE.get(one.response, -1)), reverse=True)
    answering = (one for one in latest if one.response != NOT_EVALUABLE)
    shown = dict.fromkeys((*latest[:1], *list(answering)[:1]))
    return tuple(_told(one, sampled) for one in shown)


def _told(one: Imaging, sampled: date | None) -> str:
    w, said = words().imaging, f"{one.response}, {day(one.day)}"
    if sampled is None:
        return said
    span = abs(one.day - sampled)
    where = w.same_day if not span else (w.before if one.day < sampled else w.after).format(days=days_told(span))
    return f"{said} ({where})"
