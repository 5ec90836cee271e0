"""What clinical codes mean: the tables of `rules/events/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cds.chart.codes import CodeTable
from cds.chart.model import Side
from cds.errors import Problem
from cds.layers import Rules, rule_files
from cds.mistakes import Mistake

Meaning = tuple[str, str]
"""What a code is about (disease, spread, receptor, operation, event, imaging), and which of these."""

KINDS_OF_EVENT: Mapping[str, frozenset[str]] = {
    "disease": frozenset({"invasive-breast", "in-situ-breast", "metastatic", "nodes-or-doubtful", "other-cancer"}),
    "spread": frozenset({"stage", "distant", "site"}),
    "receptor": frozenset({"er", "pr", "her2", "her2-fish"}),
    "operation": frozenset({"breast-resection", "other", "not-an-operation"}),
    "imaging": frozenset({"response"}),
    "event": frozenset(
        {
            "radiotherapy", "transfusion", "infection", "pregnancy", "g-csf", "steroid", "autoimmune", "hepatic", "renal",
            "immune-adverse-event", "vaccination", "lactation",
            # What is recognised and disturbs nothing of its own.
            "chronic-infection", "pregnancy-over", "puerperium", "not-a-disturbance",
        }
    ),
}  # fmt: skip
SIDES: tuple[Side, ...] = ("left", "right", "both")
SILENT = frozenset({"chronic-infection", "pregnancy-over", "puerperium", "not-a-disturbance"})
"""Kinds of event that no chart shows."""


@dataclass(slots=True)
class EventCatalogue:
    """What codes of conditions, procedures, observations and their answers mean, and of which breast they are."""

    subjects: CodeTable[Meaning] = field(default_factory=CodeTable)
    values: CodeTable[Meaning] = field(default_factory=CodeTable)
    intents: CodeTable[str] = field(default_factory=CodeTable)
    sides: CodeTable[Side] = field(default_factory=CodeTable)
    longest: dict[str, int] = field(default_factory=dict)  # days by which an event has ended at the latest

    @property
    def codes(self) -> Mapping[tuple[str, str], Meaning]:
        """What a resource may be about, by (system, code); codes that are matched by prefix are not in it."""
        return self.subjects.exact

    @property
    def answers(self) -> Mapping[tuple[str, str], Meaning]:
        """What a coded value may mean, by (system, code)."""
        return self.values.exact


def load_events(rules: Rules, problems: list[Problem]) -> EventCatalogue:
    """The meaning of clinical codes in a rules folder; mistakes are added to `problems`."""
    catalogue = EventCatalogue()
    for file in rule_files(rules).of("events"):
        section = file.read(problems)
        if section is None:
            continue
        section.keys("events", "title", "codes", optional=("answers", "intents", "sides", "longest"))
        what = section.choice("events", tuple(KINDS_OF_EVENT), "event")
        for detail, entry in section.named("codes"):
            if detail not in KINDS_OF_EVENT[what]:
                section.section("codes").problem(
                    f"'{detail}' is no kind of {what}",
                    f"one of: {', '.join(sorted(KINDS_OF_EVENT[what]))}",
                    at=detail,
                    mistake=Mistake.UNKNOWN_KIND_OF_EVENT,
                )
            catalogue.subjects.add(entry, (what, detail))
        for detail, entry in section.named("answers"):
            catalogue.values.add(entry, (what, detail))
        for intent, entry in section.named("intents"):
            catalogue.intents.add(entry, intent)
        sides = section.section("sides")
        sides.keys(optional=SIDES)
        for side in SIDES:
            catalogue.sides.add(sides.section(side), side)
        for detail, entry in section.named("longest"):
            entry.keys("days", "because")
            catalogue.longest[detail] = entry.days("days")
    return catalogue
