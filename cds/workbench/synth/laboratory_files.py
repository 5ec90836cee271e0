"""Results as the shipped example laboratories deliver them (rules/labs/): HL7 v2 messages and tables.

The example laboratory's table has no column for HOTAIR and TGF-β1, none for units, lots and methods; the research laboratory
knows TRPC5 only. What neither can say is named as unsaid in the truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from cds.workbench.synth.codes import MARKER_SYSTEM
from cds.workbench.synth.person import Measurement, Person, Version
from cds.workbench.synth.scenarios import EXAMPLE_LAB

Row = tuple[str, bytes, int]
"""File, what is added to it, how many results."""

_TABLE, _OTHER_TABLE, _MESSAGES = "example-lab.csv", "example-research-lab.csv", "example-lab.hl7"
HEADS = {
    _TABLE: b"Patient;Geburtsdatum;Geschlecht;Probe;Material;Entnahme;Befund;Status;TRPC5-EV;EV gesamt;EV-PD-L1\n",
    _OTHER_TABLE: b"mrn,dob,sex,sample_id,material,drawn,reported,state,assay,result,unit\n",
}
_ZONE = ZoneInfo("Europe/Berlin")
_CODES = {"trpc5-ev": "EV-TRPC5", "hotair-ev": "EV-HOTAIR", "pdl1-ev": "EV-PDL1", "tgfb1-ev": "EV-TGFB1"}
_OWN_PARTS = {"haemolysis": "EV-HAEM^^99EEL", "reagent-lot": "LOT^^99EEL"}
_CODED_PARTS = ("haemolysis", "bridging")
_OBX_11 = {"final": "F", "corrected": "C", "amended": "A", "entered-in-error": "W"}
_STATUS = {"final": "gültig", "corrected": "korrigiert", "amended": "korrigiert", "entered-in-error": "zurückgezogen"}
_STATE = {"final": "released", "corrected": "revised", "amended": "revised", "entered-in-error": "retracted"}
_POWERS = {"{particles}/mL": -6, "ng/mL": 3}
"""From a second unit back to that of the column."""
_NO_WORDS_IN_TABLE = ("missing-unit", "wrong-unit", "second-unit")
_TOTAL_UNIT = "10*9{particles}/mL"


def messages(person: Person, truth: dict[str, Any]) -> list[Row]:
    """A message for each version of each result, as they were issued; the second laboratory's as its table."""
    found: list[Row] = []
    unsaid = set()
    for number, (measurement, version) in enumerate(_sent(person, truth), 1):
        if measurement.assay.laboratory is EXAMPLE_LAB:
            found.append((_MESSAGES, _message(person, measurement, version, number), 1))
        elif measurement.assay.code == "trpc5-ev":
            found += _of_research_laboratory(person, measurement, version)
        else:
            unsaid.add(measurement.id)
    _say(truth, found, unsaid, ())
    return found


def rows(person: Person, truth: dict[str, Any]) -> list[Row]:
    """A row for each version of each result that has a column."""
    found: list[Row] = []
    unsaid = set()
    for measurement, version in _sent(person, truth):
        if measurement.assay.laboratory is not EXAMPLE_LAB and measurement.assay.code == "trpc5-ev":
            found += _of_research_laboratory(person, measurement, version)
        elif measurement.assay.laboratory is EXAMPLE_LAB and measurement.assay.code in ("trpc5-ev", "pdl1-ev"):
            found.append((_TABLE, _row(person, measurement, version), 1))
        else:
            unsaid.add(measurement.id)
    _say(truth, found, unsaid, _NO_WORDS_IN_TABLE)
    return found


def _sent(person: Person, truth: dict[str, Any]) -> list[tuple[Measurement, Version]]:
    """Every version of every result in the order of issue, or in the order in which they went astray."""
    sent = [(measurement, version) for measurement in person.measurements for version in measurement.versions]
    if any(fault["kind"] == "out-of-order" for fault in truth["faults"]):
        return sent
    return sorted(sent, key=lambda one: one[1].issued)


def _say(truth: dict[str, Any], found: list[Row], unsaid: set[str], not_in_this_form: tuple[str, ...]) -> None:
    """Faults that the form does not carry are taken out of the truth about it; of whom it says nothing it carries none."""
    carried = [
        fault
        for fault in truth["faults"]
        if found and fault["result"] not in unsaid and fault["kind"] not in not_in_this_form
    ]
    truth["unsaid"] = [fault for fault in truth["faults"] if fault not in carried]
    truth["unsent_results"] = len(unsaid)
    truth["faults"] = carried


