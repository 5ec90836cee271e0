"""From what the record says of operations to `Operation`s, as of a day: which of them removed the tumour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from cds.chart.clinical import Datum
from cds.chart.disease import spread_by
from cds.chart.model import Event, Operation, Side, Tri, both_or_one


def operations_of(said: Mapping[str, Sequence[Datum]], day: date) -> tuple[Operation, ...]:
    """Operations done, and those planned; sorted by day."""
    dated: list[tuple[date, Datum, bool]] = []
    for datum in said.get("operation", ()):
        if datum.start is not None and datum.start.day is not None:
            on = datum.start.day
            planned = datum.planned or on > day
            if not planned or on >= day:  # else planned for a day that has passed, and never recorded as done
                dated.append((on, datum, planned))
    found: list[Operation] = []
    for on, datum, planned in sorted(dated, key=lambda entry: (entry[0], entry[1].ref)):
        earlier = [operation for operation in found if operation.curative and operation.day < on]
        found.append(Operation(on, _curative(said, datum, on, earlier), planned, datum.ref, datum.side))
    return tuple(found)


def uncertain_operations(said: Mapping[str, Sequence[Datum]], day: date) -> tuple[Event, ...]:
    """Operations done of which only the month or the year is known: each disturbs every sample that it may have preceded."""
    found: list[Event] = []
    for datum in said.get("operation", ()):
        start = datum.start
        if start is not None and start.day is None and not datum.planned and start.first <= day:
            last = min(start.last, day)
            either = {_curative(said, datum, one, _removals(said, one)) for one in (start.first, last)}
            curative = either.pop() if len(either) == 1 else None
            found.append(Event("operation-of-uncertain-day", start.first, last, datum.ref, curative))
    return tuple(found)


def has_undated_resection(said: Mapping[str, Sequence[Datum]]) -> bool:
    """Whether a resection that may have removed the tumour was done nobody says when."""
    return any(
        datum.start is None and not datum.planned and _curative(said, datum, date.min, ()) is not False
        for datum in said.get("operation", ())
    )


def _removals(said: Mapping[str, Sequence[Datum]], day: date) -> list[Operation]:
    return [one for one in operations_of(said, day) if one.curative and not one.planned and one.day < day]


def _curative(said: Mapping[str, Sequence[Datum]], datum: Datum, day: date, earlier: Sequence[Operation]) -> Tri:
    """Whether an operation is the removal of the known tumour.

    It is none if it is no breast resection, if its intent is palliative or its reason prophylactic, if it is of the other
    breast than every recorded cancer, or if distant spread is recorded before it and it is not stated as curative. After
    an earlier one it is unknown, unless its side or its intent tells: it may have taken the healthy breast.
    """
    if datum.detail != "breast-resection" or datum.answer in ("palliative", "prophylactic"):
        return False
    stated = datum.answer == "curative"
    if not stated and spread_by(said, day):
        return False
    diseased = both_or_one(
        [one.side for one in said.get("disease", ()) if one.detail == "invasive-breast" and one.so is not False]
    )
    if diseased is not None and apart(datum.side, diseased):
        return None if stated else False
    if stated or not earlier:
        return True
    if datum.side is None:
        return None
    # Of a side on which cancer is recorded, again of the side of an operation before, or of both.
    known = diseased is not None or datum.side == "both" or datum.side in [one.side for one in earlier]
    return True if known else None


def apart(one: Side | None, other: Side | None) -> bool:
    """Whether two sides are known to be different breasts."""
    return {one, other} == {"left", "right"}
