"""A Dask cluster of real processes on the loopback address: a scheduler and so many workers, each of which may be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from tests.test_cli import ROOT

_PATIENCE = 90


class Dask:
    """A scheduler and its workers, for as long as the context lasts. Their files are in `folder`."""

    def __init__(self, folder: Path, workers: int, port: int = 0):
        self.folder, self._port = folder, port
        self._asked = workers
        self.processes: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        stated = self.folder / "scheduler.json"
        stated.unlink(missing_ok=True)
        self._start("scheduler", "--port", str(self._port), "--scheduler-file", str(stated))
        deadline = time.monotonic() + _PATIENCE
        while not stated.exists() or not stated.read_bytes().rstrip().endswith(b"}"):  # it is written bit by bit
            assert time.monotonic() < deadline, (self.folder / "scheduler.log").read_text(encoding="utf-8")
            time.sleep(0.05)
        self.address = str(json.loads(stated.read_text(encoding="utf-8"))["address"])
        for number in range(self._asked):
            self.add(f"worker-{number}")
        return self

    def add(self, name: str, hidden: Path | None = None, threads: int = 1) -> None:
        """One worker more, without a nanny: whoever kills it has killed it. It does not see what is in `hidden`."""
        options = ("--nthreads", str(threads), "--no-nanny", "--local-directory", str(self.folder / name))
        self.workers.append(self._start("worker", self.address, *options, log=name, hidden=hidden))

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()

    def processor_seconds(self) -> float:
        """What scheduler and workers have worked since they began."""
        ticks = os.sysconf("SC_CLK_TCK")
        stated = (Path(f"/proc/{one.pid}/stat").read_text(encoding="ascii") for one in self.processes)
        return sum(sum(map(int, one.rpartition(")")[2].split()[11:13])) for one in stated) / ticks

    def memory(self) -> float:
        """The most that a worker has held, in MiB."""
        stated = (Path(f"/proc/{one.pid}/status").read_text(encoding="ascii") for one in self.workers)
        return max(int(one.partition("VmHWM:")[2].split()[0]) / 1024 for one in stated)

    @property
    def scheduler(self) -> subprocess.Popen[bytes]:
        return self.processes[0]

    def _start(self, what: str, *options: str, log: str = "", hidden: Path | None = None) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", "--host", "127.0.0.1", *options]
        command += ["--no-dashboard"]
        if hidden is not None:
            command = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(hidden), *command]
        with (self.folder / f"{log or what}.log").open("wb") as out:
            process = subprocess.Popen(
                command, stdout=out, stderr=out, cwd=self.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}
            )
        self.processes.append(process)
        return process
