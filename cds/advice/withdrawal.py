"""The card that takes earlier advice back: whoever was shown it is told, in the same place, that it holds no more.

A result that is taken back is told of likewise where the advice goes on without it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from cds.advice.advisory import Advisory, Reading
from cds.advice.cards import Card, Occasion
from cds.advice.markdown import escaped, summed_up
from cds.chart.model import Chart
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
_OF_RESULTS = ("corrected", "changed", "entered-in-error")


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


def withdrawal_card(told: Withdrawal, occasion: Occasion, canonical: str, chart: Chart) -> Card:
    """A card for what was taken back, and for what was before it and nobody answered. It claims nothing: what holds now, if

    anything, has a card of its own. `chart` is the record as it is now: what differs in it is named, with what it was.
    """
    was, at = told.was, day(told.at)
    now = differing(was.readings, chart)
    marker, name = was.markers[0], was.marker_names[0]
    because = _BECAUSE.get(told.reason, "what it rested on has changed")
    if told.still is None:
        summary = f"Withdrawn on {at}: earlier advice on {name} holds no more"
        first = f"**Withdrawn on {at}.** Earlier advice about this patient holds no more, because {because}."
        rested = _listed("It rested on", was.readings, now)
    else:
        summary = f"Taken back on {at}: a result that earlier advice on {name} rested on"
        first = f"**A result was taken back on {at}**: {because}. The advice goes on without it, on a card of its own."
        rested = _listed("It rests no more on", _gone(was, told.still), now)
    if told.reason in _OF_RESULTS:
        first += f" {_told(was.readings, now)}"
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
        "summary": summed_up(_with_result(summary, was.readings, now)),
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


def differing(readings: Sequence[Reading], chart: Chart) -> Mapping[str, str]:
    """By reference what has become of those readings that are not what they were, in words: "now 2.2 × 10⁶/mL", "taken back"."""
    results = {ref: one for found in chart.results.values() for one in found for ref in (one.ref, *one.also)}
    now: dict[str, str] = {}
    for reading in readings:
        result = results.get(reading.ref)
        if reading.ref in chart.voided:
            now[reading.ref] = "taken back"
        elif result is not None:
            value = result.shown or "no readable value"
            changed = [legible(value)] if value != reading.value else []
            if result.collected != reading.collected:
                changed.append(f"collected {_on(result.collected)}")
            if changed:
                now[reading.ref] = f"now {', '.join(changed)}"
    return now


def _told(readings: tuple[Reading, ...], now: Mapping[str, str]) -> str:
    """Which of the results are not what they were."""
    changed = [f"{_named(one)}: {escaped(now[one.ref])}" for one in readings if one.ref in now]
    return f"**{'; '.join(changed)}.**" if changed else "Of what was sent now, no result differs from what it was then."


def _with_result(summary: str, readings: tuple[Reading, ...], now: Mapping[str, str]) -> str:
    """The summary with the one result that has changed, if it is one and there is room for it."""
    changed = [one for one in readings if one.ref in now]
    if len(changed) != 1:
        return summary
    (one,) = changed
    longer = f"{summary} ({_on(one.collected)}: {legible(one.value)} → {now[one.ref].removeprefix('now ')})"
    return longer if len(longer) < 140 else summary


def _listed(what: str, readings: tuple[Reading, ...], now: Mapping[str, str]) -> str:
    lines = [
        f"- {_named(one)} ({escaped(one.ref)})" + (f" – **{escaped(now[one.ref])}**" if one.ref in now else "")
        for one in readings
    ]
    return "\n".join([f"{what}:\n", *lines]) if lines else ""


def _named(reading: Reading) -> str:
    return f"{escaped(reading.marker)} {escaped(legible(reading.value))} of {_on(reading.collected)}"


def _on(collected: date | None) -> str:
    return day(collected) or "no stated day"


def _earlier(told: Withdrawal) -> Iterator[str]:
    if not told.earlier:
        return
    yield f"On this question it is the newest of {len(told.earlier) + 1} that nobody has answered. Before it:\n"
    for one in told.earlier[:_MOST_EARLIER]:
        yield f"- {day(one.at)}, {'withdrawn' if one.still is None else 'a result taken back'}: {escaped(legible(one.was.headline))}"
    if len(told.earlier) > _MOST_EARLIER:
        yield f"- and {len(told.earlier) - _MOST_EARLIER} more, which are in the record"
