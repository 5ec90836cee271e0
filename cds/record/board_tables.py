"""The tables of a board: who patients are, what each question was answered last, what people decided and what became of it."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from cds.record.columns import HASH, ID, LATER, TIME, key, metadata, of_patient

_DAY = String(10)

WORKLIST = (
    "tenant", "spoken", "rank", "since", "id", "state", "claim", "standing", "therapy", "markers", "withdrawn", "fold",
    "slope", "advisory_id", "patient_id",
)  # fmt: skip
"""The index of a list: in the order of its default, with all by which it is counted, filtered and sorted, so that only the rows of
a page are read."""


def _of_advisory() -> Column[str]:
    return Column("advisory_id", ID, ForeignKey("advisory.id"), nullable=False)


person = Table(
    "person",
    metadata,
    key(),
    of_patient(),  # one row for each patient; of two patients that are merged the row of the one who stays is kept
    Column("tenant", String(64), nullable=False),
    Column("family", String(128), nullable=False),
    Column("given", String(128), nullable=False),
    Column("born", _DAY, nullable=False),  # as the record states it, a year alone too; "" if it does not
    Column("sex", String(16), nullable=False),
    Column("number", String(64), nullable=False),  # record number
    Column("system", String(255), nullable=False),  # of the authority that gave the number; "" if not stated
    Column("sought", String(500), nullable=False),  # by which words they are found: see `names.sought_by`
    Column("at", TIME, nullable=False),
    Column("died", _DAY, info=LATER),  # day; "" if the record of whoever has died states none, NULL if they have not
    Index(None, "patient_id", "sought"),
    Index(None, "tenant", "sought", "patient_id"),
)

answer = Table(
    "answer",
    metadata,
    key(),
    of_patient(),
    Column("tenant", String(64), nullable=False),
    Column("question", String(128), nullable=False),  # the rule that asks it
    Column("markers", String(255), nullable=False),  # with a blank before and after each
    Column(
        "therapy", String(128), nullable=False
    ),  # class of the line; "" for an operation, and where no line is known
    Column("line_start", _DAY, nullable=False),
    Column("line_end", _DAY, nullable=False),
    Column("state", String(32), nullable=False),  # what the last evaluation answered
    Column("since", TIME, nullable=False),  # when the state became this
    Column("spoken", Boolean, nullable=False),  # false: another question of the patient says the same for this one
    Column("rank", Integer, nullable=False),  # what a board looks at first has the lowest: see `answers.urgency`
    Column("headline", Text, nullable=False),
    Column("missing", Text, nullable=False),  # [words of what is missing or failed, …] as JSON
    Column("fold", Float),  # latest value over its reference; NULL if there is none
    Column("slope", Float),  # factor in 30 days: see `cds.advice.trend`; NULL if it cannot be told
    Column("latest", _DAY, nullable=False),  # day of the newest usable sample; "" if there is none
    Column("advisory_id", ID, ForeignKey("advisory.id")),  # NULL: nothing was ever claimed
    Column("standing", String(32), nullable=False),  # of that advisory; "" without one
    Column("claim", String(32), nullable=False),  # state that the advisory claims while it is open; else ""
    Column("withdrawn", TIME, nullable=False),  # since when advice is withdrawn and nobody acknowledged it; else ""
    Column("evaluation_id", ID, ForeignKey("evaluation.id"), nullable=False),  # the one that changed it last
    Column("rule_hash", HASH, nullable=False),
    Column("at", TIME, nullable=False),
    Index(None, "patient_id"),
    Index(None, "advisory_id"),
    Index("ix_answer_worklist", *WORKLIST),
)

acknowledgement = Table(
    "acknowledgement",
    metadata,
    key(),
    of_patient(),
    _of_advisory(),
    Column("revision", Integer, nullable=False),  # of the advisory whose withdrawal was seen
    Column("by", String(128), nullable=False),
    Column("at", TIME, nullable=False),
    UniqueConstraint("advisory_id", "revision"),
    Index(None, "patient_id"),
)

meeting = Table(
    "meeting",
    metadata,
    key(),
    Column("tenant", String(64), nullable=False),
    Column("board", String(128), nullable=False),  # which board meets
    Column("day", _DAY, nullable=False),
    Column("status", String(16), nullable=False),  # planned | held | cancelled
    Column("attendees", Text, nullable=False),  # [role or pseudonym, …] as JSON
    Column("quorum", Boolean, nullable=False),
    Column("minutes", Text, nullable=False),
    Column("revision", Integer, nullable=False),  # counts changes of this row, so that nobody overwrites another's
    Column("by", String(128), nullable=False),  # who changed it last
    Column("at", TIME, nullable=False),
    Index(None, "tenant", "day"),
)

agenda = Table(
    "agenda",
    metadata,
    key(),
    of_patient(),
    Column("meeting_id", ID, ForeignKey("meeting.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("carried_from", ID, ForeignKey("meeting.id")),  # the meeting at which there was no time for it
    Column("status", String(16), nullable=False),  # open | discussed | carried
    Column("by", String(128), nullable=False),
    Column("at", TIME, nullable=False),
    Column(
        "found", Text, info=LATER
    ),  # what was found when the meeting was held, see `agendas.packed`; NULL until then
    Index(None, "meeting_id", "position"),
    Index(None, "patient_id"),
)

second_reading = Table(
    "second_reading",
    metadata,
    key(),
    of_patient(),
    Column("disposition_id", ID, ForeignKey("disposition.id"), nullable=False),
    Column("by", String(128), nullable=False),
    Column("agrees", Boolean, nullable=False),
    Column("content", LargeBinary, nullable=False),  # {"note": …}, canonical JSON, compressed
    Column("at", TIME, nullable=False),
    UniqueConstraint("disposition_id", "by"),
    Index(None, "patient_id"),
)

action = Table(
    "action",
    metadata,
    key(),
    of_patient(),
    _of_advisory(),
    Column("disposition_id", ID, ForeignKey("disposition.id"), nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("due", _DAY, nullable=False),  # "" if no day was set
    Column("status", String(16), nullable=False),  # see `followup.Status`
    Column("reason", String(32), nullable=False),  # why it was not done, or only partly; else ""
    Column("by", String(128), nullable=False),  # who said what became of it; "" while it is open
    Column("closed", TIME, nullable=False),  # "" while it is open
    Column("at", TIME, nullable=False),
    Column(
        "earlier", Text, info=LATER
    ),  # [[status, reason, by, closed], …] as JSON: what was corrected; NULL for nothing
    Index(None, "advisory_id"),
    Index(None, "patient_id"),
    Index(None, "tenant", "status", "due"),
)

outcome = Table(
    "outcome",
    metadata,
    key(),
    of_patient(),
    _of_advisory(),
    Column("months", Integer, nullable=False),  # after the advisory was opened: 3, 6 or 12
    Column("number", Integer, nullable=False),  # 1, then one for each amendment
    Column("response", String(16), nullable=False),
    Column("resistance", String(16), nullable=False),
    Column("by", String(128), nullable=False),
    Column("at", TIME, nullable=False),
    UniqueConstraint("advisory_id", "months", "number"),
    Index(None, "patient_id"),
)

rule_text = Table(
    "rule_text",
    metadata,
    Column("id", HASH, primary_key=True),  # the rule's hash
    Column("name", String(128), nullable=False),
    Column("text", Text, nullable=False),  # every file that the hash covers, its own first
    Column("at", TIME, nullable=False),  # when it was used first
)
