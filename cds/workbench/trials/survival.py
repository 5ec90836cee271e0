"""How long something takes in patients of whom some are not watched until it happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def share_by_time(times: Sequence[int | None], watched_for: Sequence[int]) -> list[tuple[float, float]]:
    """By which time it has happened to which share, at each time at which it happened; None: it has not while watched.

    One minus the product-limit estimate: Kaplan EL, Meier P. Nonparametric estimation from incomplete observations. J Am Stat
    Assoc 1958;53:457-481. A time before 0 counts as 0.
    """
    happened: Counter[int] = Counter()
    left: Counter[int] = Counter()
    for time, watched in zip(times, watched_for, strict=True):
        (left if time is None else happened)[max(0, watched if time is None else time)] += 1
    free, at_risk, points = 1.0, len(times), []
    for day in sorted({*happened, *left}):
        if happened[day]:
            free *= 1 - happened[day] / at_risk
            points.append((float(day), 1 - free))
        at_risk -= happened[day] + left[day]  # who leaves on a day was there when it happened to others
    return points
