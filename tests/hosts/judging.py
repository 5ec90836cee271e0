"""What came of it: which calls failed and whether they had to, and whether all that was acknowledged is on record, once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, select

from cds.record import tables
from cds.record.audit import Checkpoints, verify
from tests.hosts.load import Load
from tests.hosts.site import Host, Site

_APART = 0.25
"""Seconds between a process being hit and this program having noted when."""


@dataclass(slots=True)
class Hits:
    """Which host was killed or stopped, and when."""

    of: list[tuple[str, float]] = field(default_factory=list)

    def note(self, host: Host) -> None:
        self.of.append((host.address, time.time()))

    def excuse(self, line: dict[str, object]) -> bool:
        """Whether a call of nginx's log was under way on a host when that was hit."""
        ended, seconds = float(str(line["time"])), float(str(line["seconds"]))
        last = str(line["hosts"]).rpartition(",")[2].strip()
        return any(
            host == last and ended - seconds <= at + _APART and ended >= at - _APART for host, at in self.of
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """Calls of a load as callers and nginx saw them."""

    calls: int
    failed: int  # by the callers
    under_way: int  # by nginx: on a host that was hit
    others: tuple[dict[str, object], ...]  # by nginx: all others that failed
    slowest: float  # seconds, of those that were answered

    def __str__(self) -> str:
        return (
            f"{self.calls} calls, {self.failed} failed, {self.under_way} of these under way on a host that was killed or "
            f"stopped, {len(self.others)} others; slowest answer {self.slowest:.1f} s"
        )


def outcome(site: Site, load: Load, hits: Hits, since: int = 0) -> Outcome:
    """`since` is how many lines nginx's log had before."""
    failed = [line for line in site.log()[since:] if line["status"] != 200]
    excused = [hits.excuse(line) for line in failed]
    others = tuple(line for line, well in zip(failed, excused, strict=True) if not well)
    slowest = max((one.seconds for one in load.calls if one.status == 200), default=0.0)
    return Outcome(len(load.calls), len(load.failed), sum(excused), others, slowest)


@dataclass(frozen=True, slots=True)
class Record:
    """What stands on record after a load."""

    lost: int  # cards and answers that were acknowledged and are not there
    doubles: int  # open advisories beside another of the same question and line
    entries: int
    broken: tuple[str, ...]  # faults of the audit
    uncovered: int  # entries after the last checkpoint of any host
    hosts: int  # that wrote checkpoints

    def __str__(self) -> str:
        return (
            f"{self.lost} acknowledged writes lost, {self.doubles} double advisories, {len(self.broken)} faults in an audit of "
            f"{self.entries} entries with checkpoints of {self.hosts} hosts"
        )


def recorded(site: Site, *loads: Load) -> Record:
    """Compare the record with what callers were told."""
    advisory, paths = tables.advisory, [host.checkpoints for host in site.hosts if host.checkpoints.exists()]
    with site.database.reading() as connection:
        cards = set(connection.execute(select(tables.card.c.id)).scalars())
        answered = set(connection.execute(select(tables.feedback.c.card_id)).scalars())
        alike = (
            select(func.count())
            .where(advisory.c.standing.in_(["open", "not-reassessable"]))
            .group_by(advisory.c.patient_id, advisory.c.question, advisory.c.line_start)
        )
        doubles = sum(count - 1 for count in connection.execute(alike).scalars())
        points = Checkpoints(paths[0]).read(*paths[1:]) if paths else {}
        found = verify(connection, points)
    lost = sum(len(load.cards - cards) + len(load.feedback - answered) for load in loads)
    return Record(lost, doubles, found.entries, found.broken, found.uncovered, len(paths))


def roll(site: Site, pause: float, hosts: Sequence[Host] = ()) -> None:
    """Restart one host after the other, as docs/deployment.md says: the next once this one is ready and nginx asks it again."""
    for host in hosts or site.hosts:
        assert host.leave() == 0, host.tail()
        host.begin()
        host.wait()
        time.sleep(pause)
