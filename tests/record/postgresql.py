"""A PostgreSQL of our own, from Debian's packages: a new cluster in a temporary folder, on a loopback port."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from cds.record.database import Database

_LOCALE = ("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")
"""Text is ordered and compared as a hospital's server does it, not byte by byte: by the rules of a language, whichever the system has."""


def binaries() -> Path | None:
    """Where the server's programs are; None if it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    named = shutil.which("initdb")
    return Path(named).parent if named else None


class Cluster:
    """A running server. The process is ours: it can be killed as a machine would lose it, and started again."""

    def __init__(self, programs: Path):
        self._programs = programs
        self._migrated = False
        self.folder = Path(tempfile.mkdtemp(prefix="exowatch-pg-"))
        # PostgreSQL refuses to run as root.
        self._user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        data = str(self.folder / "data")
        command = ["initdb", "-D", data, "-U", "exowatch", "-A", "trust", "-E", "UTF8", "-N", *_LOCALE]
        subprocess.run([str(programs / command[0]), *command[1:]], check=True, capture_output=True, **self._as_user())
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def _as_user(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = [
            "-D", str(self.folder / "data"), "-p", str(self.port), "-k", str(self.folder), "-c", "listen_addresses=127.0.0.1",
            "-c", "max_connections=200", "-c", "fsync=off",  # processes are killed here, and never the machine
        ]  # fmt: skip
        self.process = subprocess.Popen(
            [str(self._programs / "postgres"), *options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, **self._as_user(),
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.address("postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def kill(self) -> None:
        """Lose the server at once, with every process of it."""
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server and to its children, each of which has a process group of its own."""
        assert self.process is not None
        for pid in (self.process.pid, *_children(self.process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def address(self, name: str) -> str:
        return f"postgresql://exowatch@127.0.0.1:{self.port}/{name}"

    def new(self, name: str) -> str:
        """A new, empty database; its address."""
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.address(name)

    def fill(self, name: str) -> None:
        """Make an empty database anew as a copy of one with the present schema."""
        if not self._migrated:
            made = Database(self.new("migrated"), deadline=10)
            made.upgrade()
            made.close()
            self._migrated = True
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}"'.encode())
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE migrated'.encode())


def _children(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # "pid (name) state ppid …"; the name may hold anything.
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(path.parent.name))
    return found
