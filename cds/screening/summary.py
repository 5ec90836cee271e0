"""What a run came to: figures that add up, as data and as a page that stands by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from cds.advice.advisory import FIXED_SENTENCE
from cds.counting import counted
from cds.reasoning.rulebook import RuleBook


class Plan(msgspec.Struct, frozen=True):
    """What a run is. Two runs with the same plan come to the same bytes."""

    export: str  # hash
    rulebook: str
    as_of: str  # a day or an instant
    live: bool  # as of now, or looking back
    since: str
    server: str  # base URL of the FHIR server that the patients are of; "" if it is not known
    tenant: str  # into whose record they go; "" if into none
    shards: int
    software: dict[str, str]


class Summary(msgspec.Struct, frozen=True):
    """What a run came to. Lines and patients add up: nothing is in two places, nothing in none."""

    plan: Plan
    files: int
    bytes: int
    ignored: list[str]  # what stands beside the files, may hold resources and was not read
    errors: list[str]  # where the server says that it could not export something
    missing: list[str]  # resources that are to be there, and are not
    lines: int
    blank: int
    of_patients: int
    shared: int
    refused: int
    unread_types: dict[str, int]  # lines by type, of which no rule asks
    patients: int
    nameless: int  # patients of whom there is no Patient resource; they are counted below, too
    measured: int
    unread: int  # patients with something that may be a result, none of which could be read
    unmeasured: int
    unjudged: int
    unchanged: int
    not_used: int
    states: dict[str, dict[str, int]]  # by rule, how many patients have each
    recorded: int  # patients whose evaluation stands in the record
    unrecorded: int  # who were to be, and are not
    broken: list[str]  # compressed files that cannot be read to their end
    partly: int = 0  # measured patients of whom something else that may be a result was not read
    stale: dict[str, dict[str, int]] = {}  # as `states`, of those whose newest sample is old

    @property
    def has_gaps(self) -> bool:
        """Whether the export is not whole, as far as it can be told: a finding may be another than that of the whole."""
        return any((self.missing, self.broken, self.errors, self.ignored))

    @property
    def is_whole(self) -> bool:
        """Whether every line was read, every patient evaluated, and everybody recorded who was to be.

        A patient who was evaluated without one of several results was so as the service would: `partly` counts them.
        """
        wrong = (
            self.ignored,
            self.errors,
            self.missing,
            self.nameless,
            self.refused,
            self.unread,
            self.unjudged,
            self.unrecorded,
            self.broken,
        )
        return not any(wrong)


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a bar: where it begins and how wide it is, in per mille of the bar."""

    state: str
    patients: int
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One rule: of the patients whom it is about, how many have each state, what somebody should look at first."""

    rule: str
    title: str
    status: str
    patients: int
    apart: int  # have a result of its marker, and it is not about them
    shares: tuple[Share, ...]


def page(summary: Summary, book: RuleBook) -> str:
    """The summary as one HTML file without script or address."""
    bars = tuple(_bars(summary, book))
    found = {state for states in summary.states.values() for state in states}
    states = sorted(found, key=lambda state: _place(state, book))
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("summary.html").render(
        summary=summary, bars=bars, states=states, looks=_LOOKS,
        flagged=flagged(summary, book), fixed=FIXED_SENTENCE, counted=counted,
    )  # fmt: skip


_LOOKS = (
    "suspected", "persistent", "watch", "discordant", "hold", "data-quality", "not-evaluable", "background", "no-flag",
)  # fmt: skip
"""States that have a fill of their own, what somebody should look at first; those of a site's own rules share one."""
_APART = ("not-applicable", "out-of-scope")


def _place(state: str, book: RuleBook) -> tuple[int, int]:
    order = [one.name for one in book.states]
    place = _LOOKS.index(state) if state in _LOOKS else len(_LOOKS) + (state in _APART)
    return place, order.index(state)


def _bars(summary: Summary, book: RuleBook) -> Iterator[Bar]:
    for rule in book.rules:
        states = summary.states.get(rule.name)
        if not states:
            continue
        apart = sum(states.get(state, 0) for state in _APART)
        whole, start = sum(states.values()) - apart, 0.0
        shares: list[Share] = []
        for state in sorted(set(states).difference(_APART), key=lambda one: _place(one, book)):
            width = 1000 * states[state] / whole
            shares.append(Share(state, states[state], start, width))
            start += width
        yield Bar(rule.name, rule.title, rule.status, whole, apart, tuple(shares))


def flagged(summary: Summary, book: RuleBook) -> Sequence[tuple[str, int, int]]:
    """By state that warns, how many findings there are of rules that are shown, and of how many the newest sample is old."""
    shown = {rule.name for rule in book.rules if rule.status == "active"}

    def counted_in(counts: dict[str, dict[str, int]], state: str) -> int:
        return sum(found.get(state, 0) for rule, found in counts.items() if rule in shown)

    return [
        (state.name, counted_in(summary.states, state.name), counted_in(summary.stale, state.name))
        for state in book.states
        if state.indicator == "warning"
    ]
