"""Rules under noise: the design's table comes out, the shortcut says what the rule says, thresholds order themselves."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from cds.cli import app
from cds.errors import Disagreement, InputError
from cds.reasoning.loading import default_rulebook
from cds.workbench.trials import noise
from cds.workbench.trials.noise import STABLE, Conditions, Course, Trial, schedule
from cds.workbench.trials.noise_table import any_crossing, markdown, table, two_in_a_row
from cds.workbench.trials.patterns import limits
from cds.workbench.trials.variants import Variant, varied

BOOK = default_rulebook()
TRPC5 = "trpc5-rise-on-chemotherapy"
ASKED = [rule.name for rule in BOOK.rules if not rule.part and rule.name != "pdl1-on-chemotherapy"]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "trials.md"


def test_the_table_of_the_design_comes_out() -> None:
    """Fourteen figures; four standard errors for all of them together are seldom reached by chance."""
    rows = table(BOOK, runs=25_000, seed=2)
    assert len(rows) == 14
    assert [row for row in rows if row.apart > 4] == []
    for row in rows:  # the integral knows neither our draws nor theirs
        assert abs(row.ours.share - row.integral) <= 4 * row.ours.error + 1e-9
        assert abs(row.simulated - row.integral) <= 4 * math.sqrt(row.integral * (1 - row.integral) / 200_000) + 0.0005


def test_the_table_in_the_docs_is_of_this_rule() -> None:
    shown = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| (reference|flat)", line)]
    made = markdown(table(BOOK, runs=100, seed=1), 100).splitlines()[2:]
    heads = [line.split("|")[1:7] for line in made]
    assert [line.split("|")[1:7] for line in shown] == heads
    for line in shown:
        assert float(line.split("|")[9].split()[0]) <= 4


def test_two_in_a_row_by_counting() -> None:
    """With a limit infinitely far below, everything crosses; with one follow-up there are no two."""
    assert two_in_a_row(1, 1.0) == pytest.approx(0, abs=1e-9)
    assert two_in_a_row(2, -40.0) == pytest.approx(1)
    assert any_crossing(1, 1.645 * math.sqrt(2)) == pytest.approx(0.04998, abs=1e-4)


@pytest.mark.parametrize("name", ASKED)
def test_the_shortcut_says_what_the_rule_says(name: str) -> None:
    """Every draw is asked in full, of every rule, with and without gates."""
    for variant in (Variant(), Variant(floor=False, gates=False), Variant(flat=1.8)):
        outcome = Trial(BOOK, name, Conditions(days=(45, 63, 91, 119), total_ev_cv=0.2), variant).run(
            Course(2.2), 200, 5
        )
        assert outcome.checked + outcome.patterns == 200
        assert sum(outcome.sequences.values()) == 200


def test_a_shortcut_that_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patterns that know of one sample only hold draws for alike that the rule tells apart."""
    monkeypatch.setattr(noise, "limits", lambda *asked: limits(*asked)[:1])
    with pytest.raises(Disagreement, match="its pattern"):
        Trial(BOOK, TRPC5, Conditions()).run(Course(3.0), 400, 1)


def test_a_rule_that_waits_for_a_fall_is_told_apart() -> None:
    trial = Trial(BOOK, "hotair-after-surgery", Conditions(days=(80, 108)))
    assert trial.waits_for_fall
    assert (
        trial.run(STABLE, 300, 1).ever(("persistent",)).share
        > 0.9
        > trial.run(Course(0.1), 300, 1).ever(("watch",)).share
    )
    call = ["rules", "noise", "hotair-after-surgery", "--runs", "100", "--schedule", "80,108", "--thresholds", ""]
    assert "waits for a fall" in CliRunner().invoke(app, call).output
    assert not Trial(BOOK, TRPC5, Conditions()).waits_for_fall


def test_the_same_seed_draws_the_same() -> None:
    first, again = (Trial(BOOK, TRPC5, Conditions()).run(STABLE, 300, 9).sequences for _ in range(2))
    assert first == again
    assert Trial(BOOK, TRPC5, Conditions()).run(STABLE, 300, 10).sequences != first


def test_more_baselines_and_a_higher_threshold_quieten_and_a_rise_is_found() -> None:
    def flagged(conditions: Conditions, course: Course, variant: Variant) -> float:
        return Trial(BOOK, TRPC5, conditions, variant).run(course, 3000, 1).ever(("suspected",)).share

    low, high = (flagged(Conditions(), STABLE, Variant(flat=flat)) for flat in (1.5, 2.5))
    assert low > high
    assert flagged(Conditions(), Course(3.0), Variant()) > 0.7 > flagged(Conditions(), STABLE, Variant()) + 0.6
    one, three = (flagged(Conditions(baselines=n), STABLE, Variant(flat=2.0)) for n in (1, 3))
    assert three < one


