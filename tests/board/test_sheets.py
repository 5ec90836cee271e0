"""From the record to paper and tables: a patient whom a board decided about, and a meeting."""

from __future__ import annotations

import csv
import io

from cds.board.case import Cases
from cds.board.export import course_csv, worklist_csv
from cds.board.paper import meeting_pdf, patient_pdf
from cds.board.sheets import meeting_sheet, patient_sheet
from cds.drawing import table_of
from cds.record.database import Database
from cds.record.recorder import Recorder
from tests.board.test_paper import pages_of, squeezed
from tests.record.boards import A_SEASON, TENANT, behind, named_visit, rows, worked_on
from tests.record.visits import REASONER, visit

TITLES = {key: one.short for key, one in REASONER.rulebook.catalogue.markers.items()} | {
    key: one.title for key, one in REASONER.rulebook.catalogue.therapies.classes.items()
}


def read_csv(data: bytes) -> list[list[str]]:
    assert data.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def test_a_patient_of_the_record_on_paper(database: Database) -> None:
    recorder = Recorder(database, REASONER.rulebook, clock=behind(A_SEASON))
    named_visit(recorder, "A01", "2025-04-21", family="Berger")
    worked_on(recorder)
    (row,) = [one for one in rows(database) if one.claim]
    case = Cases(database, REASONER).case(TENANT, row.patient)
    sheet = patient_sheet(case, recorder.reviews.decisions(TENANT, patient=row.patient))
    assert (sheet.name, sheet.born, sheet.number) == ("Berger, Anna", "1 Jan 1970", "MRN-Berger")
    assert sheet.digest == case.digest
    (said,) = pages_of(patient_pdf(sheet))
    for words in (
        "Berger, Anna", "1 Jan 1970", "MRN-Berger", "suspected", "3.84 × 10⁶ particles/mL", "value risen beyond the limit",
        "accepted, m2B R", "“Rise before imaging", "second reader prof-2: agrees", "advice open since",
        "Cytotoxic chemotherapy (paclitaxel) since 6 Jan 2025", case.digest[:16],
    ):  # fmt: skip
        assert squeezed(words) in squeezed(said), words
    assert patient_pdf(sheet) == patient_pdf(
        patient_sheet(
            Cases(database, REASONER).case(TENANT, row.patient), recorder.reviews.decisions(TENANT, patient=row.patient)
        )
    )


def test_a_meeting_of_the_record_on_paper(database: Database) -> None:
    recorder = Recorder(database, REASONER.rulebook, clock=behind(A_SEASON))
    named_visit(recorder, "A01", "2025-04-21", family="Berger")
    worked_on(recorder)
    meetings = recorder.meetings
    first, second = sorted(meetings.meetings(TENANT), key=lambda one: one.day)
    (said,) = pages_of(meeting_pdf(meeting_sheet(*meetings.sitting(TENANT, first.id), TITLES)))
    for words in (
        "Breast board", "5 Jan 2026", "oncologist, surgeon", "Quorum: yes", "One case.", "Berger, Anna", "14 May 1970",
        "MRN-Berger", "suspected", "TRPC5-EV, Cytotoxic chemotherapy", "carried over",
    ):  # fmt: skip
        assert squeezed(words) in squeezed(said), words
    meetings.change(TENANT, second.id, 1, "chair", close=True)
    minutes = meeting_pdf(meeting_sheet(*meetings.sitting(TENANT, second.id), TITLES))
    (said,) = pages_of(minutes)
    for words in (
        "12 Jan 2026", "accepted, m2B R", "“Rise before imaging", "second reader prof-2: agrees", "imaging by 20 Jan 2026",
        "look for a trial", "from the meeting of 5 Jan 2026",
    ):  # fmt: skip
        assert squeezed(words) in squeezed(said), words
    assert "not done" not in said  # that is what became of it since
    recorder.reviews.second(meetings.agenda(TENANT, second.id)[0].decisions[0].id, "prof-3", agrees=False)
    named_visit(recorder, "A01", "2025-05-12", family="Berger")
    assert meeting_pdf(meeting_sheet(*meetings.sitting(TENANT, second.id), TITLES)) == minutes


def test_a_patient_whose_record_was_never_read_is_told_by_their_id(database: Database) -> None:
    recorder = Recorder(database, REASONER.rulebook)
    visit(recorder, "A01", "2025-04-21")
    (row,) = rows(database)
    meeting = recorder.meetings.plan(TENANT, "Breast board", "2026-01-05", "chair")
    recorder.meetings.add(TENANT, meeting, row.patient, "chair")
    (said,) = pages_of(meeting_pdf(meeting_sheet(*recorder.meetings.sitting(TENANT, meeting), TITLES)))
    assert squeezed("record no. a01") in squeezed(said)
    assert read_csv(worklist_csv([row], TITLES))[1][:3] == ["", "", "a01"]


def test_the_worklist_and_a_course_as_tables(database: Database) -> None:
    recorder = Recorder(database, REASONER.rulebook)
    named_visit(recorder, "A01", "2025-04-21", family="=Berger")
    named_visit(recorder, "A06", "2025-05-12", family="Yıldız")
    table = read_csv(worklist_csv(rows(database), TITLES))
    head, *lines = table
    assert len({len(line) for line in table}) == 1
    by_name = {line[0]: dict(zip(head, line, strict=True)) for line in lines}
    flagged = by_name["'=Berger, Anna"]
    assert (flagged["Question"], flagged["State"]) == ("TRPC5-EV, Cytotoxic chemotherapy", "suspected")
    assert float(flagged["Over reference"]) > 3
    unjudged = by_name["Yıldız, Anna"]
    assert (unjudged["State"], unjudged["Over reference"]) == ("cannot be judged", "")
    assert unjudged["What is missing"]
    row = next(one for one in rows(database) if one.named.family == "=Berger")
    case = Cases(database, REASONER).case(TENANT, row.patient)
    head, *lines, intended = read_csv(
        course_csv(table_of(case.scene), case.header.name, case.header.born, case.header.number)
    )
    assert {(line[0], line[1], line[2]) for line in lines} == {("'=Berger, Anna", "1970-01-01", "MRN-=Berger")}
    assert "not a medical device" in intended[0]
    assert [line[3] for line in lines] == sorted(line[3] for line in lines)
    assert ("2025-04-21", "105") in {(line[3], line[5]) for line in lines}
