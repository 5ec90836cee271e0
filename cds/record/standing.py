"""What stands on a patient's record and an evaluation can neither repeat nor settle, and since when answers are what they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from cds.advice.advisory import Advisory
from cds.chart.model import Chart
from cds.record import content, tables
from cds.record.lifecycle import Kind, Standing
from cds.record.lines import seen_in


@dataclass(frozen=True, slots=True)
class Open:
    """An advisory that stays open although the newest data cannot judge it. `said` is what it claims, `since` since which day.

    `sent`: whether all the results on which it rests are in the evaluation.
    """

    id: str
    question: str
    basis: str
    said: Advisory
    since: str
    sent: bool


def left_open(connection: Connection, advisories: Iterable[Mapping[Any, Any]], chart: Chart) -> tuple[Open, ...]:
    """Those of a patient's advisories, as an evaluation of the chart leaves them, that stand and are not said again."""
    results, _, _, _ = seen_in(chart)
    found = []
    for row in advisories:
        if Standing(row["standing"]) is not Standing.NOT_REASSESSABLE:
            continue
        claims = connection.execute(_CLAIMS, {"advisory": row["id"]}).mappings().all()
        # What several rules would say alike is worded once: the others have no words of their own.
        worded = next((claim["said"] for claim in claims if not content.is_nothing(claim["said"])), None)
        if worded is None or not (said := content.said(worded)).indicator:
            continue
        since = claims[0]["at"]
        for claim in claims:
            if claim["state"] != row["state"]:
                break
            since = claim["at"]
        sent = all(ref in results for ref, _, _ in json.loads(row["results"]))
        found.append(Open(row["id"], row["question"], row["basis"], said, since[:10], sent))
    return tuple(sorted(found, key=lambda one: (one.said.rank, one.since, one.id)))


def since(connection: Connection, patient: str) -> Mapping[str, str]:
    """For each question of a patient the day since when its answer is what it is."""
    return {row.question: row.since[:10] for row in connection.execute(_SINCE, {"patient": patient})}


# Asked at every evaluation, so put together once.
_CLAIMS = (
    select(tables.event.c.at, tables.event.c.state, tables.event.c.said)
    .where(
        tables.event.c.advisory_id == bindparam("advisory"),
        tables.event.c.kind.in_([Kind.OPENED.value, Kind.UPDATED.value, Kind.CONFIRMED.value]),
    )
    .order_by(tables.event.c.number.desc())
)
_SINCE = (
    select(tables.answer.c.question, func.max(tables.answer.c.since).label("since"))
    .where(tables.answer.c.patient_id == bindparam("patient"))
    .group_by(tables.answer.c.question)
)
