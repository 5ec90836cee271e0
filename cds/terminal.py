"""What the command line shows a person: reports of findings, tables, progress; plain text when piped."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

_COLOURS = {
    "suspected": "bold red",
    "persistent": "bold red",
    "watch": "yellow",
    "hold": "cyan",
    "discordant": "magenta",
    "data-quality": "yellow",
    "not-evaluable": "yellow",
}


def console(*, error: bool = False) -> Console:
    """A console that is plain when its stream is no terminal, and never cuts a piped line."""
    stream = sys.stderr if error else sys.stdout
    return Console(file=stream, highlight=False, soft_wrap=not stream.isatty())


def say(text: str, *, error: bool = False) -> None:
    """One text as it is: brackets in it are no markup."""
    console(error=error).print(text, markup=False)


def say_marked(markup: str) -> None:
    """A text with rich markup; plain where there is no terminal."""
    console().print(markup)


def state_text(state: str) -> str:
    """A state in its colour (markup; plain where there is no terminal)."""
    colour = _COLOURS.get(state, "green" if state == "no-flag" else "dim")
    return f"[{colour}]{escape(state)}[/]"


def as_it_is(text: str) -> str:
    """A text for a cell of `table` in which brackets mean nothing."""
    return escape(text)


class Step(Protocol):
    """What a long task calls when one item is done."""

    def __call__(self) -> None: ...


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Step]:
    """A progress bar on stderr for long work, silent where stderr is no terminal; None: how much there is shows on the way."""
    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console(error=True),
        disable=not sys.stderr.isatty() or (total is not None and total < 2),
        transient=True,
    )
    with shown:
        task = shown.add_task(title, total=total)
        yield lambda: shown.advance(task)


class Transfer(Protocol):
    """What a transfer of files calls on its way."""

    def files(self, done: int, total: int) -> None:
        """So many of the files are there."""

    def came(self, count: int) -> None:
        """So many further bytes came."""

    def tell(self, text: str) -> None:
        """Something happened: a line of its own, beside the bar."""


@contextmanager
def transfer(title: str) -> Iterator[Transfer]:
    """A bar on stderr with files, bytes and their rate; where stderr is no terminal only what is told, a line each."""
    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files, {task.fields[bytes]}, {task.fields[rate]}/s"),
        console=console(error=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    with shown:
        yield _Transfer(shown, shown.add_task(title, total=None, bytes=decimal(0), rate=decimal(0)))


class _Transfer:
    def __init__(self, shown: Progress, task: TaskID):
        self._shown, self._task = shown, task
        self._bytes, self._since = 0, 0.0

    def files(self, done: int, total: int) -> None:
        self._shown.update(self._task, completed=done, total=total)

    def came(self, count: int) -> None:
        self._since = self._since or time.monotonic()
        self._bytes += count
        rate = int(self._bytes / max(time.monotonic() - self._since, 0.001))
        self._shown.update(self._task, bytes=decimal(self._bytes), rate=decimal(rate))

    def tell(self, text: str) -> None:
        self._shown.console.print(text, markup=False)


class Meter(Protocol):
    """What a long task calls when so much is done, with a word on how it goes."""

    def __call__(self, much: float, word: str = "") -> None: ...


@contextmanager
def meter(title: str, total: float) -> Iterator[Meter]:
    """A progress bar on stderr for work that is measured, with its share, rate in words and remaining time; silent where stderr is no terminal."""
    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[word]}"),
        TimeRemainingColumn(),
        console=console(error=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    with shown:
        task = shown.add_task(title, total=total, word="")
        yield lambda much, word="": shown.update(task, advance=much, word=word)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table for people; tab-separated lines when piped. Cells may carry rich markup: see `as_it_is`."""
    out = console()
    if not sys.stdout.isatty():
        for row in rows:
            out.print("\t".join(row))
        return
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*row)
    out.print(shown)
