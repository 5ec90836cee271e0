"""What the last evaluation answered to each question of a patient, kept beside the advisories so that a board can list it.

An answer is there also where nothing is claimed: what could not be evaluated is listed, and never looks like no advice.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from cds.advice.advisory import Advisory
from cds.advice.trend import fold, slope
from cds.reasoning.findings import Finding
from cds.record import tables
from cds.record.audit import Entry, canonical
from cds.record.lifecycle import CLAIMS, Kind, Standing, Step
from cds.record.lines import columns_of, of_line, span_of, span_of_row

Row = Mapping[Any, Any]

_ORDER = (*CLAIMS, "hold", "data-quality", "not-evaluable", "no-flag", "background", "not-applicable", "out-of-scope")


def urgency(state: str, claim: str = "", withdrawn: str = "") -> int:
    """What a board looks at first has the lowest: advice that was withdrawn, then what is claimed, then what cannot be judged.

    `claim` is the state of an open advisory: what it claims stands while the newest data cannot be evaluated.
    """
    if withdrawn:
        return 0
    # A state that only a site's own rules know is listed.
    return 1 + min(_ORDER.index(one if one in _ORDER else "background") for one in (state, claim or state))


HIDDEN = urgency("not-applicable")
"""What is as urgent as that, or less, is not about the patient: a list shows it only if somebody asks for it."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An evaluation and what it made of the patient's advisories, whose rows stand here as it leaves them."""

    id: str
    at: str
    tenant: str
    patient: str
    salt: str
    found: Mapping[str, Finding]  # by question
    said: Mapping[str, Advisory]  # by question
    advisories: Sequence[Row]
    steps: Sequence[tuple[str, Step]]  # advisory id, what happened to it
    elements: Sequence[str]  # of a method, which must agree before two values are compared


def keep(connection: Connection, entry: Entry, answered: Answered) -> None:
    """Bring a patient's answers to those of an evaluation; what stays the same is not written."""
    known = [dict(row) for row in connection.execute(_KNOWN, {"patient": answered.patient}).mappings()]
    wanted = _Keeping(answered, known).rows()
    before = {row["id"]: row for row in known}
    new = [row for row in wanted if row["id"] not in before]
    changed = [row for row in wanted if row["id"] in before and _differ(row, before[row["id"]])]
    if new:
        connection.execute(insert(tables.answer), new)
    if changed:
        connection.execute(_CHANGE, [{**row, "key": row["id"]} for row in changed])
    for row in (*new, *changed):
        entry.wrote(tables.answer, row, answered.salt)
    gone = before.keys() - {row["id"] for row in wanted}
    if gone:
        connection.execute(delete(tables.answer).where(tables.answer.c.id.in_(gone)))
        for key in sorted(gone):
            entry.erased(tables.answer, key)


# Asked at every evaluation, so put together once.
_KNOWN = select(tables.answer).where(tables.answer.c.patient_id == bindparam("patient")).order_by(tables.answer.c.id)
_CHANGE = update(tables.answer).where(tables.answer.c.id == bindparam("key"))
_OF_THE_EVALUATION = ("evaluation_id", "at")


def _differ(row: Row, before: Row) -> bool:
    return any(before[name] != value for name, value in row.items() if name not in _OF_THE_EVALUATION)


