"""A whole export into a folder, by steps of which each can be the last: the next call goes on with what is there."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cds.errors import InputError
from cds.exchange.bulk import Bulk, Failed, Forgotten, Manifest, Stopped, Wanted, is_instant, without_query
from cds.exchange.download import Away, Unusable, bring
from cds.exchange.folder import STATE, Entry, Folder, State, opened
from cds.exchange.ndjson import NotWhole, checked, lines
from cds.exchange.network import NotPermitted
from cds.exchange.outcome import Outcome, outcome_of

_ENDED = (200, 202, 204, 404, 410)
_NEVER = (405, 501)
_NO_INSTANT = (
    f"the `transactionTime` of the server's manifest is no instant ({STATE} has it): there is no next `--since`. Ask for "
    "everything again, or name an instant before that of this export"
)
_SHARE = 20
"""Of the time that is spent, at most one part in so many goes into writing down what is done."""


class Watching(Protocol):
    """Who is shown how it goes."""

    def tell(self, text: str) -> None:
        """Something happened."""

    def files(self, done: int, total: int) -> None:
        """So many of the files are there."""

    def came(self, count: int) -> None:
        """So many further bytes came."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a call has done: what is in the folder, and what is not, with the reason."""

    transaction_time: str  # up to when it counts, for the next `since`; "" if what the server says is no instant
    resources: Mapping[str, int]  # by type
    files: int
    bytes: int
    failed: Sequence[tuple[str, str]]  # name of a file, and why it is not there
    unproved: Sequence[str]  # files of which the server said neither length nor number of resources
    missing: Sequence[str]  # types that were asked for, and of which there is no file
    deleted: int  # files of deletions
    errors: Outcome  # what the server says that it could not do
    notes: Sequence[str] = field(default=())

    @property
    def whole(self) -> bool:
        """Whether all that the server made is in the folder."""
        return not self.failed


def fetch(wanted: Wanted, path: Path, bulk: Bulk, watching: Watching, *, restart: bool = False) -> Fetched:
    """Have an export in a folder; what an earlier call has left there is gone on with.

    `restart` removes that, and starts anew. Raises `InputError` for a folder of another export, `Stopped` if the export
    cannot be had now, `NotPermitted` for addresses that are not on the list, `OSError` for a disk that cannot be used.
    """
    with opened(path) as folder:
        state = folder.state()
        begun = state is not None and (state.complete or bool(state.job) or _any_there(folder, state))
        if state is not None and begun and state.request != wanted:
            raise InputError(f"{path} is of another export: {_difference(state.request, wanted)}. Name another folder")
        if state is not None and restart:
            _end(bulk, state)
            folder.remove(state)
            state = None
        if state is None or not begun:
            state = _new(folder, wanted)
        try:
            try:
                return _Fetching(folder, state, bulk, watching).go_on()
            except _Anew as forgotten:
                watching.tell(f"{forgotten}. Nothing of it is here: a new one is started")
                return _Fetching(folder, _new(folder, wanted), bulk, watching).go_on()
        except Stopped as error:
            if not error.answer:
                raise
            where = folder.keep(error.answer)
            raise type(error)(f"{error}. What it answered is in {where}; that may name patients") from None


def cancel(wanted: Wanted, path: Path, bulk: Bulk) -> str:
    """End the job of a folder on its server; what is there stays. What was done, in words. Raises as `fetch` does."""
    if not (path / STATE).is_file():
        raise InputError(f"{path} has no {STATE}: nothing was started into it")
    with opened(path) as folder:
        state = folder.state()
        if state is None or state.request != wanted:
            asked = _difference(state.request, wanted) if state is not None else "nothing was started"
            raise InputError(f"{path} is of another export: {asked}. Name that export")
        if not state.job:
            return "No job is running"
        status = bulk.end(state.job)
        if status not in _ENDED:
            raise Stopped(f"The server did not end the job (status {status or 'none: no answer'}). Try again later")
        state.job = ""
        folder.save(state)
        if state.complete:
            folder.clean()
        return "The server had forgotten the job already" if status in (404, 410) else "The job is ended"


class _Anew(Exception):
    """The job is gone, and nothing of it is here that could be lost."""


