"""Whose a resource is. A result that goes to the wrong patient is worse than one that is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cds.chart.assay import items
from cds.chart.clock import relative
from cds.chart.envelope import Entry

Json = dict[str, Any]


class Patients:
    """The patients of an input, each under one key: `Patient/123`, or the full URL of one without an id.

    References reach them relatively, by absolute URL, by urn:uuid or by business identifier. A relative reference in an
    entry with a server's URL means that server; an absolute one to another server means another patient.
    """

    def __init__(self, entries: Sequence[Entry]):
        self._keys: dict[str, None] = {}
        self._by_name: dict[str, str] = {}
        self._by_identifier: dict[tuple[Any, Any], str] = {}
        self._servers: dict[str, str] = {}  # patient -> server base, as its full URL gives it
        for entry in entries:
            if entry.kind == "Patient":
                self._enter(entry)
        self.owners = self._owners(entries)
        """For each entry the key of the patient whose resource it is; None if it does not say."""
        self._keys.update(dict.fromkeys(filter(None, self.owners)))

    def _enter(self, entry: Entry) -> None:
        resource, key, url = entry.resource, entry.ref, entry.url
        base = _base(url)
        if base is not None and self._servers.setdefault(key, base) != base and url is not None:
            key = url.partition("/_history/")[0]  # two servers that number their patients alike
            self._servers[key] = base
        self._keys[key] = None
        self._by_name[key] = key
        if url is not None:
            self._by_name[url.partition("/_history/")[0]] = key
        for identifier in items(resource.get("identifier")):
            system, value = identifier.get("system"), identifier.get("value")
            if isinstance(system, str) and isinstance(value, str):
                self._by_identifier[system, value] = key

    def keys(self) -> list[str]:
        """Every patient that has a resource here or is the subject of one, in the order of appearance."""
        return list(self._keys)

    def named(self, name: str) -> str:
        """The key of the patient that a caller means by an id, a reference or a URL."""
        if name in self._by_name:
            return self._by_name[name]
        return self._by_reference(name if "/" in name or ":" in name else f"Patient/{name}", None)

    def _owners(self, entries: Sequence[Entry]) -> list[str | None]:
        owners: list[str | None] = []
        named = self._by_name if len(self._servers) < 2 else {}
        for entry in entries:
            try:  # the usual shape: one patient, whom every resource names alike
                owners.append(named[entry.resource["subject"]["reference"]])
            except (KeyError, TypeError):
                owners.append(self._owner(entry))
        return owners

    def _owner(self, entry: Entry) -> str | None:
        resource = entry.resource
        if entry.kind == "Patient":
            name = resource.get("id")
            url = entry.url.partition("/_history/")[0] if entry.url else None
            if url is not None and url in self._by_name:
                return self._by_name[url]
            return f"Patient/{name}" if isinstance(name, str) and name else entry.path
        subject = resource.get("subject") or resource.get("patient")
        if not isinstance(subject, dict):
            return None
        target = subject.get("reference")
        if isinstance(target, str) and target:
            if target[0] != "#":
                return self._by_reference(target, entry.url)
            for contained in items(resource.get("contained")):
                if contained.get("id") == target[1:]:
                    return self._by_identifiers(items(contained.get("identifier")))
            return None
        return self._by_identifiers(items(subject.get("identifier")))

    def _by_reference(self, target: str, url: str | None) -> str:
        target = target.partition("/_history/")[0]
        base = _base(url)
        if "://" not in target and not target.startswith("urn:"):
            if base is not None and f"{base}/{target}" in self._by_name:
                return self._by_name[f"{base}/{target}"]
            known = self._by_name.get(target)
            if known is not None and (base is None or self._servers.get(known, base) == base):
                return known
            return target if known is None else f"{base}/{target}"
        if target in self._by_name:
            return self._by_name[target]
        tail = relative(target)
        known = self._by_name.get(tail)
        if known is None or target.startswith("urn:") or known in self._servers:
            return target if known is not None or target.startswith("urn:") else tail
        return known

    def _by_identifiers(self, identifiers: Any) -> str | None:
        named = None
        for identifier in identifiers:
            system, value = identifier.get("system"), identifier.get("value")
            if isinstance(system, str) and isinstance(value, str):
                if (system, value) in self._by_identifier:
                    return self._by_identifier[system, value]
                named = named or f"{system}|{value}"
        # An identifier that the patient's resource does not carry may be another's.
        return named


def _base(url: str | None) -> str | None:
    """The server of a full URL of the web; None for a urn."""
    if url is None or not url.startswith("http"):
        return None
    return url.partition("/_history/")[0].rsplit("/", 2)[0]
