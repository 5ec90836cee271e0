"""Damaged messages, tables and Bundles: `python -m tests.intake.fuzz --mutants 50000`. No fault, no result lost in silence.

The results of a mutant are counted here once more, by other means than the reader's: what is counted must be mapped,
refused, or lie in a file that is refused as a whole. Messages go the whole way into a record, and their answers are read.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import re
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import hl7

from cds import terminal
from cds.errors import InputError
from cds.intake.files import received
from cds.intake.interfaces import load_interfaces
from cds.intake.resources import taken
from cds.reasoning.loading import default_rulebook, shipped_rules
from cds.record.database import Database
from cds.record.recorder import Recorder
from cds.service.reception import Reception

LAB = "example-lab"
_BOOK = default_rulebook()
_INTERFACES = load_interfaces(shipped_rules(), _BOOK.catalogue.declarations)
_NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
_ODD = (
    b"", b"|", b"||||", b"^^^", b"~", b"~~~", b"\\", b"\\E\\", b"\\X4\\", b"\\XFF\\", b"&", b"\r", b"\n", b"\r\n", b"\x0b", b"\x1c\r",
    b"\x00", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3", b"x", b"5", b"0.5", b"F", b"P", b"^", b"MSH", b"OBX", b"OBX|", b"PID|", b"OBR|1", b"SPM|2|", b'"', b'""', b";", b",",
    b"9" * 400, b"1e999", b"-0", b"NaN", b"<", b">=", b"<>^5", b"99999999999999", b"20251345", b"0000", b"+9999", b"D", b"W", b"C",
    b"Patient;Probe", "Ω".encode() * 50, b" " * 100,
)  # fmt: skip
_LINES = re.compile(rb"\r\n|\r|\n|\x1c")


def message() -> bytes:
    """Two messages of two orders each, with markers, parts and a stranger."""
    head = b"MSH|^~\\&|LIS|EEL|EHR|CLINIC|20250408120000||ORU^R01|M1|P|2.5.1|||||DE|UNICODE UTF-8"
    patient = b"PID|1||4711^^^CLINIC^MR||Muster^Erika||19700514|F"
    orders = [
        (
            b"OBR|1||F%d|EV^^99EEL|||20250%d07083000|||||||||||||||20250%d07160000" % (month, month, month),
            b"OBX|1|NM|EV-TRPC5^^99EEL||5.%d|10*6{particles}/mL|||||F" % month,
            b"OBX|2|SN|EV-TOTAL^^99EEL||^11|10*9{particles}/mL|||||F",
            b"OBX|3|CWE|EV-HAEM^^99EEL||clear|||||||F", b"OBX|4|ST|LOT^^99EEL||L-%d||||||F" % month,
            b"OBX|5|NM|718-7^Hemoglobin^LN||13|g/dL|||||F", b"SPM|1|^EV-%d||PLASMA|||||||||||||20250%d07083000" % (month, month),
        )
        for month in (2, 3)
    ]  # fmt: skip
    one = b"\r".join((head, patient, *(segment for order in orders for segment in order), b""))
    return one + one.replace(b"M1", b"M2").replace(b"4711", b"4712")


def table() -> bytes:
    """A table of twelve samples."""
    rows = [
        f"47{number % 3};14.05.1970;w;EV-{number};PLASMA;0{1 + number % 9}.04.2025 08:30;09.04.2025;gültig;{number},5;11;7,{number}"
        for number in range(12)
    ]
    header = "Patient;Geburtsdatum;Geschlecht;Probe;Material;Entnahme;Befund;Status;TRPC5-EV;EV gesamt;EV-PD-L1"
    return "\r\n".join((header, *rows, "")).encode()


def bundle() -> dict[str, Any]:
    """Three marker results with their specimens, a count, a stranger, and whose they are."""
    found = received(message(), "sample", _INTERFACES, _BOOK.catalogue, _NOW, LAB)
    stranger = {
        "resourceType": "Observation", "id": "hb", "status": "final", "subject": {"identifier": {"system": "urn:x", "value": "9"}},
        "code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}]}, "valueQuantity": {"value": 13, "unit": "g/dL"},
    }  # fmt: skip
    kept = [one for one in found.resources if one["resourceType"] != "Provenance"]
    plain = json.loads(json.dumps([*kept, stranger], default=float))
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in plain]}


_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1e308, 10**400, "", " ", "x", "x" * 5000, [], {}, [[]], [None], {"": None}, "Patient/x", "#x", "urn:uuid:x",
    "Observation", "Patient", "Bundle", "final", "entered-in-error", "2025-13-45", "0001-01-01", "9999-12-31T23:59:59+14:00", "\ud800",
    "\u0000", "10*6{particles}/mL", {"reference": "Observation/x"}, {"coding": [{}]}, {"coding": {"code": 1}},
)  # fmt: skip


def bent(rng: random.Random, plain: dict[str, Any]) -> bytes:
    """A Bundle with one to five changes: of its bytes, or of what it says at places that were drawn by lot."""
    if rng.random() < 0.3:
        return mutant(rng, json.dumps(plain).encode())
    whole: Any = [copy.deepcopy(plain)]
    for _ in range(rng.randint(1, 5)):
        inner, key = whole, 0
        while isinstance(inner[key], (dict, list)) and inner[key] and rng.random() < 0.96:
            inner = inner[key]
            key = rng.choice(list(inner)) if isinstance(inner, dict) else rng.randrange(len(inner))
        kind = rng.randrange(4)
        if kind == 0 and inner is not whole:
            del inner[key]
        elif kind == 1:
            inner[key] = copy.deepcopy(rng.choice(_VALUES))
        elif kind == 2 and isinstance(inner, list) and inner is not whole:
            inner.insert(rng.randrange(len(inner) + 1), inner[key])
        elif kind == 3:
            for _ in range(rng.choice((1, 3, 150))):
                inner[key] = {"extension": [inner[key]]} if rng.random() < 0.5 else [inner[key]]
    return json.dumps(whole[0]).encode()


def observations(data: bytes) -> int:
    """How many Observations a Bundle, a list or a single resource holds at the least."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return 0
    entries = said.get("entry") if isinstance(said, dict) and said.get("resourceType") == "Bundle" else said
    listed = entries if isinstance(entries, list) else [entries]
    inside = [one.get("resource", one) for one in listed if isinstance(one, dict)]
    return sum(isinstance(one, dict) and one.get("resourceType") == "Observation" for one in inside)


