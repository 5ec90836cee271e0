"""The pages at `/author`: what they show of a rule, what they say where they cannot, and that nothing they do reaches anything else."""

from __future__ import annotations

import html
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import pytest

from cds.errors import InputError
from cds.layers import rule_files
from cds.reasoning.loading import load_rulebook, shipped_rules
from cds.reasoning.reasoner import Reasoner
from cds.record.accounts import Accounts
from cds.record.database import Database
from cds.record.recorder import Recorder
from cds.service.app import create_app
from cds.service.editions import Editions
from cds.settings import Settings
from cds.source import parse_yaml, with_value
from cds.workbench.bench import add_author_pages
from cds.workbench.bench.aside import NotDone, Occupied, beside
from cds.workbench.bench.patients import Patients
from cds.workbench.proving.reading import load_tests, read_case
from cds.workbench.trials.versions import version
from tests.access.people import PASSWORD
from tests.pages.boards import TENANT, Browser, text_of
from tests.reasoning.test_fourth_marker import MARKER
from tests.reasoning.test_fourth_marker import RULE as FOURTH
from tests.record.visits import REASONER

RULE = "trpc5-rise-on-chemotherapy"
OWN = f"/author/rules/{RULE}"
CASES = sum(one.rule == RULE for one in load_tests(shipped_rules(), REASONER.rulebook))
RISE = "a rise, and again four weeks later, is suspected"
HER2 = "/author/rules/tgfb1-pdl1-rise-on-her2-therapy"


def opened(folder: Path, reasoner: Reasoner = REASONER, rules: Path | None = None) -> tuple[Database, Browser]:
    """A service with the pages, and the browser of an author who has signed in."""
    database = Database(f"sqlite:///{folder}/record.sqlite", deadline=10)
    database.upgrade()
    Accounts(database).add(TENANT, "author", PASSWORD, ["author"], "tests")
    pages = [partial(add_author_pages, reasoner=reasoner, rules=rules or shipped_rules())]
    app = create_app(Settings(open_mode=True), reasoner, recorder=Recorder(database, reasoner.rulebook), pages=pages)
    browser = Browser(app)
    browser.sign_in("author")
    return database, browser


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    database, browser = opened(tmp_path_factory.mktemp("author"))
    with closing(database):
        yield browser


def asked(author: Browser, path: str, status: int = 200, /, **query: str) -> str:
    """What a page says."""
    page = author.get(f"{path}?{urlencode(query)}" if query else path, status)
    return html.unescape(text_of(page))


def said(author: Browser, /, **query: str) -> str:
    """The sentence in which the page for trying says what the rule says."""
    page = author.get(f"{OWN}/try?{urlencode(query)}")
    found = re.search(r'id="said"[^>]*>([^<]*)<', page)
    assert found
    return html.unescape(found[1])


# reading ---------------------------------------------------------------------------------------------------------------


def test_every_rule_is_listed_and_reads_in_words_and_as_it_is_written(author: Browser) -> None:
    listed = asked(author, "/author")
    for rule in REASONER.rulebook.rules:
        assert rule.title in listed
        page = author.get(f"/author/rules/{rule.name}")
        source = html.unescape(page.partition("<pre")[2].partition(">")[2].partition("</pre>")[0])
        assert source == (shipped_rules() / rule.file).read_text(encoding="utf-8")
        assert rule.summary in html.unescape(page)
    prose = asked(author, OWN)
    assert (
        "value risen beyond the limit and value per vesicle risen beyond the limit and confirmed by a second sample"
        in prose
    )
    assert RISE in prose


