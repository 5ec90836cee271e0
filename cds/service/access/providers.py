"""Who else vouches for people: one file that a site writes, read at start; every mistake in it is named with its line.

    local: true                                   # whether accounts with passwords of ours may sign in too
    providers:                                    # OpenID Connect
      - name: clinic                              # part of addresses: /sign-in/clinic
        label: Account of the clinic
        issuer: https://login.clinic.example/staff
        client: exowatch
        secret_file: clinic.secret                # beside this file; without it the client is a public one
        roles: {claim: groups, map: {tumour-board: reviewer, board-chairs: [chair]}}
    smart:                                        # EHRs that launch the board
      - iss: https://ehr.example/fhir
        client: exowatch
        gives: [reader]                           # to whomever the EHR sends; or `roles`, as above

docs/sign-in.md tells all keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cds.errors import ExowatchError, Problem
from cds.exchange import Permit
from cds.service.access.roles import ROLES, Role
from cds.service.clients import authority_of, networks_of, origins_of
from cds.source import Section, raise_if_any, read_yaml

ALGORITHMS = ("RS256", "ES256", "PS256", "RS384", "ES384", "PS384", "RS512", "ES512", "PS512")
"""Signatures of ID tokens that a site may allow; none is symmetric."""
_DEFAULT_ALGORITHMS = ("RS256", "ES256", "PS256")
_KEY = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_STAFF = ("Practitioner", "PractitionerRole", "Person")
"""What somebody of the staff may be to an EHR. A `Person` may be a patient too, so a site has to say that it is not."""
_BOTH = ("secret_file", "servers", "networks", "certificates", "algorithms", "scope", "name_claim", "roles")


class SignInFileError(ExowatchError):
    """The file about sign-in cannot be used; names every mistake with its line."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """Which roles somebody has: `always`, and those that a value of a claim stands for."""

    always: frozenset[Role]
    claim: tuple[str, ...] = ()  # the way to it: ("realm_access", "roles")
    roles: Mapping[str, frozenset[Role]] | None = None

    def of(self, claims: Mapping[str, Any]) -> frozenset[Role]:
        """The roles of whom claims are about; a claim that is no text and no list of texts gives none."""
        found: Any = claims
        for step in self.claim:
            found = found.get(step) if isinstance(found, Mapping) else None
        values = [found] if isinstance(found, str) else found if isinstance(found, list) else []
        roles = self.roles or {}
        return self.always.union(*(roles.get(one, frozenset()) for one in values if isinstance(one, str)))


@dataclass(frozen=True, slots=True)
class Provider:
    """Somebody who vouches for people, and how it knows us."""

    key: str
    label: str
    issuer: str  # of ID tokens; of an EHR "" if its own configuration says it
    iss: str  # base URL of the EHR's FHIR server; "" for OpenID Connect
    client: str
    secret: str  # "" for a public client
    scope: str
    name_claim: str
    algorithms: tuple[str, ...]
    mapped: Mapped
    permit: Permit
    staff: frozenset[str] = frozenset()  # of an EHR: what its `fhirUser` may be


@dataclass(frozen=True, slots=True)
class Ways:
    """All ways to sign in."""

    local: bool = True
    providers: tuple[Provider, ...] = ()
    ehrs: tuple[Provider, ...] = ()


def load_ways(path: Path | None, *, open_mode: bool = False) -> Ways:
    """What the file says; without one, passwords of ours. Raises `SignInFileError`. `open_mode` allows http, and loopback addresses."""
    if path is None:
        return Ways()
    if not path.is_file():
        raise SignInFileError(f"There is no file at {path}. Set EXOWATCH_SIGN_IN_FILE to one; docs/sign-in.md shows it")
    problems: list[Problem] = []
    section = read_yaml(path, problems)
    ways = Ways()
    if section is not None:
        section.keys(optional=("local", "providers", "smart"))
        local = section.choice("local", ("true", "false"), "true") == "true"
        providers = tuple(_provider(one, path.parent, open_mode) for one in section.sections("providers"))
        ehrs = tuple(_ehr(one, path.parent, open_mode) for one in section.sections("smart"))
        for entries, kind, key in ((providers, "name", "providers"), (ehrs, "iss", "smart")):
            stated = [one.iss or one.key for one in entries]
            for twice in sorted({one for one in stated if one and stated.count(one) > 1}):
                section.problem(f"the {kind} '{twice}' stands twice", "each has one entry", at=key)
        if not (local or providers or ehrs):
            section.problem("nobody could sign in", "set 'local: true', or name a provider", at="local")
        ways = Ways(local, providers, ehrs)
    try:
        raise_if_any(problems)
    except ExowatchError as error:
        raise SignInFileError(str(error)) from None
    return ways


def _provider(entry: Section, folder: Path, open_mode: bool) -> Provider:
    entry.keys("name", "issuer", "client", "roles", optional=("label", *_BOTH))
    key = entry.text("name")
    if key and not _KEY.fullmatch(key):
        entry.problem(
            f"'{key}' cannot stand in an address", "small letters, digits and hyphens, such as 'clinic'", at="name"
        )
    return _read(
        entry,
        folder,
        open_mode,
        key=key,
        issuer=entry.text("issuer"),
        iss="",
        scope="openid profile",
        needs=("issuer",),
    )


def _ehr(entry: Section, folder: Path, open_mode: bool) -> Provider:
    entry.keys("iss", "client", optional=("label", "issuer", "gives", "staff", *_BOTH))
    if "gives" not in entry and "roles" not in entry:
        entry.problem("nothing says which roles people have", "add 'gives' or 'roles'")
    staff = entry.texts("staff") or _STAFF[:2]
    for one in staff:
        if one not in _STAFF:
            entry.problem(f"'{one}' is nobody of the staff", f"any of: {', '.join(_STAFF)}", at="staff")
    iss = entry.text("iss").rstrip("/")
    read = _read(
        entry,
        folder,
        open_mode,
        key="",
        issuer=entry.text("issuer"),
        iss=iss,
        scope="openid fhirUser",
        needs=("iss", "issuer"),
    )
    return replace(read, staff=frozenset(staff))


def _read(
    entry: Section,
    folder: Path,
    open_mode: bool,
    *,
    key: str,
    issuer: str,
    iss: str,
    scope: str,
    needs: tuple[str, ...],
) -> Provider:
    algorithms = entry.texts("algorithms") or _DEFAULT_ALGORITHMS
    for one in algorithms:
        if one not in ALGORITHMS:
            entry.problem(
                f"'{one}' is no signature that may be allowed", f"any of: {', '.join(ALGORITHMS)}", at="algorithms"
            )
    origins = origins_of(entry, "servers", plain=open_mode)
    for name in needs:
        origins |= origins_of(entry, name, plain=open_mode)
    scope = entry.text("scope", scope)
    if "openid" not in scope.split():
        entry.problem("without 'openid' nobody says who somebody is", f"such as '{scope} openid'", at="scope")
    return Provider(
        key=key,
        label=entry.text("label") or key or iss,
        issuer=issuer,
        iss=iss,
        client=entry.text("client"),
        secret=_secret(entry, folder),
        scope=scope,
        name_claim=entry.text("name_claim", "preferred_username"),
        algorithms=tuple(algorithms),
        mapped=_mapped(entry),
        permit=Permit(origins, networks_of(entry, nearby=open_mode), authority_of(entry, folder), plain=open_mode),
    )


def _mapped(entry: Section) -> Mapped:
    always = _roles(entry, "gives")
    if "roles" not in entry:
        return Mapped(always)
    section = entry.section("roles").keys("claim", "map")
    table = section.section("map")
    if not table.value and "map" in section:
        section.problem("no value gives a role", "lines such as 'tumour-board: reviewer'", at="map")
    return Mapped(
        always, tuple(section.text("claim").split(".")), {value: _roles(table, value) for value in table.value}
    )


def _roles(entry: Section, key: str) -> frozenset[Role]:
    found = entry.texts(key)
    for one in found:
        if one not in ROLES:
            entry.problem(f"'{one}' is no role", f"any of: {', '.join(ROLES)}", at=key)
    return frozenset(Role(one) for one in found if one in ROLES)


def _secret(entry: Section, folder: Path) -> str:
    if "secret_file" not in entry:
        return ""
    path = folder / entry.text("secret_file")
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        secret = ""
    if not secret:
        entry.problem(f"there is no secret in {path}", "a file of one line, beside this one", at="secret_file")
    return secret
