"""The long text of a card: one advisory as GitHub Flavored Markdown, without HTML, for a narrow column.

Every text that is inserted is escaped, whether it comes from a record or from a rule file. What a reader must not miss
stands first: what it is, the fixed sentence, the values with their dates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from cds.advice.advisory import Advisory, ChangeFromReference, Check, Reading, Reference
from cds.advice.markdown import escaped, link
from cds.counting import counted
from cds.legible import day, legible

_LEFT_OUT = "Left out of this assessment"
_MOST_LEFT_OUT = 8
_MOST_READINGS = 16
_SHOWN_DIGITS = 12


def detail(advisory: Advisory, first: Iterable[str] = (), earlier: str = "") -> str:
    """The whole advisory; `first` are sentences that belong to the occasion and stand above it, `earlier` what was found before."""
    blocks = [_said(sentence, 1200) for sentence in first]
    blocks.append(_said(advisory.explanation, 600))
    if earlier:
        blocks.append(f"**{_said(earlier, 400)}**")
    blocks.append(f"**{escaped(advisory.fixed_sentence, 600)}**")
    if hidden := sum(item.hides for item in advisory.left_out):
        what = f"{counted(hidden, 'entry')} that may hold marker results {'was' if hidden == 1 else 'were'}"
        blocks.append(f"**Not all data could be used: {what} left out; see “{_LEFT_OUT}” below.**")
    # Data of which nobody knows whether they hold anything matter where something is missing.
    unsent = [item.what for item in advisory.left_out if item.where == f"prefetch.{item.what}"]
    if unsent and (advisory.reasons or advisory.missing or advisory.cannot_exclude):
        what = f"{escaped(', '.join(unsent), 400)} could not be had"
        blocks.append(f"**Not all data could be used: {what}; see “{_LEFT_OUT}” below.**")
    for title, lines in _sections(advisory):
        listed = [f"- {line}" for line in lines if line]
        if listed:
            blocks.append(f"### {title}\n\n" + "\n".join(listed))
    return "\n\n".join(block for block in blocks if block)


def _said(text: str, longest: int = 240) -> str:
    """What the rules say, with dates, units and figures as clinicians read them; safe like every other text here."""
    return escaped(legible(text), longest)


def _sections(advisory: Advisory) -> Iterator[tuple[str, Iterable[str]]]:
    yield "Why", (_said(reason) for reason in advisory.reasons)
    yield "Notes", (_said(note, 600) for note in advisory.notes)
    yield "Values", _values(advisory)
    yield "Change and limit", _changes(advisory.changes)
    yield "Treatment", _treatment(advisory)
    yield "Checks", _checks(advisory.checks)
    yield "Missing", _missing(advisory)
    yield "Why not something stronger", _why_not(advisory)
    yield "What would change this", (_said(said, 400) for said in advisory.would_change)
    yield (
        "Options to consider",
        (
            f"{_said(option.text, 600)} (Source: {'; '.join(map(escaped, option.sources))})"
            for option in advisory.options
        ),
    )
    yield "Evidence", map(_evidence, advisory.evidence)
    yield "Evidence against it, or limiting it", map(_evidence, advisory.contradicting)
    yield "Limitations", (_said(said, 400) for said in advisory.limitations)
    yield "What else could cause it", (escaped(said, 400) for said in advisory.false_alarms)
    yield "Not for", (escaped("; ".join(advisory.not_for), 800),)
    yield _LEFT_OUT, _left_out(advisory)
    yield "About", _about(advisory)


def _values(advisory: Advisory) -> Iterator[str]:
    shown = _told(advisory.readings)
    for reading in shown:
        yield _reading(reading)
    if more := len(advisory.readings) - len(shown):
        yield f"and {more} more values, which are not listed here"
    if advisory.more_results:
        yield f"and {escaped(advisory.more_results)}"
    by: dict[str, list[str]] = {}
    for reading in shown:
        by.setdefault(_how(reading), []).append(reading.ref)
    for how, refs in by.items():
        if how:
            yield f"{'All' if len(by) == 1 else escaped(', '.join(refs), 600)} by: {how}"


def _told(readings: Sequence[Reading]) -> Sequence[Reading]:
    """The readings that a narrow column has room for, in their order: those that have a role, then the newest."""
    if len(readings) <= _MOST_READINGS:
        return readings
    rank = sorted(readings, key=lambda one: (bool(one.roles), one.collected or date.min), reverse=True)
    kept = {id(one) for one in rank[:_MOST_READINGS]}
    return [one for one in readings if id(one) in kept]


def _reading(reading: Reading) -> str:
    when = day(reading.collected) if reading.collected else "no collection date"
    when = f"collection date of no use, {escaped(reading.undated)}" if reading.undated else when
    on_day = f" (day {reading.day})" if reading.day is not None else ""
    notes = [*reading.roles, *reading.flaws, *filter(None, [reading.below])]
    total_ev = f", total EV {_said(reading.total_ev)}" if reading.total_ev else ""
    said = f"{when}{on_day}: {escaped(reading.marker)} **{_said(reading.value)}**{total_ev}"
    said += f" – {_said(', '.join(notes))}" if notes else ""
    return f"{said} ({escaped(reading.ref)}, {escaped(reading.status)})"


def _how(reading: Reading) -> str:
    parts = [
        reading.method and f"method {reading.method}",
        reading.laboratory and f"laboratory {reading.laboratory}",
        reading.lot and f"lot {reading.lot}",
        "; ".join(reading.quality),
        reading.regulatory and f"regulatory status {reading.regulatory}",
        reading.declared and f"declared by the laboratory, not sent: {', '.join(reading.declared)}",
    ]
    return escaped("; ".join(part for part in parts if part), 600)


def _changes(changes: Iterable[ChangeFromReference]) -> Iterator[str]:
    limits: dict[str, list[str]] = {}
    for change in changes:
        what = f"{change.marker}, {change.quantity}"
        limits.setdefault(change.built, []).append(what)
        yield (
            f"{_said(what)}: **{escaped(change.fold)}** of the reference {_said(change.reference_value)}, "
            f"{_said(change.reference)}; limit {_said(change.limit)}"
        )
    for built, about in limits.items():
        of = f" of {_said('; '.join(about))}" if len(limits) > 1 else ""
        yield f"The limit{of} is {_said(built, 800)}"


def _treatment(advisory: Advisory) -> Iterator[str]:
    treatment = advisory.treatment
    if treatment is None:
        return
    said = escaped(treatment.title)
    if treatment.drugs:
        said += f" ({escaped(', '.join(treatment.drugs))})"
    if treatment.start is not None:
        said += f", {'from' if treatment.therapy else 'on'} {day(treatment.start)}"
    if treatment.therapy:
        if treatment.end is not None:
            said += f" to {day(treatment.end)}"
        elif treatment.assumed_ongoing:
            said += ", taken as ongoing"
    if treatment.day is not None:
        said += f"; the latest sample is of day {treatment.day}"
    yield said + (f" ({escaped(', '.join(treatment.refs))})" if treatment.refs else "")


def _checks(checks: Iterable[Check]) -> Iterator[str]:
    listed = list(checks)
    for outcome, title in (("failed", "Not passed"), ("unknown", "Cannot be told")):
        for check in listed:
            if check.outcome == outcome:
                why = f" ({_said('; '.join(check.why), 400)})" if check.why else ""
                yield f"{title}: {escaped(check.title)}{why}"
    for outcome, title in (("passed", "Passed"), ("not asked", "Not asked")):
        names: dict[str, list[str]] = {}
        for check in listed:
            if check.outcome == outcome:
                why = f" ({'; '.join(check.why)})" if check.why else ""
                names.setdefault(check.marker, []).append(check.title.removeprefix(f"{check.marker}: ") + why)
        for marker, titles in names.items():
            yield f"{title}{f' ({escaped(marker)})' if marker else ''}: {_said('; '.join(titles), 1200)}"


def _missing(advisory: Advisory) -> Iterator[str]:
    yield from (_said(said) for said in advisory.missing)
    for item in advisory.cannot_exclude:
        yield f"“{escaped(item.word)}” cannot be excluded; missing: {_said('; '.join(item.missing), 400)}"


def _why_not(advisory: Advisory) -> Iterator[str]:
    for reason in advisory.why_not:
        if reason.state != advisory.state:
            yield f"Not “{escaped(reason.word)}”; {_said('; '.join(reason.kept_by), 400)}"


def _evidence(study: Reference) -> str:
    second_hand = study.known_through.startswith("known only ")
    direct = [study.breast and f"tumour: {study.breast}", study.therapy and f"treatment: {study.therapy}"]
    parts = {
        "Design": study.design,
        "Population": study.population,
        "Number": study.n.removeprefix("n = ").removeprefix("n "),
        "Specimen": study.specimen,
        "Direction": study.direction,
        "Certainty": study.certainty,
        "Directness to this patient": "; ".join(part for part in direct if part) or "not stated",
        "Status": study.standing,
        "Known": "" if second_hand else study.known_through.removeprefix("known "),
        "Caution": study.caution,
    }
    said = ". ".join(f"{name}: {text.rstrip('.')}" for name, text in parts.items() if text)
    source = link(study.citation, study.link) + (
        f", read {escaped(study.known_through.removeprefix('known '))}" if second_hand else ""
    )
    return f"{source}. {_said(said, 1200)}."


def _left_out(advisory: Advisory) -> Iterator[str]:
    """What was left out, first what may have held results; what is so for the same reason stands together."""
    alike: dict[tuple[str, str], list[str]] = {}
    for item in sorted(advisory.left_out, key=lambda one: not one.hides):
        alike.setdefault((item.reason, item.hint), []).append(item.what)
    for (reason, hint), whats in list(alike.items())[:_MOST_LEFT_OUT]:
        step = f" (next: {escaped(hint)})" if hint else ""
        yield f"{escaped(', '.join(dict.fromkeys(whats)), 600)}: {escaped(reason)}{step}"
    more = sum(len(whats) for whats in list(alike.values())[_MOST_LEFT_OUT:])
    if more > 0:
        yield f"and {more} more"


def _about(advisory: Advisory) -> Iterator[str]:
    rule, about = advisory.rule, advisory.about
    yield f"Data as of {day(advisory.as_of)}"
    yield (
        f"Rule {escaped(rule.name)}, version {rule.hash[:_SHOWN_DIGITS]}, since {_said(rule.since)}, "
        f"to be reviewed by {_said(rule.review_by)}; rule book {rule.rulebook_hash[:_SHOWN_DIGITS]}"
        + (f"; {escaped(about.software)}" if about.software else "")
    )
    if rule.also:
        yield f"The same holds for: {escaped(', '.join(rule.also))}"
    yield escaped(rule.summary, 400)
    yield escaped(about.user, 400)
    yield escaped(f"{about.regulatory} {about.validation}", 600)
    yield escaped(f"Developer: {about.developer}. Funding: {about.funding}. Contact: {about.contact}.", 600, own=True)
    used = [f"{name}: {use}" for name, use in advisory.attributes if use != "not used"]
    unused = ", ".join(name for name, use in advisory.attributes if use == "not used")
    yield escaped("; ".join([*used, f"not used: {unused}"] if unused else used), 800)
