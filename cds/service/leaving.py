"""A server that leaves without losing a call: first it is not ready any more, then takes nothing new, then ends what was begun.

SIGTERM asks for that. Who sends calls hears of it three times: `/ready` answers 503 for as long as the site says
(`EXOWATCH_DRAIN_SECONDS`), while calls are answered as before; then connections are refused, and what is under way on those
that are there still arrives; then the answers that are owed leave, and the process ends with exit code 0. Any signal after it
ends the first of the three and no more. Ctrl-C alone waits for answers that are owed, a second one for nothing. The log has a line `leaving` either way.
A service manager that wants to know (systemd, `Type=notify`) is told what the server does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn

from cds.service.logs import WARNING, note

_ARRIVES = 0.5
"""Seconds in which the request of a connection that was taken comes, or no more: its sender has met a server that answers."""
LONGEST_ANSWER = 30
"""Seconds after which who still waits for an answer is let go."""


class Leaving(uvicorn.Server):
    """A server that leaves so. `drain`: seconds between being told and refusing connections; `leaving` is set in between."""

    def __init__(self, config: uvicorn.Config, *, drain: float, leaving: threading.Event):
        super().__init__(config)
        self.leaving = leaving
        self.when_leaving: list[Callable[[], None]] = []
        """Called as soon as it is told to leave, in a signal handler."""
        self.longest = drain + _ARRIVES + LONGEST_ANSWER
        """Seconds that leaving takes at most."""
        self._drain = drain
        self._drained: float | None = None  # until when it takes calls as before; None: nobody asks for that
        self._asked = False  # by SIGTERM: who waits for an answer gets it, whatever signal follows
        self._refused: float | None = None  # since when it refuses connections
        self._manager: Manager | None = None

    def supervise(self) -> None:
        """It is this process that the service manager watches, if there is one."""
        self._manager = Manager()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: SIGTERM asks to leave; whatever comes after it, not to wait for anybody new. Only Ctrl-C twice lets answers go."""
        first = not self.should_exit
        self._asked = self._asked or sig == signal.SIGTERM
        # The server that this one is gives up what it owes at a SIGINT that is not the first signal.
        super().handle_exit(signal.SIGTERM if self._asked else sig, frame)
        if self._asked:
            self._drained = time.monotonic() + (self._drain if first else 0.0)
        if first:
            self.leaving.set()
            for told in self.when_leaving:
                told()

    async def on_tick(self, counter: int) -> bool:
        """Whether to end, asked ten times a second."""
        over = await super().on_tick(counter)
        if self._manager is not None:
            self._manager.tick(leaving=over)
        if over and self._drained is None and self.leaving.is_set() and self._refused is None:
            self._refused = time.monotonic()
            note("leaving", drained=0)  # Ctrl-C: the server refuses connections as soon as this returns
        if not over or self._drained is None:
            return over
        now = time.monotonic()
        if now < self._drained:
            return False
        if self._refused is None:
            note("leaving", drained=self._drain)
            for server in self.servers:
                server.close()
            self._refused = now
        return now >= self._refused + _ARRIVES

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals of the process until it has left; none is raised again, so that what stands around the server ends well too.

        After SIGTERM nor does a further one end that before its time.
        """
        with super().capture_signals():
            yield
            self._captured_signals.clear()
        if self._asked:
            for one in (signal.SIGTERM, signal.SIGINT):
                signal.signal(one, signal.SIG_IGN)


class Manager:
    """The service manager, told by its own protocol (sd_notify) that the service is up, lives, and leaves; nobody, if there is none."""

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._pulse = int(os.environ.get("WATCHDOG_USEC") or 0) / 3e6  # three beats in the time that it allows
        self._last = float("-inf")
        self._said: set[str] = set()

    def tick(self, *, leaving: bool) -> None:
        """What the server does now; told once, and that it lives as often as it is asked to."""
        if not self._address:
            return
        self._once("STOPPING=1" if leaving else "READY=1")
        if self._pulse and time.monotonic() - self._last >= self._pulse:
            self._last = time.monotonic()
            self._tell("WATCHDOG=1")

    def _once(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self._tell(what)

    def _tell(self, what: str) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                line.sendto(what.encode(), self._address)
        except OSError as error:
            note("manager", WARNING, error=type(error).__name__)
