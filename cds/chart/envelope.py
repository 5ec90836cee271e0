"""What FHIR JSON comes in: a Bundle, a list, a single resource, NDJSON, or a captured CDS Hooks request.

Only what cannot be read at all raises `InputError`; a part that cannot be read is set aside as `LeftOut`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from cds.chart.model import LeftOut
from cds.errors import InputError

_DECODER = msgspec.json.Decoder(float_hook=Decimal)
NOT_JSON = {
    b"\xff\xfe\x00\x00": ("it is UTF-32", "save it as UTF-8"),
    b"\xff\xfe": ("it is UTF-16", "save it as UTF-8"),
    b"\xfe\xff": ("it is UTF-16", "save it as UTF-8"),
    b"\x1f\x8b": ("it is compressed with gzip", "unpack it first"),
    b"PK": ("it is a ZIP archive", "unpack it first"),
    b"%P": ("it is a PDF", "FHIR JSON is needed"),
    b"MS": ("it is an HL7 v2 message", "give it to the result intake"),
    b"<": ("it is XML or HTML", "ask the server for application/fhir+json"),
}
"""By its first signs what an input is that is no JSON, and what to do."""


class Entry(msgspec.Struct, frozen=True):
    """One resource of the input: its type, how results call it, where it stands, and the full URL that its Bundle gives it."""

    resource: dict[str, Any]
    kind: str
    ref: str  # "Observation/123"; its full URL or its place if it has no id
    path: str
    url: str | None


@dataclass(slots=True)
class Envelope:
    """The resources of an input; `patient` is the one a CDS Hooks request names."""

    entries: list[Entry] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    patient: str | None = None


def unpack(data: bytes | str | dict[str, Any] | list[Any]) -> Envelope:
    """Take an input apart. Raises `InputError` if nothing of it can be read."""
    envelope = Envelope()
    if isinstance(data, (str, bytes, bytearray, memoryview)):
        for content, path in _decoded(_as_bytes(data), envelope):
            _open(content, path, envelope)
    else:
        _open(data, "", envelope)
    return envelope


def _as_bytes(data: str | bytes | bytearray | memoryview) -> bytes:
    if isinstance(data, str):
        try:
            return data.removeprefix("\ufeff").encode()
        except UnicodeEncodeError as error:
            raise InputError(f"The text holds half a character at position {error.start}: decode it as UTF-8") from None
    return bytes(data).removeprefix(b"\xef\xbb\xbf")


def _decoded(data: bytes, envelope: Envelope) -> Iterator[tuple[Any, str]]:
    try:
        content = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError) as error:
        lines = data.splitlines()
        if len([line for line in lines if line.strip()]) < 2 or not _is_object(lines):
            raise _refusal(data, error) from None
        yield from _ndjson(lines, envelope)
        return
    yield content, ""


def _ndjson(lines: list[bytes], envelope: Envelope) -> Iterator[tuple[Any, str]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            content = _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError) as error:
            envelope.left_out.append(
                LeftOut(f"line {number}", "line", f"not JSON: {_complaint(error)}", "export this line again", True)
            )
            continue
        yield content, f"line {number}"


def _is_object(lines: list[bytes]) -> bool:
    """Whether some early line is a whole JSON object: then it is NDJSON with broken lines, not one broken document."""
    for line in [line for line in lines if line.strip()][:20]:
        try:
            if isinstance(_DECODER.decode(line), dict):
                return True
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError):
            continue
    return False


def _complaint(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error).removeprefix("JSON is malformed: ")


def _refusal(data: bytes, error: Exception) -> InputError:
    if not data.strip():
        return InputError(
            "The input is empty. Likely the file was not written or the request has no body: send it again"
        )
    for start, (what, hint) in NOT_JSON.items():
        if data.lstrip().startswith(start):
            return InputError(f"The input is not JSON: {what}. {hint[0].upper()}{hint[1:]}")
    try:
        data.decode()
    except UnicodeDecodeError as bad:
        return InputError(
            f"The input is not UTF-8 at {_place(data, bad.start)} (byte 0x{data[bad.start]:02x}). Likely it was saved "
            "as Latin-1 or Windows-1252: save it as UTF-8"
        )
    text = _complaint(error)
    if isinstance(error, RecursionError):
        return InputError(f"The input is {text}. No FHIR resource is: check what made it")
    if "truncated" in text:
        return InputError(
            f"The JSON ends too early, at {_place(data, len(data))}. Likely a broken transfer: send it again"
        )
    what, _, position = text.rpartition(" (byte ")
    place = _place(data, int(position[:-1])) if position[:-1].isdigit() else "an unknown place"
    return InputError(f"The input is not JSON: {what or text} at {place}. Check what wrote it there")


def _place(data: bytes, byte: int) -> str:
    line, before = data.count(b"\n", 0, byte) + 1, data.rfind(b"\n", 0, byte)
    return f"line {line}, column {byte - before}"


def _open(content: Any, path: str, envelope: Envelope) -> None:
    if isinstance(content, list):
        for number, item in enumerate(content):
            _add(item, f"{path}[{number}]", None, envelope)
    elif not isinstance(content, dict):
        if path:
            envelope.left_out.append(LeftOut(path, "line", "no FHIR resource", "each line is one JSON object", True))
            return
        raise InputError(
            "The input is JSON, but no FHIR resource: it is to be an object with a resourceType, or a list"
        )
    elif "resourceType" not in content and ("prefetch" in content or "hook" in content):
        _open_hook(content, envelope)
    elif "resourceType" not in content and not path:
        raise InputError(
            "The input has no resourceType. Likely a wrapper of another API: send the FHIR resource or Bundle inside it"
        )
    else:
        _add(content, path or str(content["resourceType"]), None, envelope)


def _open_hook(request: dict[str, Any], envelope: Envelope) -> None:
    context, prefetch = request.get("context"), request.get("prefetch")
    patient = context.get("patientId") if isinstance(context, dict) else None
    if isinstance(patient, str) and patient:
        envelope.patient = patient
    if not isinstance(prefetch, dict):
        envelope.left_out.append(
            LeftOut("prefetch", "prefetch", "the request brings no data", "see the discovery", True)
        )
        return
    for key, value in prefetch.items():
        if isinstance(value, list):
            _open(value, f"prefetch.{key}", envelope)
        elif value is not None:  # null: the server looked, and there is none
            _add(value, f"prefetch.{key}", None, envelope)


def _add(resource: Any, path: str, url: str | None, envelope: Envelope) -> None:
    """Add one resource; of a Bundle, what it holds."""
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        envelope.left_out.append(
            LeftOut(path, "entry", "no FHIR resource: it has no resourceType", "check its source", _hides(path))
        )
        return
    kind = resource["resourceType"]
    if kind == "Bundle":
        _add_bundle(resource, path, envelope)
    elif kind == "OperationOutcome":
        envelope.left_out.append(
            LeftOut(
                path,
                kind,
                f"the server answered: {_diagnosis(resource)}",
                "ask again; what it held back is missing",
                _hides(path) and _is_error(resource),
            )
        )
    else:
        envelope.entries.append(Entry(resource, kind, _ref(resource, kind, path, url), path, url))


def _ref(resource: dict[str, Any], kind: str, path: str, url: str | None) -> str:
    name = resource.get("id")
    return f"{kind}/{name}" if name and isinstance(name, str) else url or path


_OPENED = frozenset({"Bundle", "OperationOutcome"})


def _add_bundle(bundle: dict[str, Any], path: str, envelope: Envelope) -> None:
    links = bundle.get("link")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("relation") == "next":
            envelope.left_out.append(
                LeftOut(path, "Bundle", "more pages follow that are not in the input", "send all pages", _hides(path))
            )
    entries = bundle.get("entry")
    if entries is None:
        return
    if not isinstance(entries, list):
        envelope.left_out.append(
            LeftOut(f"{path}.entry", "Bundle", "entry is no list", "check its source", _hides(path))
        )
        return
    add = envelope.entries.append
    for number, entry in enumerate(entries):
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(resource, dict):
            kind = resource.get("resourceType")
            place = f"{path}.entry[{number}].resource"
            if isinstance(kind, str) and kind not in _OPENED:
                url = entry.get("fullUrl")
                if not isinstance(url, str) or not url:
                    url = None
                add(Entry(resource, kind, _ref(resource, kind, place, url), place, url))
            else:
                _add(resource, place, None, envelope)
        else:
            envelope.left_out.append(
                LeftOut(
                    f"{path}.entry[{number}]",
                    "entry",
                    "an entry without resource",
                    "nothing can be read from it",
                    _hides(path),
                )
            )


def _is_error(outcome: dict[str, Any]) -> bool:
    """Whether something failed: a search may also bring an outcome that only informs."""
    issues = outcome.get("issue")
    told = [issue.get("severity") for issue in issues if isinstance(issue, dict)] if isinstance(issues, list) else []
    return not told or any(severity not in ("information", "warning") for severity in told)


def _hides(path: str) -> bool:
    """Whether marker results may have stood there: in a hook request only under the keys for Observations and results."""
    return not path.startswith("prefetch.") or path.startswith(("prefetch.observations", "prefetch.results"))


def _diagnosis(outcome: dict[str, Any]) -> str:
    issues = outcome.get("issue")
    for issue in issues if isinstance(issues, list) else ():
        if isinstance(issue, dict):
            details = issue.get("details")
            text = issue.get("diagnostics") or (details.get("text") if isinstance(details, dict) else None)
            return str(text or issue.get("code") or "an error")[:200]
    return "an error"
