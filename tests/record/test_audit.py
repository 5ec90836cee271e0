"""Tampering: whatever is edited, deleted, reordered, rewritten or cut off before the last checkpoint is found."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, LargeBinary, Table, delete, insert, select, text, update
from sqlalchemy.types import Boolean, Float, Integer

from cds.record import tables
from cds.record.arrivals import Delivered, Part
from cds.record.audit import GENESIS, Checkpoints, Verdict, link_of, verify
from cds.record.database import Database
from cds.record.ownership import Owner, Person
from cds.record.recorder import Recorder
from cds.record.responses import Answer, Responses
from tests.record.boards import A_SEASON, behind, named_visit, worked_on
from tests.record.visits import REASONER, visit, who

TRIALS = 125
"""For each kind of tampering and database; eight kinds."""


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints.jsonl")


@pytest.fixture
def lived(database: Database, checkpoints: Checkpoints) -> Database:
    """A record with every kind of row in it, covered by a checkpoint."""
    recorder, responses = Recorder(database, REASONER.rulebook, clock=behind(A_SEASON)), Responses(database)
    for day in ("2025-03-31", "2025-04-28", "2025-04-30"):
        visit(recorder, "A30", day)
    named_visit(recorder, "A01", "2025-12-31")
    owner = Owner((("https://ehr.example/mrn", "30"),), "1970-05-14")
    person = Person(who("Patient/A30"), owner.identifiers, owner.born)
    observation = {"resourceType": "Observation", "id": "1", "status": "final"}
    sent = Delivered("here", "lab", "file", b"1", "2025-05-01T00:00:00Z", 1, 1, (), [Part(owner, [observation], 1)])
    recorder.arrivals.take(sent, lambda _tenant, _owner: [person])
    with database.reading() as connection:
        card = connection.execute(select(tables.card.c.id).limit(1)).scalar_one()
    responses.feedback([Answer(card, "overridden", "2025-05-02T08:00:00Z", reason_code="not-relevant")], "ehr")
    assert worked_on(recorder) == 10
    with database.reading() as connection:
        checkpoints.write(connection)
    return database


def verdict(database: Database, checkpoints: Checkpoints) -> Verdict:
    with database.reading() as connection:
        return verify(connection, checkpoints.read())


def test_an_untouched_record_holds(lived: Database, checkpoints: Checkpoints) -> None:
    found = verdict(lived, checkpoints)
    assert found.holds, found.broken
    assert found.entries == found.checkpoint == 16
    assert found.uncovered == 0


def test_what_lies_after_the_last_checkpoint_is_counted(lived: Database, checkpoints: Checkpoints) -> None:
    visit(Recorder(lived, REASONER.rulebook), "A01", "2025-12-31")
    assert verdict(lived, checkpoints).uncovered == 1


def rows(connection: Connection, table: Table) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(select(table)).mappings()]


def key(table: Table) -> Any:
    return next(iter(table.primary_key.columns))


def edit_a_column(rng: random.Random, connection: Connection) -> str:
    table = rng.choice([tables.patient, tables.audit, *tables.OF_NOBODY, *tables.OF_PATIENT])
    row = rng.choice(rows(connection, table))
    # Ids that other rows refer to cannot be edited alone: the database itself refuses that.
    free = [c for c in table.columns if not c.foreign_keys and not (c.primary_key and table is not tables.audit)]
    if table is tables.patient:
        free = [c for c in free if c.name != "due"]  # a note to the service itself, set and cleared without an entry
    column = rng.choice(free)
    was = row[column.name]
    if isinstance(column.type, Boolean):
        value: Any = not was
    elif isinstance(column.type, (Integer, Float)):
        value = (was or 0) + rng.randint(1, 1000) * 1000
    elif isinstance(column.type, LargeBinary):
        was = was or b"\0"
        at = rng.randrange(len(was))
        value = was[:at] + bytes([was[at] ^ (1 << rng.randrange(8))]) + was[at + 1 :]
    else:
        was = was or ""
        at = rng.randrange(len(was) + 1)
        value = (was[:at] + rng.choice("0123456789abcdef") + was[at + 1 :])[: getattr(column.type, "length", None)]
        if value == was:
            value = ("f" if was[:1] != "f" else "e") + was[1:]
    connection.execute(update(table).where(key(table) == row[key(table).name]), {column.name: value})
    return f"{table.name}.{column.name}: {was!r} → {value!r}"


def delete_a_row(rng: random.Random, connection: Connection) -> str:
    alone = (tables.second_reading, tables.action, tables.outcome, tables.acknowledgement, tables.answer, tables.agenda)
    table = rng.choice([tables.audit, tables.feedback, tables.person, tables.meeting, tables.rule_text, *alone])
    if table is tables.meeting:
        connection.execute(update(tables.disposition), {"meeting_id": None})
        connection.execute(delete(tables.agenda))
    row = rng.choice(rows(connection, table))
    connection.execute(delete(table).where(key(table) == row[key(table).name]))
    return f"{table.name} deleted"


def delete_an_advisory_with_its_events(rng: random.Random, connection: Connection) -> str:
    row = rng.choice(rows(connection, tables.advisory))
    connection.execute(delete(tables.second_reading))
    for table in (
        tables.action, tables.outcome, tables.acknowledgement, tables.answer, tables.disposition, tables.event,
    ):  # fmt: skip
        connection.execute(delete(table).where(table.c.advisory_id == row["id"]))
    connection.execute(update(tables.card).where(tables.card.c.advisory_id == row["id"]), {"advisory_id": None})
    connection.execute(delete(tables.advisory).where(tables.advisory.c.id == row["id"]))
    return "advisory deleted"


def add_a_row(rng: random.Random, connection: Connection) -> str:
    forged = {tables.outcome: "number", tables.second_reading: "by", tables.acknowledgement: "revision"}
    table = rng.choice([tables.card, tables.evaluation, tables.action, tables.answer, tables.agenda, *forged])
    row = rng.choice(rows(connection, table))
    other: dict[str, Any] = {forged[table]: rng.randrange(2, 1000)} if table in forged else {}
    if table is tables.second_reading:
        other = {"by": "somebody"}
    connection.execute(insert(table), {**row, **other, "id": f"forged-{rng.randrange(10**9)}"})
    return f"{table.name} forged"


def reorder(rng: random.Random, connection: Connection) -> str:
    one, other = rng.sample(rows(connection, tables.audit), 2)
    for row, number in ((one, -1), (other, one["number"]), ({**one, "number": -1}, other["number"])):
        connection.execute(update(tables.audit).where(tables.audit.c.number == row["number"]), {"number": number})
    return "entries exchanged"


def rewrite_from_genesis(rng: random.Random, connection: Connection) -> str:
    """Edit one entry, and forge every link from the beginning, as who knows the code would."""
    chain = sorted(rows(connection, tables.audit), key=lambda row: row["number"])
    rng.choice(chain)["actor"] = f"somebody-{rng.randrange(10**6)}"
    return _forged(connection, chain)


def leave_one_out_and_renumber(rng: random.Random, connection: Connection) -> str:
    chain = sorted(rows(connection, tables.audit), key=lambda row: row["number"])
    del chain[rng.randrange(len(chain))]
    return _forged(connection, [{**row, "number": number} for number, row in enumerate(chain, 1)])


def cut_the_tail(rng: random.Random, connection: Connection) -> str:
    """Cut entries off, and delete what they recorded, so that nothing else tells."""
    last = connection.execute(select(tables.audit.c.number).order_by(tables.audit.c.number.desc())).scalars().all()
    keep = rng.randrange(1, len(last))
    connection.execute(delete(tables.audit).where(tables.audit.c.number > keep))
    for table in (tables.second_reading, tables.action, tables.outcome, tables.feedback, tables.disposition):
        connection.execute(delete(table))
    return f"cut back to {keep}"


def _forged(connection: Connection, chain: list[dict[str, Any]]) -> str:
    connection.execute(delete(tables.audit))
    previous = GENESIS
    for row in chain:
        row["previous"] = previous
        previous = row["link"] = link_of(row)
        connection.execute(insert(tables.audit), row)
    return "chain forged"


@pytest.mark.parametrize(
    "tamper",
    [
        edit_a_column, delete_a_row, delete_an_advisory_with_its_events, add_a_row, reorder, rewrite_from_genesis,
        leave_one_out_and_renumber, cut_the_tail,
    ],
)  # fmt: skip
def test_tampering_is_found(
    lived: Database, checkpoints: Checkpoints, tamper: Callable[[random.Random, Connection], str]
) -> None:
    known = checkpoints.read()
    with lived.writing() as connection:
        # A trial costs five times as much on PostgreSQL; what is done there in a way of its own is tried as often.
        for number in range(TRIALS if lived.is_sqlite or tamper is edit_a_column else TRIALS // 5):
            rng = random.Random(number)
            savepoint = connection.begin_nested()
            if tamper is edit_a_column and not lived.is_sqlite:
                connection.execute(text("SET CONSTRAINTS ALL DEFERRED"))
            what = tamper(rng, connection)
            found = verify(connection, known)
            assert not found.holds, f"trial {number}: {what}"
            savepoint.rollback()
        assert verify(connection, known).holds


def test_a_checkpoint_written_anew_does_not_hide_a_chain_that_was_cut_and_grew_again(
    lived: Database, checkpoints: Checkpoints
) -> None:
    with lived.writing() as connection:
        connection.execute(delete(tables.audit).where(tables.audit.c.number > 4))
        chain = [*rows(connection, tables.audit)]
        for _ in range(12):  # up to the entry that the checkpoint saw
            last = chain[-1]
            chain.append({**last, "number": last["number"] + 1, "rows": "[]"})
        _forged(connection, chain)
        checkpoints.write(connection)
    assert any("the chain was rewritten" in one for one in verdict(lived, checkpoints).broken)


def test_an_entry_that_legitimates_an_edit_is_a_fault_itself(lived: Database, checkpoints: Checkpoints) -> None:
    from cds.record.audit import Entry, append

    with lived.writing() as connection:
        row = rows(connection, tables.card)[0] | {"rule": "another"}
        connection.execute(update(tables.card).where(tables.card.c.id == row["id"]), {"rule": "another"})
        salt = connection.execute(
            select(tables.patient.c.salt).where(tables.patient.c.id == row["patient_id"])
        ).scalar_one()
        entry = Entry("here", "somebody", "feedback")
        entry.wrote(tables.card, row, salt)
        append(lived, connection, entry)
    assert any("which is written once" in one for one in verdict(lived, checkpoints).broken)
