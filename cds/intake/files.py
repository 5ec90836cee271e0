"""A file as a laboratory sends it: whose it is, of what kind, and what becomes of every result in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cds.chart.catalogue import Catalogue
from cds.errors import InputError
from cds.intake.delivery import Delivery, Refused
from cds.intake.hl7v2 import Message, messages, read_message
from cds.intake.interfaces import Interface
from cds.intake.mapping import mapped
from cds.intake.tables import read_table
from cds.intake.unreadable import unreadable

_MESSAGE = (b"MSH", b"FHS", b"BHS")
FOR_TESTS = "it is for training or tests (MSH-11): only P is taken for a patient's", "send what is a patient's with P"
"""Why such a message is refused as a whole, and what to do."""


@dataclass(slots=True)
class Received:
    """What became of a file, or of one message: `counted` results in the raw input are `mapped` into the resources, or refused."""

    laboratory: str = ""
    raw: bytes = b""
    counted: int = 0
    mapped: int = 0
    resources: list[dict[str, Any]] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    unreadable: list[Refused] = field(default_factory=list)  # mapped as they were sent, but of no use as they are
    numbered: bool = False  # whether the same bytes are the same message
    for_tests: bool = False  # whether it was refused as a whole, because it says that it is of no patient


def received(
    data: bytes,
    source: str,
    interfaces: Mapping[str, Interface],
    catalogue: Catalogue,
    at: datetime,
    laboratory: str = "",
) -> Received:
    """What becomes of a file's results. `laboratory` is needed for a table; of a message, MSH-4 says whose it is.

    Raises `InputError` if it cannot be read, or if it is open whose it is.
    """
    whole = Received(raw=data)
    known: dict[str, dict[str, Any]] = {}  # what several messages say alike is said once
    for one in each(data, source, interfaces, catalogue, at, laboratory):
        whole.laboratory = one.laboratory
        whole.counted += one.counted
        whole.mapped += one.mapped
        whole.refused += one.refused
        whole.unreadable += one.unreadable
        for resource in one.resources:
            name = f"{resource['resourceType']}/{resource['id']}"
            if known.get(name) != resource:
                known[name] = resource
                whole.resources.append(resource)
    return whole


def each(
    data: bytes,
    source: str,
    interfaces: Mapping[str, Interface],
    catalogue: Catalogue,
    at: datetime,
    laboratory: str = "",
) -> Iterator[Received]:
    """Like `received`, but of each message of a file by itself; a table is one. Nothing comes of it unless all can be read."""
    if laboratory and laboratory not in interfaces:
        raise InputError(
            f"no laboratory '{laboratory}' says how it delivers; there are: {', '.join(interfaces) or 'none'}"
        )
    if not data.lstrip(b"\xef\xbb\xbf\x0b\r\n ").startswith(_MESSAGE):
        yield _table(data, source, interfaces, catalogue, at, laboratory)
        return
    sent = [(one, interfaces[laboratory] if laboratory else _of_facility(one, interfaces)) for one in messages(data)]
    for message, interface in sent:
        if message.for_tests:
            delivery = Delivery(counted=message.results)
            place = f"message {message.number}, line {message.line}"
            delivery.refuse(place, "MSH", *FOR_TESTS, message.results)
        else:
            delivery = read_message(message, interface.laboratory.zone, interface.numbers)
        found = Received(interface.laboratory.name, message.text.encode())
        found.numbered, found.for_tests = bool(message.control), message.for_tests
        _add(found, delivery, interface, catalogue, source, at)
        yield found


def _table(
    data: bytes,
    source: str,
    interfaces: Mapping[str, Interface],
    catalogue: Catalogue,
    at: datetime,
    laboratory: str,
) -> Received:
    if not laboratory:
        raise InputError("it is no HL7 v2, and a table does not say whose it is: name the laboratory with --laboratory")
    interface = interfaces[laboratory]
    if interface.table is None:
        raise InputError(f"the file of '{laboratory}' does not say how its tables are written: add 'receives: table'")
    found = Received(laboratory, data)
    for row in read_table(data, interface.table, interface.laboratory.zone):
        _add(found, row, interface, catalogue, source, at)
    return found


def _add(
    found: Received, delivery: Delivery, interface: Interface, catalogue: Catalogue, source: str, at: datetime
) -> None:
    made = mapped(delivery.sent, interface, catalogue, source, at)
    found.counted += delivery.counted
    found.mapped += made.mapped
    found.refused += [*delivery.refused, *made.refused]
    found.resources += made.resources
    undated = {one.where: one.undated for one in delivery.sent if one.undated}
    found.unreadable += unreadable(made.resources, source, catalogue, at, undated)


def _of_facility(message: Message, interfaces: Mapping[str, Interface]) -> Interface:
    found = [one for one in interfaces.values() if message.facility in one.facilities]
    if len(found) != 1:
        raise InputError(
            f"the sending facility '{message.facility[:40]}' (MSH-4) is that of no laboratory. Add it to 'receives: hl7v2: "
            "facilities' of its file, or name the laboratory with --laboratory"
        )
    return found[0]
