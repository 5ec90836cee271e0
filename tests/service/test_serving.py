"""The service as it is installed: over TLS, for the clients of a file; and what it refuses to be started as."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cds.reasoning.reasoner import Reasoner
from cds.service.server import running
from cds.workbench.synth.requests import hook_request
from tests.exchange.servers import certificate_for
from tests.service.conftest import ROOT
from tests.service.test_trust import CLIENT
from tests.service.tokens import BASE, claims, keys, signed

PATH = "/cds-services/exowatch-patient-view"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The settings of a site with one client."""
    (tmp_path / "keys.json").write_text(json.dumps(keys().public()), "utf-8")
    (tmp_path / "clients.yaml").write_text(CLIENT, "utf-8")
    plain = {name: value for name, value in os.environ.items() if not name.startswith("EXOWATCH_")}
    return {
        **plain,
        "EXOWATCH_CLIENTS_FILE": str(tmp_path / "clients.yaml"),
        "EXOWATCH_PUBLIC_BASE_URL": BASE,
        "EXOWATCH_DATABASE_URL": f"sqlite:///{tmp_path}/record.sqlite",
    }


def serve(environment: dict[str, str], *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cds.cli", "serve", "--port", "0", *words]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@contextmanager
def served(environment: dict[str, str], *words: str) -> Iterator[str]:
    process = serve(environment, *words)
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr as log:
        # A log that nobody reads fills its pipe, and then the service waits.
        reader = threading.Thread(target=log.read)
        try:
            for line in log:
                said = json.loads(line)
                if said["event"] == "serving":
                    break
            else:
                raise AssertionError("the service did not start")
            reader.start()
            yield said["address"]
        finally:
            process.terminate()
            process.wait(20)
            if reader.ident is not None:
                reader.join()


def test_over_tls_a_client_is_answered(
    environment: dict[str, str], tmp_path: Path, request_body: dict[str, Any]
) -> None:
    certificate, key = certificate_for("localhost", tmp_path)
    environment |= {"EXOWATCH_TLS_CERTIFICATE": str(certificate), "EXOWATCH_TLS_KEY": str(key)}
    with served(environment) as address:
        assert address.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=certificate)
        with httpx2.Client(base_url=address, verify=context) as client:
            assert client.get("/cds-services").status_code == 200
            assert client.post(PATH, json=request_body).status_code == 401
            headers = {"Authorization": f"Bearer {signed(claims())}"}
            assert "cards" in client.post(PATH, json=request_body, headers=headers).json()
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        with httpx2.Client(base_url=address, verify=context) as old, pytest.raises(httpx2.ConnectError):
            old.get("/health")
        with httpx2.Client(base_url=address.replace("https", "http")) as plain, pytest.raises(httpx2.HTTPError):
            plain.get("/health")


def test_answers_are_not_held_back_for_an_acknowledgement(reasoner: Reasoner) -> None:
    """Once each answer waited 40 ms for the client's system to acknowledge its first packet."""
    with (
        running(reasoner) as address,
        socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1]))) as client,
    ):
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(1024).startswith(b"HTTP/1.1 200")
        open_sockets = [one for one in gc.get_objects() if isinstance(one, socket.socket) and one.fileno() >= 0]
        (accepted,) = [one for one in open_sockets if _peer(one) == client.getsockname()]
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_who_sends_nothing_or_not_all_of_it_is_let_go(reasoner: Reasoner) -> None:
    """A connection without a request, one whose head never ends, and a body that stops: each ends within ten seconds or so."""
    with running(reasoner) as address:
        host = ("127.0.0.1", int(address.rsplit(":", 1)[1]))
        head = b"POST /cds-services/exowatch-patient-view HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        started = time.monotonic()
        with (
            socket.create_connection(host, 30) as mute,
            socket.create_connection(host, 30) as slow,
            socket.create_connection(host, 30) as stalled,
            socket.create_connection(host, 30) as second,
        ):
            stalled.sendall(head + b"Content-Length: 100\r\n\r\n{")
            second.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            said = b""
            while not said.endswith(b'{"status":"ok"}'):
                said += second.recv(2000)
            second.sendall(b"GET /hea")
            slow.sendall(b"GET ")
            for _ in range(40):
                time.sleep(0.3)
                try:
                    slow.sendall(b"x")
                except OSError:
                    break
            assert mute.recv(100) == b""
            assert second.recv(100) == b""
            assert stalled.recv(2000).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - started < 16
        assert httpx2.get(f"{address}/health").status_code == 200


def _peer(one: socket.socket) -> object:
    try:
        return one.getpeername()
    except OSError:
        return None


