"""The settings in which patients are watched: marker, treatment, laboratory, and the rule that asks.

Levels are plausible placeholders; no published value supports them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from cds.workbench.synth.noise import Noise
from cds.workbench.synth.person import Assay, Laboratory

EXAMPLE_LAB = Laboratory("Example Exosome Laboratory", "EEL-01", "https://exosome-lab.example/id")
"""Declared in rules/labs/example-lab.yaml, so that its results need not repeat how they were measured."""
OTHER_LAB = Laboratory("Another Laboratory", "ANOTHER-LAB")


def _declared(code: str, unit: str, limit: str, specimen: str = "plasma") -> Assay:
    return Assay(code, unit, Decimal(limit), EXAMPLE_LAB, specimen, declared=True)


TRPC5 = _declared("trpc5-ev", "10*6{particles}/mL", "0.5")
HOTAIR = _declared("hotair-ev", "{fold}", "0.05", "serum")
PDL1 = _declared("pdl1-ev", "pg/mL", "5")
TGFB1 = _declared("tgfb1-ev", "pg/mL", "10")


@dataclass(frozen=True, slots=True)
class Measured:
    """A marker with its usual level before treatment and the noise of its assay."""

    assay: Assay
    level: float
    noise: Noise
    other_unit: tuple[str, int]  # another unit of the same family: value in it = value * 10 to this power
    with_total_ev: bool = False


_TRPC5 = Measured(TRPC5, 2.0, Noise(0.12, 0.30, 0.2), ("{particles}/mL", 6), with_total_ev=True)
_HOTAIR = Measured(HOTAIR, 8.0, Noise(0.20, 0.40, 0.2), ("{ratio}", 0))
_PDL1 = Measured(PDL1, 100.0, Noise(0.10, 0.30, 0.2), ("ng/mL", -3))
_TGFB1 = Measured(TGFB1, 250.0, Noise(0.10, 0.30, 0.2), ("ng/mL", -3))


@dataclass(frozen=True, slots=True)
class Drug:
    """A drug of a line: given every so many days, or (0) taken daily and recorded as a period."""

    name: str
    every: int = 0
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """Who is watched, with what, under which treatment, by which rule."""

    name: str
    markers: tuple[Measured, ...]
    regimens: tuple[tuple[Drug, ...], ...]  # one of them is drawn
    next_line: tuple[Drug, ...]
    rule: str
    receptors: Mapping[str, bool]
    metastatic: bool = True
    operation: int | None = None  # day of a curative operation, counted from the start of the line
    interval: int = 35  # days between visits
    first_visit: int = 35
    can_flag: bool = True  # False: whatever the marker does, the rule must not suspect resistance

    @property
    def subtype(self) -> str:
        """Triple-negative, luminal or her2-positive."""
        if self.receptors["her2"]:
            return "her2-positive"
        return "luminal" if self.receptors["er"] else "triple-negative"


_TRIPLE_NEGATIVE = {"er": False, "pr": False, "her2": False}
_LUMINAL = {"er": True, "pr": True, "her2": False}
_HER2 = {"er": False, "pr": False, "her2": True}

SCENARIOS: tuple[tuple[Scenario, float], ...] = (
    (
        Scenario(
            "trpc5-on-chemotherapy",
            (_TRPC5,),
            (
                (Drug("docetaxel", every=21),),
                (Drug("paclitaxel"),),
                (Drug("capecitabine", ordered=True),),
                (Drug("doxorubicin", ordered=True), Drug("cyclophosphamide")),
            ),
            (Drug("eribulin"),),
            "trpc5-rise-on-chemotherapy",
            _TRIPLE_NEGATIVE,
        ),
        35,
    ),
    (
        Scenario(
            "hotair-after-operation",
            (_HOTAIR,),
            ((),),
            (),
            "hotair-after-surgery",
            _LUMINAL,
            metastatic=False,
            operation=0,
            first_visit=92,
        ),
        12,
    ),
    (
        Scenario(
            "hotair-on-endocrine-therapy",
            (replace(_HOTAIR, level=1.5),),
            ((Drug("tamoxifen"),), (Drug("letrozole", ordered=True),)),
            (Drug("capecitabine"),),
            "hotair-rise-on-endocrine-therapy",
            _LUMINAL,
            metastatic=False,
            operation=-60,
            interval=42,
            first_visit=42,
        ),
        15,
    ),
    (
        Scenario(
            "pdl1-on-pembrolizumab",
            (_PDL1,),
            ((Drug("pembrolizumab", every=42),), (Drug("pembrolizumab", every=42), Drug("gemcitabine"))),
            (Drug("eribulin"),),
            "pdl1-rise-on-checkpoint-inhibitor",
            _TRIPLE_NEGATIVE,
        ),
        18,
    ),
    (
        Scenario(
            "pdl1-on-atezolizumab",
            (_PDL1,),
            ((Drug("atezolizumab", every=28), Drug("paclitaxel")),),
            (Drug("eribulin"),),
            "pdl1-rise-on-checkpoint-inhibitor",
            _TRIPLE_NEGATIVE,
            can_flag=False,
        ),
        8,
    ),
    (
        Scenario(
            "tgfb1-pdl1-on-her2-therapy",
            (_TGFB1, _PDL1),
            ((Drug("trastuzumab"), Drug("pertuzumab")),),
            (Drug("capecitabine"),),
            "tgfb1-pdl1-rise-on-her2-therapy",
            _HER2,
        ),
        12,
    ),
)
"""Every scenario with its share of a cohort, in percent."""


def scenarios(subtypes: Mapping[str, float]) -> tuple[tuple[Scenario, float], ...]:
    """The scenarios with their shares; where weights of subtypes are given, each subtype has its own share of the cohort."""
    if not subtypes:
        return SCENARIOS
    whole = {subtype: sum(share for one, share in SCENARIOS if one.subtype == subtype) for subtype in subtypes}
    return tuple(
        (one, share * subtypes[one.subtype] / whole[one.subtype]) for one, share in SCENARIOS if one.subtype in subtypes
    )
