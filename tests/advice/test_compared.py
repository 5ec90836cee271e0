"""Why a sample is not compared with its reference: each part of the method that differs or is not stated, by its name."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from cds.advice.advisory import Advisory
from cds.advice.cards import Card
from cds.chart.model import Chart, Diagnosis, Line
from tests.advice.charts import METHOD, START, chart, result, series

Advise = Callable[[Chart], tuple[Advisory, ...]]
OTHER_CODE = "assay flow-cytometrie (a code that is not known here) instead of flow cytometry"


def only(advisories: tuple[Advisory, ...]) -> Advisory:
    (said,) = advisories
    assert said.state == "not-evaluable"
    return said


def compared(advise: Advise, before: dict[str, Any], latest: dict[str, Any]) -> Advisory:
    return only(advise(chart(result("trpc5-ev", -4, 2.0, **before), result("trpc5-ev", 77, 5.6, **latest))))


@pytest.mark.parametrize(
    ("before", "latest", "reasons"),
    [
        ({}, {"method": replace(METHOD, assay="flow-cytometrie")}, [OTHER_CODE]),
        ({}, {"method": replace(METHOD, isolation="uc")}, ["isolation method ultracentrifugation instead of SEC"]),
        (
            {},
            {"method": replace(METHOD, isolation="uc", tube="citrate"), "lot": "L2"},
            ["tube additive citrate instead of EDTA", "isolation method ultracentrifugation instead of SEC", "reagent lot L2 instead of L1"],
        ),
        ({}, {"laboratory": "Elsewhere"}, ["laboratory Elsewhere instead of EV laboratory"]),
        ({"lot": None}, {}, ["reagent lot not stated for the sample of 2025-01-02"]),
        ({}, {"family": "intensity", "unit": "{MFI}"}, ["{MFI} instead of {particles}/mL"]),
        (
            {"below": True, "lod": 2e6},
            {"lod": 5e5},
            ["limit of detection 5.00e5 instead of 2.00e6 {particles}/mL, with a value below it"],
        ),
    ],
)  # fmt: skip
def test_every_difference_is_named(
    advise: Advise, before: dict[str, Any], latest: dict[str, Any], reasons: list[str]
) -> None:
    said = compared(advise, before, latest)
    assert list(said.reasons) == reasons
    more = len(reasons) - 1
    assert said.headline == f"TRPC5-EV: cannot be judged ({reasons[0]}{f', and {more} more' if more else ''})"
    assert next(check.why for check in said.checks if check.name == "comparability") == tuple(reasons)


def test_what_the_latest_sample_itself_does_not_state_is_named_once(advise: Advise) -> None:
    said = compared(advise, {}, {"lot": None})
    assert said.reasons == ("missing: reagent lot",)


def test_an_unknown_code_says_which_is_likely_meant(advise: Advise, write: Callable[[Chart], list[Card]]) -> None:
    seen = chart(
        result("trpc5-ev", -4, 2.0), result("trpc5-ev", 77, 5.6, method=replace(METHOD, assay="flow-cytometrie"))
    )
    said = only(advise(seen))
    assert said.would_change == (
        "the same result can be judged once its assay is sent with a code that is known here, likely flow-cytometry "
        "(flow-cytometry, immunofluorescence, elisa, simoa, rt-qpcr, dpcr)",
        "a sample measured in the same way as its reference can be judged",
    )
    (card,) = write(seen)
    assert "flow-cytometrie (a code that is not known here)" in card["summary"]


def test_it_is_compared_with_the_newest_sample_that_could_be_the_reference(advise: Advise) -> None:
    older = result("trpc5-ev", -17, 2.0, lot="L0")
    newer = result("trpc5-ev", -4, 2.0)
    said = only(advise(chart(older, newer, result("trpc5-ev", 77, 5.6, lot="L2"))))
    assert said.reasons == ("reagent lot L2 instead of L1",)


def test_a_nadir_too(advise: Advise) -> None:

    endocrine = Line("endocrine-therapy", ("tamoxifen",), START)
    pcr = replace(METHOD, assay="rt-qpcr", efficiency=Decimal("1.00"))
    results = [
        *series("hotair-ev", {100: 4.0}, method=pcr, family="delta-ct", unit="{delta_Ct}"),
        *series("hotair-ev", {200: 9.0}, method=replace(pcr, efficiency=Decimal("0.95")), family="delta-ct", unit="{delta_Ct}"),
    ]  # fmt: skip
    seen = chart(*results, lines=[endocrine], diagnosis=Diagnosis(True, er=True, pr=True, her2=False))
    said = next(one for one in advise(seen) if one.rule.name == "hotair-rise-on-endocrine-therapy")
    assert said.reasons == ("PCR efficiency 0.95 instead of 1.00",)
