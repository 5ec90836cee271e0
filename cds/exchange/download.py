"""One file of an export onto the disk: gone on with where it broke off, if the server can do that, and whole or not there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from cds.exchange.bulk import Bulk, Stopped, without_query
from cds.exchange.client import CannotFetch, Download
from cds.exchange.folder import Entry, Folder, Sent
from cds.exchange.ndjson import NotWhole, checked, is_gzip
from cds.exchange.network import NotPermitted
from cds.exchange.outcome import outcome_of
from cds.exchange.pace import BUSY

_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")
_PLAIN = ("", "identity")
_PACKED = ("gzip", "x-gzip")
_MOST_REFUSAL = 65_536
_MOST_TOKENS = 2
"""Fresh tokens that a server may refuse in a row: it would take no other."""


class Unusable(Stopped):
    """Something is wrong with one file; others may be had."""


class Away(Unusable):
    """The server hands the file out no more, at this address at least."""


class _Broken(Exception):
    """It broke off; another try may help. `headers` may say when."""

    def __init__(self, why: str, headers: Mapping[str, str] | None = None, *, token: bool = False):
        super().__init__(why)
        self.headers = headers or {}
        self.token = token  # whether another access token is all that is needed


def bring(bulk: Bulk, folder: Folder, entry: Entry, *, token: bool, came: Callable[[int], None]) -> None:
    """Have the file in the folder, whole. `token`: whether it is had with an access token; `came` is told of bytes.

    Raises `Away` and `Unusable` for this file alone, `Stopped` if the server gives nothing, `NotPermitted`, `OSError`.
    """
    number, tokens, second, reached = 0, 0, False, _size(folder, entry)
    while True:
        proved = False
        try:
            proved = _fetch(bulk, folder, entry, token, came)
            part = folder.part(entry)
            folder.place(entry, packed=is_gzip(part), resources=checked(part, entry.type, entry.count))
            return
        except NotWhole as error:
            folder.drop(entry)
            if proved or second:
                raise Unusable(f"{error}. So the server sent it") from None
            second = True
        except _Broken as error:
            size = _size(folder, entry)
            number = 1 if size > reached else number + 1
            tokens = tokens + 1 if error.token else 0
            reached = max(reached, size)
            if number >= bulk.pace.tries or tokens == _MOST_TOKENS:
                raise Stopped(f"{entry.name}: {error}; {number} times. The same command goes on later") from None
            bulk.wait(number, f"{entry.name}: {error}", error.headers)


def _fetch(bulk: Bulk, folder: Folder, entry: Entry, token: bool, came: Callable[[int], None]) -> bool:
    """All bytes of the file in its part; whether they surely are what the server has: in one piece, of a known length.

    Raises `_Broken` and what `bring` does.
    """
    sent, begin = folder.sent(entry), _size(folder, entry)
    if sent is None or (sent.total is not None and begin > sent.total):
        begin = 0
    elif sent.total == begin:
        return False  # it was had and not looked at any more
    try:
        headers = {"Accept": "application/fhir+ndjson", "Accept-Encoding": "gzip", **bulk.headers(token=token)}
        if begin and sent is not None:
            headers |= _rest(sent, begin)
        with bulk.exchange.stream(bulk.listed(entry.address), seconds=bulk.pace.answer, headers=headers) as answer:
            _land(bulk, folder, entry, answer, begin, headers, came)
            return answer.status == 200 and "content-length" in answer.headers
    except NotPermitted as error:
        raise NotPermitted(f"{entry.name}: {error}") from None
    except CannotFetch as error:
        if error.status and error.status not in BUSY:
            raise Stopped(str(error)) from None
        raise _Broken(str(error)) from None


def _land(
    bulk: Bulk, folder: Folder, entry: Entry, answer: Download, begin: int, headers: Mapping[str, str], came: Callable[[int], None]
) -> None:  # fmt: skip
    if answer.status == 206 and begin:
        sent, stated = folder.sent(entry), _sent(entry, answer)
        found = _RANGE.fullmatch(answer.headers.get("content-range", "").strip())
        if sent is None or found is None or int(found[1]) != begin or not sent.same(stated):
            folder.drop(entry)
            raise _Broken("the server went on with something else: from the beginning")
    elif answer.status == 200:
        if begin:
            bulk.tell(f"{entry.name}: the server does not go on where it broke off: from the beginning")
        folder.expect(entry, _sent(entry, answer))
    else:
        _refuse(bulk, folder, entry, answer, headers)
    with folder.writing(entry) as part:
        for piece in answer.pieces():
            part.write(piece)
            came(len(piece))
    sent, size = folder.sent(entry), _size(folder, entry)
    if sent is not None and sent.total is not None and size != sent.total:
        folder.drop(entry)
        raise _Broken(f"{size:,} bytes came, and the server said {sent.total:,}")


def _refuse(bulk: Bulk, folder: Folder, entry: Entry, answer: Download, headers: Mapping[str, str]) -> None:
    status = answer.status
    said = outcome_of(answer.start(_MOST_REFUSAL))
    why = f"status {status}" + (f", {said}" if said is not None and said.issues else "")
    if status == 401 and bulk.refused(headers):
        raise _Broken(f"the server did not take the access token ({why})", token=True)
    if status == 416:
        folder.drop(entry)
        raise _Broken(f"the server cannot go on where it broke off ({why}): from the beginning")
    if status in BUSY:
        raise _Broken(f"the server is busy ({why})", answer.headers)
    if 300 <= status < 400:
        raise Unusable(f"the server leads elsewhere ({why}), and no redirect is followed")
    raise Away(f"the server does not hand it out ({why})")


def _rest(sent: Sent, begin: int) -> dict[str, str]:
    """The headers that ask for the rest, if it is still the same file."""
    strong = sent.tag if sent.tag and not sent.tag.startswith("W/") else sent.modified
    return {"Range": f"bytes={begin}-", **({"If-Range": strong} if strong else {})}


def _sent(entry: Entry, answer: Download) -> Sent:
    """What an answer says of its file. Raises `Unusable` for an encoding that nobody asked for."""
    headers = answer.headers
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in (*_PLAIN, *_PACKED):
        raise Unusable("the server sent it in an encoding that was not asked for")
    total = headers.get("content-length", "")
    if answer.status == 206:
        total = headers.get("content-range", "").rpartition("/")[2]
    return Sent(
        without_query(entry.address),
        "gzip" if encoding in _PACKED else "",
        headers.get("etag", ""),
        headers.get("last-modified", ""),
        int(total) if total.isascii() and total.isdecimal() and len(total) < 19 else None,
        "content-length" in headers or "transfer-encoding" in headers,
    )


def _size(folder: Folder, entry: Entry) -> int:
    try:
        return folder.part(entry).stat().st_size if folder.sent(entry) is not None else 0
    except OSError:
        return 0
