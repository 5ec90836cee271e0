"""The service with one rule book after the other: each edition is an app of its own, and who calls is handed to the newest.

A release that is put into use is taken over once it is read as it was signed and passes its self-test; until then, and if it
does not, the edition before it answers. Nobody is refused in between: what was begun is finished by the edition that began it.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from cds.errors import ExowatchError
from cds.reasoning.releases import Published, ReleaseError, current, read_keys, read_release
from cds.service.logs import ERROR, note
from cds.service.reception import Reception
from cds.service.worker import Worker

_GRACE = 30.0
"""Seconds for which an edition that was followed by another goes on with what was begun."""
_AGAIN = 60.0
"""Seconds until a release that was refused is looked at again."""


@dataclass(slots=True)
class InUse:
    """Which release an edition is of, "" for rules that were never published; and the one that was to follow and is refused."""

    version: str = ""
    refused: str = ""


class Editions:
    """Hands each request to the edition in use; what works beside it goes with it."""

    def __init__(self, first: FastAPI):
        self._app = first
        self._works = False  # of several processes one alone follows what arrives

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    @property
    def reception(self) -> Reception:
        """Takes results for the edition in use."""
        found: Reception = self._app.state.reception
        return found

    @property
    def in_use(self) -> InUse:
        """Which release that is."""
        found: InUse = self._app.state.in_use
        return found

    def start(self) -> None:
        """Begin to find out whose arrived results are, and to evaluate them. What is recorded gets a checkpoint, here and at the end."""
        self._works = True
        self._app.state.recorder.cover()
        self._app.state.follower.start()
        self._app.state.matcher.start()

    def stop(self) -> None:
        """End that, after what is being done."""
        self._works = False
        _rest(self._app)
        self._app.state.recorder.cover()
        self._app.state.desk.close()

    def follow(self, app: FastAPI) -> None:
        """Put another edition into use. Raises `ReleaseError` if it does not pass its self-test: then nothing changes."""
        check = app.state.desk.self_test()
        if not check.ok:
            app.state.desk.close()
            raise ReleaseError(check.detail)
        before, self._app = self._app, app
        if self._works:
            _rest(before)  # what arrives from now on is evaluated by the new rules alone
            self.start()
        threading.Thread(target=_retire, args=(before,), name="retire", daemon=True).start()


def _rest(app: FastAPI) -> None:
    app.state.matcher.stop()
    app.state.follower.stop()


def _retire(app: FastAPI) -> None:
    time.sleep(_GRACE)
    app.state.desk.close()
    gc.unfreeze()
    gc.collect()
    gc.freeze()


class Watch:
    """Looks whether another release was put into use, between `start` and `stop`; `edition` makes an app of one."""

    def __init__(self, shelf: Path, keys: Path, editions: Editions, edition: Callable[[Published], FastAPI]):
        self._shelf, self._keys = shelf, keys
        self._editions, self._edition = editions, edition
        self._look_again = float("-inf")
        worker = Worker("releases", self.look)
        self.start, self.stop = worker.start, worker.stop

    def look(self) -> None:
        """Take over the release in use, if it is another; one that cannot be is noted, and the edition before goes on."""
        version, now = current(self._shelf), self._editions.in_use
        if version in ("", now.version):
            now.refused = ""
            return
        if version == now.refused and time.monotonic() < self._look_again:
            return
        try:
            published = read_release(self._shelf, version, read_keys(self._keys))
            self._editions.follow(self._edition(published))
        except ExowatchError as error:
            now.refused, self._look_again = version, time.monotonic() + _AGAIN
            note("release refused", ERROR, release=version, why=str(error), stays=now.version)
            return
        note("release", release=version, before=now.version, rulebook=published.book.hash)
