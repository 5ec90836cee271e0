"""What befalls a patient beside the tumour: one comes no more, dies, or turns out to have had a second record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from cds.workbench.synth.chance import Chance
from cds.workbench.synth.design import Design
from cds.workbench.synth.person import Former, Person


@dataclass(frozen=True, slots=True)
class Fate:
    """`away`: the first day on which the patient comes no more; `died`: the day of death."""

    away: date | None = None
    died: date | None = None
    former: Former | None = None

    def comes(self, day: date) -> bool:
        """Whether the patient is seen on a day."""
        return (self.away is None or day < self.away) and (self.died is None or day < self.died)

    def befalls(self, person: Person, truth: dict[str, Any]) -> Person:
        """The person with their fate; what is true of them is told of it."""
        if self.away is not None:
            truth["dropped_out"] = self.away.isoformat()
        if self.died is not None:
            truth["died"] = self.died.isoformat()
            given = tuple(
                replace(one, end=min(one.end or self.died, self.died))
                for one in person.therapies
                if one.start < self.died
            )
            given = tuple(replace(one, doses=tuple(dose for dose in one.doses if dose < self.died)) for one in given)
            person = replace(person, died=self.died, therapies=given)
        if self.former is not None:
            person = replace(person, former=self.former)
            first = {person.known_as(one)[0] for one in person.measurements}
            if self.former.id in first:
                truth["former_id"] = self.former.id
                truth["faults"].append({"kind": "merged-patient", "result": self.former.id})
            else:
                person = replace(person, former=None)  # nothing stands under the other record
        return person


def draw_fate(design: Design, name: str, start: date, horizon: int, chance: Chance) -> Fate:
    """The fate of one patient whose line begins on `start` and is watched for `horizon` days."""
    away = start + timedelta(days=chance.integer(20, max(21, horizon))) if chance.happens(design.drop_out) else None
    died = start + timedelta(days=chance.integer(horizon // 3, horizon)) if chance.happens(design.deceased) else None
    former = None
    if chance.happens(design.merged):
        until = start + timedelta(days=chance.integer(0, horizon // 2))
        former = Former(f"{name}-old", f"{chance.integer(900, 999)}-{name[-6:]}", until)
    return Fate(away, died, former)
