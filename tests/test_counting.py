"""A count and its noun agree."""

from __future__ import annotations

import pytest

from cds.counting import counted


@pytest.mark.parametrize(
    ("count", "noun", "said"),
    [
        (0, "line", "0 lines"),
        (1, "line", "1 line"),
        (2304, "line", "2,304 lines"),
        (1, "entry", "1 entry"),
        (2, "entry", "2 entries"),
        (3, "day", "3 days"),
        (1, "later sample", "1 later sample"),
        (-1, "day", "-1 days"),
    ],
)
def test_a_count_and_its_noun_agree(count: int, noun: str, said: str) -> None:
    assert counted(count, noun) == said