def test_the_way_to_the_pages_is_shown_to_whom_they_open(author: Browser) -> None:
    account = author.get("/account")
    assert ">For rule authors</a>" in account
    assert ">Rules in use</a>" in account
    for path, title in (("/author", "For rule authors: read a rule, try it, change its limits"), (OWN, "Read: "), (f"{OWN}/try", "Try: "),
                        (f"{OWN}/limits", "Change a limit: "), ("/board/rules", "The rules in use")):  # fmt: skip
        page = author.get(path)
        assert f"<title>{title}" in page, path
        here = re.findall(r'aria-current="page">([^<]*)<', page.partition("</header>")[0])
        assert here == ["Rules in use" if path == "/board/rules" else "For rule authors"], path
    assert '<a href="/board/rules">Rules in use</a></p>' in author.get("/author")  # each says what the other is for
    assert '<a href="/author">For rule authors</a></p>' in author.get("/board/rules")
    assert author.http.get("/").headers["Location"] == "/author"
    author.http.app.state.gate.sessions.accounts.add(TENANT, "chair", PASSWORD, ["chair"], "tests")  # type: ignore[attr-defined]  # the app that was opened
    chair = Browser(author.http.app)
    chair.sign_in("chair")
    assert "For rule authors" not in chair.get("/board")
    assert "Rules in use" in chair.get("/board")
    assert "For rule authors" not in chair.get("/board/rules")


# trying ----------------------------------------------------------------------------------------------------------------


def test_a_case_says_what_its_test_expects_until_a_sample_is_moved(author: Browser) -> None:
    assert said(author) == "Day 105: suspected."  # the first case, on the last day of which it speaks
    lower = {"patient": RISE, "v77": "3.6"}
    assert said(author, **lower) == "Day 105: watch. Before it was changed: suspected."
    page = asked(author, f"{OWN}/try", **lower)
    assert "77 : show this day watch no flag changed watch TR-02" in page
    for words in ("Holds value risen beyond the limit", "Does not hold early in the treatment line", "a comparable value below",
                  "not the case: confirmed by a second sample"):  # fmt: skip
        assert words in page, words
    assert f"Nobody’s record; made up: {RISE}. What was moved: day 77, TRPC5-EV: 5.6 → 3.6." in page
    assert said(author, patient=RISE, v77="5.60") == "Day 105: suspected. Before it was changed: suspected."
    assert said(author, patient=RISE, x77="yes") == "Day 105: watch. Before it was changed: suspected."
    assert said(author, patient=RISE, day="76") == "Day 76: no flag."
    below = asked(author, f"{OWN}/try", patient=RISE, day="76", v42="<0.5", **{"v-4": "<0.5", "x-17": "y"})
    assert "A value below a limit of its assay is an interval" in below


def test_who_has_no_sample_yet_is_not_said_to_have_no_flag(author: Browser) -> None:
    assert said(author, patient=RISE, day="-30") == "Day -30: not asked."
    assert "The rule is not asked on this day" in asked(author, f"{OWN}/try", patient=RISE, day="-30")
    everything = dict.fromkeys(("x-17", "x-4", "x42", "x77", "x105"), "yes")
    assert said(author, patient=RISE, **everything) == "Day 105: not asked. Before it was changed: suspected."


def test_the_drawing_shows_the_moved_sample_and_its_limit(author: Browser) -> None:
    page = author.get(f"{OWN}/try?{urlencode({'patient': RISE, 'v105': '3.7'})}")
    assert 'class="c-limit"' in page
    assert "3.7" in page.partition("<svg")[2].partition("</svg>")[0]
    assert "6.3" not in page.partition("<svg")[2].partition("</svg>")[0]


def test_rules_of_two_markers_and_synthetic_patients_are_tried_too(author: Browser) -> None:
    page = author.get(f"{HER2}/try")
    assert 'name="v147.tgfb1-ev"' in page
    query = urlencode({"v147.tgfb1-ev": "230", "v147.pdl1-ev": "81"})
    assert "Day 147: no flag. Before it was changed: suspected." in html.unescape(
        text_of(author.get(f"{HER2}/try?{query}"))
    )
    first = re.search(r'value="(synthetic \d+)"', author.get(f"{OWN}/try"))
    assert first
    page = asked(author, f"{OWN}/try", patient=first[1])
    assert "10⁶ particles/mL" in page
    assert "in the case: 2.1 × 10⁶ particles/mL" in page
    # more of the marker than there are vesicles, as the chart would find it
    last = re.findall(r'name="v(\d+)"', author.get(f"{OWN}/try?{urlencode({'patient': first[1]})}"))[-1]
    assert "result data need checking" in said(author, patient=first[1], **{f"v{last}": "90000000"})


