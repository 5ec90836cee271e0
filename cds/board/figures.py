"""The numbers of a finding as a board reads them: which marker, its newest value and day, and that over its reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cds.advice.advisory import Advisory, ChangeFromReference, Reading
from cds.legible import day, legible


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of a finding. Without `fold` the value is compared with nothing."""

    marker: str
    value: str  # "4.63 × 10⁶ particles/mL"; "" where the record has no words of it
    day: str  # on which it was drawn
    total_ev: str  # the count over which a value per EV is taken
    fold: str = ""
    reference: str = ""  # "1.27 × 10⁶ particles/mL"
    of: str = ""  # which samples the reference is
    quantity: str = ""  # "value", "value per EV" …
    limit: str = ""


def figures_of(said: Advisory) -> tuple[Figure, ...]:
    """Every number on which a finding rests, the first of each marker first; of what is not compared the newest value."""
    compared = [_figure(one, said) for one in said.changes]
    named = {one.marker for one in compared}
    alone = [_alone(one) for one in said.readings if "latest" in one.roles and one.marker not in named]
    first = [
        one for number, one in enumerate(compared) if one.marker not in {each.marker for each in compared[:number]}
    ]
    return (*first, *alone, *(one for one in compared if one not in first))


def _figure(change: ChangeFromReference, said: Advisory) -> Figure:
    reading = next(_meant(change, said), None)
    per_ev = change.quantity == "value per EV"
    return Figure(
        marker=change.marker,
        value=legible(reading.value) if reading is not None else "",
        day=day(reading.collected) if reading is not None else "",
        total_ev=legible(reading.total_ev) if reading is not None and per_ev else "",
        fold=change.fold,
        reference=legible(change.reference_value),
        of=legible(change.reference),
        quantity=legible(change.quantity),
        limit=legible(change.limit),
    )


def _meant(change: ChangeFromReference, said: Advisory) -> Iterator[Reading]:
    """The sample that is compared: of the day that the quantity names, else the latest."""
    for one in said.readings:
        named = one.collected is not None and one.collected.isoformat() in change.quantity
        latest = change.quantity in ("value", "value per EV") and "latest" in one.roles
        if one.marker == change.marker and (named or latest):
            yield one


def _alone(reading: Reading) -> Figure:
    return Figure(reading.marker, legible(reading.value), day(reading.collected), "")
