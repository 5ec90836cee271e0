"""Advice from before there was a worklist into it: what was said last stands there until the patient is evaluated again."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, exists, insert, or_, select

from cds.advice.advisory import Advisory
from cds.record import content, tables
from cds.record.answers import urgency
from cds.record.audit import append, canonical, instant, now
from cds.record.database import Database
from cds.record.identity import held_survivor
from cds.record.lifecycle import CLAIMS, Standing
from cds.record.reviews import entry_of

_WITHDRAWN_SINCE = timedelta(days=90)
_FIGURE = re.compile(r"\d[\d.]*(e-?\d+)?")


def adopt(database: Database) -> int:
    """Give open advisories, and those that were withdrawn of late, an answer if they have none; how many got one.

    Raises `RecordUnavailable`.
    """
    advisory = tables.advisory
    since = instant(datetime.now(UTC) - _WITHDRAWN_SINCE)
    open_ = advisory.c.standing.in_([Standing.OPEN.value, Standing.NOT_REASSESSABLE.value])
    of_late = (advisory.c.standing == Standing.WITHDRAWN.value) & (advisory.c.changed >= since)
    listed = exists().where(tables.answer.c.advisory_id == advisory.c.id)
    wanted = select(advisory).where(or_(open_, of_late), ~listed).order_by(advisory.c.patient_id, advisory.c.id)
    with database.reading() as connection:
        keys = list(dict.fromkeys(row["patient_id"] for row in connection.execute(wanted).mappings()))
    count = 0
    for key in keys:
        with database.writing() as connection:
            patient = held_survivor(connection, key)
            entry = entry_of(patient, "exowatch", "upgrade")
            for row in connection.execute(wanted.where(advisory.c.patient_id == patient["id"])).mappings().all():
                answer = _answer(connection, row)
                connection.execute(insert(tables.answer), answer)
                entry.wrote(tables.answer, answer, patient["salt"])
                count += 1
            if entry.rows:
                append(database, connection, entry)
    return count


def _answer(connection: Connection, row: RowMapping) -> dict[str, Any]:
    event = tables.event
    wanted = select(event).where(event.c.advisory_id == row["id"]).order_by(event.c.number.desc())
    events = connection.execute(wanted).mappings().all()
    last = events[0]
    said = next((content.said(one["said"]) for one in events if not content.is_nothing(one["said"])), None)
    is_open = Standing(row["standing"]).is_open
    # Where results were missing from the input there was no state: what was claimed is what is known.
    state = last["state"] or row["state"]
    withdrawn = "" if is_open else row["changed"]
    claim = row["state"] if is_open else ""
    words = said if said is not None and said.state == state else None
    return {
        "id": str(uuid.uuid4()),
        "patient_id": row["patient_id"],
        "tenant": row["tenant"],
        "question": row["question"],
        "markers": f" {' '.join(said.markers)} " if said is not None else "",
        "therapy": row["therapy"],
        "line_start": row["line_start"],
        "line_end": row["line_end"],
        "state": state,
        "since": last["at"],
        "spoken": True,
        "rank": urgency(state, claim, withdrawn),
        "headline": words.headline if words is not None else "",
        "missing": canonical([*words.reasons, *words.missing] if words is not None else []),
        "fold": _fold(words),
        "slope": None,
        "latest": max((str(one.collected) for one in said.readings if one.collected), default="") if said else "",
        "advisory_id": row["id"],
        "standing": row["standing"],
        "claim": claim,
        "withdrawn": withdrawn,
        "evaluation_id": last["evaluation_id"],
        "rule_hash": row["rule_hash"],
        "at": now(),
    }


def _fold(said: Advisory | None) -> float | None:
    if said is None or said.state not in CLAIMS:
        return None
    # As it was shown: which way a limit goes is told by its words alone.
    shown = [_FIGURE.search(one.fold) for one in said.changes if one.quantity == "value" and one.fold_low > 0]
    return max((float(found[0]) for found in shown if found), default=None)
