"""From findings to advisories: everything that is said about a finding, put together once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from cds.advice.advisory import (
    About,
    Advisory,
    Check,
    LeftOutItem,
    NotExcluded,
    Option,
    Reading,
    Reference,
    RuleStatement,
    Treatment,
    WhyNot,
)
from cds.advice.changes import changes, per_ev_in_words, why_not, would_change
from cds.advice.checks import FAILED, UNKNOWN, checks, imaging_near, is_judged
from cds.advice.differences import differs
from cds.advice.readings import readings
from cds.advice.waiting import Days, judged_again, second_sample
from cds.advice.wording import Wording
from cds.chart.model import Chart
from cds.legible import on
from cds.reasoning.evidence import Study
from cds.reasoning.findings import Evaluation, Finding
from cds.reasoning.rulebook import RuleBook

_OF_THE_DRUG = frozenset({"drug-tolerance-not-stated", "drug-bound"})
"""Failures of a specimen that no other specimen mends as long as the drug is given."""

_ONLY_IF = {  # options that help only where a gate failed or could not be asked, or where one of these facts may hold
    "redraw-specimen": (("specimen",), ("no-value", "different-analyte")),
    "set-new-reference": (("comparability", "baseline"), ()),
    "ask-laboratory": (("data",), ("unreadable", "unit-not-convertible", "efficiency-not-stated", "no-reference-gene")),
    "check-assay-interference": ((), tuple(_OF_THE_DRUG)),
}

_FOR = {  # options for disease of these receptors: left out where the record says otherwise, offered where it says nothing
    "ctdna-if-recurrence-shown": {"hormone_receptor": True, "her2": False},
    "discuss-triple-negative-options": {"hormone_receptor": False, "her2": False},
    "review-her2-status": {"her2": True},
}


class Advisor:
    """A rule book's words and a site's statements about itself, ready to speak about evaluations."""

    def __init__(self, book: RuleBook, about: About | None = None):
        self._book = book
        self._words = Wording(book)
        self._about = self._words.about(about or About())
        self._indicator = {state.name: state.indicator for state in book.states}

    def advisories(self, evaluation: Evaluation) -> tuple[Advisory, ...]:
        """What is to be said of every finding, the first in precedence first; findings without a card included."""
        said = [self.advisory(finding, evaluation) for finding in evaluation.findings]
        return tuple(sorted(said, key=lambda advisory: (advisory.rank, advisory.markers, advisory.rule.name)))

    def advisory(self, finding: Finding, evaluation: Evaluation) -> Advisory:
        """What is to be said of one finding."""
        chart, book, words = evaluation.chart, self._book, self._words
        gates = checks(finding, chart, book, words)
        missing = tuple(dict.fromkeys(said for name in finding.missing for said in words.missing(name, finding)))
        not_excluded = tuple(self._not_excluded(finding))
        names = tuple(words.marker(marker) for marker in finding.markers)
        certainty = words.certainty(finding.certainty)
        reasons = words.reasons(finding, chart)
        imaging = imaging_near(finding, chart)
        headline = words.headline(
            finding,
            marker=" and ".join(names),
            certainty=certainty,
            reason=_first_of(reasons),
            response=imaging.response if imaging else "imaging",
            imaged=imaging.day.isoformat() if imaging else "undated",
            therapy=words.therapy(finding.line.therapy) if finding.line else "",
        )
        rule, note_keys = finding.rule, tuple(self._notes(finding))
        seconds = [second_sample(part, chart, book) for part in finding.parts or (finding,)]
        overdue = any(second.is_past(chart) for second in seconds if second is not None)
        ended = finding.line is not None and finding.line.end is not None and finding.line.end < chart.as_of
        noted = (
            *note_keys,
            *(("confirmation-overdue",) if overdue else ()),
            *(("treatment-ended",) if ended else ()),
        )
        listed = tuple(readings(finding, chart, book, words))
        kept = tuple(why_not(finding, book, words))
        support = [key for key in rule.evidence if key not in rule.contradicting]
        against = [study for study in self._studies(rule.contradicting)]
        against += [
            study for study in book.evidence.contradicting(support) if study not in against and study.id not in support
        ]
        return Advisory(
            patient=chart.patient,
            as_of=chart.as_of,
            state=finding.state,
            word=words.state(finding.state),
            # A rule in shadow is evaluated and recorded, and shown to nobody.
            indicator=self._indicator.get(finding.state, "") if rule.status == "active" else "",
            rank=book.rank(finding.state),
            certainty=certainty,
            headline=_dated(headline, finding) if "stale" in note_keys else headline,
            explanation=" ".join([words.explanation(finding), *_short_of(finding, kept)]),
            markers=finding.markers,
            marker_names=names,
            rule=RuleStatement(
                rule.name,
                rule.title,
                rule.summary,
                rule.status,
                rule.since,
                rule.review_by,
                rule.hash,
                evaluation.rulebook_hash,
                finding.also,
            ),
            treatment=self._treatment(finding, chart),
            readings=listed,
            changes=tuple(changes(finding, book, words)),
            checks=gates,
            reasons=reasons,
            missing=missing,
            cannot_exclude=not_excluded,
            why_not=kept,
            would_change=tuple(dict.fromkeys(would_change(finding, chart, book, words))),
            notes=tuple(said for note in noted for said in self._note(note, finding, chart)),
            advises=finding.state in rule.advise,
            options=tuple(self._options(finding, chart, gates, bool(missing or not_excluded))),
            evidence=tuple(_reference(study) for study in self._studies(rule.evidence) if study not in against),
            contradicting=tuple(_reference(study) for study in against),
            limitations=tuple(dict.fromkeys(self._limitations(finding))),
            false_alarms=rule.false_alarms,
            not_for=words.not_for() or rule.not_for,
            attributes=words.attributes(),
            about=self._about,
            left_out=tuple(
                LeftOutItem(item.where, item.what, item.reason, item.hint, item.hides_results)
                for item in chart.left_out
            ),
            unmapped=chart.unmapped,
            clause=finding.clause.key if finding.clause else "",
            note_keys=note_keys,
            unlisted=_unlisted(finding, chart, listed),
        )

    # parts of an advisory ------------------------------------------------------------------------------------------

    def _studies(self, ids: Iterable[str]) -> list[Study]:
        known = self._book.evidence.studies
        return [known[key] for key in ids if key in known and not known[key].retracted]

    def _notes(self, finding: Finding) -> Iterator[str]:
        yield from finding.notes
        assumed = (
            comparison.cv_source != "laboratory"
            for part in (*finding.parts, finding)
            if is_judged(part)
            for comparison in part.comparisons.values()
        )
        if any(assumed):
            yield "default-variation"

    def _note(self, key: str, finding: Finding, chart: Chart) -> Iterator[str]:
        """A note in words; of findings that read several markers, once for each of which it says something else."""
        said: dict[str, None] = {}
        end = finding.line.end if finding.line is not None else None
        for part in finding.parts or (finding,):
            latest = part.latest.collected if part.latest is not None else None
            if key in part.notes or key not in {note for other in finding.parts for note in other.notes}:
                given = {"marker": self._words.marker(part.rule.watches), "collected": str(latest)}
                days = (chart.as_of - latest).days if latest is not None else 0
                given |= {"days": str(days), "ended": str(end or "")}
                given["ended_days"] = str((chart.as_of - end).days) if end else ""
                said[self._words.note(key, **given, **per_ev_in_words(part))] = None
        yield from said

    def _limitations(self, finding: Finding) -> Iterator[str]:
        for marker in finding.markers:
            yield from self._words.limitations(marker)
        parts, assumed = finding.parts or (finding,), self._words.assumed_variation()
        unstated = [part for part in parts if not _states_within_person(part)]
        if not assumed:
            return
        if len(unstated) == len(parts):
            yield assumed
        else:
            yield from (f"{self._words.marker(part.rule.watches)}: {_begun_small(assumed)}" for part in unstated)

    def _not_excluded(self, finding: Finding) -> Iterator[NotExcluded]:
        found: dict[str, list[str]] = {}
        for part in (finding, *finding.parts):
            for held in part.cannot_exclude:
                words = found.setdefault(held.state, [])
                words += [said for fact in held.facts for said in self._words.missing(fact, part)]
        for state, missing in sorted(found.items(), key=lambda item: self._book.rank(item[0])):
            yield NotExcluded(state, self._words.state(state), tuple(dict.fromkeys(missing)))

    def _treatment(self, finding: Finding, chart: Chart) -> Treatment | None:
        if finding.operation is not None:
            operation = finding.operation
            refs = (operation.ref,) if operation.ref else ()
            kind = "curative operation" if operation.curative else "operation"
            return Treatment(kind, "", (), operation.day, operation.day, False, finding.day, refs)
        line = finding.line
        if line is None:
            return None
        title, assumed = self._words.therapy(line.therapy), line.extent == "assumed-ongoing"
        given = line.drugs_on(chart.as_of)
        return Treatment(title, line.therapy, line.drugs, line.start, line.end, assumed, finding.day, line.refs, given)

    def _options(self, finding: Finding, chart: Chart, gates: tuple[Check, ...], incomplete: bool) -> Iterator[Option]:
        """The rule's options for the state, without those that would help nothing here."""
        open_gates = {check.name for check in gates if check.outcome in (FAILED, UNKNOWN)}
        facts = [part.facts for part in finding.parts or (finding,)]
        if "specimen" in open_gates and not any(_may_fail(part, "specimen") for part in finding.parts or (finding,)):
            open_gates.remove("specimen")
        for key in finding.rule.advise.get(finding.state, ()):
            if key in _TIMED:
                if days := _TIMED[key](finding, chart, self._book):
                    yield self._words.option(key, days)
                continue
            if key == "complete-missing-data" and not incomplete and "comparability" not in open_gates:
                continue
            if key == "set-new-reference" and not self._needs_reference(finding):
                continue
            receptors = _FOR.get(key, {})
            if any(getattr(chart.diagnosis, name) is (not wanted) for name, wanted in receptors.items()):
                continue
            needed, named = _ONLY_IF.get(key, ((), ()))
            if (needed or named) and not (
                open_gates.intersection(needed)
                or any(known.get(name, False) is not False for known in facts for name in named)
            ):
                continue
            yield self._words.option(key)

    def _needs_reference(self, finding: Finding) -> bool:
        """Whether no earlier sample can be the reference. Where something is merely not stated, the one there is may yet
        be: the latest in its place might make a level of resistance the normal one."""
        elements = self._book.windows.elements
        parts = finding.parts or (finding,)
        return any(part.uncompared is None or differs(part, elements) for part in parts)


