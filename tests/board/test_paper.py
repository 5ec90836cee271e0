"""Paper: one page for a patient however much there is, the same bytes each time, and text of a record that stays text."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import typst
from pypdf import PdfReader

from cds.board.glyphs import INSTEAD, compiler, printable
from cds.board.paper import MeetingSheet, PatientSheet, Question, meeting_pdf, patient_pdf
from cds.board.words import words
from tests.board.papers import archetype_sheet, crowded, meeting, sheet_of
from tests.drawing import hard_cases
from tests.drawing.contact_sheet import visits
from tests.test_cli import ROOT

SHEET = archetype_sheet("A01", "2025-04-21")
HOSTILE = [
    '#import "@preview/cetz:0.3.0"', '#read("/etc/passwd")', '#include "x.typ"', '#plugin("x.wasm")', '#image("/etc/passwd")',
    "$x^2$", "@label", "<x>", "*b* _i_ `raw`", "= heading", "\\u{41} \\ #h(1cm)", "#set page(width: 1cm)", "]#panic()[", "//x /* y */",
    '<script>alert(1)</script>', '<a href="javascript:1">', "{{7*7}} ${7*7} {% x %}", "&lt;b&gt;", '"quoted" \'single\'', "---...~",
]  # fmt: skip
"""What a markup language, or a page, would run or set."""


def text_of(pdf: bytes) -> str:
    pages = PdfReader(io.BytesIO(pdf)).pages
    return " ".join(" ".join(page.extract_text() for page in pages).replace("\u200b", "").split())


def pages_of(pdf: bytes) -> list[str]:
    return [page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages]


def squeezed(text: str) -> str:
    """Without white space: an extracted text has line ends wherever the paper has."""
    return re.sub(r"\s", "", text)


def filled(value: Any, text: str) -> Any:
    """A sheet with that text in every field that holds words."""
    kept = ("drawing", "as_of", "day", "held", "quorum", "against", "state", "order")
    if isinstance(value, str):
        return text
    if isinstance(value, tuple):
        return tuple(filled(one, text) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        changes = {
            each.name: filled(getattr(value, each.name), text) for each in fields(value) if each.name not in kept
        }
        return replace(value, **changes)
    return value


# a patient ----------------------------------------------------------------------------------------------------------


def test_a_patient_is_one_page_with_everything_that_decides() -> None:
    pdf = patient_pdf(SHEET)
    reader = PdfReader(io.BytesIO(pdf))
    (page,) = reader.pages
    assert [round(float(side)) for side in page.mediabox[2:]] == [595, 842]  # A4
    said = text_of(pdf)
    for words_ in (
        "Berger, Anna", "14 May 1970", "4711", "suspected", "certainty very low", "3.32 ×", "2.03 ×, that is 3.84 × 10⁶ particles/mL",
        "21 Apr 2025", "6.3 × 10⁶ particles/mL", "a comparable value below 3.84 × 10⁶ particles/mL would end the rise",
        "Wang T", "König", "against or limiting", "data as of 21 Apr 2025", "Page 1 of 1", "not a medical device",
        "latest 6.3 (3.32 ×)", "repeat the test", "Second reader", SHEET.questions[0].rule,
    ):  # fmt: skip
        assert squeezed(words_) in squeezed(said), words_
    assert squeezed(words().common.fixed) in squeezed(said)
    assert said.count("4711") >= 2  # in the page's head and in its own
    assert str(reader.root_object["/Lang"]) == "en"
    assert reader.metadata is not None
    assert "Berger" not in str(reader.metadata)  # a file's properties show up where nobody looks for a name


@pytest.mark.parametrize(("name", "day"), [(one.id, day) for one, day, _ in visits()])
def test_every_patient_of_the_evidence_is_one_page(name: str, day: str) -> None:
    sheet = archetype_sheet(name, day)
    (said,) = pages_of(patient_pdf(sheet))
    for question in sheet.questions:
        assert squeezed(question.word) in squeezed(said)
        assert squeezed(question.headline) in squeezed(said)
    assert squeezed(words().common.fixed) in squeezed(said)


@pytest.mark.parametrize("questions", [1, 2, 3])
def test_too_much_is_left_out_and_counted(questions: int) -> None:
    sheet = crowded(SHEET, questions)
    (said,) = pages_of(patient_pdf(sheet))
    assert re.search(r"\d+ more values: see the page", " ".join(said.split()))
    assert re.search(r"\d+ more: see the page", " ".join(said.split()))
    assert squeezed(said).count(squeezed("3.84 × 10⁶ particles/mL")) >= questions
    assert squeezed(words().common.fixed) in squeezed(said)
    assert "latest 6.3" in said  # the drawing is there


def test_what_a_finding_is_computed_from_and_what_may_be_done_is_never_left_out() -> None:
    sheet = archetype_sheet("A01", "2025-04-21")
    (one,) = sheet.questions
    parts = ("reference", "reference", "first of the pair", "second of the pair", "latest", "lowest before the pair")
    based = tuple(
        replace(one.values[0], value=f"4.{number} × 10⁶ particles/mL", part=part, weighs=True)
        for number, part in enumerate(parts)
    )
    rest = tuple(replace(one.values[0], value=f"9.{number} pg/mL", part="", weighs=False) for number in range(30))
    long = ("a reason as long as some are, of several samples and what became of them, with their days",) * 9
    full = replace(one, values=(*based, *rest), why=long, why_not=long, passed=long, notes=long, built=long[:4])
    (said,) = pages_of(patient_pdf(replace(sheet, questions=(full,))))
    for needed in (*(each.value for each in based), *one.options, based[0].by):
        assert squeezed(needed) in squeezed(said), needed


def test_nothing_is_left_out_where_there_is_room() -> None:
    one = replace(SHEET.questions[0], studies=SHEET.questions[0].studies[:1] * 7)
    (said,) = pages_of(patient_pdf(replace(SHEET, questions=(one,), drawing="")))
    assert "see the page" not in said


def test_more_questions_than_fit_are_named() -> None:
    others = [replace(SHEET.questions[0], about=f"Marker {number}", word="watch") for number in range(4)]
    sheet = replace(SHEET, questions=(*SHEET.questions, *others), others=("Last marker: not applicable",))
    (said,) = pages_of(patient_pdf(sheet))
    for words_ in ("Marker 2: watch", "Marker 3: watch", "Last marker: not applicable"):
        assert squeezed(words_) in squeezed(said)


def test_every_hard_drawing_finds_its_place() -> None:
    for name, chart in hard_cases.cases():
        assert len(pages_of(patient_pdf(sheet_of(chart)))) == 1, name


def test_a_patient_without_a_finding_is_said_to_have_none() -> None:
    (said,) = pages_of(patient_pdf(replace(SHEET, questions=(), drawing="", others=())))
    assert squeezed(words().paper.nothing) in squeezed(said)
    assert "Berger, Anna" in said


# the same bytes -----------------------------------------------------------------------------------------------------


def test_the_same_sheet_is_the_same_bytes_in_every_process() -> None:
    program = (
        "import hashlib;from tests.board.papers import archetype_sheet, meeting;"
        "from cds.board.paper import meeting_pdf, patient_pdf;"
        "print(*(hashlib.sha256(made).hexdigest() for made in"
        " (patient_pdf(archetype_sheet('A01', '2025-04-21')), meeting_pdf(meeting()))))"
    )
    run = [sys.executable, "-c", program]
    said = {subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip() for _ in range(2)}
    own = (patient_pdf(SHEET), meeting_pdf(meeting()))
    assert said == {" ".join(hashlib.sha256(made).hexdigest() for made in own)}


def test_a_change_shows_in_the_digest_on_the_page() -> None:
    def digest(sheet: PatientSheet) -> str:
        found = re.search(r"digest of this sheet ([0-9a-f]{16})", text_of(patient_pdf(sheet)))
        assert found is not None
        return found[1]

    assert digest(SHEET) != digest(replace(SHEET, number="4712"))
    assert digest(SHEET) == digest(archetype_sheet("A01", "2025-04-21"))


# text stays text ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_markup_of_every_kind_is_printed_as_it_is(text: str) -> None:
    (said,) = pages_of(patient_pdf(filled(SHEET, text)))
    assert squeezed(said).count(squeezed(text)) >= 8
    held = " ".join(pages_of(meeting_pdf(filled(meeting(2), text))))
    assert squeezed(held).count(squeezed(text)) >= 8


@pytest.mark.parametrize(
    "text",
    ["x" * 5000, "wörter " * 700, "W" * 5000, "中" * 5000, "محمد " * 1000],
    ids=["x", "words", "W", "Han", "Arabic"],
)
def test_five_thousand_characters_still_are_one_page(text: str) -> None:
    sheet = filled(crowded(SHEET, 3), text)
    pdf = patient_pdf(sheet)
    (said,) = pages_of(pdf)
    assert squeezed(words().common.fixed) in squeezed(said)
    assert "Page 1 of 1" in said
    assert len(pages_of(meeting_pdf(filled(meeting(4), text)))) <= 12


def test_minutes_print_all_that_the_record_takes_and_count_what_is_more() -> None:
    line = replace(
        meeting(1).agenda[0],
        findings=tuple(("watch", "watch", f"question {number}") for number in range(8)),
        decisions=("accepted, 28 Apr 2025, by chair", f"“{'word ' * 399}END”"),
        actions=tuple(f"action {number:03}" for number in range(70)),
    )
    people = tuple(f"person {number:03}" for number in range(100))
    minutes = "\n".join(f"line {number:05}" for number in range(2010))
    sheet = replace(meeting(1), held=True, agenda=(line,), attendees=people, minutes=minutes)
    said = squeezed(" ".join(pages_of(meeting_pdf(sheet))))
    for words_ in ("question 7", "END”", "action 059", "person 099", "line 01999", "10 more: see the page"):
        assert squeezed(words_) in said, words_
    assert said.count(squeezed("10 more: see the page")) == 2  # actions, and lines of the minutes


def test_control_characters_and_those_that_turn_others_are_seen() -> None:
    assert printable("a\x00b\x1b[31mc\u202ed\u2066e") == f"a{INSTEAD}b{INSTEAD}[31mc{INSTEAD}d{INSTEAD}e"
    assert printable("a\nb\tc\r\nd  e") == "a b c d e"
    assert printable("soft\u00adhyphen\ufeff") == "softhyphen"
    said = text_of(patient_pdf(replace(SHEET, name="Anna\u202eregreB\x07")))
    assert f"Anna{INSTEAD}regreB{INSTEAD}" in squeezed(said)
    assert squeezed(words().paper.instead) in squeezed(said)


def test_names_of_many_scripts_are_printed_and_the_rest_is_seen_to_be_missing() -> None:
    whole = (
        "Müller-Lüdenscheidt", "Œuvré Ça", "Øst Åse", "Łukasz Żółć", "Şahin Ğül", "Μαρία Παπαδοπούλου", "Ольга Щукина", "Ђорђе", "Ії",
        "דוד לוי", "فاطمة الزهراء", "Արամ", "გიორგი",
    )  # fmt: skip
    for name in whole:
        assert printable(name) == name
    for name, shown in (
        ("山田太郎", INSTEAD * 4),
        ("김철수", INSTEAD * 3),
        ("สมชาย", INSTEAD * 5),
        ("Anna 😀", f"Anna {INSTEAD}"),
    ):
        assert printable(name) == shown
    said = text_of(patient_pdf(replace(SHEET, name="Ольга Παπαδοπούλου, Œuvré")))
    assert "Ольга Παπαδοπούλου, Œuvré" in said
    assert squeezed(words().paper.instead) not in squeezed(said)
    assert INSTEAD * 4 in text_of(patient_pdf(replace(SHEET, name="山田太郎")))


def test_a_decomposed_name_is_printed_as_one() -> None:
    assert printable("Mu\u0308ller") == "Müller"


def test_long_words_may_be_broken() -> None:
    assert printable("x" * 70).split("\u200b") == ["x" * 30, "x" * 30, "x" * 10]


# nothing from outside -----------------------------------------------------------------------------------------------


def test_the_template_asks_for_nothing_and_could_read_nothing() -> None:
    template = (ROOT / "cds" / "board" / "paper.typ").read_text("utf-8")
    assert not re.search(
        r"#?(import|include|read|plugin|eval|csv|yaml|xml|toml|cbor)\b\s*[\(\"]|@preview|https?:", template
    )
    for text in (
        '#read("/etc/passwd")',
        '#read("../../etc/passwd")',
        f'#read("{ROOT}/README.md")',
        '#include "paper.typ"',
    ):
        with pytest.raises(typst.TypstError):
            compiler(text.encode(), {}).compile(format="pdf")


def test_printing_opens_no_file_and_no_connection(tmp_path: Path) -> None:
    tracer = shutil.which("strace")
    if tracer is None:
        pytest.skip("strace is not installed (Debian: apt-get install strace)")
    log = tmp_path / "calls"
    program = (
        "import os;from tests.board.papers import archetype_sheet, meeting;from cds.board.paper import meeting_pdf, patient_pdf;"
        "sheet = archetype_sheet('A01', '2025-04-21');patient_pdf(sheet);"  # what is loaded once is loaded now
        "os.path.exists('/begin-of-print');patient_pdf(sheet);meeting_pdf(meeting());os.path.exists('/end-of-print')"
    )
    command = [tracer, "-f", "-o", str(log), "-e", "trace=file,network", sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"strace is not permitted here: {done.stderr[-200:]}")
    _, _, rest = log.read_text().partition("/begin-of-print")
    calls, _, _ = rest.partition("/end-of-print")
    opened = [line for line in calls.splitlines() if re.search(r"\b(open|openat|connect|socket|sendto)\(", line)]
    assert opened == []


# a meeting ----------------------------------------------------------------------------------------------------------


def test_a_meeting_has_as_many_pages_as_it_needs_with_every_patient_whole() -> None:
    sheet = meeting(40)
    pages = pages_of(meeting_pdf(sheet))
    assert len(pages) > 1
    for number, line in enumerate(sheet.agenda):
        (page,) = [page for page in pages if f"Invented, Person {number}\n" in f"{page}\n"]
        assert f"record no. {line.number}" in " ".join(page.split())  # name and number on one page
    for number, page in enumerate(pages, 1):
        said = " ".join(page.split())
        assert "Breast board · 28 Apr 2025" in said
        assert f"Page {number} of {len(pages)}" in said
        assert "No. Patient Finding Decision Actions and by when" in said or number == len(pages)
    whole = " ".join(" ".join(pages).split())
    for words_ in (
        "Present: oncologist, surgeon, pathologist, radiologist.",
        "Quorum: yes",
        "The radiologist was asked",
        "by 19 May 2025",
    ):
        assert words_ in whole
    assert squeezed(words().common.fixed) in squeezed(whole)


def test_an_agenda_has_room_to_write_and_says_nothing_about_what_is_to_come() -> None:
    said = text_of(meeting_pdf(meeting(2, held=False)))
    assert "Agenda" in said
    assert "Quorum: no" not in said
    assert "Nobody is on the agenda" in text_of(meeting_pdf(MeetingSheet("Board", meeting().day, held=False)))


def test_minutes_keep_their_lines() -> None:
    sheet = replace(meeting(1), minutes="first line\n\n= no heading\n- no list\n" + "long " * 2000)
    said = text_of(meeting_pdf(sheet))
    assert "first line = no heading - no list long long" in said


def test_a_question_needs_no_more_than_its_words() -> None:
    bare = Question("watch", "watch", "TRPC5-EV", "A value rose once.")
    (said,) = pages_of(patient_pdf(PatientSheet("Anna", "1970", "1", SHEET.as_of, (bare,))))
    assert "A value rose once." in " ".join(said.split())
