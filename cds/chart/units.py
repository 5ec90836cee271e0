"""Units: which a marker's file accepts, and the way from a stated quantity to the linear scale of its unit family.

A unit is looked up as text in the marker's own table, never computed by UCUM rules: those take `{copies}/mL` and
`{particles}/mL` for the same thing. Arithmetic is decimal until the last step, so that 0.12 ng/mL is 120 pg/mL exactly.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

SCALES = ("linear", "log2", "delta-ct")
UCUM = "http://unitsofmeasure.org"

# Beyond these (in canonical units) a figure is a typing error, not a measurement.
SMALLEST, LARGEST = 1e-12, 1e18
_LARGEST_LOGARITHM = 100

_ANNOTATION = re.compile(r"(\{[^}]*\})")
_LITRE = re.compile(r"(?<![A-Za-z])([munpfkdc]?)l(?![A-Za-z])")


@dataclass(frozen=True, slots=True)
class Family:
    """Units that convert into one another. `per_ev`: how a value is set against the total EV count, if it can be."""

    name: str
    canonical: str
    scale: str = "linear"  # linear | log2 | delta-ct
    per_ev: str = ""  # "" | divide | itself
    factors: Mapping[str, Decimal] = field(default_factory=dict)  # by unit, normalised; canonical units in one unit


class Unit(NamedTuple):
    """A unit of a family: how many canonical units it is."""

    family: Family
    factor: Decimal


Units = Mapping[tuple[str, str], Unit]
"""A marker's units, by scale and normalised text."""


@lru_cache(maxsize=4096)
def normalised(unit: str) -> str:
    """One spelling for one unit: µ as u, `^` as `*`, litres as L. Annotations in braces stay as they are."""
    parts = _ANNOTATION.split(unit.strip())
    for number in range(0, len(parts), 2):
        plain = parts[number].replace("µ", "u").replace("μ", "u").replace("^", "*").replace(" ", "")
        parts[number] = _LITRE.sub(r"\1L", plain)
    return "".join(parts)


def linear(value: Decimal, unit: Unit, efficiency: Decimal | None = None) -> float | None:
    """`value` on the linear scale, in canonical units; None if no laboratory can have measured that.

    A ΔCt counts cycles down from a reference: (1 + efficiency) to the power of -ΔCt. Without an efficiency: ValueError.
    """
    if not value.is_finite() or (value and abs(value.adjusted()) > 60):
        return None
    scaled = value * unit.factor
    scale = unit.family.scale
    if scale == "linear":
        result = float(scaled)
    elif abs(scaled) > _LARGEST_LOGARITHM:
        return None
    elif scale == "log2":
        result = math.exp2(float(scaled))
    else:
        if efficiency is None:
            raise ValueError("a delta-Ct has no linear value without the efficiency of the reaction")
        result = float(1 + efficiency) ** -float(scaled)
    return result if result == 0 or SMALLEST <= abs(result) <= LARGEST else None


def fraction_of_efficiency(value: Decimal, percent: bool) -> Decimal | None:
    """A qPCR efficiency as a fraction: 0.95, 95 %, or the amplification factor 1.95; None if it is none of these."""
    if not value.is_finite() or abs(value.adjusted()) > 6:
        return None
    if percent:
        value /= 100
        return value if 0 < value <= Decimal("1.5") else None
    if 0 < value <= 1:
        return value
    return value - 1 if 1 < value <= 2 else None


def figure(value: object) -> Decimal | None:
    """A JSON number as a finite decimal; None for text, booleans, infinities and anything else."""
    if isinstance(value, Decimal):
        return value if value.is_finite() else None
    if isinstance(value, int):
        return None if isinstance(value, bool) else Decimal(value)
    if isinstance(value, float):
        return Decimal(repr(value)) if math.isfinite(value) else None
    return None


def _counts_per_volume() -> dict[str, Decimal]:
    volumes = {"mL": Decimal(1), "uL": Decimal(1000), "dL": Decimal("0.01"), "L": Decimal("0.001")}
    factors = {}
    for volume, per_ml in volumes.items():
        for annotation in ("{particles}", ""):
            factors[f"{annotation}/{volume}"] = per_ml
            for power in range(1, 16):
                for dot in ("", "."):
                    if annotation or not dot:
                        factors[f"10*{power}{dot}{annotation}/{volume}"] = per_ml * 10**power
    return factors


TOTAL_EV = Family("particles-per-volume", "{particles}/mL", factors=_counts_per_volume())
"""The units of a total EV count, which is no marker and so has no marker file."""
