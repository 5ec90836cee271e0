"""What boards decide about advisories: decisions with reasons, amendments that overwrite nothing, second readings.

Who decides says what they saw. What came between, a newer evaluation or another's decision, is refused with who, what and when.
Agreement is never inferred from silence.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from cds.record import content, tables
from cds.record.accounts import is_one_person
from cds.record.agendas import AlreadyHeld, NoSuchMeeting, held_seats, planned, seat
from cds.record.answers import urgency
from cds.record.audit import Checkpoints, Entry, salted
from cds.record.database import Database
from cds.record.decisions import (
    AlreadyDecided,
    Decided,
    Decision,
    Ended,
    NoSuchAdvisory,
    NotAccepted,
    Planned,
    Reassessed,
    SecondReading,
    checked,
    noted,
    somebody,
)  # fmt: skip
from cds.record.identity import held_survivor
from cds.record.lifecycle import Kind, Standing
from cds.record.trail import Trail


class Reviews:
    """Takes decisions into the record; safe to share between threads, and between processes on one database.

    `clock` says when (default: now). Everything raises `RecordUnavailable`, and `NoSuchAdvisory` for what the tenant does not have;
    `tenant` None: whatever it is.
    """

    def __init__(
        self, database: Database, checkpoints: Checkpoints | None = None, clock: Callable[[], datetime] | None = None
    ):
        self.database = database
        self.trail = Trail(database, checkpoints, clock)

    def decide(self, decision: Decision, tenant: str | None = None) -> str:
        """Record what a board decided; the id of the record, the same if it was sent before.

        It takes the place of the decision before, whose open actions end unless they are stated again, also where that was about an
        older revision: whoever decides anew has them before their eyes. Raises `NotAccepted`, `AlreadyDecided`, `Ended`, and `Reassessed`.
        """
        decision = checked(decision)
        packed = content.packed(
            {
                "note": decision.note,
                "level": decision.level,
                "resistance": decision.resistance,
                "references": list(decision.references),
                "actions": [[one.kind, one.due] for one in decision.actions],
            }
        )
        stated = {
            "revision": decision.revision, "code": decision.code, "by": decision.by, "reason": decision.reason,
            "meeting_id": decision.meeting or None, "content": packed,
        }  # fmt: skip

        def work(connection: Connection) -> tuple[str, Entry | None]:
            patient, advisory = held_advisory(connection, tenant, decision.advisory)
            before = _of_advisories(connection, [decision.advisory])
            newest = before[-1] if before else None
            if newest is not None and len(before) == decision.seen + 1 and _same(newest, stated):
                return str(newest["id"]), None  # the same sent again
            if newest is not None and len(before) > decision.seen:
                raise AlreadyDecided(newest["by"], newest["code"], newest["at"])
            if not Standing(advisory["standing"]).is_open:
                raise Ended(advisory["standing"], advisory["changed"])
            if advisory["revision"] != decision.revision:
                raise Reassessed(Standing(advisory["standing"]).value, advisory["changed"])
            if len(before) < decision.seen:
                raise NotAccepted("seen", f"there is no decision {decision.seen}: {len(before)} were made")
            writing = _Deciding(connection, patient, decision, before, self.trail.now())
            writing.discuss()
            row = {
                "id": str(uuid.uuid4()), "patient_id": patient["id"], "advisory_id": decision.advisory, **stated,
                "basis": advisory["basis"], "number": len(before) + 1, "at": writing.at,
                "follow_up": min((one.due for one in decision.actions if one.due), default=""),
            }  # fmt: skip
            connection.execute(insert(tables.disposition), row)
            writing.entry.wrote(tables.disposition, row, patient["salt"])
            writing.follow(str(row["id"]))
            return str(row["id"]), writing.entry

        return self.trail.write(work)

    def second(self, decision: str, by: str, *, agrees: bool, note: str = "", tenant: str | None = None) -> str:
        """Record that somebody else agrees with the newest decision about an advisory, or does not; the id of the record.

        Raises `NotAccepted`, also for its own author, and `AlreadyDecided` if another decision has taken its place, or that person has
        said something else before.
        """
        by, note = somebody(by), noted(note)
        packed = content.packed({"note": note})

        def work(connection: Connection) -> tuple[str, Entry | None]:
            wanted = select(tables.disposition.c.advisory_id).where(tables.disposition.c.id == decision)
            key = connection.execute(wanted).scalar()
            if key is None:
                raise NoSuchAdvisory(f"there is no decision {decision}")
            patient, _ = held_advisory(connection, tenant, key)
            newest = _of_advisories(connection, [key])[-1]
            if newest["id"] != decision:
                raise AlreadyDecided(newest["by"], newest["code"], newest["at"])
            if is_one_person(connection, patient["tenant"], newest["by"], by):
                raise NotAccepted(
                    "by", "the author of a decision cannot be its second reader, by another account neither"
                )
            table = tables.second_reading
            mine = select(table).where(table.c.disposition_id == decision, table.c.by == by)
            said = connection.execute(mine).mappings().first()
            if said is not None and (said["agrees"], said["content"]) == (agrees, packed):
                return str(said["id"]), None
            if said is not None:
                raise AlreadyDecided(said["by"], "agrees" if said["agrees"] else "disagrees", said["at"])
            row = {
                "id": str(uuid.uuid4()), "patient_id": patient["id"], "disposition_id": decision, "by": by,
                "agrees": agrees, "content": packed, "at": self.trail.now(),
            }  # fmt: skip
            connection.execute(insert(table), row)
            entry = entry_of(patient, by, "second-read")
            entry.wrote(table, row, patient["salt"])
            return str(row["id"]), entry

        return self.trail.write(work)

    def acknowledge(self, tenant: str, advisory: str, by: str, seen: int | None = None) -> bool:
        """Note that somebody saw that advice was withdrawn; False if nothing is left to be acknowledged.

        `seen` is the number of the event that they saw (default: the last). Raises `NotAccepted`, also if it was withdrawn again since.
        """
        by, answer = somebody(by), tables.answer

        def work(connection: Connection) -> tuple[bool, Entry | None]:
            patient, row = held_advisory(connection, tenant, advisory)
            waiting = select(answer).where(answer.c.advisory_id == advisory, answer.c.withdrawn != "")
            rows = connection.execute(waiting).mappings().all()
            if not rows:
                return False, None
            event = tables.event.c
            times = select(func.max(event.number)).where(
                event.advisory_id == advisory, event.kind == Kind.WITHDRAWN.value
            )
            if seen is not None and (connection.execute(times).scalar() or 0) > seen:
                raise NotAccepted("withdrawn", "it was withdrawn again since: look at that first")
            entry = entry_of(patient, by, "acknowledge")
            noticed = {
                "id": str(uuid.uuid4()), "patient_id": patient["id"], "advisory_id": advisory,
                "revision": row["revision"], "by": by, "at": self.trail.now(),
            }  # fmt: skip
            connection.execute(insert(tables.acknowledgement), noticed)
            entry.wrote(tables.acknowledgement, noticed, patient["salt"])
            for one in rows:
                changed = {**one, "withdrawn": "", "rank": urgency(one["state"], one["claim"])}
                connection.execute(update(answer).where(answer.c.id == one["id"]), changed)
                entry.wrote(answer, changed, patient["salt"])
            return True, entry

        return self.trail.write(work)

    def decisions(self, tenant: str, *, advisory: str = "", patient: str = "") -> list[Decided]:
        """Every decision about an advisory, or about all of a patient (by row id): those of an advisory in the order in which they were
        made, whatever the clocks of hosts said; advisories by their first."""
        table = tables.advisory
        wanted = select(table.c.id).where(table.c.tenant == tenant)
        wanted = wanted.where(table.c.id == advisory) if advisory else wanted.where(table.c.patient_id == patient)
        found = self.database.asked(lambda one: decided(one, one.execute(wanted).scalars().all()))
        return [one for each in sorted(found.values(), key=lambda those: those[0].at) for one in each]


class _Deciding:
    """What follows from a decision, in the transaction that takes it."""

    def __init__(
        self, connection: Connection, patient: RowMapping, decision: Decision, before: Sequence[RowMapping], at: str
    ):
        self._connection, self._patient, self._decision = connection, patient, decision
        self._before = before  # the decisions before
        self.at = at
        self.entry = entry_of(patient, decision.by, "decide")

    def follow(self, key: str) -> None:
        """Open the actions that are new; end those that the decision takes back.

        What the decision before stated too goes on as it is: what was done since then is not to be done again.
        """
        table, decision = tables.action, self._decision
        stated = {Planned(*one) for last in self._before[-1:] for one in _rest(last)["actions"]}
        go_on = set(stated)
        revisions = {row["id"]: row["revision"] for row in self._before}
        still = select(table).where(table.c.advisory_id == decision.advisory, table.c.status == "open")
        for row in self._connection.execute(still.order_by(table.c.due, table.c.id)).mappings().all():
            if (same := Planned(row["kind"], row["due"])) in decision.actions:
                go_on.add(same)
            elif same in stated or revisions.get(row["disposition_id"]) == decision.revision:
                ended = {**row, "status": "replaced", "by": decision.by, "closed": self.at}
                self._connection.execute(update(table).where(table.c.id == row["id"]), ended)
                self.entry.wrote(table, ended, self._patient["salt"])
        for one in (action for action in decision.actions if action not in go_on):
            opened = {
                "id": str(uuid.uuid4()), "patient_id": self._patient["id"], "advisory_id": decision.advisory,
                "disposition_id": key, "tenant": self._patient["tenant"], "kind": one.kind, "due": one.due,
                "status": "open", "reason": "", "by": "", "closed": "", "at": self.at,
            }  # fmt: skip
            self._connection.execute(insert(table), opened)
            self.entry.wrote(table, opened, self._patient["salt"])

    def discuss(self) -> None:
        """Take the case for discussed at the meeting at which it was decided, and put it on the agenda if it does not stand there.

        Raises `NotAccepted` for no such meeting, and for one that was held: its minutes stay as they are.
        """
        decision, connection = self._decision, self._connection
        if not decision.meeting:
            return
        try:
            planned(connection, self._patient["tenant"], decision.meeting)
        except (NoSuchMeeting, AlreadyHeld) as error:
            raise NotAccepted("meeting", str(error)) from None
        discussed = decision.code != "not-discussed"
        mine = [one for one in held_seats(connection, decision.meeting) if one.row["patient_id"] == self._patient["id"]]
        for one in mine if discussed else ():
            one.change(self.entry, status="discussed")
        if not mine:
            status = "discussed" if discussed else "open"
            seat(connection, self.entry, self._patient, decision.meeting, decision.by, self.at, status=status)


def entry_of(patient: RowMapping, by: str, action: str) -> Entry:
    """An entry of the audit about a patient."""
    return Entry(patient["tenant"], by[:64], action, salted(patient["id"], patient["salt"]))


def held_advisory(connection: Connection, tenant: str | None, key: str) -> tuple[RowMapping, RowMapping]:
    """The patient's row, held until the transaction ends, and that of the advisory. Raises `NoSuchAdvisory`."""
    wanted = select(tables.advisory).where(tables.advisory.c.id == key)
    advisory = connection.execute(wanted).mappings().first()
    if advisory is None or tenant not in (None, advisory["tenant"]):
        raise NoSuchAdvisory(f"there is no advisory {key}")
    patient = held_survivor(connection, advisory["patient_id"])
    return patient, connection.execute(wanted).mappings().one()


