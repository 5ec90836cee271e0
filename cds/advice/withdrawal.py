"""The card that takes earlier advice back: whoever was shown it is told, in the same place, that it holds no more.

A result that is taken back is told of likewise where the advice goes on without it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cds.advice.advisory import Advisory, Reading
from cds.advice.cards import Card, Occasion
from cds.advice.markdown import escaped, plain
from cds.legible import day, legible

_CARDS = uuid.UUID("0d9b1d4e-6f0f-5a55-8f0e-6c1b0b8f6a51")
"""Namespace of the identifiers of these cards."""

_MOST_EARLIER = 5

_BECAUSE = {
    "corrected": "a result on which it rested was corrected by the laboratory",
    "changed": "the value or the day of a result on which it rested is another in the record than before",
    "entered-in-error": "a result on which it rested was taken back: entered in error, cancelled, or not final any more",
    "evidence-retracted": "a study on which it rested was retracted",
}


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What was shown and holds no more. `was` is what was said, `reason` a code of `record.lifecycle.Step`.

    `still` is what is said without the results that were taken back, where the advice goes on; None where it was withdrawn.
    `earlier` are those of the same question and line of which nobody has been told yet either, the newest first.
    """

    event_id: str
    advisory_id: str
    at: str
    reason: str
    was: Advisory
    still: Advisory | None = None
    earlier: tuple[Withdrawal, ...] = ()


def withdrawal_card(told: Withdrawal, occasion: Occasion, canonical: str) -> Card:
    """A card for what was taken back, and for what was before it and nobody answered. It claims nothing: what holds now, if

    anything, has a card of its own.
    """
    was, at = told.was, day(told.at)
    marker, name = was.markers[0], was.marker_names[0]
    because = _BECAUSE.get(told.reason, "what it rested on has changed")
    if told.still is None:
        summary = f"Withdrawn: earlier advice on {name} holds no more"
        first = f"**Withdrawn on {at}.** Earlier advice about this patient holds no more, because {because}."
        rested = f"It rested on: {_listed(was.readings)}." if was.readings else ""
    else:
        summary = f"Taken back: a result that earlier advice on {name} rested on"
        first = f"**A result was taken back on {at}**: {because}. The advice goes on without it, on a card of its own."
        gone = _gone(was, told.still)
        rested = f"It rests no more on: {_listed(gone)}." if gone else ""
    detail = [
        first,
        f"It had said, as of {day(was.as_of)}: {escaped(legible(was.headline))}",
        rested,
        "\n".join(_earlier(told)),
        "If anything was decided on it, look at that decision again. This card is shown until somebody answers it.",
        was.fixed_sentence,
    ]
    card: dict[str, Any] = {
        "uuid": str(uuid.uuid5(_CARDS, f"{occasion.hook_instance.lower()}|{told.event_id}")),
        "summary": plain(summary, 139),
        "detail": "\n\n".join(part for part in detail if part),
        "indicator": "warning",
        "source": {
            "label": "Exowatch",
            "topic": {"code": marker, "system": f"{canonical}/CodeSystem/exosomal-marker", "display": name},
        },
    }
    return card


def _gone(was: Advisory, still: Advisory) -> tuple[Reading, ...]:
    kept = {reading.ref for reading in still.readings}
    return tuple(reading for reading in was.readings if reading.ref not in kept)


def _listed(readings: tuple[Reading, ...]) -> str:
    return "; ".join(
        f"{escaped(reading.marker)} {escaped(legible(reading.value))} of {day(reading.collected) or 'no stated day'} ({escaped(reading.ref)})"
        for reading in readings
    )


def _earlier(told: Withdrawal) -> Iterator[str]:
    if not told.earlier:
        return
    yield f"On this question it is the newest of {len(told.earlier) + 1} that nobody has answered. Before it:\n"
    for one in told.earlier[:_MOST_EARLIER]:
        yield f"- {day(one.at)}, {'withdrawn' if one.still is None else 'a result taken back'}: {escaped(legible(one.was.headline))}"
    if len(told.earlier) > _MOST_EARLIER:
        yield f"- and {len(told.earlier) - _MOST_EARLIER} more, which are in the record"
