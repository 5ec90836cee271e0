"""Exports fetched in this process, as fast as they come, from a server that has two files."""

from __future__ import annotations

import gzip
import ipaddress
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cds.exchange import Exchange, Permit
from cds.exchange.backend import Backend, Registration
from cds.exchange.bulk import Bulk, Wanted
from cds.exchange.export import Fetched, fetch
from cds.exchange.pace import Pace
from tests.bulk.server import (
    KEY,
    ExportServer,
    exporting,
    resources,
)

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
QUICK = Pace(first=0.01, most=0.02, least=0.0, longest=0.05, answer=10.0, tries=3)
PEOPLE, RESULTS = resources("Patient", 3), resources("Observation", 5)


@dataclass
class Shown:
    """What a person would see."""

    said: list[str] = field(default_factory=list)
    bytes: int = 0
    done: tuple[int, int] = (0, 0)

    def tell(self, text: str) -> None:
        self.said.append(text)

    def files(self, done: int, total: int) -> None:
        self.done = (done, total)

    def came(self, count: int) -> None:
        self.bytes += count


@contextmanager
def exporting_two() -> Iterator[ExportServer]:
    """A server that has three patients, and says so, and five results."""
    with exporting() as found:
        found.has("Patient", PEOPLE, 3)
        found.has("Observation", RESULTS)
        yield found


def fetched(server: ExportServer, folder: Path, shown: Shown | None = None, *, pace: Pace = QUICK, restart: bool = False,
            types: tuple[str, ...] = ("Observation", "Patient"), also: frozenset[str] = frozenset()) -> Fetched:  # fmt: skip
    shown = shown or Shown()
    exchange = Exchange(Permit(frozenset({server.base}) | also, LOOPBACK, plain=True))
    registration = Registration(server.server, f"{server.base}/token", "exowatch", KEY)
    backend = Backend(registration, exchange) if server.protected else None
    try:
        bulk = Bulk(exchange, backend, frozenset({server.base}) | also, pace, shown.tell)
        return fetch(Wanted(server.server, types=types), folder, bulk, shown, restart=restart)
    finally:
        exchange.close()


def content(folder: Path) -> dict[str, bytes]:
    """What is in a folder beside its state, unpacked."""
    return {
        str(path.relative_to(folder)): gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "fetch.json"
    }


WHOLE = {"Patient.0001.ndjson": PEOPLE, "Observation.0001.ndjson": RESULTS}
PACKED = {f"{name}.gz": body for name, body in WHOLE.items()}

Change = Callable[[ExportServer], object]


def first(server: ExportServer) -> str:
    return "/files/1.ndjson"


def body(content: bytes, **members: Any) -> Change:
    """The first file is another, with other members."""

    def change(server: ExportServer) -> None:
        file = server.files[first(server)]
        file.body = content
        for name, value in members.items():
            setattr(file, name, value)

    return change
