"""What people answered to cards, and what follows from that, and from decisions of boards, for the next card.

Agreement is never inferred from silence: a card without an answer is counted as shown and as nothing else.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import CompoundSelect, Connection, Select, bindparam, delete, exists, func, insert, select
from sqlalchemy.exc import IntegrityError

from cds.advice.advisory import Advisory
from cds.record import content, tables
from cds.record.audit import Checkpoints, Entry, append, canonical, instant, now, salted
from cds.record.database import Database
from cds.record.lifecycle import Kind

_WITHDRAWALS_SHOWN_FOR = timedelta(days=90)

@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Advice that was shown and holds no more. `was` is what was said, `reason` a code of `lifecycle.Step`."""

    event_id: str
    advisory_id: str
    at: str
    reason: str
    was: Advisory


@dataclass(frozen=True, slots=True)
class Answer:
    """Feedback to one card as CDS Hooks defines it; of a comment only that there was one is kept."""

    card: str
    outcome: str  # accepted | overridden
    outcome_at: str
    suggestions: Sequence[str] = ()
    reason_system: str = ""
    reason_code: str = ""
    commented: bool = False


@dataclass(slots=True)
class Taken:
    """What became of a batch of feedback; `unknown` are cards that this record does not know."""

    new: int = 0
    again: int = 0
    unknown: list[str] = field(default_factory=list)


def silenced(connection: Connection, patient: str) -> frozenset[str]:
    """Digests of evidence that was decided about or overridden: it is not shown again until it changes."""
    return frozenset(connection.execute(_SILENCED, {"patient": patient}).scalars())


def withdrawals(connection: Connection, patient: str) -> tuple[Withdrawal, ...]:
    """Withdrawals of advice that somebody was shown, until a card that tells of them was answered, or 90 days passed."""
    since = instant(datetime.now(UTC) - _WITHDRAWALS_SHOWN_FOR)
    return tuple(
        Withdrawal(row["id"], row["advisory_id"], row["at"], row["reason"], content.said(row["said"]))
        for row in connection.execute(_WITHDRAWN, {"patient": patient, "since": since}).mappings()
    )


def _silenced() -> CompoundSelect[Any]:
    disposition, newer = tables.disposition, tables.disposition.alias("newer")
    replaced = exists().where(
        newer.c.advisory_id == disposition.c.advisory_id,
        newer.c.revision == disposition.c.revision,
        func.coalesce(newer.c.number, 0) > func.coalesce(disposition.c.number, 0),
    )
    # What a board did not get to is no answer: it is shown again.
    decided = select(disposition.c.basis).where(
        disposition.c.patient_id == bindparam("patient"), disposition.c.code != "not-discussed", ~replaced
    )
    overridden = (
        select(tables.card.c.basis)
        .join(tables.feedback, tables.feedback.c.card_id == tables.card.c.id)
        .where(tables.feedback.c.patient_id == bindparam("patient"), tables.feedback.c.outcome == "overridden")
    )
    return decided.union(overridden)


def _withdrawn() -> Select[Any]:
    event, shown = tables.event, tables.card.alias("shown")
    told = (
        select(tables.feedback.c.id)
        .join(tables.card, tables.feedback.c.card_id == tables.card.c.id)
        .where(tables.card.c.kind == "withdrawal", tables.card.c.basis == event.c.id)
    )
    return (
        select(event)
        .where(
            event.c.patient_id == bindparam("patient"),
            event.c.kind == Kind.WITHDRAWN.value,
            event.c.at >= bindparam("since"),
            exists().where(
                shown.c.advisory_id == event.c.advisory_id, shown.c.kind == "advice", shown.c.at < event.c.at
            ),
            ~exists(told.correlate(event)),
        )
        .order_by(event.c.at, event.c.number)
    )


# Asked at every evaluation, so put together once.
_SILENCED, _WITHDRAWN = _silenced(), _withdrawn()


