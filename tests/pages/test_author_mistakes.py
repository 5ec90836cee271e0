"""What cannot be read at `/author` is refused where it was typed, in words, and no slider leads there."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pages.boards import Browser, text_of
from tests.pages.test_author import HER2, OWN, RISE, asked, opened


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    database, browser = opened(tmp_path_factory.mktemp("author"))
    with closing(database):
        yield browser


def test_a_slider_ends_at_values_that_a_laboratory_can_measure(author: Browser) -> None:
    synthetic = re.search(r'value="(synthetic \d+)"', author.get(f"{OWN}/try"))
    assert synthetic
    for rule, patient in ((OWN, {"patient": RISE}), (OWN, {"patient": synthetic[1]}), (HER2, {})):
        sliders = re.findall(
            r'data-field="v([^"]+)"[^>]* min="([^"]+)" max="([^"]+)" step="([^"]+)"',
            author.get(f"{rule}/try?{urlencode(patient)}"),
        )
        assert sliders
        for end in (1, 2):
            ask = {**patient, **{f"v{one[0]}": one[end] for one in sliders}}
            assert "Nothing was evaluated" not in asked(author, f"{rule}/try", **ask)
        assert all(float(least) == float(step) > 0 for _, least, _, step in sliders)  # on its own steps


def test_a_refusal_stands_in_the_bar_and_beside_its_field(author: Browser) -> None:
    page = author.get(f"{OWN}/try?{urlencode({'patient': RISE, 'v77': '0', 'day': 'soon'})}", 422)
    bar = html.unescape(page.partition('id="said"')[2].partition(">")[2].partition("</p>")[0])
    assert bar == (
        "Nothing was evaluated. day 77, TRPC5-EV: “0” is zero, which no laboratory can measure. "
        "Write the limit of detection as <0.5, or leave the sample out. And 1 more."
    )
    for field, why in (("v77", "“0” is zero"), ("day", "“soon” is no day")):
        assert re.search(rf'<input [^>]*id="{field}"[^>]* aria-invalid="true" aria-describedby="why-{field}"', page)
        beside = re.search(rf'<small id="why-{field}" [^>]*data-why="{field}">(.*?)</small>', page)
        assert beside
        assert why in re.sub("<[^>]+>", "", beside[1])
    assert re.search(r'<small id="why-v42"[^>]* hidden></small>', page)
    page = author.get(f"{OWN}/limits?limit.rise.floor=two&limit.rise.confidence=sure", 422)
    for field, why in (("limit.rise.floor", "“two” is no number"), ("limit.rise.confidence", "“sure” is none of")):
        assert re.search(rf'<(input|select) [^>]*id="{field}"[^>]* aria-describedby="why-{field}"', page)
        assert why in page.partition(f'id="why-{field}"')[2].partition("</small>")[0]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"v77": "abc"}, "day 77, TRPC5-EV : “abc” is no number. Write digits"),
        ({"v77": "-3"}, "day 77, TRPC5-EV : “-3” is negative"),
        ({"v77": "5,6"}, "day 77, TRPC5-EV : “5,6” has a comma. Write a point"),
        ({"v77": ""}, "day 77, TRPC5-EV : No value is stated."),
        ({"v77": "0"}, "day 77, TRPC5-EV : “0” is zero"),
        ({"v77": "1e99"}, "day 77, TRPC5-EV : “1e99” is farther away than can be meant"),
        ({"v77": "<script>"}, "day 77, TRPC5-EV : “<script>” is no number"),
        ({"day": "soon"}, "Asked on day : “soon” is no day"),
        ({"day": "99999"}, "Asked on day : “99999” is no day"),
        ({"v999": "3"}, "there is no sample on day 999"),
        ({"limit.rise.floor": "two"}, "limit rise, floor : “two” is no number"),
        ({"limit.rise.floor": "0.5"}, "limit rise, floor : “0.5” is below 1"),
        ({"limit.rise.floor": "-2"}, "limit rise, floor : “-2” is negative"),
        ({"limit.rise.confidence": "sure"}, "limit rise, confidence : “sure” is none of the levels"),
        ({"limit.apart.from": "a week"}, "limit apart, from : “a week” is no number of days"),
        ({"limit.apart.to": "99999999 d"}, "limit apart, to : “99999999 d” is farther away"),
        ({"limit.apart.from": "90 d"}, "the window ends before it begins (EX217) exchange 'from' and 'to'"),
    ],
)
def test_what_cannot_be_read_is_said_with_what_to_do_and_is_kept(
    author: Browser, query: dict[str, str], words: str
) -> None:
    ask = {"patient": RISE, **query}
    page = author.get(f"{OWN}/try?{urlencode(ask)}", 422)
    told = html.unescape(text_of(page))
    assert words in told
    assert "Nothing was evaluated" in told
    assert "<svg" not in page
    assert not re.search(r'class="chip (?!not-asked)', page)
    (name, typed), *_ = query.items()
    if name in ("v77", "day"):
        assert f'name="{name}" value="{html.escape(typed)}"' in page


def test_what_is_not_there_is_said_to_be(author: Browser) -> None:
    assert "no case or patient “nobody”" in asked(author, f"{OWN}/try", 404, patient="nobody")
    assert "no case or patient “synthetic 300”" in asked(author, f"{OWN}/try", 404, patient="synthetic 300")
    for rest in ("", "/try", "/limits"):
        assert "the rule book in use has no rule “none”" in asked(author, f"/author/rules/none{rest}", 404)


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.sampled_from(
            ["v77", "v-4", "x42", "day", "patient", "limit.rise.floor", "limit.apart.to", "v105", "vx", "limit.x"]
        ),
        st.one_of(
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30),
            st.floats().map(str),
            st.integers().map(str),
            st.sampled_from(["<1", "1e9", "3 d", "5 w"]),
        ),
    )
)
def test_no_address_is_too_much(author: Browser, query: dict[str, str]) -> None:
    answer = author.http.get(f"{OWN}/try", params={"patient": RISE, **query})
    assert answer.status_code in (200, 404, 422), (query, answer.status_code)
    assert ("Nothing was evaluated" in answer.text) is (answer.status_code == 422 or 'id="now"' not in answer.text)
