"""How often each version of a rule was right: flags whose outcome is known, and those that were confirmed, with an interval.

Nothing is inferred from silence: a flag without an outcome is counted as unknown, one without a decision as unanswered.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from cds.record import tables
from cds.record.database import Database
from cds.record.lifecycle import Kind

FLAGS = ("suspected", "persistent")
"""States that suspect resistance, or after an operation a remaining source; an outcome says of the one or the other whether it was so."""
FEW = 10
"""Below so many known outcomes a share is no finding: its interval is half as wide as all there is."""
_Z = 1.959963984540054  # two-sided 95 %
_LONGEST = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class Precision:
    """One version of a rule. `flags` = `confirmed` + `refuted` + `unclear` + `unknown`, and also

    `accepted` + `rejected` + `otherwise` + `unanswered`; flags that were withdrawn because their data were wrong are counted apart.
    `share`, `low` and `high`: confirmed of those with a known outcome, with its 95 % Wilson interval; None if none is known.
    """

    rule: str
    hash: str
    flags: int = 0
    withdrawn: int = 0
    confirmed: int = 0
    refuted: int = 0
    unclear: int = 0
    unknown: int = 0
    accepted: int = 0
    rejected: int = 0
    otherwise: int = 0  # decided, and neither accepted nor rejected
    unanswered: int = 0  # no decision, or it was not discussed

    @property
    def known(self) -> int:
        return self.confirmed + self.refuted

    @property
    def share(self) -> float | None:
        return self.confirmed / self.known if self.known else None

    @property
    def low(self) -> float | None:
        return wilson(self.confirmed, self.known)[0] if self.known else None

    @property
    def high(self) -> float | None:
        return wilson(self.confirmed, self.known)[1] if self.known else None


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927), 0 ≤ low ≤ hits/of ≤ high ≤ 1. `of` is at least 1."""
    share, squared = hits / of, _Z * _Z
    middle = share + squared / (2 * of)
    half = _Z * math.sqrt(share * (1 - share) / of + squared / (4 * of * of))
    low, high = ((middle - half) / (1 + squared / of), (middle + half) / (1 + squared / of))
    return max(0.0, min(low, share)), min(1.0, max(high, share))


def precision(database: Database, tenant: str) -> list[Precision]:
    """Every version of every rule of a tenant that ever flagged, by rule and version. Raises `RecordUnavailable`.

    A flag is an advisory that the version made *suspected* or *persistent*. Its outcome is the last that was stated of the latest month
    since that flag was opened, its decision the last that is not about what was withdrawn.
    """
    advisory, event, outcome, decision = tables.advisory, tables.event, tables.outcome, tables.disposition
    version = func.coalesce(event.c.rule_hash, advisory.c.rule_hash)
    flagged = (
        select(advisory.c.id, advisory.c.question, version.label("version"), func.max(event.c.number))
        .join(event, event.c.advisory_id == advisory.c.id)
        .where(
            advisory.c.tenant == tenant,
            event.c.state.in_(FLAGS),
            event.c.kind.in_([Kind.OPENED.value, Kind.UPDATED.value, Kind.CONFIRMED.value]),
        )
        .group_by(advisory.c.id, advisory.c.question, version)
    )
    of_tenant = select(advisory.c.id).where(advisory.c.tenant == tenant)
    stated = select(outcome.c.advisory_id, outcome.c.at, outcome.c.resistance)
    stated = stated.where(outcome.c.advisory_id.in_(of_tenant))
    stated = stated.order_by(outcome.c.months, outcome.c.number)
    taken_back = select(event.c.advisory_id, func.max(event.c.number)).where(
        event.c.kind == Kind.WITHDRAWN.value, event.c.advisory_id.in_(of_tenant)
    )
    taken_back = taken_back.group_by(event.c.advisory_id)
    again = select(event.c.advisory_id, event.c.number, event.c.at).where(
        event.c.kind == Kind.OPENED.value, event.c.number > 1, event.c.advisory_id.in_(of_tenant)
    )
    again = again.order_by(event.c.number)
    made = select(decision.c.advisory_id, decision.c.revision, decision.c.code)
    made = made.where(decision.c.advisory_id.in_(of_tenant))
    made = made.order_by(func.coalesce(decision.c.number, 0), decision.c.at)
    rows, gone, openings, outcomes, decisions = database.asked(
        lambda connection: (
            connection.execute(flagged).all(),
            {key: number for key, number in connection.execute(taken_back).all()},
            _by_advisory(connection.execute(again).all()),
            _by_advisory(connection.execute(stated).all()),
            connection.execute(made).all(),
        ),
        longest=_LONGEST,
    )
    # A decision about a lower revision is about what was withdrawn (`Withdrawal.is_after`).
    decided = {key: code for key, revision, code in decisions if revision >= gone.get(key, 0)}
    counted: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for key, question, hash_, flag in rows:
        count = counted[question, hash_]
        if gone.get(key, 0) > flag:  # also if less than a flag is claimed since
            count["withdrawn"] += 1
            continue
        count["flags"] += 1
        # Not since the last opening of all: a newer version opens advice anew, and what became of an older flag stays known.
        since = max((at for number, at in openings.get(key, ()) if number <= flag), default="")
        said = [resistance for at, resistance in outcomes.get(key, ()) if at >= since]
        count[_OUTCOMES.get(said[-1] if said else "", "unknown")] += 1
        count[_ANSWERS.get(decided.get(key, "not-discussed"), "otherwise")] += 1
    return [Precision(rule, hash_, **count) for (rule, hash_), count in sorted(counted.items())]


def _by_advisory(rows: Iterable[tuple[Any, Any, Any]]) -> dict[str, list[tuple[Any, Any]]]:
    """Two columns of rows by the first one, in their order."""
    found: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
    for key, one, other in rows:
        found[key].append((one, other))
    return found


_OUTCOMES = {"yes": "confirmed", "no": "refuted", "unclear": "unclear"}
_ANSWERS = {"accept": "accepted", "reject": "rejected", "not-discussed": "unanswered"}