class Responses:
    """Takes answers into the record; safe to share between threads."""

    def __init__(self, database: Database, checkpoints: Checkpoints | None = None):
        self._database = database
        self._checkpoints = checkpoints

    def feedback(self, answers: Sequence[Answer], client: str, tenant: str | None = None) -> Taken:
        """Record feedback, all of it or none; the same sent again is taken once. Raises `RecordUnavailable`.

        Cards of another tenant are not known.
        """
        taken, number = Taken(), 0
        with self._database.writing() as connection:
            wanted = select(tables.card.c.id, tables.card.c.patient_id).where(
                tables.card.c.id.in_([answer.card for answer in answers])
            )
            if tenant is not None:
                theirs = tables.patient.c.id == tables.card.c.patient_id
                wanted = wanted.join(tables.patient, theirs).where(tables.patient.c.tenant == tenant)
            owners = {row.id: row.patient_id for row in connection.execute(wanted)}
            # Always in the same order, so that two batches cannot wait for each other.
            patients = {key: _hold(connection, key) for key in sorted(set(owners.values()))}
            entries: dict[str, Entry] = {}
            for answer in answers:
                if answer.card not in owners:
                    taken.unknown.append(answer.card)
                elif (row := self._answer(connection, answer, owners[answer.card])) is not None:
                    patient = patients[row["patient_id"]]
                    entry = entries.setdefault(
                        patient["id"],
                        Entry(patient["tenant"], client, "feedback", salted(patient["id"], patient["salt"])),
                    )
                    entry.wrote(tables.feedback, row, patient["salt"])
                    taken.new += 1
                else:
                    taken.again += 1
            for entry in entries.values():
                number = append(self._database, connection, entry)
        self._keep_up(number)
        return taken

    def _keep_up(self, number: int) -> None:
        if self._checkpoints is not None and number:
            self._checkpoints.keep_up(self._database, number)

    @staticmethod
    def _answer(connection: Connection, answer: Answer, owner: str) -> dict[str, Any] | None:
        """The row of a new answer; None if it was taken before."""
        row: dict[str, Any] = {
            "id": str(uuid.uuid5(uuid.UUID(answer.card), f"{answer.outcome}|{answer.outcome_at}")),
            "patient_id": owner,
            "card_id": answer.card,
            "outcome": answer.outcome,
            "reason_system": answer.reason_system,
            "reason_code": answer.reason_code,
            "commented": answer.commented,
            "suggestions": canonical(sorted(answer.suggestions)),
            "outcome_at": answer.outcome_at,
            "at": now(),
        }
        if connection.execute(select(tables.feedback.c.id).where(tables.feedback.c.id == row["id"])).first():
            return None
        connection.execute(insert(tables.feedback), row)
        return row

    def counts(self) -> list[dict[str, Any]]:
        """For each version of each rule how often its cards were shown, accepted and overridden, and with which reasons."""
        card, feedback = tables.card, tables.feedback
        with self._database.reading() as connection:
            shown = connection.execute(
                select(card.c.rule, card.c.rule_hash, func.count())
                .where(card.c.kind == "advice")
                .group_by(card.c.rule, card.c.rule_hash)
                .order_by(card.c.rule, card.c.rule_hash)
            ).all()
            answered = connection.execute(
                select(card.c.rule, card.c.rule_hash, feedback.c.outcome, feedback.c.reason_code, func.count())
                .join(feedback, feedback.c.card_id == card.c.id)
                .where(card.c.kind == "advice")
                .group_by(card.c.rule, card.c.rule_hash, feedback.c.outcome, feedback.c.reason_code)
            ).all()
        found: dict[tuple[str, str], dict[str, Any]] = {
            (rule, version): {
                "rule": rule, "version": version, "shown": count, "accepted": 0, "overridden": 0, "reasons": {},
            }
            for rule, version, count in shown
        }  # fmt: skip
        for rule, version, outcome, reason, count in answered:
            row = found[rule, version]
            row[outcome] += count
            if reason:
                row["reasons"][reason] = row["reasons"].get(reason, 0) + count
        return list(found.values())

    def first_use(self, issuer: str, token_id: str, expires: datetime) -> bool:
        """Whether a token is seen for the first time, by any worker; tokens that have expired are forgotten."""
        digest = hashlib.sha256(json.dumps([issuer, token_id]).encode()).hexdigest()
        try:
            with self._database.writing() as connection:
                connection.execute(delete(tables.token).where(tables.token.c.expires < now()))
                connection.execute(insert(tables.token), {"digest": digest, "expires": instant(expires)})
        except IntegrityError:
            return False
        return True


def _hold(connection: Connection, patient: str) -> Any:
    """The patient's row, held until the transaction ends."""
    wanted = select(tables.patient).where(tables.patient.c.id == patient).with_for_update()
    return connection.execute(wanted).mappings().one()
