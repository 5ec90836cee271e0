"""Eight threads on one reasoner, and memory over many evaluations: `python -m tests.faults.soak`.

Prints how many evaluations ran, how many flags were lost, and resident memory before and after.
"""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path

from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from tests.reasoning.charts import chart


def resident_mib() -> float:
    """Resident memory of this process in MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 2**20


def threads(reasoner: Reasoner, count: int, each: int) -> int:
    """How many of `count * each` evaluations gave another answer than they should."""
    wanted = {"2025-02-17": "no-flag", "2025-03-24": "watch", "2025-04-21": "suspected"}
    cases = [(chart(as_of=day), state) for day, state in wanted.items()]
    lost: list[str] = []

    def work(number: int) -> None:
        for place in range(each):
            patient, state = cases[(place + number) % len(cases)]
            got = reasoner.evaluate(patient).findings[0].state
            if got != state:
                lost.append(f"{state} became {got}")

    running = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return len(lost)


def memory(reasoner: Reasoner, evaluations: int) -> tuple[float, float]:
    """Resident MiB after a warm-up of a tenth, and after all."""
    cases = [chart(as_of=day) for day in ("2025-02-17", "2025-03-24", "2025-04-21")]
    for place in range(evaluations // 10):
        reasoner.evaluate(cases[place % len(cases)])
    before = resident_mib()
    for place in range(evaluations):
        reasoner.evaluate(cases[place % len(cases)])
    return before, resident_mib()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--evaluations", type=int, default=200_000, help="over all threads")
    parser.add_argument("--memory", type=int, default=100_000, help="evaluations for the memory check")
    arguments = parser.parse_args()
    reasoner = Reasoner(default_rulebook())
    before, after = memory(reasoner, arguments.memory)
    sys.stdout.write(f"{arguments.memory:,} evaluations: {before:.1f} to {after:.1f} MiB resident after warm-up\n")
    each = arguments.evaluations // arguments.threads
    lost = threads(reasoner, arguments.threads, each)
    sys.stdout.write(f"{each * arguments.threads:,} evaluations in {arguments.threads} threads: {lost} lost flags\n")
    return 1 if lost or after - before > 5 else 0


if __name__ == "__main__":
    raise SystemExit(main())
