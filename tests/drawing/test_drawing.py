"""What is drawn of each archetype, as data; and that the picture is whole, the same each time, and inert."""

from __future__ import annotations

import json
import math
import re
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cds.advice.statements import Advisor
from cds.chart import Moment, read
from cds.drawing import Scene, scene_of, svg
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from tests.patients.archetypes import Archetype, patient, patients
from tests.test_cli import EXAMPLE, ROOT, exowatch

BOOK = default_rulebook()
REASONER, ADVISOR = Reasoner(BOOK), Advisor(BOOK)
NAMESPACE = {"svg": "http://www.w3.org/2000/svg"}


def drawn(data: bytes, day: str) -> Scene:
    evaluation = REASONER.evaluate(read(data, BOOK.catalogue).as_of(Moment.parse(day)))
    return scene_of(evaluation, ADVISOR.advisories(evaluation), BOOK)


def scene(name: str, day: str = "") -> Scene:
    one = patient(name)
    return drawn(json.dumps(one.bundle(), default=float).encode(), day or last_day(one))


def last_day(one: Archetype) -> str:
    return max((str(expected.as_of) for expected in one.expected), default="2025-12-31")


def test_a_confirmed_rise_is_drawn_with_what_it_rests_on() -> None:
    found = drawn(EXAMPLE.read_bytes(), "2025-04-21")
    (panel,) = found.panels
    assert (panel.marker, panel.unit, panel.relative) == ("trpc5-ev", "{particles}/mL", False)
    assert [(point.day.isoformat(), point.value) for point in panel.points] == [
        ("2024-12-20", 1.8e6), ("2025-01-02", 2.0e6), ("2025-02-17", 2.1e6), ("2025-03-24", 5.6e6), ("2025-04-21", 6.3e6),
    ]  # fmt: skip
    assert [point.roles for point in panel.points] == [
        ("reference",), ("reference",), (), ("first of the pair",), ("second of the pair", "latest"),
    ]  # fmt: skip
    assert panel.joined == ((0, 1), (1, 2), (2, 3), (3, 4))
    assert panel.breaks == ()
    assert panel.pair == (date(2025, 3, 24), date(2025, 4, 21))
    decision = panel.decision
    assert decision is not None
    assert decision.reference == pytest.approx(math.sqrt(1.8e6 * 2.0e6))
    assert decision.limit == pytest.approx(3.84e6, rel=0.01)  # as the card says it
    assert decision.expected == pytest.approx((decision.reference / 2.02, decision.reference * 2.02), rel=0.01)
    assert (decision.state, decision.start) == ("suspected", date(2025, 1, 6))
    assert [day.isoformat() for day in decision.references] == ["2024-12-20", "2025-01-02"]
    (lane,) = found.lanes
    assert [(bar.label, bar.start, bar.end, bar.planned) for bar in lane.bars] == [
        ("paclitaxel", date(2025, 1, 6), None, False)
    ]
    assert found.first < date(2024, 12, 20)
    assert found.last > date(2025, 4, 21)


def test_comparison_stops_where_the_method_changed() -> None:
    (panel,) = scene("A06").panels
    (stop,) = panel.breaks
    assert (stop.day, stop.why) == (panel.points[1].day, "other isolation, and 1 more")
    assert (0, 1) not in panel.joined
    assert panel.decision is None  # what cannot be compared has no limit


def test_what_cannot_be_used_is_drawn_as_such_and_joined_with_nothing() -> None:
    (conflict,) = scene("A43").panels
    assert [point.faults for point in conflict.points] == [(), ("two values",), ("two values",)]
    assert conflict.joined == ()
    (haemolysed,) = scene("A36").panels
    assert haemolysed.points[-1].faults == ("haemolysis",)
    assert (haemolysed.decision, haemolysed.joined) == (None, ())


def test_values_below_detection_are_drawn_at_the_limit_and_said_to_be_below() -> None:
    (panel,) = scene("A23b").panels
    assert (panel.points[0].censored, panel.points[0].value, panel.points[0].shown[0]) == (True, 5e5, "<")
    assert "below the limit of detection" in svg(scene("A23b"))


def test_days_to_come_do_not_stretch_the_axis() -> None:
    found = scene("A46")
    assert found.last < date(2026, 1, 1)
    assert [point.faults for point in found.elsewhere] == [("a day to come",)]


