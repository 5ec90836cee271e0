"""Servers on this machine for the rows about fetching: one with the made-up patient's record, and one that is nobody's."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

_LATE = 0.2
"""Seconds after an answer in which a connection still belongs to it."""


Json = dict[str, Any]


def found_by(query: str, resources: Sequence[Json]) -> list[Json]:
    """What a read or a search finds among one patient's resources, by type and code."""
    kind, _, parameters = query.partition("?")
    codes = [one.removeprefix("code=") for one in parameters.split("&") if one.startswith("code=")]
    wanted = set(codes[0].split(",")) if codes else set()
    found = [one for one in resources if one["resourceType"] == kind.partition("/")[0]]
    return [one for one in found if not wanted or not wanted.isdisjoint(_values(one))]


def _values(resource: Json) -> list[str]:
    """By which values of a search for codes it is found."""
    stated = resource.get("code", {}).get("coding", ())
    return [value for one in stated for value in (f"{one['system']}|{one['code']}", one["code"])]


class FhirServer:
    """A FHIR server with one patient's resources: its base URL, and what was asked for with which authorization."""

    def __init__(self, resources: Sequence[Json]):
        self.asked: list[tuple[str, str]] = []
        own = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                own.asked.append((self.path, self.headers.get("Authorization", "")))
                query = unquote(self.path.removeprefix("/fhir/"))
                found = found_by(query, resources)
                bundle = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in found]}
                body = json.dumps(bundle if "?" in query else found[0]).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/fhir+json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Threads(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

        self._server = Threads(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}/fhir"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Stranger:
    """A server that nobody is to connect to: its port, and how often somebody did."""

    def __init__(self, port: int):
        self.port = port
        self._connections = 0

    def count(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return  # it was closed
            self._connections += 1
            connection.close()

    @property
    def connections(self) -> int:
        """How many there were, those that are still on their way among them."""
        time.sleep(_LATE)
        return self._connections


@contextmanager
def stranger() -> Iterator[Stranger]:
    """Such a server, on all addresses of loopback, while it is used."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        found = Stranger(listening.getsockname()[1])
        threading.Thread(target=found.count, args=(listening,), daemon=True).start()
        try:
            yield found
        finally:
            listening.shutdown(socket.SHUT_RDWR)
