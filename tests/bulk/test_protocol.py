"""Every way in which a server can export, and every way in which it can fail: what is whole is there, and nothing else is."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from cds.errors import ExowatchError
from cds.exchange import NotPermitted
from cds.exchange.bulk import Failed, Forgotten, Stopped
from tests.bulk.fetching import (
    PACKED,
    PEOPLE,
    RESULTS,
    WHOLE,
    Change,
    Shown,
    body,
    content,
    exporting_two,
    fetched,
    first,
)
from tests.bulk.server import (
    JOB,
    TIME,
    ExportServer,
    always,
    cut,
    drop,
    outcome,
    say,
    times,
)


@pytest.fixture
def server() -> Iterator[ExportServer]:
    with exporting_two() as found:
        yield found


# what ends well --------------------------------------------------------------------------------------------------------


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
