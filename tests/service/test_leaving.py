"""A service that is told to stop loses no call: it says so first, takes nothing new then, and ends what was begun."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

PATH = "/cds-services/exowatch-patient-view"


class Service:
    """The service as an operator starts it."""

    def __init__(self, folder: Path, *words: str, **settings: str):
        plain = {name: value for name, value in os.environ.items() if not name.startswith("EXOWATCH_")}
        own = {"EXOWATCH_DATABASE_URL": f"sqlite:///{folder}/record.sqlite", "EXOWATCH_DEADLINE_MS": "5000"}
        self.log = folder / "log"
        with self.log.open("w") as log:
            command = [sys.executable, "-m", "cds.cli", "serve", "--dev", "--port", "0", *words]
            self.process = subprocess.Popen(command, env={**plain, **own, **settings}, stderr=log)
        until("it serves", lambda: bool(self.notes("serving")))
        self.base = self.notes("serving")[0]["address"]
        httpx2.get(f"{self.base}/health", timeout=30)  # from when it answers it hears signals

    def notes(self, event: str) -> list[dict[str, Any]]:
        """What the log says of an event."""
        lines = self.log.read_text("utf-8").splitlines()
        return [one for one in map(json.loads, lines) if one["event"] == event]

    @property
    def refuses(self) -> bool:
        """Whether nobody can connect any more."""
        try:
            self.connected().close()
        except ConnectionRefusedError:
            return True
        return False

    def connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", int(self.base.rpartition(":")[2])), 20)


def until(what: str, so: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


@contextmanager
def started(folder: Path, *words: str, **settings: str) -> Iterator[Service]:
    service = Service(folder, *words, **settings)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.process.kill()
            service.process.wait()


def test_it_is_not_ready_first_and_answers_all_the_same(tmp_path: Path, request_body: dict[str, Any]) -> None:
    """Each of its processes does so, and none of them is replaced."""
    with started(tmp_path, "--workers", "2", EXOWATCH_DRAIN_SECONDS="3") as service:
        until("both are up", lambda: httpx2.get(f"{service.base}/ready", timeout=30).status_code == 200)
        time.sleep(3)  # so is the second one, if the machine is not too busy
        service.process.send_signal(signal.SIGTERM)
        until("it is not ready", lambda: httpx2.get(f"{service.base}/ready", timeout=30).status_code == 503)
        begun = time.monotonic()
        while time.monotonic() - begun < 1.5:
            said = httpx2.get(f"{service.base}/ready", timeout=30)
            assert (said.status_code, "about to stop" in said.text) == (503, True)
            assert int(said.headers["Retry-After"]) > 0
            answer = httpx2.post(f"{service.base}{PATH}", json=request_body, timeout=30)
            assert (answer.status_code, bool(answer.json()["cards"])) == (200, True)
        assert service.process.wait(60) == 0
        assert service.refuses
        assert service.notes("worker ended") == []
        assert {one["drained"] for one in service.notes("leaving")} == {3}


def test_what_was_begun_is_answered_though_nobody_else_can_connect(
    tmp_path: Path, request_body: dict[str, Any]
) -> None:
    body = json.dumps(request_body).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with started(tmp_path) as service, service.connected() as line:
        line.sendall(head.encode() + body[:1000])
        service.process.send_signal(signal.SIGTERM)
        until("nobody can connect", lambda: service.refuses)
        time.sleep(1)
        line.sendall(body[1000:])
        said = b""
        while more := line.recv(65_536):
            said += more
        assert said.startswith(b"HTTP/1.1 200")
        assert b'"cards"' in said
        assert service.process.wait(30) == 0


def test_a_request_that_comes_on_a_connection_it_took_is_answered_still(tmp_path: Path) -> None:
    """A proxy has connected, and sends its call a moment after the port is gone."""
    for number in range(3):  # on a busy machine the moment may be over before this test has its turn
        folder = tmp_path / str(number)
        folder.mkdir()
        with started(folder) as service, service.connected() as line:
            httpx2.get(f"{service.base}/health", timeout=30)  # so the connection before was taken
            service.process.send_signal(signal.SIGTERM)
            before = time.monotonic()
            while not service.refuses:
                before = time.monotonic()
                time.sleep(0.02)
            with contextlib.suppress(ConnectionError):
                line.sendall(b"GET /cds-services HTTP/1.1\r\nHost: localhost\r\n\r\n")
                if line.recv(100).startswith(b"HTTP/1.1 200"):
                    return
            assert time.monotonic() - before > 0.4, "it was let go at once"
    pytest.fail("it was never answered")


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_asked_again_it_waits_for_nobody_new_and_owes_the_answers_that_it_owed(
    tmp_path: Path, request_body: dict[str, Any], second: signal.Signals
) -> None:
    body = json.dumps(request_body).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with started(tmp_path, EXOWATCH_DRAIN_SECONDS="600") as service, service.connected() as line:
        line.sendall(head.encode() + body[:1000])
        service.process.send_signal(signal.SIGTERM)
        until("it is not ready", lambda: httpx2.get(f"{service.base}/ready", timeout=30).status_code == 503)
        for _ in range(3):
            service.process.send_signal(second)
            until("nobody can connect", lambda: service.refuses)
            time.sleep(0.4)
        line.sendall(body[1000:])
        said = b""
        while more := line.recv(65_536):
            said += more
        assert said.startswith(b"HTTP/1.1 200")
        assert service.process.wait(30) == 0


def test_ctrl_c_is_in_the_log_too(tmp_path: Path) -> None:
    with started(tmp_path) as service:
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(30) == 0
        assert [one["drained"] for one in service.notes("leaving")] == [0]


AROUND = """
import os, signal, threading, uvicorn
from cds.service.leaving import Leaving

config = uvicorn.Config(None, port=0, log_config=None, lifespan="off")
server = Leaving(config, drain=0, leaving=threading.Event())
threading.Timer(1, os.kill, (os.getpid(), signal.SIGTERM)).start()
server.run()
for one in (signal.SIGTERM, signal.SIGINT):
    signal.raise_signal(one)
print("ended well")
"""


def test_what_ends_after_the_server_ends_well_though_it_is_asked_again() -> None:
    done = subprocess.run([sys.executable, "-c", AROUND], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "ended well\n"), done.stderr


def test_a_service_manager_is_told_when_it_is_up_that_it_lives_and_that_it_leaves(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        more = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000"}
        with started(tmp_path, **more) as service:
            assert manager.recv(100) == b"READY=1"
            assert httpx2.get(f"{service.base}/health").status_code == 200
            assert [manager.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
            service.process.send_signal(signal.SIGSTOP)  # it hangs: nothing is told any more
            manager.settimeout(0.4)
            with contextlib.suppress(TimeoutError):
                while manager.recv(100):  # what was said before
                    pass
            with pytest.raises(TimeoutError):
                manager.recv(100)
            service.process.send_signal(signal.SIGCONT)
            manager.settimeout(30)
            service.process.send_signal(signal.SIGTERM)
            while (said := manager.recv(100)) == b"WATCHDOG=1":
                pass
            assert said == b"STOPPING=1"
            assert service.process.wait(30) == 0
