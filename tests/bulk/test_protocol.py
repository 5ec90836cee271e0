"""Every way in which a server can export, and every way in which it can fail: what is whole is there, and nothing else is."""

from __future__ import annotations

import gzip
import ipaddress
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cds.chart import clinical, reading
from cds.errors import ExowatchError
from cds.exchange import Exchange, NotPermitted, Permit
from cds.exchange.backend import Backend, Registration
from cds.exchange.bulk import TYPES, Bulk, Failed, Forgotten, Stopped, Wanted
from cds.exchange.export import Fetched, fetch
from cds.exchange.outcome import outcome_of
from cds.exchange.pace import Pace, stated_wait
from tests.bulk.server import (
    JOB,
    KEY,
    TIME,
    ExportServer,
    always,
    cut,
    drop,
    exporting,
    outcome,
    resources,
    say,
    times,
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


@pytest.fixture
def server() -> Iterator[ExportServer]:
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

# what ends well --------------------------------------------------------------------------------------------------------

Change = Callable[[ExportServer], object]


def first(server: ExportServer) -> str:
    return "/files/1.ndjson"


def pack(server: ExportServer) -> None:
    for file in server.files.values():
        file.packed = True


def packed_unsaid(server: ExportServer) -> None:
    for file in server.files.values():
        file.body = gzip.compress(file.body)


def paged(server: ExportServer) -> None:
    """The second file stands on a second page, which takes a while; the first is named on both."""
    whole = server.manifest()
    pages = [
        {**whole, "output": whole["output"][:1], "link": [{"relation": "next", "url": f"{server.base}{JOB}/2"}]},
        {**whole, "output": whole["output"]},
    ]
    server.rules += [
        times(1, f"{JOB}/2", lambda request: say(request, 202, retry_after="0")),
        always(f"{JOB}/2", lambda request: say(request, 200, json.dumps(pages[1]).encode())),
        always(JOB, lambda request: say(request, 200, json.dumps(pages[0]).encode())),
    ]


def changed_meanwhile(server: ExportServer) -> None:
    """The file is another when it is gone on with."""

    def other(request: Any) -> bool:
        return say(request, 206, b"other\n", content_range=f"bytes 40-45/{len(PEOPLE)}", etag='"v2"')

    server.rules += [
        times(1, first(server), cut(PEOPLE, 40, etag='"v1"')),
        times(1, first(server), other),
    ]


OTHERS = PEOPLE.replace(b"Patient-", b"patient-")
"""Another file of the same length."""


def mixed(server: ExportServer) -> None:
    """The file was made anew, and the server goes on with the new one whatever it is asked."""
    file = server.files[first(server)]
    file.body, file.tag = OTHERS, '"v2"'
    rest = f"bytes 40-{len(OTHERS) - 1}/{len(OTHERS)}"
    server.rules += [
        times(1, first(server), cut(PEOPLE, 40, etag='"v1"')),
        times(1, first(server), lambda r: say(r, 206, OTHERS[40:], content_range=rest, etag='"v2"')),
    ]


def from_elsewhere(server: ExportServer) -> None:
    """Of a file of no known length two lines came; the server goes on with the first one."""

    def two_lines(request: Any) -> None:
        part = b"".join(RESULTS.splitlines(keepends=True)[:2])
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.send_header("ETag", '"v1"')
        request.end_headers()
        request.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        request.close_connection = True

    whole = f"bytes 0-{len(RESULTS) - 1}/*"
    server.rules += [
        times(1, "/files/2.ndjson", two_lines),
        times(1, "/files/2.ndjson", lambda r: say(r, 206, RESULTS, content_range=whole, etag='"v1"')),
    ]


def soon(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


def started(server: ExportServer, request: Any) -> None:
    server.jobs += 1
    say(request, 202, content_location=JOB)


GOOD: dict[str, tuple[Change, dict[str, bytes]]] = {
    "as it should be": (lambda s: None, WHOLE),
    "compressed on the way": (pack, PACKED),
    "compressed, and not said so": (packed_unsaid, PACKED),
    "at work for a while": (lambda s: s.rules.append(times(3, JOB, lambda r: say(r, 202, x_progress="50%", retry_after="0"))), WHOLE),
    "waits by a date": (lambda s: s.rules.append(times(1, JOB, lambda r: say(r, 202, retry_after=soon(0.1)))), WHOLE),
    "waits by nonsense": (lambda s: s.rules.append(times(1, JOB, lambda r: say(r, 202, retry_after="-1 sheep"))), WHOLE),
    "waits for a week": (lambda s: s.rules.append(times(1, JOB, lambda r: say(r, 202, retry_after="604800"))), WHOLE),
    "asked too often": (lambda s: s.rules.append(times(2, JOB, lambda r: say(r, 429, retry_after="0"))), WHOLE),
    "busy at the start": (lambda s: s.rules.append(times(2, "$export", lambda r: say(r, 503))), WHOLE),
    "another export is running": (lambda s: s.rules.append(times(2, "$export", lambda r: say(r, 429, outcome("error", "throttled")))), WHOLE),
    "a fault that passes": (lambda s: s.rules.append(times(2, JOB, lambda r: say(r, 500, outcome("error", "timeout")))), WHOLE),
    "a gateway's fault": (lambda s: s.rules.append(times(2, JOB, lambda r: say(r, 502, b"<html>"))), WHOLE),
    "polls cut off": (lambda s: s.rules.append(times(2, JOB, drop)), WHOLE),
    "pages": (paged, WHOLE),
    "the job named relatively": (lambda s: s.rules.append(times(1, "$export", lambda r: started(s, r))), WHOLE),
    "a file cut off": (lambda s: s.rules.append(times(1, first(s), cut(PEOPLE, 40, etag='"v1"'))), WHOLE),
    "a file cut off twice at the same byte": (lambda s: s.rules.append(times(2, first(s), cut(PEOPLE, 40, etag='"v1"'))), WHOLE),
    "a file cut off, nothing to know it by": (lambda s: s.rules.append(times(1, first(s), cut(PEOPLE, 40))), WHOLE),
    "a file cut off before its first byte": (lambda s: s.rules.append(times(1, first(s), cut(PEOPLE, 0))), WHOLE),
    "another file when it is gone on with": (changed_meanwhile, WHOLE),
    "a file made anew meanwhile": (mixed, WHOLE | {"Patient.0001.ndjson": OTHERS}),
    "gone on with elsewhere": (from_elsewhere, WHOLE),
    "no range is served": (lambda s: s.rules.extend([times(1, first(s), cut(PEOPLE, 40, etag='"v1"')), times(1, first(s), lambda r: say(r, 200, PEOPLE))]), WHOLE),
    "a range that is refused": (lambda s: s.rules.extend([times(1, first(s), cut(PEOPLE, 40, etag='"v1"')), times(1, first(s), lambda r: say(r, 416))]), WHOLE),
    "a busy file server": (lambda s: s.rules.append(times(2, first(s), lambda r: say(r, 503, retry_after="0"))), WHOLE),
    "cut off without a length, then whole": (lambda s: s.rules.append(times(1, first(s), lambda r: say(r, 200, PEOPLE[:-9], length=False))), WHOLE),
    "no length, but a count": (lambda s: setattr(s.files[first(s)], "length", False), WHOLE),
    "no end of line at the end": (lambda s: setattr(s.files[first(s)], "body", PEOPLE.rstrip()), WHOLE | {"Patient.0001.ndjson": PEOPLE.rstrip()}),
    "blank lines": (lambda s: setattr(s.files[first(s)], "body", PEOPLE.replace(b"\n", b"\r\n\r\n")), WHOLE | {"Patient.0001.ndjson": PEOPLE.replace(b"\n", b"\r\n\r\n")}),
    "a file named twice": (lambda s: setattr(s, "change", lambda m: m["output"].append({**m["output"][0], "count": 7})), WHOLE),
    "a count that is none": (lambda s: setattr(s, "change", lambda m: m["output"][0].update(count="three")), WHOLE),
    "the server keeps its files": (lambda s: s.rules.append(lambda r: r.command == "DELETE" and say(r, 405)), WHOLE),
    "the server has put its files away": (lambda s: s.rules.append(lambda r: r.command == "DELETE" and say(r, 404)), WHOLE),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_an_export_is_had_whole(server: ExportServer, tmp_path: Path, name: str) -> None:
    change, expected = GOOD[name]
    change(server)
    found = fetched(server, tmp_path / "out")
    assert content(tmp_path / "out") == expected
    assert found.whole
    assert found.resources == {"Observation": 5, "Patient": 3}
    assert found.transaction_time == TIME
    assert found.files == 2
    assert not (tmp_path / "out" / "parts").exists()
    assert len(server.paths("DELETE")) == 1
    before = len(server.asked)
    assert fetched(server, tmp_path / "out").whole  # called again, it has nothing to do
    assert len(server.asked) == before


# what does not ---------------------------------------------------------------------------------------------------------

ELSEWHERE = "https://files.elsewhere.example/1.ndjson"


def manifest(**members: Any) -> Change:
    return lambda server: setattr(server, "change", lambda found: found.update(members))


def entry(**members: Any) -> Change:
    return lambda server: setattr(server, "change", lambda found: found["output"][0].update(members))


def circle(server: ExportServer) -> None:
    server.change = lambda found: found.update(link=[{"relation": "next", "url": f"{server.base}{JOB}"}])


def two_exports(server: ExportServer) -> None:
    page = {**server.manifest(), "transactionTime": "2026-11-21T00:00:00Z"}
    server.rules.append(always("/page2", lambda r: say(r, 200, json.dumps(page).encode())))
    server.change = lambda found: found.update(link=[{"relation": "next", "url": f"{server.base}/page2"}])


def body(content: bytes, **members: Any) -> Change:
    """The first file is another, with other members."""

    def change(server: ExportServer) -> None:
        file = server.files[first(server)]
        file.body = content
        for name, value in members.items():
            setattr(file, name, value)

    return change


REFUSED: dict[str, tuple[Change, type[ExowatchError], str]] = {
    "another origin for a file": (entry(url=ELSEWHERE), NotPermitted, "https://files.elsewhere.example"),
    "another port": (entry(url="http://localhost:1/1.ndjson"), NotPermitted, "not on the list"),
    "a user in the address": (entry(url="http://me:word@localhost/1.ndjson"), NotPermitted, "without a user"),
    "a file of this machine": (entry(url="file:///etc/passwd"), NotPermitted, "may not be asked"),
    "an address that is none": (entry(url="http://[::1"), NotPermitted, "an address that is none"),
    "a job that is nowhere": (lambda s: s.rules.append(always("$export", lambda r: say(r, 202, content_location="http://[x"))), NotPermitted, "an address that is none"),
    "another origin for the job": (lambda s: s.rules.append(always("$export", lambda r: say(r, 202, content_location=ELSEWHERE))), NotPermitted, "elsewhere"),
    "another origin for a page": (manifest(link=[{"relation": "next", "url": ELSEWHERE}]), NotPermitted, "elsewhere"),
    "no job": (lambda s: s.rules.append(always("$export", lambda r: say(r, 202))), Stopped, "Content-Location"),
    "an answer at once": (lambda s: s.rules.append(always("$export", lambda r: say(r, 200, b"{}"))), Stopped, "did not start the export: status 200"),
    "a refusal": (lambda s: s.rules.append(always("$export", lambda r: say(r, 400, outcome("error", "not-supported", "Jane Roe")))), Stopped, "status 400, error: not-supported"),
    "no such operation": (lambda s: s.rules.append(always("$export", lambda r: say(r, 404, b"<html>Jane Roe"))), Stopped, "status 404"),
    "a redirect at the start": (lambda s: s.rules.append(always("$export", lambda r: say(r, 302, location=ELSEWHERE))), Stopped, "a redirect, and none is followed"),
    "a redirect of the job": (lambda s: s.rules.append(always(JOB, lambda r: say(r, 307, location=ELSEWHERE))), Stopped, "a redirect"),
    "busy for ever": (lambda s: s.rules.append(always("$export", lambda r: say(r, 503))), Stopped, "3 times in vain"),
    "cut off at the start": (lambda s: s.rules.append(always("$export", drop)), Stopped, "cannot be reached"),
    "cut off for ever": (lambda s: s.rules.append(always(JOB, drop)), Stopped, "3 times in vain"),
    "asked too often for ever": (lambda s: s.rules.append(always(JOB, lambda r: say(r, 429))), Stopped, "3 times in vain"),
    "the job failed": (lambda s: s.rules.append(always(JOB, lambda r: say(r, 500, outcome("fatal", "processing", "Jane Roe")))), Failed, "status 500, fatal: processing"),
    "the job is forgotten at once": (lambda s: s.gone.add(JOB), Forgotten, "does not know the job"),
    "no permission for the job": (lambda s: s.rules.append(always(JOB, lambda r: say(r, 403))), Stopped, "status 403"),
    "a page instead of a manifest": (lambda s: s.rules.append(always(JOB, lambda r: say(r, 200, b"<html>Jane Roe"))), Stopped, "no JSON"),
    "an outcome instead of a manifest": (lambda s: s.rules.append(always(JOB, lambda r: say(r, 200, outcome("error", "exception", "Jane Roe")))), Stopped, "OperationOutcome .error: exception"),
    "deep nonsense for a manifest": (lambda s: s.rules.append(always(JOB, lambda r: say(r, 200, b"[" * 100_000))), Stopped, "no JSON"),
    "no time": (manifest(transactionTime=None), Stopped, "transactionTime"),
    "no list of files": (manifest(output={"Patient": "x"}), Stopped, "'output' is no list"),
    "a file without a type": (entry(type=None), Stopped, "file 1 of 'output'"),
    "a type that is a path": (entry(type="../../etc/x"), Stopped, "file 1 of 'output'"),
    "a file without an address": (entry(url=7), Stopped, "file 1 of 'output'"),
    "pages in a circle": (circle, Stopped, "in a circle"),
    "pages of two exports": (two_exports, Stopped, "'transactionTime' differs"),
    "a file that is never whole": (lambda s: s.rules.append(always(first(s), cut(PEOPLE, 40))), Stopped, "3 times"),
    "a file server that is always busy": (lambda s: s.rules.append(always(first(s), lambda r: say(r, 503))), Stopped, "busy .status 503"),
}  # fmt: skip


ANSWERED = (
    "an answer at once", "a refusal", "no such operation", "the job failed", "a page instead of a manifest",
    "an outcome instead of a manifest", "deep nonsense for a manifest", "no time",
)  # fmt: skip
"""Where the server has said something: for who may read it, in a file."""


@pytest.mark.parametrize("name", REFUSED)
def test_what_stands_in_the_way_is_named(server: ExportServer, tmp_path: Path, name: str) -> None:
    change, error, words = REFUSED[name]
    change(server)
    shown = Shown()
    with pytest.raises(error, match=words) as raised:
        fetched(server, tmp_path / "out", shown)
    assert "Roe" not in str(raised.value) + "".join(shown.said)
    assert "Patient.0001.ndjson" not in content(tmp_path / "out")
    answer = tmp_path / "out" / "errors" / "answer.txt"
    assert answer.is_file() == (name in ANSWERED)
    if answer.is_file():
        assert "errors/answer.txt" in str(raised.value)
        assert b"Roe" in answer.read_bytes() or name in ("an answer at once", "deep nonsense for a manifest", "no time")
    server.rules.clear()
    server.gone.clear()
    server.change = lambda found: None
    assert fetched(server, tmp_path / "out").whole  # once it is out of the way, the same call goes on
    assert content(tmp_path / "out") == WHOLE


UNUSABLE: dict[str, tuple[Change, str]] = {
    "more than was promised": (lambda s: setattr(s.files[first(s)], "count", 2), "3 resources, and the server said 2"),
    "less than was promised": (lambda s: setattr(s.files[first(s)], "count", 4), "3 resources, and the server said 4"),
    "nothing at all": (body(b""), "0 resources, and the server said 3"),
    "the last line cut off": (body(PEOPLE[:-9], count=None), "its last line, 3, is cut off"),
    "no length, and the last line cut off": (body(PEOPLE[:-9], count=None, length=False), "its last line, 3, is cut off"),
    "the only line cut off": (body(PEOPLE[:20], count=None), "first line is no resource"),
    "a page of a proxy": (body(b"<html>\nplease sign in\n", count=None), "first line is no resource"),
    "another type": (body(RESULTS, count=5), "first line is no Patient"),
    "holes": (body(PEOPLE + b"\0" * 100, count=None), "damaged"),
    "compressed and cut off": (body(gzip.compress(PEOPLE)[:-9]), "compressed form is cut off"),
    "compressed and damaged": (body(gzip.compress(PEOPLE)[:20] + b"\xff" * 40), "compressed form is cut off or damaged"),
    "a redirect": (lambda s: s.rules.append(always(first(s), lambda r: say(r, 302, location=ELSEWHERE))), "no redirect is followed"),
    "not there": (lambda s: s.rules.append(always(first(s), lambda r: say(r, 404, outcome("error", "not-found", "Roe")))), "status 404, error: not-found"),
    "not there any more": (lambda s: s.rules.append(always(first(s), lambda r: say(r, 410))), "status 410.*--restart"),
    "not for us": (lambda s: s.rules.append(always(first(s), lambda r: say(r, 403))), "status 403"),
    "another encoding": (lambda s: s.rules.append(always(first(s), lambda r: say(r, 200, b"x", content_encoding="br"))), "encoding that was not asked for"),
    "a range that nobody asked for": (lambda s: s.rules.append(always(first(s), lambda r: say(r, 206, PEOPLE[4:], content_range="bytes 4-9/10"))), "status 206"),
}  # fmt: skip


TWICE = ("no length, and the last line cut off",)
"""Where another try may bring what the first did not; a whole answer is what the server has."""


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_file_that_is_not_whole_is_not_there_and_the_others_are(
    server: ExportServer, tmp_path: Path, name: str
) -> None:
    change, words = UNUSABLE[name]
    change(server)
    found = fetched(server, tmp_path / "out")
    ((which, why),) = found.failed
    assert which == "Patient.0001"
    assert re.search(words, why), why
    assert not found.whole
    assert "Roe" not in why
    assert len(server.of(first(server))) == (2 if name in TWICE else 1)
    assert {path.name for path in (tmp_path / "out").glob("*")} == {"Observation.0001.ndjson", "fetch.json", "parts"}
    assert server.paths("DELETE") == []  # the server is to keep what is not had yet
    server.rules.clear()
    before = len(server.of("/files/2.ndjson"))
    body(PEOPLE)(server)
    if server.files[first(server)].count == 3:  # it has come right meanwhile
        assert fetched(server, tmp_path / "out").whole
        assert content(tmp_path / "out") == WHOLE
    assert len(server.of("/files/2.ndjson")) == before


# what is asked ---------------------------------------------------------------------------------------------------------


def test_the_export_is_asked_for_as_the_guide_has_it(server: ExportServer, tmp_path: Path) -> None:
    fetched(server, tmp_path / "out", types=TYPES)
    kick_off, poll, *files = server.asked
    assert kick_off.path == "/fhir/Patient/$export"
    assert kick_off.query == {"_type": [",".join(TYPES)]}
    assert kick_off.headers["Prefer"] == "respond-async, handling=lenient"
    assert kick_off.headers["Accept"] == "application/fhir+json"
    assert poll.headers["Accept"] == "application/json"
    assert [one.headers.get("Accept-Encoding") for one in files] == ["gzip", "gzip", "identity"]


def test_the_default_types_are_those_that_a_chart_is_read_from() -> None:
    assert set(TYPES) == reading._READ | set(clinical._READERS) | {"Medication", "Organization"}
    assert set(TYPES) <= reading._READ | set(clinical._READERS) | reading._SHARED


@pytest.mark.parametrize(
    ("wanted", "asked"),
    [
        (Wanted("https://e/f", types=("Patient",)), "https://e/f/Patient/$export?_type=Patient"),
        (Wanted("https://e/f", "group", "a.b", ("Patient",)), "https://e/f/Group/a.b/$export?_type=Patient"),
        (Wanted("https://e/f", "system", "", ("A", "B"), "2026-01-01T00:00:00+01:00"), "https://e/f/$export?_type=A,B&_since=2026-01-01T00%3A00%3A00%2B01%3A00"),
    ],
)  # fmt: skip
def test_addresses_of_requests(wanted: Wanted, asked: str) -> None:
    assert wanted.address == asked


def test_a_file_is_gone_on_with_where_it_broke_off(server: ExportServer, tmp_path: Path) -> None:
    server.rules.append(times(1, first(server), cut(PEOPLE, 40, etag='"v1"')))
    shown = Shown()
    fetched(server, tmp_path / "out", shown)
    again = server.of(first(server))[1].headers
    assert (again["Range"], again["If-Range"]) == ("bytes=40-", '"v1"')
    assert shown.bytes == len(PEOPLE) + len(RESULTS)  # none came twice
    assert shown.done == (2, 2)


def test_progress_is_shown_and_controls_of_a_terminal_are_not(server: ExportServer, tmp_path: Path) -> None:
    server.rules.append(times(2, JOB, lambda r: say(r, 202, x_progress="half\x1b[2Jway" + "y" * 500)))
    shown = Shown()
    fetched(server, tmp_path / "out", shown)
    (told,) = [one for one in shown.said if "at work" in one]
    assert "half[2Jway" in told
    assert len(told) < 140


def test_a_line_may_be_longer_than_memory_is_used_for(server: ExportServer, tmp_path: Path) -> None:
    body(resources("Patient", 1, 20_000_000) * 2, count=2)(server)
    found = fetched(server, tmp_path / "out")
    assert found.resources["Patient"] == 2
    assert found.bytes == 2 * len(resources("Patient", 1, 20_000_000)) + len(RESULTS)


def test_files_of_errors_and_of_what_was_deleted_have_places_of_their_own(server: ExportServer, tmp_path: Path) -> None:
    gone = (
        b'{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"DELETE","url":"Patient/9"}}]}\n'
    )
    server.has("OperationOutcome", outcome("warning", "not-supported") + b"\n", section="error")
    server.has(
        "OperationOutcome",
        outcome("error", "processing", "Jane Roe") + b"\n" + outcome("information", "value"),
        section="error",
    )
    server.has("Bundle", gone, section="deleted")
    server.change = lambda found: [found["error"][0].pop("type"), found["deleted"][0].pop("type")]  # of later versions
    found = fetched(server, tmp_path / "out")
    assert content(tmp_path / "out") == WHOLE | {
        "deleted/Bundle.0001.ndjson": gone,
        "errors/OperationOutcome.0001.ndjson": server.files["/files/3.ndjson"].body,
        "errors/OperationOutcome.0002.ndjson": server.files["/files/4.ndjson"].body,
    }
    assert (found.errors.severe, len(found.errors.issues), found.deleted) == (1, 3, 1)
    assert str(found.errors) == "warning: not-supported, error: processing, information: value"
    assert found.resources == {"Observation": 5, "Patient": 3}


def test_several_files_of_a_type_have_numbers_and_what_is_missing_is_said(server: ExportServer, tmp_path: Path) -> None:
    server.has("Patient", resources("Patient", 1))
    server.has("Location", resources("Location", 1))
    found = fetched(server, tmp_path / "out", types=("Patient", "Specimen"))
    assert sorted(content(tmp_path / "out")) == [
        "Location.0001.ndjson", "Observation.0001.ndjson", "Patient.0001.ndjson", "Patient.0002.ndjson",
    ]  # fmt: skip
    assert found.missing == ("Specimen",)


@pytest.mark.parametrize("same", [True, False])
def test_new_addresses_are_taken_from_the_same_export_only(server: ExportServer, tmp_path: Path, same: bool) -> None:
    signed = ["old"]
    server.change = lambda found: [one.update(url=f"{one['url']}?signature={signed[0]}") for one in found["output"]]
    server.rules.append(lambda r: signed == ["old"] and r.path.startswith("/files/1") and say(r, 403))
    assert not fetched(server, tmp_path / "out").whole
    kept = server.change

    def renewed(found: dict[str, Any]) -> None:
        kept(found)
        if not same:
            found["transactionTime"] = "2026-11-21T00:00:00Z"

    signed[0], server.change = "new", renewed
    server.rules[:] = [lambda r: "signature=old" in r.path and say(r, 403)]
    assert fetched(server, tmp_path / "out").whole is same


@pytest.mark.parametrize(
    ("issue", "shown"),
    [
        ({"severity": "fatal", "code": "processing", "diagnostics": "Jane Roe"}, "fatal: processing"),
        ({"severity": "error", "code": "Jane Roe"}, "error: unknown"),
        ({"severity": "Jane Roe", "code": "invalid"}, "error: invalid"),
        ({"code": {"text": "Jane Roe"}, "details": {"text": "Jane Roe"}}, "error: unknown"),
    ],
)
def test_an_outcome_is_told_in_codes(issue: dict[str, Any], shown: str) -> None:
    body = json.dumps({"resourceType": "OperationOutcome", "issue": [issue]}).encode()
    assert str(outcome_of(body)) == shown


def test_an_empty_export_is_one(server: ExportServer, tmp_path: Path) -> None:
    server.files.clear()
    for _ in range(2):
        found = fetched(server, tmp_path / "out")
        assert found.whole
        assert found.resources == {}
    assert server.jobs == 1


def test_a_file_of_which_nothing_was_promised_is_named(server: ExportServer, tmp_path: Path) -> None:
    server.files["/files/2.ndjson"].length = False
    assert fetched(server, tmp_path / "out").unproved == ("Observation.0001.ndjson",)


def test_a_file_server_that_is_listed_is_asked(server: ExportServer, tmp_path: Path) -> None:
    server.protected = True
    with exporting() as files:
        files.has("Patient", PEOPLE)
        server.change = lambda found: found["output"][0].update(url=f"{files.base}/files/1.ndjson?signature=s3cret")
        found = fetched(server, tmp_path / "out", also=frozenset({files.base}))
        assert found.whole
        assert content(tmp_path / "out") == WHOLE
        assert files.asked[0].headers["Authorization"] == "Bearer secret-token-1"
        assert files.asked[0].query == {"signature": ["s3cret"]}
    assert "s3cret" not in (tmp_path / "out" / "fetch.json").read_text()  # once it is of no use any more


# tokens ----------------------------------------------------------------------------------------------------------------


def test_a_token_that_expires_in_the_middle_is_renewed(server: ExportServer, tmp_path: Path) -> None:
    server.protected = True

    def expire(request: Any) -> bool:
        server.valid.clear()
        return False

    server.rules += [times(1, first(server), cut(PEOPLE, 40, etag='"v1"'))]
    server.rules.insert(0, lambda r: len(server.of(first(server))) == 2 and len(server.tokens) == 1 and expire(r))
    found = fetched(server, tmp_path / "out")
    assert found.whole
    assert len(server.tokens) == 2
    assert "secret-token" not in (tmp_path / "out" / "fetch.json").read_text()


def test_a_token_that_is_never_taken_is_not_asked_for_without_end(server: ExportServer, tmp_path: Path) -> None:
    server.protected = True
    server.rules.append(always(first(server), lambda r: say(r, 401)))
    with pytest.raises(Stopped, match="did not take the access token"):
        fetched(server, tmp_path / "out")
    assert len(server.tokens) == 2


def test_files_that_need_no_token_are_asked_for_without(server: ExportServer, tmp_path: Path) -> None:
    server.protected, server.requires_token = True, False
    assert fetched(server, tmp_path / "out").whole
    for one in server.asked:
        assert ("Authorization" in one.headers) == (not one.path.startswith("/files") and one.path != "/token")


def test_no_token_is_had(server: ExportServer, tmp_path: Path) -> None:
    server.protected = True
    server.rules.append(always("/token", lambda r: say(r, 400, b'{"error":"invalid_client"}')))
    with pytest.raises(Stopped, match="no access token was had"):
        fetched(server, tmp_path / "out")


# waiting ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "120"}, 120.0), ({"retry-after": " 0 "}, 0.0), ({"retry-after": "-1"}, None), ({}, None),
        ({"retry-after": "1.5"}, None), ({"retry-after": "soon"}, None), ({"retry-after": "9" * 40}, 999999999.0),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}, 0.0),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT", "date": "Fri, 31 Dec 1999 23:59:29 GMT"}, 30.0),
        ({"retry-after": "Fri, 99 Dec 1999 23:59:59 GMT"}, None), ({"retry-after": "١٢"}, None),
    ],
)  # fmt: skip
def test_what_a_server_says_of_waiting(headers: dict[str, str], seconds: float | None) -> None:
    assert stated_wait(headers) == seconds


