"""Units: one spelling for one unit, conversion inside a family only, and exact figures."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from cds.chart.catalogue import MARKER_SYSTEM
from cds.chart.units import TOTAL_EV, Unit, figure, fraction_of_efficiency, linear, normalised
from tests.chart.make import MILLION, chart, coded, observation, part, quantity, result


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("µg/mL", "ug/mL"),
        ("μg/mL", "ug/mL"),
        ("ng/ml", "ng/mL"),
        ("pg/ml", "pg/mL"),
        ("ug/l", "ug/L"),
        ("10^6/ml", "10*6/mL"),
        (" 10*6 {particles}/mL ", "10*6{particles}/mL"),
        ("{copies per ml}/mL", "{copies per ml}/mL"),
        ("{l}/uL", "{l}/uL"),
        ("mol/L", "mol/L"),
        ("%", "%"),
    ],
)
def test_one_spelling(written: str, meant: str) -> None:
    assert normalised(written) == meant


@pytest.mark.parametrize(
    ("marker", "value", "unit", "low", "family"),
    [
        ("trpc5-ev", 5.6, "10*6{particles}/mL", 5.6e6, "particles-per-volume"),
        ("trpc5-ev", 5.6, "10^6/ml", 5.6e6, "particles-per-volume"),
        ("trpc5-ev", 5600000, "{particles}/mL", 5.6e6, "particles-per-volume"),
        ("trpc5-ev", 5.6, "10*9/L", 5.6e6, "particles-per-volume"),
        ("trpc5-ev", 5600, "10^3/ml", 5.6e6, "particles-per-volume"),
        ("trpc5-ev", 5600, "/uL", 5.6e6, "particles-per-volume"),
        ("trpc5-ev", 5600, "{particles}/uL", 5.6e6, "particles-per-volume"),
        ("trpc5-ev", 5.6, "10*9{particles}/L", 5.6e6, "particles-per-volume"),
        ("trpc5-ev", 0.0056, "10*9{particles}/mL", 5.6e6, "particles-per-volume"),
        ("trpc5-ev", 3, "%", 3.0, "percent-of-ev"),
        ("pdl1-ev", 0.12, "ng/mL", 120.0, "mass-per-volume"),
        ("pdl1-ev", 0.12, "µg/l", 120.0, "mass-per-volume"),
        ("pdl1-ev", 118, "pg/mL", 118.0, "mass-per-volume"),
        ("hotair-ev", 7.1, "{fold}", 7.1, "relative-expression"),
        ("hotair-ev", 7.1, "1", 7.1, "relative-expression"),
    ],
)
def test_conversion(marker: str, value: float, unit: str, low: float, family: str) -> None:
    read = result(observation(code=coded(marker, MARKER_SYSTEM), valueQuantity=quantity(value, unit)), marker=marker)
    assert (read.low, read.high, read.family, read.faults) == (low, low, family, frozenset())


@pytest.mark.parametrize(
    ("marker", "unit"),
    [
        ("trpc5-ev", "{copies}/mL"),  # UCUM engines take it for {particles}/mL
        ("trpc5-ev", "{Particles}/mL"),
        ("trpc5-ev", "1"),
        ("trpc5-ev", "mg/dL"),
        ("pdl1-ev", "{particles}/mL"),
        ("pdl1-ev", "pg/mg"),
        ("pdl1-ev", "bananas"),
        ("pdl1-ev", "pg/mL/mL"),
        ("hotair-ev", "{delta_Ct}"),  # the code says linear
        ("hotair-ev-delta-ct", "{fold}"),
    ],
)
def test_a_unit_of_another_kind_never_converts(marker: str, unit: str) -> None:
    name = marker.removesuffix("-delta-ct")
    resource = observation(code=coded(marker, MARKER_SYSTEM), valueQuantity=quantity(2, unit))
    resource["component"] = [part("amplification-efficiency", 0.95, "1")]
    read = result(resource, marker=name)
    assert read.faults == {"unit-not-convertible"}
    assert read.low is None


def test_shown_and_coded_unit_disagree() -> None:
    code = coded("pdl1-ev", MARKER_SYSTEM)
    stated = {"value": 120, "unit": "ng/mL", "code": "pg/mL", "system": "http://unitsofmeasure.org"}
    assert result(observation(code=code, valueQuantity=stated), marker="pdl1-ev").faults == {"unit-not-convertible"}
    stated["unit"] = "pg/ml"
    assert result(observation(code=code, valueQuantity=stated), marker="pdl1-ev").faults == frozenset()


@pytest.mark.parametrize(
    ("value", "efficiency", "comparator", "low", "high"),
    [
        (3, (1, "1"), None, 0.125, 0.125),
        (3, (100, "%"), None, 0.125, 0.125),
        (3, (2, "1"), None, 0.125, 0.125),  # the amplification factor is 1 + efficiency
        (2, (0.9, "1"), None, 1.9**-2, 1.9**-2),
        (2, (1.9, "1"), None, 1.9**-2, 1.9**-2),
        (2, (110, "%"), None, 2.1**-2, 2.1**-2),
        (-2, (1, "1"), None, 4.0, 4.0),
        (0, (1, "1"), None, 1.0, 1.0),
        (3, (1, "1"), ">", 0.0, 0.125),  # more cycles are less of it
        (3, (1, "1"), "<", 0.125, float("inf")),
    ],
)
def test_delta_ct(value: float, efficiency: tuple[float, str], comparator: str | None, low: float, high: float) -> None:
    stated = quantity(value, "{delta_Ct}", **({"comparator": comparator} if comparator else {}))
    resource = observation(
        code=coded("hotair-ev-delta-ct", MARKER_SYSTEM),
        valueQuantity=stated,
        component=[part("amplification-efficiency", *efficiency)],
    )
    read = result(resource, marker="hotair-ev")
    assert read.faults == frozenset()
    assert (read.low, read.high) == pytest.approx((low, high), rel=1e-14)
    assert read.censored == (comparator == ">")


@pytest.mark.parametrize("efficiency", [None, (0, "1"), (2.5, "1"), (-1, "1"), (0, "%"), (400, "%")])
def test_delta_ct_needs_a_plausible_efficiency(efficiency: tuple[float, str] | None) -> None:
    component = [part("amplification-efficiency", *efficiency)] if efficiency else None
    code = coded("hotair-ev-delta-ct", MARKER_SYSTEM)
    resource = observation(code=code, valueQuantity=quantity(3, "{delta_Ct}"), component=component)
    assert result(resource, marker="hotair-ev").faults == {"efficiency-not-stated"}


@pytest.mark.parametrize(
    ("value", "lod", "low", "high", "censored"),
    [
        (0.4, 0.5, 0.0, 0.5, True),
        (0.5, 0.5, 0.5, 2.0, False),
        (1.9, 0.5, 0.5, 2.0, False),
        (2.0, 0.5, 2.0, 2.0, False),
        (1.9, None, 0.0, 2.0, False),
    ],
)
def test_what_is_detected_and_not_quantified_lies_between_the_two_limits(
    value: float, lod: float | None, low: float, high: float, censored: bool
) -> None:
    limits = [part("limit-of-quantification", 2.0, MILLION)]
    limits += [part("limit-of-detection", lod, MILLION)] if lod else []
    read = result(observation(value=value, component=limits))
    million = 1e6
    assert (read.low, read.high) == pytest.approx((low * million, high * million))
    assert (read.censored, read.unquantified) == (censored, not censored and low < high)
    assert read.shown.startswith(str(value))


def test_a_limit_that_cannot_be_compared_with_the_value_is_named() -> None:
    limit = part("limit-of-quantification", 2.0, "ng/mL")
    read = result(observation(value=0.6, component=[limit]))
    assert (read.low, read.high) == pytest.approx((6e5, 6e5))
    (note,) = chart(observation(value=0.6, component=[limit])).left_out
    assert "limit of quantification" in note.reason
    assert chart(observation(value=0.6, component=[part("limit-of-quantification", 2.0, MILLION)])).left_out == ()


def test_a_ct_over_no_reference_gene_is_no_expression() -> None:
    component = [part("amplification-efficiency", 1, "1"), part("normaliser", "none")]
    for unit in ("{delta_Ct}", "{Ct}"):
        resource = observation(
            code=coded("hotair-ev-delta-ct", MARKER_SYSTEM), valueQuantity=quantity(3, unit), component=component
        )
        assert result(resource, marker="hotair-ev").faults == {"no-reference-gene"}
    linear = observation(
        code=coded("hotair-ev", MARKER_SYSTEM), valueQuantity=quantity(3, "{fold}"), component=component
    )
    assert result(linear, marker="hotair-ev").faults == frozenset()


@pytest.mark.parametrize("text", ["1E-13", "1E+19", "1E+400", "1E-400", "9E+999999"])
def test_what_nobody_can_have_measured(text: str) -> None:
    assert linear(Decimal(text), Unit(TOTAL_EV, Decimal(1))) is None


@pytest.mark.parametrize("value", [True, False, "5", None, [], {}, float("nan"), float("inf"), Decimal("NaN")])
def test_no_figure(value: Any) -> None:
    assert figure(value) is None


@pytest.mark.parametrize(
    ("value", "percent", "fraction"),
    [("0.95", False, "0.95"), ("95", True, "0.95"), ("1.95", False, "0.95"), ("1", False, "1"), ("2", False, "1")],
)
def test_efficiency(value: str, percent: bool, fraction: str) -> None:
    assert fraction_of_efficiency(Decimal(value), percent) == Decimal(fraction)
