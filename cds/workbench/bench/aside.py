"""Work that takes its time, done beside the service: in one child process at a time, of lower priority, until a deadline.

So it takes no turn from calls of EHRs: neither the interpreter's lock, nor a processor that a call wants.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from cds.errors import ExowatchError, RuleBookError

T = TypeVar("T")

# A proxy in front gives a page up after 60 (nginx.conf): until then it is to say that it took too long, and what to do.
SECONDS = 45.0
_NICE = 15
_WAIT = 0.5
_TURN = threading.Lock()
"""Of the whole process: two rule books in use one after the other share it."""
_PROGRAM = "from cds.workbench.bench.aside import child; child()"


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
    # No process of `multiprocessing`: further processes of the service are daemons, which may have none.
    command = [sys.executable, "-c", _PROGRAM]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as process:  # noqa: S603 - our own program
        try:
            answer, _ = process.communicate(pickle.dumps((work, given, seconds)), timeout=seconds)
        except subprocess.TimeoutExpired:
            raise NotDone("time") from None
        finally:
            process.kill()
    if process.returncode or not answer:
        raise NotDone("ended")
    made, error = pickle.loads(answer)  # noqa: S301 - our own child wrote it
    if error is not None:
        raise error
    result: T = made
    return result


def child() -> None:
    """What the child process does: read what is to be done, do it, answer."""
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # whatever the work prints is no part of its answer
        with contextlib.suppress(OSError):  # who runs the service may forbid it: the work is done all the same
            os.nice(_NICE)
        work, given, seconds = pickle.load(sys.stdin.buffer)  # noqa: S301 - our own parent wrote it
        signal.alarm(int(seconds) + 5)  # also if the service is gone
        answers.write(_answered(work, given))


def _answered(work: Callable[..., Any], given: tuple[Any, ...]) -> bytes:
    try:
        return pickle.dumps((work(*given), None))
    except RuleBookError as error:  # it holds more than travels
        return pickle.dumps((None, NotDone(str(error))))
    except ExowatchError as error:
        return pickle.dumps((None, error))
    except Exception as error:
        return pickle.dumps((None, NotDone(type(error).__name__)))