def test_what_rests_on_retracted_evidence_is_not_shown() -> None:
    found = scene("A47")
    assert (found.panels, "567" in svg(found)) == ((), False)


def test_a_delta_ct_is_told_as_a_ratio() -> None:
    found = scene("A13")
    (panel,) = found.panels
    assert panel.relative
    assert panel.decision is not None
    text = svg(found)
    assert f"limit {panel.decision.limit / panel.decision.reference:.3g} ×" in text
    words = [shape.text or "" for shape in ElementTree.fromstring(text).findall(".//svg:text", NAMESPACE)]  # noqa: S314 - our own
    assert not any("{delta_Ct}" in one for one in words)


def test_a_fall_that_is_awaited_has_its_limit_below() -> None:
    (panel,) = scene("A09").panels
    assert panel.decision is not None
    assert panel.decision.limit == pytest.approx(panel.decision.reference / 3, rel=1e-3)


def test_each_marker_and_each_kind_of_treatment_has_its_own_place() -> None:
    two = scene("A21")
    assert [panel.marker for panel in two.panels] == ["pdl1-ev", "tgfb1-ev"]
    assert [lane.title for lane in scene("A35").lanes] == ["Anti-PD-1", "Cytotoxic chemotherapy", "Infection"]
    assert [lane.title for lane in scene("A34").lanes] == ["Cytotoxic chemotherapy", "Pregnancy"]
    (imaging,) = (lane for lane in scene("A20").lanes if lane.kind == "imaging")
    assert [mark.label for mark in imaging.marks] == ["PD"]


@pytest.mark.parametrize("one", patients(), ids=lambda one: one.id)
def test_every_picture_is_whole_and_the_same_each_time(one: Archetype) -> None:
    found = scene(one.id)
    text = svg(found)
    assert text == svg(found)
    root = ElementTree.fromstring(text)  # noqa: S314 - our own
    width, height = (float(part) for part in root.attrib["viewBox"].split()[2:])
    shown = [title.text or "" for title in root.findall(".//svg:g/svg:title", NAMESPACE)]
    for panel in found.panels:
        for point in panel.points:
            assert any(told.startswith(f"{point.day.isoformat()}, {point.shown}") for told in shown), point
            assert point.value is None or panel.span[0] <= point.value <= panel.span[1]
    for shape in root.iter():
        for name, most in (("x", width), ("cx", width), ("y", height), ("cy", height)):
            assert -20 <= float(shape.attrib.get(name, 0)) <= most + 1, shape.attrib
    assert root.find("svg:desc", NAMESPACE) is not None


def test_text_of_a_record_is_inert() -> None:
    bundle = json.loads(EXAMPLE.read_text("utf-8"))
    hostile = '"><script>alert(1)</script><a xlink:href="javascript:1">&x;'
    for entry in bundle["entry"]:
        quantity = entry["resource"].get("valueQuantity")
        if quantity is not None:
            quantity["unit"] = hostile
            quantity["code"] = hostile
    text = svg(drawn(json.dumps(bundle).encode(), "2025-04-21"))
    root = ElementTree.fromstring(text)  # noqa: S314 - our own
    kinds = {re.sub(r"\{.*\}", "", shape.tag) for shape in root.iter()}
    assert kinds <= {"svg", "title", "desc", "style", "rect", "path", "circle", "text", "g"}
    assert not any(name.startswith("on") or "href" in name for shape in root.iter() for name in shape.attrib)


def test_the_command_draws_the_picture_of_the_readme(tmp_path: Path) -> None:
    out = tmp_path / "course.svg"
    done = exowatch("draw", str(EXAMPLE), "--as-of", "2025-04-21", "--out", str(out))
    assert (done.returncode, done.stderr) == (0, "")
    assert out.read_text("utf-8") == (ROOT / "docs" / "course.svg").read_text("utf-8"), "write it anew: exowatch draw"
    both = tmp_path / "two.ndjson"
    both.write_text("\n".join(json.dumps({"resourceType": "Patient", "id": name}) for name in ("a", "b")), "utf-8")
    refused = exowatch("draw", str(both))
    assert (refused.returncode, "a file of one patient" in refused.stderr) == (2, True)
