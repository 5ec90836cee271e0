"""The one way out of the process: only to listed servers at permitted addresses, in time, and not too much."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpcore2
import pytest

from cds.exchange import CannotFetch, Exchange, NotPermitted, Permit
from cds.exchange.network import Checked, origin_of
from tests.exchange.servers import Answer, Server, certificate_for, drip, drip_heads, says, serving, silence

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(says(b'{"ok":true}')) as found:
        yield found


def permit(*servers: Server) -> Permit:
    return Permit(frozenset(server.base for server in servers), LOOPBACK, plain=True)


def get(address: str, allowed: Permit, *, seconds: float = 5, most: int = 1000) -> bytes:
    exchange = Exchange(allowed)
    try:
        return exchange.get(address, seconds=seconds, most=most, headers={"Authorization": "Bearer t"})
    finally:
        exchange.close()


def test_a_listed_server_is_asked_with_the_token(server: Server) -> None:
    assert get(f"{server.base}/Patient/1", permit(server)) == b'{"ok":true}'
    ((path, headers),) = server.asked
    assert (path, headers["Authorization"]) == ("/Patient/1", "Bearer t")


@pytest.mark.parametrize(
    "address",
    [
        "https://elsewhere.example/x", "http://localhost:1/x", "ftp://localhost/x", "/Patient/1", "", "https://", "file:///etc/passwd",
        "http://user:word@localhost/x", "http://localhost.evil.example/x", "http://[::1", "https://localhost:99999/x",
        "https://localhost..evil.example/x", "https://localhost%00.evil.example/x", "https://löcalhost/x",
    ],
)  # fmt: skip
def test_what_is_not_listed_is_not_asked(server: Server, address: str) -> None:
    with pytest.raises(NotPermitted):
        get(address, permit(server))
    assert server.asked == []


def test_a_listed_name_that_leads_to_another_network_is_not_connected_to(server: Server) -> None:
    elsewhere = Permit(frozenset({server.base}), (ipaddress.ip_network("10.0.0.0/8"),), plain=True)
    with pytest.raises(NotPermitted, match="outside the permitted ranges"):
        get(f"{server.base}/x", elsewhere)
    assert server.asked == []


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("8.8.8.8", True), ("10.1.2.3", True), ("10.9.2.3", False), ("192.168.0.1", False), ("169.254.169.254", False),
        ("127.0.0.1", False), ("::1", False), ("fe80::1%eth0", False), ("::ffff:127.0.0.1", False), ("::ffff:10.1.0.9", True),
        ("240.0.0.1", False), ("224.0.0.1", False), ("2001:4860:4860::8888", True), ("fd00::1", False), ("100.64.0.1", False),
        ("64:ff9b::a9fe:a9fe", False), ("64:ff9b::a00:1", False), ("64:ff9b::808:808", True), ("64:ff9b:1::a00:1", False),
        ("2002:a00:1::1", False), ("2002:7f00:1::", False), ("2002:808:808::1", True), ("::7f00:1", False), ("fec0::1", False),
        ("::ffff:0:127.0.0.1", False), ("192.0.0.8", False), ("64:ff9b::a01:9", True),
    ],
)  # fmt: skip
def test_addresses_that_may_be_connected_to(address: str, allowed: bool) -> None:
    assert Permit(frozenset(), (ipaddress.ip_network("10.1.0.0/16"),)).allows(address) is allowed


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("https://EHR.example/fhir", "https://ehr.example"), ("https://ehr.example:443/x", "https://ehr.example"),
        ("https://ehr.example.:8443/", "https://ehr.example:8443"), ("https://[2001:db8::1]/x", "https://[2001:db8::1]"),
        ("HTTPS://ehr.example:0443", "https://ehr.example"), ("https://[2001:DB8:0::1]:443/", "https://[2001:db8::1]"),
    ],
)  # fmt: skip
def test_one_origin_has_one_spelling(address: str, origin: str) -> None:
    assert origin_of(address) == origin


@pytest.mark.parametrize("name", ["a..b", "a" * 64 + ".example", "xn--a.example"])
def test_a_name_that_is_none_is_an_error_like_any_other(name: str) -> None:
    anywhere = Permit(frozenset(), LOOPBACK, plain=True, public=False, anywhere=True)
    with pytest.raises((CannotFetch, NotPermitted)):
        get(f"https://{name}/x", anywhere)
    network = Checked(Permit(frozenset(), plain=True))
    with pytest.raises(httpcore2.ConnectError):
        network.connect_tcp(name, 443, 1)
    network.close()


def test_a_redirect_is_not_followed(server: Server) -> None:
    with (
        serving(says(b"", 302, Location=f"{server.base}/secret")) as lying,
        pytest.raises(CannotFetch, match="status 302"),
    ):
        get(f"{lying.base}/x", permit(lying, server))
    assert server.asked == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (says(b"x" * 2000), "longer than 1000 bytes"),
        (says(b"", 500), "status 500"),
        (says(b"", 401), "status 401"),
        (says(b"x", Content_Encoding="gzip"), "compressed"),
        (drip, "in time"),
        (drip_heads, "in time"),
        (silence, "in time"),
        (
            lambda request: request.wfile.write(b"nonsense\r\n\r\n"),
            "cannot be reached: it breaks off, or what it answers is no HTTP$",
        ),
        (lambda request: request.connection.close(), "cannot be reached"),
    ],
)
def test_what_cannot_be_used_is_named(answer: Answer, words: str) -> None:
    with serving(answer) as broken:
        started = time.monotonic()
        with pytest.raises(CannotFetch, match=words):
            get(f"{broken.base}/x", permit(broken), seconds=0.5)
        assert time.monotonic() - started < 2


def test_a_handshake_that_never_ends_holds_up_nobody_for_long() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        base = f"https://localhost:{mute.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(CannotFetch, match="in time"):
            get(f"{base}/x", Permit(frozenset({base}), LOOPBACK), seconds=0.3)
        assert time.monotonic() - started < 1


def test_no_cookie_of_one_call_goes_out_with_another() -> None:
    with serving(says(b"{}", Set_Cookie="JSESSIONID=of-the-first; Path=/")) as server:
        exchange = Exchange(permit(server))
        for token in ("first", "second"):
            exchange.get(f"{server.base}/x", seconds=5, most=100, headers={"Authorization": f"Bearer {token}"})
        assert [headers["Authorization"] for _, headers in server.asked] == ["Bearer first", "Bearer second"]
        assert not any("Cookie" in headers for _, headers in server.asked)
        exchange.close()


def test_nobody_there(server: Server) -> None:
    nobody = Permit(frozenset({"http://localhost:9"}), LOOPBACK, plain=True)
    with pytest.raises(CannotFetch):
        get("http://localhost:9/x", nobody)
    with pytest.raises(CannotFetch, match="cannot be reached"):
        get("http://nowhere.invalid/x", Permit(frozenset({"http://nowhere.invalid"}), LOOPBACK, plain=True))


def test_certificates_are_checked(tmp_path: Path) -> None:
    good = certificate_for("localhost", tmp_path)
    other = certificate_for("other.example", tmp_path)
    with serving(says(b"fine"), good) as server:
        origins = frozenset({server.base})
        assert get(f"{server.base}/x", Permit(origins, LOOPBACK, good[0])) == b"fine"
        for authority in (None, other[0]):
            with pytest.raises(CannotFetch, match="cannot be reached"):
                get(f"{server.base}/x", Permit(origins, LOOPBACK, authority))
    with serving(says(b"fine"), other) as impostor, pytest.raises(CannotFetch, match="cannot be reached"):
        get(f"{impostor.base}/x", Permit(frozenset({impostor.base}), LOOPBACK, other[0]))