def test_waiting_is_bounded() -> None:
    pace = Pace()
    assert [pace.before(number) for number in (1, 2, 3, 7, 8, 500)] == [1, 2, 4, 60, 60, 60]
    assert pace.before(1, {"retry-after": "0"}) == 0.5
    assert pace.before(1, {"retry-after": "604800"}) == 3600


# wherever it breaks ----------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(
    counts=st.lists(st.integers(0, 6), min_size=1, max_size=3),
    cuts=st.lists(st.floats(0, 1), max_size=4),
    packed=st.booleans(),
    ranges=st.booleans(),
    tag=st.sampled_from(['"v1"', 'W/"v1"', ""]),
)
def test_wherever_connections_break_the_files_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], cuts: list[float], packed: bool, ranges: bool, tag: str
) -> None:
    with exporting() as server:
        for count in counts:
            server.has("Patient", resources("Patient", count), count, packed=packed, tag=tag)
        left = list(cuts)

        def breaking(request: Any) -> bool:
            file = server.files.get(request.path)
            if file is None or not left:
                return False
            if not ranges:
                del request.headers["Range"]
            begin = int(request.headers.get("Range", "bytes=0-")[6:-1])
            whole = file.sent
            after = int((len(whole) - begin) * left.pop())
            request.send_response(206 if begin else 200)
            if begin:
                request.send_header("Content-Range", f"bytes {begin}-{len(whole) - 1}/{len(whole)}")
            if packed:
                request.send_header("Content-Encoding", "gzip")
            if tag:
                request.send_header("ETag", tag)
            request.send_header("Content-Length", str(len(whole) - begin))
            request.end_headers()
            request.wfile.write(whole[begin : begin + after])
            request.close_connection = True
            return True

        server.rules.append(breaking)
        out = tmp_path_factory.mktemp("out")
        pace = Pace(first=0.0, most=0.0, least=0.0, longest=0.0, answer=5.0, tries=6)
        assert fetched(server, out, pace=pace).whole
        bodies = [resources("Patient", count) for count in counts]
        assert list(content(out).values()) == bodies


