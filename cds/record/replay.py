"""An evaluation computed anew from its stored inputs: on the same versions the same findings, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from cds.chart import Moment, read
from cds.errors import ExowatchError
from cds.reasoning.reasoner import Reasoner
from cds.record import content, tables
from cds.record.database import Database


class NoSuchEvaluation(ExowatchError):
    """There is no evaluation of that id, or more than one that begins so."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What came out. `same`: the findings are the stored ones, byte for byte; `other` names versions that differ."""

    evaluation_id: str
    at: str
    as_of: str
    same: bool
    other: tuple[str, ...]  # "rulebook: 1a2b… then, 3c4d… now"
    differences: tuple[str, ...]  # "trpc5-rise-on-chemotherapy: state: suspected → watch"
    states: Mapping[str, tuple[str, str]]  # question → state then and now; "" where it was not asked

    @property
    def explained(self) -> bool:
        """The same findings, or other versions that may account for the difference."""
        return self.same or bool(self.other)


def replay(database: Database, reasoner: Reasoner, evaluation_id: str) -> Replay:
    """Evaluate the stored inputs again with `reasoner`. `evaluation_id` may be cut short where it stays unambiguous.

    Raises `NoSuchEvaluation`, `RecordUnavailable`.
    """
    with database.reading() as connection:
        wanted = (
            select(tables.evaluation, tables.inputs.c.content, tables.patient.c.reference)
            .join(tables.inputs, tables.inputs.c.id == tables.evaluation.c.inputs_id)
            .join(tables.patient, tables.patient.c.id == tables.evaluation.c.patient_id)
            .where(tables.evaluation.c.id.startswith(evaluation_id, autoescape=True))
            .limit(2)
        )
        rows = connection.execute(wanted).mappings().all()
    if len(rows) != 1:
        raise NoSuchEvaluation(
            f"{'No evaluation has' if not rows else 'Several evaluations have an'} id that begins with '{evaluation_id}'. "
            "`exowatch record show ADVISORY` names those of an advisory"
        )
    (row,) = rows
    inputs = content.unpacked(row["content"])
    catalogue = reasoner.rulebook.catalogue
    # A hook's request says itself whose it was; since then the patient may have been merged into another.
    patient = None if "hook" in inputs else row["reference"]
    chart = read(inputs, catalogue, patient=patient).as_of(moment_of(inputs, row["as_of"]))
    packed = content.packed(content.findings(reasoner.evaluate(chart)))
    then, now = _plain(row["findings"]), _plain(packed)
    states = {
        name: tuple(found["answers"].get(name, {}).get("state", "") for found in (then, now))
        for name in sorted({*then["answers"], *now["answers"]})
    }
    return Replay(
        row["id"],
        row["at"],
        row["as_of"],
        content.canonical_bytes(packed) == content.canonical_bytes(row["findings"]),
        tuple(_other_versions(dict(row), reasoner)),
        tuple(content.differences(then, now)),
        {name: (was, is_) for name, (was, is_) in states.items()},
    )


def moment_of(inputs: Any, as_of: str) -> Moment:
    """The moment of a stored evaluation: as it was then, with the clocks of senders forgiven as far as they were."""
    skew = inputs.get("clockSkew") if isinstance(inputs, dict) else None
    if not isinstance(skew, int):
        return Moment.parse(as_of)
    return Moment.live(datetime.fromisoformat(as_of), timedelta(seconds=skew))


def _plain(packed: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(content.canonical_bytes(packed))
    return found


def _other_versions(row: Mapping[str, Any], reasoner: Reasoner) -> list[str]:
    then = {"rulebook": row["rulebook"][:12], **json.loads(row["versions"])}
    now = {"rulebook": reasoner.rulebook.hash[:12], **content.versions()}
    return [
        f"{name}: {then.get(name, 'none')} then, {now.get(name, 'none')} now"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
