"""What was taken back: which claim, why, what a board had said of it, and whether what it asked for is still open."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from cds.record import tables
from cds.record.codes import Status
from cds.record.decisions import Decided
from cds.record.lifecycle import CLAIMING, Kind


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """The last withdrawal of an advisory. `decided` is the code of the last decision about what was withdrawn; "" for none."""

    state: str  # that was claimed until then
    reason: str
    decided: str
    actions: int  # that were decided on it and are open
    number: int = 0  # of the event: decisions about a lower revision are about what was withdrawn
    at: str = ""

    def is_after(self, decision: Decided) -> bool:
        """Whether a decision is about what was withdrawn: it says nothing of what stands now."""
        return decision.revision < self.number


def withdrawals(connection: Connection, advisories: Collection[str], until: str = "") -> dict[str, Withdrawal]:
    """By advisory what was withdrawn of it last, `until` an instant if asked; those of which nothing was are not there."""
    event, decision, action = tables.event.c, tables.disposition.c, tables.action.c
    claimed: dict[str, str] = {}
    gone: dict[str, tuple[int, str, str, str]] = {}
    wanted = select(event.advisory_id, event.number, event.kind, event.reason, event.state, event.at)
    wanted = wanted.where(event.advisory_id.in_(advisories), event.kind.in_((*CLAIMING, Kind.WITHDRAWN)))
    if until:
        wanted = wanted.where(event.at <= until)
    for key, number, kind, reason, state, at in connection.execute(wanted.order_by(event.number)).all():
        if kind == Kind.WITHDRAWN:
            gone[key] = number, reason, claimed.get(key, state), at
        else:
            claimed[key] = state
    made = select(decision.advisory_id, decision.revision, decision.code).where(decision.advisory_id.in_(gone))
    made = made.order_by(func.coalesce(decision.number, 0), decision.at)
    decided = {key: code for key, revision, code in connection.execute(made).all() if revision < gone[key][0]}
    waits = (
        select(action.advisory_id, func.count())
        .where(action.advisory_id.in_(gone), action.status == Status.OPEN)
        .group_by(action.advisory_id)
    )
    open_ = {key: count for key, count in connection.execute(waits).all()}
    return {
        key: Withdrawal(state, reason, decided.get(key, ""), open_.get(key, 0), number, at)
        for key, (number, reason, state, at) in gone.items()
    }
