"""One rule book and one reasoner for all tests of the advice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cds.advice.advisory import Advisory
from cds.advice.cards import Card, CardWriter, Occasion
from cds.advice.statements import Advisor
from cds.chart.model import Chart
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.rulebook import RuleBook

CANONICAL = "https://exowatch.example/fhir"
INSTANCE = "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea"


@pytest.fixture(scope="session")
def book() -> RuleBook:
    return default_rulebook()


@pytest.fixture(scope="session")
def reasoner(book: RuleBook) -> Reasoner:
    return Reasoner(book)


@pytest.fixture(scope="session")
def advise(book: RuleBook, reasoner: Reasoner) -> Callable[[Chart], tuple[Advisory, ...]]:
    advisor = Advisor(book)
    return lambda chart: advisor.advisories(reasoner.evaluate(chart))


@pytest.fixture(scope="session")
def write(book: RuleBook, advise: Callable[[Chart], tuple[Advisory, ...]]) -> Callable[[Chart], list[Card]]:
    writer = CardWriter(book, CANONICAL)
    return lambda chart: writer.cards(advise(chart), Occasion(INSTANCE, chart.patient))
