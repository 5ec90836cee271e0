"""Who states the coefficients of variation: a card says it once, and never two things about the same one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cds.advice.advisory import Advisory
from cds.advice.cards import Card
from cds.chart.model import Chart, Diagnosis, Line
from tests.advice.charts import START, TRPC5_RISE, chart, series

Advise = Callable[[Chart], tuple[Advisory, ...]]


def of_two(advisories: tuple[Advisory, ...]) -> Advisory:
    """The finding that reads two markers together."""
    return next(one for one in advisories if len(one.markers) == 2)


ASSUMED = "The within-person variation is assumed; no published value was found."


@pytest.mark.parametrize(
    ("stated", "analytical", "within", "assumed"),
    [
        ({}, "assumed by this project", "assumed by this project", True),
        ({"cva": 0.1}, "stated by the laboratory", "assumed by this project", True),
        ({"cvi": 0.3}, "assumed by this project", "stated by the laboratory", False),
        ({"cva": 0.1, "cvi": 0.3}, "stated by the laboratory", "stated by the laboratory", False),
        (
            {"cva": 0.1, "cvi": 0.3, "declared": frozenset({"cva", "cvi"})},
            "declared once by the laboratory",
            "declared once by the laboratory",
            False,
        ),
    ],
)
def test_each_coefficient_has_one_origin(
    advise: Advise, stated: dict[str, object], analytical: str, within: str, assumed: bool
) -> None:
    (said,) = advise(chart(*series("trpc5-ev", TRPC5_RISE, **stated)))
    for change in said.changes:
        first, _, second = change.built.partition("within-person CV")
        assert analytical in first.partition("analytical CV")[2]
        assert within in second
    assert (ASSUMED in said.limitations) is assumed
    assert any("did not state both" in note for note in said.notes) is (len(stated) < 2)


def test_it_is_asked_of_each_marker_by_itself(advise: Advise) -> None:
    her2 = [Line("her2-targeted", ("trastuzumab",), START)]
    values = {-7: 100.0, 84: 300.0, 105: 320.0}
    both = [*series("tgfb1-ev", values, cvi=0.2), *series("pdl1-ev", values, cvi=0.2)]
    one = [*series("tgfb1-ev", values, cvi=0.2), *series("pdl1-ev", values)]
    diagnosis = Diagnosis(True, her2=True)
    said = of_two(advise(chart(*both, lines=her2, diagnosis=diagnosis)))
    assert not any("variation is assumed" in limitation for limitation in said.limitations)
    said = of_two(advise(chart(*one, lines=her2, diagnosis=diagnosis)))
    assert ASSUMED not in said.limitations
    assert f"EV-PD-L1: {ASSUMED[0].lower()}{ASSUMED[1:]}" in said.limitations


def test_a_finding_that_was_not_judged_says_what_it_would_use(advise: Advise) -> None:
    (said,) = advise(chart(*series("trpc5-ev", {77: 5.6})))
    assert ASSUMED in said.limitations
    (said,) = advise(chart(*series("trpc5-ev", {77: 5.6}, cvi=0.3)))
    assert ASSUMED not in said.limitations


# age -----------------------------------------------------------------------------------------------------------------


def test_the_note_on_old_data_says_how_old_they_are(advise: Advise, write: Callable[[Chart], list[Card]]) -> None:
    seen = chart(*series("trpc5-ev", TRPC5_RISE), as_of=105 + 580)
    told = "The newest TRPC5-EV result is of 2025-04-21, 580 days before this assessment; the finding may not hold any more."
    (said,) = advise(seen)
    assert told in said.notes
    (card,) = write(seen)
    assert "21 Apr 2025, 580 days before this assessment" in card["detail"]


def test_it_names_the_marker_that_is_old_where_two_are_read_together(advise: Advise) -> None:
    her2 = [Line("her2-targeted", ("trastuzumab",), START)]
    results = [*series("tgfb1-ev", {-7: 100.0, 84: 110.0}), *series("pdl1-ev", {-7: 100.0, 84: 110.0, 300: 120.0})]
    said = of_two(advise(chart(*results, lines=her2, diagnosis=Diagnosis(True, her2=True))))
    (old,) = [note for note in said.notes if "days before this assessment" in note]
    assert old.startswith("The newest EV-TGF-β1 result is of 2025-03-31, 216 days before")


def test_an_answered_card_stays_answered_while_its_data_only_grow_older(advise: Advise) -> None:
    def digest(days: int) -> str:
        (said,) = advise(chart(*series("trpc5-ev", TRPC5_RISE), as_of=105 + days))
        return said.digest

    assert digest(121) == digest(580)
    assert digest(120) != digest(121)  # the day on which it becomes old says something new
