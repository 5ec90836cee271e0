"""The protocol of an export: ask for it, wait until the server has made it, read what it made, tell the server that it is had.

After FHIR Bulk Data Access 2.0.0, https://hl7.org/fhir/uv/bulkdata/STU2/export.html; of later versions, manifests of several pages.
What a server says in words may name patients: only codes, numbers and its own progress are handed on.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

import msgspec

from cds.errors import ExowatchError
from cds.exchange.backend import Backend
from cds.exchange.client import Answer, CannotFetch, Exchange
from cds.exchange.network import NotPermitted, origin_of
from cds.exchange.outcome import outcome_of
from cds.exchange.pace import BUSY, Pace

TYPES = (
    "Condition", "DiagnosticReport", "Immunization", "Medication", "MedicationAdministration", "MedicationDispense",
    "MedicationRequest", "MedicationStatement", "Observation", "Organization", "Patient", "Procedure", "Specimen",
)  # fmt: skip
"""The types of resources that a chart is read from."""
_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}")
_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d):([0-5]\d|60)(\.\d{1,9})?(Z|[+-](0\d|1[0-3]):[0-5]\d|[+-]14:00)", re.ASCII
)
_MOST_ANSWER, _MOST_MANIFEST = 1_000_000, 64_000_000
_MOST_PAGES = 10_000
_MOST_PROGRESS = 100
_GONE = (404, 410)
_REFUSED_BEFORE_IT_BEGAN = frozenset({429, 503})
"""Answers to the request for an export that cannot have started one."""

Kind = Literal["output", "deleted", "error"]
_HOLDS: Mapping[Kind, str] = {"output": "", "deleted": "Bundle", "error": "OperationOutcome"}


class Stopped(ExowatchError):
    """The export is not whole on disk. What is there stays; the text says what stands in the way, and what to do.

    `answer` is what the server said to it, if that says more than the text: it may name patients.
    """

    def __init__(self, text: str, answer: bytes = b""):
        super().__init__(text)
        self.answer = answer


class Forgotten(Stopped):
    """The server knows nothing of the job any more."""


class Failed(Stopped):
    """The server gave the job up."""


class Wanted(msgspec.Struct, frozen=True):
    """What is to be exported: of which server, of whom, which types, and changed since when ("": from ever)."""

    server: str
    level: Literal["patients", "group", "system"] = "patients"
    group: str = ""
    types: tuple[str, ...] = TYPES
    since: str = ""

    @property
    def address(self) -> str:
        """Where the export is asked for."""
        place = {"patients": "Patient/", "group": f"Group/{quote(self.group, safe='')}/", "system": ""}[self.level]
        since = f"&_since={quote(self.since, safe='')}" if self.since else ""
        return f"{self.server}/{place}$export?_type={','.join(self.types)}{since}"


class Listed(msgspec.Struct, frozen=True):
    """A file that the server made: what is in it, where it is, and how many resources it holds, if the server says so."""

    kind: Kind
    type: str
    address: str
    count: int | None = None


class Manifest(msgspec.Struct, frozen=True):
    """All that the server made, and the moment up to which it counts."""

    time: str
    token: bool  # whether files are handed out for an access token only
    files: tuple[Listed, ...]


class Bulk:
    """One server of exports, asked in this installation's own name, or in nobody's (`backend` None)."""

    def __init__(
        self,
        exchange: Exchange,
        backend: Backend | None,
        origins: frozenset[str],
        pace: Pace,
        tell: Callable[[str], None],
    ):
        self.exchange, self.pace, self.tell = exchange, pace, tell
        self._backend, self._origins = backend, origins

    def kick_off(self, wanted: Wanted) -> str:
        """Ask for an export; the address of its job. Raises `Stopped`, `NotPermitted`."""
        lenient = ", handling=lenient" if wanted.types == TYPES else ""  # no server need know every type that we read
        headers = {"Accept": "application/fhir+json", "Prefer": f"respond-async{lenient}"}
        answer = self._patiently("GET", wanted.address, headers, again=_REFUSED_BEFORE_IT_BEGAN)
        if answer.status != 202:
            raise Stopped(
                f"The server did not start the export: {_refusal(answer)}. "
                "Does it support this level and these types? `--type` asks for fewer; its CapabilityStatement tells",
                answer.body,
            )
        job = answer.headers.get("content-location", "")
        if not job:
            raise Stopped("The server took the request and did not say where its job is (no Content-Location)")
        return self._within(wanted.address, job)

    def manifest(self, job: str) -> Manifest:
        """Wait until the job is done, and read what it made. Raises `Stopped`, `Forgotten`, `Failed`, `NotPermitted`."""
        first = page = self._page(job)
        files = self._files(page, job)
        address, seen = job, {job}
        while following := _next(page):
            address = self._within(address, following)
            if address in seen or len(seen) >= _MOST_PAGES:
                raise Stopped("The pages of the server's manifest lead in a circle")
            seen.add(address)
            page = self._page(address)
            for member in ("transactionTime", "requiresAccessToken"):
                if page.get(member) != first.get(member):
                    raise Stopped(f"The pages of the server's manifest are of different exports ('{member}' differs)")
            files = self._files(page, address) | files  # a file that is named twice is there once
        return Manifest(
            _text(first, "transactionTime"), first.get("requiresAccessToken") is not False, tuple(files.values())
        )

    def end(self, job: str) -> int:
        """Tell the server that a job is no longer needed; the status of its answer, 0 for none. Raises `NotPermitted`."""
        try:
            return self._asked("DELETE", job, {"Accept": "application/fhir+json"}, _MOST_ANSWER).status
        except CannotFetch as error:
            return error.status

    def listed(self, address: str) -> str:
        """The same address, if it is on one of the servers that this export may come from. Raises `NotPermitted`."""
        where = ""
        try:
            where = origin_of(address, plain=self.exchange.permit.plain)
        except NotPermitted as error:
            raise NotPermitted(
                f"The server names an address that may not be asked: {error}. Nothing was sent"
            ) from None
        if where not in self._origins:
            raise NotPermitted(
                f"The server names an address at {where}, and that is not on the list. If it is where it hands out files, "
                "add it to `files` under `backend` in the file of clients. Nothing was sent there"
            )
        return address

    def headers(self, *, token: bool = True) -> dict[str, str]:
        """The header with an access token, where there is one to be had. Raises `CannotFetch`, `NotPermitted`."""
        if self._backend is None or not token:
            return {}
        try:
            return {"Authorization": f"Bearer {self._backend.token(self.pace.answer)}"}
        except CannotFetch as error:
            raise CannotFetch(f"no access token was had: {error}", error.status) from None
        except NotPermitted as error:
            raise NotPermitted(f"no access token was had: {error}") from None

    def refused(self, headers: Mapping[str, str]) -> bool:
        """A token was not taken: whether another can be had."""
        if self._backend is None or "Authorization" not in headers:
            return False
        self._backend.forget(headers["Authorization"].removeprefix("Bearer "))
        return True

    def wait(self, number: int, why: str, headers: Mapping[str, str] | None = None) -> None:
        """Wait before try `number`, and say why, if it is long."""
        seconds = self.pace.before(number, headers)
        if seconds >= self.pace.first * 2:
            self.tell(f"{why}: asked again in {seconds:,.0f} s")
        time.sleep(seconds)

    # the conversation ------------------------------------------------------------------------------------------------

    def _asked(self, method: str, address: str, headers: Mapping[str, str], most: int) -> Answer:
        """One answer; with another token, if the first is not taken."""
        for last in (False, True):
            own = self.headers()
            answer = self.exchange.answer(
                method, address, seconds=self.pace.answer, most=most, headers={**headers, **own}
            )
            if last or answer.status != 401 or not self.refused(own):
                break
        return answer

    def _patiently(self, method: str, address: str, headers: Mapping[str, str], *, again: frozenset[int]) -> Answer:
        """The first answer that is none of a busy server. Raises `Stopped` if there is none after all tries."""
        number = 0
        while True:
            number += 1
            said: Mapping[str, str] = {}
            try:
                answer = self._asked(method, address, headers, _MOST_MANIFEST)
                if answer.status not in again or (answer.status == 500 and not _passes(answer)):
                    return answer
                why, said = _refusal(answer), answer.headers
            except NotPermitted as error:
                raise NotPermitted(f"{_of(address)}: {error}") from None
            except CannotFetch as error:
                why = str(error)
                if error.status not in again:
                    raise Stopped(f"{_of(address)}: {why}") from None
            if number >= self.pace.tries:
                raise Stopped(f"{_of(address)} was asked {number} times in vain: {why}. The same command goes on later")
            self.wait(number, f"The server is busy ({why})", said)

    def _page(self, address: str) -> dict[str, Any]:
        """A page of a manifest, when it is there."""
        number, shown = 0, "-"
        while True:
            answer = self._patiently("GET", address, {"Accept": "application/json"}, again=BUSY | {0})
            if answer.status != 202:
                return _stated(answer)
            number += 1
            progress = _printable(answer.headers.get("x-progress", ""))
            if progress != shown:
                self.tell(f"The server is at work{': ' if progress else ''}{progress}")
                shown = progress
            time.sleep(self.pace.before(number, answer.headers))

    def _within(self, address: str, stated: str) -> str:
        """The address that an answer from another one names, whole or in short. Raises `NotPermitted`."""
        try:
            return self.listed(urljoin(address, stated))
        except ValueError:
            raise NotPermitted("The server names an address that is none. Nothing was sent") from None

    def _files(self, page: Mapping[str, Any], address: str) -> dict[tuple[Kind, str], Listed]:
        found: dict[tuple[Kind, str], Listed] = {}
        for kind, holds in _HOLDS.items():
            entries = page.get(kind) or []
            if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
                raise Stopped(f"The server's manifest cannot be read: '{kind}' is no list of files")
            for number, entry in enumerate(entries, 1):
                where, type_ = entry.get("url"), entry.get("type") or holds
                if not isinstance(where, str) or not where or not isinstance(type_, str) or not _TYPE.fullmatch(type_):
                    raise Stopped(
                        f"The server's manifest cannot be read: file {number} of '{kind}' has no url, or no type"
                    )
                count = entry.get("count")
                known = count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None
                whole = self._within(address, where)
                found.setdefault((kind, whole), Listed(kind, type_, whole, known))
        return found


def is_instant(text: str) -> bool:
    """Whether a text is an instant as FHIR has them: a day that there is, a time to the second, an offset from UTC."""
    found = _INSTANT.fullmatch(text)
    try:
        return found is not None and bool(datetime.fromisoformat(found[1]))
    except ValueError:
        return False


def without_query(address: str) -> str:
    """An address without what may open a door: servers sign addresses of files in their query."""
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


def _stated(answer: Answer) -> dict[str, Any]:
    if answer.status in _GONE:
        raise Forgotten(f"The server does not know the job any more ({_refusal(answer)})")
    if answer.status != 200:
        refused = answer.status in (401, 403) or 300 <= answer.status < 400
        raise (Stopped if refused else Failed)(f"The server did not finish the export: {_refusal(answer)}", answer.body)
    try:
        stated: Any = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        stated = None
    if not isinstance(stated, dict) or "output" not in stated or not _text(stated, "transactionTime"):
        said = outcome_of(answer.body)
        raise Stopped(
            "The server says that the export is done, and its manifest cannot be read: "
            + (f"it is an OperationOutcome ({said})" if said else "no JSON with 'output' and 'transactionTime'"),
            answer.body,
        )
    return stated


def _next(page: Mapping[str, Any]) -> str:
    links = page.get("link")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("relation") == "next" and isinstance(link.get("url"), str):
            return str(link["url"])
    return ""


def _passes(answer: Answer) -> bool:
    said = outcome_of(answer.body)
    return said is None or said.passes


def _refusal(answer: Answer) -> str:
    """What an answer says, in codes."""
    said = outcome_of(answer.body)
    redirected = " (a redirect, and none is followed)" if 300 <= answer.status < 400 else ""
    return f"status {answer.status}{redirected}" + (f", {said}" if said is not None and said.issues else "")


def _text(stated: Mapping[str, Any], name: str) -> str:
    found = stated.get(name)
    return _printable(found) if isinstance(found, str) else ""


def _printable(text: str) -> str:
    return "".join(one for one in text if one.isprintable())[:_MOST_PROGRESS].strip()


def _of(address: str) -> str:
    return without_query(address)
