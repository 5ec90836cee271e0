"""Every page of the real service, asked for with ids that exist: who sees a patient is on record, and who may not sees nothing."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import select

from cds.board.words import words
from cds.calendar import day_of
from cds.record import tables
from cds.record.audit import salted, verify
from cds.record.database import Database
from cds.record.decisions import Decision, Planned
from cds.record.sessions import Vouched
from cds.service.access.gate import Act, Gate
from tests.access.people import PASSWORD
from tests.pages.boards import FLAGGED, TENANT, WATCHED, House, csrf_in
from tests.record.visits import REASONER

DAY = "2025-04-21"
"""On which advice about both stands open."""
PEOPLE = {"author": "author", "auditor": "auditor", "admin": "admin"}


class Board:
    """A board that has met about a patient, whose name is Mine, and knows another, whose name is Other."""

    def __init__(self, database: Database):
        self.house = House(database, **PEOPLE)
        self.database, self.gate = database, self._gate()
        self.mine, self.other = (
            self.house.visit(FLAGGED, DAY, family="Mine"),
            self.house.visit(WATCHED, DAY, family="Other"),
        )
        recorder = self.house.recorder
        self.meeting = recorder.meetings.plan(TENANT, "Board", "2025-12-10", "chair")
        self.ids = {row: self._ids(row) for row in (self.mine, self.other)}

    def _gate(self) -> Gate:
        found: Gate = self.house.app.state.gate
        return found

    def _ids(self, row: str) -> dict[str, str]:
        """What addresses about a patient may name, all of which exists."""
        reviews = self.house.recorder.reviews
        with self.database.reading() as connection:
            wanted = select(tables.advisory).where(tables.advisory.c.patient_id == row)
            advisory = connection.execute(wanted).mappings().one()
        planned = (Planned("imaging", "2026-01-01"),)
        decision = reviews.decide(Decision(advisory["id"], advisory["revision"], "accept", "reviewer", actions=planned))
        action = self.house.recorder.follow_up.actions(TENANT, patient=row)[0].id
        rule = REASONER.rulebook.rule(advisory["question"])
        return {
            "patient": row, "advisory": advisory["id"], "decision": decision, "action": action, "meeting": self.meeting,
            "rule": rule.name, "version": rule.hash,
        }  # fmt: skip

    def looked(self) -> list[tuple[str, str, str]]:
        """Who saw what, and of which patient: "" for none."""
        with self.database.reading() as connection:
            salts = connection.execute(select(tables.patient.c.id, tables.patient.c.salt)).all()
            of = {salted(row.id, row.salt): row.id for row in salts} | {"": ""}
            audit = tables.audit.c
            found = connection.execute(select(audit.action, audit.subject, audit.rows).order_by(audit.number)).all()
            assert verify(connection, {}).holds
        seen = ("view", "list", "view-refused", "change-refused")
        return [(row.action, of[row.subject], json.loads(row.rows)[0][1]) for row in found if row.action in seen]


@pytest.fixture
def board(database: Database) -> Board:
    return Board(database)


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    file = tmp_path_factory.mktemp("board") / "record.sqlite"
    with closing(Database(f"sqlite:///{file}", deadline=10)) as database:
        database.upgrade()
        yield Board(database)


def role_for(act: Act) -> str:
    return {Act.READ_AUDIT: "auditor", Act.KEEP_ACCOUNTS: "admin", Act.TRY_RULES: "author"}.get(act, "chair")


def test_every_page_that_opens_is_on_record_with_its_patient(board: Board) -> None:
    browsers = {name: board.house.browser(name) for name in ("chair", "auditor", "admin", "author")}
    asked = 0
    for route in board.gate.routes:
        if route.method == "GET":
            before = len(board.looked())
            answer = browsers[role_for(route.act)].http.get(route.path.format(**board.ids[board.mine]))
            assert answer.status_code == 200, (route.path, answer.text[-500:])
            patient = board.mine if "{patient}" in route.path else ""
            seen = [("view" if patient else "list", patient, route.path)]
            # Who tries a rule on somebody made up sees nothing of the record, many times a minute.
            assert board.looked()[before:] == ([] if route.act is Act.TRY_RULES else seen), route.path
            asked += 1
    assert asked >= 14


def test_a_form_that_is_shown_again_is_on_record_too(board: Board) -> None:
    browser = board.house.browser("chair")
    shown = 0
    for route in board.gate.routes:
        if route.method == "POST" and route.path.startswith("/board/"):
            before = len(board.looked())
            answer = browser.post(
                route.path.format(**board.ids[board.mine]), revision="1", seen="1", disposition="nonsense"
            )
            told = board.looked()[before:]
            if "Mine" in answer.text or ("{patient}" in route.path and answer.status_code in (200, 409, 422)):
                patient = board.mine if "{patient}" in route.path else ""
                assert told == [("view" if patient else "list", patient, route.path)], (route.path, answer.status_code)
                shown += 1
            else:
                assert told in ([], [("list", "", route.path)]), (route.path, answer.status_code, told)
    assert shown >= 1


def test_who_is_kept_out_is_on_record_with_whom_they_asked_for(board: Board) -> None:
    for name in ("author", "auditor", "admin"):
        browser = board.house.browser(name)
        before = len(board.looked())
        assert browser.http.get(f"/board/patients/{board.mine}").status_code == 403
        path = "/board/patients/{patient}/actions/{action}"
        assert browser.post(path.format(**board.ids[board.mine]), status="done").status_code == 403
        assert browser.http.get("/board").status_code == 403
        assert browser.http.get("/board/patients/nobody").status_code == 403
        assert board.looked()[before:] == [
            ("view-refused", board.mine, "/board/patients/{patient}"), ("change-refused", board.mine, path),
            ("view-refused", "", "/board"), ("view-refused", "", "/board/patients/{patient}"),
        ]  # fmt: skip


def test_who_came_for_one_patient_reaches_nothing_of_another(near: Board) -> None:
    """Also where the address names their own patient and then something of the other."""
    browser = near.house.launched(near.mine, role="chair")
    others = near.ids[near.other]
    before = near.house.recorder.reviews.decisions(TENANT, patient=near.other)
    forms = {"agrees": "yes", "status": "done", "months": "3", "seen": "0", "response": "SD", "resistance": "no", "revision": "1",
             "disposition": "accept"}  # fmt: skip
    for route in near.gate.routes:
        for ids in (others, {**others, "patient": near.mine}):
            path = route.path.format(**ids)
            answer = browser.http.get(path) if route.method == "GET" else browser.post(path, **forms)
            assert "Other" not in answer.text, path
            if "{patient}" in route.path and ids["patient"] == near.other:
                assert answer.status_code == 403, path
            if {"{advisory}", "{decision}", "{action}"} & set(route.path.split("/")):
                assert answer.status_code in (403, 404), path
    after = near.house.recorder.reviews.decisions(TENANT, patient=near.other)
    assert after == before
    assert [one.status for one in near.house.recorder.follow_up.actions(TENANT, patient=near.other)] == ["open"]
    assert near.house.recorder.follow_up.outcomes(TENANT, others["advisory"]) == []


def test_every_page_has_a_name_in_the_audit(near: Board) -> None:
    named = vars(words().audit_pages)
    assert {route.path for route in near.gate.routes} <= named.keys()


def test_every_act_has_a_name_in_the_audit(near: Board) -> None:
    with near.database.reading() as connection:
        acts = set(connection.execute(select(tables.audit.c.action).distinct()).scalars())
    assert acts <= vars(words().audit_actions).keys()


def test_an_auditor_finds_what_was_done(board: Board) -> None:
    auditor = board.house.browser("auditor")
    chair, reader = board.house.browser("chair"), board.house.browser("reader")
    for _ in range(3):
        chair.get(f"/board/patients/{board.mine}")
        reader.get(f"/board/patients/{board.other}")
    auditor.get("/board", 403)

    def rows(query: str) -> list[list[str]]:
        return table(auditor.get(f"/audit?{query}"))

    seen = rows("actor=%20Chair&action=view")
    assert [row[2:4] for row in seen] == [["chair", "saw of a patient: the case"]] * 3
    digest = next(iter({row[4] for row in seen}))
    assert digest.startswith("patient ")
    assert digest not in {row[4] for row in rows("actor=reader&action=view")}
    page = auditor.get("/audit?actor=chair&action=view")
    about = page.partition("/audit?about=")[2].partition('"')[0]
    together = rows(f"about={about}")
    assert {row[4] for row in together} == {digest}
    assert {row[3].partition(":")[0] for row in together} >= {"evaluated a patient", "saw of a patient", "decided"}
    assert [row[2:4] for row in rows("action=view-refused")] == [["auditor", "was kept out of: the list of patients"]]
    with board.database.reading() as connection:
        theirs = select(tables.audit.c.at).where(tables.audit.c.actor == "chair")
        days = Counter(day_of(at) for at in connection.execute(theirs).scalars())
    assert {day: len(rows(f"day={day}&actor=chair")) for day in days} == days
    assert days.total() > 3
    assert rows("day=2020-01-01") == []
    assert "No such entry" in auditor.get("/audit?day=2020-01-01")
    every = len(rows(""))
    for odd in ("action=nonsense", "about=x", "day=yesterday", "before=x", "actor="):
        assert len(rows(odd)) >= min(every, 100), odd
    assert "Mine" not in page
    assert board.mine not in page


def test_a_view_of_a_meeting_says_of_which(board: Board) -> None:
    chair, meetings = board.house.browser("chair"), board.house.recorder.meetings
    board.gate.sessions.accounts.trail.looked(TENANT, "chair", "/board/meetings/{meeting}")  # as it was written once
    other, here = meetings.plan(TENANT, "Thoracic board", "2026-03-02", "chair"), f"/board/meetings/{board.meeting}"
    chair.get(here)
    chair.http.get(f"{here}/sheet.pdf")
    chair.post(here, do="carry", to=board.meeting)  # shown again, with what is wrong
    chair.get(f"/board/meetings/{other}")
    chair.get("/board/meetings")
    chair.get("/board/meetings/nothing", 404)
    with board.database.reading() as connection:
        audit = tables.audit.c
        entries = connection.execute(
            select(audit.subject, audit.rows).where(audit.action == "list").order_by(audit.number)
        )
        told = [(row.subject, json.loads(row.rows)) for row in entries if "/board/meetings" in row.rows]
        assert verify(connection, {}).holds
    page, of = "/board/meetings/{meeting}", [[], *[[["sitting", board.meeting, ""]]] * 3, [["sitting", other, ""]], []]
    paths = [page, page, f"{page}/sheet.pdf", page, page, "/board/meetings"]
    assert told == [("", [["page", path, ""], *more]) for path, more in zip(paths, of, strict=True)]
    auditor = board.house.browser("auditor")
    seen = table(auditor.get("/audit?actor=chair&action=list"))
    first = f"meeting Board , 10 Dec 2025 {board.meeting[:8]}"
    thoracic = f"meeting Thoracic board , 2 Mar 2026 {other[:8]}"
    assert [row[4] for row in seen[:6]] == ["", thoracic, first, first, first, ""]
    assert not any("patient " in row[4] for row in seen)


def table(text: str) -> list[list[str]]:
    """The cells of the rows of a page's table, as text."""
    found = re.findall(r"<tr>(.*?)</tr>", text.partition("<tbody>")[2], re.S)
    return [
        [" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in re.findall(r"<td.*?</td>", row, re.S)]
        for row in found
    ]


def test_filtered_entries_are_turned_by_pages_and_a_missing_one_is_told(board: Board) -> None:
    for _ in range(130):
        board.gate.sessions.accounts.trail.looked(TENANT, "reader", "/board")
        board.gate.sessions.accounts.trail.looked(TENANT, "chair", "/board")
    auditor = board.house.browser("auditor")
    first = auditor.get("/audit?actor=reader")
    link = first.rpartition('href="/audit?')[2].partition('"')[0].replace("&amp;", "&")
    assert "before=" in link
    second = auditor.get(f"/audit?{link}")
    assert len(table(first)) == 100
    assert {row[2] for row in table(first) + table(second)} == {"reader"}
    numbers = [int(row[0]) for row in table(first) + table(second)]
    assert numbers == sorted(set(numbers), reverse=True)
    assert len(numbers) >= 130
    assert "each follows the one before it" in first
    with board.database.writing() as connection:  # an entry that no filter shows was taken out
        connection.execute(tables.audit.delete().where(tables.audit.c.number == numbers[0] - 1))
    assert "The chain is broken" in auditor.get("/audit?actor=reader")


def test_one_person_with_two_accounts_is_no_second_reader(board: Board) -> None:
    accounts, sessions = board.gate.sessions.accounts, board.gate.sessions
    for name, shown in (("anna", "Dr Anna Berg"), ("anna2", "dr anna berg")):
        accounts.add(TENANT, name, PASSWORD, ["reviewer"], "tests", shown=shown)
    ids = board.ids[board.mine]
    seen = board.house.recorder.reviews.decisions(TENANT, advisory=ids["advisory"])[-1]
    board.house.recorder.reviews.decide(Decision(ids["advisory"], seen.revision, "watch", "anna", seen=1))
    newest = board.house.recorder.reviews.decisions(TENANT, advisory=ids["advisory"])[-1].id
    path = f"/board/patients/{board.mine}/decisions/{newest}/second"

    def says(subject: str, shown: str) -> tuple[int, str]:
        who = Vouched("https://login.clinic.example", subject, subject, shown, ["reviewer"])
        browser = board.house.browser()
        browser.http.cookies.set("exowatch", sessions.vouched(TENANT, who))
        browser.csrf = csrf_in(browser.get("/account"))
        answer = browser.post(path, agrees="yes")
        return answer.status_code, answer.text

    status, text = says("berg.a", "Dr Anna Berg")
    assert (status, "The second reader is somebody else" in text) == (409, True)
    assert says("chen.b", "Dr Bo Chen")[0] == 303
    colleague = board.house.browser("anna2")  # who keeps the accounts has given both, so they are two
    assert colleague.post(path, agrees="yes").status_code == 303
