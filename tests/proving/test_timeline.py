"""The drawing of a case: plain, no wider than a terminal, each thing at its day."""

from __future__ import annotations

from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.workbench.proving.reading import read_case
from cds.workbench.proving.running import run
from cds.workbench.proving.timeline import WIDTH

BOOK = default_rulebook()


def timeline(**stated: object) -> list[str]:
    case = {"cytotoxic-chemotherapy": "0..", "trpc5-ev": {"-4": "2.0", "77": "5.6", "105": "6.3"}, **stated}
    test = read_case({"expect": {"105": "no-flag"}, **case}, "trpc5-rise-on-chemotherapy", BOOK)
    (failure,) = run([test], Reasoner(BOOK))
    return failure.timeline()


def row(lines: list[str], name: str) -> str:
    return next(line for line in lines if line.startswith(name))


def test_values_at_the_limit_are_marked_and_the_limit_is_told() -> None:
    lines = timeline()
    assert row(lines, "trpc5-ev").split()[1:] == ["2.0", "5.6*", "6.3*"]
    assert row(lines, "day").split()[1:] == ["-4", "77", "105"]
    assert lines[-1] == "* at or over 4.511 trpc5-ev: 2.255 times its baseline"


def test_everything_stands_below_its_day() -> None:
    lines = timeline(imaging={"77": "PR"}, operation={"77": "other"})
    column = row(lines, "day").index("77")
    assert row(lines, "imaging").index("PR") == row(lines, "operation").index("other") == column
    assert row(lines, "asked").index("^") == row(lines, "day").index("105")


def test_bars_say_where_they_begin_and_whether_they_go_on() -> None:
    assert row(timeline(), "cytotoxic").endswith("=>")
    assert "|=" in row(timeline(), "cytotoxic")
    assert row(timeline(**{"endocrine-therapy": "20..40"}), "endocrine").strip().endswith("=|")
    assert row(timeline(**{"endocrine-therapy": "?..40"}), "endocrine").split()[1].startswith("?")
    assert row(timeline(events={"infection": "20..40"}), "infection").endswith("-]")


def test_it_fits_and_nothing_covers_another() -> None:
    crowded = {str(day): "2.0" for day in range(60, 105)}
    lines = timeline(**{"trpc5-ev": {"-4": "2.0", **crowded, "105": "6.3"}}, expect={"105": "no-flag"})
    assert max(map(len, lines)) <= WIDTH
    assert all(line.isascii() for line in lines)
    scans = timeline(imaging={str(day): "PR" for day in range(70, 80)})
    assert "PRPR" not in row(scans, "imaging")
