"""What is declared of facts is true of random charts: of the facts that are formed, and of those that the naive reader forms."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from cds.chart.model import Chart, Result, Tri
from cds.reasoning.forming import Forming
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.rulebook import Rule
from cds.workbench.proving.covering import facts_of
from cds.workbench.proving.implications import Implication, implications
from tests.reference import gates, samples, therapy
from tests.reference.random_charts import random_chart

BOOK = default_rulebook()
REASONER = Reasoner(BOOK)
FORMING = Forming(BOOK)
CHARTS = 2_000


def charts(first: int = 31_000_000) -> Iterator[tuple[int, Chart]]:
    for seed in range(first, first + CHARTS):
        yield seed, random_chart(random.Random(seed))


@pytest.mark.parametrize("rule", BOOK.rules, ids=lambda rule: rule.name)
def test_every_implication_holds_of_the_facts_of_random_charts(rule: Rule) -> None:
    known = implications(rule, BOOK)
    premises: Counter[Implication] = Counter()
    for seed, chart in charts():
        facts = facts_of(REASONER, FORMING, chart, rule)
        if facts is None:
            continue
        for one in known:
            assert one.holds(facts), f"chart {seed}: {one}; facts {dict(facts)}"
            premises[one] += all(atom.fact in facts for atom in one.atoms)
    asked = [one for one in known if premises[one]]
    assert len(asked) >= 0.9 * len(known), [str(one) for one in known if not premises[one]]


def naive(chart: Chart) -> dict[str, Tri] | None:
    """The facts of change of the TRPC5 rule, formed by the naive reference; None where it would not come to ask for them."""
    if not chart.results.get("trpc5-ev"):
        return None
    series = samples.Series(chart, "trpc5-ev")
    place = therapy.line_of(chart, ("cytotoxic-chemotherapy",), series.latest)
    latest = series.latest
    if gates.asked_first(series, place, place.applies) or latest is None:
        return None
    base = samples.baseline(series, latest, place)
    if gates.asked_next(series, place, base) or base is None:
        return None

    def qualifies(sample: Result) -> bool | None:
        own = samples.baseline(series, sample, place)
        if own is None:
            return None
        risen = samples.risen(series, sample, own) and samples.risen_per_ev(series, sample, own) is True
        return place.day(sample) >= 42 and risen

    pair = gates.earliest_pair(gates.run_to_latest(series.judged(place), qualifies), place, 60)
    return {
        "risen": samples.risen(series, latest, base),
        "risen_per_ev": samples.risen_per_ev(series, latest, base),
        "early": place.day(latest) < 60,
        "confirmed": pair is not None,
        "method-changed": False,
        "no-baseline": False,
    }


def test_the_naive_reader_bears_out_what_is_implied_of_change() -> None:
    rule = BOOK.rule("trpc5-rise-on-chemotherapy")
    seen: Counter[tuple[str, Tri]] = Counter()
    for seed, chart in charts():
        found = naive(chart)
        if found is None:
            continue
        seen.update(found.items())
        for one in implications(rule, BOOK):
            assert one.holds(found), f"chart {seed}: {one}; naive facts {found}"
        formed = facts_of(REASONER, FORMING, chart, rule)
        assert formed is not None
        assert formed["risen"] is found["risen"]
        assert formed["risen_per_ev"] is found["risen_per_ev"]
        assert (formed["confirmed"] is True) is found["confirmed"]
    assert seen["confirmed", True] > 20
    assert seen["risen", False] > 20


def test_an_implication_that_is_wrong_is_found() -> None:
    rule = BOOK.rule("trpc5-rise-on-chemotherapy")
    wrong = next(one for one in implications(rule, BOOK) if "the run of samples" in one.reason)
    wrong = Implication(tuple(atom for atom in wrong.atoms if atom.fact != "confirmed"), "made wrong on purpose")
    assert any(
        not wrong.holds(facts)
        for _, chart in charts()
        if (facts := facts_of(REASONER, FORMING, chart, rule)) is not None
    )
