"""`exowatch bulk fetch` as it is called: what it tells, whom it asks, and what it may not do."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bulk.calling import OPEN, Half, called, client_file, done, exporting_many, names, state
from tests.bulk.server import (
    JOB,
    TIME,
    ExportServer,
    exporting,
    outcome,
    resources,
    say,
    times,
)


@pytest.fixture
def server() -> Iterator[ExportServer]:
    with exporting_many() as found:
        yield found


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
        assert "The server says of 1 error and 0 other matters, in errors/: error: processing" in said
        assert "Whole, as of" in said
        assert "Roe" not in said + err
    assert server.jobs == 1


@pytest.mark.parametrize(
    "time",
    ["yesterday", "2026-11-20", "2026-11-20T08:00:00", "2026-02-30T08:00:00Z", "2026-11-20T25:00:00Z", "Jane Roe"],
)
def test_a_time_that_is_none_is_said_to_be_none_and_is_not_offered(
    server: ExportServer, tmp_path: Path, time: str
) -> None:
    server.change = lambda found: found.update(transactionTime=time)
    code, said, err = done(server.server, "--out", tmp_path / "out")
    assert code == 0, err
    assert "The `transactionTime` of the server's manifest is no instant" in said
    assert "Whole\n" in said
    assert time not in said + err  # it is the server's own words
    told = json.loads(done(server.server, "--out", tmp_path / "out", "--json")[1])
    assert (told["complete"], told["transactionTime"]) == (True, None)
    assert any("no instant" in note for note in told["notes"])
    assert state(tmp_path / "out")["transactionTime"] == time
    code, _, err = done(server.server, "--out", tmp_path / "next", "--since", time)
    assert (code, "is no instant" in err) == (2, True)


@pytest.mark.parametrize("time", [TIME, "2026-11-20T08:00:00.123456789+14:00", "2016-12-31T23:59:60Z"])
def test_the_time_of_an_export_is_the_next_since(server: ExportServer, tmp_path: Path, time: str) -> None:
    server.change = lambda found: found.update(transactionTime=time)
    assert f"Whole, as of {time}: the next `--since`" in done(server.server, "--out", tmp_path / "out")[1]
    assert done(server.server, "--out", tmp_path / "next", "--since", time)[0] == 0


def test_records_are_for_their_owner_alone(server: ExportServer, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        assert done(server.server, "--out", tmp_path / "out")[0] == 0
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    assert {stat.S_IMODE(one.stat().st_mode) for one in (tmp_path / "out").iterdir()} == {0o600}
