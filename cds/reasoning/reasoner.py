"""From a chart to its findings: facts are formed, engine and oracle both answer, the finding is put together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from cds.chart.model import Chart, Result, Tri
from cds.errors import Disagreement
from cds.reasoning import combination
from cds.reasoning.change import Change, Comparison, Pair, compare, confirmation, run_before
from cds.reasoning.engine import Answer, Engine
from cds.reasoning.findings import Evaluation, Finding, Held
from cds.reasoning.forming import Forming
from cds.reasoning.oracle import Oracle
from cds.reasoning.question import Question, Sample
from cds.reasoning.rulebook import Clause, Rule, RuleBook

_ABOUT_MARKER_GATES = ("scope", "data", "therapy")


class Reasoner:
    """A rule book ready to evaluate charts; safe to share between threads.

    `engine=False` leaves the oracle alone: for the proof of rules, which asks thousands of mutants that nobody is shown.
    """

    def __init__(self, rulebook: RuleBook, *, engine: bool = True):
        self.rulebook = rulebook
        self.engine = Engine(rulebook.rules) if engine else None
        self.oracle = Oracle(rulebook.rules)
        self._forming = Forming(rulebook)
        self._rank = {state.name: place for place, state in enumerate(rulebook.states)}
        self._clauses = {rule.name: {clause.key: clause for clause in rule.clauses} for rule in rulebook.rules}
        self._plain = {rule.name: [clause for clause in rule.clauses if clause.is_plain] for rule in rulebook.rules}
        self._order = {
            rule.name: {clause.key: (self._rank.get(clause.state, -1), n) for n, clause in enumerate(rule.clauses)}
            for rule in rulebook.rules
        }
        self._changes = {
            rule.name: [
                (spec.name, spec.params)
                for spec in rule.facts
                if spec.kind == "value" and isinstance(spec.params, Change)
            ]
            for rule in rulebook.rules
        }
        self._pairs = {
            rule.name: [
                (spec.name, spec.params) for spec in rule.facts if spec.kind == "pair" and isinstance(spec.params, Pair)
            ]
            for rule in rulebook.rules
        }
        self._of_marker: dict[str, list[Rule]] = {}
        for rule in rulebook.rules:
            if rule.watches:
                self._of_marker.setdefault(rule.watches, []).append(rule)
        self._combining = [rule for rule in rulebook.rules if rule.combines]
        self._about_marker = {state.name for state in rulebook.states if state.about_marker}

    def evaluate(self, chart: Chart) -> Evaluation:
        """Every finding of the chart. Raises `EngineFault` or `Disagreement`; then there is no result at all."""
        answers: dict[str, Finding] = {}
        for marker, results in chart.results.items():
            if results and marker in self._of_marker:
                shared = self._forming.shared(chart, marker)
                for rule in self._of_marker[marker]:
                    answers[rule.name] = self._answered(Question(chart, rule, self.rulebook, shared))
        for rule in self._combining:
            parts = {name: answers[part] for name, part in rule.combines.items() if part in answers}
            if parts and all(part.state == "not-applicable" for part in parts.values()):
                # Nothing is asked of parts that do not apply: what they say is what their combination says.
                part = next(iter(parts.values()))
                answers[rule.name] = msgspec.structs.replace(part, rule=rule, parts=tuple(parts.values()))
            elif parts:
                answers[rule.name] = self._combined(chart, rule, parts)
        whole = {name: finding for name, finding in answers.items() if not finding.rule.part}
        return Evaluation(chart, self._together(whole), self.rulebook.hash, self._silent(chart), whole)

    # one answer ------------------------------------------------------------------------------------------------

    def _asked(self, rule: Rule, facts: Mapping[str, Tri]) -> Answer:
        checked = self.oracle.answer(rule.name, facts)
        if self.engine is None:
            return checked
        said = self.engine.answer(rule.name, facts)
        if said != checked:
            raise Disagreement(
                f"engine and oracle disagree on rule {rule.name}: engine {sorted(said)}, oracle {sorted(checked)}, "
                f"facts {dict(sorted(facts.items()))}"
            )
        return said

    def _answered(self, question: Question) -> Finding:
        rule = question.rule
        facts = self._forming.facts(question)
        comparisons: dict[str, Comparison] = {}
        runs: dict[str, tuple[Result, ...]] = {}
        pair = None
        if facts.get("judged") and question.latest is not None:
            for name, change in self._changes[rule.name]:
                found = compare(question, change, question.latest)
                if found is not None:
                    comparisons[name] = found
            for name, wanted in self._pairs[rule.name]:
                if pair is None and facts.get(name):
                    pair = confirmation(question, wanted)[1]
                elif name in facts:
                    run, _ = run_before(question, wanted, question.judged())
                    runs[name] = tuple([sample.result for sample in run])
        latest = question.latest
        uncompared: list[Sample] = []
        if latest is not None and facts["applies"] is True and question.reference(latest) is None:
            uncompared = question.possible_references()
        return self._finding(
            rule,
            facts,
            uncompared=uncompared[-1].result if uncompared else None,
            latest=latest.result if latest is not None else None,
            line=question.line,
            operation=question.operation,
            begins=question.begins,
            day=latest.day if question.start is not None and latest is not None else None,
            comparisons=comparisons,
            pair=(pair[0].result, pair[1].result) if pair else None,
            runs=runs,
            judged=tuple([sample.result for sample in question.judged()]) if facts.get("judged") else (),
        )

    def _combined(self, chart: Chart, rule: Rule, parts: Mapping[str, Finding]) -> Finding:
        facts = {spec.name: combination.value(spec, chart, parts) for spec in rule.facts if spec.kind == "combination"}
        measured = tuple(parts.values())
        newest = max(measured, key=lambda part: (part.latest.collected if part.latest else None) or chart.as_of)
        leading = next((part for part in measured if part.line is not None), newest)
        return self._finding(
            rule,
            facts,
            latest=newest.latest,
            line=leading.line,
            operation=None,
            begins=leading.begins,
            day=newest.day,
            comparisons={},
            pair=None,
            judged=(),
            parts=measured,
        )

    def _finding(self, rule: Rule, facts: Mapping[str, Tri], **basis: Any) -> Finding:
        """The state and its reasons, on a basis of data."""
        parts: tuple[Finding, ...] = basis.get("parts", ())
        clauses = self._clauses[rule.name]
        held: dict[str, list[str]] = {}
        true: list[Clause] = []
        said: Collection[tuple[str, str]] = self._asked(rule, facts)
        if len(said) > 1:
            order = self._order[rule.name]
            said = sorted(said, key=lambda one: (order[one[0]], one[1]))
        for key, fact in said:
            if fact:
                held.setdefault(key, []).append(fact)
            else:
                true.append(clauses[key])
        concluding = [clause for clause in true if clause.state]
        open_states = [Held(clauses[key].state, key, tuple(names)) for key, names in held.items() if clauses[key].state]
        if concluding:
            first = concluding[0]
            state = first.state
            holding = tuple([clause for clause in concluding if clause.state == state])
            missing = [lit.fact for clause in holding for lit in clause.all if lit.wanted is None]
        else:
            # Nothing holds: either something unknown keeps it so, or the rule has a gap. Neither is "no flag".
            first, state, holding = None, "not-evaluable", ()
            missing = [name for item in open_states for name in item.facts]
        rank = self._rank[state]
        stronger = [item for item in open_states if self._rank[item.state] < rank] if concluding else []
        notes = [clause.note for clause in holding if clause.note]
        notes += [clause.note for clause in true if not clause.state]
        notes += [clause.note for clause in self._plain[rule.name] if facts.get(clause.all[0].fact)]
        notes += [note for part in parts for note in part.notes]
        if state == "not-evaluable":
            missing += [name for part in parts for name in part.missing]
        return Finding(
            rule=rule,
            state=state,
            clause=first,
            holding=holding,
            notes=tuple(dict.fromkeys(notes)),
            cannot_exclude=tuple(sorted(stronger, key=lambda item: (self._rank[item.state], item.clause))),
            facts=facts,
            missing=tuple(dict.fromkeys(missing)),
            **basis,
        )

    # all answers of a marker -----------------------------------------------------------------------------------

    def _together(self, answers: Mapping[str, Finding]) -> tuple[Finding, ...]:
        """One finding per question; what would be the same for several rules of a marker is said once.

        A rule in shadow is put together with nothing: it must not speak for rules that are shown, nor silence one.
        """
        by_markers: dict[tuple[str, tuple[str, ...]], list[Finding]] = {}
        for finding in answers.values():
            by_markers.setdefault((finding.rule.status, finding.markers), []).append(finding)
        shown: list[Finding] = []
        for (status, markers), findings in by_markers.items():
            others = [
                finding
                for (other_status, other_markers), group in by_markers.items()
                if other_status == status
                and len(markers) > 1
                and len(other_markers) == 1
                and other_markers[0] in markers
                for finding in group
            ]
            # A combined question that is stopped at a gate says nothing that its markers' own rules say already.
            findings = [one for one in findings if not (others and one.line is None and self._stopped(one, others))]
            speaking = [finding for finding in findings if finding.state != "not-applicable"]
            if not speaking and _is_covered(status, markers, answers.values()):
                continue
            said: dict[tuple[str, str], list[Finding]] = {}
            for finding in speaking or sorted(findings, key=lambda finding: not finding.notes):
                said.setdefault(self._sameness(finding), []).append(finding)
            for group in said.values():
                if len(group) == 1:
                    shown += group
                    continue
                # Of several rules that say the same, one speaks that has something to advise, and that asks about this patient.
                group.sort(key=_speaks_last)
                shown.append(msgspec.structs.replace(group[0], also=tuple(other.rule.name for other in group[1:])))
        return tuple(sorted(shown, key=lambda finding: (finding.markers, self._rank[finding.state], finding.rule.name)))

    def _stopped(self, finding: Finding, others: Sequence[Finding]) -> bool:
        covered = {marker for other in others if other.state == finding.state for marker in other.markers}
        return finding.state in (*self._about_marker, "not-evaluable") and set(finding.markers) <= covered

    def _sameness(self, finding: Finding) -> tuple[str, str]:
        """What two findings of a marker must share to be said once; the parts of a combined rule say what stopped it."""
        spoken = finding.parts[0] if finding.parts and finding.line is None else finding
        gate = spoken.clause.gate if spoken.clause is not None else ""
        if finding.state in self._about_marker or gate in _ABOUT_MARKER_GATES:
            return finding.state, spoken.clause.key if spoken.clause is not None else ""
        return finding.rule.name, ""

    def _silent(self, chart: Chart) -> tuple[tuple[str, str], ...]:
        markers = self.rulebook.catalogue.markers
        silent: list[tuple[str, str]] = []
        for name in sorted(name for name, results in chart.results.items() if results):
            if markers[name].must_not_use:
                silent.append((name, f"evidence {markers[name].must_not_use} must not be used"))
            elif name not in self._of_marker:
                withheld = "; ".join(f"{rule}: {why}" for rule, why in sorted(self.rulebook.withheld.items()))
                silent.append(
                    (name, f"no rule reads it. Withheld rules: {withheld}" if withheld else "no rule reads it")
                )
        return tuple(silent)


def _speaks_last(finding: Finding) -> tuple[bool, bool, bool]:
    """Of findings that say the same, what lets another speak: nothing to advise, a treatment that is not given, several markers."""
    return finding.state not in finding.rule.advise, finding.facts.get("applies") is False, bool(finding.parts)


def _is_covered(status: str, markers: tuple[str, ...], answers: Iterable[Finding]) -> bool:
    """Whether combined questions that apply speak of these markers: rules of theirs that do not apply say nothing then."""
    covered = {
        part.rule.watches
        for finding in answers
        if finding.rule.status == status
        for part in finding.parts
        if "not-applicable" not in (finding.state, part.state)
    }
    return set(markers) <= covered