def _short_of(finding: Finding, kept: tuple[WhyNot, ...]) -> Iterator[str]:
    """Of a watch what keeps it from the suspicion, so that nobody has to look for it."""
    if finding.state == "watch" and kept:
        yield f"What keeps it from “{kept[0].word}”: {'; '.join(kept[0].kept_by)}."


def _unlisted(finding: Finding, chart: Chart, listed: tuple[Reading, ...]) -> int:
    shown = {reading.ref for reading in listed}
    return sum(one.ref not in shown for marker in finding.markers for one in chart.results.get(marker, ()))


def _may_fail(finding: Finding, gate: str) -> bool:
    """Whether a finding fails a gate, or may, by more than a drug that is given."""
    asked = {clause.all[0].fact for clause in finding.rule.clauses if clause.gate == gate}
    return any(finding.facts.get(name, False) is not False for name in asked - _OF_THE_DRUG)


def _second(finding: Finding, chart: Chart, book: RuleBook) -> Days | None:
    found = second_sample(finding, chart, book)
    return Days(found.opens, found.closes) if found is not None and not found.is_past(chart) else None


def _once_judged(finding: Finding, chart: Chart, book: RuleBook) -> Days | None:
    days = judged_again(finding, chart, book)
    return days if days is not None and days.first is not None else None