class _Keeping:
    """What is to be kept of one evaluation."""

    def __init__(self, answered: Answered, known: Sequence[dict[str, Any]]):
        self._answered = answered
        self._known = known
        self._advisories = {row["id"]: row for row in answered.advisories}
        self._withdrawn = dict.fromkeys(key for key, step in answered.steps if step.kind is Kind.WITHDRAWN)

    def rows(self) -> list[dict[str, Any]]:
        found = [row for name, finding in sorted(self._answered.found.items()) for row in self._asked(name, finding)]
        # What is not asked any more stays while somebody still has to see it.
        taken, hung = {row["id"] for row in found}, {row["advisory_id"] for row in found}
        for row in self._known:
            on = self._hung_on(row["advisory_id"], row["withdrawn"])
            if row["id"] not in taken and row["advisory_id"] not in hung and (on["claim"] or on["withdrawn"]):
                found.append({**row, **on, "rank": urgency(row["state"], on["claim"], on["withdrawn"])})
                hung.add(row["advisory_id"])
        for key in self._withdrawn:
            if key not in hung:
                found.append(self._of_past(self._advisories[key]))
        return found

    def _asked(self, name: str, finding: Finding) -> Iterator[dict[str, Any]]:
        """The answers to a question: one, for its line; where none is known, one for each line with open advice."""
        mine = [row for row in self._answered.advisories if row["question"] == name]
        span = span_of(finding)
        if span is not None:
            yield self._row(name, finding, columns_of(span), of_line(mine, span))
            return
        open_ones = [row for row in mine if Standing(row["standing"]).is_open]
        for row in open_ones:
            yield self._row(name, finding, columns_of(span_of_row(row)), row)
        if not open_ones:
            yield self._row(name, finding, columns_of(None), None)

    def _row(self, name: str, finding: Finding, line: Mapping[str, str], advisory: Row | None) -> dict[str, Any]:
        answered = self._answered
        said = answered.said.get(name)
        was = self._before(name, line, advisory)
        on = self._hung_on(None if advisory is None else advisory["id"], "" if was is None else was["withdrawn"])
        latest = finding.latest.collected if finding.latest is not None else None
        stays = was is not None and was["state"] == finding.state
        return {
            "id": str(uuid.uuid4()) if was is None else was["id"],
            "patient_id": answered.patient,
            "tenant": answered.tenant,
            "question": name,
            "markers": f" {' '.join(finding.markers)} ",
            **line,
            "state": finding.state,
            "since": was["since"] if was is not None and stays else answered.at,
            # Where several rules say the same of a marker, one of them speaks.
            "spoken": (said is not None and said.rule.name == name) or bool(on["claim"] or on["withdrawn"]),
            "rank": urgency(finding.state, on["claim"], on["withdrawn"]),
            "headline": said.headline if said is not None else "",
            "missing": canonical(list(dict.fromkeys((*said.reasons, *said.missing))) if said is not None else []),
            "fold": fold(finding),
            "slope": slope(finding, answered.elements),
            "latest": latest.isoformat() if latest is not None else "",
            **on,
            "evaluation_id": answered.id,
            "rule_hash": finding.rule.hash,
            "at": answered.at,
        }

    def _before(self, name: str, line: Mapping[str, str], advisory: Row | None) -> Row | None:
        """What was answered last to the same question about the same line."""
        rows = [row for row in self._known if row["question"] == name]
        if advisory is not None:
            for row in rows:
                if row["advisory_id"] == advisory["id"]:
                    return row
        for row in rows:
            same = span_of_row(row).same(span_of_row(line)) or all(row[key] == value for key, value in line.items())
            if same and row["advisory_id"] is None:
                return row
        return None

    def _hung_on(self, key: str | None, withdrawn: str) -> dict[str, Any]:
        """What an answer says of its advisory; `withdrawn` is since when it said that advice was withdrawn."""
        row = self._advisories.get(key or "")
        if row is None:
            return {"advisory_id": None, "standing": "", "claim": "", "withdrawn": ""}
        return {
            "advisory_id": row["id"],
            "standing": row["standing"],
            "claim": row["state"] if Standing(row["standing"]).is_open else "",
            "withdrawn": withdrawn or (self._answered.at if row["id"] in self._withdrawn else ""),
        }

    def _of_past(self, advisory: Row) -> dict[str, Any]:
        """Advice about a line of which nothing is asked any more, and which was withdrawn all the same."""
        answered = self._answered
        finding = answered.found.get(advisory["question"])
        on = self._hung_on(advisory["id"], "")
        return {
            "id": str(uuid.uuid4()),
            "patient_id": answered.patient,
            "tenant": answered.tenant,
            "question": advisory["question"],
            "markers": f" {' '.join(finding.markers)} " if finding is not None else "",
            **{name: advisory[name] for name in ("therapy", "line_start", "line_end", "rule_hash")},
            "state": "not-applicable",
            "since": answered.at,
            "spoken": True,
            "rank": urgency("not-applicable", on["claim"], on["withdrawn"]),
            "headline": "",
            "missing": "[]",
            "fold": None,
            "slope": None,
            "latest": "",
            **on,
            "evaluation_id": answered.id,
            "at": answered.at,
        }
