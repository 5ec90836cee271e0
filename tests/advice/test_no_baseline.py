"""A record without a comparable sample from before the treatment: nothing is said that supposes one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from cds.advice.advisory import Advisory
from cds.advice.cards import Card
from cds.advice.checks import FAILED, NOT_ASKED, PASSED
from cds.chart.model import Chart, Diagnosis, Line, Operation
from tests.advice.charts import CLEAR, START, chart, result, series

Advise = Callable[[Chart], tuple[Advisory, ...]]
Write = Callable[[Chart], list[Card]]
LATER = {42: 2.1, 77: 5.6, 105: 6.3}


def outcome(advisory: Advisory, gate: str) -> str:
    return next(check.outcome for check in advisory.checks if check.name == gate)


def title(advisory: Advisory, gate: str) -> str:
    return next(check.title for check in advisory.checks if check.name == gate)


def test_without_a_baseline_there_is_no_limit_to_drift_below(advise: Advise) -> None:
    (said,) = advise(chart(*series("trpc5-ev", LATER)))
    assert said.state == "not-evaluable"
    assert not any("drift" in note for note in said.notes)


def test_nor_is_there_where_the_latest_sample_cannot_be_compared_or_used(advise: Advise) -> None:
    climbing = {-4: 2.0, 42: 2.1, 77: 2.2, 105: 2.3}
    (said,) = advise(chart(*series("trpc5-ev", climbing)))
    assert any("drift upwards" in note for note in said.notes)
    spoilt = [*series("trpc5-ev", climbing), result("trpc5-ev", 133, 2.4, checks={**CLEAR, "haemolysis": False})]
    elsewhere = [
        *series("trpc5-ev", climbing),
        *(result("trpc5-ev", 130 + day, 2.4 + day / 10, lot="L2") for day in range(3)),
    ]
    for results in (spoilt, elsewhere):
        (said,) = advise(chart(*results))
        assert not any("drift" in note for note in said.notes)


def test_gates_say_only_what_is_so(advise: Advise) -> None:
    (said,) = advise(chart(*series("trpc5-ev", LATER)))
    assert outcome(said, "baseline") == FAILED
    assert outcome(said, "comparability") == NOT_ASKED  # there is nothing that it was compared with
    assert outcome(said, "before-therapy") == PASSED
    assert title(said, "before-therapy") == "a sample to judge, not only a reference"
    (said,) = advise(chart(*series("trpc5-ev", {-4: 2.0, **LATER})))
    assert [outcome(said, gate) for gate in ("baseline", "comparability", "before-therapy")] == [PASSED] * 3
    (said,) = advise(chart(*series("trpc5-ev", {-4: 2.0})))
    assert (outcome(said, "comparability"), outcome(said, "before-therapy")) == (NOT_ASKED, FAILED)
    (said,) = advise(chart(*series("trpc5-ev", {-4: 2.0}), result("trpc5-ev", 77, 5.6, lot="L2")))
    assert outcome(said, "comparability") == FAILED


def test_the_next_step_is_one_that_helps(advise: Advise, write: Write) -> None:
    (said,) = advise(chart(*series("trpc5-ev", LATER)))
    assert said.would_change == (
        "it can be judged once a comparable sample from before the treatment (2024-11-25 to 2025-01-06) is in the record, or one "
        "of its first 14 days, which limits it to watch; without one, these rules judge no later sample of this treatment line",
    )
    (card,) = write(chart(*series("trpc5-ev", LATER)))
    assert "25 Nov 2024 to 6 Jan 2025" in card["detail"]


def test_a_nadir_rule_takes_the_first_sample_for_its_reference(advise: Advise) -> None:
    endocrine = Line("endocrine-therapy", ("tamoxifen",), START)
    only = chart(
        result("hotair-ev", 200, 4.0), lines=[endocrine], diagnosis=Diagnosis(True, er=True, pr=True, her2=False)
    )
    said = next(one for one in advise(only) if one.rule.name == "hotair-rise-on-endocrine-therapy")
    assert said.would_change == ("this sample is the reference of later ones: a later comparable sample can be judged",)


def test_after_an_operation_only_a_sample_from_before_it_helps(advise: Advise) -> None:
    only = chart(
        result("hotair-ev", 90, 4.0),
        lines=[],
        operations=[Operation(START, curative=True, ref="Procedure/1")],
        diagnosis=Diagnosis(True, metastatic=False),
    )
    said = next(one for one in advise(only) if one.rule.name == "hotair-after-surgery")
    (step,) = said.would_change
    before = (START - timedelta(days=42)).isoformat(), START.isoformat()
    assert step == (
        f"it can be judged once a comparable sample from before the operation ({before[0]} to {before[1]}) is in the record; "
        "without one, these rules judge no later sample after this operation"
    )


def test_after_a_re_excision_it_is_one_from_before_the_first_operation(advise: Advise) -> None:
    first = START - timedelta(days=30)
    only = chart(
        result("hotair-ev", 90, 4.0),
        lines=[],
        operations=[Operation(first, curative=True), Operation(START, curative=None)],
        diagnosis=Diagnosis(True, metastatic=False),
    )
    said = next(one for one in advise(only) if one.rule.name == "hotair-after-surgery")
    assert said.would_change[0].startswith(
        f"it can be judged once a comparable sample from before the first operation ({first - timedelta(days=42)} to {first})"
    )


def test_a_spoilt_sample_and_a_missing_one_are_both_named(advise: Advise) -> None:
    spoilt = result("trpc5-ev", 105, 6.3, checks={**CLEAR, "haemolysis": False})
    (said,) = advise(chart(*series("trpc5-ev", {-4: 2.0, 77: 5.6}), spoilt))
    assert said.would_change == ("another sample, of which this does not hold, can be judged: specimen haemolysed",)
    (said,) = advise(chart(*series("trpc5-ev", {42: 2.1, 77: 5.6}), spoilt))
    first, second = said.would_change
    assert first == "a sample, of which this does not hold, is needed: specimen haemolysed"
    assert second.startswith("it can be judged once a comparable sample from before the treatment")


def test_what_is_not_stated_is_asked_for_and_no_other_sample(advise: Advise) -> None:
    (said,) = advise(chart(result("trpc5-ev", -4, 2.0), result("trpc5-ev", 105, 6.3, lot=None)))
    assert said.would_change == ("it can be judged once this is stated: reagent lot",)


def test_of_several_conditions_none_is_said_to_be_enough(advise: Advise) -> None:
    """A drug that binds the marker, and a sample whose lot nobody knows: both have to be settled."""
    lines = [Line("anti-pd-l1", ("atezolizumab",), START)]
    bound = CLEAR | {"drug-tolerance": False}
    found = chart(result("pdl1-ev", -4, 60), result("pdl1-ev", 77, 200, lot=None, checks=bound), lines=lines)
    (said,) = [one for one in advise(found) if one.state == "not-evaluable"]
    assert [one for one in said.would_change if "judged once" in one] == [
        "it can be judged once its laboratory has stated that the assay tolerates the drug, which then limits the finding to watch, "
        "and once this is stated: reagent lot"
    ]


def test_another_method_asks_for_a_sample_measured_as_its_reference_was(advise: Advise) -> None:
    (said,) = advise(chart(result("trpc5-ev", -4, 2.0), result("trpc5-ev", 105, 6.3, lot="L2")))
    (step,) = said.would_change
    assert step == "a sample measured in the same way as its reference can be judged"
