"""`exowatch bulk fetch` as a process: stopped in every way, called again, and told what it may not do."""

from __future__ import annotations

import gzip
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from cds.cli import main
from tests.bulk.server import (
    JOB,
    KEY,
    TIME,
    ExportServer,
    always,
    exporting,
    outcome,
    resources,
    say,
    times,
)

ROOT = Path(__file__).resolve().parents[2]
PEOPLE = resources("Patient", 2_000, 200)


@pytest.fixture
def server() -> Iterator[ExportServer]:
    with exporting() as found:
        found.has("Observation", resources("Observation", 5), 5)
        found.has("Patient", PEOPLE, 2_000)
        yield found


def called(*arguments: object, **more: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "cds.cli", "bulk", "fetch", *map(str, arguments)],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more,
    )  # fmt: skip


def done(*arguments: object, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Exit code, what it said, and what it said of errors; in this process, for what ends by itself."""
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["exowatch", "bulk", "fetch", *map(str, arguments)])
        for name, value in (env or {}).items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


def until(what: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def state(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "fetch.json").read_bytes())
    return found


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def client_file(server: ExportServer, folder: Path, **backend: str) -> Path:
    stated = {
        "server": server.server,
        "token": f"{server.base}/token",
        "client": "exowatch",
        "key": "key.json",
        **backend,
    }
    (folder / "key.json").write_text(json.dumps(KEY.as_dict(private=True)))
    (folder / "keys.json").write_text(json.dumps({"keys": [KEY.as_dict(private=False)]}))
    lines = ["clients:", "  - name: ehr", "    issuer: https://ehr.example", "    keys: keys.json", "    backend:"]
    path = folder / "clients.yaml"
    path.write_text("\n".join([*lines, *(f"      {name}: {value}" for name, value in stated.items())]))
    return path


STRIDE = os.environ.get("CRASH_STRIDE", "4")
"""Of the hundred steps of a call, it is killed at every so many-th; 1 for all, which takes a while."""
OPEN = {"EXOWATCH_OPEN_MODE": "true"}


class Half:
    """A server that hands out half of a file and then waits; what was asked of it is known."""

    def __init__(self, server: ExportServer):
        self.reached, self.go_on = threading.Event(), threading.Event()
        server.rules.append(times(1, "/files/2.ndjson", self._answer))

    def _answer(self, request: Any) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(PEOPLE)))
        request.send_header("ETag", '"v1"')
        request.end_headers()
        request.wfile.write(PEOPLE[: len(PEOPLE) // 2])
        request.wfile.flush()
        self.reached.set()
        self.go_on.wait(60)
        request.close_connection = True


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


def test_the_export_of_another_request_is_refused(server: ExportServer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert done(server.server, "--out", out)[0] == 0
    for more, words in (
        (["--system"], "its level is patients, and system was asked for"),
        (["--group", "g1"], "its level is patients, and group"),
        (["--type", "Patient"], "its types is Condition, "),
        (["--since", TIME], f"its since is none, and {TIME} was asked for"),
        (["--since", TIME, "--restart"], "its since is none"),
        (["--since", TIME, "--cancel"], "its since is none"),
    ):
        code, _, err = done(server.server, "--out", out, *more)
        assert code == 2
        assert f"{out} is of another export: {words}" in err
    assert server.jobs == 1


def test_a_request_that_was_not_taken_binds_nobody(server: ExportServer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    server.rules.append(
        times(1, "$export", lambda r: say(r, 400, outcome("error", "not-supported", "no Specimen, Jane")))
    )
    code, _, err = done(server.server, "--out", out)
    assert code == 1
    assert "status 400, error: not-supported. " in err
    assert f"What it answered is in {out}/errors/answer.txt" in err
    assert "Jane" not in err
    assert "Jane" in (out / "errors" / "answer.txt").read_text()
    assert done(server.server, "--out", out, "--type", "Patient,Observation")[0] == 0
    assert names(out) == ["Observation.0001.ndjson", "Patient.0001.ndjson", "fetch.json"]


def test_a_folder_of_other_origin_is_refused(server: ExportServer, tmp_path: Path) -> None:
    (tmp_path / "Patient.0001.ndjson").write_text("{}\n")
    code, _, err = done(server.server, "--out", tmp_path)
    assert (code, "two exports do not mix" in err) == (2, True)
    (tmp_path / "fetch.json").write_text("{}")
    code, _, err = done(server.server, "--out", tmp_path)
    assert (code, "it was edited or damaged" in err) == (2, True)
    assert names(tmp_path) == ["Patient.0001.ndjson", "fetch.json"]


def test_two_calls_do_not_fetch_into_one_folder(server: ExportServer, tmp_path: Path) -> None:
    half = Half(server)
    process = called(server.server, "--out", tmp_path)
    assert half.reached.wait(60)
    code, _, err = done(server.server, "--out", tmp_path)
    assert (code, "Another process is fetching into" in err) == (2, True)
    half.go_on.set()
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_job_is_cancelled(server: ExportServer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, _, err = done(server.server, "--out", out, "--cancel")
    assert (code, "nothing was started into it" in err) == (2, True)
    server.rules.append(times(1, "/files/2.ndjson", lambda r: say(r, 403)))
    assert done(server.server, "--out", out)[0] == 1
    assert done(server.server, "--out", out, "--cancel")[:2] == (0, "The job is ended\n")
    assert (server.paths("DELETE"), (out / "Observation.0001.ndjson").is_file()) == ([JOB], True)
    assert done(server.server, "--out", out, "--cancel")[:2] == (0, "No job is running\n")


def test_what_was_changed_since_is_not_taken_for_whole(server: ExportServer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    server.rules.append(times(1, "/files/2.ndjson", lambda r: say(r, 403)))
    assert done(server.server, "--out", out)[0] == 1
    (out / "Observation.0001.ndjson").write_text('{"resourceType":"Observation"}\n')
    code, _, err = done(server.server, "--out", out)
    assert (code, "was changed since: it is fetched again" in err) == (0, True)
    assert (out / "Observation.0001.ndjson").read_bytes() == server.files["/files/1.ndjson"].body
    (out / "Patient.0001.ndjson").unlink()
    code, _, err = done(server.server, "--out", out)
    assert (code, "Patient.0001.ndjson is gone" in err) == (1, True)


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "/proc/exowatch"], "Name one that can be used so"),
        (["--out", __file__], "is no folder"),
        (["--out", "x", "--group", "a/b"], "is no id of a Group"),
        (["--out", "x", "--group", "a", "--system"], "exclude each other"),
        (["--out", "x", "--type", "../x"], "is no type of resources"),
        (["--out", "x", "--since", "yesterday"], "is no instant"),
        (["--out", "x", "--restart", "--cancel"], "name one of them"),
        (["--out", "x", "--client", "/nowhere/clients.yaml"], "There is no file of clients"),
    ],
)
def test_a_wrong_call_is_named_and_asks_nobody(
    server: ExportServer, tmp_path: Path, arguments: list[str], words: str
) -> None:
    code, _, err = done(server.server, *(str(tmp_path / "x") if one == "x" else one for one in arguments))
    assert (code, words in err) == (2, True), err
    assert server.asked == []


@pytest.mark.parametrize(
    "address", ["ehr.example/fhir", "https://me:word@ehr.example/fhir", "https://ehr.example/fhir?x=1"]
)
def test_an_address_that_is_none_is_named(tmp_path: Path, address: str) -> None:
    code, _, err = done(address, "--out", tmp_path / "x")
    assert (code, "is no base URL" in err) == (2, True)


def test_the_client_is_the_one_of_the_file_and_its_token_stands_nowhere(server: ExportServer, tmp_path: Path) -> None:
    server.protected = True
    file = client_file(server, tmp_path)
    code, said, err = done(server.server, "--out", tmp_path / "out", "--client", file, "--json", env=OPEN)
    assert code == 0, err
    assert len(server.tokens) == 1
    told = json.loads(said)
    assert (told["complete"], told["transactionTime"], told["files"]) == (True, TIME, 2)
    assert told["resources"] == {"Observation": 5, "Patient": 2_000}
    assert told["missing"] == sorted(set(state(tmp_path / "out")["request"]["types"]) - {"Observation", "Patient"})
    everything = said + err + "".join(one.read_text() for one in (tmp_path / "out").iterdir())
    assert "secret-token" not in everything
    assert "eyJ" not in everything  # an assertion
    code, _, err = done(f"{server.base}/other", "--out", tmp_path / "x", "--client", file, env=OPEN)
    assert (code, f"There is: {server.server}" in err) == (2, True)
    code, _, err = done(server.server, "--out", tmp_path / "x", "--client", file)  # http, and not for development
    assert (code, "https" in err) == (2, True)


def test_a_file_server_is_asked_only_if_it_is_listed(server: ExportServer, tmp_path: Path) -> None:
    server.protected = True
    with exporting() as files:
        files.has("Observation", resources("Observation", 5))
        server.change = lambda found: found["output"][0].update(url=f"{files.base}/files/1.ndjson")
        call = (server.server, "--out", tmp_path / "out", "--client", client_file(server, tmp_path))
        code, _, err = done(*call, env=OPEN)
        assert (code, files.asked) == (2, [])
        assert f"{files.base}, and that is not on the list" in err
        client_file(server, tmp_path, files=f"[{files.base}]")
        assert done(*call, env=OPEN)[0] == 0
        assert len(files.asked) == 1


def test_without_a_file_of_clients_http_is_for_this_machine(tmp_path: Path) -> None:
    code, _, err = done("http://192.0.2.1/fhir", "--out", tmp_path / "x")
    assert (code, "http is for servers on this machine only" in err) == (2, True)


def test_what_the_server_could_not_export_is_an_exit_code(server: ExportServer, tmp_path: Path) -> None:
    server.has("OperationOutcome", outcome("error", "processing", "Jane Roe"), section="error")
    for _ in range(2):
        code, said, err = done(server.server, "--out", tmp_path / "out")
        assert code == 1
        assert "The server says of 1 errors and 0 other matters, in errors/: error: processing" in said
        assert "Whole, as of" in said
        assert "Roe" not in said + err
    assert server.jobs == 1


def test_records_are_for_their_owner_alone(server: ExportServer, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        assert done(server.server, "--out", tmp_path / "out")[0] == 0
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    assert {stat.S_IMODE(one.stat().st_mode) for one in (tmp_path / "out").iterdir()} == {0o600}


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
