"""Words and rules fit: what is raised has words, what has words is raised, and words that are wrong break no card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from cds.advice.advisory import Advisory
from cds.advice.statements import Advisor
from cds.chart.model import Chart, Line
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.rulebook import RuleBook
from tests.advice.charts import START, TRPC5_RISE, chart, series

Advise = Callable[[Chart], tuple[Advisory, ...]]

BY_CODE = {"default-variation", "confirmation-overdue", "treatment-ended"}
"""Notes that no rule file raises: `Advisor` does."""

CODE_GATES = {"timing", "magnitude", "confirmation", "imaging", "evidence"}
"""Gates that a rule's own facts make up."""


def notes(book: RuleBook) -> set[str]:
    return {clause.note for rule in book.rules for clause in rule.clauses if clause.note} | BY_CODE


def options(book: RuleBook) -> set[str]:
    return {option for rule in book.rules for options in rule.advise.values() for option in options}


def gate_facts(book: RuleBook) -> set[str]:
    return {spec.name for gate in book.gates for spec, _, _ in gate.fails_on}


def facts(book: RuleBook) -> set[str]:
    return {spec.name for rule in book.rules for spec in rule.facts}


def test_every_note_and_option_is_raised_and_has_words(book: RuleBook) -> None:
    assert set(book.wording["cards"]["notes"]) == notes(book)
    assert set(book.wording["advice"]["options"]) == options(book)


def test_every_label_is_of_something_that_rules_know(book: RuleBook) -> None:
    labels = book.wording["labels"]
    assert set(labels["gates"]) == {gate.name for gate in book.gates} | CODE_GATES
    assert set(labels["failures"]) == gate_facts(book) | {"undated-as-sent", "conflict-of-specimen"}
    assert set(labels["settled"]) <= set(labels["failures"])
    assert set(labels["facts"]) <= facts(book)
    assert facts(book) <= set(labels["facts"]) | set(labels["failures"])
    assert set(labels["missing"]) <= facts(book) | set(book.windows.elements) | {"laboratory", "lot", "operation"}


def test_every_key_of_the_wording_is_one_that_code_reads(book: RuleBook) -> None:
    assert set(book.wording["advice"]) == {"options", "override_system", "overrides"}
    assert set(book.wording["labels"]) == {"gates", "failures", "facts", "missing", "settled", "certainty"}
    assert set(book.wording["cards"]) == {
        *(
            "fixed_sentence",
            "states",
            "by_rule",
            "by_note",
            "notes",
            "not_for",
            "attributes",
            "about",
            "limitations",
            "assumed_variation",
        ),
        "changes",  # for open, closed and superseded advice; withdrawn advice has a card of its own
    }


# headlines that cannot be filled -------------------------------------------------------------------------------------


def with_headline(book: RuleBook, headline: Any, *, of_rule: bool) -> RuleBook:
    """The rule book with another headline for a suspicion, of all rules or of TRPC5's alone."""
    cards: Mapping[str, Any] = book.wording["cards"]
    rule = "trpc5-rise-on-chemotherapy"
    if of_rule:
        by_rule = cards["by_rule"] | {rule: cards["by_rule"][rule] | {"suspected": headline}}
        return replace(book, wording={**book.wording, "cards": {**cards, "by_rule": by_rule}})
    states = cards["states"] | {"suspected": cards["states"]["suspected"] | {"headline": headline}}
    return replace(book, wording={**book.wording, "cards": {**cards, "states": states}})


@pytest.mark.parametrize("of_rule", [True, False])
@pytest.mark.parametrize(
    "headline",
    [
        *("{marker}: suspected {suspision}", "{}", "{0} is suspected", "{marker", "marker}: suspected", "{{marker}}"),
        *("{marker.__class__}", "{marker!r}: suspected", "{marker:>300}", "{marker[0]}", ["a list"], {"a": "mapping"}),
    ],
)
def test_a_headline_that_cannot_be_filled_falls_back_on_the_state(
    book: RuleBook, reasoner: Reasoner, headline: Any, of_rule: bool
) -> None:
    spoilt = with_headline(book, headline, of_rule=of_rule)
    (said,) = Advisor(spoilt).advisories(reasoner.evaluate(chart(*series("trpc5-ev", TRPC5_RISE))))
    assert said.headline == "TRPC5-EV: suspected"
    assert said.state == "suspected"


def test_braces_in_what_is_filled_in_are_shown_as_they_are(book: RuleBook, reasoner: Reasoner) -> None:
    cards = book.wording["cards"]
    rule = "trpc5-rise-on-chemotherapy"
    by_rule = cards["by_rule"] | {rule: {"suspicion": "resistance to {marker} and {"}}
    braced = replace(book, wording={**book.wording, "cards": {**cards, "by_rule": by_rule}})
    (said,) = Advisor(braced).advisories(reasoner.evaluate(chart(*series("trpc5-ev", TRPC5_RISE))))
    assert said.headline.startswith("TRPC5-EV: suspected resistance to {marker} and { (investigational")


def test_that_the_evidence_is_of_other_cancers_stands_in_the_first_sentence(advise: Advise) -> None:
    pembrolizumab = [Line("anti-pd-1", ("pembrolizumab",), START)]
    for values, state in (({-4: 100, 14: 100, 70: 400, 100: 450}, "suspected"), ({-4: 100, 14: 100, 70: 400}, "watch")):
        (said,) = advise(chart(*series("pdl1-ev", values), lines=pembrolizumab))
        assert said.state == state
        assert said.explanation.startswith(
            "No study of this marker in breast cancer under a checkpoint inhibitor was found"
        )


def test_a_watch_says_what_keeps_it_from_the_suspicion(advise: Advise) -> None:
    (said,) = advise(chart(*series("trpc5-ev", {-4: 2.0, 77: 5.6})))
    assert said.state == "watch"
    assert said.explanation.endswith("What keeps it from “suspected”: not the case: confirmed by a second sample.")
