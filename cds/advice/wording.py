"""Words for keys: states, facts, gates, notes and options, from the rule book's wording files.

A site may overlay these files, so a key without words falls back on itself, written as words; it never raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cds.advice.advisory import About, Option
from cds.advice.differences import differences, meant
from cds.advice.waiting import Days
from cds.chart.model import Chart
from cds.legible import legible
from cds.reasoning.findings import Finding
from cds.reasoning.rulebook import Clause, RuleBook

_METHOD_PARTS = ("laboratory", "lot")
_MOST_NAMED = 3
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Wording:
    """The rule book's words, with what must be known of the rule book to choose among them."""

    def __init__(self, book: RuleBook):
        self._book = book
        self._cards: Mapping[str, Any] = book.wording.get("cards", {})
        self._labels: Mapping[str, Any] = book.wording.get("labels", {})
        self._advice: Mapping[str, Any] = book.wording.get("advice", {})

    # single words --------------------------------------------------------------------------------------------------

    def _label(self, section: str, key: str) -> str:
        found = self._labels.get(section, {}).get(key)
        return found if isinstance(found, str) else key.replace("_", " ").replace("-", " ")

    def marker(self, key: str) -> str:
        marker = self._book.catalogue.markers.get(key)
        return marker.short if marker is not None and marker.short else key

    def therapy(self, key: str) -> str:
        therapy = self._book.catalogue.therapies.classes.get(key)
        title = getattr(therapy, "title", "")
        return title if isinstance(title, str) and title else key.replace("-", " ")

    def state(self, state: str) -> str:
        word = self._cards.get("states", {}).get(state, {}).get("word")
        return word if isinstance(word, str) else state.replace("-", " ")

    def fact(self, name: str) -> str:
        return self._label("facts", name) if name in self._labels.get("facts", {}) else self._label("failures", name)

    def failure(self, name: str) -> str:
        return self._label("failures", name)

    def gate(self, name: str) -> str:
        return self._label("gates", name)

    def certainty(self, key: str) -> str:
        return self._label("certainty", key) if key else ""

    def note(self, key: str, **words: str) -> str:
        """A note in words; its key, if the site's wording cannot be filled."""
        text = self._cards.get("notes", {}).get(key, {}).get("text")
        return _filled(text, words) or key.replace("-", " ")

    # lists ---------------------------------------------------------------------------------------------------------

    def limitations(self, marker: str) -> tuple[str, ...]:
        return tuple(self._cards.get("limitations", {}).get(marker, ()))

    def assumed_variation(self) -> str:
        """The limitation where no laboratory states how much a marker varies within a person; "" for none."""
        return str(self._cards.get("assumed_variation", ""))

    def not_for(self) -> tuple[str, ...]:
        return tuple(self._cards.get("not_for", ()))

    def attributes(self) -> tuple[tuple[str, str], ...]:
        return tuple(self._cards.get("attributes", {}).items())

    def about(self, site: About) -> About:
        """What the site states of itself; where it states nothing, the words for that."""
        stands: Mapping[str, str] = self._cards.get("about", {})
        names = ("developer", "funding", "contact", "regulatory", "user", "validation")
        return About(**{name: getattr(site, name) or stands.get(name, "") for name in names}, software=site.software)

    def option(self, key: str, days: Days | None = None) -> Option:
        """An option in words; those of some name the days for a sample."""
        words = self._advice.get("options", {}).get(key, {})
        studies = self._book.evidence.studies
        sources = tuple(
            studies[source].citation if source in studies else "engineering default of this project"
            for source in words.get("sources", ())
        )
        text = _filled(
            words.get("text"), {"days": str(days) if days else "on the days that a card names"}
        ) or key.replace("-", " ")
        return Option(key, words.get("label", key), text, sources, *(days or (None, None)))

    def overrides(self) -> tuple[str, Mapping[str, str]]:
        """The code system (its last path segment) of the reasons for not following, and their labels by code."""
        reasons = self._advice.get("overrides", {})
        return self._advice.get("override_system", ""), {code: words["label"] for code, words in reasons.items()}

    def about_delivery(self) -> frozenset[str]:
        """Codes, ours and HL7's, of reasons that judge when and to whom the advice was shown, and not the advice."""
        reasons = self._advice.get("overrides", {})
        delivery = [(code, words["hl7"]) for code, words in reasons.items() if words.get("about") == "delivery"]
        return frozenset(code for both in delivery for code in both)

    # sentences -----------------------------------------------------------------------------------------------------

    def headline(self, finding: Finding, **words: str) -> str:
        """The state in one sentence of less than 140 characters; marker and state alone if the wording cannot be filled."""
        own = self._cards.get("by_rule", {}).get(finding.rule.name, {})
        given = {"suspicion": own.get("suspicion", finding.rule.title), **words}
        template = self._said(finding, finding.state, "headline")
        filled = _filled(template, given) or f"{words['marker']}: {self.state(finding.state)}"
        said = " ".join(filled.split())
        shown = legible(said)  # a card has room for 140 characters as people read them
        return said if len(shown) < 140 else shown[:138].rstrip() + "…"

    def explanation(self, finding: Finding) -> str:
        return self.explained(finding.state, finding.rule.name, tuple(finding.notes))

    def explained(self, state: str, rule: str = "", notes: Sequence[str] = ()) -> str:
        """What cards of a state say below the headline, of a rule and with the notes that a finding carries."""
        return str(self._of(state, rule, notes, f"{state}_explain", "explain") or "")

    def _said(self, finding: Finding, key: str, common: str) -> object:
        return self._of(finding.state, finding.rule.name, finding.notes, key, common)

    def _of(self, state: str, rule: str, notes: Iterable[str], key: str, common: str) -> object:
        """The words of a state: those of a note that is carried, else those of the rule, else the common ones."""
        by_note, by_rule = self._cards.get("by_note", {}), self._cards.get("by_rule", {})
        nearer = [by_note.get(note, {}) for note in notes] + [by_rule.get(rule, {})]
        own = next((words[key] for words in nearer if words.get(key)), None)
        return own or self._cards.get("states", {}).get(state, {}).get(common)

    def missing(self, fact: str, finding: Finding) -> tuple[str, ...]:
        """What would settle an unknown fact of the finding."""
        if fact == "applies":
            unknown = [literal.fact for literal in finding.rule.only_if if finding.facts.get(literal.fact) is None]
            if unknown:
                return tuple(self._missing(name) for name in unknown)
            if finding.operation is not None:
                return (self._missing("operation"),)
        return (self._missing(fact),)

    def _missing(self, fact: str) -> str:
        known = self._labels.get("missing", {})
        return str(known[fact]) if fact in known else self.fact(fact)

    def failures(self, name: str, finding: Finding, chart: Chart) -> tuple[str, ...]:
        """What makes a gate fail, as far as it can be told: which part of a method differs, why a date is of no use."""
        if name == "method-changed":
            apart = differences(finding, self._book.windows.elements, self._part)
            # What the result does not state itself is named by a failure of its own.
            return apart or (() if finding.facts.get("method-not-stated") else (self.failure(name),))
        if name == "undated":
            results = chart.results.get(finding.rule.watches, ())
            why = dict.fromkeys(result.undated for result in results if "no-collection-date" in result.faults)
            return tuple(f"{self.failure('undated-as-sent')}: {said}" if said else self.failure(name) for said in why)
        said = "conflict-of-specimen" if name == "conflict" and _is_of_specimen(finding, chart) else name
        return (self.failure(said) + _whose_fault(finding, name, chart),)

    def reasons(self, finding: Finding, chart: Chart) -> tuple[str, ...]:
        """What failed or is missing, for a state that is about that; empty for the others."""
        said: list[str] = []
        for part in finding.parts:
            if part.state == finding.state:
                said += [f"{self.marker(part.rule.watches)}: {reason}" for reason in self.reasons(part, chart)]
        if not said:
            for clause in finding.holding:
                said += self._reason(clause, finding, chart)
        if not said and finding.clause is None:
            said = [f"missing: {words}" for name in finding.missing for words in self.missing(name, finding)]
        return tuple(dict.fromkeys(said))

    def _reason(self, clause: Clause, finding: Finding, chart: Chart) -> Sequence[str]:
        if clause.gate:
            fact = clause.all[0]
            if fact.wanted is None:
                return [f"missing: {words}" for words in self.missing(fact.fact, finding)]
            if fact.fact == "method-not-stated":
                return [f"missing: {', '.join(self.unstated(finding))}"]
            return self.failures(fact.fact, finding, chart) if fact.wanted else []
        if finding.state == "hold":
            windows = [lit.fact for lit in clause.all if lit.wanted and finding.rule.fact(lit.fact).kind == "day"]
            return [self.fact(name) for name in windows or [lit.fact for lit in clause.all]]
        return []

    def settled(self, finding: Finding, chart: Chart) -> tuple[str, ...]:
        """What settles each failure of the result's own data, for a state that is about that."""
        failed = [clause.all[0].fact for clause in finding.holding if clause.gate and clause.all[0].wanted]
        if "undated" in failed and any(result.undated for result in chart.results.get(finding.rule.watches, ())):
            failed[failed.index("undated")] = "undated-as-sent"
        known = self._labels.get("settled", {})
        return tuple(str(known[name]) for name in failed if name in known)

    def meant(self, finding: Finding) -> tuple[str, ...]:
        """What would let the same result be judged, if its method is told in codes that are not known here."""
        return tuple(meant(finding, self._book.windows.elements, self._part))

    def _part(self, name: str) -> str:
        return {"efficiency": "PCR efficiency"}.get(name) or self._label("missing", name)

    def unstated(self, finding: Finding) -> tuple[str, ...]:
        """The elements of its method that the latest result does not state."""
        latest = finding.latest
        if latest is None:
            return ()
        absent = [name for name in self._book.windows.elements if getattr(latest.method, name) is None]
        absent += [name for name in _METHOD_PARTS if getattr(latest, name) is None]
        return tuple(self._label("missing", name) for name in absent)


