"""Advisories as CDS Hooks cards: valid in CDS Hooks 1.1, 2.0 and 3.0 alike, readable from the summary alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cds.advice.advisory import Advisory, Option
from cds.advice.detail import detail
from cds.advice.markdown import summed_up
from cds.advice.orders import about_orders
from cds.advice.wording import Wording
from cds.chart.model import LeftOut
from cds.legible import legible
from cds.reasoning.rulebook import RuleBook

Card = dict[str, Any]

_CARDS = uuid.UUID("6f0c6a0e-58d5-5c0d-9f2b-2f8a6e1d7c43")
"""Namespace of the identifiers of cards and suggestions."""

_QUIET = ("data-quality", "not-evaluable")
_REPEATS, _BOARD = ("repeat-same-method", "repeat-once-judged", "repeat-after-surgery"), "discuss-at-board"


@dataclass(frozen=True, slots=True)
class Occasion:
    """The call that cards answer: its hook instance, and what the user is about to do."""

    hook_instance: str
    patient: str  # "Patient/123"
    encounter: str = ""  # "Encounter/123"
    ordered: Mapping[str, Sequence[str]] = field(default_factory=dict)  # therapy class → drugs in the orders at hand
    launch: str = ""  # where the EHR can launch the board, as a SMART app; "" if it cannot
    unread: tuple[LeftOut, ...] = ()  # orders at hand of which nobody knows what they hold, and why


class CardWriter:
    """Writes cards in the words of a rule book, with codes under a site's canonical base.

    `pages` is the address under which the site publishes its rules ("" for none): cards link to `{pages}/rules/{rule}`.
    `override_reasons` are the code system of the reasons for not following, and its codes.
    """

    def __init__(self, book: RuleBook, canonical: str, pages: str = ""):
        self._words = Wording(book)
        self._canonical = canonical.rstrip("/")
        self._pages = pages.rstrip("/")
        name, reasons = self._words.overrides()
        system = f"{self._canonical}/CodeSystem/{name}"
        self.override_reasons = (system, frozenset(reasons))
        self._overrides = [{"code": code, "system": system, "display": label} for code, label in reasons.items()]

    def cards(self, advisories: Iterable[Advisory], occasion: Occasion, earlier: str = "") -> list[Card]:
        """One card for each advisory that has one, the first in precedence first; empty if there is nothing to say.

        `earlier` says what was found before and stands beside them (`cds.advice.reminder`), as far as whoever asks knows.
        """
        shown = sorted(filter(is_shown, advisories), key=lambda said: (said.rank, said.markers, said.rule.name))
        return [self._card(advisory, occasion, earlier) for advisory in shown]

    def _card(self, advisory: Advisory, occasion: Occasion, earlier: str) -> Card:
        seed = f"{occasion.hook_instance.lower()}|{advisory.patient}|{advisory.digest}"
        card: Card = {
            "uuid": str(uuid.uuid5(_CARDS, seed)),
            "summary": summed_up(legible(advisory.headline)),
            "detail": detail(advisory, about_orders(advisory, occasion.ordered, occasion.unread), earlier),
            "indicator": advisory.indicator,
            "source": self._source(advisory),
        }
        if suggestions := self._suggestions(advisory, occasion, seed):
            card |= {"suggestions": suggestions, "selectionBehavior": "at-most-one"}
        if self._overrides:
            card["overrideReasons"] = [dict(reason) for reason in self._overrides]
        if links := list(self._links(advisory, occasion)):
            card["links"] = links
        return card

    def _links(self, advisory: Advisory, occasion: Occasion) -> Iterator[dict[str, str]]:
        if occasion.launch:
            yield {"label": "The course on the board", "url": occasion.launch, "type": "smart"}
        if self._pages:
            address = f"{self._pages}/rules/{advisory.rule.name}"
            yield {"label": "The rule, its limits and its evidence", "url": address, "type": "absolute"}

    def _source(self, advisory: Advisory) -> dict[str, Any]:
        """The primary study that speaks for the finding, and the marker as its topic."""
        studies = advisory.evidence
        source: dict[str, Any] = {"label": studies[0].citation if studies else advisory.rule.title}
        if studies and studies[0].link:
            source["url"] = studies[0].link
        marker, name = advisory.markers[0], advisory.marker_names[0]
        source["topic"] = {"code": marker, "system": f"{self._canonical}/CodeSystem/exosomal-marker", "display": name}
        return source

    # drafts --------------------------------------------------------------------------------------------------------

    def _suggestions(self, advisory: Advisory, occasion: Occasion, seed: str) -> list[dict[str, Any]]:
        """Drafts for what may be considered; nothing that touches a drug, and nothing preselected."""
        drafts = {**dict.fromkeys(_REPEATS, self._repeat), _BOARD: self._board}
        return [
            {
                "label": option.label,
                "uuid": str(uuid.uuid5(_CARDS, f"{seed}|{option.key}")),
                "actions": [
                    {"type": "create", "description": legible(option.text), "resource": draft}
                    for draft in drafts[option.key](advisory, option, occasion)
                ],
            }
            for option in advisory.options
            if option.key in drafts
        ]

    def _repeat(self, advisory: Advisory, option: Option, occasion: Occasion) -> list[dict[str, Any]]:
        days = {"start": option.first, "end": option.last}
        period = {key: day.isoformat() for key, day in days.items() if day is not None}
        return [
            {
                "resourceType": "ServiceRequest",
                "status": "draft",
                "intent": "proposal",
                "code": {
                    "coding": [
                        {"system": f"{self._canonical}/CodeSystem/exosomal-marker", "code": marker, "display": name}
                    ],
                    "text": f"Repeat {name}, same laboratory, specimen type and method",
                },
                "subject": {"reference": occasion.patient},
                **({"encounter": {"reference": occasion.encounter}} if occasion.encounter else {}),
                **({"occurrencePeriod": period} if period else {}),
                "note": [{"text": legible(option.text)}, {"text": advisory.fixed_sentence}],
            }
            for marker, name in zip(advisory.markers, advisory.marker_names, strict=True)
        ]

    def _board(self, advisory: Advisory, option: Option, occasion: Occasion) -> list[dict[str, Any]]:
        return [
            {
                "resourceType": "Task",
                "status": "draft",
                "intent": "proposal",
                "description": f"{option.label}: {summed_up(legible(advisory.headline))}",
                "for": {"reference": occasion.patient},
                **({"encounter": {"reference": occasion.encounter}} if occasion.encounter else {}),
                "note": [{"text": legible(option.text)}, {"text": advisory.fixed_sentence}],
            }
        ]


def is_shown(advisory: Advisory) -> bool:
    """Whether the advisory has a card: by its state, and for incomplete data only if the rule asks for one.

    A finding's state is that of the newest result, or of a faulty one that keeps the newest from being read; so such a
    card never is about a result that a later one has settled.
    """
    return bool(advisory.indicator) and (advisory.state not in _QUIET or advisory.advises)
