"""The short card for findings that stand on record and that no other card of an answer shows: an empty answer would deny them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cds.advice.advisory import FIXED_SENTENCE, Advisory
from cds.advice.cards import Card, Occasion
from cds.advice.markdown import escaped, summed_up
from cds.advice.orders import about_orders
from cds.counting import counted
from cds.legible import day

_CARDS = uuid.UUID("5f6c1c0e-8b5d-5e43-9c50-6f0f4f4a7f21")
"""Namespace of the identifiers of these cards."""

_MOST = 6
_MOST_SAMPLES = 6

SPEAKS_THOUGH_ANSWERED = ("suspected", "persistent", "data-quality", "not-evaluable", "hold")
"""States whose silence would look like an all-clear: a suspicion, and all that could not be judged."""


@dataclass(frozen=True, slots=True)
class Stands:
    """A finding that stands on record. `was` is what was said last, `since` the day since when it is so.

    `answered` is the day on which somebody answered its card ("" if nobody did), `sent` whether its results are among what is
    evaluated now.
    """

    was: Advisory
    since: str
    answered: str = ""
    sent: bool = True

    @property
    def state_since(self) -> str:
        """The state in words, and since when it is on record: its samples may be much older."""
        return f"{self.was.word}, on record since {day(self.since)}"

    @property
    def how_sure(self) -> str:
        """What every card says beside its state."""
        return f"investigational; certainty {self.was.certainty}" if self.was.certainty else "investigational"


def earlier(standing: Iterable[Stands]) -> str:
    """The sentence by which a card that cannot judge newer data names what was found before; "" for nothing."""
    found = list(dict.fromkeys(one.state_since for one in standing))
    return (
        f"{'Earlier findings stand' if len(found) > 1 else 'An earlier finding stands'}: {'; '.join(found)}."
        if found
        else ""
    )


def reminder_card(standing: Sequence[Stands], occasion: Occasion, canonical: str) -> Card:
    """A card of a line or two for each finding: which, since when, and why it has no card of its own. It suggests nothing."""
    first, *more = standing
    lines = [_line(one) for one in standing[:_MOST]]
    if len(standing) > _MOST:
        lines.append(f"and {len(standing) - _MOST} more, which are in the record")
    orders = dict.fromkeys(
        said for one in standing for said in about_orders(one.was, occasion.ordered, occasion.unread)
    )
    seed = "|".join([occasion.hook_instance.lower(), occasion.patient, *lines])
    others = f", and {counted(len(more), 'finding')} more" if more else ""
    return {
        "uuid": str(uuid.uuid5(_CARDS, seed)),
        "summary": summed_up(
            f"On record since {day(first.since)} for {_names(first)}: {first.was.word} ({first.how_sure}){others}"
        ),
        "detail": "\n\n".join(
            [
                *(escaped(said, 1200) for said in orders),
                "\n".join(f"- {line}" for line in lines),
                f"**{FIXED_SENTENCE}**",
            ]
        ),
        "indicator": "info",
        "source": {
            "label": "Exowatch",
            "topic": {
                "code": "standing-finding",
                "system": f"{canonical}/CodeSystem/exowatch-topic",
                "display": "Findings that stand on record",
            },
        },
    }


def _line(one: Stands) -> str:
    if one.answered:
        why = f"Its card was answered on {day(one.answered)}, and is shown again once the evidence changes. The finding stands"
    elif not one.sent:
        why = "Its results were not in this request. The finding stands on record"
    else:
        why = "What was sent now does not settle it. The finding stands on record"
    return f"{escaped(_names(one))}: **{escaped(one.state_since)}** ({escaped(one.how_sure)}){_samples(one)}. {why}."


def _samples(one: Stands) -> str:
    """The days of the samples that have a part in the finding, the newest last."""
    days = sorted({reading.collected for reading in one.was.readings if reading.roles and reading.collected})
    if not days:
        return ""
    named = [day(each) for each in days[-_MOST_SAMPLES:]]
    earlier_ones = f", and {counted(len(days) - len(named), 'earlier one')}" if len(days) > len(named) else ""
    return f", from {'the sample' if len(days) == 1 else 'samples'} of {', '.join(named)}{earlier_ones}"


def _names(one: Stands) -> str:
    return " and ".join(one.was.marker_names)