def test_a_moved_case_is_written_as_its_file_would_say_it(author: Browser) -> None:
    def case(**query: str) -> str:
        page = author.get(f"{OWN}/try?{urlencode(query)}")
        return html.unescape(page.partition('aria-labelledby="as-test">')[2].partition("</pre>")[0])

    assert case(patient=RISE, v77="3.6", x42="yes").splitlines() == [
        f'"{RISE}, moved":', "  cytotoxic-chemotherapy: 0.. paclitaxel", "  trpc5-ev: {-17: 1.8, -4: 2.0, 77: 3.6, 105: 6.3}",
        "  expect: {42: background, 77: no-flag, 105: watch}",
    ]  # fmt: skip
    book = REASONER.rulebook
    own = [one for one in load_tests(shipped_rules(), book) if one.rule == RULE]
    patients = Patients(book, rule_files(shipped_rules()))
    for choice in patients.choices(book.rule(RULE)):
        if choice.group:
            patient = patients.patient(book.rule(RULE), choice.key)
            written = parse_yaml(patient.written({}, patient.expected), [], "a test")
            assert written is not None, choice.key
            (stated,) = written.value.values()
            again = read_case(stated, RULE, book)
            same = next(
                one for one in own if (one.file, one.name) == (choice.group, re.sub(r" \(\d\)$", "", choice.key))
            )
            for day in same.expect:
                assert again.chart(day) == same.chart(day), choice.key


# other limits ----------------------------------------------------------------------------------------------------------


def test_other_limits_are_tried_on_tests_and_cohort_and_written_nowhere(author: Browser) -> None:
    file = shipped_rules() / f"resistance/{RULE}.yaml"
    before = file.read_bytes()
    page = author.get(f"{OWN}/limits?{urlencode({'limit.rise.floor': '2.1', 'limit.apart.from': '14'})}")
    told = html.unescape(text_of(page))
    assert f"5 expectations of {CASES} cases no longer hold" in told
    assert "a doubling is one whatever the arithmetic of the mean" in told
    assert "70 watch no-flag no-rise" in told
    assert "nothing was written" in told
    assert "is shipped, and a site’s folder cannot change it there" in told
    assert "Put these lines into" not in told
    assert re.search(r"Followed up for \d+\.\d months of treatment on average, as \d\.\d visits a patient", told)
    lines = html.unescape(page.rpartition("<pre")[2].partition(">")[2].partition("</pre>")[0]).splitlines()
    assert [line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")] == [
        "-  rise:   {ratio: reference-change, confidence: one-sided 95 %, floor: 2.0, because: the floor guards small coefficients of variation}",
        "+  rise:   {ratio: reference-change, confidence: one-sided 95 %, floor: 2.1, because: the floor guards small coefficients of variation}",
    ]
    assert file.read_bytes() == before
    short, _, details = told.partition("In short, before → now")[2].partition("The tests beside the rule")
    assert f"Expectations of {CASES} cases that fail, and did not before: 5" in short
    figures = dict(re.findall(r"(Sensitivity|Specificity), of patients: (\d+ % \([\d–]+\)) →", short))
    assert set(figures) == {"Sensitivity", "Specificity"}
    assert all(one in details for one in figures.values())
    ever = re.search(r"suspected patients who ever had it: (\d+) → (\d+)", short)
    assert ever
    assert re.search(rf"suspected {ever[1]} \(\d+\) {ever[2]} \(", details)
    count = re.search(r"the rule says something else: (\d+) of 300", short)
    assert count
    assert len(set(re.findall(r"patient=synthetic\+(\d+)", page))) == int(count[1]) > 0
    # Whoever flips can be tried, and is shown to flip there too.
    flips = re.findall(r'href="([^"]*patient=synthetic[^"]*)"', page)
    assert flips
    for address in flips:
        tried = html.unescape(text_of(author.get(html.unescape(address))))
        assert "Asked with other limits: rise floor 2.0 → 2.1" in tried
        assert re.search(r"Day (\d+): no flag\. Before it was changed: watch\.", tried)
    failing = re.search(r'href="([^"]*patient=two%20baseline%20samples%20narrow[^"]*)"', page)
    assert failing
    assert "Day 70: no flag. Before it was changed: watch." in html.unescape(
        text_of(author.get(html.unescape(failing[1])))
    )
    # The second time it is remembered.
    begun = time.perf_counter()
    author.get(f"{OWN}/limits?{urlencode({'limit.rise.floor': '2.10'})}".replace("2.10", "2.1"))
    assert time.perf_counter() - begun < 1


