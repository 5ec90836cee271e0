"""From the true level to what a laboratory prints: variation, limit of detection, digits."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from cds.workbench.synth.chance import Chance

_SIGNIFICANT = 3


@dataclass(frozen=True, slots=True)
class Noise:
    """Coefficients of variation as fractions, and how often things go wrong."""

    analytical: float
    within_person: float
    floor: float  # constant part of the analytical error, in units of the limit of detection
    haemolysis: float = 0.02  # share of specimens
    lot_change: float = 0.08  # per visit
    lot_shift: float = 0.05  # coefficient of variation between lots


@dataclass(frozen=True, slots=True)
class Reading:
    """What stands on the report."""

    value: Decimal
    below_limit: bool


def read_out(true: float, limit: Decimal, noise: Noise, chance: Chance) -> Reading:
    """One measurement of a true level. Near the limit of detection a constant error outweighs the proportional one."""
    person = true * chance.factor(noise.within_person)
    measured = person * chance.factor(noise.analytical) + noise.floor * float(limit) * chance.normal()
    if measured < float(limit):
        return Reading(limit, True)
    return Reading(rounded(measured), False)


def rounded(value: float) -> Decimal:
    """A value with the three significant digits that laboratories print."""
    exact = Decimal(value)
    digit = Decimal(1).scaleb(exact.adjusted() - _SIGNIFICANT + 1)
    return exact.quantize(digit, rounding=ROUND_HALF_EVEN) if exact else Decimal(0)
