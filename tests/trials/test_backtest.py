"""Back-tests: what is counted is right by hand and by an independent recount, whoever counts, and the page stands by itself."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Mapping
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from cds.chart import read
from cds.cli import app
from cds.errors import InputError
from cds.layers import shipped_rules
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.workbench.synth import Design, make_patient, to_json, write_cohort
from cds.workbench.trials.backtest import MONTH, Backtest, backtest
from cds.workbench.trials.cohorts import Folder, Synthetic
from cds.workbench.trials.lives import Life, lived, lives, visits
from cds.workbench.trials.report import data, headline, page
from cds.workbench.trials.versions import Version

BOOK = default_rulebook()
TRPC5 = "trpc5-rise-on-chemotherapy"
START = date(2025, 1, 1)
DESIGN = Design(months=12)


def on(day: int) -> date:
    return START + timedelta(days=day)


def life(
    states: Mapping[int, str], *, onset: int | None = None, seen: int | None = None, rule: str = TRPC5, **truth: Any
) -> Life:
    told = {
        "patient": "p", "resistant": onset is not None, "onset": None if onset is None else on(onset).isoformat(),
        "progression": None if seen is None else on(seen).isoformat(), "line_start": START.isoformat(), "rule": TRPC5, **truth,
    }  # fmt: skip
    return Life(told, tuple(map(on, states)), {rule: tuple(states.values())})


def test_every_figure_by_hand() -> None:
    found = backtest(
        [
            life({30: "no-flag", 90: "suspected", 120: "suspected"}, onset=60, seen=100),  # found, 10 days ahead
            life(
                {30: "suspected", 90: "no-flag", 120: "suspected"}, onset=60, seen=80
            ),  # early, then found, 40 days late
            life({30: "suspected", 90: "no-flag"}, onset=60),  # early only: missed
            life({90: "watch"}, onset=60),  # missed, but for its first crossing
            life({30: "no-flag", 90: "watch"}),  # quiet, but for its first crossing
            life({30: "suspected", 60: "watch", 90: "suspected"}),  # false, twice
            life({30: "no-flag"}),
            life({}),
        ],
        BOOK,
        "by hand",
    )
    whole = found.whole
    assert whole.confusion == (2, 2, 1, 2)
    assert (whole.patients, whole.with_condition, whole.early, found.unmeasured) == (7, 4, 2, 1)
    assert whole.alerts == 1 + 2 + 1 + 0 + 0 + 2
    assert whole.months == pytest.approx((120 + 120 + 90 + 90 + 90 + 90 + 30) / MONTH)
    assert whole.leads == (-40, 10)
    assert whole.lead_days is None  # two values bound no median
    assert whole.before_imaging is not None
    assert whole.before_imaging.estimate == 0.5
    assert found.crossed.confusion == (3, 1, 2, 1)
    assert found.evaluations == 3 + 3 + 2 + 1 + 2 + 3 + 1
    assert found.found_after == (30, 60, None, None)
    assert found.seen_after == (40, 20, None, None)
    assert (TRPC5, "suspected", 4, 7) in found.states


def test_a_rule_counts_for_whom_it_is() -> None:
    other = "hotair-rise-on-endocrine-therapy"
    meant, judged = life({30: "suspected"}, onset=10), life({30: "no-flag"}, rule=other)
    silent = life({30: "not-evaluable"}, rule=other)
    groups = {one.name: one.figures for one in backtest([meant, judged, silent], BOOK, "x").groups if one.by == "rule"}
    assert groups[TRPC5].patients == 1
    assert groups[other].patients == 1  # whom no truth names for it: those whom it judged


def test_a_source_that_remains_is_what_a_rule_after_surgery_is_to_find() -> None:
    remains = life({90: "watch", 120: "persistent"}, rule="hotair-after-surgery", course="source-remains")
    assert backtest([remains], BOOK, "x").whole.confusion == (1, 0, 0, 0)


def recount(found: Backtest, several: list[Life]) -> tuple[int, int, int, int]:
    """The four cells once more, from scratch."""
    cells = [0, 0, 0, 0]
    for one in several:
        if not one.days:
            continue
        has = one.truth["resistant"] or one.truth["course"] == "source-remains"
        flagged = False
        for place, day in enumerate(one.days):
            said = any(states[place] in ("suspected", "persistent") for states in one.states.values())
            after = not one.truth["onset"] or day.isoformat() >= one.truth["onset"]
            flagged = flagged or (said and after)
        cells[(0 if flagged else 1) if has else (2 if flagged else 3)] += 1
    return cells[0], cells[1], cells[2], cells[3]


def test_a_cohort_is_counted_as_a_recount_has_it_with_any_number_of_workers() -> None:
    cohort = Synthetic(3, 60, DESIGN)
    one = [found for (found,) in lives(cohort, [Version()], 1)]
    two = [found for (found,) in lives(cohort, [Version()], 2)]
    assert one == two
    found = backtest(one, BOOK, cohort.name)
    assert found.whole.confusion == recount(found, one)
    assert sum(found.whole.confusion) + found.unmeasured == 60


def test_nothing_is_known_before_its_day() -> None:
    """What is said on a visit is said of the record as it stood: later results taken out, it is the same."""
    reasoner = Reasoner(BOOK)
    for index in range(12):
        patient = make_patient(3, index, design=DESIGN)
        record = read(patient.bundle, BOOK.catalogue)
        whole = lived(reasoner, record, patient.truth)
        middle = len(whole.days) // 2
        known = [
            entry
            for entry in patient.bundle["entry"]
            if entry["resource"].get("issued", "")[:10] <= str(whole.days[middle])
        ]
        cut = lived(reasoner, read({**patient.bundle, "entry": known}, BOOK.catalogue), patient.truth)
        assert cut.days == whole.days[: middle + 1]
        for rule, states in cut.states.items():
            assert states == whole.states[rule][: middle + 1]


def test_visits_are_the_days_on_which_results_became_known() -> None:
    patient = make_patient(3, 1, design=DESIGN)
    issued = {
        entry["resource"]["issued"][:10]
        for entry in patient.bundle["entry"]
        if "-o" in entry["resource"]["id"] and "issued" in entry["resource"]
    }
    assert {str(day) for day in visits(read(patient.bundle, BOOK.catalogue))} == issued


def test_a_folder_and_the_same_patients_made_on_the_way_are_the_same(tmp_path: Path) -> None:
    write_cohort(3, 15, 1, tmp_path, design=DESIGN)
    assert [found for (found,) in lives(Folder(tmp_path), [Version()], 1)] == [
        found for (found,) in lives(Synthetic(3, 15, DESIGN), [Version()], 1)
    ]


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        (None, "there is no truth.jsonl"),
        ("", "it is empty"),
        ("{", "truth.jsonl:1: it is no JSON"),
        ("[]", "no object"),
        ('{"patient": "p", "file": "p.json"}', "'resistant' is missing"),
        ('{"patient": "p", "resistant": true}', "'file' is missing"),
        ('{"patient": "p", "resistant": true, "file": "q.json"}', "there is no q.json"),
        ('{"patient": "p", "resistant": true, "file": "p.json", "onset": "soon"}', "'onset: soon' is no date"),
    ],
)
def test_what_is_no_cohort_is_told(truth: str | None, said: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("{}", encoding="utf-8")
    if truth is not None:
        (tmp_path / "truth.jsonl").write_text(truth and truth + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(said)):
        Folder(tmp_path)


def test_a_patient_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("nothing", encoding="utf-8")
    (tmp_path / "truth.jsonl").write_text('{"patient": "p", "resistant": true, "file": "p.json"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"p\.json"):
        list(lives(Folder(tmp_path), [Version()], 1))


# report -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found() -> Backtest:
    return backtest((one for (one,) in lives(Synthetic(3, 60, DESIGN), [Version()], 1)), BOOK, "60 <patients>")


class _Page(HTMLParser):
    """Notes what a page fetches and runs, and whether its tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.svgs = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script" or any(
            name in ("src", "href", "srcset", "action") or name.startswith("on") for name, _ in attrs
        ):
            self.fetched.append(tag)
        self.svgs += tag == "svg"
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("p",):
            while self.open and self.open[-1] == "p":
                self.open.pop()
        assert self.open.pop() == tag


