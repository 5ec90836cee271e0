"""Meetings by HTTP, as a chair has them: from plan to minutes, two who write at once, and what a closed meeting keeps."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from cds.board.sheets import meeting_sheet
from cds.legible import day
from cds.record.audit import verify
from cds.record.database import Database
from tests.pages.boards import FLAGGED, NOW, SOON, TODAY, TWO, UNJUDGED, WATCHED, House, text_of
from tests.pages.test_board import DAYS, deciding, seen_in

FORM = {
    "board": "Breast board",
    "day": TODAY,
    "attendees": "oncologist\nsurgeon",
    "quorum": "yes",
    "minutes": "Two cases",
}


@pytest.fixture
def house(database: Database) -> House:
    found = House(database, chair2="chair")
    found.now = NOW
    return found


def planned(house: House, *patients: str, day: str = TODAY) -> str:
    """The address of a planned meeting about some patients."""
    key = house.recorder.meetings.plan("default", "Breast board", day, "chair")
    if patients:
        house.recorder.meetings.add_all("default", key, patients, "chair")
    return f"/board/meetings/{key}"


def key_of(here: str) -> str:
    return here.rpartition("/")[2]


def seen(page: str) -> dict[str, str]:
    """The revision of the meeting which a form says that its author saw."""
    return dict(re.findall(r'name="(revision)" value="(\d+)"', page))


def test_a_meeting_from_plan_to_minutes(house: House) -> None:
    keys = [house.visit(name, family=f"Family{name}") for name in (FLAGGED, WATCHED, TWO)]
    chair, meetings = house.browser("chair"), house.recorder.meetings
    assert "Name the board" in chair.post("/board/meetings", board=" ", day=TODAY).text
    assert "day of the meeting" in chair.post("/board/meetings", board="Board", day="tomorrow").text
    chair.done("/board/meetings", board="Breast board", day=TODAY)
    (meeting,) = meetings.meetings("default")
    here = f"/board/meetings/{meeting.id}"
    said = text_of(chair.done("/board/agenda?state=suspected", meeting=meeting.id, patient=keys))
    assert "Put on the agenda." in said
    assert FLAGGED in said
    assert f"MRN-{WATCHED}" not in said  # the list is still that of before
    named = said.partition("Findings by state")[0]
    assert all(f"Family{name}, Anna" in named for name in (FLAGGED, WATCHED)), named

    def agenda() -> list[str]:
        return [one.named.family.removeprefix("Family") for one in meetings.agenda("default", meeting.id)]

    assert agenda() == [FLAGGED, WATCHED, TWO]
    items = [one.id for one in meetings.agenda("default", meeting.id)]
    chair.done(here, do=f"down {items[0]}")
    assert agenda() == [WATCHED, FLAGGED, TWO]
    chair.done(here, do=f"up {items[2]}")
    assert agenda() == [WATCHED, TWO, FLAGGED]
    chair.done(here, do=f"remove {items[2]}")
    assert "discussed" in text_of(chair.done(here, do=f"discussed {items[1]}"))
    chair.done(here, do=f"undiscussed {items[1]}")
    path = deciding(house, keys[0])
    chair.done(path, **seen_in(chair.get(path)), disposition="watch", meeting=meeting.id)
    assert f"watch {day(TODAY)}" in text_of(house.browser("reader").get(here))
    chair.done("/board/meetings", board="Breast board", day=SOON)
    other = next(one for one in meetings.meetings("default") if one.id != meeting.id)
    chair.done(here, do="carry", to=other.id)
    assert [one.named.family for one in meetings.agenda("default", other.id)] == [f"Family{WATCHED}"]
    assert "from the meeting of" in text_of(chair.get(f"/board/meetings/{other.id}"))
    chair.done(here, do="close", **seen(chair.get(here)), **{**FORM, "minutes": "<b>Two</b> cases"})
    page = house.browser("reader").get(here)
    assert "&lt;b&gt;Two&lt;/b&gt; cases" in page
    assert "oncologist" in page
    assert "<textarea" not in page
    assert house.browser("reader").post(here, do="save", revision="1").status_code == 403
    chair.get("/board/meetings/nothing", 404)
    said = text_of(chair.get("/board/meetings"))
    assert "2 patients" in said
    assert "1 patient " in said
    with house.database.reading() as connection:
        assert verify(connection, {}).holds


def test_a_meeting_is_moved_and_closed_on_its_day_only(house: House) -> None:
    chair, here = house.browser("chair"), planned(house, day=SOON)
    early = chair.post(here, do="close", **seen(chair.get(here)), **{**FORM, "day": SOON})
    assert early.status_code == 422
    assert "The day of this meeting is still to come" in early.text
    assert "Two cases" in early.text
    moved = {**FORM, "board": "Thoracic board", "minutes": ""}
    assert "Thoracic board" in text_of(chair.done(here, do="save", **seen(early.text), **moved))
    assert chair.post(here, do="save", revision="2", **{**moved, "day": "soon"}).status_code == 422
    said = text_of(chair.done(here, do="close", revision="2", **moved))
    assert "The meeting is closed." in said
    (meeting,) = house.recorder.meetings.meetings("default", status="held")
    assert (meeting.board, meeting.day) == ("Thoracic board", TODAY)


def test_a_meeting_at_which_something_was_decided_stays_where_it_is(house: House) -> None:
    key, chair = house.visit(FLAGGED), house.browser("chair")
    here, path = planned(house, key), deciding(house, key)
    chair.done(path, **seen_in(chair.get(path)), disposition="accept", meeting=key_of(here))
    refused = chair.post(here, do="save", **seen(chair.get(here)), **{**FORM, "day": SOON})
    assert (refused.status_code, "Something was decided at this meeting" in refused.text) == (422, True)
    assert "Two cases" in refused.text  # what was written stands in the form
    assert house.recorder.meetings.meeting("default", key_of(here)).day == TODAY


def test_a_meeting_that_was_planned_by_mistake_is_cancelled(house: House) -> None:
    key, chair, second = house.visit(FLAGGED), house.browser("chair"), house.browser("chair2")
    here, other = planned(house, key), planned(house, day=SOON)
    late = second.get(here)
    refused = chair.post(here, do="cancel", **drafted(chair.get(here)), **FORM)
    assert (refused.status_code, "Patients stand on the agenda of this meeting" in refused.text) == (422, True)
    chair.done(here, do="carry", to=key_of(other))
    asked = chair.post(here, do="cancel", **drafted(chair.get(here)), **FORM)
    assert (asked.status_code, "Cancel this meeting for good?" in text_of(asked.text)) == (200, True)
    assert house.recorder.meetings.meeting("default", key_of(here)).status == "planned"
    said = text_of(chair.done(here, do="cancelled", **drafted(asked.text), **FORM))
    for words in ("(cancelled)", "The meeting is cancelled.", "Two cases"):
        assert words in said, words
    assert "<button" not in chair.get(here).partition("<main")[2]
    assert "sheet.pdf" not in chair.get(here)
    chair.get(f"{here}/sheet.pdf", 404)
    for place in ("/board/meetings", "/board", other, f"/board/patients/{key}", deciding(house, key)):
        assert key_of(here) not in chair.get(place), place
    for do in ("save", "hold", "cancel", "cancelled", "close"):
        answer = second.post(here, do=do, **drafted(late), **FORM)
        assert (answer.status_code, "The meeting was cancelled meanwhile" in answer.text) == (409, True), do
    assert "New since the meeting" not in text_of(chair.get("/board"))
    chair.done("/board/meetings", board="Breast board", day=TODAY)  # where it was another may be


def test_a_meeting_at_which_something_was_decided_is_not_cancelled(house: House) -> None:
    key, chair = house.visit(FLAGGED), house.browser("chair")
    here, path = planned(house, key), deciding(house, key)
    chair.done(path, **seen_in(chair.get(path)), disposition="accept", meeting=key_of(here))
    for do in ("cancel", "cancelled"):
        refused = chair.post(here, do=do, **drafted(chair.get(here)), **FORM)
        assert (refused.status_code, "so it is not cancelled" in refused.text) == (422, True), do


def test_of_two_who_write_minutes_neither_loses_a_word(house: House) -> None:
    here = planned(house)
    first, second = house.browser("chair"), house.browser("chair2")
    saw = seen(second.get(here))
    first.done(here, do="save", **seen(first.get(here)), **{**FORM, "minutes": "What the first wrote"})
    late = second.post(
        here, do="save", **saw, **{**FORM, "attendees": "nurse", "quorum": "", "minutes": "What I wrote"}
    )
    assert late.status_code == 409
    said = text_of(late.text)
    stands, _, written = said.partition("What you wrote")
    assert "Somebody else changed this meeting" in stands
    stands, _, written = said.rpartition("What you wrote")
    for words in ("What the first wrote", "oncologist , surgeon", "Quorum: yes", "saved by chair"):
        assert words in stands, words
    assert "What I wrote" in written
    assert "nurse" in written
    second.done(here, do="save", **seen(late.text), **{**FORM, "minutes": "What the first wrote, and I"})
    assert house.recorder.meetings.meeting("default", key_of(here)).minutes == "What the first wrote, and I"


def test_a_mistake_does_not_let_a_form_overwrite_another(house: House) -> None:
    here = planned(house)
    first, second = house.browser("chair"), house.browser("chair2")
    saw = seen(second.get(here))
    first.done(here, do="save", **seen(first.get(here)), **{**FORM, "minutes": "What the first wrote"})
    wrong = second.post(here, do="save", **saw, **{**FORM, "day": "soon"})
    assert wrong.status_code == 422
    assert second.post(here, do="save", **seen(wrong.text), **FORM).status_code == 409


def test_what_was_written_when_a_meeting_was_closed_can_be_copied(house: House) -> None:
    keys = [house.visit(name, DAYS.get(name, "")) for name in (FLAGGED, WATCHED)]
    here, other = planned(house, *keys), planned(house, day=SOON)
    (item, _) = house.recorder.meetings.agenda("default", key_of(here))
    chair, second = house.browser("chair"), house.browser("chair2")
    saw = seen(second.get(here))
    chair.done(here, do="close", **saw, **{**FORM, "minutes": "As it was"})
    for do in ("save", "close"):
        late = second.post(here, do=do, **saw, **{**FORM, "minutes": "What I wrote"})
        assert late.status_code == 409
        said = text_of(late.text)
        for words in ("The meeting was closed meanwhile", "As it was", "What I wrote", "It is recorded nowhere"):
            assert words in said, words
        assert re.findall(r"<textarea[^>]*", late.text) == re.findall(r"<textarea[^>]*readonly", late.text)
    for sent in ("up", "discussed", "remove"):
        late = second.post(here, do=f"{sent} {item.id}")
        assert (late.status_code, "The meeting was closed meanwhile" in late.text) == (409, True), sent
    assert second.post(other, do="carry", to=key_of(here)).status_code == 409
    assert second.post(other, do="carry", to=key_of(other)).status_code == 422
    assert second.post(here, do=f"nothing {item.id}").status_code == 404
    late = second.post("/board/agenda", meeting=key_of(here), patient=keys)
    assert (late.status_code, "Choose a meeting that is planned" in late.text) == (409, True)


def test_a_closed_meeting_stays_as_it_was(house: House) -> None:
    key = house.visit(FLAGGED, "2025-03-24")
    here, chair = planned(house, key), house.browser("chair")
    path = deciding(house, key)
    chair.done(
        path,
        **seen_in(chair.get(path)),
        disposition="accept",
        meeting=key_of(here),
        action=["imaging"],
        **{"due-imaging": SOON},
    )
    form = seen_in(chair.get(path))
    chair.done(here, do="close", **seen(chair.get(here)), **FORM)
    page, sheet = chair.get(here), chair.http.get(f"{here}/sheet.pdf").content
    assert re.findall(r'class="chip (\S+)"', page) == ["watch"]
    refused = chair.post(path, **form, disposition="reject", reason="assay-artefact", meeting=key_of(here))
    assert (refused.status_code, "Choose a meeting that is planned" in refused.text) == (422, True)
    house.visit(FLAGGED)
    assert "suspected" in text_of(chair.get("/board"))
    assert text_of(chair.get(here)) == text_of(page)
    assert chair.http.get(f"{here}/sheet.pdf").content == sheet


def test_every_decision_of_a_meeting_is_in_its_minutes(house: House) -> None:
    key = house.visit(FLAGGED, family="Aalto")
    here, chair, path = planned(house), house.browser("chair"), deciding(house, key)
    form = {"disposition": "accept", "meeting": key_of(here), "action": ["imaging"], "due-imaging": SOON}
    for note in ("", "amended"):
        chair.done(path, **seen_in(chair.get(path)), **form, note=note)
        said = text_of(chair.get(here))
        for words in ("Aalto, Anna", "accepted", "imaging by"):
            assert words in said, words
    assert "Take off" not in said
    (item,) = house.recorder.meetings.agenda("default", key_of(here))
    refused = chair.post(here, do=f"remove {item.id}")
    assert (refused.status_code, "The meeting has decided about this patient" in refused.text) == (422, True)


def test_who_goes_to_decide_loses_nothing_that_was_written(house: House) -> None:
    key = house.visit(FLAGGED)
    here, other, chair = planned(house, key), planned(house, day=SOON), house.browser("chair")
    page, path = chair.get(here), deciding(house, key)
    button = re.search(r'<button class="do screen" name="do" value="(decide [^"]+)">', page)
    assert button, page
    form = {**drafted(page), **FORM, "minutes": "Written while the case was shown", "do": button[1]}
    answer = chair.post(here, **form)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{path}?meeting={key_of(here)}")
    assert "Written while the case was shown" in chair.get(here)
    lost = chair.post(
        here, **{**form, "minutes": "Written meanwhile"}
    )  # somebody else saved first: it is said, and kept
    assert (lost.status_code, "Written meanwhile" in lost.text) == (409, True)
    assert [chair.post(place, do=do).status_code for place, do in ((other, button[1]), (here, "decide "))] == [404, 404]
    assert house.browser("reviewer").post(here, **form).status_code == 403


def test_an_agenda_shows_what_was_decided_elsewhere_and_minutes_what_was_discussed(house: House) -> None:
    keys = [house.visit(name, DAYS.get(name, ""), family=f"Family{name}") for name in (FLAGGED, WATCHED)]
    here, chair, path = planned(house, *keys), house.browser("chair"), deciding(house, keys[0])
    chair.done(
        path,
        **seen_in(chair.get(path)),
        disposition="accept",
        note="Scan first.",
        level="m2C",
        action=["imaging"],
        **{"due-imaging": SOON},
    )
    said = text_of(chair.get(here))
    assert "outside a meeting: accepted" in said
    assert "imaging by" in said
    assert "Amend" in said

    def printed() -> str:
        sheet = meeting_sheet(*house.recorder.meetings.sitting("default", key_of(here)), {})
        said = [*sheet.agenda[0].decisions, *sheet.agenda[0].actions, *sheet.agenda[1].decisions]
        return " | ".join([*said, *(one.note for one in sheet.agenda)])

    assert "outside a meeting: accepted, m2C, " in printed()
    assert "| “Scan first.” |" in printed()
    assert "imaging by" in printed()
    chair.done(here, do=f"discussed {house.recorder.meetings.agenda('default', key_of(here))[1].id}")
    chair.done(here, do="close", **seen(chair.get(here)), **FORM)
    assert "| discussed" in printed()


def test_patients_are_picked_together_or_not_at_all(house: House) -> None:
    keys = [house.visit(name, DAYS.get(name, "")) for name in (FLAGGED, WATCHED)]
    chair, here = house.browser("chair"), planned(house)
    nobody = chair.post("/board/agenda?state=watch", meeting=key_of(here))
    assert (nobody.status_code, "Choose at least one patient" in nobody.text) == (422, True)
    assert nobody.text.count('class="name"') == 1
    assert chair.post("/board/agenda", meeting=key_of(here), patient=[keys[0], "nobody", keys[1]]).status_code == 404
    assert house.recorder.meetings.agenda("default", key_of(here)) == []
    assert chair.post("/board/agenda", meeting="none", patient=keys).status_code == 404


def test_many_held_meetings_say_how_many_patients_they_had(house: House) -> None:
    key, meetings = house.visit(FLAGGED), house.recorder.meetings
    for number in range(25):
        meeting = key_of(planned(house, key, day=f"2024-01-{number + 1:02}"))
        meetings.change("default", meeting, 1, "chair", close=True)
    said = text_of(house.browser("reader").get("/board/meetings"))
    assert said.count("1 patient") == 25


def test_however_many_meetings_are_planned_that_of_today_is_among_them(house: House) -> None:
    key, chair = house.visit(FLAGGED), house.browser("chair")
    here, first = planned(house), NOW.date()
    days = [(first + timedelta(days=number * 7)).isoformat() for number in (*range(101, 0, -1), -1)]
    others = [planned(house, key, day=day) for day in days]
    places = ("/board/meetings", "/board", others[0], f"/board/patients/{key}", deciding(house, key))
    assert [key_of(here) in chair.get(place) for place in places] == [True] * len(places)
    coming = re.findall(r'<a href="(/board/meetings/[^"]+)"><time', chair.get("/board/meetings"))
    assert coming == [others[-1], here, *reversed(others[:-1])]


def test_more_patients_than_fit_on_a_list_are_too_many_at_once(house: House) -> None:
    chair, here = house.browser("chair"), planned(house)
    refused = chair.post("/board/agenda", meeting=key_of(here), patient=[f"p{number}" for number in range(201)])
    assert (refused.status_code, "At most 200 patients are put on an agenda at once" in refused.text) == (422, True)


def test_new_since_the_last_meeting(house: House) -> None:
    house.now = datetime(2025, 12, 1, 12, tzinfo=UTC)
    house.visit(FLAGGED)
    chair, house.now = house.browser("chair"), datetime(2025, 12, 5, 18, tzinfo=UTC)
    house.recorder.meetings.change("default", key_of(planned(house, day="2025-12-05")), 1, "chair", close=True)
    house.now = datetime(2025, 12, 10, tzinfo=UTC)
    house.visit(WATCHED, DAYS[WATCHED])
    page = chair.get("/board?new=yes")
    assert "New since the meeting of 5 Dec 2025" in text_of(page)
    assert '<option value="yes" selected>New since' in page  # filtered further it stays so
    assert page.count('class="name"') == 1


def drafted(page: str) -> dict[str, str]:
    """What the form of a meeting brings along unseen."""
    return dict(re.findall(r'name="(revision|was)" value="([^"]+)"', page))


@pytest.mark.parametrize("do", ["up", "down", "discussed", "remove", "carry", "hold"])
def test_no_button_of_a_meeting_loses_what_was_written(house: House, do: str) -> None:
    keys = [house.visit(name, DAYS.get(name, "")) for name in (FLAGGED, WATCHED, TWO)]
    here, other, chair = planned(house, *keys), planned(house, day=SOON), house.browser("chair")
    meetings = house.recorder.meetings
    item = meetings.agenda("default", key_of(here))[1].id
    form = {**FORM, "minutes": "Two cases\r\n\r\nwere heard", "do": f"{do} {item}", "to": key_of(other)}
    answer = chair.post(here, **drafted(chair.get(here)), **form)
    assert answer.status_code == (200 if do == "hold" else 303)
    meeting = meetings.meeting("default", key_of(here))
    assert (meeting.minutes, meeting.attendees, meeting.status) == (
        "Two cases\n\nwere heard",
        ("oncologist", "surgeon"),
        "planned",
    )


def test_a_button_of_a_meeting_overwrites_nothing_of_another(house: House) -> None:
    key = house.visit(FLAGGED)
    here, first, second = planned(house, key), house.browser("chair"), house.browser("chair2")
    (item,) = house.recorder.meetings.agenda("default", key_of(here))
    page = second.get(here)
    shown = {"board": "Breast board", "day": TODAY, "attendees": "", "minutes": ""}
    first.done(here, **drafted(first.get(here)), **{**FORM, "do": "save"})
    second.done(here, **drafted(page), **shown, do=f"discussed {item.id}")  # nothing was written, so nothing is saved
    assert house.recorder.meetings.meeting("default", key_of(here)).minutes == "Two cases"
    late = second.post(here, **drafted(page), **{**shown, "minutes": "Mine"}, do=f"undiscussed {item.id}")
    assert late.status_code == 409
    assert "Mine" in late.text.rpartition("What you wrote")[2]
    assert house.recorder.meetings.meeting("default", key_of(here)).minutes == "Two cases"
    assert [one.status for one in house.recorder.meetings.agenda("default", key_of(here))] == ["discussed"]


def test_a_stale_page_changes_nothing_of_a_case_that_was_carried_over(house: House) -> None:
    key = house.visit(FLAGGED)
    here, other = planned(house, key), planned(house, day=SOON)
    first, second, meetings = house.browser("chair"), house.browser("chair2"), house.recorder.meetings
    (item,) = meetings.agenda("default", key_of(here))
    assert f'value="remove {item.id}"' in second.get(here)
    first.done(here, do="carry", to=key_of(other))
    for do in ("discussed", "undiscussed", "remove"):
        late = second.post(here, do=f"{do} {item.id}")
        assert (late.status_code, "was carried over to another meeting" in late.text) == (422, True), do
        assert f'value="{do} {item.id}"' not in late.text, do
    assert [one.status for place in (here, other) for one in meetings.agenda("default", key_of(place))] == [
        "carried", "open",
    ]  # fmt: skip


def test_a_stale_page_does_not_open_a_case_that_was_decided(house: House) -> None:
    key = house.visit(FLAGGED)
    here, path, meetings = planned(house, key), deciding(house, key), house.recorder.meetings
    first, second = house.browser("chair"), house.browser("chair2")
    (item,) = meetings.agenda("default", key_of(here))
    for _ in range(2):  # a double click
        second.done(here, do=f"discussed {item.id}")
    assert f'value="undiscussed {item.id}"' in second.get(here)
    first.done(path, **seen_in(first.get(path)), disposition="watch", meeting=key_of(here))
    late = second.post(here, do=f"undiscussed {item.id}")
    assert (late.status_code, "The meeting has decided about this patient" in late.text) == (422, True)
    assert [one.status for one in meetings.agenda("default", key_of(here))] == ["discussed"]


def test_of_two_chairs_who_move_cases_neither_loses_a_move(house: House) -> None:
    keys = [house.visit(name, DAYS.get(name, "")) for name in (FLAGGED, WATCHED, UNJUDGED, TWO)]
    here, chairs = planned(house, *keys), (house.browser("chair"), house.browser("chair2"))

    def order() -> list[str]:
        return [one.id for one in house.recorder.meetings.agenda("default", key_of(here))]

    with ThreadPoolExecutor(2) as threads:
        for _ in range(12):
            first, second, third, last = order()
            moves = (f"down {first}", f"up {last}")
            for moved in threads.map(lambda chair, do: chair.post(here, do=do), chairs, moves):
                assert moved.status_code == 303
            assert order() == [second, first, last, third]
    for do, at_an_end in (("up", order()[0]), ("down", order()[-1])):
        stays = order()
        chairs[0].done(here, do=f"{do} {at_an_end}")
        assert order() == stays


def test_closing_asks_and_names_who_is_left(house: House) -> None:
    keys = [house.visit(name, DAYS.get(name, ""), family=f"Family{name}") for name in (FLAGGED, WATCHED)]
    here, chair = planned(house, *keys), house.browser("chair")
    (first, _) = house.recorder.meetings.agenda("default", key_of(here))
    chair.done(here, do=f"discussed {first.id}")
    asked = chair.post(here, **drafted(chair.get(here)), **FORM, do="hold")
    question = text_of(asked.text).partition("Not yet")[0]
    for words in ("Close this meeting for good?", "cannot be opened again", f"Family{WATCHED}, Anna"):
        assert words in question, words
    assert f"Family{FLAGGED}" not in question
    assert house.recorder.meetings.meeting("default", key_of(here)).status == "planned"
    assert "(held)" in text_of(chair.done(here, **drafted(asked.text), **FORM, do="close"))
    early = planned(house, day=SOON)
    refused = chair.post(early, **drafted(chair.get(early)), **{**FORM, "day": SOON}, do="hold")
    assert (refused.status_code, "still to come" in refused.text) == (422, True)
    assert house.recorder.meetings.meeting("default", key_of(early)).minutes == "Two cases"
    assert "The meeting was closed meanwhile" in chair.post(here, do="hold").text


def test_who_decides_from_an_agenda_decides_at_the_meeting_and_comes_back(house: House) -> None:
    key = house.visit(FLAGGED, family="Aalto")
    here, chair = planned(house, key), house.browser("chair")
    path = deciding(house, key) + f"?meeting={key_of(here)}"
    page = chair.get(here)
    (button,) = re.findall(r'name="do" value="(decide [^"]+)"', page)
    assert chair.post(here, do=button).headers["Location"] == path
    (case,) = re.findall(r'class="name" href="([^"]+)"', page)
    assert f'href="{path}"' in chair.get(case)
    form = chair.get(path)
    assert f'action="{path}"' in form
    assert f'value="{key_of(here)}" selected' in form
    answer = chair.post(path, **seen_in(form), disposition="watch", meeting=key_of(here))
    assert answer.headers["Location"] == here
    said = text_of(chair.get(here))
    assert "The decision is recorded." in said
    assert "Amend" in said
    plain = path.partition("?")[0]
    form = chair.get(path)
    answer = chair.post(path, **seen_in(form), disposition="accept", meeting="")  # outside the meeting after all
    assert answer.headers["Location"].partition("#")[0] == plain.partition("/advisories")[0]


def test_what_was_on_an_agenda_before_is_not_said_to_be_put_there(house: House) -> None:
    keys = [house.visit(name, DAYS.get(name, "")) for name in (FLAGGED, WATCHED)]
    chair, here = house.browser("chair"), planned(house, keys[0])
    assert "Nobody was put" in chair.done("/board/agenda", meeting=key_of(here), patient=keys[:1])
    assert "Who stood on it already" in chair.done("/board/agenda", meeting=key_of(here), patient=keys)
    assert "Nobody was put" in chair.done("/board/agenda", meeting=key_of(here), patient=keys)


def test_a_day_that_can_hardly_be_is_asked_about(house: House) -> None:
    chair, meetings = house.browser("chair"), house.recorder.meetings
    past = chair.post("/board/meetings", board="Board", day="1999-01-01")
    assert (past.status_code, "This day has passed" in past.text, 'name="sure"' in past.text) == (422, True, True)
    far = [(NOW.date() + timedelta(days=ahead)).isoformat() for ahead in (400, 401)]
    asked = chair.post("/board/meetings", board="Board", day=far[1])
    assert (asked.status_code, "more than 400 days ahead" in asked.text, 'name="sure"' in asked.text) == (
        422,
        True,
        True,
    )
    assert meetings.meetings("default") == []
    chair.done("/board/meetings", board="Board", day=far[0])
    chair.done("/board/meetings", board="Board", day=far[1], sure="yes")
    chair.done("/board/meetings", board="Board", day="1999-01-01", sure="yes")  # entered afterwards
    chair.done("/board/meetings", board="Board", day=SOON)
    chair.done("/board/meetings", board="Another board", day=SOON)
    twice = chair.post("/board/meetings", board=" board ", day=SOON)
    assert (twice.status_code, "has a meeting on that day already" in twice.text) == (422, True)
    chair.done("/board/meetings", board="Board", day=SOON, sure="yes")
    assert len(meetings.meetings("default")) == 6


def test_an_action_that_is_due_before_today_is_asked_about(house: House) -> None:
    key = house.visit(FLAGGED)
    chair, path = house.browser("chair"), deciding(house, key)
    form = {"disposition": "accept", "note": "Looked at", "action": ["imaging"], "due-imaging": "2020-01-01"}
    refused = chair.post(path, **seen_in(chair.get(path)), **form)
    assert (refused.status_code, "by a day that has passed" in refused.text) == (422, True)
    assert "Looked at" in refused.text
    assert house.recorder.reviews.decisions("default", patient=key) == []
    today = chair.post(path, **seen_in(refused.text), **{**form, "due-imaging": TODAY})
    assert today.status_code == 303
    chair.done(path, **seen_in(chair.get(path)), **form, late="yes")  # entered afterwards
    (*_, last) = house.recorder.reviews.decisions("default", patient=key)
    assert [one.due for one in last.actions] == ["2020-01-01"]
