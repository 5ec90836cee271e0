"""A patient's case as a board looks at it: who it is, what is found now, what was advised and decided before, and the drawing.

It is computed anew from the stored inputs of an evaluation, so that page, paper and tables show one and the same thing; what the
rule book of that day found stands beside what the present one finds.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import date

import msgspec

from cds.advice.advisory import About, Advisory, LeftOutItem
from cds.advice.changes import why
from cds.advice.statements import Advisor
from cds.advice.wording import Wording
from cds.board.imaging import imaging_told
from cds.board.legible import death_told, number_of
from cds.board.words import label, words
from cds.chart import read
from cds.chart.model import Chart, LeftOut, Line, Tri
from cds.drawing import Scene, scene_of
from cds.legible import day
from cds.reasoning.findings import Evaluation
from cds.reasoning.reasoner import Reasoner
from cds.record import content
from cds.record.cases import StoredAdvisory, StoredCase, Visit, last_claim, stored_case
from cds.record.database import Database
from cds.record.identity import Identity
from cds.record.lines import span_of
from cds.record.names import Named
from cds.record.passwords import TooManyAtOnce
from cds.record.replay import moment_of

_THREADS, _LONGEST = 2, 10.0
"""How many cases are made at a time, and how many seconds anybody waits for one."""
_QUIET = ("not-applicable", "out-of-scope")
"""States of questions that are not about this patient: they are told in one line, not in a section each."""


@dataclass(frozen=True, slots=True)
class Header:
    """Who the patient is, and where they stand; "" for what is not recorded."""

    name: str
    born: str  # as the record has it: a day, a month or a year
    number: str
    birthday: date | None  # None without a full date of birth
    sex: str
    receptors: tuple[tuple[str, Tri], ...]  # ("ER", True) …
    metastatic: Tri
    treatments: tuple[str, ...]  # lines that run, or may: "Cytotoxic chemotherapy (paclitaxel) since 6 Jan 2025"
    imaging: tuple[str, ...] = ()  # the newest response: "PD, 17 Nov 2026 (8 days after the newest sample)"
    dead: str = ""  # "died 3 May 2026", for whoever is recorded as dead

    def age(self, today: date) -> int | None:
        """Whole years on the day on which somebody reads it; None where the day of birth is not known, and of the dead."""
        born = None if self.dead else self.birthday
        return today.year - born.year - ((today.month, today.day) < (born.month, born.day)) if born else None


@dataclass(frozen=True, slots=True)
class Other:
    """What another rule book says to the same question on the same data."""

    title: str
    version: str
    state: str  # "" where it does not ask
    word: str
    differs: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """One question: what is said now, the advisory that stands for it, and what other rule books say."""

    said: Advisory
    advisory: StoredAdvisory | None
    claimed: Advisory | None  # what the advisory claims, if the newest data say something else
    others: tuple[Other, ...]
    why: tuple[str, ...]  # the trace in words: each fact that holds for the state

    @property
    def title(self) -> str:
        """What it is about: markers and treatment."""
        return about(self.said)


@dataclass(frozen=True, slots=True)
class Former:
    """Advice that no present answer carries on: it ended, or nothing is said of its question and line."""

    advisory: StoredAdvisory
    claimed: Advisory | None  # what it claimed last
    reason: str  # why it is as it is: a code of the lifecycle

    @property
    def title(self) -> str:
        """What it is about: markers and treatment."""
        return about(self.claimed) if self.claimed is not None else self.advisory.question


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that is shown of a patient. `digest` is the same as long as what is shown of data and rules is."""

    key: str
    header: Header
    as_of: date
    visit: Visit
    visits: tuple[Visit, ...]
    latest: bool  # whether this is the last evaluation
    rulebook: str
    answers: tuple[Answer, ...]
    quiet: tuple[Answer, ...]  # of no concern to this patient, and without open advice
    unanswered: tuple[Former, ...]  # open advice on which nothing is said now
    earlier: tuple[Former, ...]  # advice that ended
    scene: Scene
    left_out: tuple[LeftOutItem, ...]
    silent: tuple[tuple[str, str], ...]
    digest: str
    chart: Chart

    @property
    def sampled(self) -> date | None:
        """The day of the newest sample of a marker; None where none has a day."""
        return _sampled(self.scene)

    def open_since(self, advice: StoredAdvisory) -> str:
        """The instant since which advice stood when this evaluation was made, for the last one that of today; "" if it did not."""
        return advice.open_since(self.known)

    @property
    def known(self) -> str:
        """The instant until which it knows what became of advice; "" for all that is known."""
        return "" if self.latest else self.visit.at

    def advised(self, advisory: str) -> Answer | Former | None:
        """An advisory of the patient, with what is said of it."""
        carried = (one for one in self.answers if one.advisory is not None and one.advisory.id == advisory)
        former = (one for one in (*self.unanswered, *self.earlier) if one.advisory.id == advisory)
        return next(carried, None) or next(former, None)

    @property
    def titles(self) -> Mapping[str, str]:
        """What each advisory is about, by id: those that stand first."""
        found = {one.advisory.id: one.title for one in self.answers if one.advisory is not None}
        found |= {one.advisory.id: one.title for one in self.unanswered}
        ended = {one.advisory.id: f"{one.title} ({label('standing', one.advisory.standing)})" for one in self.earlier}
        return found | ended

    @property
    def unacknowledged(self) -> Sequence[Answer | Former]:
        """What was withdrawn, and nobody has acknowledged that they saw it."""
        every: Sequence[Answer | Former] = (*self.answers, *self.unanswered, *self.earlier)
        return [one for one in every if one.advisory is not None and one.advisory.withdrawal is not None]


