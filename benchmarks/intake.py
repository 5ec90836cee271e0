"""Laboratory files → FHIR, in results a second, next to the bare parser of each form: `python -m benchmarks.intake`.

The bare parser takes the same bytes apart and does nothing with them: `hl7.parse` for messages, `csv.reader` for tables.
"""

from __future__ import annotations

import argparse
import csv
import io
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import hl7

from cds.intake.files import received
from cds.intake.interfaces import load_interfaces
from cds.reasoning.loading import default_rulebook, shipped_rules
from tests.intake.fuzz import LAB, message, table

_ROUNDS = 5


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copies", type=int, default=300)
    copies = parser.parse_args().copies
    book, now = default_rulebook(), datetime(2025, 6, 1, tzinfo=UTC)
    interfaces = load_interfaces(shipped_rules(), book.catalogue.declarations)
    head, *rows = table().splitlines(keepends=True)
    messages, rows_of_all = message() * copies, head + b"".join(rows) * copies
    singles = [b"MSH" + one for one in messages.split(b"MSH")[1:]]

    def parse_messages() -> None:
        for one in singles:
            hl7.parse(one)

    def parse_table() -> None:
        for _ in csv.reader(io.StringIO(rows_of_all.decode(), newline=""), delimiter=";"):
            pass

    print("form | results | results a second | times the bare parser")
    for name, data, bare in (("HL7 v2", messages, parse_messages), ("table", rows_of_all, parse_table)):
        take = partial(received, data, name, interfaces, book.catalogue, now, LAB)
        found = take()
        ratios, took = [], []
        for _ in range(_ROUNDS):
            plain = seconds(bare)
            took.append(seconds(take))
            ratios.append(took[-1] / plain)
        print(f"{name} | {found.counted:,} | {found.counted / min(took):,.0f} | {statistics.median(ratios):.1f}")


if __name__ == "__main__":
    main()
