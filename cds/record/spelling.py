"""What names a patient, in one spelling and no longer than the tables hold: all that comes from outside passes here once."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

from cds.addresses import base

MOST_SERVER = 255
_MOST_TEXT = 255
_ID = re.compile(r"[^\s/?#\x00-\x1f\x7f-\x9f]{1,255}")
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?", re.ASCII)
_NOT_TEXT = ("Cc", "Cs", "Zl", "Zp")
_SCOPE = "client:"


def server(address: str) -> str:
    """The base URL of a FHIR server. Raises `ValueError` for what is none, or is longer than is kept."""
    found = base(address)
    if len(found) > MOST_SERVER:
        raise ValueError(f"at most {MOST_SERVER} characters of it are kept")
    return found


def respelt(stored: str) -> str:
    """A server as it stands in the record, in the spelling of today."""
    try:
        return base(stored)
    except ValueError:
        return stored


def is_id(text: str) -> bool:
    """Whether it may be a resource's id: more than FHIR permits, but nothing that leads elsewhere."""
    return _ID.fullmatch(text) is not None


def reference(address: object) -> str:
    """An absolute reference to a patient, without version; "" for anything else."""
    stated = address.partition("/_history/")[0] if isinstance(address, str) else ""
    where, found, key = stated.rpartition("/Patient/")
    try:
        return f"{server(where)}/Patient/{key}" if found and is_id(key) else ""
    except ValueError:
        return ""


def born(stated: object) -> str:
    """A date of birth as FHIR has it: day, month or year; "" for anything else."""
    return stated if isinstance(stated, str) and _DATE.fullmatch(stated) else ""


def text(stated: object) -> str:
    """A text that can be kept. What cannot is replaced by signs that no record holds, so that it is nobody's."""
    if not isinstance(stated, str):
        return ""
    plain = "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(one) in _NOT_TEXT else one for one in stated)
    return plain if len(plain) <= _MOST_TEXT else f"{plain[: _MOST_TEXT - 1]}\N{REPLACEMENT CHARACTER}"


# patients whom a client alone names ---------------------------------------------------------------------------------


def scope(client: str) -> str:
    """What stands for the server of patients of whom a client said no server."""
    return _SCOPE + quote(client, safe="")


def scoped(client: str, where: str) -> str:
    """What stands for a server that a client said and that nobody vouches for: so it is no other client's."""
    return f"{scope(client)}/{where}"


def published(stored: str) -> str:
    """The base URL of a server as it stands in the record, as others know it; "" if none is known."""
    return stored.partition("/")[2] if stored.startswith(_SCOPE) else stored
