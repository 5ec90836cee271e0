"""The clients that may call: one file that a site writes, read at start; every mistake in it is named with its line.

    clients:
      - name: main-ehr
        issuer: https://ehr.example/oauth2        # the claim `iss` of its tokens
        keys: main-ehr.jwks.json                  # a pinned JWK Set, beside this file; and/or
        jku: [https://ehr.example/keys.json]      # where it publishes its keys
        audiences: [exowatch-production]          # further values of `aud` that mean this service
        fhir: [https://ehr.example]               # its FHIR servers
        networks: [10.20.0.0/16]                  # address ranges of these, beside public addresses

docs/trust.md tells all keys, with a profile for each kind of client.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey, import_key

from cds.addresses import base, origin
from cds.errors import ExowatchError, Problem
from cds.exchange.backend import Registration
from cds.exchange.network import Network, NotPermitted, Permit, origin_of
from cds.record.spelling import respelt
from cds.source import Section, raise_if_any, read_yaml

ALGORITHMS = ("ES384", "RS384", "ES256", "RS256", "PS384", "ES512", "RS512")
"""Signatures that a site may allow; the first two are those that CDS Hooks names. None is symmetric."""
_DEFAULT_ALGORITHMS = ("ES384", "RS384")
_LONGEST_MINUTES = 60
_NEARBY = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_MAY = ("call", "record", "results")
_MOST_NAME = 64


class ClientsError(ExowatchError):
    """The file of clients cannot be used; names every mistake with its line."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who may call, how its tokens are verified, and where its data are."""

    name: str  # stands in the record and in logs
    issuer: str
    tenant: str  # of the record; "" for that of the installation
    tenants: tuple[str, ...]  # permitted values of the claim `tenant`; empty: it is not looked at
    audiences: tuple[str, ...]
    algorithms: tuple[str, ...]
    pinned: Path | None
    jku: tuple[str, ...]
    longest: int  # seconds that a token may live
    may: frozenset[str]  # "call" the services; "record": read the record, report decisions; "results": send results
    keys: Permit
    fhir: Permit
    backend: Registration | None = None  # how its FHIR server knows this service, if that is asked in our own name
    home: str = ""  # base URL of its only FHIR server; "" if it has several, or the path of it is not known

    @property
    def origins(self) -> frozenset[str]:
        """Those of its FHIR servers: of their patients only it may speak, and of no others'."""
        own = {origin(self.backend.server)} if self.backend is not None else set()
        return self.fhir.origins | own


def load_clients(path: Path, *, open_mode: bool = False) -> Mapping[str, Client]:
    """The clients by issuer. Raises `ClientsError`. `open_mode` allows http and loopback addresses, for development."""
    problems: list[Problem] = []
    if not path.is_file():
        raise ClientsError(
            f"There is no file of clients at {path}. Set EXOWATCH_CLIENTS_FILE to one; docs/trust.md shows it"
        )
    section = read_yaml(path, problems)
    clients: dict[str, Client] = {}
    if section is not None:
        section.keys("clients")
        for entry in section.sections("clients"):
            found = _client(entry, path.parent, open_mode=open_mode)
            if found.issuer in clients:
                entry.problem(f"the issuer '{found.issuer}' stands twice", "an issuer has one entry", at="issuer")
            if any(found.name == other.name for other in clients.values()):
                entry.problem(f"the name '{found.name}' stands twice", "records tell clients by name", at="name")
            clients[found.issuer] = found
        if not clients and not problems:
            section.problem("there is no client", "without one nobody may call", at="clients")
    try:
        raise_if_any(problems)
    except ExowatchError as error:
        raise ClientsError(str(error)) from None
    return clients


