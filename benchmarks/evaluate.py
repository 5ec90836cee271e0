"""JSON bytes → findings, as a multiple of `orjson.loads` on the same bytes in the same run; growth; memory.

Parsing and evaluation take turns at every bundle, as a service meets them: both find the processor's caches as the other
left them, and a machine that slows down for a while slows both. Beside it stands the ratio to a parser that has the machine
to itself, one bundle after the other, which is its best case. Ratios are medians over rounds. Run by `make bench`.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from cds.chart import Moment, read
from cds.reasoning.loading import default_rulebook, load_rulebook, shipped_rules
from cds.reasoning.reasoner import Reasoner
from cds.workbench.synth import make_patient, to_json

AS_OF = Moment.parse("2026-06-30")


def bundles(count: int, visits: int | None = None) -> list[bytes]:
    """Generated bundles as bytes; without `visits` those of the cohort that hold 25 to 35 resources."""
    found: list[bytes] = []
    for index in itertools.count():
        bundle = make_patient(11, index, visits=visits).bundle
        if visits is not None or 25 <= len(bundle["entry"]) <= 35:
            found.append(to_json(bundle))
        if len(found) == count:
            return found
    raise AssertionError("a cohort has no end")


def evaluate(reasoner: Reasoner, data: bytes) -> int:
    """One bundle from bytes to findings; how many clauses and notes held."""
    chart = read(data, reasoner.rulebook.catalogue).as_of(AS_OF)
    evaluation = reasoner.evaluate(chart)
    return sum(len(finding.holding) + len(finding.notes) for finding in evaluation.answers.values())


def seconds(work: Callable[[bytes], Any], items: Sequence[bytes]) -> float:
    gc.collect()
    started = time.perf_counter()
    for item in items:
        work(item)
    return time.perf_counter() - started


def in_turn(ours: Callable[[bytes], Any], other: Callable[[bytes], Any], items: Sequence[bytes]) -> float:
    """How much longer `ours` takes than `other` where they take turns."""
    gc.collect()
    clock = time.perf_counter
    first = second = 0.0
    for item in items:
        begun = clock()
        other(item)
        turned = clock()
        ours(item)
        first += turned - begun
        second += clock() - turned
    return second / first


def end_to_end(reasoner: Reasoner, count: int, rounds: int) -> None:
    data = bundles(count)
    resources = [len(orjson.loads(item)["entry"]) for item in data]
    fired = sum(evaluate(reasoner, item) for item in data)
    ours = partial(evaluate, reasoner)
    ratios = [in_turn(ours, orjson.loads, data) for _ in range(rounds)]
    apart = [seconds(ours, data) / seconds(orjson.loads, data) for _ in range(rounds)]
    print(
        f"{count:,} bundles, {statistics.mean(map(len, data)):,.0f} bytes and {statistics.mean(resources):.0f} resources"
    )
    print(f"each; {fired:,} clauses held, {fired / count:.1f} a bundle")
    for name, found in (("in turn at every bundle", ratios), ("each in a loop of its own", apart)):
        middle = statistics.median(found)
        print(
            f"bytes to findings = {middle:.1f} x orjson.loads, {name} ({min(found):.1f} to {max(found):.1f}, {rounds} rounds)"
        )


def growth_with_results(reasoner: Reasoner) -> None:
    print("\nresults per patient | x orjson.loads | microseconds a result, relative to the first row")
    first = 0.0
    for visits in (10, 50, 200, 1000, 5000):
        data = bundles(3, visits)
        repeat = max(1, 200 // visits)
        ours = partial(evaluate, reasoner)
        ratio = statistics.median(in_turn(ours, orjson.loads, data * repeat) for _ in range(3))
        each = min(seconds(ours, data * repeat) for _ in range(3)) / (repeat * len(data) * visits)
        first = first or each
        print(f"{visits:19,} | {ratio:14.1f} | {each / first:.2f}")


def growth_with_rules(count: int) -> None:
    print("\nrules for markers that the patient lacks | time relative to none")
    data = bundles(count)
    base = 0.0
    for extra in (0, 50, 200, 500):
        with tempfile.TemporaryDirectory() as folder:
            reasoner = Reasoner(load_rulebook(_more_rules(Path(folder), extra)))
            ours = partial(evaluate, reasoner)
            seconds(ours, data)
            took = min(seconds(ours, data) for _ in range(3))
        base = base or took
        print(f"{extra:40} | {took / base:.2f}")


def _more_rules(folder: Path, extra: int) -> Path:
    rules = folder / "rules"
    shutil.copytree(shipped_rules(), rules)
    marker = (rules / "markers" / "tgfb1-ev.yaml").read_text(encoding="utf-8")
    rule = (rules / "resistance" / "hotair-rise-on-neoadjuvant-chemotherapy.yaml").read_text(encoding="utf-8")
    for number in range(extra):
        name = f"extra{number}-ev"
        text = marker.replace("tgfb1-soluble", f"{name}-soluble").replace("tgfb1-ev", name)
        (rules / "markers" / f"{name}.yaml").write_text(text, encoding="utf-8")
        own = rule.replace("hotair-rise-on-neoadjuvant-chemotherapy", f"extra{number}-rise").replace("hotair-ev", name)
        (rules / "resistance" / f"extra{number}-rise.yaml").write_text(own, encoding="utf-8")
    return rules


def memory(reasoner: Reasoner, evaluations: int) -> None:
    data = bundles(200)

    def resident() -> float:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * 4096 / 2**20

    for place in range(evaluations // 10):
        evaluate(reasoner, data[place % len(data)])
    before = resident()
    for place in range(evaluations):
        evaluate(reasoner, data[place % len(data)])
    print(f"\nmemory over {evaluations:,} evaluations: {before:.1f} to {resident():.1f} MiB after warm-up")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundles", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--evaluations", type=int, default=100_000)
    arguments = parser.parse_args()
    reasoner = Reasoner(default_rulebook())
    gc.freeze()  # as the service does: the rule book lives as long as the process
    end_to_end(reasoner, arguments.bundles, arguments.rounds)
    growth_with_results(reasoner)
    growth_with_rules(min(200, arguments.bundles))
    memory(reasoner, arguments.evaluations)


if __name__ == "__main__":
    main()