def decided(connection: Connection, advisories: Sequence[str]) -> dict[str, list[Decided]]:
    """The decisions about advisories, by advisory, the oldest first."""
    rows = _of_advisories(connection, advisories)
    table = tables.second_reading
    readings: dict[str, list[SecondReading]] = defaultdict(list)
    wanted = select(table).where(table.c.disposition_id.in_([row["id"] for row in rows])).order_by(table.c.at)
    for row in connection.execute(wanted).mappings():
        note = content.unpacked(row["content"])["note"]
        readings[row["disposition_id"]].append(SecondReading(row["id"], row["by"], row["agrees"], note, row["at"]))
    found: dict[str, list[Decided]] = defaultdict(list)
    newest = {row["advisory_id"]: row["id"] for row in rows}
    for row in rows:
        of_advisory = found[row["advisory_id"]]
        rest = _rest(row)
        of_advisory.append(
            Decided(
                row["id"], row["number"] or len(of_advisory) + 1, row["advisory_id"], row["patient_id"], row["revision"],
                row["code"], row["reason"] or "", row["by"], row["at"], row["follow_up"], row["meeting_id"] or "",
                rest["note"], rest["level"], rest["resistance"], tuple(rest["references"]),
                tuple(Planned(kind, due) for kind, due in rest["actions"]), tuple(readings[row["id"]]),
                newest[row["advisory_id"]] == row["id"],
            )
        )  # fmt: skip
    return found


_NOTHING: Mapping[str, Any] = {"note": "", "level": "", "resistance": False, "references": (), "actions": ()}


def _rest(row: RowMapping) -> Mapping[str, Any]:
    """What a decision says besides its columns; nothing in those of old records."""
    found: Mapping[str, Any] = _NOTHING if row["content"] is None else content.unpacked(row["content"])
    return found


def _of_advisories(connection: Connection, keys: Sequence[str]) -> Sequence[RowMapping]:
    """Rows of decisions in the order in which they were made; those of old records have no number."""
    table = tables.disposition
    wanted = select(table).where(table.c.advisory_id.in_(keys))
    return connection.execute(wanted.order_by(func.coalesce(table.c.number, 0), table.c.at)).mappings().all()


def _same(row: RowMapping, stated: Mapping[str, Any]) -> bool:
    return all(row[name] == value for name, value in stated.items())
