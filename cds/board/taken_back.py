"""Advice that was taken back, as a board has to know it: what it claimed, which result was at fault, what was decided on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cds.advice.withdrawal import differing
from cds.board.case import Answer, Case, Former
from cds.board.words import words
from cds.legible import day, legible
from cds.record.cases import StoredAdvisory
from cds.record.codes import Status
from cds.record.decisions import Decided
from cds.record.followup import Action
from cds.record.lifecycle import Kind
from cds.record.listing import Event


@dataclass(frozen=True, slots=True)
class TakenBack:
    """The last withdrawal of an advisory. `results` are those that were taken back, in words: "TRPC5-EV 3.9 × 10⁶/mL, 18 Jun 2026"."""

    advisory: str
    title: str
    event: Event
    state: str  # that was claimed until then
    results: tuple[str, ...]
    unacknowledged: bool


def taken_back(
    case: Case, decisions: Mapping[str, Sequence[Decided]], actions: Iterable[Action]
) -> Iterator[TakenBack]:
    """What is to be said of withdrawn advice: until it is acknowledged, and as long as an action that was decided on it is open."""
    waiting = {one.decision for one in actions if one.status == Status.OPEN}
    every: Sequence[Answer | Former] = (*case.answers, *case.unanswered, *case.earlier)
    for one in every:
        advice = one.advisory
        event = advice.taken_back if advice is not None else None
        if advice is None or event is None:
            continue
        on_it = (made.id for made in decisions.get(advice.id, ()) if is_on_taken_back(advice, made))
        if advice.withdrawal is not None or waiting.intersection(on_it):
            state = advice.claimed(event)
            yield TakenBack(
                advice.id, one.title, event, state, tuple(results_taken_back(case, event)), bool(advice.unacknowledged)
            )


def is_on_taken_back(advice: StoredAdvisory, decision: Decided) -> bool:
    """Whether a decision is about what was withdrawn since: it says nothing of what stands now."""
    return advice.taken_back is not None and decision.revision < advice.taken_back.number


def outdated(advice: StoredAdvisory, decision: Decided) -> str:
    """Why a decision says nothing of what stands now, in words: it is about what was withdrawn, or an older finding; "" if it does."""
    if is_on_taken_back(advice, decision):
        return str(words().withdrawal.decided_before)
    is_older = advice.is_open and decision.newest and decision.revision < advice.revision
    return str(words().worklist.decision_old) if is_older else ""


def results_taken_back(case: Case, event: Event) -> Iterator[str]:
    """The results of a withdrawn claim that count no more, or are others now, each with its day and with what became of it."""
    readings = event.said.readings if event.said is not None and event.kind == Kind.WITHDRAWN else ()
    now = differing(readings, case.chart)
    for one in readings:
        if one.ref in now:
            yield f"{', '.join(filter(None, (legible(f'{one.marker} {one.value}'), day(one.collected))))}: {now[one.ref]}"
