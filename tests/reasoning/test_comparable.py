"""What keeps two results from being compared is named whenever they cannot be, and only then."""

from __future__ import annotations

import random
from itertools import combinations

from cds.reasoning.loading import default_rulebook
from cds.reasoning.question import comparable_results, what_differs
from tests.reference.random_charts import random_chart

ELEMENTS = default_rulebook().windows.elements


def test_nothing_differs_exactly_where_two_results_can_be_compared() -> None:
    seen = {True: 0, False: 0, None: 0}
    for seed in range(3_000):
        chart = random_chart(random.Random(seed))
        for results in chart.results.values():
            for earlier, later in combinations([one for one in results if one.family is not None], 2):
                comparable = comparable_results(earlier, later, ELEMENTS)
                apart = what_differs(earlier, later, ELEMENTS)
                assert (comparable is True) is (apart == [])
                if comparable is None:
                    assert all(None in answers for _, *answers in apart)
                seen[comparable] += 1
    assert min(seen.values()) > 100
