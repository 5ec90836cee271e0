"""The answer to a message: its sender finds the message by the number that it gave, to the byte."""

from __future__ import annotations

from datetime import UTC, datetime

import hl7
import pytest

from cds.intake.acknowledgement import Head, accepted, rejected

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)


def head(control: bytes, separator: bytes = b"|") -> bytes:
    return b"MSH|^~\\&|LIS|EEL|EHR|CLINIC|20250408||ORU^R01|%s|P|2.5.1\r".replace(b"|", separator) % control


def told(answer: bytes, number: int = 2) -> bytes:
    """A field of MSA."""
    (segment,) = [one for one in answer.split(b"\r") if one.startswith(b"MSA")]
    return segment.split(b"|")[number]


@pytest.mark.parametrize("control", [b"M1", b"A&1", b"A\\T\\1", b"A^1~2", b"\xc4-1", "Ä-1".encode(), b" M 1"])
def test_the_number_of_a_message_comes_back_as_it_was_sent(control: bytes) -> None:
    for answer in (accepted(Head(head(control)), NOW, "1 of 1"), rejected(Head(head(control)), NOW, "207", "no")):
        assert told(answer) == control


def test_what_would_end_the_field_or_the_segment_does_not_come_back() -> None:
    assert told(accepted(Head(head(b"A|1", b"#")), NOW, "1 of 1")) == b"A\\F\\1"
    assert told(accepted(Head(head(b"A\x001\x1c2\t")), NOW, "1 of 1")) == b"A 1 2 "


def test_texts_of_ours_keep_their_separators_to_themselves() -> None:
    answer = rejected(Head(head(b"M1")), NOW, "204", "a|b^c~d&e\\f\n")
    assert told(answer, 3) == b"a\\F\\b\\S\\c\\R\\d\\T\\e\\E\\f "
    assert str(hl7.parse(answer.decode())["MSA.F2"]) == "M1"
