"""Chance that comes out the same on every machine.

A stream is seeded by SHA-256 of (seed, patient, purpose), so that no patient depends on another and a new draw for one
purpose moves no other. Only `random.Random.random()` is used, which is the same everywhere; logarithms and powers go
through `decimal`, because the C library's differ in the last digit from one machine to the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import Context, Decimal
from functools import lru_cache
from random import Random
from typing import TypeVar

T = TypeVar("T")

_EXACT = Context(prec=28)

# Acklam's rational approximation to the inverse of the normal distribution: numerator and denominator, middle and tail.
_MIDDLE = (
    (-39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716, 2.506628277459239),
    (-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572, 1.0),
)  # fmt: skip
_TAIL = (
    (-0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968,
     2.938163982698783),
    (0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416, 1.0),
)  # fmt: skip
_TAIL_FROM = 0.02425


class Chance:
    """One stream of draws."""

    def __init__(self, seed: int, index: int, stream: str):
        digest = hashlib.sha256(f"{seed}/{index}/{stream}".encode()).digest()
        self._random = Random(int.from_bytes(digest, "big")).random  # noqa: S311 - reproducible on purpose

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * self._random()

    def integer(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self._random() * (high - low + 1))

    def happens(self, probability: float) -> bool:
        return self._random() < probability

    def choice(self, among: Sequence[T]) -> T:
        return among[int(self._random() * len(among))]

    def weighted(self, among: Sequence[tuple[T, float]]) -> T:
        mark = self._random() * sum(weight for _, weight in among)
        for item, weight in among:
            mark -= weight
            if mark < 0:
                return item
        return among[-1][0]

    def normal(self) -> float:
        """A draw from the standard normal distribution."""
        return normal_quantile(max(self._random(), 2.0**-54))

    def factor(self, cv: float) -> float:
        """A log-normal factor with median 1 and the coefficient of variation `cv`."""
        return power(spread(cv) * self.normal())

    def shuffled(self, items: Sequence[T]) -> list[T]:
        left = list(items)
        return [left.pop(int(self._random() * len(left))) for _ in range(len(left))]


def power(exponent: float) -> float:
    """e to the power of `exponent`, rounded alike everywhere."""
    return float(_EXACT.exp(Decimal(exponent)))


@lru_cache(maxsize=64)
def spread(cv: float) -> float:
    """The standard deviation of the logarithm that belongs to a coefficient of variation."""
    return float(_EXACT.sqrt(_EXACT.ln(Decimal(1.0 + cv * cv))))


def normal_quantile(probability: float) -> float:
    """The inverse of the standard normal distribution, to nine digits; 0 < probability < 1."""
    if probability > 0.5:
        return -normal_quantile(1.0 - probability) if probability < 1.0 else -normal_quantile(2.0**-54)
    if probability < _TAIL_FROM:
        q = float(_EXACT.sqrt(-2 * _EXACT.ln(Decimal(probability))))
        return _horner(_TAIL[0], q) / _horner(_TAIL[1], q)
    q = probability - 0.5
    return q * _horner(_MIDDLE[0], q * q) / _horner(_MIDDLE[1], q * q)


def _horner(coefficients: Sequence[float], at: float) -> float:
    value = 0.0
    for coefficient in coefficients:
        value = value * at + coefficient
    return value
