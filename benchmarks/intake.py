"""Laboratory files → FHIR, in results a second, next to the bare parser of each form: `python -m benchmarks.intake`.

The bare parser takes the same bytes apart and does nothing with them: `hl7.parse` for messages, `csv.reader` for tables,
`orjson.loads` for Bundles.
"""

from __future__ import annotations

import argparse
import csv
import io
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

import hl7
import orjson

from cds.intake.files import received
from cds.intake.interfaces import load_interfaces
from cds.intake.resources import taken
from cds.reasoning.loading import default_rulebook, shipped_rules
from tests.intake.fuzz import LAB, bundle, message, table

_ROUNDS = 5


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def bundles(count: int) -> list[bytes]:
    """Bundles of different patients."""
    plain = orjson.dumps(bundle())
    return [plain.replace(b"4711", b"%05d" % number) for number in range(count)]


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

    fhir = bundles(copies)

    def take_messages() -> int:
        return received(messages, "file", interfaces, book.catalogue, now, LAB).counted

    def take_table() -> int:
        return received(rows_of_all, "file", interfaces, book.catalogue, now, LAB).counted

    def take_bundles() -> int:
        return sum(taken(one, "sender", "post", book.catalogue, now)[1] for one in fhir)

    def parse_bundles() -> None:
        for one in fhir:
            orjson.loads(one)

    print("form | results | results a second | times the bare parser")
    forms: tuple[tuple[str, Callable[[], int], Callable[[], None]], ...] = (
        ("HL7 v2", take_messages, parse_messages), ("table", take_table, parse_table), ("FHIR", take_bundles, parse_bundles),
    )  # fmt: skip
    for name, take, bare in forms:
        counted = take()
        ratios, took = [], []
        for _ in range(_ROUNDS):
            plain = seconds(bare)
            took.append(seconds(take))
            ratios.append(took[-1] / plain)
        print(f"{name} | {counted:,} | {counted / min(took):,.0f} | {statistics.median(ratios):.1f}")


if __name__ == "__main__":
    main()