# whatever a server says ------------------------------------------------------------------------------------------------

WORDS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["Patient", "http://[", "next", "/x", "//x", "0", "-1", "Fri, 31 Dec 1999 23:59:59", "31 Dec 99999 1:1:1 +9999"]
    ),
)
NAMES = st.sampled_from(
    ["output", "error", "deleted", "url", "type", "count", "link", "relation", "transactionTime", "issue", "code"]
)
SAID = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)


@given(stated=WORDS, now=WORDS)
def test_no_word_of_waiting_breaks_anything(stated: str, now: str) -> None:
    found = stated_wait({"retry-after": stated, "date": now})
    assert found is None or found >= 0
    assert Pace().before(1, {"retry-after": stated, "date": now}) <= 3600


@settings(max_examples=60)
@given(
    said=st.one_of(
        SAID,
        st.fixed_dictionaries(
            {"transactionTime": st.just(TIME), "output": SAID}, optional={"link": SAID, "error": SAID}
        ),
    )
)
def test_no_manifest_breaks_anything(said: Any) -> None:
    with exporting() as server:
        server.rules.append(lambda r: say(r, 200, json.dumps(said).encode()))
        exchange = Exchange(Permit(frozenset({server.base}), LOOPBACK, plain=True))
        try:
            found = Bulk(exchange, None, frozenset({server.base}), QUICK, lambda text: None).manifest(server.base + JOB)
            assert found.time == TIME
        except (Stopped, NotPermitted):
            pass
        finally:
            exchange.close()


@given(
    st.one_of(
        st.binary(max_size=50),
        SAID.map(lambda said: json.dumps({"resourceType": "OperationOutcome", "issue": said}).encode()),
    )
)
def test_no_outcome_breaks_anything_or_says_its_words(body: bytes) -> None:
    found = outcome_of(body)
    for part in str(found or "").split(", "):
        assert not part or re.fullmatch(r"(fatal|error|warning|information|success): [a-z-]+( …)?", part)
