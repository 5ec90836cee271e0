"""One rule file, read into a `Rule`: facts, clauses, limits, anchor; every mistake noted with its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cds.chart.catalogue import Catalogue
from cds.mistakes import Mistake
from cds.reasoning.evidence import EvidenceCatalogue
from cds.reasoning.kinds import KINDS, Context, Days
from cds.reasoning.rulebook import Anchor, Clause, FactSpec, Gate, Literal, Rise, Rule, State
from cds.reasoning.statistics import CONFIDENCES
from cds.source import Section, likely

ASKED = {"always": "always", "if the rule applies": "applies", "if the sample is judged": "judged"}
STATUS = ("draft", "shadow", "active", "retired")
CERTAINTY = ("very-low", "low")
NEEDED = ("rule", "title", "status", "since", "review_by", "summary", "evidence", "conclude")
OPTIONAL = (
    "contradicting", "part_of", "during", "after", "reference", "nadir", "stale_after", "only_if", "limits", "facts",
    "notes", "advise", "false_alarms", "not_for", "gates",
)  # fmt: skip
"""Keys of a rule file, beside `watches` (a marker) or `combines` (rules)."""

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")

APPLIES = FactSpec("applies", "applies", None, True, "always")
"""The fact that every rule has: whether it is about this patient's therapy at all."""

FLAGS: Mapping[str, tuple[Literal, ...]] = {
    "always": (),
    "applies": (Literal("applies"),),
    "judged": (Literal("applies"), Literal("judged")),
}
"""What is to hold before a clause is asked. `judged`: the rule applies and the latest sample is more than a baseline."""


def read_fact(name: str, section: Section, context: Context, stage: str | None = None) -> FactSpec | None:
    if not _NAME.fullmatch(name):
        section.problem(
            f"'{name}' is no name for a fact",
            "small letters, digits, '-' or '_', beginning with a letter",
            mistake=Mistake.NAME_OF_A_FACT,
        )
    kind = next((key for key in section.value if key in KINDS), None)
    if kind is None:
        section.problem(
            f"'{name}' is of no known kind", f"kinds: {', '.join(KINDS)}", mistake=Mistake.UNKNOWN_KIND_OF_FACT
        )
        return None
    params = KINDS[kind].read(section, context)
    order = ("always", "applies", "judged")
    own = KINDS[kind].stage
    late = own if stage is None else max(own, stage, key=order.index)
    return FactSpec(name, kind, params, KINDS[kind].can_be_unknown, late)


