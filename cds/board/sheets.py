"""From a patient's case, and from a meeting, to the sheets that are printed of them: the words of the pages, what matters first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date

from cds.advice.advisory import Advisory, Reading, Reference
from cds.board.age import Age
from cds.board.case import Answer, Case, Former, about, full_name
from cds.board.figures import Figure, figures_of
from cds.board.legible import death_told, number_of
from cds.board.paper import AgendaLine, MeetingSheet, PatientSheet, Question, Study, Value
from cds.board.taken_back import outdated, results_taken_back
from cds.board.words import label, words
from cds.calendar import day_of
from cds.drawing import described, svg
from cds.legible import day, legible
from cds.reasoning.explanation import figure
from cds.record.agendas import Found
from cds.record.cases import StoredAdvisory
from cds.record.decisions import MOST_NOTE, Decided, Planned
from cds.record.lifecycle import Kind
from cds.record.listing import Event
from cds.record.sittings import ENDS, Before, Meeting
from cds.record.sittings import Case as OnAgenda
from cds.record.withdrawals import Withdrawal
from cds.record.worklist import Row

_VERSION = 12
_MOST_NOTE = 240
"""How much of a note a patient's page prints: it is one page, and what was decided comes before why. Minutes print all of it."""


def patient_sheet(case: Case, decisions: Iterable[Decided] = (), today: date | None = None) -> PatientSheet:
    """The sheet of a case as printed `today`, with what was decided so far: first what holds of advice that stands, then the newest first.

    Without `today` it is as of the day of the evaluation.
    """
    w, header = words().patient, case.header
    newest = sorted(decisions, key=lambda one: (one.at, one.number), reverse=True)
    ended = {one.advisory.id for one in case.earlier}
    holding = [one for one in newest if one.newest and one.advisory not in ended]
    age = Age(today or case.as_of, case.as_of, case.sampled)
    spread = {None: f"{w.spread} {w.spread_unknown}", True: w.metastatic, False: w.not_metastatic}[header.metastatic]
    return PatientSheet(
        name=header.name or words().common.unknown,
        born=day(header.born) or words().common.unknown,
        number=header.number,
        as_of=case.as_of,
        age_told="; ".join(filter(None, (age.evaluation, age.sample))),
        age_warning=age.warning if case.latest else "",
        withdrawn=tuple(_withdrawn(case)),
        questions=(
            *(question(case, one, age) for one in case.answers),
            *(_unanswered(case, one) for one in case.unanswered),
        ),
        others=tuple(
            ": ".join(filter(None, (one.title, one.said.word, "; ".join(one.said.reasons)))) for one in case.quiet
        ),
        age=header.dead or (w.age.format(age=years) if (years := header.age(age.today)) is not None else ""),
        sex=label("sexes", header.sex) if header.sex else "",
        receptors=tuple(_receptor(name, positive) for name, positive in header.receptors),
        spread=spread,
        treatments=tuple(legible(one) for one in header.treatments),
        imaging=header.imaging,
        drawing=svg(case.scene, printed=True) if case.scene.panels else "",
        told=described(case.scene),
        decisions=tuple(
            f"{case.titles[one.advisory]}: {decision_line(one)}{_before(case, one)}{_follows(one)}" for one in holding
        ),
        earlier=tuple(_earlier(one, case.titles[one.advisory]) for one in newest if one not in holding),
        rulebook=case.rulebook,
        digest=case.digest,
    )


def _withdrawn(case: Case) -> Iterator[str]:
    """All advice that was withdrawn: what it said, when and why it was taken back, the last first."""
    w = words()
    gone = [one.advisory for one in case.earlier if one.advisory.standing == "withdrawn"]
    gone += [advisory for one in case.unacknowledged if (advisory := one.advisory) is not None and advisory not in gone]
    for one in gone:
        event = next(each for each in reversed(one.events) if each.kind == Kind.WITHDRAWN)
        said = legible(event.said.headline) if event.said is not None else case.titles[one.id]
        yield f"{day(day_of(event.at))}: {said}. {w.patient.because}: {label('reasons', event.reason)}{_at_fault(case, event)}{_seen(one)}"


def _at_fault(case: Case, event: Event) -> str:
    """Which results were taken back, as the end of a sentence; "" where that cannot be told."""
    results = "; ".join(results_taken_back(case, event))
    return f" ({words().withdrawal.results} {results})" if results else ""


def _seen(advice: StoredAdvisory) -> str:
    """Who acknowledged that it was withdrawn, and when; that nobody did."""
    w = words().patient
    if not advice.acknowledged:
        return f". {w.not_acknowledged}"
    return "".join(f". {w.acknowledged} {w.by} {one.by}, {day(day_of(one.at))}" for one in advice.acknowledged)


