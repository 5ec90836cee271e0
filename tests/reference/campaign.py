"""Engine = oracle = reference on random charts: `python -m tests.reference.campaign --charts 1000000`.

Every evaluation already compares engine and oracle; here the states are compared with the naive reference as well. The seed
of a chart that differs is printed, so that it can be looked at by itself: `--only SEED`.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from cds.reasoning.findings import one_state
from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from tests.reference import reference
from tests.reference.random_charts import random_chart

STATES = tuple(state.name for state in default_rulebook().states)


def compare(reasoner: Reasoner, seed: int) -> tuple[list[tuple[str, str]], list[str]]:
    """The (rule, state) pairs of one random chart, and what engine and reference disagree about."""
    chart = random_chart(random.Random(seed))
    evaluation = reasoner.evaluate(chart)
    ours = {name: finding.state for name, finding in evaluation.answers.items()}
    theirs = reference.judge(chart)
    wrong = [
        f"chart {seed}, {rule}: engine {ours.get(rule)}, reference {theirs.get(rule)}"
        for rule in sorted({*ours, *theirs})
        if ours.get(rule) != theirs.get(rule)
    ]
    for marker in chart.results:
        watching = [finding.state for finding in evaluation.answers.values() if marker in finding.markers]
        if watching and one_state(watching) != reference.marker_state(chart, marker, theirs):
            wrong.append(f"chart {seed}, marker {marker}: the one state differs")
    return list(ours.items()), wrong


def campaign(first: int, charts: int) -> tuple[Counter[tuple[str, str]], list[str]]:
    """Charts `first` to `first + charts - 1`: how often each rule had each state, and all disagreements."""
    reasoner = Reasoner(default_rulebook())
    counts: Counter[tuple[str, str]] = Counter()
    wrong: list[str] = []
    for seed in range(first, first + charts):
        states, differing = compare(reasoner, seed)
        counts.update(states)
        wrong += differing
    return counts, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--charts", type=int, default=50_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", type=int)
    arguments = parser.parse_args()
    if arguments.only is not None:
        _, wrong = compare(Reasoner(default_rulebook()), arguments.only)
        sys.stdout.write("\n".join(wrong or ["no disagreement"]) + "\n")
        return bool(wrong)
    batch = 5_000
    counts: Counter[tuple[str, str]] = Counter()
    all_wrong: list[str] = []
    done, started = 0, time.monotonic()
    last = arguments.first + arguments.charts
    with ProcessPoolExecutor(arguments.workers, mp_context=get_context("spawn")) as pool:
        jobs = {
            pool.submit(campaign, first, min(batch, last - first)): min(batch, last - first)
            for first in range(arguments.first, last, batch)
        }
        for job in as_completed(jobs):
            found, wrong = job.result()
            counts += found
            all_wrong += wrong
            done += jobs[job]
            if sys.stderr.isatty():
                rate = done / (time.monotonic() - started)
                sys.stderr.write(f"\r{done:,} of {arguments.charts:,} charts, {rate:,.0f}/s")
    report(counts, all_wrong, arguments.charts)
    missing = [state for state in STATES if not any(known == state for _, known in counts)]
    return bool(all_wrong or missing)


def report(counts: Counter[tuple[str, str]], wrong: list[str], charts: int) -> None:
    """Counts per state and rule, and the first disagreements."""
    rules = sorted({rule for rule, _ in counts})
    lines = [f"{charts:,} random charts, {sum(counts.values()):,} questions, {len(wrong):,} disagreements", ""]
    for state in STATES:
        total = sum(number for (_, known), number in counts.items() if known == state)
        lines.append(f"{state:15} {total:>10,}")
    lines += ["", *(f"{rule}: " + ", ".join(f"{s} {counts[rule, s]:,}" for s in STATES) for rule in rules)]
    lines += ["", *wrong[:40]]
    sys.stdout.write("\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
