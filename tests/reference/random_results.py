"""The results in random charts: values on and beside thresholds, total EV counts, changes of method, and flaws."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec.structs import replace

from cds.chart.model import Method, Result

RISES = (2.0, 2.02, 2.1, 2.2, 2.3, 2.5, 3.1, 3.5, 4.0, 5.0, 8.0)
FALLS = (0.5, 0.49, 0.4, 0.33, 0.3, 0.2, 0.1)
FLAT = (0.8, 0.9, 1.0, 1.0, 1.1, 1.2, 1.5, 1.9)
BEFORE_DOSE, AFTER_DOSE = time(8, 0), time(11, 30)

CHECKED = ("haemolysis", "residual-platelets", "lipaemia", "dna-control")
CLEAR: Mapping[str, bool] = MappingProxyType(dict.fromkeys(CHECKED, True))
TOLERANT: Mapping[str, bool] = MappingProxyType({**CLEAR, "drug-tolerance": True})
NOT_TOLERANT: Mapping[str, bool] = MappingProxyType({**CLEAR, "drug-tolerance": False})
UNREADABLE = ("no-value", "unreadable-value", "different-analyte", "unit-not-convertible")
FAULTS = (
    *("no-collection-date", "no-unit", "negative", "zero-without-lod", "conflict", "after-as-of", "above-total-ev"),
    *UNREADABLE,
)


class Assay(msgspec.Struct, frozen=True):
    """How a marker is usually measured here; `thresholds`: the limits with default CVs for one to three baselines."""

    marker: str
    method: Method
    family: str
    unit: str
    value: float
    lod: float
    thresholds: tuple[float, ...]


def _assay(
    marker: str, method: Method, family: str, unit: str, value: float, lod: float, cvs: tuple[float, float]
) -> Assay:
    deviation = math.sqrt(math.log(1 + cvs[0] ** 2 + cvs[1] ** 2))
    limits = (max(2.0, math.exp(1.645 * deviation * math.sqrt(1 + 1 / size))) for size in (1, 2, 3))
    return Assay(marker, method, family, unit, value, lod, tuple(limits))


FLOW = Method("plasma", "edta", "sec", "flow-cytometry", "cytometer-1", "clone-t5", "none")
PCR = Method("serum", "serum-gel", "precipitation", "rt-qpcr", "cycler-1", "primers-h", "gapdh")
ELISA = Method("plasma", "edta", "sec", "elisa", "reader-1", "clone-p", "none")
ASSAYS = {
    assay.marker: assay
    for assay in (
        _assay("trpc5-ev", FLOW, "particles-per-volume", "{particles}/mL", 2.0e6, 0.5e6, (0.20, 0.30)),
        _assay("hotair-ev", PCR, "relative-expression", "{fold}", 4.0, 0.5, (0.30, 0.40)),
        _assay("pdl1-ev", ELISA, "mass-per-volume", "pg/mL", 100.0, 10.0, (0.15, 0.30)),
        _assay("tgfb1-ev", replace(ELISA, reagents="clone-b"), "mass-per-volume", "pg/mL", 220.0, 10.0, (0.15, 0.30)),
        _assay("mir-567-ev", PCR, "relative-expression", "{fold}", 1.0, 0.1, (0.30, 0.40)),
    )
}
DELTA_CT = replace(
    ASSAYS["hotair-ev"], method=replace(PCR, efficiency=Decimal("1.00")), family="delta-ct", unit="Ct", value=2.0**-9
)
FRACTION = replace(ASSAYS["trpc5-ev"], family="fraction-of-ev", unit="%", value=4.0, lod=0.5)

# A later sample measured in another way; whether the laboratory bridges it is drawn apart.
METHOD_CHANGES = (
    {"specimen": "serum"}, {"tube": "citrate"}, {"isolation": "uc"}, {"assay": "simoa"}, {"platform": "other"},
    {"reagents": "clone-x"}, {"normaliser": "spike-in"}, {"specimen": None}, {"tube": None}, {"isolation": None},
    {"assay": None}, {"platform": None}, {"reagents": None}, {"normaliser": None},
)  # fmt: skip
SOURCE_CHANGES = (
    {"laboratory": "lab-b"}, {"lot": "lot-2"}, {"lot": "lot-2"}, {"lod_factor": 2.0}, {"lod_factor": 0.5},
    {"laboratory": None}, {"lot": None},
)  # fmt: skip


def random_shape(rng: random.Random, offsets: list[int]) -> list[float]:
    """Values of one marker over time, as multiples of its baseline."""
    kind = rng.random()
    onset = rng.choice((0, 14, 28, 42, 50, 56, 60, 63, 75, 90))
    rise = rng.choice(RISES)
    factors = []
    for offset in offsets:
        if offset < 0 or (kind < 0.6 and offset < onset):
            factors.append(rng.choice((1.0, 1.0, 1.0, 0.9, 1.2)))
        elif kind < 0.6:
            factors.append(rise if rng.random() < 0.6 else rng.choice(RISES))
        elif kind < 0.75:
            factors.append(rng.choice(FALLS))
        elif kind < 0.9:
            factors.append(rng.choice(FLAT))
        else:
            factors.append(rng.choice(RISES + FALLS + FLAT))
    return factors


def random_results(
    rng: random.Random, marker: str, days: list[date], offsets: list[int], factors: list[float], as_of: date
) -> tuple[Result, ...]:
    assay = ASSAYS[marker]
    if marker == "hotair-ev" and rng.random() < 0.2:
        assay = DELTA_CT
    elif marker == "trpc5-ev" and rng.random() < 0.1:
        assay = FRACTION
    method, lod, laboratory, lot, bridged = assay.method, assay.lod, "lab-a", "lot-1", False
    if assay is DELTA_CT:
        lod = 2.0**-12
    if marker == "hotair-ev" and rng.random() < 0.1:
        method = replace(method, specimen="plasma", tube="edta")
    checks = CLEAR if marker != "pdl1-ev" else TOLERANT if rng.random() < 0.45 else NOT_TOLERANT
    cva, cvi = (
        rng.choice(((0.05, 0.10), (0.10, None), (None, 0.20), (0.3, 0.5))) if rng.random() < 0.3 else (None, None)
    )
    ev_mode = rng.choices(("steady", "parallel", "absent", "gaps", "opposite"), (66, 10, 8, 8, 8))[0]
    low_start = rng.random() < 0.07  # below the LOD before the rise
    censor = 0.15 if rng.random() < 0.12 else 0.0
    change_at = rng.randrange(len(days)) if rng.random() < 0.16 else None
    limit = rng.choice(assay.thresholds) if rng.random() < 0.12 else None
    loq = assay.value * rng.choice((0.6, 1.1, 2.2)) if rng.random() < 0.06 else 0.0
    found = []
    for number, (day, offset, factor) in enumerate(zip(days, offsets, factors, strict=True)):
        if number == change_at:
            if rng.random() < 0.45:
                changed: dict[str, Any] = rng.choice(METHOD_CHANGES)
                method = replace(method, **changed)
            else:
                source: dict[str, Any] = rng.choice(SOURCE_CHANGES)
                laboratory, lot = source.get("laboratory", laboratory), source.get("lot", lot)
                lod *= source.get("lod_factor", 1.0)
            bridged = rng.random() < 0.55
        elif bridged and rng.random() < 0.15:
            bridged = False
        if limit is not None and factor >= 2.0:
            factor = limit * rng.choice((1.0, 1 + 1e-9, 1 - 1e-9))
        value = assay.value * factor
        if low_start and factor < 2.0:
            value = lod * 0.5
        low, high, censored = (0.0, lod, True) if value < lod or rng.random() < censor else (value, value, False)
        if not censored and value < loq:  # detected, not quantified
            low, high = lod, loq
        per_ev: tuple[float | None, float | None] = (None, None)
        total: float | None = None
        if assay is FRACTION:
            per_ev = low, high
        elif not (ev_mode == "absent" or (ev_mode == "gaps" and rng.random() < 0.3)):
            total = 1.0e10 * (factor if ev_mode == "parallel" else 1 / factor if ev_mode == "opposite" else 1.0)
            if marker == "trpc5-ev":
                per_ev = low / total, high / total
        moment = None
        if offset == 0 and rng.random() < 0.8:
            moment = BEFORE_DOSE if rng.random() < 0.65 else AFTER_DOSE
        found.append(
            Result(
                ref=f"Observation/{marker}-{number}",
                marker=marker,
                collected=day,
                collected_time=moment,
                low=low,
                high=high,
                family=assay.family,
                unit=assay.unit,
                lod=lod,
                censored=censored,
                per_ev_low=per_ev[0],
                per_ev_high=per_ev[1],
                total_ev=None if total is None else f"{total:g} {{particles}}/mL",
                method=method,
                laboratory=laboratory,
                lot=lot,
                bridged=bridged,
                checks=checks,
                cva=cva,
                cvi=cvi,
                specimen_id=f"{marker}-{number}",
            )
        )
    if rng.random() < 0.18:
        _spoil(rng, found, as_of)
    return tuple(sorted(found, key=_by_collection))


def _by_collection(result: Result) -> tuple[date, bool, time, float, float]:
    """Reading 15: by day and time; of one moment the larger first. Undated ones last."""
    moment = result.collected_time
    low = math.inf if result.low is None else -result.low
    high = math.inf if result.high is None else -result.high
    return result.collected or date.max, moment is not None, moment or time.min, low, high


def _spoil(rng: random.Random, found: list[Result], as_of: date) -> None:
    """Put one flaw into the results: a check, a fault, a second sample of the day, a missing LOD."""
    at = rng.randrange(len(found)) if rng.random() < 0.5 else len(found) - 1
    result = found[at]
    kind = rng.random()
    if kind < 0.3:
        checks = dict(result.checks)
        name = rng.choice(tuple(checks))
        if rng.random() < 0.5:
            del checks[name]
        else:
            checks[name] = False
        found[at] = replace(result, checks=checks)
    elif kind < 0.55 and result.low is not None and result.high is not None:
        scale = 1.0 if result.censored else rng.choice((0.5, 0.99, 1.01, 2.0))
        moment = rng.choice((None, time(7, 0), time(9, 0), time(12, 0)))
        second = replace(
            result,
            ref=f"{result.ref}-second",
            collected_time=moment,
            low=result.low * scale,
            high=result.high * scale,
            per_ev_low=None if result.per_ev_low is None else result.per_ev_low * scale,
            per_ev_high=None if result.per_ev_high is None else result.per_ev_high * scale,
            specimen_id=f"{result.specimen_id}-second",
        )
        found.append(
            second if scale != 1.0 or moment != result.collected_time else replace(second, collected_time=time(13, 0))
        )
    elif kind < 0.6:
        found[at] = replace(result, lod=None) if not result.censored else replace(result, bridged=not result.bridged)
    else:
        fault = rng.choice(FAULTS)
        if fault == "above-total-ev":
            found[at] = _beyond_all_vesicles(rng, result)
            return
        if fault == "conflict":
            other = replace(result, ref=f"{result.ref}-other", laboratory="lab-b", faults=frozenset({fault}))
            if other.low is not None and other.high is not None and not other.censored:
                other = replace(
                    other, low=other.low * 1.7, high=other.high * 1.7, per_ev_low=None, per_ev_high=None, total_ev=None
                )
            found[at] = replace(result, faults=frozenset({fault}))
            found.append(other)
            return
        if fault == "after-as-of":
            found[at] = replace(
                result, collected=as_of + timedelta(rng.choice((1, 30, 900))), faults=frozenset({fault})
            )
            return
        if fault == "no-collection-date":
            found[at] = replace(result, collected=None, collected_time=None, faults=frozenset({fault}))
            return
        if result.family == "delta-ct" and fault == "no-value":
            fault = rng.choice(("efficiency-not-stated", "no-reference-gene"))
        nothing: dict[str, Any] = dict(low=None, high=None, per_ev_low=None, per_ev_high=None, censored=False)
        if fault in ("no-unit", "unit-not-convertible"):
            nothing |= dict(family=None, unit=None)
        found[at] = replace(
            result, **nothing, faults=frozenset({fault}), analyte="soluble" if fault == "different-analyte" else None
        )


def _beyond_all_vesicles(rng: random.Random, result: Result) -> Result:
    """The result with as many vesicles as there are, or with more, which a reader marks; unchanged if they were not counted."""
    times = rng.choice((1.0, 1.0 + 1e-9, 1.5, 160.0))
    faults = frozenset({"above-total-ev"}) if times > 1.0 else result.faults
    if result.unit == "%":
        value, share = 100.0 * times, 100.0 * times
    elif result.unit == "{particles}/mL" and result.high and result.per_ev_high:
        value, share = result.high / result.per_ev_high * times, times
    else:
        return result
    return replace(result, low=value, high=value, censored=False, per_ev_low=share, per_ev_high=share, faults=faults)
