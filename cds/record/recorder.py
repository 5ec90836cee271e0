"""One evaluation into the record, in one transaction: its inputs and findings, what it makes of each advisory, its cards."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, bindparam, func, insert, select, update

from cds.advice.advisory import Advisory
from cds.advice.withdrawal import Withdrawal
from cds.advice.wording import Wording
from cds.errors import ExowatchError
from cds.reasoning.findings import Evaluation
from cds.reasoning.rulebook import RuleBook
from cds.record import answers, content, tables
from cds.record.arrivals import Arrivals
from cds.record.audit import Checkpoints, Entry, after, append, canonical, instant, now, salted
from cds.record.database import Database
from cds.record.followup import FollowUp
from cds.record.identity import Identity, merge_into, patient_of
from cds.record.lifecycle import Found, Kind, Span, Standing, Step, steps, unanswered
from cds.record.lines import advised_of, columns_of, of_line, seen_in, span_of
from cds.record.meant import Asking, Meant, meant, name_anew, replaced_by, still
from cds.record.meetings import Meetings
from cds.record.ownership import Person, identify
from cds.record.queue import Queue
from cds.record.responses import Responses, answered, withdrawals
from cds.record.reviews import Reviews
from cds.record.rule_texts import RuleTexts
from cds.record.standing import Open, left_open, since


@dataclass(frozen=True, slots=True)
class ShownCard:
    """A card that is about to be shown: its uuid, and what it is about."""

    id: str
    rule: str
    rule_hash: str
    basis: str
    advisory_id: str | None = None
    kind: str = "advice"


@dataclass(frozen=True, slots=True)
class Known:
    """What the record says once an evaluation is in it, before anything is shown."""

    evaluation_id: str
    advisories: Mapping[str, str]  # digest of an Advisory → id of the advisory that it belongs to
    answered: Mapping[str, str]  # digests of what was answered → the day: the same evidence has no card again
    withdrawals: tuple[Withdrawal, ...]
    events: tuple[tuple[str, Step], ...] = ()  # advisory id, what happened to it
    left_open: tuple[Open, ...] = ()  # what was found before and this evaluation can neither repeat nor settle
    since: Mapping[str, str] = field(default_factory=dict)  # question → the day since when its answer is what it is

    @property
    def silenced(self) -> frozenset[str]:
        """The digests that were answered."""
        return frozenset(self.answered)


class Overtaken(ExowatchError):
    """Results arrived since those of the evaluation were read, or it is somebody else by now: nothing was recorded; read

    again, and evaluate anew.
    """


@dataclass(slots=True)
class Asked:
    """An evaluation that is to be recorded. `show` says which cards are shown, once the record is known; `guidance` gives the

    same as FHIR.
    """

    who: Identity
    inputs: Any  # plain JSON data
    moment: str
    occasion: str
    evaluation: Evaluation
    advisories: Sequence[Advisory]
    client: str = ""
    replaces: Sequence[str] = ()  # references of patients that this one replaces: `Patient.link`
    show: Callable[[Known], Sequence[ShownCard]] = field(default=lambda _known: ())
    guidance: Callable[[Known], Sequence[Mapping[str, Any]]] = field(default=lambda _known: ())  # called after `show`
    person: Person | None = None  # as the patient's own record has them; None if it was not read
    due: str | None = None  # what `Arrivals.of` said when the results were read; None if they were not
    meant: Meant | None = None  # how it was told that it is them; None if somebody named a row of the record


class Recorder:
    """Writes evaluations; safe to share between threads, and between processes on one database.

    `clock` says when they are made, and when boards decide and meet (default: now): only what is played back from the past needs
    another. The audit has its own.
    """

    def __init__(
        self,
        database: Database,
        book: RuleBook,
        checkpoints: Checkpoints | None = None,
        clock: Callable[[], datetime] | None = None,
    ):
        self.database = database
        self.clock = clock or partial(datetime.now, UTC)
        self.responses = Responses(database, checkpoints)
        self.arrivals = Arrivals(database, checkpoints)
        self.queue = Queue(database)
        self.reviews = Reviews(database, checkpoints, self.clock)
        self.follow_up = FollowUp(database, checkpoints, self.clock)
        self.meetings = Meetings(database, checkpoints, self.clock)
        self.delivery = Wording(book).about_delivery()
        self._book = book
        self._rule_texts = RuleTexts(database, book)
        self.checkpoints = checkpoints
        self._versions = content.versions()

    def cover(self) -> None:
        """Write a checkpoint of all that is recorded, where checkpoints are kept; one that cannot be written is logged."""
        if self.checkpoints is not None:
            self.checkpoints.cover(self.database)

    def meant(self, asking: Asking) -> Meant:
        """Whom a request means. Raises `RecordUnavailable`."""
        with self.database.reading() as connection:
            return meant(connection, asking)

    def record(self, asked: Asked) -> Known:
        """Record an evaluation and what is shown of it. Raises `RecordUnavailable` and `Overtaken`: nothing was recorded."""
        # Before the transaction, in which only one may write.
        inputs, findings = content.Packed.of(asked.inputs), content.Packed.of(content.findings(asked.evaluation))
        return self.database.in_time(lambda: self._write(asked, inputs, findings))

    def _write(self, asked: Asked, inputs: content.Packed, findings: content.Packed) -> Known:
        with self.database.writing() as connection:
            writing = _Writing(self, connection, asked)
            known = writing.write(inputs, findings)
            self._rule_texts.keep(connection, writing.entry)
            number = append(self.database, connection, writing.entry)
        self._rule_texts.committed()
        if self.checkpoints is not None:
            self.checkpoints.keep_up(self.database, number)
        return known


class _Writing:
    """One transaction."""

    def __init__(self, recorder: Recorder, connection: Connection, asked: Asked):
        self._recorder = recorder
        self._book = recorder._book
        self._connection = connection
        self._asked = asked
        if asked.meant is not None and not still(recorder.database, connection, asked.meant):
            raise Overtaken("the patient became known meanwhile")
        row, made = patient_of(recorder.database, connection, asked.who, now())
        if made and asked.meant is not None and asked.meant.key:
            raise Overtaken("the patient is another by now")
        # What is recorded of a patient later is later, whatever the clocks of several machines say.
        last = connection.execute(_LAST, {"patient": row["id"]}).scalar()
        at = recorder.clock()
        self._at = after(last, at) if last else instant(at)
        self._patient, self._salt = row["id"], row["salt"]
        self._current: dict[str, Mapping[Any, Any]] = {}  # the patient's advisories, by id
        self._known = {rule.name for rule in recorder._book.rules if rule.status == "active"}
        self.entry = Entry(
            asked.who.tenant, asked.client or asked.occasion, "evaluate", salted(self._patient, self._salt)
        )
        if made:
            self.entry.wrote(tables.patient, dict(row), self._salt)
        if asked.due is not None and row["due"] != asked.due:
            raise Overtaken("results arrived while the patient was evaluated")
        due = _still_due(asked)
        if asked.due is not None and asked.due != due:
            connection.execute(update(tables.patient).where(tables.patient.c.id == row["id"]), {"due": due})
        if asked.meant is not None and asked.meant.base != asked.who.server:
            name_anew(connection, self.entry, asked.meant)
        if asked.person is not None:
            identify(connection, self.entry, row, asked.person)
        for reference in asked.replaces:
            gone = replaced_by(connection, asked.meant, asked.who, reference)
            other, _ = patient_of(recorder.database, connection, gone, self._at)
            if other["id"] != row["id"]:
                merge_into(connection, dict(row), dict(other), self.entry)

    def write(self, inputs: content.Packed, findings: content.Packed) -> Known:
        asked = self._asked
        evaluation_id = self._evaluation(inputs, findings)
        belongs, events = self._advance(evaluation_id)
        connection, patient = self._connection, self._patient
        of = (connection, patient, self._recorder.delivery)
        known = Known(
            evaluation_id, belongs, answered(*of), withdrawals(*of), tuple(events),
            left_open(connection, self._current.values(), asked.evaluation.chart), since(connection, patient),
        )  # fmt: skip
        cards = asked.show(known)
        ids = [shown.id for shown in cards]
        again = (
            set(connection.execute(select(tables.card.c.id).where(tables.card.c.id.in_(ids))).scalars())
            if ids
            else set()
        )
        for shown in cards:
            if shown.id not in again:  # the same call sent twice: its cards are the same
                self._insert(
                    tables.card,
                    {
                        "id": shown.id, "evaluation_id": evaluation_id, "advisory_id": shown.advisory_id,
                        "kind": shown.kind, "rule": shown.rule, "rule_hash": shown.rule_hash, "basis": shown.basis,
                        "client": asked.client, "at": self._at,
                    },
                )  # fmt: skip
        if given := asked.guidance(known):
            self._insert(tables.guidance, {"id": evaluation_id, "at": self._at, "content": content.packed(list(given))})
        return known

    # evaluation ----------------------------------------------------------------------------------------------------

    def _evaluation(self, inputs: content.Packed, findings: content.Packed) -> str:
        asked = self._asked
        digest = salted(inputs.digest, self._salt)
        inputs_id = self._connection.execute(_SEEN, {"patient": self._patient, "digest": digest}).scalar()
        if inputs_id is None:
            row = {"id": _new(), "digest": digest, "content": inputs.stored}
            inputs_id = self._insert(tables.inputs, row)
        return self._insert(
            tables.evaluation,
            {
                "id": _new(),
                "inputs_id": inputs_id,
                "at": self._at,
                "as_of": asked.moment,
                "occasion": asked.occasion,
                "client": asked.client,
                "rulebook": asked.evaluation.rulebook_hash,
                "versions": canonical(self._recorder._versions),
                "findings": findings.stored,
                "findings_digest": findings.digest,
            },
        )

    # advisories ----------------------------------------------------------------------------------------------------

    def _advance(self, evaluation_id: str) -> tuple[dict[str, str], list[tuple[str, Step]]]:
        """What the evaluation makes of every advisory of the patient: ids by digest of what is said now, and the events."""
        evaluation, chart = self._asked.evaluation, self._asked.evaluation.chart
        seen = seen_in(chart)
        said: dict[str, Advisory] = {}
        for advisory in self._asked.advisories:
            for name in (*advisory.rule.also, advisory.rule.name):
                said[name] = advisory
        rows: dict[str, list[RowMapping]] = defaultdict(list)
        for row in self._advisories():
            rows[row["question"]].append(row)
            self._current[row["id"]] = row
        belongs: dict[str, str] = {}
        events: list[tuple[str, Step]] = []
        active = {name: finding for name, finding in evaluation.answers.items() if finding.rule.status == "active"}
        for name in sorted({*rows, *active}):
            finding, advisory_now = active.get(name), said.get(name)
            if finding is None:
                nothing = Found("", "", "", None, *seen)
                withheld, known = name in self._book.withheld, name in self._known
                for row in rows[name]:
                    taken = unanswered(advised_of(row), nothing, withheld=withheld, known=known)
                    self._take(row, taken, nothing, None, evaluation_id, events)
                continue
            # What several rules would say alike is worded once: a finding without words of its own still counts.
            basis = advisory_now.digest if advisory_now is not None else ""
            found = Found(finding.state, basis, finding.rule.hash, span_of(finding), *seen)
            mine = of_line(rows[name], found.span)
            for row in rows[name]:
                if row is not mine:
                    other_line = found.span is not None
                    taken = unanswered(advised_of(row), found) if other_line else steps(advised_of(row), found)
                    self._take(row, taken, found, advisory_now, evaluation_id, events)
            if found.span is not None:
                taken = steps(None if mine is None else advised_of(mine), found)
                own = self._take(mine, taken, found, advisory_now, evaluation_id, events, question=name)
                if own is not None and advisory_now is not None:
                    belongs[advisory_now.digest] = own
        answered = answers.Answered(
            evaluation_id, self._at, self._asked.who.tenant, self._patient, self._salt, active, said,
            tuple(self._current.values()), events, self._book.windows.elements,
        )  # fmt: skip
        answers.keep(self._connection, self.entry, answered)
        return belongs, events

    def _take(
        self,
        row: RowMapping | None,
        taken: Sequence[Step],
        found: Found,
        advisory: Advisory | None,
        evaluation_id: str,
        events: list[tuple[str, Step]],
        question: str = "",
    ) -> str | None:
        """Write the steps of one advisory, and its row as they leave it; its id, None if there is none."""
        if not taken:
            return None if row is None else str(row["id"])
        current: dict[str, Any] = dict(row) if row is not None else {
            "id": _new(), "patient_id": self._patient, "tenant": self._asked.who.tenant, "question": question, "opened": self._at, "revision": 0,
        }  # fmt: skip
        before = self._last_claim(current["id"]) if row is not None else None
        for step in taken:
            claims = step.leads_to is Standing.OPEN
            current |= {"standing": step.leads_to.value, "changed": self._at, "revision": current["revision"] + 1}
            if claims and advisory is not None and found.span is not None:
                current |= _as_claimed(found, found.span, advisory)
            if step.kind is Kind.CLOSED:
                rests_on = {ref for ref, _, _ in json.loads(current["results"])}
                newer = sorted(one.ref for one in (advisory.readings if advisory else ()) if one.ref not in rests_on)
                current["ended_by"] = canonical(newer if step.reason == "below-limit" else [])
            # A withdrawal keeps what was said, so that whoever saw it can be told what holds no more.
            words = before if advisory is None or step.kind is Kind.WITHDRAWN else content.packed(advisory)
            event = {
                "advisory_id": current["id"], "number": current["revision"], "kind": step.kind.value, "reason": step.reason,
                "state": found.state, "basis": current["basis"], "at": self._at, "evaluation_id": evaluation_id,
                "said": words or content.packed(None), "rule_hash": found.rule_hash or None,
            }  # fmt: skip
            if row is None and current["revision"] == 1:
                self._insert(tables.advisory, current)
            self._insert(tables.event, {"id": _new(), **event})
            events.append((current["id"], step))
        self._connection.execute(
            update(tables.advisory).where(tables.advisory.c.id == current["id"]), _without(current, "id")
        )
        self.entry.wrote(tables.advisory, current, self._salt)
        self._current[current["id"]] = current
        return str(current["id"])

    def _advisories(self) -> Sequence[RowMapping]:
        return self._connection.execute(_ADVISED, {"patient": self._patient}).mappings().all()

    def _last_claim(self, advisory_id: str) -> bytes | None:
        """What was said by the event that claimed last."""
        kinds = (Kind.OPENED, Kind.UPDATED, Kind.CONFIRMED)
        wanted = (
            select(tables.event.c.said)
            .where(tables.event.c.advisory_id == advisory_id, tables.event.c.kind.in_([kind.value for kind in kinds]))
            .order_by(tables.event.c.number.desc())
            .limit(1)
        )
        return self._connection.execute(wanted).scalar()

    def _insert(self, table: Table, values: Mapping[str, Any]) -> str:
        row = {"patient_id": self._patient, **values}
        self._connection.execute(insert(table), row)
        self.entry.wrote(table, row, self._salt)
        return str(row["id"])


# Asked at every evaluation, so put together once.
_ADVISED = (
    select(tables.advisory)
    .where(tables.advisory.c.patient_id == bindparam("patient"))
    .order_by(tables.advisory.c.opened, tables.advisory.c.id)
)
_LAST = select(func.max(tables.evaluation.c.at)).where(tables.evaluation.c.patient_id == bindparam("patient"))
_SEEN = select(tables.inputs.c.id).where(
    tables.inputs.c.patient_id == bindparam("patient"), tables.inputs.c.digest == bindparam("digest")
)


def _still_due(asked: Asked) -> str:
    """When the patient is due again without anybody's doing: something here says that it is still to come. "" if nothing does."""
    again = asked.evaluation.chart.again
    at = instant(again) if again is not None else ""
    return at if at > now() else ""


def _as_claimed(found: Found, span: Span, advisory: Advisory) -> dict[str, Any]:
    return {
        **columns_of(span),
        "state": found.state,
        "basis": found.basis,
        "rule_hash": found.rule_hash,
        "results": canonical([[one.ref, one.value, str(one.collected)] for one in advisory.readings]),
        "ended_by": "[]",
    }


def _without(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


def _new() -> str:
    return str(uuid.uuid4())
