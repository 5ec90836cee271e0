"""Who is answered: good tokens once, bad ones never, and always with the same words."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml
from joserfc.jwk import ECKey, KeySet
from starlette.testclient import TestClient

from cds.reasoning.loading import default_rulebook
from cds.reasoning.reasoner import Reasoner
from cds.record.database import Database
from cds.record.listing import advisories
from cds.record.recorder import Recorder
from cds.service.app import RefusedToStart, create_app
from cds.service.clients import ClientsError, load_clients
from cds.service.discovery import templates
from cds.service.keys import PUBLIC_KEYS, KeyRing
from cds.service.trust import Trust
from cds.settings import Settings
from cds.workbench.synth.requests import hook_request
from tests.exchange.servers import drip_heads, says, serving, silence
from tests.hosts.site import free_ports
from tests.service.conftest import ROOT, now
from tests.service.tokens import BAD, BASE, GOOD, ISSUER, SERVICE, Keys, claims, keys, signed

PATH = "/cds-services/exowatch-patient-view"
CLIENT = f"""
clients:
  - name: main-ehr
    issuer: {ISSUER}
    keys: keys.json
    audiences: [exowatch-production]
    may: [call, record]
"""


class Site:
    """A service that trusts the clients of a file."""

    def __init__(self, folder: Path, reasoner: Reasoner, file: str = CLIENT, **settings: Any):
        (folder / "keys.json").write_text(json.dumps(keys().public()), "utf-8")
        (folder / "clients.yaml").write_text(file, "utf-8")
        self.folder = folder
        self.database = Database(f"sqlite:///{folder}/record.sqlite", deadline=5)
        self.database.upgrade()
        recorder = Recorder(self.database, reasoner.rulebook)
        self.ring = KeyRing(clock=lambda: self.seconds)
        self.seconds = 1000.0
        clients = load_clients(folder / "clients.yaml", open_mode=bool(settings.pop("plain", False)))
        trust = Trust(clients, self.ring, recorder.responses.first_use)
        app = create_app(
            Settings(public_base_url=BASE, **settings), reasoner, recorder=recorder, trust=trust, clock=now
        )
        self.client = TestClient(app, base_url="https://cds.example", raise_server_exceptions=False)

    def asks(self, body: dict[str, Any], authorization: str | None, path: str = PATH) -> Any:
        headers = {} if authorization is None else {"Authorization": authorization}
        return self.client.post(path, json=body, headers=headers)


@pytest.fixture
def site(tmp_path: Path, reasoner: Reasoner) -> Iterator[Site]:
    found = Site(tmp_path, reasoner)
    yield found
    found.database.close()


def test_good_tokens_are_answered_and_bad_ones_are_not(
    site: Site, request_body: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("exowatch.service").propagate = True
    assert len(BAD) >= 60
    assert len(GOOD) >= 30
    refusals = set()
    for name, made in BAD.items():
        authorization = made()
        answer = site.asks(request_body, authorization)
        assert answer.status_code == 401, name
        assert "cards" not in answer.text
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        refusals.add(answer.content)
        for part in (authorization or "").split()[-1:]:
            for piece in part.split("."):
                assert len(piece) < 20 or piece not in caplog.text, name
    assert len(refusals) == 1
    assert json.loads(refusals.pop())["issue"][0]["code"] == "login"
    for name, good in GOOD.items():
        answer = site.asks(request_body, f"Bearer {good()}")
        assert answer.status_code == 200, (name, answer.text)
        assert answer.json()["cards"], name


def test_the_log_tells_which_request_of_which_client_was_refused_and_nothing_secret(
    site: Site, request_body: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("exowatch.service").propagate = True
    stranger = "https://canary.example/ehr"
    for authorization, client in (
        (f"Bearer {signed(claims(), keys().stranger)}", "main-ehr"), (f"Bearer {signed(claims(exp=5))}", "main-ehr"),
        (f"Bearer {signed(claims(iss=stranger))}", "unknown"), ("Bearer x.y.z", "unknown"), (None, "unknown"),
    ):  # fmt: skip
        caplog.clear()
        answer = site.asks(request_body, authorization)
        (said,) = [record.fields for record in caplog.records if record.message == "refused"]  # type: ignore[attr-defined]  # what the log adds
        assert said == {"request": answer.headers["X-Request-ID"], "status": 401, "code": "login", "client": client}
        assert "canary" not in caplog.text
        assert "main-ehr" not in answer.text


def test_a_token_is_taken_once(site: Site, request_body: dict[str, Any]) -> None:
    token = f"Bearer {signed(claims())}"
    assert [site.asks(request_body, token).status_code for _ in range(3)] == [200, 401, 401]
    assert site.asks(request_body, token.replace("Bearer", "bearer")).status_code == 401


def test_what_a_bad_token_names_is_not_used_up(site: Site, request_body: dict[str, Any]) -> None:
    said = claims()
    assert site.asks(request_body, f"Bearer {signed(said, keys().stranger)}").status_code == 401
    assert site.asks(request_body, f"Bearer {signed(said)}").status_code == 200


@pytest.mark.parametrize(
    ("path", "audience", "method"),
    [
        ("/cds-services/exowatch-patient-view/feedback", f"{SERVICE}/feedback", "POST"),
        ("/cds-services/exowatch-patient-view/feedback", SERVICE, "POST"),
        ("/fhir/DetectedIssue", f"{BASE}/fhir/DetectedIssue", "GET"),
        ("/fhir/DetectedIssue", f"{BASE}/fhir", "GET"),
        ("/advisories/none/dispositions", f"{BASE}/advisories/none/dispositions", "POST"),
    ],
)
def test_every_way_in_has_the_same_door(site: Site, path: str, audience: str, method: str) -> None:
    assert site.client.request(method, path, json={}).status_code == 401
    wrong = {"Authorization": f"Bearer {signed(claims(aud=f'{BASE}/elsewhere'))}"}
    assert site.client.request(method, path, json={}, headers=wrong).status_code == 401
    right = {"Authorization": f"Bearer {signed(claims(aud=audience))}"}
    assert site.client.request(method, path, json={}, headers=right).status_code in (200, 400, 404)


def test_what_needs_no_token(site: Site) -> None:
    for path in ("/cds-services", "/fhir/metadata", "/health", "/ready", "/metrics"):
        assert site.client.get(path).status_code == 200, path


def test_a_cards_link_shows_the_rule_as_it_is_in_force(site: Site, request_body: dict[str, Any]) -> None:
    (card,) = site.asks(request_body, f"Bearer {signed(claims())}").json()["cards"]
    (link,) = card["links"]
    address = link["url"].removeprefix(BASE)
    shown = site.client.get(address)
    (rule,) = (one for one in default_rulebook().rules if address == f"/rules/{one.name}")
    assert (shown.status_code, shown.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert {f"<h1>{rule.title}</h1>", f"<code>{rule.hash[:12]}</code>"} <= set(
        re.findall(r"<h1>.*?</h1>|<code>.*?</code>", shown.text)
    )
    assert shown.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert (shown.headers["X-Content-Type-Options"], shown.headers["Cache-Control"]) == ("nosniff", "no-cache")
    for linked in set(re.findall(r'href="([^"#:]+)"', shown.text)):  # the pages beside it, and what they look like
        assert site.client.get(f"/rules/{linked}").status_code == 200, linked
    written = site.client.get(f"{address}.yaml")
    assert written.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert f"version {rule.hash[:12]}" in written.text
    read_again = [one for one in yaml.safe_load_all(written.text) if one]
    assert read_again[0]["rule"] == rule.name
    assert rule.watches in [one.get("marker") for one in read_again]
    assert site.client.get("/rules/no-such-rule").status_code == 404
    for path in ("/rules", "/rules/"):  # what somebody types
        assert site.client.get(path).url.path == "/rules/index.html"


def test_discovery_can_need_a_token_too(tmp_path: Path, reasoner: Reasoner) -> None:
    site = Site(tmp_path, reasoner, discovery_needs_token=True)
    assert site.client.get("/cds-services").status_code == 401
    token = signed(claims(aud=f"{BASE}/cds-services"))
    assert site.client.get("/cds-services", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_a_client_may_do_what_its_entry_says(tmp_path: Path, reasoner: Reasoner, request_body: dict[str, Any]) -> None:
    site = Site(tmp_path, reasoner, CLIENT.replace("may: [call, record]", "may: [call]"))
    assert site.asks(request_body, f"Bearer {signed(claims())}").status_code == 200
    token = signed(claims(aud=f"{BASE}/fhir"))
    answer = site.client.get("/fhir/DetectedIssue", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 403


def test_each_tenant_sees_its_own(tmp_path: Path, reasoner: Reasoner, request_body: dict[str, Any]) -> None:
    other = Keys()
    (tmp_path / "other.json").write_text(json.dumps(other.public()), "utf-8")
    entry = "\n  - {name: other, issuer: https://b.example, keys: other.json, tenant: b, may: [call, record]}\n"
    site = Site(tmp_path, reasoner, CLIENT + entry)

    def theirs(**changes: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {signed(claims(iss='https://b.example', **changes), other.elliptic)}"}

    cards = site.asks(request_body, f"Bearer {signed(claims())}").json()["cards"]
    (advisory,) = advisories(site.database, "default")
    assert site.client.get("/fhir/DetectedIssue", headers=theirs(aud=f"{BASE}/fhir")).json()["total"] == 0
    decided = {"revision": 1, "code": "watch", "by": "board"}
    path = f"/advisories/{advisory.id}/dispositions"
    assert site.client.post(path, json=decided, headers=theirs(aud=f"{BASE}{path}")).status_code == 404
    answered = {"card": cards[0]["uuid"], "outcome": "overridden", "outcomeTimestamp": "2026-05-01T10:05:31Z"}
    taken = site.client.post(f"{PATH}/feedback", json={"feedback": [answered]}, headers=theirs()).json()
    assert taken["unknownCards"] == [cards[0]["uuid"]]
    assert site.client.post(PATH, json=request_body, headers=theirs()).status_code == 200
    assert [one.tenant for one in advisories(site.database, "b")] == ["b"]


def test_tenants_that_a_token_may_name(tmp_path: Path, reasoner: Reasoner, request_body: dict[str, Any]) -> None:
    site = Site(tmp_path, reasoner, CLIENT + "    tenants: [hospital-a, hospital-b]\n")
    for tenant, status in (("hospital-a", 200), ("hospital-c", 401), (None, 401), (5, 401)):
        assert site.asks(request_body, f"Bearer {signed(claims(tenant=tenant))}").status_code == status, tenant


def test_pinned_keys_rotate(site: Site, request_body: dict[str, Any]) -> None:
    new = ECKey.generate_key("P-384", {"kid": "ec-2027"})
    assert site.asks(request_body, f"Bearer {signed(claims(), new)}").status_code == 401
    (site.folder / "keys.json").write_text(json.dumps(KeySet([new]).as_dict(private=False)), "utf-8")
    assert site.asks(request_body, f"Bearer {signed(claims(), new)}").status_code == 200
    assert site.asks(request_body, f"Bearer {signed(claims())}").status_code == 401
    (site.folder / "keys.json").write_text("broken", "utf-8")
    assert site.asks(request_body, f"Bearer {signed(claims(), new)}").status_code == 200


def published(server: str) -> str:
    return CLIENT.replace("keys: keys.json", f"jku: [{server}/keys.json]")


def test_published_keys_are_fetched_once_and_rotate(
    tmp_path: Path, reasoner: Reasoner, request_body: dict[str, Any]
) -> None:
    shown: list[dict[str, Any]] = [keys().public()]
    with serving(lambda request: says(json.dumps(shown[0]).encode())(request)) as server:
        site = Site(tmp_path, reasoner, published(server.base), plain=True)

        def status(key: Any = None, **header: Any) -> int:
            return int(site.asks(request_body, f"Bearer {signed(claims(), key, **header)}").status_code)

        for made in BAD.values():
            site.asks(request_body, made())
        assert len(server.asked) <= 1  # a kid that nobody knows makes one attempt
        site.seconds += 61
        assert [status() for _ in range(5)] == [200] * 5
        assert [status(jku=f"{server.base}/keys.json") for _ in range(2)] == [200] * 2
        asked = len(server.asked)
        assert asked <= 2
        assert status(jku=f"{server.base}/other.json") == 401
        new = ECKey.generate_key("P-384", {"kid": "ec-2027"})
        shown[0] = dict(KeySet([new]).as_dict(private=False))
        assert status(new) in (200, 401)  # once a minute at most
        site.seconds += 61
        assert status(new) == 200
        assert status() == 401
        assert len(server.asked) <= asked + 2


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b'{"keys":5}', b'{"keys":[]}', b"<html>", b'{"keys":[{"kty":"oct","k":"AA","kid":"ec-1"}]}', b"x" * 300_000],
)  # fmt: skip
def test_a_key_set_that_is_none(tmp_path: Path, reasoner: Reasoner, request_body: dict[str, Any], body: bytes) -> None:
    with serving(says(body)) as server:
        site = Site(tmp_path, reasoner, published(server.base), plain=True)
        assert site.asks(request_body, f"Bearer {signed(claims())}").status_code == 401


def test_keys_that_are_taken_back_work_no_more(
    tmp_path: Path, reasoner: Reasoner, request_body: dict[str, Any]
) -> None:
    answers = [says(json.dumps(keys().public()).encode())]
    with serving(lambda request: answers[0](request)) as server:
        site = Site(tmp_path, reasoner, published(server.base), plain=True)
        assert site.asks(request_body, f"Bearer {signed(claims())}").status_code == 200
        answers[0] = says(b"", 500)
        site.seconds += 3700
        assert site.asks(request_body, f"Bearer {signed(claims())}").status_code == 200
        site.seconds += 3700
        assert site.asks(request_body, f"Bearer {signed(claims())}").status_code == 401


def test_a_key_server_that_hangs_holds_up_nobody_else(
    tmp_path: Path, reasoner: Reasoner, request_body: dict[str, Any]
) -> None:
    def hang(request: BaseHTTPRequestHandler) -> None:
        time.sleep(1.5)

    with serving(hang) as server, ThreadPoolExecutor(1) as threads:
        slow = f"\n  - {{name: slow, issuer: https://slow.example, jku: ['{server.base}/keys.json']}}\n"
        site = Site(tmp_path, reasoner, CLIENT + slow, plain=True)
        waiting = threads.submit(site.asks, request_body, f"Bearer {signed(claims(iss='https://slow.example'))}")
        while not server.asked:
            time.sleep(0.01)
        started = time.monotonic()
        assert site.asks(request_body, f"Bearer {signed(claims())}").status_code == 200
        assert time.monotonic() - started < 1
        assert waiting.result().status_code == 401


def test_whoever_invents_keys_holds_up_no_more_than_a_few(
    tmp_path: Path, reasoner: Reasoner, request_body: dict[str, Any]
) -> None:
    """The set of another client is fetched from a server whose answer never ends."""
    with serving(drip_heads) as server, ThreadPoolExecutor(30) as threads:
        slow = f"\n  - {{name: slow, issuer: https://slow.example, jku: ['{server.base}/keys.json']}}\n"
        site = Site(tmp_path, reasoner, CLIENT + slow, plain=True)
        stranger = ECKey.generate_key("P-384", {"kid": "ec-1"})

        def waits(number: int) -> float:
            started = time.monotonic()
            token = signed(claims(iss="https://slow.example"), stranger, kid=f"k{number}")
            assert site.asks(request_body, f"Bearer {token}").status_code == 401
            return time.monotonic() - started

        waited = sorted(threads.map(waits, range(30)))
    assert waited[-1] < 4
    assert sum(one > 1.5 for one in waited) <= 6


def test_known_keys_serve_while_the_set_is_fetched_again(
    tmp_path: Path, reasoner: Reasoner, request_body: dict[str, Any]
) -> None:
    answers = [says(json.dumps(keys().public()).encode())]
    with serving(lambda request: answers[0](request)) as server, ThreadPoolExecutor(1) as threads:
        site = Site(tmp_path, reasoner, published(server.base), plain=True)
        assert site.asks(request_body, f"Bearer {signed(claims())}").status_code == 200
        answers[0] = silence
        site.seconds += 61
        stranger = ECKey.generate_key("P-384", {"kid": "new"})
        waiting = threads.submit(site.asks, request_body, f"Bearer {signed(claims(), stranger)}")
        while len(server.asked) < 2:
            time.sleep(0.01)
        started = time.monotonic()
        assert site.asks(request_body, f"Bearer {signed(claims())}").status_code == 200
        assert time.monotonic() - started < 1
        assert waiting.result().status_code == 401


def test_a_pinned_file_that_is_deleted_shuts_the_client_out(site: Site, request_body: dict[str, Any]) -> None:
    assert site.asks(request_body, f"Bearer {signed(claims())}").status_code == 200
    (site.folder / "keys.json").unlink()
    assert site.asks(request_body, f"Bearer {signed(claims())}").status_code == 401


def test_a_pinned_file_that_stays_broken_holds_for_two_hours(site: Site, request_body: dict[str, Any]) -> None:
    assert site.asks(request_body, f"Bearer {signed(claims())}").status_code == 200
    (site.folder / "keys.json").write_text("[" * 100_000, "utf-8")
    assert site.asks(request_body, f"Bearer {signed(claims())}").status_code == 200
    site.seconds += 7300
    assert site.asks(request_body, f"Bearer {signed(claims())}").status_code == 401


def test_keys_that_everybody_has_open_nothing(tmp_path: Path, reasoner: Reasoner, request_body: dict[str, Any]) -> None:
    """The private halves of some keys stand in public repositories and in RFCs."""
    assert {len(one) for one in PUBLIC_KEYS} == {43}
    burnt = keys().elliptic
    import cds.service.keys as module

    known = module.PUBLIC_KEYS | {burnt.thumbprint()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PUBLIC_KEYS", known)
        site = Site(tmp_path, reasoner)
        assert site.asks(request_body, f"Bearer {signed(claims())}").status_code == 401
        assert site.asks(request_body, f"Bearer {signed(claims(), keys().rsa, 'RS384')}").status_code == 200


def test_while_the_record_is_away_nobody_is_told_that_they_are_strangers(
    site: Site, request_body: dict[str, Any]
) -> None:
    site.database.downgrade("base")
    answer = site.asks(request_body, f"Bearer {signed(claims())}")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert site.asks(request_body, "Bearer x").status_code == 401


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("issuer: ", "isuer: ", [":4:5: ", "unknown key 'isuer'", "did you mean 'issuer'?"]),
        ("keys: keys.json", "tenant: x", ["nothing says with which keys it signs"]),
        ("keys.json", "missing.json", ["there is no file", "missing.json"]),
        ("keys.json", "broken.json", ["broken.json is no JWK Set"]),
        ("keys.json", "private.json", ["holds a private or a shared key", "make new ones"]),
        ("keys: keys.json", "jku: ['http://ehr.example/k']", ["is to be an absolute https address"]),
        ("keys: keys.json", "jku: ['https://u:p@ehr.example/k']", ["without a user"]),
        ("may: [call, record]", "may: [everything]", ["'everything' is nothing that a client may do"]),
        ("may: [call, record]", "algorithms: [HS256]", ["'HS256' is no algorithm that is accepted"]),
        ("may: [call, record]", "networks: [10.0.0.1/8]", ["'10.0.0.1/8' is no address range"]),
        ("may: [call, record]", "longest_minutes: 0", ["between 1 minute and a day"]),
        ("may: [call, record]", "certificates: none.pem", ["there is no file"]),
        ("clients:", "client:", ["unknown key 'client'"]),
        ("name: main-ehr", f"name: {'x' * 65}", ["the name is longer than 64 characters"]),
        ("may: [call, record]", f"tenant: {'x' * 65}", ["the tenant is longer than 64 characters"]),
    ],
)
def test_mistakes_in_the_file_are_named(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    (tmp_path / "keys.json").write_text(json.dumps(keys().public()), "utf-8")
    (tmp_path / "broken.json").write_text("{}", "utf-8")
    (tmp_path / "private.json").write_text(json.dumps(KeySet([keys().elliptic]).as_dict(private=True)), "utf-8")
    (tmp_path / "clients.yaml").write_text(CLIENT.replace(old, new), "utf-8")
    with pytest.raises(ClientsError) as caught:
        load_clients(tmp_path / "clients.yaml")
    for word in words:
        assert word in str(caught.value)


def test_the_profiles_of_the_manual_are_read(tmp_path: Path) -> None:
    manual = (ROOT / "docs" / "trust.md").read_text("utf-8")
    profiles = re.findall(r"```yaml\n(.*?)```", manual, re.DOTALL)
    assert len(profiles) == 3
    (tmp_path / "main-ehr.jwks.json").write_text(json.dumps(keys().public()), "utf-8")
    for profile in profiles:
        (tmp_path / "clients.yaml").write_text(profile, "utf-8")
        assert len(load_clients(tmp_path / "clients.yaml")) == 1


def test_a_file_that_is_missing_or_says_a_thing_twice(tmp_path: Path) -> None:
    with pytest.raises(ClientsError, match="There is no file of clients"):
        load_clients(tmp_path / "clients.yaml")
    (tmp_path / "keys.json").write_text(json.dumps(keys().public()), "utf-8")
    (tmp_path / "clients.yaml").write_text(CLIENT + CLIENT.split("clients:\n")[1], "utf-8")
    with pytest.raises(ClientsError, match="stands twice"):
        load_clients(tmp_path / "clients.yaml")


@pytest.mark.parametrize("base", ["", "http://cds.example"])
def test_trust_needs_an_address_by_https(tmp_path: Path, reasoner: Reasoner, base: str) -> None:

    def nobody(*_seen: object) -> bool:
        return True

    trust = Trust({}, KeyRing(), nobody)
    with pytest.raises(RefusedToStart, match="EXOWATCH_PUBLIC_BASE_URL"):
        create_app(Settings(public_base_url=base), reasoner, trust=trust)


def test_open_mode_and_clients_exclude_each_other(reasoner: Reasoner) -> None:
    trust = Trust({}, KeyRing(), lambda *_: True)
    with pytest.raises(RefusedToStart, match="exclude each other"):
        create_app(Settings(public_base_url=BASE, open_mode=True), reasoner, trust=trust)


def test_the_page_makes_a_client_that_is_answered_on_one_machine(tmp_path: Path, example: dict[str, Any]) -> None:
    """As it is written, but for the port, and for the request, which the demo would take long to make."""
    page = (ROOT / "docs/trust.md").read_text("utf-8").split("### A client to try it with")[1]
    recipe = page.split("```sh\n")[1].split("```")[0]
    (port,) = free_ports(1)
    demo = re.search(r"(?m)^exowatch demo .*$", recipe)
    assert demo is not None
    recipe = recipe.replace(demo[0], "cp -r ../demo .").replace("exowatch serve", f"exowatch serve --port {port}")
    recipe = recipe.replace("127.0.0.1:8642", f"127.0.0.1:{port}")
    (tmp_path / "demo").mkdir()
    service = {
        "hook": "patient-view",
        "prefetch": {one.key: one.query for one in templates(default_rulebook().catalogue)},
    }
    (tmp_path / "demo" / "request.json").write_text(json.dumps(hook_request(example, service)), "utf-8")
    plain = {name: value for name, value in os.environ.items() if not name.startswith("EXOWATCH_")}
    path = f"{Path(sys.executable).parent}:{plain['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", recipe],
        cwd=tmp_path,
        env={**plain, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("200\n401\n")
    assert "0 failed" in done.stdout
    assert (tmp_path / "trial" / "trial.json").stat().st_mode & 0o077 == 0