def _standing(case: Case, advice: StoredAdvisory) -> str:
    """Since when advice stands; on an earlier evaluation's sheet since when it stood then, or that it was opened later."""
    w, since = words().patient, case.open_since(advice)
    opened = f"{w.open_since if since else w.opened_later} {day(day_of(since or advice.open_since()))}"
    return "; ".join(filter(None, (opened, claimed_since(case, advice))))


def claimed_since(case: Case, advice: StoredAdvisory) -> str:
    """Since when advice claims what it claims, where it was opened as something else: "suspected since 5 Sep 2026"; else ""."""
    since = advice.claimed_since(case.known)
    if since is None or day_of(since.at) == day_of(case.open_since(advice)):
        return ""
    return f"{label('states', since.state)} {words().common.since} {day(day_of(since.at))}"


def question(case: Case, answer: Answer, age: Age | None = None) -> Question:
    """What is printed of one answer; what its advisory still claims too, if the newest data say something else."""
    w, advice = words().patient, answer.advisory
    since = _standing(case, advice) if advice is not None else ""
    asked = question_of(answer.said, why=answer.why, standing=since, age=age)
    if answer.claimed is None:
        return asked
    figures = figures_of(answer.claimed)
    why = f". {w.because}: {label('reasons', advice.events[-1].reason)}" if case.latest and advice is not None else ""
    return replace(
        asked,
        headline=f"{asked.headline}. {w.still_open} {answer.claimed.word}{why}",
        changes=(*asked.changes, *map(_change, figures)),
        limits=(*asked.limits, *(one.limit for one in figures)),
    )


def _unanswered(case: Case, former: Former) -> Question:
    """What is printed of open advice on which nothing is said now: what it claims, and why nothing is said."""
    advice, w = former.advisory, words().patient
    since = _standing(case, advice)
    if former.claimed is not None:
        asked = question_of(former.claimed, standing=since)
    else:
        asked = Question(advice.state, label("states", advice.state), former.title, "", standing=since)
    why = f"{w.unanswered}: {label('reasons', former.reason)}"
    return replace(asked, headline=f"{w.still_open} {asked.headline or asked.word}. {why}")


def question_of(said: Advisory, why: Iterable[str] = (), standing: str = "", age: Age | None = None) -> Question:
    """What is printed of an advisory; `why` is the trace of its finding, `standing` since when it stands."""
    outcomes: dict[str, list[str]] = {}
    for check in said.checks:
        reasons = f" ({'; '.join(check.why)})" if check.why and check.outcome != "passed" else ""
        outcomes.setdefault(check.outcome, []).append(legible(f"{check.title}{reasons}"))
    w, rule, figures = words().patient, said.rule, figures_of(said)
    per_ev = any(one.total_ev for one in figures)
    excluded = (f"{w.not_excluded.format(word=one.word)} {'; '.join(one.missing)}" for one in said.cannot_exclude)
    return Question(
        state=said.state,
        word=said.word,
        about=about(said),
        headline=legible(said.headline),
        explanation=said.explanation,
        certainty=f"{w.evidence_certainty.lower()} {said.certainty}" if said.certainty else "",
        changes=tuple(map(_change, figures)),
        limits=tuple(one.limit for one in figures),
        built=tuple(dict.fromkeys(legible(one.built) for one in said.changes)),
        why=tuple(legible(one) for one in (*said.reasons, *why)),
        missing=tuple(legible(one) for one in (*said.missing, *excluded)),
        why_not=tuple(legible(f"{one.word}: {'; '.join(one.kept_by)}") for one in said.why_not),
        would_change=tuple(legible(age.judged(one) if age is not None else one) for one in said.would_change),
        failed=tuple(outcomes.get("failed", ())),
        unknown=tuple(outcomes.get("unknown", ())),
        passed=tuple(outcomes.get("passed", ())),
        not_asked=tuple(outcomes.get("not asked", ())),
        values=tuple(_value(one, len(said.markers) > 1, per_ev) for one in _by_weight(said.readings)),
        studies=tuple(
            _study(one, against)
            for against, found in ((False, said.evidence), (True, said.contradicting))
            for one in found
        ),
        options=tuple(legible(one.text) for one in said.options),
        notes=tuple(legible(one) for one in said.notes),
        false_alarms=said.false_alarms,
        rule=f"{w.rule}: {rule.title}, {w.rule_version} {rule.hash[:_VERSION]}, {w.rule_since} {day(rule.since)}, "
        f"{w.rule_review} {day(rule.review_by)}",
        standing=standing,
    )


