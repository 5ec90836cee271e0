"""Talking to the service under test: discovery, complete requests for its hooks, signed calls."""

from __future__ import annotations

import copy
import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey, import_key

from cds.conformance.servers import FhirServer, found_by
from cds.errors import ExowatchError

Json = dict[str, Any]
PATIENT_CONTEXT = "{{context.patientId}}"
_DATED = date(2025, 4, 22)
"""The day on which the example patient's last result is a day old."""
_EXAMPLE = "trpc5-suspected"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_DAY = re.compile(r"(?<!\d)(20[12]\d)-(\d\d)-(\d\d)(?!\d)")


class CannotProbe(ExowatchError):
    """The service cannot be tested at all: it does not answer, or offers nothing."""


class Fails(Exception):
    """The service does not do what a row asks; says what it did."""


class NotHere(Exception):
    """The row cannot be tested on this service; says why."""


@dataclass(frozen=True, slots=True)
class Signer:
    """A client that the service knows: its issuer, its private key, and further claims."""

    issuer: str
    key: ECKey | RSAKey = field(repr=False)
    algorithm: str = "ES384"
    base: str = ""  # the address that tokens are made for, if it is not the one that is called
    claims: Mapping[str, Any] = field(default_factory=dict)

    def token(self, audience: str, *, header: Mapping[str, Any] | None = None, **changes: Any) -> str:
        """A new token; claims and header fields that are changed to None are left out."""
        now = int(time.time())
        said = {
            "iss": self.issuer, "aud": audience, "iat": now, "exp": now + 300, "jti": str(uuid.uuid4()), **self.claims, **changes,
        }  # fmt: skip
        stated = {"alg": self.algorithm, "typ": "JWT", "kid": self.key.kid, **(header or {})}
        registry = jws.JWSRegistry(algorithms=[self.algorithm], strict_check_header=False)
        payload = json.dumps({name: value for name, value in said.items() if value is not None}).encode()
        whole = {name: value for name, value in stated.items() if value is not None}
        return jws.serialize_compact(whole, payload, self.key, registry=registry)


def read_signer(path: Path) -> Signer:
    """A client file: `{"issuer": …, "key": {a private JWK}, "algorithm": …, "base": …, "claims": {…}}`. Raises `CannotProbe`."""
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
        key = import_key(stated["key"])
        if not isinstance(key, (ECKey, RSAKey)) or not key.is_private or not key.kid:
            raise CannotProbe(f"{path}: 'key' is to be a private EC or RSA key with a kid")
        return Signer(
            stated["issuer"], key, stated.get("algorithm", "ES384"), stated.get("base", "").rstrip("/"), stated.get("claims", {})
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError, JoseError) as error:
        raise CannotProbe(
            f'{path} is no client file ({type(error).__name__}): it is to be JSON with "issuer" and "key" (a private JWK)'
        ) from None


