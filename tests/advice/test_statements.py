"""What is said about a finding: complete, with its numbers, their dates, units and sources."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from cds.advice.advisory import FIXED_SENTENCE, Advisory
from cds.chart.model import Chart, Diagnosis, Event, Imaging, LeftOut, Line, Operation, Side
from cds.reasoning.rulebook import RuleBook
from tests.advice.charts import CLEAR, METHOD, START, TRPC5_RISE, chart, result, series

Advise = Callable[[Chart], tuple[Advisory, ...]]


def day(number: int) -> date:
    return START + timedelta(days=number)


def only(advisories: tuple[Advisory, ...]) -> Advisory:
    assert len(advisories) == 1
    return advisories[0]


def test_a_confirmed_rise_is_told_with_everything_it_rests_on(advise: Advise) -> None:
    said = only(advise(chart(*series("trpc5-ev", TRPC5_RISE))))
    assert (said.state, said.indicator, said.certainty) == ("suspected", "warning", "very low")
    assert said.headline == (
        "TRPC5-EV: suspected acquired resistance to chemotherapy (investigational; certainty very low)"
    )
    assert [(reading.day, reading.value) for reading in said.readings] == [
        (-17, "1.8 10*6/mL"),
        (-4, "2.0 10*6/mL"),
        (42, "2.1 10*6/mL"),
        (77, "5.6 10*6/mL"),
        (105, "6.3 10*6/mL"),
    ]
    assert [reading.roles for reading in said.readings] == [
        ("reference",),
        ("reference",),
        (),
        ("first of the pair",),
        ("second of the pair", "latest"),
    ]
    value, per_ev = said.changes
    assert (value.quantity, value.fold, value.limit) == ("value", "3.32 ×", "2.03 ×, that is 3.84e6 {particles}/mL")
    assert value.reference == "geometric mean of 2 samples before the treatment (2024-12-20, 2025-01-02)"
    assert value.reference_value == "1.90e6 {particles}/mL"
    for part in ("Z 1.645", "one-sided 95 %", "CV 20 %", "CV 30 %", "assumed by this project", "2 reference"):
        assert part in value.built
    assert per_ev.quantity == "value per EV"
    assert per_ev.reached is True
    assert said.treatment is not None
    assert (said.treatment.title, said.treatment.drugs, said.treatment.day) == (
        "Cytotoxic chemotherapy",
        ("paclitaxel",),
        105,
    )
    assert {check.outcome for check in said.checks} == {"passed", "not asked"}
    assert said.would_change == ("a comparable value below 3.84e6 {particles}/mL would end the rise",)
    assert [study.id for study in said.evidence] == ["wang-2017", "ma-2014"]
    assert said.contradicting[0].id == "koenig-2017"
    assert said.evidence[0].n == "n not verified"
    assert said.evidence[1].n == "n = 26"
    assert said.missing == ()
    assert said.why_not == ()


def test_a_first_rise_says_what_would_confirm_it_and_when(advise: Advise) -> None:
    said = only(advise(chart(*series("trpc5-ev", {-4: 2.0, 77: 5.6}))))
    assert said.state == "watch"
    assert "a second such sample from 2025-04-07 to 2025-05-19 would confirm it" in said.would_change
    assert [(item.state, item.kept_by) for item in said.why_not] == [
        ("suspected", ("not the case: confirmed by a second sample",))
    ]


def test_what_caps_a_finding_keeps_the_promise_of_confirmation_away(advise: Advise) -> None:
    said = only(advise(chart(*series("trpc5-ev", {5: 2.0, 77: 5.6}))))
    assert said.state == "watch"
    assert not any("would confirm" in text for text in said.would_change)
    assert said.changes[0].reference.startswith("1 sample after treatment had begun")


def test_without_total_ev_the_suspicion_that_cannot_be_excluded_is_named(advise: Advise) -> None:
    said = only(advise(chart(*series("trpc5-ev", {-4: 2.0, 77: 5.6, 105: 6.3}, total_ev=None))))
    assert said.state == "watch"
    assert [item.state for item in said.cannot_exclude] == ["suspected"]
    assert any("total EV count" in missing for missing in said.cannot_exclude[0].missing)
    assert "complete-missing-data" in {option.key for option in said.options}


def test_a_value_below_the_limit_of_detection_claims_a_bound_only(advise: Advise) -> None:
    results = [
        result("trpc5-ev", -4, 0.5, below=True),
        result("trpc5-ev", 77, 5.6, lod=5e5),
        result("trpc5-ev", 105, 6.3, lod=5e5),
    ]
    said = only(advise(chart(*results)))
    assert said.changes[0].fold == "≥ 12.6 ×"
    assert said.changes[0].fold_high is None


@pytest.mark.parametrize(
    ("what", "more", "reason"),
    [
        (
            "a missing check",
            {"checks": {key: True for key in CLEAR if key != "haemolysis"}},
            "missing: haemolysis index",
        ),
        ("a failed check", {"checks": CLEAR | {"haemolysis": False}}, "specimen haemolysed"),
        ("a missing tube", {"method": replace(METHOD, tube=None)}, "missing: tube additive"),
        (
            "another method",
            {"method": replace(METHOD, isolation="uc")},
            "isolation method ultracentrifugation instead of SEC",
        ),
        ("an unreadable value", {"faults": frozenset({"unreadable-value"})}, "value cannot be read"),
    ],
)
def test_what_cannot_be_judged_says_why(advise: Advise, what: str, more: dict[str, Any], reason: str) -> None:
    said = only(advise(chart(result("trpc5-ev", -4, 2.0), result("trpc5-ev", 77, 5.6, **more))))
    assert said.state == "not-evaluable", what
    assert reason in said.reasons
    assert reason in said.headline
    assert any(check.outcome in ("failed", "unknown") and check.why for check in said.checks)
    assert said.changes == ()  # a sample that cannot be judged supports no comparison
    assert not any("rise" in text for text in said.would_change)
    assert not {"magnitude", "confirmation"} & {check.name for check in said.checks if check.outcome == "passed"}


def test_a_record_without_treatment_names_the_treatment_record(advise: Advise) -> None:
    said = only(advise(chart(*series("trpc5-ev", {-4: 2.0, 77: 5.6}), lines=())))
    assert said.state == "not-evaluable"
    assert said.reasons == ("missing: treatment record: a known code, first and last day of each drug",)


@pytest.mark.parametrize(
    ("operations", "side", "missing"),
    [
        (
            [(-200, True), (0, None)],
            None,
            "side and reason of each breast operation (whether the last one removed the tumour)",
        ),
        ([(0, True)], "both", "side of each breast operation (left or right)"),
    ],
)
def test_what_is_not_known_of_an_operation_is_asked_for(
    advise: Advise, operations: list[tuple[int, bool | None]], side: Side | None, missing: str
) -> None:
    surgery = [Operation(START + timedelta(days=day), curative) for day, curative in operations]
    disease = Diagnosis(True, metastatic=False, side=side)
    after = chart(*series("hotair-ev", {-7: 10.0, 90: 9.0}), lines=(), operations=surgery, diagnosis=disease)
    (said,) = advise(after)
    assert (said.rule.name, said.state, said.reasons) == (
        "hotair-after-surgery",
        "not-evaluable",
        (f"missing: {missing}",),
    )


@pytest.mark.parametrize(
    ("faults", "option"),
    [
        ({"unit-not-convertible"}, "ask-laboratory"), ({"unreadable-value"}, "ask-laboratory"),
        ({"efficiency-not-stated"}, "ask-laboratory"), ({"no-value"}, "redraw-specimen"),
    ],
)  # fmt: skip
def test_what_the_laboratory_can_clear_up_needs_no_new_specimen(advise: Advise, faults: set[str], option: str) -> None:
    unread = msgspec.structs.replace(result("trpc5-ev", 77, 5.6), low=None, high=None, faults=frozenset(faults))
    said = only(advise(chart(result("trpc5-ev", -4, 2.0), unread)))
    assert said.state == "not-evaluable"
    assert {one.key for one in said.options} == {option}
    units = [
        text for text in said.would_change if text.startswith("the same result can be judged in a unit that converts")
    ]
    assert ["{particles}/mL" in text for text in units] == [True] * (faults == {"unit-not-convertible"})


def test_options_that_help_nothing_are_left_away(advise: Advise) -> None:
    haemolysed = result("trpc5-ev", 77, 5.6, checks=CLEAR | {"haemolysis": False})
    said = only(advise(chart(result("trpc5-ev", -4, 2.0), haemolysed)))
    assert {option.key for option in said.options} == {"redraw-specimen"}
    said = only(advise(chart(result("trpc5-ev", 77, 5.6))))
    assert {option.key for option in said.options} == {"set-new-reference"}


def test_disagreement_with_imaging_names_the_response_and_its_day(advise: Advise) -> None:
    imaging = [Imaging(day(-20), "SD"), Imaging(day(100), "SD"), Imaging(day(110), "PR")]
    said = only(advise(chart(*series("trpc5-ev", TRPC5_RISE), as_of=112, imaging=imaging)))
    assert said.state == "discordant"
    assert said.headline == f"TRPC5-EV disagrees with imaging (PR, {day(110).isoformat()}); imaging takes precedence"
    assert ("imaging", "failed") in {(check.name, check.outcome) for check in said.checks}
    assert said.would_change[0] == "without what imaging shows it would be: suspected"


_UNUSED = "{} on {{}} is not used: more than 28 days from the samples"


@pytest.mark.parametrize(
    ("imaging", "outcome", "why"),
    [
        ([(87, "SD")], "not asked", ("SD on {}, neither for nor against",)),
        ([(87, "SD"), (100, "PD")], "passed", ("PD on {}",)),
        ([(87, "SD"), (140, "PD")], "not asked", ("SD on {}, neither for nor against", _UNUSED.format("PD"))),
        ([(-40, "PD"), (140, "NE")], "not asked", ("no response by imaging near the samples", _UNUSED.format("PD"))),
        ([(-20, "SD")], "not asked", ("no response by imaging near the samples", _UNUSED.format("SD"))),
        ([], "not asked", ("no response by imaging recorded",)),
    ],
)
def test_what_imaging_near_the_samples_shows_is_named(
    advise: Advise, imaging: list[tuple[int, str]], outcome: str, why: tuple[str, ...]
) -> None:
    scans = [Imaging(day(number), response) for number, response in imaging]
    single = only(advise(chart(*series("trpc5-ev", TRPC5_RISE), as_of=140, imaging=scans)))
    her2 = Diagnosis(True, metastatic=True, her2=True)
    lines = [Line("her2-targeted", ("trastuzumab",), START)]
    results = [*series("tgfb1-ev", {-4: 40, 77: 130, 105: 140}), *series("pdl1-ev", {-4: 60, 77: 200, 105: 210})]
    both = advise(chart(*results, as_of=140, lines=lines, diagnosis=her2, imaging=scans))
    (combined,) = [one for one in both if len(one.markers) == 2]
    last = {response: day(number).isoformat() for number, response in imaging}
    named = tuple(re.sub(r"^(\w+) on \{\}", lambda found: f"{found[1]} on {last[found[1]]}", text) for text in why)
    for said in (single, combined):
        assert said.state == "suspected"
        assert [(one.outcome, one.why) for one in said.checks if one.name == "imaging"] == [(outcome, named)]


def test_two_markers_of_one_question_speak_together(advise: Advise) -> None:
    her2 = Diagnosis(True, metastatic=True, her2=True)
    lines = [Line("her2-targeted", ("trastuzumab",), START)]
    results = [*series("tgfb1-ev", {-4: 40, 77: 130, 105: 140}), *series("pdl1-ev", {-4: 60, 77: 200, 105: 210})]
    (said,) = [one for one in advise(chart(*results, lines=lines, diagnosis=her2)) if len(one.markers) == 2]
    assert said.state == "suspected"
    assert said.headline.startswith("EV-TGF-β1 and EV-PD-L1: suspected acquired resistance to HER2")
    assert {change.marker for change in said.changes} == {"EV-TGF-β1", "EV-PD-L1"}
    assert any(check.title.startswith("EV-PD-L1: ") for check in said.checks)


def test_a_missing_fall_after_surgery_is_told_as_a_fall(advise: Advise) -> None:
    early = Diagnosis(True, metastatic=False, her2=False, er=True)
    surgery = [Operation(START, curative=True, ref="Procedure/1")]
    said = advise(chart(*series("hotair-ev", {-7: 10.0, 90: 9.0}), lines=(), operations=surgery, diagnosis=early))
    (about,) = [one for one in said if one.rule.name == "hotair-after-surgery"]
    assert about.state == "watch"
    assert about.treatment is not None
    assert (about.treatment.title, about.treatment.therapy) == ("curative operation", "")
    assert about.changes[0].limit == "0.333 × or less"
    until = f"in a sample drawn by {day(176).isoformat()}: later ones are not judged"
    assert any("would count as fallen" in text and text.endswith(until) for text in about.would_change)


def test_a_held_rise_says_from_when_on_a_sample_can_be_judged(advise: Advise) -> None:
    said = only(advise(chart(*series("trpc5-ev", {-4: 2.0, 45: 6.0}))))
    assert said.state == "hold"
    assert f"a sample from {day(60).isoformat()} on can be judged" in said.would_change


def test_a_fault_of_an_earlier_sample_is_named_with_its_value_and_day(advise: Advise) -> None:
    earlier = msgspec.structs.replace(result("trpc5-ev", 42, 2.1), faults=frozenset({"no-unit"}))
    said = only(advise(chart(result("trpc5-ev", -4, 2.0), earlier, result("trpc5-ev", 77, 5.6))))
    assert said.state == "data-quality"
    assert said.reasons == (f"no unit (2.1 10*6/mL of {day(42).isoformat()})",)


def test_limits_of_an_inverse_scale_are_told_as_ratios(advise: Advise) -> None:
    neoadjuvant = [Line("cytotoxic-chemotherapy", ("docetaxel",), START, neoadjuvant=True)]
    method = replace(METHOD, assay="rt-qpcr")
    results = series("hotair-ev", {-4: 2.0, 77: 9.0}, family="delta-ct", unit="{delta_Ct}", method=method)
    said = only(advise(chart(*results, lines=neoadjuvant, diagnosis=Diagnosis(True, her2=False))))
    assert said.state == "watch"
    assert "{delta_Ct}" not in " ".join([*said.would_change, said.changes[0].limit, said.changes[0].reference_value])


def test_notes_of_the_finding_stand_in_words(advise: Advise) -> None:
    said = only(advise(chart(*series("trpc5-ev", TRPC5_RISE), sex="male", as_of=300)))
    assert any("195 days before this assessment" in note for note in said.notes)
    assert any("did not cover men" in note for note in said.notes)


def test_physiology_holds_and_says_what_disturbs(advise: Advise) -> None:
    events = [Event("infection", day(70))]
    said = only(advise(chart(*series("trpc5-ev", {-4: 2.0, 77: 5.6}), events=events)))
    assert said.state == "hold"
    assert said.headline == "TRPC5-EV: not judged yet (infection not over for 21 days)"


def test_what_was_left_out_is_carried_along(advise: Advise) -> None:
    left = LeftOut("Bundle.entry[3]", "Observation/9", "no subject", "add one")
    said = only(advise(chart(*series("trpc5-ev", TRPC5_RISE), left_out=[left], unmapped=("x|EXO",))))
    assert (said.left_out[0].what, said.unmapped) == ("Observation/9", ("x|EXO",))


def test_the_digest_changes_with_the_evidence_and_not_with_the_day(advise: Advise) -> None:
    results = series("trpc5-ev", TRPC5_RISE)
    first, later = only(advise(chart(*results))), only(advise(chart(*results, as_of=106)))
    other = only(advise(chart(*results[:-1], replace(results[-1], low=6.4e6, high=6.4e6, shown="6.4 10*6/mL"))))
    assert first.digest == later.digest
    assert first.digest != other.digest


def test_an_advisory_is_plain_data(advise: Advise) -> None:
    said = only(advise(chart(*series("trpc5-ev", TRPC5_RISE))))
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(said)), Advisory) == said


def test_the_fixed_sentence_is_that_of_the_wording(book: RuleBook) -> None:
    assert book.wording["cards"]["fixed_sentence"] == FIXED_SENTENCE


@pytest.mark.parametrize(
    ("er", "her2", "offered"),
    [
        (False, False, {"discuss-triple-negative-options"}),
        (True, False, set()),
        (False, True, {"review-her2-status"}),
        (None, None, {"discuss-triple-negative-options", "review-her2-status"}),  # not known is not "no"
        (True, None, {"review-her2-status"}),
    ],
)
def test_options_for_a_kind_of_disease_are_left_out_where_the_record_says_otherwise(
    advise: Advise, er: bool | None, her2: bool | None, offered: set[str]
) -> None:
    said = only(advise(chart(*series("trpc5-ev", TRPC5_RISE), diagnosis=Diagnosis(True, er=er, pr=er, her2=her2))))
    assert said.state == "suspected"
    assert {option.key for option in said.options} & {
        "discuss-triple-negative-options",
        "review-her2-status",
    } == offered


def test_confounders_are_noted_and_change_nothing(advise: Advise) -> None:
    plain = only(advise(chart(*series("trpc5-ev", TRPC5_RISE))))
    about = [Event(kind, day(20)) for kind in ("g-csf", "steroid", "hepatic", "renal")]
    said = only(advise(chart(*series("trpc5-ev", TRPC5_RISE), events=about)))
    assert (said.state, said.certainty, said.options) == (plain.state, plain.certainty, plain.options)
    assert set(said.note_keys) - set(plain.note_keys) == {"g-csf", "steroid", "hepatic", "renal"}
    assert any("Steroids were given near the sample" in note for note in said.notes)


def test_lactation_keeps_the_sample_from_being_judged(advise: Advise) -> None:
    said = only(advise(chart(*series("trpc5-ev", TRPC5_RISE), events=[Event("lactation", day(20))])))
    assert (said.state, said.reasons) == ("not-evaluable", ("lactation",))