def _client(entry: Section, folder: Path, *, open_mode: bool) -> Client:
    entry.keys(
        "name", "issuer",
        optional=(
            "tenant", "tenants", "audiences", "algorithms", "keys", "jku", "longest_minutes", "may", "fhir", "networks",
            "certificates", "backend",
        ),
    )  # fmt: skip
    jku = entry.texts("jku")
    networks = networks_of(entry, nearby=open_mode)
    pinned = folder / entry.text("keys") if "keys" in entry else None
    if pinned is not None:
        _check_key_set(entry, pinned)
    if pinned is None and not jku:
        entry.problem("nothing says with which keys it signs", "add 'keys' (a file) or 'jku' (addresses)")
    may = entry.texts("may") or ("call",)
    for one in may:
        if one not in _MAY:
            entry.problem(f"'{one}' is nothing that a client may do", f"any of: {', '.join(_MAY)}", at="may")
    algorithms = entry.texts("algorithms") or _DEFAULT_ALGORITHMS
    for one in algorithms:
        if one not in ALGORITHMS:
            entry.problem(
                f"'{one}' is no algorithm that is accepted", f"one of: {', '.join(ALGORITHMS)}", at="algorithms"
            )
    longest = entry.number("longest_minutes", _LONGEST_MINUTES)
    if not 1 <= longest <= 24 * 60:
        entry.problem(
            "a token is to live between 1 minute and a day", "most live 5 to 60 minutes", at="longest_minutes"
        )
    authority = authority_of(entry, folder)
    backend = _backend(entry.section("backend"), folder, plain=open_mode) if "backend" in entry else None
    names = {key: entry.text(key) for key in ("name", "tenant")}
    for key, stated in names.items():
        if len(stated) > _MOST_NAME:
            entry.problem(f"the {key} is longer than {_MOST_NAME} characters", "it stands in every record", at=key)
    return Client(
        name=names["name"],
        issuer=entry.text("issuer"),
        tenant=names["tenant"],
        tenants=entry.texts("tenants"),
        audiences=entry.texts("audiences"),
        algorithms=algorithms,
        pinned=pinned,
        jku=jku,
        longest=int(longest * 60),
        may=frozenset(may),
        keys=Permit(origins_of(entry, "jku", plain=open_mode), networks, authority, plain=open_mode),
        fhir=Permit(origins_of(entry, "fhir", plain=open_mode), networks, authority, plain=open_mode),
        backend=backend,
        home=_home(entry.texts("fhir"), backend),
    )


def _home(servers: Iterable[str], backend: Registration | None) -> str:
    """The base URL of the only server that is named; "" if there are several, or only its origin is known."""
    named = [*servers, *([backend.server] if backend is not None else [])]
    try:
        bases = {base(one) for one in named}
    except ValueError:
        return ""  # noted where the origins are read
    whole = {one for one in bases if one != origin(one)}
    only = whole.pop() if len(whole) == 1 else ""
    return only if only and all(origin(one) == origin(only) for one in bases) else ""


def _backend(entry: Section, folder: Path, *, plain: bool) -> Registration | None:
    entry.keys("server", "token", "client", "key", optional=("scope", "files"))
    for name in ("server", "token"):
        try:
            origin_of(entry.text(name), plain=plain)
        except NotPermitted as error:
            entry.problem(f"'{entry.text(name)}': {error}", "such as https://ehr.example/fhir", at=name)
    path = folder / entry.text("key")
    try:
        key = import_key(json.loads(path.read_text(encoding="utf-8")))
    except OSError:
        entry.problem(f"there is no file {path}", "the private key as a JWK, beside the file of clients", at="key")
        return None
    except (JoseError, ValueError, KeyError, TypeError):
        key = None
    if not isinstance(key, (ECKey, RSAKey)) or not key.is_private or not key.kid:
        entry.problem(f"{path.name} is no private key", "an EC or RSA key as a JWK, with its kid", at="key")
        return None
    scope = entry.text("scope", "system/*.read")
    files = origins_of(entry, "files", plain=plain)
    return Registration(respelt(entry.text("server")), entry.text("token"), entry.text("client"), key, scope, files)


def origins_of(entry: Section, key: str, *, plain: bool) -> frozenset[str]:
    """The origins of the addresses under a key; those that are none are noted."""
    found: set[str] = set()
    for server in entry.texts(key):
        try:
            found.add(origin_of(server, plain=plain))
        except NotPermitted as error:
            entry.problem(f"'{server}': {error}", "such as https://ehr.example", at=key)
    return frozenset(found)


def authority_of(entry: Section, folder: Path) -> Path | None:
    """The file of certificates that are trusted instead of the system's; None if the entry names none."""
    authority = folder / entry.text("certificates") if "certificates" in entry else None
    if authority is not None and not authority.is_file():
        entry.problem(f"there is no file {authority}", "a file of PEM certificates", at="certificates")
    return authority


def networks_of(entry: Section, *, nearby: bool) -> tuple[Network, ...]:
    """The address ranges of an entry; those that are none are noted. `nearby` adds this machine's, for development."""
    found: list[Network] = []
    for text in entry.texts("networks"):
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError:
            entry.problem(f"'{text}' is no address range", "such as 10.20.0.0/16", at="networks")
    return (*found, *_NEARBY) if nearby else tuple(found)


def _check_key_set(entry: Section, path: Path) -> None:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        entry.problem(f"there is no file {path}", "a JWK Set, beside the file of clients", at="keys")
        return
    except ValueError:
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("keys"), list) or not content["keys"]:
        entry.problem(f"{path.name} is no JWK Set", 'it is to be {"keys": […]} with at least one public key', at="keys")
    elif any(isinstance(key, dict) and ("d" in key or key.get("kty") == "oct") for key in content["keys"]):
        entry.problem(
            f"{path.name} holds a private or a shared key", "only public keys belong here; make new ones, these are burnt", at="keys"
        )  # fmt: skip
