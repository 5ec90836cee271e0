"""The naive reference itself: the patients of the evidence, every state reached on random charts, and invariants."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial

import pytest
from msgspec.structs import replace

from cds.chart.model import Chart, Result
from tests.reference.gates import in_scope
from tests.reference.random_charts import random_chart, scaled
from tests.reference.records import RECORDS, RETRACTED, Record
from tests.reference.reference import ONE_STATE, WATCHED, judge, marker_state
from tests.reference.samples import DEFAULT_CVS, Series, threshold

CLAIMS = {"watch", "suspected", "persistent"}


def charts(first: int, number: int) -> Iterator[Chart]:
    return (random_chart(random.Random(seed)) for seed in range(first, first + number))


@pytest.mark.parametrize(
    ("record", "day", "state"),
    [
        pytest.param(record, day, state, id=f"{record.name} {day}")
        for record in RECORDS
        for day, state in record.expected.items()
    ],
)
def test_patients_of_the_evidence(record: Record, day: str, state: str) -> None:
    chart = record.chart(date.fromisoformat(day))
    states = judge(chart)
    assert {marker: marker_state(chart, marker, states) for marker in record.markers} == dict.fromkeys(
        record.markers, state
    )


def test_retracted_marker_yields_nothing() -> None:
    assert judge(RETRACTED.chart(date(2025, 3, 3))) == {}


@pytest.mark.parametrize(
    ("marker", "size", "limit"),
    [
        ("trpc5-ev", 1, 2.26),
        ("trpc5-ev", 2, 2.02),
        ("trpc5-ev", 3, 2.0),
        ("hotair-ev", 1, 3.00),
        ("pdl1-ev", 1, 2.14),
        ("tgfb1-ev", 1, 2.14),
    ],
)
def test_thresholds_of_the_evidence(marker: str, size: int, limit: float) -> None:
    sample = Result(ref="", marker=marker, collected=date(2025, 1, 2))
    chart = Chart(patient="", as_of=date(2025, 1, 2), results={marker: (sample,)})
    assert threshold(Series(chart, marker), sample, size) == pytest.approx(limit, abs=0.005)
    assert marker in DEFAULT_CVS


def test_random_charts_reach_every_state() -> None:
    reached: Counter[tuple[str, str]] = Counter()
    for chart in charts(0, 20_000):
        reached.update(judge(chart).items())
    lines = [
        f"{rule}: " + ", ".join(f"{state} {reached[rule, state]}" for state in ONE_STATE if reached[rule, state])
        for rule in WATCHED
    ]
    sys.stdout.write("\n" + "\n".join(lines) + "\n")

    everywhere = {"out-of-scope", "data-quality", "not-evaluable", "not-applicable", "background"}
    rise = everywhere | {"hold", "discordant", "suspected", "watch", "no-flag"}
    of_rule = {rule: rise for rule in WATCHED}
    of_rule["hotair-after-surgery"] = rise - {"suspected"} | {"persistent"}
    of_rule["pdl1-on-chemotherapy"] = everywhere
    assert {rule: {state for known, state in reached if known == rule} for rule in WATCHED} == of_rule


def with_results(chart: Chart, change: Callable[[tuple[Result, ...]], tuple[Result, ...]]) -> Chart:
    return replace(chart, results={marker: change(results) for marker, results in chart.results.items()})


def test_order_of_results_does_not_matter() -> None:
    rng = random.Random(1)
    for chart in charts(100_000, 1_500):
        shuffled = with_results(chart, lambda results: tuple(rng.sample(results, len(results))))
        assert judge(shuffled) == judge(chart)


def later(day: date | None, by: timedelta) -> date | None:
    return None if day is None else day + by


def moved(by: timedelta, results: tuple[Result, ...]) -> tuple[Result, ...]:
    return tuple(replace(one, collected=later(one.collected, by)) for one in results)


def test_shifting_all_dates_changes_nothing() -> None:
    rng = random.Random(2)
    for chart in charts(110_000, 1_500):
        by = timedelta(rng.choice((-400, -31, -1, 1, 28, 365, 1000)))
        shifted = replace(
            with_results(chart, partial(moved, by)),
            as_of=chart.as_of + by,
            birth_date=later(chart.birth_date, by),
            born_from=later(chart.born_from, by),
            lines=tuple(replace(one, start=later(one.start, by), end=later(one.end, by)) for one in chart.lines),
            unrecognised=tuple(
                replace(one, line=replace(one.line, start=later(one.line.start, by), end=later(one.line.end, by)))
                for one in chart.unrecognised
            ),
            operations=tuple(replace(one, day=one.day + by) for one in chart.operations),
            events=tuple(replace(one, start=later(one.start, by), end=later(one.end, by)) for one in chart.events),
            imaging=tuple(replace(one, day=one.day + by) for one in chart.imaging),
        )
        if in_scope(shifted) == in_scope(chart):  # leap days move birthdays
            assert judge(shifted) == judge(chart)


@pytest.mark.parametrize("factor", [1000.0, 0.1, 3.7])
def test_scaling_values_and_limits_of_detection_changes_nothing(factor: float) -> None:
    for chart in charts(120_000, 500):
        assert judge(with_results(chart, lambda results: tuple(scaled(one, factor) for one in results))) == judge(chart)


def test_a_lone_sample_claims_nothing() -> None:
    for chart in charts(130_000, 1_500):
        alone = judge(with_results(chart, lambda results: results[-1:]))
        assert not CLAIMS & set(alone.values())


def test_another_method_of_the_latest_sample_claims_nothing() -> None:
    def changed(results: tuple[Result, ...]) -> tuple[Result, ...]:
        latest = (
            max(one.collected for one in results if one.collected) if any(one.collected for one in results) else None
        )
        return tuple(
            replace(one, method=replace(one.method, platform="another")) if one.collected == latest else one
            for one in results
        )

    for chart in charts(140_000, 1_500):
        if not any("after-as-of" in one.faults for results in chart.results.values() for one in results):
            assert not CLAIMS & set(judge(with_results(chart, changed)).values())


def without_early(starts: list[date], results: tuple[Result, ...]) -> tuple[Result, ...]:
    return tuple(
        one
        for one in results
        if one.collected is None or not any(0 <= (one.collected - start).days < 56 for start in starts)
    )


def test_missing_early_samples_do_not_confirm_a_rise_on_a_checkpoint_inhibitor() -> None:
    rule = "pdl1-rise-on-checkpoint-inhibitor"
    watched = 0
    for chart in charts(150_000, 4_000):
        if judge(chart).get(rule) != "watch":
            continue
        watched += 1
        starts = [line.start for line in chart.lines if line.therapy in ("anti-pd-1", "anti-pd-l1") and line.start]
        late = with_results(chart, partial(without_early, starts))
        assert judge(late).get(rule) != "suspected"
    assert watched > 50
