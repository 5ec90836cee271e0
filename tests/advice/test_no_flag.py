"""What is said where nothing is flagged agrees with the numbers beside it, and reassures nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from cds.advice.advisory import Advisory
from cds.advice.detail import detail
from cds.advice.report import report
from cds.chart.model import Chart, Diagnosis, Line, Operation, Result
from tests.advice.charts import START, chart, result, series

Advise = Callable[[Chart], tuple[Advisory, ...]]

OPERABLE = Diagnosis(True, metastatic=False, er=True, her2=False)
TAMOXIFEN = [Line("endocrine-therapy", ("tamoxifen",), START)]
PEMBROLIZUMAB = [Line("anti-pd-1", ("pembrolizumab",), START)]
TRASTUZUMAB = [Line("her2-targeted", ("trastuzumab",), START)]


def spelt(seen: Chart, said: Advisory) -> str:
    """Everything that a card and the report say of a finding."""
    return " ".join([said.headline, detail(said), *report(seen, [said])])


def operated(values: Mapping[int, float], *more: Result) -> Chart:
    return chart(
        *series("hotair-ev", values), *more, lines=(), operations=[Operation(START, curative=True)], diagnosis=OPERABLE
    )


def risen_early() -> Chart:
    return chart(*series("pdl1-ev", {-7: 120, 28: 340}), lines=PEMBROLIZUMAB)


def risen_but_not_per_vesicle() -> Chart:
    return chart(result("trpc5-ev", -4, 2.0), result("trpc5-ev", 77, 4.6, total_ev=1.13e10))


def below_detection() -> Chart:
    results = [result("hotair-ev", day, 0.5, below=True) for day in (100, 190)]
    return chart(*results, lines=TAMOXIFEN, diagnosis=OPERABLE)


def below_detection_after_surgery() -> Chart:
    return operated({}, result("hotair-ev", -7, 0.5, below=True), result("hotair-ev", 92, 0.5, below=True))


def below_detection_of_two() -> Chart:
    results = [result("pdl1-ev", -7, 10, below=True), result("pdl1-ev", 90, 12, lod=10)]
    quiet = series("tgfb1-ev", {-7: 40, 90: 41})
    return chart(*results, *quiet, lines=TRASTUZUMAB, diagnosis=Diagnosis(True, metastatic=True, her2=True))


@pytest.mark.parametrize(
    ("build", "headline", "explanation", "note"),
    [
        (risen_early, "an early rise", "risen beyond its expected variation", "neither good nor bad"),
        (risen_but_not_per_vesicle, "above the limit, but not per vesicle", "over the total EV count", "(2.24 ×) stays below the limit (2.26 ×)"),
        (lambda: operated({-5: 8.4, 92: 1.6}), "the fall expected after surgery is seen", "neither a remaining source", "expected after surgery is seen"),
        (below_detection, "neither claimed nor excluded", "is an interval", "nor can it be excluded"),
        (below_detection_after_surgery, "neither claimed nor excluded", "is an interval", "nor can it be excluded"),
        (below_detection_of_two, "neither claimed nor excluded", "is an interval", "nor can it be excluded"),
    ],
)  # fmt: skip
def test_words_of_no_flag_agree_with_its_numbers(
    advise: Advise, build: Callable[[], Chart], headline: str, explanation: str, note: str
) -> None:
    seen = build()
    (said,) = advise(seen)
    assert said.state == "no-flag"
    assert headline in said.headline
    assert explanation in said.explanation
    assert any(note in one for one in said.notes)
    assert "exclude" in said.explanation
    told = spelt(seen, said)
    for contradiction in ("has not risen", "no change", "in parallel", "unchanged", "Nothing in this series"):
        assert contradiction not in told


def test_what_cannot_be_told_from_a_fall_is_not_called_one(advise: Advise) -> None:
    seen = below_detection_after_surgery()
    (said,) = advise(seen)
    assert "expected after surgery" not in spelt(seen, said)
    assert said.changes[0].fold == "no ratio"


@pytest.mark.parametrize("values", [{-4: 2.0, 77: 2.1}, {-4: 2.0, 77: 0.2}, {-4: 2.0, 77: 5.6, 105: 2.1}])
def test_the_common_words_claim_no_more_than_that_the_newest_value_has_not_risen(
    advise: Advise, values: Mapping[int, float]
) -> None:
    (said,) = advise(chart(*series("trpc5-ev", values)))
    assert said.headline == "TRPC5-EV: the newest value has not risen beyond expected variation"
    assert "does not exclude resistance" in said.explanation
