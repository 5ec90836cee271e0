"""The card for results that could not be used: without it, their silence would look like having nothing to say."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from cds.advice.advisory import FIXED_SENTENCE
from cds.advice.cards import Card, Occasion
from cds.advice.markdown import escaped, plain
from cds.chart.model import Chart, LeftOut
from cds.counting import counted

_CARDS = uuid.UUID("3a3f0f44-6c5e-5d0a-9a55-0a6f7a1e2c11")
"""Namespace of the identifiers of these cards."""

_MOST = 10


def unread_card(chart: Chart, occasion: Occasion, canonical: str) -> Card | None:
    """A card that says what may have been a marker result and could not be used; None if there is no such thing.

    It is for an answer that would otherwise hold no card: every other card lists what was left out of its own data.
    """
    hidden = [item for item in chart.left_out if item.hides_results]
    if not hidden:
        return None
    alike: dict[tuple[str, str], list[str]] = {}
    for item in hidden:
        alike.setdefault((item.reason, item.hint), []).append(_place(item))
    lines = [
        f"{escaped('; '.join(dict.fromkeys(places)), 600)}: {escaped(reason)}. Next: {escaped(hint)}"
        for (reason, hint), places in alike.items()
    ]
    count = counted(len(hidden), "entry")
    detail = [
        f"**This is no statement about the patient.** {count} that may hold exosomal marker results could not be used, so "
        "nothing was evaluated of them. Missing advice must not be taken for a reassuring result.",
        *_listed(lines),
        f"Data as of {chart.as_of}. {FIXED_SENTENCE}",
    ]
    basis = "|".join([occasion.hook_instance.lower(), chart.patient, *lines])
    return {
        "uuid": str(uuid.uuid5(_CARDS, basis)),
        "summary": plain("Exosomal markers: data that may hold results could not be used", 139),
        "detail": "\n\n".join(detail),
        "indicator": "info",
        "source": {
            "label": "Exowatch",
            "topic": {
                "code": "unread-results",
                "system": f"{canonical}/CodeSystem/exowatch-topic",
                "display": "Results that could not be used",
            },
        },
    }


def _place(item: LeftOut) -> str:
    if item.where == "record":
        return item.what
    return f"{item.what} at {item.where}" if "/" in item.what else item.where


def _listed(lines: Sequence[str]) -> list[str]:
    shown = [f"- {line}" for line in lines[:_MOST]]
    if len(lines) > _MOST:
        shown.append(f"- and {len(lines) - _MOST} more")
    return ["\n".join(shown)]
