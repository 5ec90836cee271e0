"""Work that takes its time, done beside the service: in one child process at a time, of lower priority, until a deadline.

So it takes no turn from calls of EHRs: neither the interpreter's lock, nor a processor that a call wants.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from cds.errors import ExowatchError, RuleBookError

T = TypeVar("T")

SECONDS = 60.0
_NICE = 15
_WAIT = 0.5
_TURN = threading.Lock()
"""Of the whole process: two rule books in use one after the other share it."""


class Occupied(ExowatchError):
    """Somebody else's work is being done: try again in a moment."""


class NotDone(ExowatchError):
    """The work came to no end in time, or ended otherwise; it has no result at all."""


def beside(work: Callable[..., T], *given: Any, seconds: float = SECONDS) -> T:
    """What `work` makes of what it is given, both picklable. Raises `Occupied`, `NotDone`, and the `ExowatchError` that it raises."""
    if not _TURN.acquire(timeout=_WAIT):
        raise Occupied("one trial at a time")
    try:
        return _done(work, given, seconds)
    finally:
        _TURN.release()


def _done(work: Callable[..., T], given: tuple[Any, ...], seconds: float) -> T:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(theirs, work, given, seconds), daemon=True)
    child.start()
    theirs.close()
    try:
        if not ours.poll(seconds):
            raise NotDone("time")
        made, error = ours.recv()
    except EOFError:
        raise NotDone("ended") from None
    finally:
        if child.is_alive():
            child.kill()
        child.join()
        child.close()
        ours.close()
    if error is not None:
        raise error
    result: T = made
    return result


def _child(answer: Connection, work: Callable[..., Any], given: tuple[Any, ...], seconds: float) -> None:
    os.nice(_NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who ends the service ends the child
    signal.alarm(int(seconds) + 5)  # also if the service is gone
    try:
        answer.send((work(*given), None))
    except RuleBookError as error:  # holds more than travels
        answer.send((None, NotDone(str(error))))
    except ExowatchError as error:
        answer.send((None, error))
    except Exception as error:
        answer.send((None, NotDone(type(error).__name__)))