def _is_of_specimen(finding: Finding, chart: Chart) -> bool:
    """Whether the values that contradict each other are of one specimen, and of different days."""
    faulty = [one for one in chart.results.get(finding.rule.watches, ()) if "conflict" in one.faults]
    days, specimens = {one.collected for one in faulty}, {one.specimen_id for one in faulty}
    return len(days) == len(faulty) > len(specimens) and None not in specimens


def _whose_fault(finding: Finding, name: str, chart: Chart) -> str:
    """Which results have a fault, where it is not the latest that has it; "" otherwise."""
    spec = finding.rule.fact(name)
    if spec.kind != "fault":
        return ""
    faults, _ = spec.params
    faulty = [one for one in chart.results.get(finding.rule.watches, ()) if not faults.isdisjoint(one.faults)]
    if not faulty or finding.latest in faulty:
        return ""
    named = [f"{one.shown or 'no value'} of {one.collected or 'no stated day'}" for one in faulty[:_MOST_NAMED]]
    more = f" and {len(faulty) - _MOST_NAMED} more" if len(faulty) > _MOST_NAMED else ""
    return f" ({', '.join(named)}{more})"


def _filled(template: object, given: Mapping[str, str]) -> str:
    """The template with its placeholders filled; "" if it is no text, or a brace in it is no placeholder that we know.

    A mistake in a site's wording must not keep a card from being shown, and only plain names are ever looked up.
    """
    if not isinstance(template, str) or set(_PLACEHOLDER.findall(template)) - given.keys():
        return ""
    if not {"{", "}"}.isdisjoint(_PLACEHOLDER.sub("", template)):
        return ""
    return _PLACEHOLDER.sub(lambda name: str(given[name[1]]), template)