def _earlier(one: Decided, title: str) -> str:
    amended = "" if one.newest else f" ({words().paper.amended})"
    return f"{title}: {decision_line(one)}{amended}{_follows(one)}"


def _before(case: Case, one: Decided) -> str:
    """That a decision is about what was withdrawn since, or about an older finding; "" for others."""
    advised = case.advised(one.advisory)
    advice = advised.advisory if advised is not None else None
    old = outdated(advice, one) if advice is not None else ""
    return f" ({old})" if old else ""


def _quoted(one: Decided, most: int = MOST_NOTE) -> str:
    """The note of a decision, so that nobody takes its day for one that the note names; "" for none."""
    note = one.note if len(one.note) <= most else f"{one.note[: most - 1].rstrip()}…"
    return f"“{note}”" if note else ""


def _follows(one: Decided) -> str:
    """What a decision asked for and the begin of its note, after its line; "" for nothing."""
    asked = f"{words().decision.actions}: {', '.join(map(_action, one.actions))}" if one.actions else ""
    return "".join(f". {part}" for part in (asked, _quoted(one, _MOST_NOTE)) if part)


def decision_line(one: Decided) -> str:
    """A decision in one line: what, why, when, by whom, and what somebody else said of it; its note stands beside it."""
    w = words()
    reason = f" ({label('decision_reasons', one.reason)})" if one.reason else ""
    level = f", {one.level}{' R' if one.resistance else ''}" if one.level else ""
    seconds = "".join(
        f"; {w.patient.second} {second.by}: {w.patient.agrees if second.agrees else w.patient.disagrees}"
        for second in one.readings
    )
    return f"{label('dispositions', one.code)}{reason}{level}, {day(day_of(one.at))}, {w.patient.by} {one.by}{seconds}"


def meeting_sheet(meeting: Meeting, cases: Iterable[OnAgenda], titles: Mapping[str, str]) -> MeetingSheet:
    """The sheet of a meeting: its agenda, and its minutes once it was held. `titles` are those of markers and therapy classes."""
    return MeetingSheet(
        board=meeting.board,
        day=date.fromisoformat(meeting.day),
        held=meeting.status == "held",
        agenda=tuple(_agenda_line(one, titles, held=meeting.status == "held") for one in cases),
        attendees=meeting.attendees,
        quorum=meeting.quorum,
        minutes=meeting.minutes,
    )


def _agenda_line(case: OnAgenda, titles: Mapping[str, str], *, held: bool) -> AgendaLine:
    w = words()
    came = w.meetings.carried_from.format(day=day(case.carried_from)) if case.carried_from else ""
    notes = (
        came,
        *(before_told(one, titles) for one in case.before),
        *map(withdrawal_told, case.withdrawn.values()),
        w.meetings.not_kept if case.found is None else "" if case.found else w.meetings.nothing_found,
    )
    return AgendaLine(
        name=full_name(case.named) or w.common.unknown,
        born=day(case.named.born) or w.common.unknown,
        number=number_of(case.named, case.who),
        dead=death_told(case.named.died),
        findings=tuple((one.state, label("states", one.state), found_told(one, titles)) for one in case.found or ()),
        decisions=(
            *(said for one in (*case.decisions, *case.outside) for said in _on_agenda(case, one)),
            *_left_open(case, held=held),
        ),
        actions=tuple(_action(action) for one in (*case.decisions, *case.outside) for action in one.actions),
        note="; ".join(filter(None, notes)),
    )


def _on_agenda(case: OnAgenda, one: Decided) -> Iterator[str]:
    """A decision as an agenda and minutes print it, its note on a line of its own."""
    before, old = f"{elsewhere(case, one)} " if one in case.outside else "", about_older(case, one)
    yield f"{before}{decision_line(one)}{f' ({old})' if old else ''}"
    if one.note:
        yield _quoted(one)


def about_older(case: OnAgenda, one: Decided) -> str:
    """That a decision on an agenda was amended, is about what was withdrawn since, or about an older finding than it shows; "" for others."""
    if not one.newest:
        return str(words().paper.amended)
    withdrawn = case.withdrawn.get(one.advisory)
    if withdrawn is not None and withdrawn.is_after(one):
        return str(words().withdrawal.decided_before)
    newer = any(now.claim and now.advisory == one.advisory and now.revision > one.revision for now in case.found or ())
    return str(words().worklist.decision_old) if newer else ""


