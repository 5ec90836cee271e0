"""The tables. Times are UTC instants as ISO 8601 text, so that both databases order, compare and hash them alike.

Every table with a `patient_id` belongs to one patient and is erased with them. `migrations/` builds these tables; a test
holds that the two agree.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text, UniqueConstraint

from cds.record.board_tables import (
    acknowledgement,
    action,
    agenda,
    answer,
    meeting,
    outcome,
    person,
    rule_text,
    second_reading,
)  # fmt: skip
from cds.record.columns import HASH as _HASH
from cds.record.columns import ID as _ID
from cds.record.columns import LATER as _LATER
from cds.record.columns import TIME as _TIME
from cds.record.columns import key as _key
from cds.record.columns import metadata
from cds.record.columns import of_patient as _of_patient

patient = Table(
    "patient",
    metadata,
    _key(),
    Column("tenant", String(64), nullable=False),
    Column("server", String(255), nullable=False),  # base URL of the FHIR server; "" if unknown
    Column("reference", String(300), nullable=False),  # "Patient/123"
    Column(
        "salt", _HASH, nullable=False
    ),  # what makes this patient's digests in the audit unreadable once it is erased
    Column("merged_into", _ID, ForeignKey("patient.id")),
    Column("created", _TIME, nullable=False),
    Column(
        "due", _TIME, nullable=False, server_default=""
    ),  # when results came that no evaluation has seen, or when some that are here begin to count; "" if none
    UniqueConstraint("tenant", "server", "reference"),
    Index(None, "tenant", "reference"),  # people ask for an id before they ask of which server
    Index(None, "due"),
)

identifier = Table(
    "identifier",
    metadata,
    _key(),
    _of_patient(),
    Column("tenant", String(64), nullable=False),
    Column("system", String(255), nullable=False),  # of the authority that gave it
    Column("value", String(255), nullable=False),
    Column("born", String(10), nullable=False),  # the patient's date of birth as it is known with it; "" if not
    Column(
        "source", String(16), nullable=False
    ),  # "record": it stands in the patient's record; "person": somebody said so
    Column("ended", _TIME, nullable=False),  # since when it is the patient's no more; "" while it is
    Column("at", _TIME, nullable=False),
    Index(None, "tenant", "system", "value"),
    Index(None, "patient_id"),
)

delivery = Table(
    "delivery",
    metadata,
    _key(),
    Column("tenant", String(64), nullable=False),
    Column("laboratory", String(64), nullable=False),
    Column("source", String(255), nullable=False),  # a file's name, the address of a sender
    Column("digest", _HASH, nullable=False),  # of what was sent, byte for byte
    Column("counted", Integer, nullable=False),
    Column("mapped", Integer, nullable=False),
    Column("refused", Text, nullable=False),  # [[where, what, why, results], …] as JSON, without what stood there
    Column("at", _TIME, nullable=False),
    UniqueConstraint("tenant", "laboratory", "digest"),
    Index(None, "tenant", "at"),
)

arrival = Table(
    "arrival",
    metadata,
    _key(),
    Column("patient_id", _ID, ForeignKey("patient.id")),  # None while it is not known whose results they are
    Column("tenant", String(64), nullable=False),
    Column("laboratory", String(64), nullable=False),
    Column("source", String(255), nullable=False),
    Column("digest", _HASH, nullable=False),  # of the results: sent twice, they are stored once
    Column("person", LargeBinary, nullable=False),  # whose they are as the sender says it, compressed
    Column("resources", LargeBinary, nullable=False),  # FHIR, compressed
    Column("results", Integer, nullable=False),
    Column("waits", String(16), nullable=False),  # why it waits for somebody: see `arrivals.Waits`; "" if it does not
    Column("by", String(128), nullable=False),  # who said whose they are; "" if their identifiers did
    Column("at", _TIME, nullable=False),
    UniqueConstraint("tenant", "laboratory", "digest"),
    Index(None, "patient_id", "at"),
    Index(None, "tenant", "waits", "at"),
)

sought = Table(
    "sought",
    metadata,
    # By what a patient who becomes known is found to be whom results wait for; gone when they wait no more.
    Column("arrival_id", _ID, ForeignKey("arrival.id"), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("system", String(255), primary_key=True),  # of the authority; of a reference the FHIR server
    Column("value", String(255), primary_key=True),
    Index(None, "tenant", "system", "value"),
)

claim = Table(
    "claim",
    metadata,
    # By what the same result is found again, whosever it is said to be.
    Column("arrival_id", _ID, ForeignKey("arrival.id"), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("laboratory", String(64), nullable=False),
    Column("result", _HASH, primary_key=True),  # a digest of what the laboratory calls it
    Index(None, "tenant", "laboratory", "result"),
)

inputs = Table(
    "inputs",
    metadata,
    _key(),
    _of_patient(),
    Column("digest", _HASH, nullable=False),  # of the canonical JSON, salted
    Column("content", LargeBinary, nullable=False),  # canonical JSON, compressed
    UniqueConstraint("patient_id", "digest"),
)

evaluation = Table(
    "evaluation",
    metadata,
    _key(),
    _of_patient(),
    Column("inputs_id", _ID, ForeignKey("inputs.id"), nullable=False),
    Column("at", _TIME, nullable=False),
    Column("as_of", String(40), nullable=False),  # the moment of the chart: a day or an instant
    Column("occasion", String(64), nullable=False),  # which service or command asked
    Column("client", String(64), nullable=False),
    Column("rulebook", _HASH, nullable=False),
    Column("versions", Text, nullable=False),  # of this software, the engine and the interpreter, as JSON
    Column("findings", LargeBinary, nullable=False),  # canonical JSON, compressed
    Column("findings_digest", _HASH, nullable=False),
    Index(None, "patient_id", "at"),
    Index(None, "at"),
)

guidance = Table(
    "guidance",
    metadata,
    Column("id", _ID, ForeignKey("evaluation.id"), primary_key=True),
    _of_patient(),
    Column("at", _TIME, nullable=False),
    Column("content", LargeBinary, nullable=False),  # GuidanceResponse and RequestGroup as they were given, compressed
    Index(None, "patient_id", "at"),
)

advisory = Table(
    "advisory",
    metadata,
    _key(),
    _of_patient(),
    Column("tenant", String(64), nullable=False),  # the patient's: a board lists its own, the newest first
    Column("question", String(128), nullable=False),  # the rule that asks it
    Column("therapy", String(128), nullable=False),  # class of the line; "" for an operation
    Column("line_start", String(10), nullable=False),  # "" if not documented
    Column("line_end", String(10), nullable=False),  # "" if open
    Column("standing", String(32), nullable=False),  # see `lifecycle.Standing`
    Column("state", String(32), nullable=False),  # of the finding on which it stands
    Column("basis", _HASH, nullable=False),  # digest of what it rests on: the same as long as that is
    Column("results", Text, nullable=False),  # [[reference, value, day], …] on which it rests, as JSON
    Column("ended_by", Text, nullable=False),  # [reference, …] of the results on which it was closed, as JSON
    Column("rule_hash", _HASH, nullable=False),
    Column("opened", _TIME, nullable=False),
    Column("changed", _TIME, nullable=False),
    Column("revision", Integer, nullable=False),  # number of its last event
    Index(None, "patient_id", "question"),
    Index(None, "tenant", "standing", "changed", "id"),
    Index(None, "tenant", "changed", "id"),
)

event = Table(
    "advisory_event",
    metadata,
    _key(),
    _of_patient(),
    Column("advisory_id", _ID, ForeignKey("advisory.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("state", String(32), nullable=False),
    Column("basis", _HASH, nullable=False),
    Column("at", _TIME, nullable=False),
    Column("evaluation_id", _ID, ForeignKey("evaluation.id"), nullable=False),
    Column("said", LargeBinary, nullable=False),  # the Advisory as it was, canonical JSON, compressed
    Column("rule_hash", _HASH, info=_LATER),  # of the rule that found it
    UniqueConstraint("advisory_id", "number"),
    Index(None, "patient_id", "at"),
)

card = Table(
    "card",
    metadata,
    _key(),  # the card's own uuid
    _of_patient(),
    Column("evaluation_id", _ID, ForeignKey("evaluation.id"), nullable=False),
    Column("advisory_id", _ID, ForeignKey("advisory.id")),  # None: a card about data that could not be used
    Column("kind", String(32), nullable=False),  # "advice" or "withdrawal"
    Column("rule", String(128), nullable=False),
    Column("rule_hash", _HASH, nullable=False),
    Column("basis", _HASH, nullable=False),
    Column("client", String(64), nullable=False),
    Column("at", _TIME, nullable=False),
    Index(None, "advisory_id"),
    Index(None, "patient_id"),
    Index(None, "basis"),
    Index(None, "rule", "rule_hash"),
)

feedback = Table(
    "feedback",
    metadata,
    _key(),
    _of_patient(),
    Column("card_id", _ID, ForeignKey("card.id"), nullable=False),
    Column("outcome", String(16), nullable=False),  # accepted | overridden
    Column("reason_system", String(255), nullable=False),
    Column("reason_code", String(128), nullable=False),
    Column("commented", Boolean, nullable=False),  # whether a comment came with it; its words are not kept
    Column("suggestions", Text, nullable=False),  # uuids of accepted suggestions, as JSON
    Column("outcome_at", String(40), nullable=False),
    Column("at", _TIME, nullable=False),
    UniqueConstraint("card_id", "outcome", "outcome_at"),
    Index(None, "patient_id"),
)

disposition = Table(
    "disposition",
    metadata,
    _key(),
    _of_patient(),
    Column("advisory_id", _ID, ForeignKey("advisory.id"), nullable=False),
    Column("revision", Integer, nullable=False),  # of the advisory that was decided about
    Column("basis", _HASH, nullable=False),
    Column("code", String(64), nullable=False),
    Column("by", String(128), nullable=False),  # a role or a pseudonym, never a name
    Column("follow_up", String(10), nullable=False),  # the first day on which something is due, or ""
    Column("at", _TIME, nullable=False),
    Column("number", Integer, info=_LATER),  # 1, then one for each decision that takes the place of the last
    Column("reason", String(32), info=_LATER),  # code; "" if none was given
    Column("meeting_id", _ID, ForeignKey("meeting.id"), info=_LATER),
    Column("content", LargeBinary, info=_LATER),  # note, level, references, actions: canonical JSON, compressed
    UniqueConstraint("advisory_id", "number"),
    Index(None, "patient_id"),
)

token = Table(
    "token",
    metadata,
    Column("digest", _HASH, primary_key=True),  # of issuer and token id
    Column("expires", _TIME, nullable=False),
    Index(None, "expires"),
)

account = Table(
    "account",
    metadata,
    _key(),
    Column("tenant", String(64), nullable=False),
    Column("name", String(64), nullable=False),  # with which they sign in; stands in the audit
    Column("shown", String(128), nullable=False),  # how people call them
    Column("issuer", String(255), nullable=False),  # of whom else vouches for them; "" for a password of ours
    Column("subject", String(255), nullable=False),  # who they are to the issuer; the name, for a password of ours
    Column("password", String(255), nullable=False),  # argon2, with its own salt and parameters; "" if none
    Column("one_time", Boolean, nullable=False),  # whether somebody else made the password: it opens its change only
    Column("roles", String(128), nullable=False),  # in alphabetical order, with blanks between
    Column("failures", Integer, nullable=False),  # wrong passwords since the last right one
    Column("locked_until", _TIME, nullable=False),  # "" if it never was
    Column("disabled", Boolean, nullable=False),
    Column("salt", _HASH, nullable=False),  # of its digests in the audit
    Column("created", _TIME, nullable=False),
    Column("changed", _TIME, nullable=False),
    UniqueConstraint("tenant", "name"),
    UniqueConstraint("tenant", "issuer", "subject"),
)

session = Table(
    "session",
    metadata,
    Column("digest", _HASH, primary_key=True),  # of the token, which only the browser has
    Column("account_id", _ID, ForeignKey("account.id"), nullable=False),
    Column("patient", _ID, nullable=False),  # row of the only patient whom it opens; "" for all
    Column("created", _TIME, nullable=False),
    Column("seen", _TIME, nullable=False),
    Index(None, "account_id"),
)

audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", _TIME, nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("actor", String(64), nullable=False),
    Column("action", String(32), nullable=False),
    Column("subject", _HASH, nullable=False),  # salted digest of the patient; "" if about none
    # [[table, id, salted digest of the row or "" if it was erased], …] as JSON; or one of `audit.TOLD`, its text, ""
    Column("rows", Text, nullable=False),
    Column("previous", _HASH, nullable=False),
    Column("link", _HASH, nullable=False, unique=True),
    # Who reads the audit asks for a person, for one kind of entry, for a patient's digest, or for a day; the newest first.
    Index(None, "tenant", "actor", "number"),
    Index(None, "tenant", "action", "number"),
    Index(None, "tenant", "subject", "number"),
    Index(None, "tenant", "at"),
)

OF_PATIENT = (
    second_reading, action, outcome, acknowledgement, answer, agenda, person, feedback, disposition, card, event, advisory,
    guidance, evaluation, inputs, arrival, identifier,
)  # fmt: skip
"""The tables whose rows belong to a patient, in the order in which they can be erased."""

OF_NOBODY = (meeting, rule_text)
"""Tables whose rows belong to no patient and are part of the audit all the same."""

__all__ = [
    "OF_NOBODY", "OF_PATIENT", "account", "acknowledgement", "action", "advisory", "agenda", "answer", "arrival", "audit",
    "card", "claim", "delivery", "disposition", "evaluation", "event", "feedback", "guidance", "identifier", "inputs", "meeting",
    "metadata", "outcome", "patient", "person", "rule_text", "second_reading", "session", "sought", "token",
]  # fmt: skip
