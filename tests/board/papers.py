"""Sheets of patients and of meetings, as the tests print them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from cds.advice.statements import Advisor
from cds.board.paper import AgendaLine, MeetingSheet, PatientSheet
from cds.board.sheets import question_of
from cds.chart.model import Chart
from cds.drawing import described, scene_of, svg
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from tests.drawing.contact_sheet import chart_of
from tests.patients.archetypes import patient

_BOOK = default_rulebook()
_REASONER, _ADVISOR = Reasoner(_BOOK), Advisor(_BOOK)


def sheet_of(chart: Chart) -> PatientSheet:
    """The sheet of a chart, of an invented person."""
    evaluation = _REASONER.evaluate(chart)
    said = _ADVISOR.advisories(evaluation)
    scene = scene_of(evaluation, said, _BOOK)
    return PatientSheet(
        name="Berger, Anna",
        born="14 May 1970",
        number="4711",
        as_of=chart.as_of,
        questions=tuple(question_of(one) for one in said if one.state not in ("not-applicable", "out-of-scope")),
        others=tuple(f"{one.marker_names[0]}: {one.word}" for one in said if one.state == "not-applicable"),
        age="54 years",
        sex="female",
        receptors=("ER negative", "PR negative", "HER2 negative"),
        spread="distant metastases",
        treatments=("Cytotoxic chemotherapy (paclitaxel) since 6 Jan 2025",),
        drawing=svg(scene, printed=True) if scene.panels else "",
        told=described(scene),
        rulebook=evaluation.rulebook_hash,
        digest="0f" * 32,
    )


def archetype_sheet(name: str, day: str) -> PatientSheet:
    """The sheet of an archetype as of a day."""
    return sheet_of(chart_of(patient(name), day))


def crowded(sheet: PatientSheet, questions: int) -> PatientSheet:
    """The sheet with so many questions, each with far more of everything than a page holds."""
    (one, *_) = sheet.questions
    much = replace(
        one, values=one.values * 12, studies=one.studies * 8, why=one.why * 9 or ("the case: value risen",) * 30,
        missing=("total EV count of the sample",) * 20, why_not=one.why_not * 9, would_change=one.would_change * 9,
        failed=("sound specimen (haemolysis)",) * 9, passed=one.passed * 3, options=one.options * 6, notes=one.notes * 20,
        explanation=one.explanation * 5, headline=one.headline * 3,
    )  # fmt: skip
    return replace(sheet, questions=(much,) * questions, decisions=("accepted, 21 Apr 2025, by reviewer",) * questions,
        earlier=("watch, 31 Mar 2025, by reviewer (amended since)",) * 30,
    )  # fmt: skip


def meeting(patients: int = 3, *, held: bool = True) -> MeetingSheet:
    """A meeting with so many patients."""
    lines = tuple(
        AgendaLine(
            name=f"Invented, Person {number}",
            born="14 May 1970",
            number=str(4700 + number),
            findings=(
                ("suspected", "suspected", "TRPC5-EV, cytotoxic chemotherapy"),
                ("no-flag", "no flag", "EV-PD-L1"),
            ),
            decisions=("repeat the test (timing of the sample)",) if held else (),
            actions=("repeat the marker, same method: by 19 May 2025", "imaging: by 2 Jun 2025") if held else (),
            note="from the meeting of 14 Apr 2025" if number % 4 == 1 else "",
        )
        for number in range(patients)
    )
    said = "Discussed in order.\n\nThe radiologist was asked for the earlier scan." if held else ""
    attendees = ("oncologist", "surgeon", "pathologist", "radiologist") if held else ()
    return MeetingSheet("Breast board", date(2025, 4, 28), held, lines, attendees, held, said)
