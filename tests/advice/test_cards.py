"""Cards are valid CDS Hooks whatever the record holds, and say what a card must say."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from fhir.resources.R4B import get_fhir_model_class
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from cds.advice.advisory import FIXED_SENTENCE, About, Advisory
from cds.advice.cards import Card, CardWriter, Occasion, is_shown
from cds.advice.markdown import escaped, link, plain, summed_up
from cds.advice.statements import Advisor
from cds.chart.model import Chart, Diagnosis, DrugCourse, Imaging, LeftOut, Line, Operation
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.rulebook import RuleBook
from tests.advice.charts import CLEAR, START, TRPC5_RISE, UNITS, chart, result, series
from tests.advice.conftest import CANONICAL, INSTANCE

FORBIDDEN = re.compile(r"\b(start\w*|stop\w*|switch\w*|escalat\w*|discontinu\w*|is resistant)\b", re.IGNORECASE)
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")
HOSTILE = (
    "<script>alert(1)</script>",
    "[click](https://evil.example)",
    "**bold** _it_ `code` | cell | ~~x~~ # head",
    "![x](https://evil.example/x.png)",
    "<https://evil.example>",
    "line\n\n# heading\n- item\n<b>",
    "&lt;b&gt; \\[x](y) \u202egnp.exe",
    "www.evil.example http://evil.example a@evil.example",
)

Write = Callable[[Chart], list[Card]]


# charts of every kind ----------------------------------------------------------------------------------------------

THERAPIES = ("cytotoxic-chemotherapy", "endocrine-therapy", "anti-pd-1", "anti-pd-l1", "her2-targeted")
texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=60))
maybe = st.sampled_from([True, True, True, False, None])


@st.composite
def charts(draw: st.DrawFn) -> Chart:
    results = []
    for marker in draw(st.lists(st.sampled_from(sorted(UNITS)), min_size=1, max_size=2, unique=True)):
        days = draw(st.lists(st.integers(-45, 180), min_size=1, max_size=5, unique=True))
        for day in sorted(days):
            checks = {name: good for name, good in CLEAR.items() if draw(st.integers(0, 14)) > 0}
            value = draw(st.sampled_from([2.0, 2.1, 2.2, 5.0, 6.0, 9.0]))
            more: dict[str, Any] = {"checks": checks}
            if draw(st.integers(0, 4)) == 0:
                more |= {"shown": draw(texts), "ref": f"Observation/{draw(texts)}", "lot": draw(texts) or None}
            if draw(st.integers(0, 9)) == 0:
                more["faults"] = frozenset([draw(st.sampled_from(["no-unit", "conflict", "unreadable-value"]))])
            below = draw(st.integers(0, 9)) == 0
            total_ev = draw(st.sampled_from([1.1e10, 1.1e10, 1.1e10, None]))
            results.append(result(marker, day, value, below=below, total_ev=total_ev, **more))
    drugs = (draw(st.sampled_from(["paclitaxel", "tamoxifen", *HOSTILE])),)
    lines = [
        Line(therapy, drugs, START, extent=draw(st.sampled_from(["known", "assumed-ongoing"])), neoadjuvant=draw(maybe))
        for therapy in draw(st.lists(st.sampled_from(THERAPIES), max_size=2, unique=True))
    ]
    imaging = [
        Imaging(
            START + timedelta(days=draw(st.integers(0, 180))), draw(st.sampled_from(["CR", "PR", "SD", "PD", "iUPD"]))
        )
        for _ in range(draw(st.integers(0, 2)))
    ]
    return chart(
        *results,
        as_of=200,
        lines=lines,
        operations=[Operation(START, curative=True)] if draw(st.booleans()) else [],
        imaging=imaging,
        diagnosis=Diagnosis(draw(maybe), metastatic=draw(maybe), er=draw(maybe), pr=draw(maybe), her2=draw(maybe)),
        left_out=[
            LeftOut("Bundle.entry[1]", draw(texts), draw(texts), draw(texts)) for _ in range(draw(st.integers(0, 2)))
        ],
        unmapped=tuple(draw(st.lists(texts, max_size=2))),
        sex=draw(st.sampled_from(["male", "female", None])),
    )


def walk(value: Any) -> Iterator[Any]:
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(inner)


def check_card(card: Card) -> None:
    """Rows A5-A8 and G1-G34 of the conformance checklist, as far as they bind a service that only advises."""
    for value in walk(card):
        assert value is not None
        assert value not in ("", [], {})
        assert not (isinstance(value, str) and not value.strip())
    assert card.keys() <= {
        *("uuid", "summary", "detail", "indicator", "source", "suggestions", "selectionBehavior"),
        *("overrideReasons", "links"),
    }
    assert card["uuid"] == str(uuid.UUID(card["uuid"]))
    assert 1 <= len(card["summary"]) < 140
    assert "\n" not in card["summary"]
    assert card["indicator"] in ("info", "warning")
    source = card["source"]
    assert source["label"]
    assert source.get("url", "https://").startswith("https://")
    assert source["topic"].keys() == {"code", "system", "display"}
    assert ("suggestions" in card) == ("selectionBehavior" in card)
    assert card.get("selectionBehavior", "at-most-one") == "at-most-one"
    for reason in card["overrideReasons"]:
        assert reason.keys() == {"code", "system", "display"}
    for suggestion in card.get("suggestions", ()):
        assert suggestion.keys() == {"label", "uuid", "actions"}
        assert suggestion["uuid"] == str(uuid.UUID(suggestion["uuid"]))
        for action in suggestion["actions"]:
            assert action.keys() == {"type", "description", "resource"}
            assert action["type"] == "create"
            assert action["resource"]["resourceType"] in ("ServiceRequest", "Task")
            assert action["resource"]["status"] == "draft"
            assert action["resource"]["intent"] == "proposal"
            assert "id" not in action["resource"]
    for one in card.get("links", ()):
        assert one.keys() == {"label", "url", "type"}
        assert (one["type"], one["url"][:8]) == ("absolute", "https://")
    check_detail(card["detail"])


def check_detail(detail: str) -> None:
    """G3: Markdown without HTML, images or foreign links, and with the fixed sentence."""
    assert FIXED_SENTENCE in detail
    for token in MARKDOWN.parse(detail):
        assert token.type != "html_block"
        for inner in token.children or ():
            assert inner.type not in ("html_inline", "image", "code_inline", "s_open")
            if inner.type == "link_open":
                assert re.match(r"https://(doi\.org|pubmed\.ncbi|pmc\.ncbi)", str(inner.attrGet("href")))
    assert "www." not in detail
    assert all(address.startswith("](https://") for address in re.findall(r".{0,2}https?://", detail))


@settings(max_examples=150, deadline=None)
@given(charts())
def test_every_card_conforms(book: RuleBook, reasoner: Reasoner, one: Chart) -> None:
    advisories = Advisor(book).advisories(reasoner.evaluate(one))
    writer = CardWriter(book, CANONICAL, "https://site.example/exowatch")
    cards = writer.cards(advisories, Occasion(INSTANCE, one.patient))
    for card in cards:
        check_card(card)
    ids = [value["uuid"] for value in walk(cards) if isinstance(value, dict) and "uuid" in value]
    assert len(ids) == len(set(ids))
    assert len(cards) == sum(map(is_shown, advisories))
    assert [said.rank for said in advisories] == sorted(said.rank for said in advisories)
    for said in advisories:
        check_advisory(said)


def check_advisory(said: Advisory) -> None:
    assert said.certainty in ("", "very low", "low")
    assert said.state not in ("suspected", "persistent") or said.certainty
    assert len(said.headline) < 140
    assert not said.headline.endswith("…")
    for text in (said.headline, said.explanation, *said.would_change, *said.notes, *said.limitations):
        assert not FORBIDDEN.search(text)
    for option in said.options:
        assert not FORBIDDEN.search(option.text)
        assert option.sources
    for change in said.changes:
        assert change.built
        assert change.reference_value
        assert change.fold.endswith("×")
    assert not {"out-of-scope", "no-flag", "background", "not-applicable"} & {said.state} or not said.indicator


# what a card says --------------------------------------------------------------------------------------------------

REQUIRED = (
    "### Values", "21 Apr 2025 (day 105): TRPC5-EV **6.3 × 10⁶/mL**", "total EV 1.1 × 10¹⁰ particles/mL", "method plasma, EDTA, SEC",
    "laboratory EV laboratory", "### Change and limit", "**3.32 ×** of the reference", "Z 1.645", "analytical CV 20 %",
    "within-person CV 30 %", "no published value", "Rule trpc5-rise-on-chemotherapy, version", "since 23 Nov 2026",
    "### Treatment", "paclitaxel", "day 105", "### Checks", "Passed: adult with invasive breast cancer", "### What would change this",
    "### Evidence", "Number: 26", "Number: not verified", "Certainty: OCEBM level 4, GRADE very low", "Directness to this patient",
    "Status: active", "### Evidence against it", "### Limitations", "### What else could cause it", "### Options to consider",
    "### Not for", "children", "Developer:", "Funding:", "not used: race", "Data as of 21 Apr 2025", "Research use. Not a medical device.",
)  # fmt: skip


@pytest.mark.parametrize("part", REQUIRED)
def test_a_card_shows_what_every_card_must_show(write: Write, part: str) -> None:
    (card,) = write(chart(*series("trpc5-ev", TRPC5_RISE)))
    assert part in card["detail"]


def test_the_source_is_the_primary_study(write: Write) -> None:
    (card,) = write(chart(*series("trpc5-ev", TRPC5_RISE)))
    assert card["source"] == {
        "label": "Wang T, Ning K, Lu T, et al. Cancer Sci 2017;108:448-454",
        "url": "https://doi.org/10.1111/cas.13150",
        "topic": {"code": "trpc5-ev", "system": f"{CANONICAL}/CodeSystem/exosomal-marker", "display": "TRPC5-EV"},
    }


def test_figures_from_memory_never_appear(write: Write) -> None:
    lines = [Line("anti-pd-l1", ("atezolizumab",), START)]
    cards = write(
        chart(*series("pdl1-ev", {-4: 60, 70: 200, 100: 210}, checks=CLEAR | {"drug-tolerance": False}), lines=lines)
    )
    assert [card["summary"] for card in cards] == ["EV-PD-L1: cannot be judged (a drug that binds the analyte)"]
    assert not re.search(r"\b135\b", cards[0]["detail"])  # and not within a hash
    cards = write(
        chart(*series("pdl1-ev", {-4: 60, 70: 200, 100: 210}), lines=[Line("anti-pd-1", ("pembrolizumab",), START)])
    )
    assert "2.43" not in cards[0]["detail"]
    assert "n = 44" not in cards[0]["detail"]


@pytest.mark.parametrize(
    ("values", "indicator"),
    [
        ({-4: 2.0, 77: 2.1}, None),
        ({-4: 2.0}, None),
        ({-4: 2.0, 30: 5.6}, "info"),
        ({-4: 2.0, 77: 5.6}, "info"),
        (TRPC5_RISE, "warning"),
    ],
)
def test_only_states_with_a_card_have_one(write: Write, values: dict[int, float], indicator: str | None) -> None:
    assert [card["indicator"] for card in write(chart(*series("trpc5-ev", values)))] == (
        [indicator] if indicator else []
    )


def test_suggestions_are_valid_drafts_that_touch_no_drug(write: Write) -> None:
    (card,) = write(chart(*series("trpc5-ev", TRPC5_RISE)))
    resources = [action["resource"] for suggestion in card["suggestions"] for action in suggestion["actions"]]
    assert [resource["resourceType"] for resource in resources] == ["ServiceRequest", "Task"]
    for resource in resources:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)


def test_calls_differ_in_their_identifiers_and_in_nothing_else(book: RuleBook, reasoner: Reasoner) -> None:
    advisories = Advisor(book).advisories(reasoner.evaluate(chart(*series("trpc5-ev", TRPC5_RISE))))
    writer = CardWriter(book, CANONICAL)
    (one,), (same,), (other,) = (
        writer.cards(advisories, Occasion(instance, "Patient/123"))
        for instance in (INSTANCE, INSTANCE.upper(), str(uuid.uuid4()))
    )
    assert one == same
    assert one["uuid"] != other["uuid"]
    assert one["detail"] == other["detail"]


def test_an_order_of_the_class_is_named_first(book: RuleBook, reasoner: Reasoner) -> None:
    advisories = Advisor(book).advisories(reasoner.evaluate(chart(*series("trpc5-ev", TRPC5_RISE))))
    writer = CardWriter(book, CANONICAL)

    def detail(ordered: dict[str, tuple[str, ...]]) -> str:
        (card,) = writer.cards(advisories, Occasion(INSTANCE, "Patient/123", "Encounter/1", ordered))
        check_card(card)
        return str(card["detail"])

    assert detail({"cytotoxic-chemotherapy": ("<b>eribulin",)}).startswith(
        "The order at hand holds &lt;b&gt;eribulin, another drug of the same class"
    )
    assert "order at hand" not in detail({"endocrine-therapy": ("letrozole",)})
    both = detail({"cytotoxic-chemotherapy": ("paclitaxel", "capecitabine")}).split("\n\n")[0]
    assert "holds paclitaxel, of the treatment itself that this card is about" in both
    assert "It also holds capecitabine, another drug of the same class" in both
    assert both.endswith("Review this card before signing; it is information, not an instruction.")


def test_an_order_of_a_drug_that_has_ended_is_not_one_that_goes_on(book: RuleBook, reasoner: Reasoner) -> None:
    courses = (
        DrugCourse("doxorubicin", START, START + timedelta(days=42)),
        DrugCourse("paclitaxel", START + timedelta(days=49), None),
    )
    line = Line("cytotoxic-chemotherapy", ("doxorubicin", "paclitaxel"), START, courses=courses)
    advisories = Advisor(book).advisories(reasoner.evaluate(chart(*series("trpc5-ev", TRPC5_RISE), lines=[line])))
    ordered = {"cytotoxic-chemotherapy": ("paclitaxel", "doxorubicin", "capecitabine")}
    (card,) = CardWriter(book, CANONICAL).cards(advisories, Occasion(INSTANCE, "Patient/123", "Encounter/1", ordered))
    said = card["detail"].split("\n\n")[0]
    assert "holds paclitaxel, of the treatment itself" in said
    assert "It also holds doxorubicin, given earlier in the treatment" in said
    assert "It also holds capecitabine, another drug of the same class" in said
    assert "the treatment that this card is about holds paclitaxel." in said


def test_of_many_values_those_that_matter_are_listed(write: Write) -> None:
    """Two hundred samples between the reference and the rise: a narrow column has room for few of them."""
    between = {day: 2.0 + (day % 3) / 10 for day in range(-40, 160)}
    (card,) = write(chart(*series("trpc5-ev", between | {165: 6.0, 190: 6.3}), as_of=195))
    check_card(card)
    values = card["detail"].split("### Values\n\n")[1].split("\n\n")[0].splitlines()
    shown = [line for line in values if "TRPC5-EV **" in line]
    assert len(shown) == 16
    assert "latest" in shown[-1]
    hidden = next(int(line.split()[2]) for line in values if "which are not listed here" in line)
    assert hidden > 0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a <b>x</b> [a](http://e.vil)", "a ‹b›x‹/b› [a] (http\u2060://e.vil)"),
        ("below <0.5 10*6/mL, > 2", "below <0.5 10*6/mL, > 2"),
        ("<script>", "‹script›"),
        ("x" * 200, "x" * 138 + "…"),
    ],
)
def test_a_summary_holds_no_markup(text: str, shown: str) -> None:
    assert summed_up(text) == shown


def test_what_a_record_says_marks_up_no_summary(write: Write) -> None:
    sent = "<b>x</b> [a](http://e.vil)"
    cards = write(chart(*series("trpc5-ev", {-4: 2.0}), result("trpc5-ev", 77, 5.6, laboratory=sent)))
    assert any("‹b›x‹/b› [a] (http" in card["summary"] for card in cards), [card["summary"] for card in cards]
    assert not any(re.search(r"<[a-z/]|\]\(|http:", card["summary"]) for card in cards)


def test_a_study_of_which_nobody_has_checked_whether_it_was_retracted_is_not_called_active(write: Write) -> None:
    (card,) = write(chart(*series("trpc5-ev", TRPC5_RISE)))
    wang, ma = [line for line in card["detail"].splitlines() if "Wang T, Ning K" in line or "Ma X, et al." in line]
    assert "cas.13150), read only as cited in a review. Design" in wang
    assert "Status: retraction status not checked." in wang
    assert "Status: active, last checked 23 Nov 2026." in ma


def test_a_card_says_that_there_are_results_which_it_does_not_list(write: Write) -> None:
    """Of what cannot be judged only some values are listed: nobody is to take these for all."""
    rise = series("trpc5-ev", TRPC5_RISE)
    (card,) = write(chart(*rise, lines=()))
    assert "cannot be judged" in card["summary"]
    values = card["detail"].split("### Values\n\n")[1].split("\n\n")[0].splitlines()
    shown = sum("TRPC5-EV **" in line for line in values)
    assert shown < len(rise)
    assert f"- and {len(rise) - shown} more results of TRPC5-EV on record, not shown here" in values
    (card,) = write(chart(*series("trpc5-ev", {-4: 2.0, 77: 5.6, 105: 6.3})))
    assert "not shown here" not in card["detail"]


def test_a_rule_in_shadow_is_shown_to_nobody(book: RuleBook, reasoner: Reasoner) -> None:
    evaluation = reasoner.evaluate(chart(*series("trpc5-ev", TRPC5_RISE)))
    shadow = msgspec.structs.replace(
        evaluation,
        findings=tuple(
            msgspec.structs.replace(one, rule=replace(one.rule, status="shadow")) for one in evaluation.findings
        ),
    )
    advisories = Advisor(book).advisories(shadow)
    assert [said.state for said in advisories] == ["suspected"]
    assert CardWriter(book, CANONICAL).cards(advisories, Occasion(INSTANCE, "Patient/123")) == []


# text that is inserted ---------------------------------------------------------------------------------------------


@given(st.text())
def test_inserted_text_is_never_markup(text: str) -> None:
    paragraphs = MARKDOWN.parse(f"- before {escaped(text)} after")
    kinds = {inner.type for token in paragraphs for inner in token.children or ()}
    assert kinds <= {"text", "text_special"}
    assert "".join(inner.content for token in paragraphs for inner in token.children or ()).replace("\u2060", "") == (
        " ".join(f"before {plain(text)} after".split(" "))
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_it_was_written(text: str) -> None:
    assert "\n" not in escaped(text)
    assert "<" not in escaped(text)
    assert not re.search(r"(www\.|\w://|\w@)", escaped(text))


def test_the_address_that_a_site_gives_for_questions_can_be_copied(book: RuleBook, reasoner: Reasoner) -> None:
    about = About(contact="cds-team@hospital.example, https://hospital.example/cds")
    advisories = Advisor(book, about).advisories(reasoner.evaluate(chart(*series("trpc5-ev", TRPC5_RISE))))
    (card,) = CardWriter(book, CANONICAL).cards(advisories, Occasion(INSTANCE, "Patient/123"))
    assert "Contact: cds-team@hospital.example, https://hospital.example/cds." in card["detail"]


def test_only_https_addresses_become_links() -> None:
    assert (
        link("a]b", "https://doi.org/10.1016/S0140-6736(16)1") == "[a\\]b](https://doi.org/10.1016/S0140-6736%2816%291)"
    )
    assert link("a", "javascript:alert(1)") == "a"
    assert link("a", "") == "a"