def _once_undisturbed(finding: Finding, chart: Chart, book: RuleBook) -> Days | None:
    days = judged_again(finding, chart, book)
    return days if days is not None and days.first is None else None


_TIMED: Mapping[str, Callable[[Finding, Chart, RuleBook], Days | None]] = {
    "repeat-after-surgery": _second,
    "repeat-once-judged": _once_judged,
    "repeat-once-undisturbed": _once_undisturbed,
}
"""Options that name the days on which a sample would tell more, and are given only where there are such days."""


def _states_within_person(finding: Finding) -> bool:
    """Whether a laboratory states how much the marker varies within a person, for a result that a card shows a limit of."""
    return any(one is not None and one.cvi is not None for one in (finding.latest, *(finding.pair or ())))


def _dated(headline: str, finding: Finding) -> str:
    """A headline with the day of the newest sample, in words that leave it shorter than 140 characters; else as it was."""
    days = [one.latest.collected for one in (finding, *finding.parts) if one.latest and one.latest.collected]
    told = [f"{headline} ({what} {on(max(days))})" for what in ("newest sample", "sample", "as of")] if days else []
    return next((said for said in told if len(said) < 140), headline)


def _begun_small(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _first_of(reasons: tuple[str, ...]) -> str:
    if not reasons:
        return "see details"
    more = len(reasons) - 1
    return reasons[0] + (f", and {more} more" if more else "")


def _reference(study: Study) -> Reference:
    return Reference(
        id=study.id,
        citation=study.citation,
        link=study.link,
        design=study.kind,
        population=study.population,
        n=study.printable_n,
        specimen=study.specimen,
        direction=study.direction,
        certainty=study.certainty,
        breast=study.breast,
        therapy=study.therapy,
        status=study.status,
        last_checked=study.last_checked.isoformat() if study.last_checked else "not checked",
        known_through=study.known_through,
        caution=study.caution,
    )
