"""Random breaks of connections and random words of servers: files are the same, and nothing but what is foreseen is raised."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cds.exchange import Exchange, NotPermitted, Permit
from cds.exchange.bulk import Bulk, Stopped
from cds.exchange.outcome import outcome_of
from cds.exchange.pace import Pace, stated_wait
from tests.bulk.fetching import (
    LOOPBACK,
    QUICK,
    content,
    fetched,
)
from tests.bulk.server import (
    JOB,
    TIME,
    exporting,
    resources,
    say,
)

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
