"""What a client prefetched: checked against what was asked for, nothing else looked at.

Three answers to a template are told apart: data; "there is none" (null, or a Bundle without entries); "could not be
had" (an OperationOutcome, or no key). Only the last is missing, and missing never reads as none.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from cds.chart.model import LeftOut
from cds.service.discovery import Template
from cds.service.problems import Problem


def wanting(prefetch: Mapping[str, Any], templates: Iterable[Template]) -> list[Template]:
    """What the client did not send, or only a first page of: worth asking its FHIR server for.

    An OperationOutcome says that the client asked already, in vain.
    """
    return [one for one in templates if one.key not in prefetch or next_page(prefetch[one.key])]


def next_page(value: Any) -> str:
    """The address of the page that follows; "" if there is none."""
    links = value.get("link") if isinstance(value, dict) and value.get("resourceType") == "Bundle" else None
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and str(link.get("relation")).lower() == "next":
            return str(link.get("url") or "?")
    return ""


def delivered(
    prefetch: Mapping[str, Any],
    templates: Iterable[Template],
    patient: str,
    most: int,
    failed: Mapping[str, str] = MappingProxyType({}),
    beside: int = 0,
) -> tuple[dict[str, Any], list[LeftOut]]:
    """The prefetched data under the asked keys, and what optional data could not be had. `failed` says of keys that were

    asked of the FHIR server why they could not be had there. `beside` are the resources that the context holds.

    Raises `Problem` 412 with every required key that is missing, 400 for what is no FHIR resource or another patient's,
    413 for more than `most` resources.
    """
    data: dict[str, Any] = {}
    left_out: list[LeftOut] = []
    missing: list[Problem] = []
    templates = tuple(templates)
    likely = _likely(prefetch, templates)
    resources = beside
    for template in templates:
        key = template.key
        place = f"prefetch.{key}"
        value = prefetch.get(key)
        if value is not None:
            resources += _checked(value, place)
        why = _why_missing(prefetch, template)
        meant = ""
        if key not in prefetch and (other := likely.get(key)):
            meant = f"You sent '{other}'; did you mean '{key}'? "
            why += f" (what was sent as '{other}' may be meant)" * (not template.required)
        if why and key in failed:
            why = f"{why}, and {failed[key]}"
        if not why:
            data[key] = value
        elif template.required:
            text = (
                f"{why}; needed for: {template.because}. {meant}{_next_step(prefetch, template, asked=key in failed)}"
            )
            missing.append(Problem(412, "required", text, place))
        else:
            unsent = key not in prefetch and key not in failed
            step = "have the EHR send them" if unsent else "see to it that they can be had"
            why += ", so not sent by the EHR" if unsent and key not in likely else ""
            left_out.append(LeftOut(place, key, why, f"{step}; they may hold {template.because}"))
    if missing:
        first, *more = missing
        raise Problem(412, first.code, first.text, first.place, *more)
    if resources > most:
        raise Problem(413, "too-long", f"there are {resources} resources in it, at most {most} are read", "prefetch")
    _check_patient(data.get("patient"), patient)
    return data, left_out


def _next_step(prefetch: Mapping[str, Any], template: Template, *, asked: bool) -> str:
    """What a client does about required data that are missing; `asked`: its FHIR server was, in vain."""
    value, searched = prefetch.get(template.key), "?" in template.query
    if template.key not in prefetch or value is None:
        send = f"Send it as prefetch.{template.key}" + ", null or an empty Bundle if there is none" * searched
        fetch = "see to it that the FHIR server can be asked" if asked else "name fhirServer, with fhirAuthorization"
        return f"{send}; or {fetch}, so that it can be fetched"
    if value["resourceType"] == "OperationOutcome":
        return "See to it that the client may read it; null says that there is none, and only that"
    return f"Send what the template finds: {template.query.partition('&')[0]}"


def _likely(prefetch: Mapping[str, Any], templates: Sequence[Template]) -> Mapping[str, str]:
    """Keys of templates that were not sent, with a key that was sent, is none, and looks like it."""
    known = {template.key for template in templates}
    strange = {_plain(key): key for key in prefetch if key not in known and _SHOWN.fullmatch(key)}
    found: dict[str, str] = {}
    for template in templates:
        close = difflib.get_close_matches(_plain(template.key), strange, n=1, cutoff=0.8)
        if close:
            found[template.key] = strange[close[0]]
    return found


_SHOWN = re.compile(r"[A-Za-z0-9 _.-]{1,40}")


def _plain(key: str) -> str:
    """A key without what is only a habit of spelling: `MedicationRequests` as `medication-requests`."""
    return re.sub(r"[^a-z0-9]", "", key.lower())


def _checked(value: Any, place: str) -> int:
    """How many resources the value holds; refuses what is no resource."""
    if not isinstance(value, dict) or not isinstance(value.get("resourceType"), str):
        raise Problem(400, "structure", "it is to be a FHIR resource, a Bundle, or null", place)
    if value["resourceType"] != "Bundle":
        return 1
    return resources_in(value)


def resources_in(value: Any) -> int:
    """How many resources a Bundle holds, those of Bundles inside of it among them."""
    found, bundles = 0, [value]
    while bundles:
        entries = bundles.pop().get("entry")
        for entry in entries if isinstance(entries, list) else ():
            found += 1
            inside = entry.get("resource") if isinstance(entry, dict) else None
            if isinstance(inside, dict) and inside.get("resourceType") == "Bundle":
                bundles.append(inside)
    return found


def _why_missing(prefetch: Mapping[str, Any], template: Template) -> str:
    if template.key not in prefetch:
        return "not in the prefetch"
    value = prefetch[template.key]
    if value is None:
        # A search may find nothing; the patient who is in context is there.
        return "" if "?" in template.query else "null, though the patient is in context"
    if value["resourceType"] == "OperationOutcome":
        return "could not be obtained by the client"
    if value["resourceType"] == "Bundle":
        return _why_incomplete(value)
    asked = template.query.partition("?")[0].partition("/")[0]
    return (
        ""
        if value["resourceType"] == asked or "?" not in template.query
        else f"{_one(value['resourceType'][:40])} instead of {_one(asked)}"
    )


def _one(kind: str) -> str:
    return f"{'an' if kind[:1] in 'AEIOU' else 'a'} {kind}"


def _why_incomplete(bundle: Mapping[str, Any]) -> str:
    """Why a Bundle does not hold all that was searched for: what was cut off must not read as what is not there."""
    if next_page(bundle):
        return "only the first page was sent; raise the page size of the prefetch"
    entries, total = bundle.get("entry"), bundle.get("total")
    if not all(bundle.get(name) is None or isinstance(bundle[name], list) for name in ("link", "entry")):
        return "the Bundle cannot be read: its entries and links are to be lists"
    found = sum(_is_match(entry) for entry in entries or ())
    if isinstance(total, int) and total > found:
        return f"only {found} of {total} were sent; raise the page size of the prefetch"
    for entry in entries if isinstance(entries, list) else ():
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(resource, dict) and resource.get("resourceType") == "OperationOutcome":
            issues = resource.get("issue")
            for issue in issues if isinstance(issues, list) else ():
                if isinstance(issue, dict) and (
                    issue.get("severity") in ("fatal", "error") or issue.get("code") in _SOMETHING_IS_MISSING
                ):
                    return "the client says that something is missing from it"
    return ""


_SOMETHING_IS_MISSING = (
    "security", "suppressed", "incomplete", "forbidden", "timeout", "throttled", "transient", "exception", "too-costly",
    "no-store", "lock-error",
)  # fmt: skip
"""Codes of an issue that say so at any severity."""


def _is_match(entry: object) -> bool:
    """Whether an entry is one of those that `total` counts."""
    search = entry.get("search") if isinstance(entry, dict) else None
    return not (isinstance(search, dict) and search.get("mode") in ("include", "outcome"))


def _check_patient(value: Any, patient: str) -> None:
    found = value
    if isinstance(value, dict) and value.get("resourceType") == "Bundle":
        entries = [entry.get("resource") for entry in value.get("entry") or () if isinstance(entry, dict)]
        found = next((entry for entry in entries if isinstance(entry, dict)), None)
    if not isinstance(found, dict) or found.get("resourceType") != "Patient":
        raise Problem(400, "structure", "it is to be the Patient resource", "prefetch.patient")
    if found.get("id") != patient:
        raise Problem(400, "value", "it is another patient than context.patientId", "prefetch.patient.id")