def mapped() -> list[dict[str, Any]]:
    """The resources that both become, unharmed."""
    found: list[dict[str, Any]] = []
    for data in (message(), table()):
        found += received(data, "sample", _INTERFACES, _BOOK.catalogue, _NOW, LAB).resources
    return found


def mutant(rng: random.Random, plain: bytes) -> bytes:
    """The text with one to five changes: cut, doubled, moved, overwritten, or with something odd in it."""
    data = bytearray(plain)
    for _ in range(rng.randint(1, 5)):
        at, long = rng.randrange(len(data) + 1), rng.randint(1, 60)
        kind = rng.randrange(6)
        if kind == 0:
            data[at : at + rng.randint(0, 12)] = rng.choice(_ODD)
        elif kind == 1:
            del data[at : at + long]
        elif kind == 2:
            data[at:at] = data[at : at + long]
        elif kind == 3:
            first, *lines = data.splitlines(keepends=True) or [bytearray()]
            rng.shuffle(lines)
            data = bytearray(b"".join((first, *lines)))
        elif kind == 4 and rng.random() < 0.2:
            del data[at:]
        else:
            data[at : at + 1] = bytes([rng.randrange(256) if rng.random() < 0.1 else rng.randrange(32, 127)])
    return bytes(data)


def least(data: bytes, kind: str) -> int:
    """How many results a mutant holds at the least."""
    if kind == "message":
        lines = (line.strip(b" \t\0\x0b").removeprefix(b"\xef\xbb\xbf").lstrip(b"\x0b") for line in _LINES.split(data))
        return sum(line.startswith(b"OBX") for line in lines)
    if b'"' in data:  # a quote may rightly join lines
        return 0
    lines = (line for line in re.split(rb"\r\n|\r|\n", data) if line.strip(b" ;\t\x0b\x0c"))
    return max(0, sum(1 for _ in lines) - 1)