def elsewhere(case: OnAgenda, one: Decided) -> str:
    """At which other meeting a decision was made, or that it was at none."""
    w, at = words().meetings, case.days.get(one.meeting, "")
    return str(w.at_meeting.format(day=day(at)) if at else w.outside)


def _left_open(case: OnAgenda, *, held: bool) -> Iterator[str]:
    """What became of a case about which nothing was decided."""
    w = words().meetings
    if case.status == "carried":
        yield w.carried_to.format(day=day(case.carried_to)) if case.carried_to else w.carried
    elif case.status == "discussed" and not case.decisions:
        yield w.was_discussed
    elif held and not case.decisions:
        yield w.not_discussed


def before_told(one: Before, titles: Mapping[str, str]) -> str:
    """What was found when a case was carried over, and what happened last to that advice."""
    w, found = words(), one.found
    was = w.meetings.before.format(
        state=label("states", found.claim or found.state), what=question_title(found, titles)
    )
    if one.happened not in ENDS:
        return str(was)
    return f"{was}; {label('happened', one.happened).lower()}: {label('reasons', one.reason)}"


def withdrawal_told(one: Withdrawal) -> str:
    """What was withdrawn, when and why, in a line."""
    w = words().withdrawal
    return str(
        w.of_meeting.format(
            state=label("states", one.state), day=day(day_of(one.at)), reason=label("reasons", one.reason)
        )
    )


def found_told(one: Found, titles: Mapping[str, str]) -> str:
    """What a finding of an agenda is about, the newest value over its reference, its day, and what is claimed if that is something else."""
    w = words()
    return "; ".join(
        filter(
            None,
            (
                question_title(one, titles),
                f"{figure(one.fold)}\N{NO-BREAK SPACE}× {w.paper.of_reference}" if one.fold is not None else "",
                f"{w.age.sample} {day(one.latest)}" if one.latest else "",
                f"{w.worklist.claimed} {label('states', one.claim)}" if one.claim not in ("", one.state) else "",
            ),
        )
    )


def question_title(asked: Row | Found, titles: Mapping[str, str]) -> str:
    """What a question is about: markers and treatment."""
    markers = " + ".join(titles.get(one, one) for one in asked.markers)
    therapy = titles.get(asked.therapy, asked.therapy) or words().worklist.operation
    return f"{markers}, {therapy}"


def _action(one: Planned) -> str:
    return label("actions", one.kind) + (f" {words().decision.due} {day(one.due)}" if one.due else "")


def _receptor(name: str, positive: bool | None) -> str:
    w = words()
    return f"{name} {w.common.unknown if positive is None else w.patient.positive if positive else w.patient.negative}"


def _change(one: Figure) -> str:
    """A number in a line: "TRPC5-EV 3.84 × 10⁶ particles/mL, 21 Apr 2025 (value): 3.32 × of the reference …"."""
    counted = f"; {words().patient.total_ev} {one.total_ev}" if one.total_ev else ""
    sample = ", ".join(filter(None, (f"{one.marker} {one.value or words().common.unknown}", one.day)))
    if not one.fold:
        return sample
    return f"{sample} ({one.quantity}{counted}): {one.fold} {words().paper.of_reference} {one.reference}, {one.of}"


def _by_weight(readings: Sequence[Reading]) -> list[Reading]:
    """Those with a part in the finding first, then the newest."""
    newest = sorted(readings, key=lambda one: one.collected or date.min, reverse=True)
    return sorted(newest, key=lambda one: not one.roles)


def _value(one: Reading, named: bool, counted: bool) -> Value:
    """A result; `named`: with its marker, where there are several; `counted`: with its total EV count, over which it is taken."""
    total = f"{words().patient.total_ev} {legible(one.total_ev)}" if counted and one.total_ev else ""
    by = "; ".join(part for part in (one.laboratory, one.method, one.lot and f"lot {one.lot}") if part)
    return Value(
        day=day(one.collected) or words().common.unknown,
        order=one.collected.isoformat() if one.collected else "",
        of_line=str(one.day) if one.day is not None else "",
        value=f"{one.marker if named else ''} {legible(one.value)}".strip(),
        part=", ".join(filter(None, (*one.roles, *one.flaws, one.undated, total))),
        by=by,
        weighs=bool(one.roles),
    )


def _study(one: Reference, against: bool) -> Study:
    parts = "; ".join(part for part in (one.breast, one.therapy) if part)
    direct = f"{words().patient.evidence_direct.lower()}: {parts}" if parts else ""
    kind = ", ".join(part for part in (one.design, one.specimen, one.certainty) if part)
    return Study(one.citation, kind, one.n, direct, legible(one.standing), against)
