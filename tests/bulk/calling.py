"""`exowatch bulk fetch`, called as a process or in this one, of a server that has a file long enough to be stopped in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from cds.cli import main
from tests.bulk.server import (
    KEY,
    ExportServer,
    exporting,
    resources,
    times,
)

ROOT = Path(__file__).resolve().parents[2]
PEOPLE = resources("Patient", 2_000, 200)


@contextmanager
def exporting_many() -> Iterator[ExportServer]:
    """A server that has five results and two thousand patients."""
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
