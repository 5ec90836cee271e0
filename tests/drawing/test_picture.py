"""The picture of a scene: exact places on both axes, the same bytes, inert text, classes that have a look, nothing outside."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from itertools import pairwise
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.chart.model import Line
from cds.drawing import Scene, drawing_style, svg
from cds.drawing.axis import Across
from cds.legible import legible
from tests.advice.charts import START, chart, series
from tests.drawing import hard_cases
from tests.drawing.contact_sheet import drawn, drawn_of, drawn_of_chart, visits
from tests.drawing.picture import Picture, across
from tests.patients.archetypes import Archetype
from tests.test_cli import EXAMPLE

VISITS = list(visits())
HARD = list(hard_cases.cases())
DELTA_CT = {"A13"}


def ids(part: object) -> str:
    return part.id if isinstance(part, Archetype) else str(part) if isinstance(part, str) else ""


def all_scenes() -> list[tuple[str, Scene]]:
    return [(f"{one.id} {day}", drawn_of(one, day)) for one, day, _ in VISITS] + [
        (name, drawn_of_chart(case)) for name, case in HARD
    ]


@pytest.mark.parametrize(("one", "day", "said"), VISITS, ids=ids)
def test_every_sign_stands_at_its_day_and_value(one: Archetype, day: str, said: str) -> None:
    scene = drawn_of(one, day)
    picture = Picture(scene)
    signs = [
        item
        for item in picture.items()
        if re.match(r"\d\d? [A-Z][a-z][a-z] \d{4}( \(day -?\d+\))?: (TRPC5|EV-)", item.told)
    ]
    assert len(signs) == sum(len(panel.points) for panel in scene.panels)
    where = iter(signs)
    for number, panel in enumerate(scene.panels):
        up, unit = picture.up(number), 1e6 if panel.unit == "{particles}/mL" else 1.0
        if one.id in DELTA_CT:
            unit = panel.decision.reference[1] if panel.decision else panel.points[0].value or 1.0
        places = []
        for point in panel.points:
            item = next(where)
            assert item.day == point.day.isoformat()
            assert legible(point.shown) in item.told
            x, y = item.place
            assert x == pytest.approx(across(picture, point.day), abs=0.02)
            if point.value is None:
                assert y == pytest.approx(up.floor - 8, abs=0.1)
            elif "reference" not in point.roles or not point.censored:  # a triangle in a square has no one middle
                assert y == pytest.approx(up.at(point.value / unit), abs=0.15)
            places.append(x)
        assert places == sorted(places)
        if panel.decision is not None:
            assert_lines(picture, number, panel.decision.limit / unit, panel.decision.reference[1] / unit)
            assert_bands(
                picture,
                number,
                [tuple(end / unit for end in band) for band in (panel.decision.expected, panel.decision.noise)],
            )


def assert_lines(picture: Picture, number: int, limit: float, reference: float) -> None:
    up = picture.up(number)
    for look, value in (("c-limit", limit), ("c-reference", reference)):
        places = [
            float(each.attrib["d"].split(" ")[1].split("H")[0])
            for each in picture.of_class(look)
            if not each.attrib["d"].startswith("M-")
        ]
        assert sum(abs(place - up.at(value)) < 0.15 for place in places) == 1, (look, places, up.at(value))


def assert_bands(picture: Picture, number: int, bands: list[tuple[float, ...]]) -> None:
    up = picture.up(number)
    for look, (least, most) in zip(("c-expected", "c-noise"), bands, strict=True):
        ends = [
            (float(each.attrib["y"]), float(each.attrib["y"]) + float(each.attrib["height"]))
            for each in picture.of_class(look)
        ]
        assert any(abs(top - up.at(most)) < 0.2 and abs(low - up.at(least)) < 0.2 for top, low in ends), (look, ends)


def test_windows_begin_and_end_on_their_days() -> None:
    for name, day, look, first, last, beyond in (
        ("A02", "2025-04-21", "c-second", date(2025, 5, 5), date(2025, 6, 16), 0),
        ("A03", "2025-04-02", "c-early", date(2025, 3, 3), date(2025, 5, 1), 0),
        ("A01", "2025-04-21", "c-window", date(2025, 3, 24), date(2025, 4, 21), 9),
    ):
        picture = Picture(drawn_of(next(one for one, _, _ in VISITS if one.id == name), day))
        drawn_ones = [each for each in picture.of_class(look) if float(each.attrib["height"]) > 100]
        (window,) = drawn_ones
        left = float(window.attrib["x"])
        assert left == pytest.approx(across(picture, first) - beyond, abs=0.02)
        assert left + float(window.attrib["width"]) == pytest.approx(across(picture, last) + beyond, abs=0.03)


def test_bars_lie_between_their_days() -> None:
    scene = drawn_of(next(one for one, _, _ in VISITS if one.id == "A39"), "2025-05-05")
    picture = Picture(scene)
    (bar,) = (item for item in picture.items() if item.told.startswith("Cytotoxic"))
    assert (bar.day, bar.end) == ("2024-06-10", "2024-11-18")
    middle = (across(picture, date(2024, 6, 10)) + across(picture, date(2024, 11, 18))) / 2
    assert bar.place[0] == pytest.approx(middle, abs=0.02)


def test_folded_days_are_narrow_and_all_others_keep_one_pace() -> None:
    scene = drawn_of_chart(hard_cases.long_history())
    places = Across(scene)
    days = [scene.first + timedelta(days=n) for n in range((scene.last - scene.first).days + 1)]
    found = [places.at(day) for day in days]
    assert all(one < other for one, other in pairwise(found))
    open_steps = {
        round(other - one, 6)
        for day, (one, other) in zip(days, pairwise(found), strict=False)
        if not any(first <= day < last for first, last in scene.folds)
    }
    assert len(open_steps) == 1
    for first, last in scene.folds:
        assert places.at(last) - places.at(first) == pytest.approx(30)
    picture = Picture(scene)
    told = json.loads(picture.plot["data-folds"])
    assert [(fold["from"], fold["to"]) for fold in told] == [(str(first), str(last)) for first, last in scene.folds]
    assert [round(places.at(first), 2) for first, _ in scene.folds] == [fold["left"] for fold in told]
    assert "1,799 days" in [words for _, _, words in picture.words()]


@pytest.mark.parametrize(("name", "scene"), all_scenes(), ids=ids)
def test_every_picture_is_whole_and_the_same_each_time(name: str, scene: Scene) -> None:
    text = svg(scene)
    assert text == svg(scene)
    picture = Picture(scene, text)
    for shape in picture.root.iter():
        for attribute, most in (
            ("x", picture.width),
            ("cx", picture.width),
            ("y", picture.height),
            ("cy", picture.height),
        ):
            assert -10 <= float(shape.attrib.get(attribute, 0)) <= most + 1, shape.attrib
        assert not any(key == "style" or key.startswith("on") or "href" in key for key in shape.attrib)
        assert "nan" not in " ".join(shape.attrib.values()).split()
    kinds = {re.sub(r"\{.*\}", "", shape.tag) for shape in picture.root.iter()}
    assert kinds <= {"svg", "title", "desc", "style", "defs", "pattern", "rect", "path", "circle", "text", "g"}
    assert (picture.every("svg:desc")[0].text or "").strip() or not scene.panels + scene.lanes


def test_a_drawing_for_a_page_leaves_its_look_to_the_page() -> None:
    scene = drawn_of_chart(hard_cases.everything_at_once())
    text = svg(scene, styled=False, prefix="p7")
    assert "<style" not in text
    picture = Picture(scene, text)
    used = {look for shape in picture.root.iter() for look in shape.attrib.get("class", "").split()}
    assert all(look.startswith("c-") for look in used)
    named = [shape.attrib["id"] for shape in picture.root.iter() if "id" in shape.attrib]
    assert len(named) == len(set(named))
    assert all(name.startswith("p7-") for name in named)
    asked = set(re.findall(r"url\(#([^)]+)\)", text)) | set(picture.root.attrib["aria-labelledby"].split())
    assert asked <= set(named)


def test_every_class_has_a_look() -> None:
    style = drawing_style()
    plain = {"c-item", "c-pattern"}  # a name for scripts
    for _, scene in all_scenes():
        for shape in Picture(scene).root.iter():
            for look in shape.attrib.get("class", "").split():
                assert f".{look}" in style or look in plain, look
    assert "var(" not in svg(all_scenes()[0][1])
    light, dark, *_ = style.split("@media")
    assert "prefers-color-scheme:dark" in dark
    names = set(re.findall(r"var\((--c-[a-z0-9-]+)\)", style))
    assert all(f"{name}:" in light and f"{name}:" in dark for name in names)


def test_five_hundred_results_are_legible_and_quick() -> None:
    scene = drawn_of_chart(hard_cases.five_hundred())
    start = perf_counter()
    picture = Picture(scene)
    assert perf_counter() - start < 1.5
    assert len([item for item in picture.items() if "TRPC5" in item.told]) == 500
    radii = {float(each.attrib["r"]) for each in picture.of_class("c-point") if "cx" in each.attrib}
    assert radii == {1.8}
    assert len(picture.words()) < 60  # only what has a part in the finding has its figure beside it


def test_every_break_says_why() -> None:
    words = [words for _, _, words in Picture(drawn_of_chart(hard_cases.two_laboratories_in_turn())).words()]
    for why in ("other laboratory", "other laboratory and lot", "other lot", "other unit: a panel of its own"):
        assert why in words


def test_what_few_results_allow_is_said() -> None:
    for values, words in ((1, "one usable result: nothing to compare"), (2, "two results: a trend cannot be judged")):
        one = next(one for one, _, _ in VISITS if one.id == ("A48" if values == 1 else "A24"))
        text = svg(drawn_of(one, max(str(e.as_of) for e in one.expected)))
        assert words in text
    assert "trend cannot be judged" not in svg(drawn(EXAMPLE.read_bytes(), "2025-04-21"))
    assert "no results and no treatment recorded" in svg(drawn_of_chart(hard_cases.nothing()))


def test_the_legend_explains_both_bands_with_their_numbers() -> None:
    text = svg(drawn_of(next(one for one, _, _ in VISITS if one.id == "A01"), "2025-04-21"))
    words = " ".join(words for _, _, words in Picture(drawn(EXAMPLE.read_bytes(), "2025-04-21"), text).words())
    assert "the inner band is ×/÷ 1.49, the scatter of the measurement alone (analytical CV 20 %)" in words
    assert "the outer ×/÷ 2.03, with the person's own variation (CV 30 %; both assumed, no published value)" in words
    assert "Limit: the larger of 2.03 and the floor 2 times the reference" in words


def test_a_value_that_came_too_early_has_a_sign_of_its_own() -> None:
    signs: dict[str, set[str]] = {}
    for one, day, _ in VISITS:
        for sign, words in re.findall(
            r'<g transform="[^"]*">(<path[^>]*>)</g><text[^>]*>([^<]*)', svg(drawn_of(one, day))
        ):
            signs.setdefault(sign, set()).add(words)
    early = [words for words in signs.values() if any(one.endswith("too early to count") for one in words)]
    assert early
    assert all(one.endswith("too early to count") for words in early for one in words)


@given(st.floats(0.5, 900), st.sampled_from([0.9994, 0.9999, 1.0001, 1.0006]))
def test_the_latest_value_is_written_on_the_side_of_the_limit_on_which_it_lies(base: float, near: float) -> None:
    first = drawn_of_chart(chart(*series("trpc5-ev", {-4: base, 77: base})))
    (decision,) = [panel.decision for panel in first.panels]
    assert decision is not None
    value = decision.limit / 1e6 * near
    said = svg(drawn_of_chart(chart(*series("trpc5-ev", {-4: base, 77: value}))))
    limit, latest = (number_in(re.search(rf">{what} ([^ <]+) \(", said)) for what in ("limit", "latest"))
    assert (latest >= limit) is (near > 1), (base, value, limit, latest)


def number_in(found: re.Match[str] | None) -> float:
    assert found is not None
    return float(found[1].replace(",", ""))


def test_a_delta_ct_is_told_as_a_ratio() -> None:
    text = svg(drawn_of(next(one for one, _, _ in VISITS if one.id == "A13"), "2025-04-07"))
    assert "limit 3.01 ×" in text
    assert "a lower ΔCt is more" in text
    assert "{delta_Ct}" not in re.sub(r"<(title|desc).*?</\1>", "", text)


def test_characters_that_xml_forbids_or_that_turn_others_are_replaced() -> None:
    scene = drawn_of_chart(chart(lines=(Line("cytotoxic-chemotherapy", ("a\x00b\x1b\u202ec\ud800",), START),)))
    picture = Picture(scene)
    assert "a\ufffdb\ufffd\ufffdc\ufffd" in [words for _, _, words in picture.words()]


def test_text_of_a_record_is_inert() -> None:
    bundle = json.loads(EXAMPLE.read_text("utf-8"))
    for entry in bundle["entry"]:
        quantity = entry["resource"].get("valueQuantity")
        if quantity is not None:
            quantity["unit"] = quantity["code"] = hard_cases.HOSTILE
    for scene in (drawn(json.dumps(bundle).encode(), "2025-04-21"), drawn_of_chart(hard_cases.hostile())):
        picture = Picture(scene)
        kinds = {re.sub(r"\{.*\}", "", shape.tag) for shape in picture.root.iter()}
        assert kinds <= {"svg", "title", "desc", "style", "defs", "pattern", "rect", "path", "circle", "text", "g"}
        assert "<script" not in picture.text
