"""A result that is taken but of no use as it was sent is named to whoever sends it; one that is sound never is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cds.intake.unreadable import REASONS
from cds.reasoning.kinds.sample import FAULTS
from tests.intake.test_hl7v2 import obx
from tests.intake.test_labs import LAB, SERIES, chart, messages_of, order, row, table, take
from tests.test_cli import exowatch

UNIT = "10*6{particles}/mL"
UNDATED = order("2025-04-21", obx(f6=UNIT)).replace(b"|||20250421083000|||||||||||||||", b"||||||||||||||||||")
FAULTY = {
    "no-collection-date": (UNDATED.replace(b"|||||||||||||20250421083000", b""), "when the specimen was collected"),
    "no-collection-date, though the order has one": (
        order("2025-04-21", obx(f6=UNIT, f14="21.04.25")).replace(b"|||||||||||||20250421083000", b""),
        "when the specimen was collected",
    ),
    "no-value": (order("2025-04-21", obx(f5="", f6=UNIT)), "it has no value"),
    "unreadable-value": (order("2025-04-21", obx(f2="ST", f5="see report", f6=UNIT)), "its value is no figure"),
    "negative": (order("2025-04-21", obx(f5="-5.6", f6=UNIT)), "its value is negative"),
}
WITH_THE_SENDER = {
    "no-collection-date", "no-value", "unreadable-value", "no-unit", "unit-not-convertible", "negative", "zero-without-lod",
    "efficiency-not-stated", "above-total-ev", "no-reference-gene",
}  # fmt: skip
"""Of all faults of the chart; the others only several results together can have, or are another analyte's."""


@pytest.mark.parametrize("fault", FAULTY)
def test_what_is_of_no_use_is_named_as_the_chart_will_call_it(fault: str) -> None:
    message, words = FAULTY[fault]
    found = take(message)
    assert (found.mapped, found.refused) == (1, [])
    (named,) = found.unreadable
    assert (named.where, named.what) == ("message 1, OBX 1, line 4", "EV-TRPC5")
    assert words in named.reason
    assert named.hint
    (result,) = chart(found).results["trpc5-ev"]
    assert result.faults == {fault.partition(",")[0]}


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (FAULTY["no-collection-date, though the order has one"][0], "OBX-14 is '21.04.25', which is no time"),
        (UNDATED.replace(b"|||||||||||||20250421083000", b"").replace(b"EV^^99EEL|||", b"EV^^99EEL|||soon"), "OBR-7 is 'soon', which is no time"),
        (order("2025-04-21", obx(f6=UNIT, f14="20250401")), "its Observation says 2025-04-01 and its Specimen 2025-04-21"),
    ],
)  # fmt: skip
def test_a_time_of_collection_that_was_sent_and_is_of_no_use_is_named(message: bytes, words: str) -> None:
    (named,) = take(message).unreadable
    assert words in named.reason
    assert named.hint == "correct it at the laboratory, and send the result again"


def test_what_is_sound_or_was_taken_back_is_not_named() -> None:
    assert take(messages_of(SERIES)).unreadable == []
    assert take(table(*(row(day, *values) for day, values in SERIES.items())), LAB).unreadable == []
    for status in ("D", "W", "X", "P", "I"):
        assert take(order("2025-04-21", obx(f5="", f6=UNIT, f11=status))).unreadable == [], status


def test_every_fault_of_a_single_result_is_known_here() -> None:
    assert REASONS.keys() == WITH_THE_SENDER
    assert set(FAULTS) - WITH_THE_SENDER == {"conflict", "after-as-of", "different-analyte"}


def test_the_command_counts_them_and_says_where(tmp_path: Path) -> None:
    file = tmp_path / "some.hl7"
    file.write_bytes(FAULTY["unreadable-value"][0] + messages_of(SERIES))
    done = exowatch("labs", "map", str(file))
    assert done.returncode == 1
    assert "mapped, but of no use: its value is no figure" in done.stdout
    assert "11 results: 11 mapped, 0 refused; 1 of the mapped are of no use as they were sent" in done.stdout
    (named,) = json.loads(exowatch("labs", "map", str(file), "--json").stdout)["unreadable"]
    assert (named["where"], named["reason"]) == ("message 1, OBX 1, line 4", "its value is no figure")