def test_what_fails_anyway_is_told_apart_from_what_other_limits_make_fail(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    shutil.copytree(shipped_rules(), rules)
    cases = rules / f"resistance/{RULE}.test.yaml"
    right, wrong = "105: suspected TR-01}", "105: watch}"
    text = cases.read_text(encoding="utf-8")
    cases.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    database, author = opened(tmp_path, Reasoner(load_rulebook(rules)), rules)
    with closing(database):
        told = asked(author, f"{OWN}/limits", **{"limit.rise.floor": "2.1"})
        newly, _, anyway = told.partition("1 expectation does not hold with the limits in use either")
        assert f"5 expectations of {CASES} cases no longer hold" in newly
        assert (RISE in newly, RISE in anyway) == (False, True)
        assert "Put these lines into" in told
        told = asked(author, f"{OWN}/limits", **{"limit.rise.floor": "1.9999999"})
        assert "1 expectation does not hold with the limits in use either" in told
        assert f"Every expectation of {CASES} cases that holds with the limits in use holds with these too" in told
        assert "no longer hold" not in told


def test_of_a_marker_that_no_synthetic_patient_has_no_change_is_said_to_show_nothing(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    shutil.copytree(shipped_rules(), rules)
    (rules / "markers/uchl1-ev.yaml").write_text(MARKER, encoding="utf-8")
    (rules / "resistance/uchl1-rise-on-chemotherapy.yaml").write_text(FOURTH, encoding="utf-8")
    database, author = opened(tmp_path, Reasoner(load_rulebook(rules)), rules)
    with closing(database):
        told = asked(author, "/author/rules/uchl1-rise-on-chemotherapy/limits", **{"limit.rise.floor": "2"})
    assert told.count("no patient of this cohort has a result of uchl1-ev: nothing is shown of this rule") == 2
    assert "0 of 300" not in told
    assert "On no visit of any patient does the rule say something else" not in told


def test_limits_as_they_are_ask_nobody(author: Browser) -> None:
    query = urlencode({"limit.rise.floor": "2", "limit.apart.from": " 14 d ", "limit.first.from": "6 w"})
    page = asked(author, f"{OWN}/limits?limit.rise.floor=2.00&limit.apart.from=14")
    assert "Try these limits" in page
    assert "nothing was written" not in page
    assert "These are the limits in use. Nothing differs from them" in page
    assert "These are the limits in use" not in asked(author, f"{OWN}/limits")  # where nobody tried any
    assert "Asked with other limits" in asked(author, f"{OWN}/try?{query}&limit.guard.from=61")
    assert "has no limits of its own" in asked(author, f"{HER2}/limits")


def test_rules_that_somebody_changed_meanwhile_are_not_compared(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    shutil.copytree(shipped_rules(), rules)
    database, author = opened(tmp_path, Reasoner(load_rulebook(rules)), rules)
    with closing(database):
        gate = rules / "gates" / "1-scope.yaml"
        gate.write_text(gate.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
        for path, status in (("limits", 422), ("try", 422)):
            told = asked(author, f"{OWN}/{path}", status, **{"limit.rise.floor": "3"})
            assert "the files of the rules say something else than the rule book in use" in told
        assert said(author, patient=RISE) == "Day 105: suspected."  # what is in use goes on
        (rules / "resistance" / f"{RULE}.test.yaml").write_text("rule: x\ncases: [\n", encoding="utf-8")
    database, author = opened(tmp_path / "rules", Reasoner(load_rulebook(rules)), rules)
    with closing(database):
        assert "not YAML" in asked(author, f"{OWN}/try", 422)
        assert "not YAML" in asked(author, OWN)


def test_the_pages_are_of_the_rule_book_in_use(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    shutil.copytree(shipped_rules(), rules)
    file = rules / f"resistance/{RULE}.yaml"
    file.write_text(with_value(file.read_text(encoding="utf-8"), ("limits", "rise", "floor"), "3.5"), encoding="utf-8")
    database, author = opened(tmp_path)
    other, later = opened(tmp_path / "rules", Reasoner(load_rulebook(rules)), rules)
    with closing(database), closing(other):
        editions = Editions(author.http.app)  # type: ignore[arg-type]  # the app that was opened
        browser = Browser(editions)
        browser.sign_in("author")
        assert "floor: 2.0" in browser.get(OWN)
        editions.follow(later.http.app)  # type: ignore[arg-type]  # the app that was opened
        browser.sign_in("author")  # whose record is another here
        assert "floor: 3.5" in browser.get(OWN)
        assert said(browser, patient=RISE) == "Day 105: no flag."


def test_a_value_is_put_into_a_file_and_nothing_else_of_it_changes() -> None:
    text = "limits:  # a comment\n  rise: {floor: 2.0, because: 'it is: so'}\n  \"to\":\n    - 1\n"
    assert with_value(text, ("limits", "rise", "floor"), "2.5") == text.replace("2.0", "2.5")
    assert with_value(text, ("limits", "rise", "floor"), "2, x: y") == text.replace("2.0", '"2, x: y"')
    for path in (("limits", "fall", "floor"), ("limits", "rise"), ("limits", "to"), ("limits", "rise", "floor", "x")):
        with pytest.raises(KeyError):
            with_value(text, path, "1")


# beside the service ----------------------------------------------------------------------------------------------------


def test_work_beside_the_service_is_done_by_a_nicer_process() -> None:
    assert beside(os.nice, 0) == os.nice(0) + 15
    assert beside(print, "not an answer") is None


def test_work_that_comes_to_no_end_is_ended_and_said_to_have_no_result(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(NotDone, match="time"):
        beside(time.sleep, 60, seconds=0.5)
    assert time.monotonic() - begun < 15
    with pytest.raises(NotDone, match="ended"):
        beside(os._exit, 3)
    with pytest.raises(NotDone, match="ValueError"):
        beside(int, "x")
    with pytest.raises(InputError, match="'nothing' is no folder"):
        beside(version, "nothing", None, tmp_path)


def test_one_trial_runs_at_a_time_and_the_next_is_asked_to_wait(author: Browser) -> None:
    one = threading.Thread(target=partial(beside, time.sleep, 2.5))
    one.start()
    time.sleep(0.2)  # it holds the turn from its beginning
    with pytest.raises(Occupied):
        beside(os.getpid)
    answer = author.http.get(f"{OWN}/limits", params={"limit.rise.floor": "4.4"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    told = html.unescape(text_of(answer.text))
    assert "somebody else’s limits are being tried. One trial runs at a time" in told
    assert 'value="4.4"' in answer.text
    assert "no longer hold" not in told
    assert said(author, patient=RISE, v77="3.6").startswith("Day 105: watch")  # what is light goes on
    one.join()