def test_behind_a_proxy_on_this_machine(environment: dict[str, str], request_body: dict[str, Any]) -> None:
    with served(environment) as address, httpx2.Client(base_url=address) as client:
        headers = {
            "Authorization": f"Bearer {signed(claims())}",
            "Host": "cds.example",
            "X-Forwarded-For": "203.0.113.5",
        }
        assert client.post(PATH, json=request_body, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("changes", "words", "said"),
    [
        ({"EXOWATCH_CLIENTS_FILE": None}, (), "Set EXOWATCH_CLIENTS_FILE"),
        ({"EXOWATCH_CLIENTS_FILE": "/nowhere/clients.yaml"}, (), "There is no file of clients at /nowhere"),
        ({"EXOWATCH_PUBLIC_BASE_URL": None}, (), "set EXOWATCH_PUBLIC_BASE_URL"),
        ({"EXOWATCH_TLS_KEY": "/nowhere/key.pem"}, (), "both or neither"),
        ({}, ("--host", "0.0.0.0"), "without TLS tokens and results would cross the network in the clear"),  # noqa: S104 - it is refused
        ({"EXOWATCH_CLIENTS_FILE": None}, ("--dev", "--host", "0.0.0.0"), "listens on loopback only"),  # noqa: S104 - it is refused
    ],
)  # fmt: skip
def test_what_it_refuses_to_be(
    environment: dict[str, str], changes: dict[str, str | None], words: tuple[str, ...], said: str
) -> None:
    merged = {name: value for name, value in {**environment, **changes}.items() if value is not None}
    process = serve(merged, *words)
    _, written = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said in " ".join(written.split())
    assert "Traceback" not in written


def test_two_processes_serve_one_address(environment: dict[str, str], request_body: dict[str, Any]) -> None:
    """A token is taken once, whichever of them sees it; one that ends is replaced, and none outlives the first."""
    process = serve(environment | {"EXOWATCH_DEADLINE_MS": "10000"}, "--workers", "2")
    assert process.stderr is not None
    address = next(said["address"] for said in map(json.loads, process.stderr) if said["event"] == "serving")
    try:
        other = _wait_for(lambda: _children(process.pid))
        with httpx2.Client(base_url=address, timeout=30) as client:

            def call(token: str) -> int:
                with httpx2.Client(base_url=address, timeout=30) as own:
                    return int(
                        own.post(PATH, json=request_body, headers={"Authorization": f"Bearer {token}"}).status_code
                    )

            with ThreadPoolExecutor(8) as threads:
                assert list(threads.map(call, [signed(claims()) for _ in range(24)])) == [200] * 24
                token = signed(claims())
                assert sorted(threads.map(call, [token] * 8)) == [200] + [401] * 7
            for pid in other:
                os.kill(pid, signal.SIGKILL)
            _wait_for(lambda: _children(process.pid) - other)
            assert client.get("/health").status_code == 200
        left = _children(process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert not [
        pid
        for pid in left
        if Path(f"/proc/{pid}/cmdline").exists() and b"spawn" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def _children(parent: int) -> set[int]:
    """The further processes of a service."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            pid, _, rest = path.read_text().partition(" ")
            if (
                int(rest.rpartition(")")[2].split()[1]) == parent
                and b"spawn_main" in (path.parent / "cmdline").read_bytes()
            ):
                found.add(int(pid))
    return found


def _wait_for(ask: Callable[[], set[int]]) -> set[int]:
    deadline = time.monotonic() + 30
    while not (found := ask()):
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.1)
    return found


def test_the_first_steps_of_an_integrator_work_as_they_are_written(
    reasoner: Reasoner, tmp_path: Path, example: dict[str, Any]
) -> None:
    """But for the port, and for the request, which the demo would take long to make."""
    page = (ROOT / "docs/integrators.md").read_text("utf-8")
    start, ask = (block.split("```")[0] for block in page.split("## Try it")[1].split("```sh\n")[1:3])
    tell = page.split("### Feedback")[1].split("```sh\n")[1].split("```")[0]
    assert start.splitlines()[-1].startswith("exowatch serve --dev ")  # nothing follows what does not end
    (tmp_path / "demo").mkdir()
    with running(reasoner, database=f"sqlite:///{tmp_path}/record.sqlite") as base:
        (service,) = (
            one for one in httpx2.get(f"{base}/cds-services").json()["services"] if one["hook"] == "patient-view"
        )
        (tmp_path / "demo/request.json").write_text(json.dumps(hook_request(example, service)), "utf-8")
        steps = f"{ask}\n{tell}".replace("http://127.0.0.1:8642", base)
        done = subprocess.run(["bash", "-e", "-c", steps], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.endswith('{"known":0,"new":1,"unknownCards":[]}')
