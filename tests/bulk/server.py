"""A FHIR server on loopback that exports as it is told: all of the protocol, and every way to break it."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

KEY = ECKey.generate_key("P-384", {"kid": "exowatch-1"})
TIME = "2026-11-20T08:00:00Z"
JOB = "/fhir/jobs/1"

Request = BaseHTTPRequestHandler
Rule = Callable[[Request], bool]
"""Answers a request if it returns true; else the next rule, and at last the protocol, is asked."""


def resources(kind: str, count: int, size: int = 0) -> bytes:
    """So many resources of a type, a line each."""
    return b"".join(
        json.dumps({"resourceType": kind, "id": f"{kind}-{number}", "text": "x" * size}).encode() + b"\n"
        for number in range(count)
    )


def outcome(severity: str, code: str, words: str = "") -> bytes:
    issue = {"severity": severity, "code": code, "diagnostics": words}
    return json.dumps({"resourceType": "OperationOutcome", "issue": [issue]}).encode()


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]


@dataclass
class File:
    """A file to be had."""

    kind: str
    type: str
    body: bytes
    count: int | None = None
    section: str = "output"
    tag: str = '"v1"'
    packed: bool = False
    length: bool = True  # whether it says how long it is

    @property
    def sent(self) -> bytes:
        return gzip.compress(self.body) if self.packed else self.body


@dataclass
class ExportServer:
    """Running: what it has, what it was asked, and the rules by which it answers otherwise than the protocol."""

    base: str = ""
    files: dict[str, File] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    valid: set[str] = field(default_factory=set)
    protected: bool = False  # whether it asks for tokens
    requires_token: bool = True
    jobs: int = 0
    gone: set[str] = field(default_factory=set)
    change: Callable[[dict[str, Any]], object] = lambda manifest: None
    lives: int = 300

    @property
    def server(self) -> str:
        return f"{self.base}/fhir"

    def has(self, kind: str, body: bytes, count: int | None = None, **more: Any) -> str:
        path = f"/files/{len(self.files) + 1}.ndjson"
        self.files[path] = File(kind, kind, body, count, **more)
        return path

    def paths(self, method: str = "GET") -> list[str]:
        return [one.path for one in self.asked if one.method == method]

    def of(self, path: str) -> list[Asked]:
        return [one for one in self.asked if one.path == path]

    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "transactionTime": TIME, "request": f"{self.server}/Patient/$export",
            "requiresAccessToken": self.requires_token, "output": [], "error": [],
        }  # fmt: skip
        for path, file in self.files.items():
            entry: dict[str, Any] = {"type": file.type, "url": self.base + path}
            if file.count is not None:
                entry["count"] = file.count
            found.setdefault(file.section, []).append(entry)
        self.change(found)
        return found

    # what it answers -------------------------------------------------------------------------------------------------

    def answer(self, request: Request) -> None:
        parts = urlsplit(request.path)
        query = parse_qs(parts.query)
        self.asked.append(Asked(request.command, parts.path, query, dict(request.headers)))
        if any(rule(request) for rule in list(self.rules)):
            return
        if parts.path == "/token":
            self._token(request)
        elif self.protected and not self._knows(request, parts.path):
            say(request, 401, outcome("error", "login"))
        elif parts.path.endswith("$export"):
            self.jobs += 1
            say(request, 202, content_location=f"{self.base}/fhir/jobs/{self.jobs}")
        elif parts.path.startswith("/fhir/jobs/"):
            self._job(request, parts.path)
        elif parts.path in self.files:
            self._file(request, self.files[parts.path])
        else:
            say(request, 404, outcome("error", "not-found"))

    def _job(self, request: Request, path: str) -> None:
        if path in self.gone or int(path.rpartition("/")[2]) > self.jobs:
            say(request, 404, outcome("error", "not-found"))
        elif request.command == "DELETE":
            self.gone.add(path)
            say(request, 202)
        else:
            say(request, 200, json.dumps(self.manifest()).encode())

    def _file(self, request: Request, file: File) -> None:
        body, packed = file.sent, "gzip" if file.packed else ""
        wanted = request.headers.get("Range", "")
        same = request.headers.get("If-Range", file.tag) == file.tag
        if wanted and same:
            begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
            stated = f"bytes {begin}-{len(body) - 1}/{len(body)}"
            say(request, 206, body[begin:], content_range=stated, content_encoding=packed, etag=file.tag)
        else:
            say(request, 200, body, length=file.length, content_encoding=packed, etag=file.tag)

    def _token(self, request: Request) -> None:
        fields = parse_qs(request.rfile.read(int(request.headers["Content-Length"])).decode())
        jwt.decode(fields["client_assertion"][0], KeySet([KEY]), algorithms=["ES384"])
        token = f"secret-token-{len(self.tokens) + 1}"
        self.tokens.append(token)
        self.valid = {token}
        say(request, 200, json.dumps({"access_token": token, "expires_in": self.lives}).encode())

    def _knows(self, request: Request, path: str) -> bool:
        open_ = path in self.files and not self.requires_token
        return open_ or request.headers.get("Authorization", "").removeprefix("Bearer ") in self.valid


def say(request: Request, status: int, body: bytes = b"", *, length: bool = True, **headers: str) -> bool:
    """Answer; true, so that it may end a rule. Without a length the end of the connection is that of the body."""
    request.send_response(status)
    for name, value in headers.items():
        if value:
            request.send_header(name.replace("_", "-"), value)
    if length:
        request.send_header("Content-Length", str(len(body)))
    else:
        request.close_connection = True
    request.end_headers()
    request.wfile.write(body)
    return True


@contextmanager
def exporting() -> Iterator[ExportServer]:
    found = ExportServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                found.answer(self)
            except OSError:
                self.close_connection = True  # the client was stopped: what some tests do

        do_POST = do_DELETE = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Threads(ThreadingHTTPServer):
        daemon_threads = True

    server = Threads(("127.0.0.1", 0), Handler)
    found.base = f"http://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


# rules ---------------------------------------------------------------------------------------------------------------


def times(count: int, path: str, answer: Callable[[Request], object]) -> Rule:
    """The first so many requests whose path ends so are answered otherwise."""
    left = [count]

    def rule(request: Request) -> bool:
        if left[0] == 0 or not urlsplit(request.path).path.endswith(path) or request.command == "DELETE":
            return False
        left[0] -= 1
        answer(request)
        return True

    return rule


def always(path: str, answer: Callable[[Request], object]) -> Rule:
    return times(10**9, path, answer)


def drop(request: Request) -> None:
    """The connection ends without an answer."""
    request.close_connection = True


def cut(body: bytes, after: int, **headers: str) -> Callable[[Request], None]:
    """An answer that ends in the middle of what it promised."""

    def answer(request: Request) -> None:
        request.send_response(200)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[:after])
        request.close_connection = True

    return answer
