"""HL7 v2 as laboratories send it: whatever its separators and frames, no result is lost without a word."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from cds.errors import InputError
from cds.intake.delivery import Code, Delivery, Name, Sent
from cds.intake.hl7v2 import messages, read_message
from cds.intake.times import from_hl7

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "samples" / "hl7v2"
BERLIN = ZoneInfo("Europe/Berlin")
HEAD = "MSH|^~\\&|LIS|EEL|EHR|CLINIC|20250408120000||ORU^R01^ORU_R01|M1|P|2.5.1|||||DE|UNICODE UTF-8"
PID = "PID|1||4711^^^CLINIC&1.2.3.4&ISO^MR~9^^^KV^SS||Muster^Erika||19700514|F"
OBR = "OBR|1|P77|F88^EEL|EV^Vesicle markers^99EEL|||20250408081500|||||||||||||||20250409100000"
SPM = "SPM|1|^EV-0408||PLAS^Plasma^HL70487|||||||||||||20250408081500|20250408093000"


def obx(**fields: str) -> str:
    """A result; `f5` is its OBX-5."""
    stated = {"f1": "1", "f2": "NM", "f3": "EV-TRPC5^TRPC5 on vesicles^99EEL", "f5": "5.6", "f6": "10*6/mL", "f11": "F"}
    stated |= fields
    return "OBX|" + "|".join(stated.get(f"f{number}", "") for number in range(1, 22)).rstrip("|")


def message(*segments: str) -> bytes:
    return "\r".join((HEAD, PID, OBR, *segments, "")).encode()


def read(data: bytes) -> Delivery:
    """Everything in it, as one delivery."""
    whole = Delivery()
    for one in messages(data):
        part = read_message(one, BERLIN)
        assert part.whole
        whole.sent += part.sent
        whole.refused += part.refused
        whole.counted += part.counted
    return whole


def sole(data: bytes) -> Sent:
    (found,) = read(data).sent
    return found


def test_a_result_with_all_that_a_message_says_of_it() -> None:
    found = sole(message(obx(f17="FCM^Flow cytometry^99EEL", f18="Cytometer 3", f21="R-1"), SPM))
    assert found.where == "message 1, OBX 1, line 4"
    assert found.person.names == (Name("4711", "1.2.3.4"),)
    assert (found.person.birth_date, found.person.gender) == ("1970-05-14", "female")
    assert (found.order, found.key, found.codes) == ("F88", "R-1", (Code("EV-TRPC5", "99EEL", "TRPC5 on vesicles"),))
    assert (found.value, found.unit, found.status, found.comparator) == (Decimal("5.6"), "10*6/mL", "final", "")
    assert (found.measured_at, found.reported) == ("2025-04-08T08:15:00+02:00", "2025-04-09T10:00:00+02:00")
    assert (found.method, found.device) == (Code("FCM", "99EEL", "Flow cytometry"), "Cytometer 3")
    assert found.specimen is not None
    assert (found.specimen.id, found.specimen.type) == ("EV-0408", Code("PLAS", "HL70487", "Plasma"))
    assert found.specimen.collected == "2025-04-08T08:15:00+02:00"


FRAMES: dict[str, Callable[[bytes], bytes]] = {
    "carriage returns": lambda data: data,
    "line feeds": lambda data: data.replace(b"\r", b"\n"),
    "both": lambda data: data.replace(b"\r", b"\r\n"),
    "a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "a frame": lambda data: b"\x0b" + data + b"\x1c\r",
    "a frame, a mark and line feeds": lambda data: b"\x0b\xef\xbb\xbf" + data.replace(b"\r", b"\n") + b"\x1c\r",
    "blank lines": lambda data: b"\n\n" + data.replace(b"\r", b"\r\r\n") + b"\n",
    "a batch": lambda data: b"FHS|^~\\&\rBHS|^~\\&\r" + data + b"\rBTS|1\rFTS|1\r",
}


@pytest.mark.parametrize("frame", FRAMES)
def test_the_same_message_in_every_frame(frame: str) -> None:
    plain = message(obx(), obx(f1="2", f3="EV-TOTAL^^99EEL", f5="11", f6="10*9/mL"), SPM)
    once, twice = read(FRAMES[frame](plain)), read(FRAMES[frame](plain) + FRAMES[frame](plain))
    assert [one.value for one in once.sent] == [Decimal("5.6"), Decimal(11)]
    assert [one.value for one in twice.sent] == [Decimal("5.6"), Decimal(11)] * 2
    assert twice.sent[-1].where.startswith("message 2, OBX 2, line ")


@pytest.mark.parametrize(
    ("fields", "comparator", "value"),
    [
        ({"f5": "<0.5"}, "<", Decimal("0.5")),
        ({"f5": ">= 12"}, ">=", Decimal(12)),
        ({"f2": "SN", "f5": "^182"}, "", Decimal(182)),
        ({"f2": "SN", "f5": "<^0.5"}, "<", Decimal("0.5")),
        ({"f2": "SN", "f5": "^1^-^2"}, "", "^1^-^2"),
        ({"f2": "SN", "f5": "<>^5"}, "", "<>^5"),
        ({"f2": "ST", "f5": "1.8E0"}, "", Decimal("1.8")),
        ({"f5": "0,5"}, "", "0,5"),
        ({"f5": "see note"}, "", "see note"),
        ({"f5": "9" * 60}, "", "9" * 60),
        ({"f5": ""}, "", None),
        ({"f5": '""'}, "", None),
        ({"f2": "CWE", "f5": "clear^no haemolysis^99EEL"}, "", Code("clear", "99EEL", "no haemolysis")),
        ({"f2": "TX", "f5": "a \\T\\ b \\S\\ c"}, "", "a & b ^ c"),
        ({"f2": "TX", "f5": "1\\.br\\2 \\X41\\ \\H\\bold\\N\\ 5\\6"}, "", "1 2 A bold 5\\6"),
        ({"f2": "TX", "f5": "MSH and OBX"}, "", "MSH and OBX"),
    ],
)
def test_values(fields: dict[str, str], comparator: str, value: object) -> None:
    found = sole(message(obx(**fields)))
    assert (found.comparator, found.value) == (comparator, value)


@pytest.mark.parametrize(
    ("stated", "status"),
    [
        ("F", "final"), ("U", "final"), ("V", "final"), ("P", "preliminary"), ("R", "preliminary"), ("S", "preliminary"),
        ("I", "registered"), ("C", "corrected"), ("A", "amended"), ("B", "amended"), ("D", "entered-in-error"),
        ("W", "entered-in-error"), ("X", "cancelled"), ("f", "final"),
    ],
)  # fmt: skip
def test_statuses(stated: str, status: str) -> None:
    assert sole(message(obx(f11=stated))).status == status


@pytest.mark.parametrize(
    ("segments", "words"),
    [
        ((obx(f11=""),), "OBX-11 is ''"),
        ((obx(f11="Z"),), "OBX-11 is 'Z'"),
        ((obx(f11="N"),), "not asked for"),
        ((obx(f3=""),), "no code"),
        ((obx(f5="1~2"),), "several values"),
        ((obx(), SPM, SPM.replace("|1|", "|2|", 1)), "several specimens"),
    ],
)
def test_what_is_refused_is_named(segments: tuple[str, ...], words: str) -> None:
    found = read(message(*segments))
    assert found.sent == []
    (refused,) = found.refused
    assert words in refused.reason
    assert refused.where == "message 1, OBX 1, line 4"
    assert refused.hint


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no HL7 v2 message"),
        (b"\r\n \n", "no HL7 v2 message"),
        (b"OBX|1|NM|a||1", "its beginning was cut off"),
        (b'{"resourceType": "Bundle"}', "it is no HL7 v2"),
        (message(obx()).decode().encode("utf-16"), "UTF-16"),
        (message(obx(f2="TX", f5="Müller")).decode().encode("latin-1"), "line 4: byte 0xfc"),
        (message(obx()).replace(b"UNICODE UTF-8", b"ISO IR87"), "'ISO IR87'"),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(data)


def test_latin_1_is_read_where_it_is_stated() -> None:
    data = message(obx(f2="TX", f5="Müller")).decode().replace("UNICODE UTF-8", "8859/1").encode("latin-1")
    assert sole(data).value == "Müller"


def in_latin_1(text: bytes) -> bytes:
    return text.decode().replace("UNICODE UTF-8", "8859/1").encode("latin-1")


@pytest.mark.parametrize("before", [b"", b"BHS|^~\\&|X\r", b"FHS|^~\\&|X\rBHS|^~\\&|X\r"])
def test_each_message_is_read_in_its_own_character_set(before: bytes) -> None:
    plain = message(obx(f2="TX", f5="Müller"))
    found = read(before + in_latin_1(plain) + plain + in_latin_1(plain))
    assert [one.value for one in found.sent] == ["Müller"] * 3
    with pytest.raises(InputError, match="line 8: byte 0xfc is no UTF-8"):
        read(in_latin_1(plain) + plain.decode().encode("latin-1"))


def test_an_escaped_byte_is_one_of_the_messages_character_set() -> None:
    assert sole(in_latin_1(message(obx(f6="\\XB5\\g/L")))).unit == "µg/L"
    assert sole(message(obx(f6="\\XC2B5\\g/L"))).unit == "µg/L"
    assert sole(message(obx(f6="\\XB5\\g/L"))).unit == "\\XB5\\g/L"  # no text: it stays as it was sent


@pytest.mark.parametrize("line", ["MSH2 intact", "MSH-2: intact", "MSH 2 intact", "MSH6"])
def test_a_line_of_text_that_begins_like_a_message_is_none(line: str) -> None:
    text = f"MLH1 intact\n{line}\nPMS2 intact"
    found = read(message(obx(f2="TX", f3="IHC^^L", f5=text), obx(f1="2"), f"NTE|1||{text}"))
    assert [one.value for one in found.sent] == [text.replace("\n", " "), Decimal("5.6")]


def test_a_damaged_beginning_is_still_one() -> None:
    """Its results would count among those of the message before it."""
    found = messages(message(obx()) + message(obx()).replace(b"MSH|", b"MSHX|"))
    assert [(one.results, one.facility) for one in found] == [(1, "EEL"), (1, "")]


def test_a_text_over_several_lines_is_one_result() -> None:
    assert sole(message(obx(f2="TX", f5="first\nMüller said so"))).value == "first Müller said so"


@pytest.mark.parametrize(
    ("stated", "known", "unknown"),
    [
        ("202504081015", "2025-04-08T10:15:00+02:00", "2025-04-08"),
        ("20250408101500.1234-0500", "2025-04-08T10:15:00-05:00", "2025-04-08T10:15:00-05:00"),
        ("20250408101500.123456", "2025-04-08T10:15:00+02:00", "2025-04-08"),
        ("2025040810", "2025-04-08", "2025-04-08"),
        ("2025040810+0200", "2025-04-08", "2025-04-08"),
        ("20250408+0200", "2025-04-08", "2025-04-08"),
        ("20250408240000", "2025-04-08", "2025-04-08"),
        ("20250408235960", "2025-04-08", "2025-04-08"),
        ("202504", "2025-04", "2025-04"),
        ("2025", "2025", "2025"),
        *((odd, "", "") for odd in ("20251308", "20250230", "yesterday", "2025040825", "20250408241500", "202504081075", "20250408101500-9900", "20250408.5")),
    ],
)  # fmt: skip
def test_a_time_is_what_it_says_and_no_more(stated: str, known: str, unknown: str) -> None:
    assert (from_hl7(stated, BERLIN), from_hl7(stated, None)) == (known, unknown)


def test_an_unreadable_time_of_a_result_is_not_that_of_its_order() -> None:
    assert sole(message(obx(f14="2025042108"))).measured_at == "2025-04-21"
    assert sole(message(obx(f14="21.04.2025"))).measured_at == ""
    assert sole(message(obx())).measured_at == "2025-04-08T08:15:00+02:00"


def test_times_without_a_zone_are_days_where_the_laboratorys_zone_is_not_known() -> None:
    (one,) = [read_message(each) for each in messages(message(obx(f14="20250408081500")))]
    assert one.sent[0].measured_at == "2025-04-08"
    (one,) = [read_message(each) for each in messages(message(obx(f14="20250408081500-0500")))]
    assert one.sent[0].measured_at == "2025-04-08T08:15:00-05:00"
    for odd in ("20251308", "yesterday", "2025040825"):
        (one,) = [read_message(each) for each in messages(message(obx(f14=odd)).replace(b"20250408081500", b""))]
        assert one.sent[0].measured_at == ""


# what others have published ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the published messages are not here")
@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize(("name", "results"), [("LAB-ORU-1.hl7", 10), ("ORU-R01-RMGEAD.hl7", 1)])
def test_published_messages_lose_nothing(name: str, results: int, frame: str) -> None:
    data = (SAMPLES / name).read_bytes()
    found = read(FRAMES[frame](data.removeprefix(b"\xef\xbb\xbf")))
    assert found.counted == results == len(found.sent)
    assert found.refused == []