def about(said: Advisory) -> str:
    """What an advisory is about: markers and treatment."""
    treatment = said.treatment.title if said.treatment is not None else ""
    return ", ".join(part for part in (" + ".join(said.marker_names), treatment) if part)


def full_name(named: Named) -> str:
    """How a list calls a patient: family name first; "" if their record states none."""
    return ", ".join(part for part in (named.family, named.given) if part)


class Cases:
    """Makes cases from the record. `candidate` is a rule book that might become the next one."""

    def __init__(
        self, database: Database, reasoner: Reasoner, about: About | None = None, candidate: Reasoner | None = None
    ):
        self.database = database
        self._reasoner = reasoner
        self._candidate = candidate
        self._advisor = Advisor(reasoner.rulebook, about)
        self._words = Wording(reasoner.rulebook)
        # The engine keeps its rule sets for each thread: so a few that stay.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="case")
        self.hashes = frozenset(rule.hash for rule in reasoner.rulebook.rules)
        """Of the rules in use."""

    def case(self, tenant: str, key: str, evaluation: str = "") -> Case:
        """The case of the patient with that row id; `evaluation` is an earlier one that is to be shown.

        Raises `NoSuchPatient`, `RecordUnavailable`, and of the latter `TooManyAtOnce`.
        """
        stored = stored_case(self.database, tenant, key, evaluation)
        making = self._threads.submit(self._made, stored)
        if not wait([making], _LONGEST).done:
            making.cancel()
            raise TooManyAtOnce("more cases are looked at than this process has turns for")
        return making.result()

    def _made(self, stored: StoredCase) -> Case:
        reasoner = self._reasoner
        evaluated = _again(stored, reasoner)
        said = self._advisor.advisories(evaluated)
        others = self._others(stored, evaluated)
        mine, former = _matched(said, stored.advisories, evaluated)
        answers = [
            Answer(
                one,
                (own := mine.get(one.rule.name)),
                _claimed(own, one),
                others[one.rule.name],
                self._why(one, evaluated),
            )
            for one in said
        ]
        scene = scene_of(evaluated, said, reasoner.rulebook)
        digest = hashlib.sha256(
            content.encoded([stored.inputs, stored.visit.as_of, reasoner.rulebook.hash, [one.digest for one in said]])
        ).hexdigest()
        return Case(
            key=stored.key,
            header=self._header(evaluated.chart, stored.named, stored.who, _sampled(scene)),
            as_of=evaluated.chart.as_of,
            visit=stored.visit,
            visits=stored.visits,
            latest=stored.visit.id == stored.visits[0].id,
            rulebook=reasoner.rulebook.hash,
            answers=tuple(one for one in answers if not _is_quiet(one)),
            quiet=tuple(one for one in answers if _is_quiet(one)),
            unanswered=tuple(one for one in former if one.advisory.is_open),
            earlier=tuple(one for one in former if not one.advisory.is_open),
            scene=scene,
            left_out=tuple(LeftOutItem(one.where, one.what, one.reason, one.hint) for one in evaluated.chart.left_out),
            silent=evaluated.silent,
            digest=digest,
            chart=evaluated.chart,
        )

    def _header(self, chart: Chart, named: Named, who: Identity, sampled: date | None) -> Header:
        diagnosis = chart.diagnosis
        return Header(
            full_name(named),
            chart.birth_date_text or named.born,
            number_of(named, who),
            _birthday(chart),
            chart.sex or "",
            (("ER", diagnosis.er), ("PR", diagnosis.pr), ("HER2", diagnosis.her2)),
            diagnosis.metastatic,
            tuple(self._treatments(chart)),
            imaging_told(chart.imaging, sampled),
            _dead(chart),
        )

    def _treatments(self, chart: Chart) -> Iterator[str]:
        """What was given on the chart's day; where nothing was, what ended last; and the last operation."""
        running = [line for line in chart.lines if line.runs_on(chart.as_of) is not False]
        yield from (self._treatment(line, chart.as_of) for line in running)
        ended = [line for line in chart.lines if line.end is not None and line.end < chart.as_of]
        if ended and not running:
            last = max(ended, key=lambda line: line.end or date.min)
            yield str(words().patient.treatment_ended.format(what=self._treatment(last, last.end or chart.as_of)))
        of_tumour = (one for one in chart.operations if not one.planned and one.curative is not False)
        operated = [one for one in of_tumour if one.day <= chart.as_of]
        undated = chart.undated_resection or any(one.kind == "operation-of-uncertain-day" for one in chart.events)
        w = words().patient
        if (operated or undated) and not running and not ended:
            yield str(w.no_treatments)
        if operated:
            one = operated[-1]
            yield str(w.operation.format(day=day(one.day), side=label("sides", one.side) if one.side else w.no_side))
        if undated:
            yield str(w.operation_undated)

    def _treatment(self, line: Line, on: date) -> str:
        """A line with its drugs of a day, each with its own start where that is not the line's, after those that ended before."""
        w = words().patient
        runs = {one.drug: one.first for one in line.drug_runs() if one.first is None or one.first <= on}
        drugs = [
            w.treatment_since.format(what=drug, day=day(first))
            if (first := runs.get(drug)) is not None and first != line.start
            else drug
            for drug in line.drugs_on(on)
        ]
        ended = [
            w.treatment_to.format(what=one.drug, day=day(one.given or one.last))
            for one in line.drug_runs()
            if one.last is not None and one.last < on and one.drug not in line.drugs_on(on)
        ]
        told = "; ".join(filter(None, (*ended, ", ".join(drugs))))
        what = self._words.therapy(line.therapy) + (f" ({told})" if told else "")
        said = w.treatment_since.format(what=what, day=day(line.start)) if line.start else w.no_start.format(what=what)
        if line.end is not None:
            return str(w.treatment_to.format(what=said, day=day(line.end)))
        return str(w.no_end.format(what=said) if line.extent == "unknown" else said)

    def _why(self, said: Advisory, evaluation: Evaluation) -> tuple[str, ...]:
        finding = evaluation.answers.get(said.rule.name)
        return why(finding, self._reasoner.rulebook, self._words) if finding is not None else ()

    def _others(self, stored: StoredCase, evaluated: Evaluation) -> Mapping[str, tuple[Other, ...]]:
        """For each question what the rule book of the evaluation said, if it was another, and what the candidate says."""
        found: dict[str, list[Other]] = defaultdict(list)
        present = _states(evaluated)
        books: list[tuple[str, str, Mapping[str, str]]] = []
        if stored.visit.rulebook != self._reasoner.rulebook.hash:
            then = {question: answer["state"] for question, answer in stored.findings["answers"].items()}
            books.append(("then", stored.visit.rulebook, then))
        if self._candidate is not None:
            books.append(("candidate", self._candidate.rulebook.hash, _states(_again(stored, self._candidate))))
        for title, version, states in books:
            for question in {*present, *states}:
                state = states.get(question, "")
                word = self._words.state(state) if state else ""
                found[question].append(Other(title, version, state, word, state != present.get(question, "")))
        return defaultdict(tuple, {question: tuple(others) for question, others in found.items()})


