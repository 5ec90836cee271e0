"""What is drawn, as data: roles, limits, bands, breaks, windows, lanes; against figures worked out here, not by the drawing."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest

from cds.chart.model import Chart, Line
from cds.drawing import Scene, svg
from cds.drawing.plot import remarks
from cds.drawing.scene import Decision, Panel
from tests.advice.charts import START, chart, result, series
from tests.drawing import hard_cases
from tests.drawing.contact_sheet import (
    REASONER,
    advised_of,
    chart_of,
    drawn,
    drawn_of,
    drawn_of_chart,
    drawn_of_evaluation,
    visits,
)
from tests.patients.archetypes import Archetype, patient
from tests.test_cli import EXAMPLE, ROOT, exowatch

VARIATION = {"trpc5-ev": (0.20, 0.30), "hotair-ev": (0.30, 0.40), "pdl1-ev": (0.15, 0.30), "tgfb1-ev": (0.15, 0.30)}
"""Coefficients of variation, analytical and within a person, as the evidence assumes them: section 3.2."""
VISITS = list(visits())


def scene(name: str, day: str = "") -> Scene:
    one = patient(name)
    return drawn_of(one, day or max(str(expected.as_of) for expected in one.expected))


def only(found: Scene) -> Panel:
    (panel,) = found.panels
    return panel


def decision_of(panel: Panel) -> Decision:
    assert panel.decision is not None
    return panel.decision


def change(cva: float, cvi: float, n: int) -> float:
    """The smallest ratio that chance seldom reaches, one-sided 95 %."""
    return math.exp(1.645 * math.sqrt(math.log(1 + cva**2 + cvi**2)) * math.sqrt(1 / n + 1))


# every state of the evidence ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "day", "said"), VISITS, ids=lambda part: part.id if isinstance(part, Archetype) else part
)
def test_every_limit_and_band_is_that_of_the_values(one: Archetype, day: str, said: str) -> None:
    known = chart_of(one, day)
    for panel in drawn_of(one, day).panels:
        results = {each.ref: each for each in known.results[panel.marker]}
        assert [point.ref for point in panel.points] == [
            ref for ref, each in results.items() if each.collected and each.collected <= known.as_of
        ]
        for point in panel.points:
            each = results[point.ref]
            assert (point.day, point.shown, point.censored) == (each.collected, each.shown, each.censored)
            assert point.value == ((each.high if each.censored else each.low) or None)
        states = {"watch", "suspected", "persistent", "no-flag", "discordant", "hold"}
        judged = any(f" {state}" in said for state in states) and not panel.note
        assert (panel.decision is not None) is judged
        if panel.decision is None:
            assert not any("reference" in point.roles or point.crossing for point in panel.points)
            continue
        decision = panel.decision
        references = [point for point in panel.points if "reference" in point.roles]
        highs = [point.value or 0.0 for point in references]
        lows = [0.0 if point.censored else point.value or 0.0 for point in references]
        assert decision.reference[1] == pytest.approx(math.prod(highs) ** (1 / len(highs)))
        assert decision.reference[0] == pytest.approx(math.prod(lows) ** (1 / len(lows)))
        cva, cvi = VARIATION[panel.marker]
        expected, noise = change(cva, cvi, len(highs)), change(cva, 0, len(highs))
        assert decision.expected == pytest.approx((decision.reference[1] / expected, decision.reference[1] * expected))
        assert decision.noise == pytest.approx((decision.reference[1] / noise, decision.reference[1] * noise))
        assert decision.expected[0] < decision.noise[0] < decision.noise[1] < decision.expected[1]
        ratio = max(expected, 2.0)
        fell = "HO-01" in said or one.id == "A09"
        assert decision.limit == pytest.approx(decision.reference[1] * (1 / ratio if fell else ratio))
        lowest = [point for point in panel.points if "lowest before the pair" in point.roles]
        over = [(point.day, (point.value or 0.0) * max(change(cva, cvi, 1), 2.0)) for point in lowest]
        higher = [(day, limit) for day, limit in over if limit > decision.limit]
        assert [one.day for one in panel.lowest] == [day for day, _ in higher]
        assert [one.limit for one in panel.lowest] == pytest.approx([limit for _, limit in higher])
        latest = next(point for point in panel.points if "latest" in point.roles)
        for point in panel.points:
            beyond = point.value is not None and not point.censored and point.value >= decision.limit * (1 - 1e-9)
            after = point.day >= decision.start and point.day <= latest.day
            free = not any(
                event.kind == "infection"
                and point.day >= (event.start or point.day)
                and point.day <= (event.end or point.day) + timedelta(days=20)
                for event in known.events
            )
            confirms = any("of the pair" in role for role in point.roles)
            assert bool(point.crossing) is (beyond and after and free and not confirms), point
        pairs = [point.day for point in panel.points if any("of the pair" in role for role in point.roles)]
        assert (panel.pair is not None) is (len(pairs) == 2) is bool({"suspected", "persistent"} & set(said.split()))
        assert panel.pair is None or list(panel.pair) == pairs


def test_the_thresholds_are_those_of_the_evidence() -> None:
    found = {name: decision_of(only(scene(name))).threshold for name in ("A02", "A01", "A11", "A18")}
    assert found == pytest.approx({"A02": 2.26, "A01": 2.02, "A11": 3.00, "A18": 2.14}, abs=0.005)
    assert {panel.word for panel in scene("A21").panels} == {"suspected"}
    assert (only(scene("A01")).certainty, only(scene("A02")).certainty) == ("very low", "")


def test_a_confirmed_rise_is_drawn_with_what_it_rests_on() -> None:
    found = drawn(EXAMPLE.read_bytes(), "2025-04-21")
    panel = only(found)
    assert (panel.marker, panel.unit, panel.relative, panel.word) == ("trpc5-ev", "{particles}/mL", False, "suspected")
    assert [(point.day.isoformat(), point.value) for point in panel.points] == [
        ("2024-12-20", 1.8e6), ("2025-01-02", 2.0e6), ("2025-02-17", 2.1e6), ("2025-03-24", 5.6e6), ("2025-04-21", 6.3e6),
    ]  # fmt: skip
    assert [point.roles for point in panel.points] == [
        ("reference",), ("reference",), (), ("first of the pair",), ("second of the pair", "latest"),
    ]  # fmt: skip
    assert [[vertex.day for vertex in part] for part in panel.curve] == [[point.day for point in panel.points]]
    assert (panel.breaks, panel.replicates, panel.second, panel.early) == ((), (), None, None)
    assert panel.pair == (date(2025, 3, 24), date(2025, 4, 21))
    decision = decision_of(panel)
    assert decision.limit == pytest.approx(3.84e6, rel=0.01)  # as the card says it
    assert (decision.state, decision.kind, decision.start) == ("suspected", "baseline", date(2025, 1, 6))
    assert (decision.fold, decision.stated) == ("3.32 ×", "laboratory")
    assert [day.isoformat() for day in decision.references] == ["2024-12-20", "2025-01-02"]
    (lane,) = found.lanes
    assert [(bar.label, bar.start, bar.end, bar.ending) for bar in lane.bars] == [
        ("paclitaxel", date(2025, 1, 6), None, "assumed")
    ]
    assert found.anchor is not None
    assert (found.anchor.day, found.anchor.title) == (date(2025, 1, 6), "cytotoxic chemotherapy")
    assert found.first < date(2024, 12, 20)
    assert found.last > date(2025, 4, 21)


def test_the_second_limit_of_a_confirmed_rise_is_drawn_where_it_is_the_higher_one() -> None:
    """A pair counts over the lowest earlier value on treatment too; a next value between the two limits leaves a watch."""
    found = drawn_of(patient("A18"), "2025-04-07")
    (lowest,) = only(found).lowest
    ratio = max(change(0.15, 0.30, 1), 2.0)  # one lowest value
    assert lowest.day == date(2025, 2, 3)
    assert (lowest.limit, lowest.threshold) == pytest.approx((110 * ratio, ratio))
    assert lowest.limit > decision_of(only(found)).limit
    picture = svg(found)
    for words in (
        ">over lowest 236<",
        "limit over the lowest value on treatment",
        "Both samples of a pair reach 2.14 times the",
    ):
        assert words in " ".join(picture.split()), words
    advised = advised_of(patient("A18"), "2025-04-07")
    assert any("below 236 pg/mL, the limit over the lowest" in said for one in advised for said in one.would_change)
    assert only(scene("A01")).lowest == ()  # no treatment value lies before its pair that asks for more


# why a value counts or does not -------------------------------------------------------------------------------------


def test_a_first_crossing_shows_when_a_second_would_confirm_it() -> None:
    panel = only(scene("A02", "2025-04-21"))
    assert [point.crossing for point in panel.points] == [
        "",
        "",
        "above the limit for the first time, not confirmed so far",
    ]
    assert panel.second is not None
    assert (panel.second.first, panel.second.last) == (date(2025, 5, 5), date(2025, 6, 16))  # 14 to 56 days later
    later = only(scene("A02", "2025-05-12"))
    assert [point.crossing for point in later.points] == ["", "", "above the limit, not confirmed", ""]
    assert later.second is None


def test_a_rise_too_early_is_drawn_in_the_days_that_do_not_count() -> None:
    panel = only(scene("A03", "2025-04-02"))
    assert [point.crossing for point in panel.points] == ["", *["above the limit, too early to count"] * 2]
    assert panel.early is not None
    assert (panel.early.first, panel.early.last) == (date(2025, 3, 3), date(2025, 3, 3) + timedelta(days=59))


def test_a_value_that_total_ev_explains_says_so() -> None:
    panel = only(drawn_of_chart(hard_cases.parallel_to_total_ev()))
    assert [point.crossing for point in panel.points] == ["", "", *["above the limit, but not per total EV"] * 2]
    per_ev = decision_of(panel).per_ev
    assert per_ev is not None
    assert per_ev[0] == pytest.approx(2.0e6 * (5.9 / 2.8) / (2.0 / 1.0))  # 5.9 over 2.8 against 2.0 over 1.0
    assert [point.crossing for point in only(scene("A50")).points][1:] == ["above the limit; total EV is missing"] * 2


def test_a_value_after_its_confirmation_is_no_near_miss() -> None:
    values = {-4: 2.0, 42: 2.1, 77: 5.6, 105: 6.3, 126: 6.1}
    panel = only(drawn_of_chart(chart(*series("trpc5-ev", values))))
    assert panel.points[-1].crossing == "above the limit"
    assert [point.crossing for point in panel.points[:-1]] == [""] * 4


def test_what_has_not_fallen_is_said_in_those_words() -> None:
    panel = only(scene("A08", "2025-04-17"))
    assert panel.points[-1].crossing == "not fallen to the limit for the first time, not confirmed so far"
    assert decision_of(only(scene("A09"))).fold == "0.19 ×"


def test_a_rule_in_shadow_draws_nothing() -> None:
    evaluation = REASONER.evaluate(chart(*series("trpc5-ev", {-4: 2.0, 42: 2.1, 77: 5.6, 105: 6.3})))
    assert decision_of(only(drawn_of_evaluation(evaluation))).state == "suspected"
    shadow = [msgspec.structs.replace(one, rule=replace(one.rule, status="shadow")) for one in evaluation.findings]
    panel = only(drawn_of_evaluation(msgspec.structs.replace(evaluation, findings=tuple(shadow))))
    assert (panel.decision, panel.word, panel.pair, len(panel.points)) == (None, "", None, 4)


# where comparison stops ---------------------------------------------------------------------------------------------


def test_comparison_stops_where_the_method_changed() -> None:
    panel = only(scene("A06"))
    (stop,) = panel.breaks
    assert (stop.day, stop.why, stop.whole) == (panel.points[1].day, "other isolation and assay", True)
    assert [len(part) for part in panel.curve] == [1, 2]
    assert panel.decision is None  # what cannot be compared has no limit
    assert [why.partition(" ")[0] for why in panel.note] == ["isolation", "assay"]


def test_laboratories_that_take_turns_have_a_curve_each() -> None:
    first, second = drawn_of_chart(hard_cases.two_laboratories_in_turn()).panels
    days = [[(vertex.day - START).days for vertex in part] for part in first.curve]
    assert days == [[-4, 42], [20, 56], [84, 105], [126]]
    assert [((stop.day - START).days, stop.why, stop.whole) for stop in first.breaks] == [
        (20, "other laboratory", False), (84, "other laboratory and lot", True), (126, "other lot", True),
        (140, "other unit: a panel of its own", True),
    ]  # fmt: skip
    assert (second.unit, [point.value for point in second.points]) == ("%", [12.0])


def test_what_is_not_stated_is_named() -> None:
    bare = result("trpc5-ev", 42, 2.1, lot=None)
    (stop,) = only(drawn_of_chart(chart(result("trpc5-ev", -4, 2.0), bare))).breaks
    assert stop.why == "lot not stated"
    later = result("trpc5-ev", 42, 2.1)
    (stop,) = only(drawn_of_chart(chart(result("trpc5-ev", -4, 2.0, lot=None), later))).breaks
    assert (stop.why, stop.day) == ("lot not stated before", later.collected)


def test_values_of_one_day_are_drawn_each_with_their_geometric_mean() -> None:
    panel = only(drawn_of_chart(hard_cases.replicates()))
    assert len(panel.points) == 5
    assert [((mean.day - START).days, mean.count, mean.laboratory) for mean in panel.replicates] == [
        (42, 2, "EV laboratory"), (77, 2, "EV laboratory"),
    ]  # fmt: skip
    assert [mean.mean for mean in panel.replicates] == pytest.approx(
        [math.sqrt(1.7 * 2.6) * 1e6, math.sqrt(5.2 * 6.4) * 1e6]
    )
    assert [vertex.value for part in panel.curve for vertex in part][1:] == [mean.mean for mean in panel.replicates]


def test_what_cannot_be_used_is_drawn_as_such_and_joined_with_nothing() -> None:
    conflict = only(scene("A43"))
    assert [point.faults for point in conflict.points] == [(), ("two values",), ("two values",)]
    assert ([len(part) for part in conflict.curve], conflict.replicates) == ([1], ())  # no mean of a contradiction
    assert {point.laboratory for point in conflict.points[1:]} == {"LAB-A", "LAB-B"}
    haemolysed = only(scene("A36"))
    assert haemolysed.points[-1].faults == ("haemolysis",)
    assert (haemolysed.decision, haemolysed.usable) == (None, 1)
    assert haemolysed.note == ("specimen haemolysed",)


def test_values_below_detection_bound_the_curve() -> None:
    panel = only(scene("A23b"))
    assert (panel.points[0].censored, panel.points[0].value, panel.points[0].shown[0]) == (True, 5e5, "<")
    assert [vertex.bound for vertex in panel.curve[0]] == [True, False, False]
    assert (decision_of(panel).reference, decision_of(panel).fold) == ((0.0, 5e5), "≥ 5.6 ×")
    assert decision_of(only(scene("A24"))).fold == "no ratio"


def test_what_was_detected_and_not_quantified_is_drawn_at_its_limit_and_says_so() -> None:
    first = result("trpc5-ev", -4, 1.0, low=5e5, high=2e6)  # between the limits of detection and quantification
    (panel,) = drawn_of_chart(chart(first, result("trpc5-ev", 77, 9.0))).panels
    point = panel.points[0]
    assert (point.censored, point.detected, point.value) == (True, True, 2e6)
    assert "below the limit of quantification" in remarks(point)
    assert decision_of(panel).reference == (5e5, 2e6)


# lanes and days -----------------------------------------------------------------------------------------------------


def test_each_marker_and_each_kind_of_treatment_has_its_own_place() -> None:
    assert [panel.marker for panel in scene("A21").panels] == ["pdl1-ev", "tgfb1-ev"]
    assert [lane.title for lane in scene("A35").lanes] == ["Anti-PD-1", "Cytotoxic chemotherapy", "Infection"]
    assert [lane.title for lane in scene("A34").lanes] == ["Cytotoxic chemotherapy", "Pregnancy"]
    treatments = [lane for lane in drawn_of_chart(hard_cases.everything_at_once()).lanes if lane.kind == "therapy"]
    assert len({lane.look for lane in treatments}) == 7
    bars = {bar.label: bar.ending for lane in treatments for bar in lane.bars}
    assert (bars["pembrolizumab"], bars["atezolizumab"], bars["tucatinib"], bars["letrozole"]) == (
        "recorded", "unknown", "assumed", "planned",
    )  # fmt: skip


def test_what_disturbs_a_marker_is_drawn_as_long_as_it_does() -> None:
    (infection,) = (lane for lane in scene("A35").lanes if lane.kind == "event")
    (bar,) = infection.bars
    assert (bar.end, bar.until) == (
        date(2025, 4, 9),
        date(2025, 4, 29),
    )  # a sample of the 30th is the first that counts
    (operation,) = (lane for lane in scene("A09").lanes if lane.kind == "operation")
    assert operation.marks[0].until == date(2025, 2, 3) + timedelta(days=27)
    by_title = {lane.title: lane for lane in drawn_of_chart(hard_cases.everything_at_once()).lanes}
    assert [mark.until for mark in by_title["Operation"].marks] == [START + timedelta(days=127), None]  # none of a plan


def test_imaging_that_decides_is_marked() -> None:
    assert [(mark.label, mark.decides) for lane in scene("A20").lanes for mark in lane.marks] == [("PD", True)]
    assert [(mark.label, mark.decides) for lane in scene("A18").lanes for mark in lane.marks] == [("iUPD", False)]


def test_long_empty_stretches_are_folded_and_usual_ones_are_not() -> None:
    found = drawn_of_chart(hard_cases.long_history())
    assert len(found.folds) == 2
    for first, last in found.folds:
        assert (last - first).days > 240
        days = [point.day for panel in found.panels for point in panel.points]
        days += [mark.day for lane in found.lanes for mark in lane.marks]
        days += [day for lane in found.lanes for bar in lane.bars for day in (bar.start, bar.end) if day]
        assert not any(first <= day <= last for day in days)
    yearly = {-4 + 365 * year: 2.0 for year in range(8)}
    assert drawn_of_chart(chart(*series("trpc5-ev", yearly))).folds == ()
    assert all(drawn_of(one, day).folds == () for one, day, _ in VISITS)


def test_two_results_of_one_week_do_not_fill_the_width() -> None:
    found = drawn_of_chart(chart(*series("trpc5-ev", {100: 2.0, 106: 2.1}), lines=()))
    assert (found.last - found.first).days >= 90


def test_days_to_come_do_not_stretch_the_axis() -> None:
    found = scene("A46")
    assert found.last < date(2026, 1, 1)
    assert [point.faults for point in found.elsewhere] == [("a day to come",)]
    undated = drawn_of_chart(hard_cases.undated())
    assert [point.faults for point in undated.elsewhere] == [("no day of collection",)]


def test_days_are_counted_from_what_the_first_answer_is_about() -> None:
    anchors = {name: scene(name).anchor for name in ("A01", "A08", "A11", "A48")}
    named = {name: (str(anchor.day), anchor.title) if anchor else None for name, anchor in anchors.items()}
    assert named == {
        "A01": ("2025-01-06", "cytotoxic chemotherapy"), "A08": ("2025-01-15", "operation"),
        "A11": ("2024-03-01", "endocrine therapy"), "A48": None,
    }  # fmt: skip


def test_what_rests_on_retracted_evidence_is_not_shown() -> None:
    assert scene("A47").panels == ()


@pytest.mark.parametrize(
    ("name", "case"), list(hard_cases.cases()), ids=lambda part: part if isinstance(part, str) else ""
)
def test_hard_charts_have_scenes_with_every_result(name: str, case: Chart) -> None:
    found = drawn_of_chart(case)
    shown = [point.ref for panel in found.panels for point in panel.points] + [point.ref for point in found.elsewhere]
    assert sorted(shown) == sorted(each.ref for results in case.results.values() for each in results)
    bars = [bar for lane in found.lanes for bar in lane.bars]
    assert len(bars) + sum(len(lane.marks) for lane in found.lanes) == len(case.lines) + len(case.events) + len(
        case.operations
    ) + len(case.imaging)


def test_a_neoadjuvant_line_is_called_so() -> None:
    line = Line("cytotoxic-chemotherapy", ("doxorubicin",), START, neoadjuvant=True)
    (lane,) = drawn_of_chart(chart(lines=(line,))).lanes
    assert lane.bars[0].label == "doxorubicin (neoadjuvant)"


def test_the_command_draws_the_picture_of_the_readme(tmp_path: Path) -> None:
    out = tmp_path / "course.svg"
    done = exowatch("draw", str(EXAMPLE), "--as-of", "2025-04-21", "--out", str(out))
    assert (done.returncode, done.stderr) == (0, "")
    assert out.read_text("utf-8") == (ROOT / "docs" / "course.svg").read_text("utf-8"), "write it anew: exowatch draw"
    both = tmp_path / "two.ndjson"
    both.write_text("\n".join(json.dumps({"resourceType": "Patient", "id": name}) for name in ("a", "b")), "utf-8")
    refused = exowatch("draw", str(both))
    assert (refused.returncode, "a file of one patient" in refused.stderr) == (2, True)
