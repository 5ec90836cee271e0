"""Logs as JSON lines: times, routes, states, counts and durations, never anything from a record."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import PurePath

_OF_OTHERS = ("uvicorn.error", "asyncio")
ERROR, WARNING = logging.ERROR, logging.WARNING
LOGGER = logging.getLogger("exowatch.service")


class JsonLines(logging.Formatter):
    """One JSON object for each record; the fields are those given as `extra={"fields": {…}}`."""

    def format(self, record: logging.LogRecord) -> str:
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        return json.dumps(said, ensure_ascii=False)


def configure_logs(level: str = "INFO") -> None:
    """Send the service's logs to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    LOGGER.handlers[:] = [handler]
    LOGGER.setLevel(level)
    LOGGER.propagate = False
    for name in _OF_OTHERS:
        logger = logging.getLogger(name)
        logger.handlers[:] = [_Foreign()]
        logger.setLevel(logging.WARNING)
        logger.propagate = False


class _Foreign(logging.Handler):
    """What the web server and its loop complain about: that they do, once a second at most, and in none of their words."""

    _last = float("-inf")

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now - self._last >= 1:
            self._last = now
            said = PurePath(record.pathname).stem
            note("server", record.levelno, by=record.name, place=f"{said}:{record.lineno} {record.funcName}")


def note(event: str, level: int = logging.INFO, **fields: object) -> None:
    """Write one line. The caller sees to it that no field comes from a record."""
    LOGGER.log(level, event, extra={"fields": fields})


def where(error: BaseException) -> list[str]:
    """The way to an error as file and line: its text is left out, for it may hold data of a record."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames[-8:]]