def _message(person: Person, measurement: Measurement, version: Version, number: int) -> bytes:
    issued, drawn = _v2(version.issued), _v2(measurement.collected or "")
    died = f"{'|' * 21}{person.died:%Y%m%d}|Y" if person.died else ""
    segments = [
        f"MSH|^~\\&|LIS|EEL|EHR|CLINIC|{issued}||ORU^R01^ORU_R01|{measurement.id}.{number}|P|2.5.1||||||UNICODE UTF-8",
        f"PID|1||{person.known_as(measurement)[1]}^^^CLINIC^MR||{person.family}^{person.given}||{person.born:%Y%m%d}|F{died}",
        f"OBR|1||{measurement.id}^EEL|EV^^99EEL|||{drawn}{'|' * 15}{issued}",
        *(f"OBX|{place}|{text}|||||{_OBX_11[version.status]}" for place, text in enumerate(_values(measurement, version), 1)),
        f"SPM|1|^{measurement.specimen_id}||{measurement.assay.specimen.upper()}{'|' * 13}{drawn}",
    ]  # fmt: skip
    return "".join(f"{segment}\r" for segment in segments).encode()


def _values(measurement: Measurement, version: Version) -> Iterator[str]:
    """OBX-2 to OBX-6 of the result and of what is said beside it."""
    code = f"{_CODES[measurement.assay.code]}^^99EEL"
    kind, value = ("SN", f"<^{_plain(version)}") if version.comparator else ("NM", _plain(version))
    yield f"{kind}|{code}||{value}|{measurement.unit or ''}"
    if measurement.total_ev is not None:
        yield f"NM|EV-TOTAL^^99EEL||{measurement.total_ev}|{_TOTAL_UNIT}"
    for name, word in measurement.stated.items():
        asked = _OWN_PARTS.get(name, f"{name}^^{MARKER_SYSTEM}")
        yield f"{'CWE' if name in _CODED_PARTS else 'ST'}|{asked}||{word}|"


def _row(person: Person, measurement: Measurement, version: Version) -> bytes:
    value = version.value
    if value is not None and measurement.unit in _POWERS:
        value = value.scaleb(_POWERS[measurement.unit])
    shown = f"{version.comparator or ''}{_number(value)}".replace(".", ",")
    total = "" if measurement.total_ev is None else str(measurement.total_ev).replace(".", ",")
    is_trpc5 = measurement.assay.code == "trpc5-ev"
    cells = (
        person.known_as(measurement)[1], f"{person.born:%d.%m.%Y}", "w", measurement.specimen_id,
        measurement.assay.specimen.upper(), _local(measurement.collected or "", "%d.%m.%Y", " %H:%M"),
        _local(version.issued, "%d.%m.%Y", " %H:%M"), _STATUS[version.status], shown if is_trpc5 else "", total,
        "" if is_trpc5 else shown,
    )  # fmt: skip
    return (";".join(cells) + "\n").encode()


def _of_research_laboratory(person: Person, measurement: Measurement, version: Version) -> Iterator[Row]:
    head = (
        person.known_as(measurement)[1], person.born.isoformat(), "f", measurement.specimen_id, "plasma (EDTA)",
        _local(measurement.collected or "", "%Y-%m-%d", " %H:%M"), _local(version.issued, "%Y-%m-%d", " %H:%M"),
        _STATE[version.status],
    )  # fmt: skip
    results = [("trpc5_ev", f"{version.comparator or ''}{_plain(version)}", measurement.unit or "")]
    if measurement.total_ev is not None:
        results.append(("total_ev", str(measurement.total_ev), _TOTAL_UNIT))
    for result in results:
        yield _OTHER_TABLE, (",".join((*head, *result)) + "\n").encode(), 1


def _plain(version: Version) -> str:
    return _number(version.value)


def _number(value: Decimal | None) -> str:
    return "" if value is None else f"{value:f}"


def _v2(text: str) -> str:
    """A FHIR time as HL7 v2 writes it; a day alone stays one."""
    return text.replace("-", "").replace("T", "").replace(":", "").replace("Z", "+0000")


def _local(text: str, day: str, time: str) -> str:
    """A FHIR time as the laboratory's clock shows it; a day alone stays one."""
    if len(text) <= 10:
        return datetime.fromisoformat(text).strftime(day) if text else ""
    return datetime.fromisoformat(text).astimezone(_ZONE).strftime(day + time)
