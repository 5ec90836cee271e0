"""What must not change a verdict, and what must: properties over random charts."""

from __future__ import annotations

import random
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cds.chart.model import Chart, Result
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from tests.reference.random_charts import random_chart, scaled

REASONER = Reasoner(default_rulebook())
charts = st.integers(0, 2**32).map(lambda seed: random_chart(random.Random(seed)))


def states(chart: Chart) -> dict[str, str]:
    return {name: finding.state for name, finding in REASONER.evaluate(chart).answers.items()}


def with_results(chart: Chart, change: dict[str, tuple[Result, ...]]) -> Chart:
    return replace(chart, results={marker: found for marker, found in change.items() if found})


@given(charts, st.sampled_from([0.001, 0.37, 3.0, 1e6]))
def test_multiplying_all_values_and_limits_changes_nothing(chart: Chart, factor: float) -> None:
    """For ΔCt this is adding a constant: the linear values are all multiplied."""
    results = {marker: tuple(scaled(result, factor) for result in found) for marker, found in chart.results.items()}
    assert states(with_results(chart, results)) == states(chart)


@given(charts, st.integers(-4000, 4000))
def test_shifting_all_dates_and_the_moment_changes_nothing(chart: Chart, days: int) -> None:
    by = timedelta(days=days)
    shifted = replace(
        chart,
        as_of=chart.as_of + by,
        birth_date=None if chart.birth_date is None else chart.birth_date + by,
        born_from=None if chart.born_from is None else chart.born_from + by,
        lines=tuple(replace(x, start=x.start and x.start + by, end=x.end and x.end + by) for x in chart.lines),
        unrecognised=tuple(
            replace(
                x, line=replace(x.line, start=x.line.start and x.line.start + by, end=x.line.end and x.line.end + by)
            )
            for x in chart.unrecognised
        ),
        operations=tuple(replace(x, day=x.day + by) for x in chart.operations),
        events=tuple(replace(x, start=x.start and x.start + by, end=x.end and x.end + by) for x in chart.events),
        imaging=tuple(replace(x, day=x.day + by) for x in chart.imaging),
        results={
            marker: tuple(replace(x, collected=x.collected and x.collected + by) for x in found)
            for marker, found in chart.results.items()
        },
    )
    before, after = states(chart), states(shifted)
    # A birthday may fall on 29 February: only then may scope differ by a day.
    assert before == after or "out-of-scope" in {*before.values(), *after.values()}


@given(charts)
def test_without_anything_earlier_nothing_is_suspected(chart: Chart) -> None:
    lone = {
        marker: tuple(found[-1:] if found[-1].collected else found) for marker, found in chart.results.items() if found
    }
    assert "suspected" not in states(with_results(chart, lone)).values()
    assert "persistent" not in states(with_results(chart, lone)).values()


@given(charts)
def test_a_changed_method_of_the_latest_sample_is_never_suspected(chart: Chart) -> None:
    def changed(found: tuple[Result, ...]) -> tuple[Result, ...]:
        dated = [r for r in found if r.collected is not None and r.collected <= chart.as_of]
        if not dated:
            return found
        return tuple(replace(r, method=replace(r.method, isolation="another")) if r is dated[-1] else r for r in found)

    results = {marker: changed(found) for marker, found in chart.results.items()}
    after = states(with_results(chart, results))
    assert not {"suspected", "persistent", "watch"} & set(after.values())


@given(charts, st.data())
def test_an_unstated_check_never_makes_a_state_stronger(chart: Chart, data: st.DataObject) -> None:
    marker = data.draw(st.sampled_from(sorted(chart.results)))
    if not chart.results[marker]:
        return
    place = data.draw(st.integers(0, len(chart.results[marker]) - 1))
    changed = list(chart.results[marker])
    changed[place] = replace(changed[place], checks={})
    before = states(chart)
    after = states(with_results(chart, {**chart.results, marker: tuple(changed)}))
    # Leaving out a sample may only ever weaken: it cannot become the pair that confirms.
    gained = {rule for rule, state in after.items() if state == "suspected" and before.get(rule) != "suspected"}
    latest = [r for r in chart.results[marker] if r.collected is not None and r.collected <= chart.as_of]
    if latest and changed[place].collected == latest[-1].collected:
        assert not gained


@given(charts)
def test_every_answer_is_explained(chart: Chart) -> None:
    for finding in REASONER.evaluate(chart).answers.values():
        assert finding.holding or finding.missing
        if finding.state in ("suspected", "persistent"):
            assert finding.certainty in ("very-low", "low")
            assert finding.pair is not None or finding.parts
