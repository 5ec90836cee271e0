"""`exowatch bulk fetch` stopped in every way: by signals, by a full disk, by servers that forget; the same call goes on."""

from __future__ import annotations

import gzip
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bulk.calling import PEOPLE, ROOT, Half, called, done, exporting_many, names, state, until
from tests.bulk.server import (
    JOB,
    TIME,
    ExportServer,
    always,
    exporting,
    outcome,
    resources,
    say,
)

STRIDE = os.environ.get("CRASH_STRIDE", "4")
"""Of the hundred steps of a call, it is killed at every so many-th; 1 for all, which takes a while."""


@pytest.fixture
def server() -> Iterator[ExportServer]:
    with exporting_many() as found:
        yield found


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_call_that_is_stopped_in_the_middle_of_a_file_is_gone_on_with(
    server: ExportServer, tmp_path: Path, how: signal.Signals
) -> None:
    out, half = tmp_path / "out", Half(server)
    process = called(server.server, "--out", out, "--type", "Observation,Patient")
    assert half.reached.wait(60)
    part = out / "parts" / "output.Patient.0001.ndjson.part"
    until(lambda: part.is_file() and part.stat().st_size > 100_000)
    assert names(out) == ["Observation.0001.ndjson", "fetch.json", "parts"]
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    assert ("the same command goes on" in err.splitlines()[-1]) or how != signal.SIGINT
    half.go_on.set()
    had = part.stat().st_size
    code, said, err = done(server.server, "--out", out, "--type", "Patient", "--type", "Observation")
    assert (code, err) == (0, "")
    assert (out / "Patient.0001.ndjson").read_bytes() == PEOPLE
    assert names(out) == ["Observation.0001.ndjson", "Patient.0001.ndjson", "fetch.json"]
    assert [one.headers.get("Range") for one in server.of("/files/2.ndjson")] == [None, f"bytes={had}-"]
    assert len(server.of("/files/1.ndjson")) == 1
    assert server.jobs == 1
    assert server.paths("DELETE") == [JOB]
    assert "Patient 2,000" in said
    assert f"Whole, as of {TIME}: the next `--since`" in said


def test_a_call_that_is_stopped_while_the_server_works_polls_on(server: ExportServer, tmp_path: Path) -> None:
    out, working = tmp_path / "out", always(JOB, lambda r: say(r, 202, x_progress="3 of 9", retry_after="1"))
    server.rules.append(working)
    process = called(server.server, "--out", out)
    until(lambda: len(server.of(JOB)) > 1)
    process.kill()
    _, err = process.communicate(timeout=60)
    assert "The server is at work: 3 of 9" in err
    server.rules.clear()
    assert done(server.server, "--out", out)[0] == 0
    assert server.jobs == 1


def test_a_job_that_is_forgotten_before_anything_is_here_is_asked_for_again(
    server: ExportServer, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    server.rules.append(always(JOB, lambda r: say(r, 202, retry_after="30")))
    process = called(server.server, "--out", out)
    until(lambda: len(server.of(JOB)) > 0)
    process.kill()
    process.communicate(timeout=60)
    server.rules.clear()
    server.gone.add(JOB)
    code, _, err = done(server.server, "--out", out)
    assert code == 0
    assert "does not know the job any more (status 404, error: not-found). Nothing of it is here: a new one" in err
    assert server.jobs == 2


def test_a_job_that_is_forgotten_takes_nothing_away_that_is_whole(server: ExportServer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    server.rules.append(always("/files/2.ndjson", lambda r: say(r, 410)))
    assert done(server.server, "--out", out)[0] == 1
    server.gone.add(JOB)
    code, _, err = done(server.server, "--out", out)
    assert code == 1
    assert "What is here stays; `--restart` removes it and has the export made anew" in err
    assert (out / "Observation.0001.ndjson").is_file()
    server.rules.clear()
    code, _, err = done(server.server, "--out", out, "--restart")
    assert (code, err.count("The server has begun")) == (0, 1)
    assert names(out) == ["Observation.0001.ndjson", "Patient.0001.ndjson", "fetch.json"]
    assert server.jobs == 2


def test_addresses_that_are_signed_for_a_while_are_asked_for_anew(server: ExportServer, tmp_path: Path) -> None:
    out, signature = tmp_path / "out", ["old"]
    server.change = lambda found: [one.update(url=f"{one['url']}?signature={signature[0]}") for one in found["output"]]

    def expired(request: Any) -> bool:
        stale = "signature=old" in request.path and signature[0] != "old"
        return stale and say(request, 403, outcome("error", "expired"))

    half = Half(server)
    server.rules.insert(0, expired)
    process = called(server.server, "--out", out)
    assert half.reached.wait(60)
    process.kill()
    process.communicate(timeout=60)
    half.go_on.set()
    signature[0] = "new"
    code, _, err = done(server.server, "--out", out)
    assert code == 0, err
    assert (out / "Patient.0001.ndjson").read_bytes() == PEOPLE
    assert "signature" not in (out / "fetch.json").read_text() + err


def test_a_full_disk_is_an_error_and_goes_on_with_room(server: ExportServer, tmp_path: Path) -> None:
    def little() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    out = tmp_path / "out"
    process = called(server.server, "--out", out, preexec_fn=little)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"{out} takes no more: File too large. What is there stays; make room" in err
    assert done(server.server, "--out", out)[0] == 0
    assert server.of("/files/2.ndjson")[1].headers["Range"] == "bytes=200000-"
    assert (out / "Patient.0001.ndjson").read_bytes() == PEOPLE


def test_killed_at_any_step_it_goes_on_and_what_is_there_is_whole(tmp_path: Path) -> None:
    bodies = {"Patient.0001.ndjson": resources("Patient", 300), "Patient.0002.ndjson.gz": resources("Patient", 400)}
    with exporting() as server:
        server.has("Patient", bodies["Patient.0001.ndjson"], 300)
        server.has("Patient", bodies["Patient.0002.ndjson.gz"], 400, packed=True)
        server.has("OperationOutcome", outcome("warning", "value"), section="error")
        printed = subprocess.run(
            [sys.executable, "-m", "tests.bulk.crashing", server.server, tmp_path, STRIDE],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        steps = [json.loads(line) for line in printed.splitlines()]
        assert len(steps) > 90 / int(STRIDE)
        assert [one["killed"] for one in steps] == [True] * (len(steps) - 1) + [False]
        assert {one["ended"] for one in steps} == {0}
        assert {len(one["there"]) for one in steps} == {0, 1, 2}
        for one in steps:
            folder = Path(one["folder"])
            assert names(folder) == [*bodies, "errors", "fetch.json"]
            assert (folder / "Patient.0001.ndjson").read_bytes() == bodies["Patient.0001.ndjson"]
            assert gzip.decompress((folder / "Patient.0002.ndjson.gz").read_bytes()) == bodies["Patient.0002.ndjson.gz"]
            assert state(folder)["complete"] is True
        lost = server.jobs - len(steps)  # killed after the server had begun and before its job was written down
        assert 0 <= lost <= 8
        assert len(server.gone) == len(steps)
