"""The lanes below the curves: treatment by class, operations, imaging, and what disturbs a marker for a while."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta

from cds.advice.checks import imaging_near
from cds.chart.model import Event, Imaging, Line
from cds.drawing.scene import Bar, Ending, Lane, Mark
from cds.reasoning.findings import Evaluation
from cds.reasoning.rulebook import RuleBook

_OPERATION = "operation"
_SIDE_BY_SIDE = 3
"""So many bars of one line a lane has rows for."""
_TITLES = {"g-csf": "G-CSF", "hepatic": "Liver disease", "renal": "Kidney disease", "autoimmune": "Autoimmune disease"}


def lanes(evaluation: Evaluation, book: RuleBook) -> Iterator[Lane]:
    """The lanes of a chart, in the order in which they stand."""
    chart, classes = evaluation.chart, book.catalogue.therapies.classes
    lasting = _lasting(book)
    for therapy in dict.fromkeys(line.therapy for line in chart.lines):
        title = classes[therapy].title
        given = (line for line in chart.lines if line.therapy == therapy)
        bars = tuple(bar for line in given for bar in _bars(line, title, chart.as_of))
        yield Lane(title, "therapy", bars, look=list(classes).index(therapy))
    if chart.operations:
        marks = tuple(
            Mark("operation" if one.curative is False else "resection", one.day, one.planned,
                 None if one.planned else _until(one.day, lasting.get(_OPERATION, (0, False))[0]))
            for one in chart.operations
        )  # fmt: skip
        yield Lane("Operation", "operation", marks=marks)
    if chart.imaging:
        decides = {imaging.ref or imaging.day for imaging in _deciding(evaluation)}
        yield Lane(
            "Imaging",
            "imaging",
            marks=tuple(Mark(one.response, one.day, decides=(one.ref or one.day) in decides) for one in chart.imaging),
        )
    for kind in dict.fromkeys(event.kind for event in chart.events):
        own = [event for event in chart.events if event.kind == kind]
        yield _events(kind, own, *lasting.get(kind, (0, False)))


def _bars(line: Line, title: str, today: date) -> Sequence[Bar]:
    """A bar for each course of a drug, those given side by side on the same days in one; one of the whole line where
    more lie side by side than a lane has room for."""
    whole, drugs = _bar(line, title), dict[tuple[date | None, date | None], list[str]]()
    for run in line.drug_runs():
        over = run.last is not None and run.last < today
        ends = [day for day in (run.given or run.last if over else None, line.end) if day is not None]
        drugs.setdefault((run.first, min(ends, default=None)), []).append(run.drug)
    side_by_side = max(
        (sum((a or date.min) <= (start or date.min) and (b is None or b > (start or date.min)) for a, b in drugs)
         for start, _ in drugs), default=0,
    )  # fmt: skip
    if len(drugs) < 2 or side_by_side > _SIDE_BY_SIDE:
        return (whole,)
    more = " (neoadjuvant)" if line.neoadjuvant else ""
    return [
        Bar(", ".join(named) + more, start, end, whole.ending if end in (None, line.end) else "recorded")
        for (start, end), named in drugs.items()
    ]


def _bar(line: Line, title: str) -> Bar:
    ending: Ending = "recorded"
    if line.planned:
        ending = "planned"
    elif line.end is None:
        ending = "unknown" if line.extent == "unknown" else "assumed"
    drugs = ", ".join(line.drugs) or title
    return Bar(f"{drugs} (neoadjuvant)" if line.neoadjuvant else drugs, line.start, line.end, ending)


def _events(kind: str, events: Iterable[Event], days: int, once: bool) -> Lane:
    """One kind of event. `once`: it is over when it was given, so that a missing end is that day."""
    bars: list[Bar] = []
    marks: list[Mark] = []
    for event in events:
        end = event.end or (event.start if once else None)
        if event.start is not None and event.start == end:
            marks.append(Mark("", event.start, until=_until(event.start, days)))
        else:
            until = _until(end, days) if end is not None else None
            bars.append(Bar("", event.start, end, "recorded" if end is not None else "assumed", until))
    title = _TITLES.get(kind) or kind.replace("-", " ").capitalize()
    return Lane(title, "event", tuple(bars), tuple(marks))


def _until(day: date, days: int) -> date | None:
    return day + timedelta(days=days) if days else None


def _lasting(book: RuleBook) -> Mapping[str, tuple[int, bool]]:
    """How many days longer than it lasted each kind of event makes a sample unusable, and whether it is of one moment."""
    found: dict[str, tuple[int, bool]] = {}
    for gate in book.gates:
        for spec, _, _ in gate.fails_on if gate.every_sample else ():
            if spec.kind in ("event", "given"):
                found[spec.params[0]] = (spec.params[1], spec.kind == "given")
            elif spec.kind == "operation":
                found[_OPERATION] = (spec.params, False)
    return found


def _deciding(evaluation: Evaluation) -> Iterator[Imaging]:
    for finding in evaluation.findings:
        if finding.state == "discordant" and finding.rule.status == "active":
            seen = imaging_near(finding, evaluation.chart)
            if seen is not None:
                yield seen
