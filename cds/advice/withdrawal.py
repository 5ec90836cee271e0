"""The card that takes earlier advice back: whoever was shown it is told, in the same place, that it holds no more."""

from __future__ import annotations

import uuid
from typing import Any

from cds.advice.advisory import Advisory
from cds.advice.cards import Card, Occasion
from cds.advice.markdown import escaped, plain

_CARDS = uuid.UUID("0d9b1d4e-6f0f-5a55-8f0e-6c1b0b8f6a51")
"""Namespace of the identifiers of these cards."""

_BECAUSE = {
    "corrected": "a result on which it rested was corrected by the laboratory",
    "entered-in-error": "a result on which it rested was entered in error",
    "evidence-retracted": "a study on which it rested was retracted",
}


def withdrawal_card(was: Advisory, reason: str, day: str, key: str, occasion: Occasion, canonical: str) -> Card:
    """A card for advice `was` that was withdrawn on `day` (ISO) for `reason`; `key` names the withdrawal.

    It claims nothing: what holds now, if anything, has a card of its own.
    """
    because = _BECAUSE.get(reason, "what it rested on has changed")
    marker, name = was.markers[0], was.marker_names[0]
    readings = "; ".join(
        f"{escaped(reading.marker)} {escaped(reading.value)} of {reading.collected or 'no stated day'} ({escaped(reading.ref)})"
        for reading in was.readings
    )
    detail = [
        f"**Withdrawn on {day}.** Earlier advice about this patient holds no more, because {because}.",
        f"It had said, as of {was.as_of}: {escaped(was.headline)}",
        f"It rested on: {readings}." if readings else "",
        "If anything was decided on it, look at that decision again. This card is shown until somebody answers it.",
        was.fixed_sentence,
    ]
    card: dict[str, Any] = {
        "uuid": str(uuid.uuid5(_CARDS, f"{occasion.hook_instance.lower()}|{key}")),
        "summary": plain(f"Withdrawn: earlier advice on {name} holds no more", 139),
        "detail": "\n\n".join(part for part in detail if part),
        "indicator": "warning",
        "source": {
            "label": "Exowatch",
            "topic": {"code": marker, "system": f"{canonical}/CodeSystem/exosomal-marker", "display": name},
        },
    }
    return card