def test_the_page_stands_by_itself(found: Backtest) -> None:
    shown = page(found, [0.1], [])
    seen = _Page()
    seen.feed(shown)
    assert seen.fetched == []
    assert seen.svgs == 5
    assert "http" not in shown
    assert "url(" not in shown
    assert "60 &lt;patients&gt;" in shown
    for name, value, _ in headline(found, [0.1]):
        assert name in shown
        assert value.partition(" (")[0].replace(" %", "\u00a0%") in shown
    assert page(found, [0.1], []) == shown


def test_a_cohort_without_the_condition_has_a_page_too() -> None:
    shown = page(backtest([life({30: "no-flag"})], BOOK, "one"), [0.1], [])
    assert "–" in shown
    assert json.loads(msgspec.json.encode(data(backtest([], BOOK, "none"), [0.1])))["whole"]["patients"] == 0
    assert page(backtest([], BOOK, "none"), [0.1], [])


def test_who_was_never_judged_is_in_no_percentage(tmp_path: Path) -> None:
    book = Reasoner(BOOK)
    patients = [make_patient(3, number, design=DESIGN) for number in range(12)]
    for one in patients:
        for entry in one.bundle["entry"]:
            entry["resource"].pop("performer", None)  # whose method nobody knows then
    unjudged = backtest([lived(book, read(one.bundle, BOOK.catalogue), one.truth) for one in patients], BOOK, "x")
    assert not unjudged.whole.judged
    assert [row[0] for row in headline(unjudged, [0.1])] == ["patients"]
    assert unjudged.whole.predictive_value(0.1) is None
    (said,) = (one for one in unjudged.unheard if one.startswith(f"{TRPC5}: "))
    assert re.search(r": (\d+) of \1 evaluations not-evaluable; most often missing: \w", said)
    shown = page(unjudged, [0.1], [])
    assert said in html.unescape(shown)
    assert "0.0\u00a0%" not in shown
    assert "100\u00a0%" not in shown
    half = backtest([life({30: "not-evaluable"}), life({30: "no-flag"}, onset=10)], BOOK, "x")
    assert half.whole.judged
    assert not any(TRPC5 in one for one in half.unheard)