class Probe:
    """One service under test, at its base URL. Raises `CannotProbe` for what is no such address."""

    def __init__(self, base: str, signer: Signer | None = None, *, seconds: float = 10.0, client: Any = None):
        if not re.match(r"https?://[^/]", base):
            raise CannotProbe(
                f"'{base}' is no address: write the base URL, such as https://cds.example or http://localhost:8000"
            )
        self.base = base.rstrip("/").removesuffix("/cds-services")
        self.signer = signer
        self._client = client or httpx2.Client(timeout=seconds, follow_redirects=False)
        self.took: list[float] = []  # seconds of each complete call
        self.patients: dict[str, None] = {}
        """Ids of the made-up patients about whom it answered, and which it may have kept."""

    def close(self) -> None:
        self._client.close()
        if "server" in vars(self):
            self.server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # calls ---------------------------------------------------------------------------------------------------------

    def send(self, method: str, path: str, *, signed: bool = True, **more: Any) -> httpx2.Response:
        """One call, with a token of its own if the service knows us."""
        headers = dict(more.pop("headers", {}))
        if signed and self.signer is not None and "Authorization" not in headers:
            headers["Authorization"] = f"Bearer {self.signer.token(self.audience(path))}"
        try:
            answer: httpx2.Response = self._client.request(method, f"{self.base}{path}", headers=headers, **more)
        except httpx2.TimeoutException:
            raise Fails(f"{method} {path}: no answer in time") from None
        except httpx2.HTTPError as error:
            untrusted = "CERTIFICATE_VERIFY_FAILED" in str(error)
            broken = "it could not be reached" if isinstance(error, httpx2.ConnectError) else "the connection broke"
            why = "its certificate is not trusted" if untrusted else broken
            raise Fails(f"{method} {path}: no answer ({why})") from None
        body = more.get("json")
        if answer.status_code == 200 and isinstance(body, dict) and isinstance(body.get("context"), dict):
            self.patients[str(body["context"].get("patientId", ""))] = None
        return answer

    def audience(self, path: str) -> str:
        """The address that a token for a call is made for."""
        base = self.signer.base if self.signer is not None and self.signer.base else self.base
        return f"{base}{path}"

    def call(self, service: Json, body: Any = None, **more: Any) -> httpx2.Response:
        """A hook call; with a complete request if none is given."""
        body = self.request(service) if body is None else body
        started = time.perf_counter()
        answer = self.send("POST", path_of(service), json=body, **more)
        if "signed" not in more and "headers" not in more:
            self._check_known(answer)
        self.took.append(time.perf_counter() - started)
        return answer

    def _check_known(self, answer: httpx2.Response) -> None:
        """Raises `CannotProbe` if we are refused for want of a token: every row would fail for the same reason."""
        if answer.status_code == 401 and self.signer is None:
            raise CannotProbe("this service wants a token: give --client FILE")

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine."""
        return urlsplit(self.base).hostname in _LOOPBACK

    def without_tls(self, path: str) -> httpx2.Response | None:
        """The answer to whoever calls without TLS and without a token; None if there is none."""
        try:
            answer: httpx2.Response = self._client.request("GET", f"http{self.base.removeprefix('https')}{path}")
        except httpx2.HTTPError:
            return None
        return answer

    # what it offers ------------------------------------------------------------------------------------------------

    @cached_property
    def discovery(self) -> httpx2.Response:
        try:
            answer = self.send("GET", "/cds-services")
        except Fails as failed:
            hint = "Is it the base URL, and is the service up?"
            if "certificate" in str(failed):
                hint = "If your own authority signed it, name its certificates: SSL_CERT_FILE=authority.pem exowatch conform …"
            raise CannotProbe(f"{self.base} does not answer: {failed}. {hint}") from None
        self._check_known(answer)
        return answer

    @cached_property
    def services(self) -> list[Json]:
        """The services of the discovery document that can be looked at at all."""
        try:
            found = self.discovery.json()["services"]
        except (ValueError, KeyError, TypeError):
            raise Fails("discovery holds no services") from None
        if not isinstance(found, list):
            raise Fails("'services' is no list")
        return [one for one in found if isinstance(one, dict) and isinstance(one.get("id"), str)]

    def of(self, *hooks: str) -> Json:
        """A service of one of the hooks, the first if none is named."""
        for service in self.services:
            if not hooks or service.get("hook") in hooks:
                return service
        raise NotHere(f"no service of hook {' or '.join(hooks)}" if hooks else "no service is offered")

    @property
    def hooked(self) -> Json:
        """A service of a hook for which a request can be made."""
        return self.of(*_CONTEXTS)

    # requests ------------------------------------------------------------------------------------------------------

    @cached_property
    def patient(self) -> list[Json]:
        """The resources of a made-up patient, dated so that the last result is of yesterday.

        Nobody was asked about them before: what a service remembers of earlier calls is of other patients.
        """
        moved = date.today() - _DATED
        text = _DAY.sub(lambda day: _moved(day, moved), _example()).replace(
            _EXAMPLE, f"{_EXAMPLE}-{uuid.uuid4().hex[:8]}"
        )
        return [entry["resource"] for entry in json.loads(text)["entry"]]

    @cached_property
    def server(self) -> FhirServer:
        """A FHIR server on this machine that has the made-up patient's record."""
        return FhirServer(self.patient)

    def request(self, service: Json) -> Json:
        """A complete request for a service: all that its prefetch asks for, from the made-up patient."""
        hook = service.get("hook")
        if hook not in _CONTEXTS:
            raise NotHere(f"no request can be made for hook {hook}")
        person = next(one for one in self.patient if one["resourceType"] == "Patient")
        order = {
            "resourceType": "MedicationRequest", "id": "draft-1", "status": "draft", "intent": "order",
            "subject": {"reference": f"Patient/{person['id']}"},
            "medicationCodeableConcept": {
                "coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "56946"}], "text": "paclitaxel",
            },
        }  # fmt: skip
        everything: Json = {
            "userId": "Practitioner/probe",
            "patientId": person["id"],
            "encounterId": "probe-1",
            "selections": ["MedicationRequest/draft-1"],
            "draftOrders": {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": order}]},
        }
        return {
            "hook": hook,
            "hookInstance": str(uuid.uuid4()),
            "context": {name: copy.deepcopy(everything[name]) for name in _CONTEXTS[hook]},
            "prefetch": {key: self._prefetched(query) for key, query in (service.get("prefetch") or {}).items()},
        }

    def _prefetched(self, query: Any) -> Any:
        found = copy.deepcopy(found_by(str(query), self.patient))
        if "?" not in str(query):
            return found[0] if found else None
        entries = [{"resource": one} for one in found]
        return (
            {"resourceType": "Bundle", "type": "searchset", "total": len(entries), "entry": entries} if found else None
        )

    # answers -------------------------------------------------------------------------------------------------------

    @cached_property
    def answers(self) -> list[tuple[Json, Json]]:
        """Each service with its answer to a complete request."""
        found: list[tuple[Json, Json]] = []
        for service in self.services:
            if service.get("hook") not in _CONTEXTS:
                continue
            answer = self.call(service)
            if answer.status_code == 200:
                found.append((service, parsed(answer)))
        if not found:
            raise Fails("no service answers a complete request with 200")
        return found

    @property
    def cards(self) -> Iterator[Json]:
        """Every card of these answers. Raises `NotHere` if there is none."""
        found = [card for _, answer in self.answers for card in answer.get("cards") or () if isinstance(card, dict)]
        if not found:
            raise NotHere("the made-up patient gets no card here")
        yield from found


_USER = ("userId", "patientId", "encounterId")
_CONTEXTS = {
    "patient-view": _USER,
    "encounter-start": _USER,
    "order-select": (*_USER, "selections", "draftOrders"),
    "order-sign": (*_USER, "draftOrders"),
}


def path_of(service: Json) -> str:
    return f"/cds-services/{service['id']}"


def parsed(answer: httpx2.Response) -> Json:
    """The JSON object of an answer. Raises `Fails` for anything else."""
    try:
        found = json.loads(answer.content)
    except ValueError:
        raise Fails(f"status {answer.status_code} with a body that is no JSON") from None
    if not isinstance(found, dict):
        raise Fails(f"status {answer.status_code} with JSON that is no object")
    return found


def without(body: Json, *path: str) -> Json:
    """A request without what stands at a path."""
    found = copy.deepcopy(body)
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    inner.pop(path[-1])
    return found


def changed(body: Json, value: Any, *path: str) -> Json:
    """A request with another value at a path."""
    found = copy.deepcopy(body)
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return found


def _moved(day: re.Match[str], by: timedelta) -> str:
    return (date(int(day[1]), int(day[2]), int(day[3])) + by).isoformat()


def _example() -> str:
    packaged = Path(str(files("cds") / "_data" / "fhir" / "examples"))
    folder = packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "fhir" / "examples"
    return (folder / "trpc5-suspected.json").read_text(encoding="utf-8")
