"""What people answered to cards, and what follows from that, and from decisions of boards, for the next card.

Agreement is never inferred from silence: a card without an answer is counted as shown and as nothing else.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, and_, bindparam, delete, exists, func, insert, or_, select
from sqlalchemy.exc import IntegrityError

from cds.advice.withdrawal import Withdrawal
from cds.chart.clock import when
from cds.errors import ExowatchError
from cds.record import content, tables
from cds.record.audit import Checkpoints, Entry, append, canonical, instant, now, salted
from cds.record.database import Database
from cds.record.lifecycle import Kind

_WITHDRAWALS_SHOWN_FOR = timedelta(days=90)
_CLOCKS_APART = timedelta(hours=1)
_FORGETTING = 0x45584F54  # any number that nothing else in the database uses


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


class NoSuchSuggestion(ExowatchError):
    """An answer accepts a suggestion that its card never had. `number` is that of the answer, `which` that of the suggestion."""

    def __init__(self, number: int, which: int):
        super().__init__("its card has no such suggestion")
        self.number, self.which = number, which


def answered(connection: Connection, patient: str, delivery: Collection[str]) -> Mapping[str, str]:
    """Digests of evidence that was decided about or overridden, with the day: its card is not shown again until it changes.

    `delivery` are codes of reasons that say nothing of the advice: what was overridden for one of these is shown again.
    """
    last = _last(connection.execute(_ANSWERED, {"patient": patient}).mappings())
    found = {row["basis"]: row["at"][:10] for row in connection.execute(_DECIDED, {"patient": patient}).mappings()}
    for one in last:
        # A card without a basis of its own is about nothing that could fall silent.
        if one["outcome"] == "overridden" and one["basis"] and one["reason_code"] not in delivery:
            found[one["basis"]] = max(one["outcome_at"][:10], found.get(one["basis"], ""))
    return found


def withdrawals(connection: Connection, patient: str, delivery: Collection[str]) -> tuple[Withdrawal, ...]:
    """What was shown and then taken back, until a card that tells of it was answered, or 90 days passed.

    Those of one question and line are one, the newest, which names the others. `delivery` as for `answered`.
    """
    asked = {"patient": patient, "since": instant(datetime.now(UTC) - _WITHDRAWALS_SHOWN_FOR)}
    rows = connection.execute(_TAKEN_BACK, asked).mappings().all()
    if not rows:
        return ()
    told: dict[str, int] = {}
    for row in connection.execute(_TOLD, asked).mappings():
        if row["reason_code"] not in delivery:
            told[row["advisory_id"]] = max(row["number"], told.get(row["advisory_id"], 0))
    found: dict[str, list[Withdrawal]] = {}
    for row in rows:
        if row["number"] > told.get(row["advisory_id"], 0):
            found.setdefault(row["advisory_id"], []).append(_taken_back(connection, row))
    newest = [replace(of_one[-1], earlier=tuple(of_one[-2::-1])) for of_one in found.values()]
    return tuple(sorted(newest, key=lambda one: (one.at, one.event_id)))


def _taken_back(connection: Connection, row: RowMapping) -> Withdrawal:
    words, still = content.said(row["said"]), None
    if row["kind"] != Kind.WITHDRAWN.value:  # its words are those of the advice that goes on
        before = {"advisory": row["advisory_id"], "number": row["number"]}
        words, still = content.said(connection.execute(_BEFORE, before).scalar_one()), words
    return Withdrawal(row["id"], row["advisory_id"], row["at"], row["reason"], words, still)


def _last(answers: Iterable[RowMapping]) -> list[RowMapping]:
    """The answer that counts of each card: that of the latest outcome, of equals the one that came last."""
    found: dict[str, tuple[tuple[datetime, str], RowMapping]] = {}
    for row in answers:
        stated = when(row["outcome_at"])
        rank = (
            stated.instant if stated is not None and stated.instant else datetime.min.replace(tzinfo=UTC),
            row["at"],
        )
        if row["card_id"] not in found or found[row["card_id"]][0] <= rank:
            found[row["card_id"]] = rank, row
    return [row for _, row in found.values()]


def _decided() -> Select[Any]:
    disposition, newer = tables.disposition, tables.disposition.alias("newer")
    replaced = exists().where(
        newer.c.advisory_id == disposition.c.advisory_id,
        newer.c.revision == disposition.c.revision,
        func.coalesce(newer.c.number, 0) > func.coalesce(disposition.c.number, 0),
    )
    # What a board did not get to is no answer: it is shown again.
    return select(disposition.c.basis, disposition.c.at).where(
        disposition.c.patient_id == bindparam("patient"), disposition.c.code != "not-discussed", ~replaced
    )


def _taken_back_since() -> Select[Any]:
    event, shown = tables.event, tables.card.alias("shown")
    goes_on = and_(event.c.kind.in_([Kind.UPDATED.value, Kind.CONFIRMED.value]), event.c.reason == "entered-in-error")
    return (
        select(event)
        .where(
            event.c.patient_id == bindparam("patient"),
            or_(event.c.kind == Kind.WITHDRAWN.value, goes_on),
            event.c.at >= bindparam("since"),
            exists().where(
                shown.c.advisory_id == event.c.advisory_id, shown.c.kind == "advice", shown.c.at < event.c.at
            ),
        )
        .order_by(event.c.at, event.c.number)
    )


# Asked at every evaluation, so put together once.
_ANSWERS = select(tables.feedback, tables.card.c.basis, tables.card.c.rule, tables.card.c.rule_hash).join(
    tables.card, tables.feedback.c.card_id == tables.card.c.id
)
_ANSWERED = _ANSWERS.where(tables.feedback.c.patient_id == bindparam("patient"))
_DECIDED, _TAKEN_BACK = _decided(), _taken_back_since()
_TOLD = (
    select(tables.event.c.advisory_id, tables.event.c.number, tables.feedback.c.reason_code)
    .join(tables.card, tables.card.c.basis == tables.event.c.id)
    .join(tables.feedback, tables.feedback.c.card_id == tables.card.c.id)
    .where(tables.event.c.patient_id == bindparam("patient"), tables.card.c.kind == "withdrawal")
)
_BEFORE = (
    select(tables.event.c.said)
    .where(
        tables.event.c.advisory_id == bindparam("advisory"),
        tables.event.c.number < bindparam("number"),
        tables.event.c.kind.in_([Kind.OPENED.value, Kind.UPDATED.value, Kind.CONFIRMED.value]),
    )
    .order_by(tables.event.c.number.desc())
    .limit(1)
)


class Responses:
    """Takes answers into the record; safe to share between threads."""

    def __init__(self, database: Database, checkpoints: Checkpoints | None = None):
        self._database = database
        self._checkpoints = checkpoints

    def feedback(self, answers: Sequence[Answer], client: str, tenant: str | None = None) -> Taken:
        """Record feedback, all of it or none; the same sent again is taken once. Raises `RecordUnavailable`, `NoSuchSuggestion`.

        Cards of another tenant are not known.
        """
        taken, number = Taken(), 0
        with self._database.writing() as connection:
            wanted = select(tables.card.c.id, tables.card.c.patient_id, tables.card.c.evaluation_id).where(
                tables.card.c.id.in_([answer.card for answer in answers])
            )
            if tenant is not None:
                theirs = tables.patient.c.id == tables.card.c.patient_id
                wanted = wanted.join(tables.patient, theirs).where(tables.patient.c.tenant == tenant)
            cards = {row.id: row for row in connection.execute(wanted)}
            owners = {key: row.patient_id for key, row in cards.items()}
            # Always in the same order, so that two batches cannot wait for each other.
            patients = {key: _hold(connection, key) for key in sorted(set(owners.values()))}
            entries: dict[str, Entry] = {}
            for place, answer in enumerate(answers):
                if answer.card not in owners:
                    taken.unknown.append(answer.card)
                    continue
                if answer.suggestions:
                    _check_suggestions(connection, place, answer, cards[answer.card].evaluation_id)
                if (row := self._answer(connection, answer, owners[answer.card])) is not None:
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
        """For each version of each rule how often its cards were shown, accepted and overridden, and with which reasons.

        Of several answers to one card that with the latest outcome counts.
        """
        card = tables.card
        with self._database.reading() as connection:
            shown = connection.execute(
                select(card.c.rule, card.c.rule_hash, func.count())
                .where(card.c.kind == "advice")
                .group_by(card.c.rule, card.c.rule_hash)
                .order_by(card.c.rule, card.c.rule_hash)
            ).all()
            answered = _last(connection.execute(_ANSWERS.where(card.c.kind == "advice")).mappings())
        found: dict[tuple[str, str], dict[str, Any]] = {
            (rule, version): {
                "rule": rule, "version": version, "shown": count, "accepted": 0, "overridden": 0, "reasons": Counter(),
            }
            for rule, version, count in shown
        }  # fmt: skip
        for one in answered:
            row = found[one["rule"], one["rule_hash"]]
            row[one["outcome"]] += 1
            if one["reason_code"]:
                row["reasons"][one["reason_code"]] += 1
        return [{**row, "reasons": dict(sorted(row["reasons"].items()))} for row in found.values()]

    def first_use(self, issuer: str, token_id: str, expires: datetime) -> bool:
        """Whether a token is seen for the first time, by any worker on any host.

        Tokens are forgotten an hour after they have expired: a host whose clock is ahead must not forget what another still takes.
        """
        digest = hashlib.sha256(json.dumps([issuer, token_id]).encode()).hexdigest()
        try:
            with self._database.writing() as connection:
                if self._database.lock_if_free(connection, _FORGETTING):
                    long_ago = instant(datetime.now(UTC) - _CLOCKS_APART)
                    connection.execute(delete(tables.token).where(tables.token.c.expires < long_ago))
                connection.execute(insert(tables.token), {"digest": digest, "expires": instant(expires)})
        except IntegrityError:
            return False
        return True


def _hold(connection: Connection, patient: str) -> Any:
    """The patient's row, held until the transaction ends."""
    wanted = select(tables.patient).where(tables.patient.c.id == patient).with_for_update()
    return connection.execute(wanted).mappings().one()


def _check_suggestions(connection: Connection, number: int, answer: Answer, evaluation: str) -> None:
    """Raises `NoSuchSuggestion`. Of a card whose text is not kept it cannot be told what it suggested."""
    given = connection.execute(select(tables.guidance.c.content).where(tables.guidance.c.id == evaluation)).scalar()
    if given is None:
        return
    cards = [one for kept in content.unpacked(given) for one in kept.get("action", ())]
    offered = [{each["id"] for each in one.get("action", ())} for one in cards if one["id"] == answer.card]
    for which, key in enumerate(answer.suggestions if offered else ()):
        if key not in offered[0]:
            raise NoSuchSuggestion(number, which)
