"""What boards decide about advisories: decisions with reasons, amendments that overwrite nothing, second readings.

Who decides says what they saw. What came between, a newer evaluation or another's decision, is refused with who, what and when.
Agreement is never inferred from silence.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from cds.record import content, tables
from cds.record.audit import Checkpoints, Entry, now, salted
from cds.record.database import Database
from cds.record.decisions import (
    AlreadyDecided,
    Decided,
    Decision,
    Ended,
    NoSuchAdvisory,
    NotAccepted,
    Planned,
    SecondReading,
    checked,
    noted,
    somebody,
)  # fmt: skip
from cds.record.identity import held_survivor
from cds.record.lifecycle import Standing
from cds.record.trail import Trail


class Reviews:
    """Takes decisions into the record; safe to share between threads, and between processes on one database.

    Everything raises `RecordUnavailable`, and `NoSuchAdvisory` for what the tenant does not have; `tenant` None: whatever it is.
    """

    def __init__(self, database: Database, checkpoints: Checkpoints | None = None):
        self.database = database
        self.trail = Trail(database, checkpoints)

    def decide(self, decision: Decision, tenant: str | None = None) -> str:
        """Record what a board decided; the id of the record, the same if it was sent before.

        Of the same revision it takes the place of the decision before, whose open actions end unless they are stated again; of a newer
        revision it stands beside that, and they go on. Raises `NotAccepted`, `AlreadyDecided`, and `Ended`.
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
            if advisory["revision"] != decision.revision:
                raise AlreadyDecided("a newer evaluation", Standing(advisory["standing"]).value, advisory["changed"])
            if len(before) < decision.seen:
                raise NotAccepted("seen", f"there is no decision {decision.seen}: {len(before)} were made")
            if not Standing(advisory["standing"]).is_open:
                raise Ended(advisory["standing"], advisory["changed"])
            writing = _Deciding(connection, patient, decision, {row["id"]: row["revision"] for row in before})
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
            if newest["by"].casefold() == by.casefold():
                raise NotAccepted("by", "the author of a decision cannot be its second reader")
            table = tables.second_reading
            mine = select(table).where(table.c.disposition_id == decision, table.c.by == by)
            said = connection.execute(mine).mappings().first()
            if said is not None and (said["agrees"], said["content"]) == (agrees, packed):
                return str(said["id"]), None
            if said is not None:
                raise AlreadyDecided(said["by"], "agrees" if said["agrees"] else "disagrees", said["at"])
            row = {
                "id": str(uuid.uuid4()), "patient_id": patient["id"], "disposition_id": decision, "by": by,
                "agrees": agrees, "content": packed, "at": now(),
            }  # fmt: skip
            connection.execute(insert(table), row)
            entry = entry_of(patient, by, "second-read")
            entry.wrote(table, row, patient["salt"])
            return str(row["id"]), entry

        return self.trail.write(work)

    def decisions(self, tenant: str, *, advisory: str = "", patient: str = "") -> list[Decided]:
        """Every decision about an advisory, or about all of a patient (by row id), the oldest first."""
        table = tables.advisory
        wanted = select(table.c.id).where(table.c.tenant == tenant)
        wanted = wanted.where(table.c.id == advisory) if advisory else wanted.where(table.c.patient_id == patient)
        with self.database.reading() as connection:
            found = decided(connection, connection.execute(wanted).scalars().all())
        return sorted((one for each in found.values() for one in each), key=lambda one: (one.at, one.number))


class _Deciding:
    """What follows from a decision, in the transaction that takes it."""

    def __init__(self, connection: Connection, patient: RowMapping, decision: Decision, revisions: Mapping[str, int]):
        self._connection, self._patient, self._decision = connection, patient, decision
        self._revisions = revisions  # of the decisions before, by id
        self.at = now()
        self.entry = entry_of(patient, decision.by, "decide")

    def follow(self, key: str) -> None:
        """Open the actions that are not open yet; end those that the decision takes back."""
        table, decision = tables.action, self._decision
        wanted = list(decision.actions)
        still = select(table).where(table.c.advisory_id == decision.advisory, table.c.status == "open")
        for row in self._connection.execute(still.order_by(table.c.due, table.c.id)).mappings().all():
            if (same := Planned(row["kind"], row["due"])) in wanted:
                wanted.remove(same)
            elif self._revisions.get(row["disposition_id"]) == decision.revision:
                ended = {**row, "status": "replaced", "by": decision.by, "closed": self.at}
                self._connection.execute(update(table).where(table.c.id == row["id"]), ended)
                self.entry.wrote(table, ended, self._patient["salt"])
        for one in wanted:
            opened = {
                "id": str(uuid.uuid4()), "patient_id": self._patient["id"], "advisory_id": decision.advisory,
                "disposition_id": key, "tenant": self._patient["tenant"], "kind": one.kind, "due": one.due,
                "status": "open", "reason": "", "by": "", "closed": "", "at": self.at,
            }  # fmt: skip
            self._connection.execute(insert(table), opened)
            self.entry.wrote(table, opened, self._patient["salt"])

    def discuss(self) -> None:
        """Take the case for discussed at the meeting at which it was decided. Raises `NotAccepted` for no such meeting."""
        decision, table = self._decision, tables.agenda
        if not decision.meeting:
            return
        meeting = tables.meeting.c
        held = select(meeting.id).where(meeting.id == decision.meeting, meeting.tenant == self._patient["tenant"])
        if self._connection.execute(held).first() is None:
            raise NotAccepted("meeting", f"there is no meeting '{decision.meeting[:40]}'")
        if decision.code == "not-discussed":
            return
        case = (table.c.meeting_id == decision.meeting, table.c.patient_id == self._patient["id"])
        wanted = select(table).where(*case, table.c.status == "open").with_for_update()
        for row in self._connection.execute(wanted).mappings().all():
            done = {**row, "status": "discussed"}
            self._connection.execute(update(table).where(table.c.id == row["id"]), done)
            self.entry.wrote(table, done, self._patient["salt"])


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
        readings[row["disposition_id"]].append(SecondReading(row["by"], row["agrees"], note, row["at"]))
    found: dict[str, list[Decided]] = defaultdict(list)
    newest = {row["advisory_id"]: row["id"] for row in rows}
    for row in rows:
        of_advisory = found[row["advisory_id"]]
        rest = content.unpacked(row["content"]) if row["content"] is not None else _NOTHING
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


def _of_advisories(connection: Connection, keys: Sequence[str]) -> Sequence[RowMapping]:
    """Rows of decisions in the order in which they were made; those of old records have no number."""
    table = tables.disposition
    wanted = select(table).where(table.c.advisory_id.in_(keys))
    return connection.execute(wanted.order_by(func.coalesce(table.c.number, 0), table.c.at)).mappings().all()


def _same(row: RowMapping, stated: Mapping[str, Any]) -> bool:
    return all(row[name] == value for name, value in stated.items())