class _Fetching:
    """One call: from what is known to what is whole."""

    def __init__(self, folder: Folder, state: State, bulk: Bulk, watching: Watching):
        self.folder, self.state, self.bulk, self.watching = folder, state, bulk, watching
        self.failed: dict[str, str] = {}
        self.notes: list[str] = []
        self.refreshed = False
        self._saved, self._took = time.monotonic(), 0.0

    def go_on(self) -> Fetched:
        state = self.state
        if state.complete:
            self._still_there()
        else:
            if not state.transaction_time:
                self._listing()
            self._files()
            state.complete = not self.failed
            self._save()
        if state.complete:
            if state.job:
                self._release()
            self.folder.clean()
        return self._told()

    def _listing(self) -> None:
        """Know what the server made."""
        state, earlier = self.state, bool(self.state.job)
        if earlier:
            self.watching.tell("Going on with the job of an earlier call")
        else:
            state.job = self.bulk.kick_off(state.request)
            self._save()
            self.watching.tell(
                f"The server has begun, with {', '.join(state.request.types)}. This can be stopped at any moment; the same command goes on"
            )
        try:
            state.take(self.bulk.manifest(state.job))
        except (Failed, Forgotten) as error:
            state.job = ""  # the next call asks for another
            self._save()
            if earlier and isinstance(error, Forgotten):
                raise _Anew(str(error)) from None
            raise
        self._save()

    def _release(self) -> None:
        """Tell the server that its files can go."""
        status = _end(self.bulk, self.state)
        if self.state.job and status in _NEVER:
            self.state.job = ""
        elif self.state.job:
            self.notes.append(
                f"the server did not take it that its files can go (status {status or 'none'}); the same command says it again"
            )
        self._save()

    def _files(self) -> None:
        done, total = 0, len(self.state.files)
        try:
            for entry in self.state.files:
                self.watching.files(done, total)
                done += self._known(entry) or self._brought(entry)
                self._save_now_and_then()
        except BaseException:
            with suppress(OSError):  # of a full disk: the first error says it
                self._save()
            raise
        self.watching.files(done, total)

    def _known(self, entry: Entry) -> bool:
        """Whether the file is there; one of which nothing is written down is looked at once more."""
        path = self.folder.found(entry)
        if path is None:
            if entry.file:
                self.watching.tell(f"{entry.file} is gone, or was changed since: it is fetched again")
                entry.file, entry.bytes = "", 0
            return False
        if not entry.file:
            try:
                resources = checked(path, entry.type, entry.count)
            except NotWhole as error:
                self.watching.tell(f"{path.name}: {error}. It is fetched again")
                path.unlink()
                return False
            entry.file, entry.bytes = str(path.relative_to(self.folder.path)), path.stat().st_size
            entry.resources = resources
        return True

    def _brought(self, entry: Entry) -> bool:
        token, came = self.state.requires_access_token, self.watching.came
        try:
            try:
                bring(self.bulk, self.folder, entry, token=token, came=came)
            except Away:
                if not self._refreshed(entry):
                    raise
                bring(self.bulk, self.folder, entry, token=token, came=came)
        except Unusable as error:
            longer = ". If it was there for too long, `--restart` has the export made anew"
            self.failed[entry.name] = f"{error}{longer * isinstance(error, Away)}"
            return False
        return True

    def _refreshed(self, entry: Entry) -> bool:
        """Whether the server names a new address for a file: what it signs is valid for a while."""
        if self.refreshed or not self.state.job:
            return False
        self.refreshed, before = True, entry.address
        try:
            manifest = self.bulk.manifest(self.state.job)
        except Forgotten as error:
            if not _any_there(self.folder, self.state):
                raise _Anew(str(error)) from None
            raise Stopped(
                f"{error}, and not all of its files are here. What is here stays; "
                "`--restart` removes it and has the export made anew"
            ) from None
        except (Stopped, NotPermitted):
            return False
        self._readdress(manifest)
        return entry.address != before

    def _readdress(self, manifest: Manifest) -> None:
        """Take new addresses over, if all else is as it was: a file is known by its address without what is signed."""
        new = {(one.kind, without_query(one.address)): one.address for one in manifest.files}
        old = {(one.kind, without_query(one.address)) for one in self.state.files}
        if manifest.time == self.state.transaction_time and new.keys() == old and len(new) == len(self.state.files):
            for one in self.state.files:
                one.address = new[one.kind, without_query(one.address)]
            self._save()

    def _still_there(self) -> None:
        gone = [entry.file for entry in self.state.files if self.folder.found(entry) is None]
        if gone:
            raise Stopped(
                f"The export was whole, and {gone[0]} is gone or was changed since"
                + (f", as are {len(gone) - 1} others" if len(gone) > 1 else "")
                + ". `--restart` removes the rest and has it made anew"
            )
        self.notes.append("it was here already: nothing was fetched")

    def _save(self) -> None:
        started = time.monotonic()
        if self.state.complete and not self.state.job:
            for entry in self.state.files:
                entry.address = without_query(entry.address)
        self.folder.save(self.state)
        self._saved = time.monotonic()
        self._took = self._saved - started

    def _save_now_and_then(self) -> None:
        if time.monotonic() - self._saved > self._took * _SHARE:
            self._save()

    def _told(self) -> Fetched:
        state, resources, issues = self.state, Counter[str](), list[tuple[str, str]]()
        there = [entry for entry in state.files if entry.file]
        for entry in there:
            if entry.kind == "output":
                resources[entry.type] += entry.resources
            elif entry.kind == "error":
                for line in lines(self.folder.path / entry.file):
                    said = outcome_of(line)
                    issues += said.issues if said is not None else [("error", "unknown")]
        made = {entry.type for entry in state.files if entry.kind == "output"}
        known = is_instant(state.transaction_time)
        if not known:
            self.notes.append(_NO_INSTANT)
        return Fetched(
            state.transaction_time if known else "",
            dict(sorted(resources.items())),
            len(there),
            sum(entry.bytes for entry in there),
            tuple(self.failed.items()),
            tuple(entry.file for entry in there if not entry.proved),
            tuple(one for one in state.request.types if one not in made),
            sum(entry.kind == "deleted" for entry in there),
            Outcome(tuple(issues)),
            tuple(self.notes),
        )


def _new(folder: Folder, wanted: Wanted) -> State:
    state = State(wanted)
    folder.clean()
    folder.save(state)
    return state


def _any_there(folder: Folder, state: State) -> bool:
    return any(folder.found(entry) for entry in state.files)


def _end(bulk: Bulk, state: State) -> int:
    """Tell the server that the job is no longer needed; the status of its answer, 0 for none."""
    if not state.job:
        return 0
    try:
        status = bulk.end(state.job)
    except NotPermitted:
        return 0
    if status in _ENDED:
        state.job = ""
    return status


def _difference(there: Wanted, asked: Wanted) -> str:
    found = []
    for name in ("server", "level", "group", "types", "since"):
        own, its = getattr(there, name), getattr(asked, name)
        if own != its:
            shown = [", ".join(one) if isinstance(one, tuple) else one or "none" for one in (own, its)]
            found.append(f"its {name} is {shown[0]}, and {shown[1]} was asked for")
    return "; ".join(found)