def by_file(data: bytes, _reception: Reception) -> tuple[int, int, int, bool]:
    """Counted, accounted for, held at the least, and whether any was refused."""
    found = received(data, "mutant", _INTERFACES, _BOOK.catalogue, _NOW, LAB)
    is_message = data.lstrip(b"\xef\xbb\xbf\x0b\r\n ").startswith((b"MSH", b"FHS", b"BHS"))
    accounted = found.mapped + sum(one.results for one in found.refused)
    return found.counted, accounted, least(data, "message" if is_message else "table"), bool(found.refused)


def by_bundle(data: bytes, _reception: Reception) -> tuple[int, int, int, bool]:
    found, counted = taken(data, "sender", "mutant", _BOOK.catalogue, _NOW)
    accounted = found.mapped + sum(one.results for one in found.refused)
    return counted, accounted, observations(data), bool(found.refused)


def by_answer(data: bytes, reception: Reception) -> tuple[int, int, int, bool]:
    """Like `by_file`, by way of the record. Raises `AssertionError` if the answer is not what was done."""
    answer = reception.message(data, "mutant")
    head, said = (hl7.parse(answer.decode("utf-8", "replace")).segments(name)[0] for name in ("MSH", "MSA"))
    code = str(said[1])
    assert str(head[9]).startswith("ACK")
    assert code in ("AA", "AE", "AR"), code
    stated = data[:4000].split(b"\r")[0].split(b"\n")[0].split(b"|")
    if code != "AR" and len(stated) > 9 and re.fullmatch(rb"\w{1,20}", stated[9]):
        assert str(said[2]) == stated[9].decode(), (str(said[2]), stated[9])
    if code == "AR":
        raise InputError(code)
    found = received(data, "mutant", _INTERFACES, _BOOK.catalogue, _NOW)
    assert (code == "AE") == any(not one.foreign for one in found.refused), code
    return found.counted, found.mapped + sum(one.results for one in found.refused), least(data, "message"), code == "AE"


@contextmanager
def receiving() -> Iterator[Reception]:
    """Where messages arrive: with a record of its own."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/record.sqlite", deadline=10)
        database.upgrade()
        yield Reception(Recorder(database, _BOOK).arrivals, _INTERFACES, _BOOK.catalogue, "default", lambda: _NOW)
        database.close()


KINDS = {"message": by_file, "table": by_file, "bundle": by_bundle, "answer": by_answer}


def run(count: int, seed: int, progress: terminal.Step | None = None) -> tuple[Counter[str], list[str]]:
    """What became of the mutants, and the faults."""
    seen: Counter[str] = Counter()
    faults: list[str] = []
    plain, fhir = {"message": message(), "table": table(), "answer": message()}, bundle()
    with receiving() as reception:
        for number in range(count):
            kind = list(KINDS)[number % len(KINDS)]
            rng = random.Random(seed * 1_000_003 + number)
            data = bent(rng, fhir) if kind == "bundle" else mutant(rng, plain[kind])
            try:
                counted, accounted, held, refused = KINDS[kind](data, reception)
            except InputError:
                seen[f"{kind}: refused as a whole"] += 1
            except Exception as error:
                faults.append(f"mutant {number}: {kind}: {type(error).__name__}: {error}")
            else:
                if counted != accounted or counted < held:
                    faults.append(f"mutant {number}: {kind}: {held} held, {counted} counted, {accounted} accounted for")
                seen[f"{kind}: {'all mapped or refused' if refused else 'all mapped'}"] += 1
            if progress is not None:
                progress()
    return seen, faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    run(1000, arguments.seed + 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with terminal.progress("mutants", arguments.mutants) as step:
        seen, faults = run(arguments.mutants, arguments.seed, step)
    for name, number in sorted(seen.items()):
        sys.stdout.write(f"  {number:8,} {name}\n")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    sys.stdout.write("".join(f"  {fault}\n" for fault in faults[:20]))
    sys.stdout.write(f"{arguments.mutants:,} mutants, {len(faults)} faults; memory grew by {grown:.1f} MiB\n")
    raise SystemExit(1 if faults or grown > 50 else 0)


if __name__ == "__main__":
    main()