def _again(stored: StoredCase, reasoner: Reasoner) -> Evaluation:
    """The evaluation of the stored inputs, as of its own moment."""
    # A hook's request says itself whose it was; since then the patient may have been merged into another.
    patient = None if "hook" in stored.inputs else stored.who.reference
    record = read(stored.inputs, reasoner.rulebook.catalogue, patient=patient)
    chart = record.as_of(moment_of(stored.inputs, stored.visit.as_of))
    # What could not be had for the evaluation was left out of it too, and stands beside the inputs.
    unfetched = msgspec.convert(stored.inputs.get("leftOut", ()), tuple[LeftOut, ...]) if patient is None else ()
    return reasoner.evaluate(msgspec.structs.replace(chart, left_out=(*chart.left_out, *unfetched)))


def _states(evaluation: Evaluation) -> Mapping[str, str]:
    return {question: finding.state for question, finding in evaluation.answers.items()}


def _matched(
    said: Sequence[Advisory], stored: Sequence[StoredAdvisory], evaluation: Evaluation
) -> tuple[dict[str, StoredAdvisory], list[Former]]:
    """By rule the advisory that its present answer carries on; and all that no answer carries on."""
    mine: dict[str, StoredAdvisory] = {}
    for one in said:
        names = (one.rule.name, *one.rule.also)
        span = next((span_of(f) for name in names if (f := evaluation.answers.get(name)) is not None), None)
        own = (a for a in stored if a.question in names and a.is_open)
        chosen = next((a for a in own if span is None or a.span.same(span)), None)
        if chosen is not None:
            mine[one.rule.name] = chosen
    taken = {one.id for one in mine.values()}
    former = [
        Former(one, last_claim(one.events), one.events[-1].reason if one.events else "")
        for one in stored
        if one.id not in taken
    ]
    return mine, former


def _is_quiet(answer: Answer) -> bool:
    return answer.said.state in _QUIET and answer.advisory is None


def _claimed(advisory: StoredAdvisory | None, said: Advisory) -> Advisory | None:
    """What an open advisory claims, unless that is said now."""
    return last_claim(advisory.events) if advisory is not None and advisory.state != said.state else None


def _sampled(scene: Scene) -> date | None:
    """The day of the newest sample that is drawn."""
    return max((point.day for panel in scene.panels for point in panel.points), default=None)


def _dead(chart: Chart) -> str:
    return death_told((chart.died.isoformat() if chart.died else "") if chart.deceased else None)


def _birthday(chart: Chart) -> date | None:
    """The day of birth; None where only a month or a year is known."""
    return chart.birth_date if len(chart.birth_date_text or "") >= len("1970-01-01") else None
