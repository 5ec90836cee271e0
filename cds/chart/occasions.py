"""One occasion, one result: duplicates are merged, contradictions marked, the rest put in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, time
from typing import Any

import msgspec

from cds.chart.model import Method, Result

_METHOD = Method.__struct_fields__
_FILLED = ("collected_time", "lod", "per_ev_low", "per_ev_high", "total_ev", "laboratory", "lot", "cva", "cvi",
           "specimen_id", "regulatory")  # fmt: skip


def in_order(results: list[Result], day: date) -> tuple[Result, ...]:
    """The results of one marker as of `day`: duplicates merged, conflicts and future dates marked, sorted.

    Order: day, then time of day (unknown first), then the larger value first; undated ones last.
    """
    if len(results) > 1:
        if _any_shared(results):
            results = _settled(sorted(results, key=_order))
        results.sort(key=_order)
    last = results[-1].collected
    if last is None or last > day:
        results = [
            msgspec.structs.replace(result, faults=result.faults | {"after-as-of"})
            if result.collected is not None and result.collected > day
            else result
            for result in results
        ]
    return tuple(results)


def _any_shared(results: Sequence[Result]) -> bool:
    """Whether two results share a day or a specimen: only these can be duplicates or contradict each other."""
    days = [result.collected for result in results if result.collected is not None]
    specimens = [result.specimen_id for result in results if result.specimen_id is not None]
    return len(set(days)) < len(days) or len(set(specimens)) < len(specimens)


def _order(result: Result) -> tuple[Any, ...]:
    return (
        result.collected or date.max,
        result.collected is None,
        result.collected_time is not None,
        result.collected_time or time.min,
        result.low is None,
        -(result.low or 0.0),
        -(result.high or 0.0),
        result.ref,
    )


def _settled(results: list[Result]) -> list[Result]:
    kept: list[Result] = []
    near: dict[object, list[int]] = {}  # what was kept, by day and by specimen
    for result in results:
        for number in _neighbours(result, near):
            if _same(kept[number], result):
                kept[number] = result = _merged(kept[number], result)
                break
        else:
            number = len(kept)
            kept.append(result)
        for key in _keys(result):
            near.setdefault(key, []).append(number)
    conflicting = {
        number
        for number, result in enumerate(kept)
        if any(other != number and _contradict(result, kept[other]) for other in _neighbours(result, near))
    }
    return [
        msgspec.structs.replace(result, faults=result.faults | {"conflict"}) if number in conflicting else result
        for number, result in enumerate(kept)
    ]


def _keys(result: Result) -> list[object]:
    return [key for key in (result.collected, result.specimen_id) if key is not None]


def _neighbours(result: Result, near: Mapping[object, list[int]]) -> list[int]:
    return sorted({number for key in _keys(result) for number in near.get(key, ())})


def _one_occasion(left: Result, right: Result) -> bool:
    if left.collected is None or right.collected is None:
        return False
    if left.collected == right.collected:
        return True
    # One specimen was drawn on one day, whatever the two results say.
    return (
        left.specimen_id is not None
        and left.specimen_id == right.specimen_id
        and _agree(left.laboratory, right.laboratory)
    )


def _same(left: Result, right: Result) -> bool:
    """Equal in everything that both state, value included."""
    return (
        _one_occasion(left, right)
        and (left.low, left.high, left.family, left.analyte) == (right.low, right.high, right.family, right.analyte)
        and (left.low is not None or (left.shown, left.faults) == (right.shown, right.faults))
        and _agree(left.laboratory, right.laboratory)
        and (left.method is right.method or all(
            _agree(getattr(left.method, name), getattr(right.method, name)) for name in _METHOD
        ))
    )  # fmt: skip


def _contradict(left: Result, right: Result) -> bool:
    """Two values for one day. Two specimens of one laboratory may differ; kinds of quantity cannot be compared."""
    if left.low is None or right.low is None or left.family != right.family or left.analyte != right.analyte:
        return False
    if (left.low, left.high) == (right.low, right.high) or not _one_occasion(left, right):
        return False
    two_specimens = (
        left.laboratory is not None
        and left.laboratory == right.laboratory
        and left.specimen_id is not None
        and right.specimen_id is not None
        and left.specimen_id != right.specimen_id
    )
    return not two_specimens


def _agree(left: object, right: object) -> bool:
    return left is None or right is None or left == right


def _merged(kept: Result, other: Result) -> Result:
    """`kept` with what only `other` states; a check that failed in either has failed."""
    changes: dict[str, Any] = {
        name: getattr(other, name)
        for name in _FILLED
        if getattr(kept, name) is None and getattr(other, name) is not None
    }
    if kept.method is not other.method:
        changes["method"] = Method(
            *(
                getattr(kept.method, name) if getattr(kept.method, name) is not None else getattr(other.method, name)
                for name in _METHOD
            )
        )
    checks = dict(kept.checks)
    for name, passed in other.checks.items():
        checks[name] = checks.get(name, True) and passed
    return msgspec.structs.replace(
        kept,
        **changes,
        checks=checks,
        bridged=kept.bridged or other.bridged,
        declared=kept.declared | other.declared,
        faults=kept.faults | other.faults,
        also=tuple(sorted({*kept.also, other.ref, *other.also})),
    )