def test_more_variation_than_the_rule_assumes_is_told() -> None:
    """A laboratory that does not state its variation lets the rule go by a smaller one."""
    wide = Conditions(cva=0.4, cvi=0.5)
    assumed = Trial(BOOK, TRPC5, replace(wide, stated=False)).run(STABLE, 3000, 1).ever(("watch",))
    stated = Trial(BOOK, TRPC5, wide).run(STABLE, 3000, 1).ever(("watch",))
    assert assumed.share > stated.share + 0.1


def test_guards_hold_early_samples_unless_the_gates_are_off() -> None:
    conditions = Conditions(days=(20, 34, 48))
    assert Trial(BOOK, TRPC5, conditions).run(Course(8.0), 300, 1).ever(("suspected", "watch")).share == 0
    lifted = Trial(BOOK, TRPC5, conditions, Variant(gates=False)).run(Course(8.0), 300, 1)
    assert lifted.ever(("suspected",)).share > 0.9


def test_a_variant_leaves_the_book_as_it_is() -> None:
    assert varied(BOOK, TRPC5, Variant()) is BOOK
    other = varied(BOOK, TRPC5, Variant(floor=False))
    assert other.rule(TRPC5).limits["rise"].floor == 1.0
    assert BOOK.rule(TRPC5).limits["rise"].floor == 2.0
    assert other.rule(TRPC5).fact("risen").params.rise is other.rule(TRPC5).fact("confirmed").params.changes[0].rise


def test_without_variation_every_draw_is_the_course() -> None:
    """The rule goes by its marker's file, so that its limit stays at 2.26."""
    exact = Conditions(days=(63, 91), cva=0.0, cvi=0.0, stated=False)
    for height, said in ((2.3, ("watch", "suspected")), (2.2, ("no-flag", "no-flag"))):
        assert Trial(BOOK, TRPC5, exact).run(Course(height), 100, 1).sequences == {said: 100}
    late = Trial(BOOK, TRPC5, exact).run(Course(9.0, onset=80), 100, 1)
    assert late.sequences == {("no-flag", "watch"): 100}
    half = Trial(BOOK, TRPC5, exact).run(Course(4.0, onset=43, over=40), 100, 1)  # on day 63 half of the way: twice
    assert half.sequences == {("no-flag", "watch"): 100}


@pytest.mark.parametrize(
    ("text", "days"), [("63 q28d x3", (63, 91, 119)), ("42, 77,105", (42, 77, 105)), ("10 q1 x2, 40", (10, 11, 40))]
)
def test_schedules(text: str, days: tuple[int, ...]) -> None:
    assert schedule(text) == days


@pytest.mark.parametrize("text", ["", "soon", "63 q28d", "63, 42", "1 q1d x9999", "5, 5"])
def test_no_schedules(text: str) -> None:
    with pytest.raises(InputError, match="--schedule"):
        schedule(text)


def test_a_rule_for_nobody_says_so() -> None:
    with pytest.raises(InputError, match="applied to no patient"):
        Trial(BOOK, "hotair-after-surgery", Conditions(days=(400,)))


def test_the_operating_curve_as_a_picture(tmp_path: Path) -> None:
    file = tmp_path / "pictures" / "curve.svg"
    call = ["rules", "noise", TRPC5, "--runs", "200", "--thresholds", "2 3", "--svg", str(file)]
    assert CliRunner().invoke(app, call).exit_code == 0
    root = ElementTree.fromstring(file.read_text(encoding="utf-8"))  # noqa: S314 - our own
    told = "".join(root.itertext())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "suspected: stable at 2×" in told
    assert "or watch: change to 3× at 3×" in told
    assert "the rule's own: 2.26×" in told
    assert len(root.findall(".//{*}circle")) == 4 * 2


def test_the_command() -> None:
    run = CliRunner().invoke
    shown = run(app, ["rules", "noise", "trpc5-ev", "--runs", "300", "--thresholds", "2 3"])
    assert shown.exit_code == 0
    assert "suspected" in shown.output
    assert "as written" in shown.output
    told = json.loads(run(app, ["rules", "noise", TRPC5, "--runs", "300", "--json", "--floor", "off"]).output)
    assert told[0]["rule"] == TRPC5
    assert told[0]["floor"] is False
    assert len(told[0]["curve"]) == 9
    assert 0 <= told[0]["stable"]["watch"]["ever"]["share"] <= 1
    wrong = run(app, ["rules", "noise", "trpc5-e"])
    assert isinstance(wrong.exception, InputError)
    assert "likely trpc5-ev is meant" in str(wrong.exception)
    none = run(app, ["rules", "noise", TRPC5, "--thresholds", "none"])
    assert isinstance(none.exception, InputError)