class RuleReader:
    """Reads one rule file."""

    def __init__(
        self,
        section: Section,
        gates: tuple[Gate, ...],
        states: tuple[State, ...],
        catalogue: Catalogue,
        evidence: EvidenceCatalogue,
        wording: Mapping[str, Any],
    ):
        self.section = section
        self.gates = gates
        self.states = [state.name for state in states]
        self.cards = {state.name for state in states if state.indicator}
        self.catalogue = catalogue
        self.evidence = evidence
        self.wording = wording
        self.facts: dict[str, FactSpec] = {"applies": APPLIES}

    def read(self) -> Rule:
        section = self.section
        combination = "combines" in section
        section.keys(*NEEDED, "combines" if combination else "watches", optional=OPTIONAL)
        name = section.text("rule")
        if name and name != Path(section.file).stem:
            section.problem(
                f"the rule is called '{name}', its file is not",
                "name file and rule alike",
                at="rule",
                mistake=Mistake.RULE_FILE_NAME,
            )
        for key in ("evidence", "contradicting"):
            for study in section.texts(key):
                if study not in self.evidence.studies:
                    section.problem(
                        f"'{study}' is no record in evidence/",
                        likely(study, self.evidence.studies, "add it there first; records"),
                        at=key,
                        mistake=Mistake.UNKNOWN_STUDY,
                    )
        support = section.texts("evidence")
        if isinstance(section.value.get("evidence"), str | list) and not {*support} - {*section.texts("contradicting")}:
            section.problem(
                "no study supports the rule",
                "name one that does not contradict it",
                at="evidence",
                mistake=Mistake.NO_SUPPORT,
            )
        marker = section.text("watches")
        if not combination and marker not in self.catalogue.markers:
            hint = likely(marker, sorted(self.catalogue.markers), "markers")
            section.problem(f"'{marker}' is no marker", hint, at="watches", mistake=Mistake.UNKNOWN_MARKER)
        gates = self._gates_asked()
        reference = section.choice("reference", ["baseline", "nadir", "none"], "baseline")
        for key in ("since", "review_by"):
            if not re.fullmatch(r"\d{4}-\d\d-\d\d", section.text(key)):
                section.problem(
                    f"'{key}: {section.text(key)}' is no date",
                    "write it as 2027-11-23",
                    at=key,
                    mistake=Mistake.NOT_A_DATE,
                )
        limits = self._limits()
        known_marker = marker if marker in self.catalogue.markers else ""
        context = Context(limits, self.facts, known_marker, self.catalogue.therapies.classes)
        anchor = self._anchor()
        for gate in gates:
            for spec in (*(failing for failing, _, _ in gate.fails_on), *gate.facts, *gate.notes):
                self.facts[spec.name] = spec
        for fact_name in section.section("facts").value:
            if fact_name in self.facts:
                section.problem(
                    f"'{fact_name}' is a fact that every rule has",
                    "give yours another name, or use that one as it is",
                    ("facts", fact_name),
                    Mistake.FACT_OF_A_GATE,
                )
        if combination:
            from cds.reasoning.combination import read_fact as read_combined  # a rule on findings has facts of its own

            names = tuple(section.section("combines").value)
            for fact_name, entry in section.named("facts"):
                self.facts[fact_name] = read_combined(fact_name, entry, names, tuple(self.states))
        else:
            for fact_name, entry in section.named("facts"):
                over = entry.text("over", reference)
                if over != reference:
                    entry.problem(
                        f"the rule's reference is '{reference}'",
                        "write the same under 'over'",
                        at="over",
                        mistake=Mistake.OTHER_REFERENCE,
                    )
                fact = read_fact(fact_name, entry, context)
                self.facts[fact_name] = fact or FactSpec(fact_name, "unread", None, True, "always")
        only_if = self._literals(section, "only_if")
        clauses = ([] if combination else self._gate_clauses(gates)) + self._clauses(reference, combination)
        if anchor.second_of and anchor.second_of not in self.facts:
            section.problem(
                f"'{anchor.second_of}' is no fact of this rule",
                "name the fact of the kind 'pair'",
                at="after",
                mistake=Mistake.NOT_A_PAIR,
            )
        used = {lit.fact for clause in clauses for lit in (*clause.all, *clause.unless)} | {lit.fact for lit in only_if}
        used.add(anchor.second_of)
        return Rule(
            name=name,
            title=section.text("title"),
            status=section.choice("status", STATUS, "draft"),
            since=section.text("since"),
            review_by=section.text("review_by"),
            summary=section.text("summary"),
            evidence=section.texts("evidence"),
            contradicting=section.texts("contradicting"),
            watches=marker,
            combines={key: section.section("combines").text(key) for key in section.section("combines").value},
            part="part_of" in section,
            anchor=anchor,
            reference=reference,
            nadir_after_operation=section.section("nadir").days("after_operation"),
            stale_after=section.days("stale_after"),
            only_if=only_if,
            facts=tuple(spec for spec in self.facts.values() if spec.name in used or spec.name == "applies"),
            clauses=tuple(clauses),
            limits=limits,
            advise=self._advise(),
            false_alarms=section.texts("false_alarms"),
            not_for=section.texts("not_for"),
            file=section.file,
        )

    def _gates_asked(self) -> tuple[Gate, ...]:
        asked = self.section.texts("gates")
        known = [gate.name for gate in self.gates]
        for name in asked:
            if name not in known:
                self.section.problem(
                    f"'{name}' is no gate", likely(name, known, "gates"), at="gates", mistake=Mistake.UNKNOWN_GATE
                )
        spoken = [state for state in self.section.section("conclude").value if state in self.cards]
        needed = [gate.name for gate in self.gates if self.section.text("reference") != "none" or not gate.of_reference]
        left_out = [name for name in needed if spoken and name not in asked and "combines" not in self.section]
        if left_out and asked and {*asked} <= {*known}:
            self.section.problem(
                f"the gates {', '.join(left_out)} are left out of a rule that concludes {', '.join(spoken)}",
                "take 'gates' away: then all are asked",
                "gates",
                Mistake.GATE_LEFT_OUT,
            )
        return tuple(gate for gate in self.gates if not asked or gate.name in asked)

    def _limits(self) -> dict[str, Any]:
        limits: dict[str, Any] = {}
        for name, entry in self.section.named("limits"):
            if "ratio" in entry:
                entry.keys("ratio", "floor", "confidence", "because")
                entry.choice("ratio", ["reference-change"])
                confidence = entry.choice("confidence", list(CONFIDENCES), "one-sided 95 %")
                floor = entry.number("floor", 1.0)
                if floor < 1:
                    entry.problem(
                        "a floor below 1 lets a fall pass for a rise",
                        "write 2.0 for a doubling",
                        at="floor",
                        mistake=Mistake.FLOOR_BELOW_ONE,
                    )
                limits[name] = Rise(floor, CONFIDENCES[confidence], entry.text("because"))
            else:
                entry.keys("because", optional=("from", "to"))
                first = entry.days("from") if "from" in entry else None
                last = entry.days("to") if "to" in entry else None
                if first is not None and last is not None and last < first:
                    entry.problem(
                        "the window ends before it begins",
                        "exchange 'from' and 'to'",
                        at="to",
                        mistake=Mistake.WINDOW_BACKWARDS,
                    )
                limits[name] = Days(first, last, entry.text("because"))
        return limits

    def _anchor(self) -> Anchor:
        section = self.section
        if "combines" in section:
            return Anchor()
        if ("during" in section) == ("after" in section):
            section.problem(
                "a rule states either 'during' or 'after'",
                "during: {therapy: …} or after: {operation: curative, …}",
                mistake=Mistake.NO_ANCHOR,
            )
        if "after" in section:
            after = section.section("after")
            after.keys("operation", "until", optional=("second_until", "second_of"))
            after.choice("operation", ["curative"])
            return Anchor((), (), True, after.days("until"), after.days("second_until"), after.text("second_of"))
        during = section.section("during")
        during.keys("therapy", optional=("not_beside",))
        for key in ("therapy", "not_beside"):
            for name in during.texts(key):
                if name not in self.catalogue.therapies.classes:
                    hint = likely(name, sorted(self.catalogue.therapies.classes), "classes")
                    during.problem(f"'{name}' is no therapy class", hint, at=key, mistake=Mistake.UNKNOWN_THERAPY)
        return Anchor(during.texts("therapy"), during.texts("not_beside"))

    def _literals(self, section: Section, key: str) -> tuple[Literal, ...]:
        found = []
        for text in section.texts(key):
            word, _, rest = text.partition(" ")
            wanted: bool | None = {"not": False, "unknown": None}.get(word, True)
            fact = rest.strip() if rest and word in ("not", "unknown") else text
            if fact not in self.facts:
                section.problem(
                    f"'{fact}' is no fact of this rule",
                    likely(fact, sorted(self.facts), "facts"),
                    at=key,
                    mistake=Mistake.UNKNOWN_FACT,
                )
            found.append(Literal(fact, wanted))
        return tuple(found)

    def _gate_clauses(self, gates: tuple[Gate, ...]) -> list[Clause]:
        clauses = []
        for gate in gates:
            if gate.name == "therapy":
                no, unknown = Literal("applies", False), Literal("applies", None)
                clauses.append(Clause("therapy/not-given", "not-applicable", (no,), gate=gate.name))
                clauses.append(Clause("therapy/unknown", "not-evaluable", (unknown,), gate=gate.name))
            for spec, state, can_be_unknown in gate.fails_on:
                asked = FLAGS[gate.asked]
                clauses.append(
                    Clause(f"{gate.name}/{spec.name}", state, (Literal(spec.name),), (), asked, gate=gate.name)
                )
                if can_be_unknown:
                    missing = (Literal(spec.name, None),)
                    key = f"{gate.name}/{spec.name}/unknown"
                    clauses.append(Clause(key, "not-evaluable", missing, (), asked, gate=gate.name))
            for spec in gate.notes:
                asked, note = FLAGS[spec.lazy], self._note(self.section, spec.name)
                clauses.append(
                    Clause(f"{gate.name}/{note}", "", (Literal(spec.name),), (), asked, note, gate=gate.name)
                )
        return clauses

    def _clauses(self, reference: str, combination: bool) -> list[Clause]:
        asked = FLAGS["always"] if combination else FLAGS["applies" if reference == "none" else "judged"]
        clauses: list[Clause] = []
        conclude = self.section.section("conclude")
        for state in conclude.value:
            self._check_state(conclude, state)
            for number, entry in enumerate(conclude.sections(state), 1):
                entry.keys("all", optional=("id", "unless", "certainty", "note", "asked"))
                certainty = entry.choice("certainty", CERTAINTY)
                if state in ("suspected", "persistent") and not certainty:
                    entry.problem(
                        f"'{state}' states no certainty",
                        "add 'certainty: very-low' (or low)",
                        mistake=Mistake.NO_CERTAINTY,
                    )
                when = FLAGS[ASKED[entry.choice("asked", list(ASKED))]] if "asked" in entry else asked
                key = entry.text("id", f"{state}/{number}")
                clauses.append(
                    self._formed(
                        entry,
                        Clause(
                            key if all(key != known.key for known in clauses) else f"{key}/{state}/{number}",
                            state,
                            self._literals(entry, "all"),
                            self._literals(entry, "unless"),
                            when,
                            self._note(entry, entry.text("note")),
                            certainty,
                        ),
                    )
                )
        for note, entry in self.section.named("notes"):
            entry.keys("all", optional=("unless", "asked"))
            when = FLAGS[ASKED[entry.choice("asked", list(ASKED), "if the rule applies")]]
            self._note(entry, note)
            added = Clause(
                f"note/{note}", "", self._literals(entry, "all"), self._literals(entry, "unless"), when, note
            )
            clauses.append(self._formed(entry, added))
        return clauses

    def _formed(self, section: Section, clause: Clause) -> Clause:
        """The clause, after a check that every fact it uses is formed by the time it is asked."""
        order = ("always", "applies", "judged")
        stage = next(name for name, flags in FLAGS.items() if flags == clause.asked)
        for literal in (*clause.all, *clause.unless):
            spec = self.facts.get(literal.fact)
            if spec is not None and order.index(spec.lazy) > order.index(stage):
                needed = next(words for words, name in ASKED.items() if name == spec.lazy)
                section.problem(
                    f"'{literal.fact}' is not known yet when this is asked",
                    f"add 'asked: {needed}'",
                    at="all",
                    mistake=Mistake.ASKED_TOO_EARLY,
                )
        return clause

    def _note(self, section: Section, note: str) -> str:
        known = self.wording.get("cards", {}).get("notes", {})
        if note and known and note not in known:
            section.problem(
                f"the note '{note}' has no words",
                "add it under 'notes:' in wording/cards.yaml",
                at="note",
                mistake=Mistake.NOTE_WITHOUT_WORDS,
            )
        return note

    def _check_state(self, section: Section, state: str) -> None:
        if state not in self.states:
            hint = likely(state, self.states, "states")
            section.problem(f"'{state}' is no state", hint, at=state, mistake=Mistake.UNKNOWN_STATE)

    def _advise(self) -> dict[str, tuple[str, ...]]:
        advise = self.section.section("advise")
        known = self.wording.get("advice", {}).get("options", {})
        found = {}
        for state in advise.value:
            self._check_state(advise, state)
            for option in advise.texts(state):
                if known and option not in known:
                    advise.problem(
                        f"the option '{option}' has no words",
                        "add it in wording/advice.yaml",
                        at=state,
                        mistake=Mistake.OPTION_WITHOUT_WORDS,
                    )
            found[state] = advise.texts(state)
        return found