def test_the_command(tmp_path: Path) -> None:
    run = CliRunner().invoke
    report = tmp_path / "report.html"
    shown = run(app, ["backtest", "--synthetic", "12", "--months", "9", "--report", str(report)])
    assert shown.exit_code == 0
    assert "sensitivity" in shown.output
    assert report.read_text(encoding="utf-8").startswith("<!doctype html>")
    told = json.loads(
        run(app, ["backtest", "--synthetic", "12", "--months", "9", "--json", "--at-prevalence", "5"]).output
    )
    assert told["whole"]["patients"] + told["unmeasured"] == 12
    assert told["whole"]["predictive_value"][-1]["prevalence"] == 0.05
    write_cohort(1, 3, 1, tmp_path / "cohort")
    assert run(app, ["backtest", "--cohort", str(tmp_path / "cohort")]).exit_code == 0
    for wrong in (
        [],
        ["--synthetic", "2", "--cohort", "x"],
        ["--cohort", "x", "--months", "3"],
        ["--cohort", str(tmp_path / "none")],
    ):
        assert isinstance(run(app, ["backtest", *wrong]).exception, InputError)


def test_a_patient_as_sent_is_a_patient_as_made() -> None:
    """Bytes or objects: the reader makes the same of them."""
    patient = make_patient(3, 5, design=DESIGN)
    left, right = (read(one, BOOK.catalogue) for one in (patient.bundle, to_json(patient.bundle)))
    assert lived(Reasoner(BOOK), left, patient.truth) == lived(Reasoner(BOOK), right, patient.truth)


def test_a_draft_has_a_line_of_its_own_and_counts_in_nothing_else(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    shutil.copytree(shipped_rules(), rules)
    file = rules / "resistance" / f"{TRPC5}.yaml"
    file.write_text(file.read_text("utf-8").replace("status: active", "status: draft", 1), "utf-8")
    call = ["backtest", "--synthetic", "25", "--months", "9", "--json"]
    whole, without = (
        json.loads(CliRunner().invoke(app, [*call, *more]).output) for more in ([], ["--rules", str(rules)])
    )
    lines = [next(one for one in told["groups"] if one["name"] == TRPC5) for told in (whole, without)]
    assert lines[0] == lines[1]
    assert without["shadow"] == [TRPC5]
    assert without["whole"]["alerts"] < whole["whole"]["alerts"]
    shown = CliRunner().invoke(app, ["backtest", "--synthetic", "25", "--months", "9", "--rules", str(rules)]).output
    assert f"{TRPC5} (not shown)" in shown
