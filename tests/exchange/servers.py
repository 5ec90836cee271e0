"""Web servers on loopback that answer as they are told, count who asked, and can speak TLS."""

from __future__ import annotations

import ipaddress
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Server:
    """A running server: its address, and the paths and headers that it was asked for."""

    base: str
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@contextmanager
def serving(answer: Answer, certificate: tuple[Path, Path] | None = None, host: str = "127.0.0.1") -> Iterator[Server]:
    """A server that answers each GET and POST by `answer`; over TLS with a (certificate, key)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append((self.path, dict(self.headers)))
            answer(self)

        def do_POST(self) -> None:
            self.rfile = BytesIO(self.rfile.read(int(self.headers["Content-Length"])))  # for an answer that reads it
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Threads(ThreadingHTTPServer):
        request_queue_size = 128  # of more callers at once than that, none waits for a second try
        daemon_threads = True

    server = Threads((host, 0), Handler)
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    found = Server(f"{scheme}://localhost:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def says(body: bytes, status: int = 200, **headers: str) -> Answer:
    """An answer with that body."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def drip(request: BaseHTTPRequestHandler) -> None:
    """An answer that comes a blank at a time."""
    request.send_response(200)
    request.end_headers()
    try:
        for _ in range(200):
            request.wfile.write(b" ")
            request.wfile.flush()
            time.sleep(0.05)
    except OSError:
        pass  # the client has given up: what it should do


def drip_heads(request: BaseHTTPRequestHandler) -> None:
    """An answer whose head never ends."""
    try:
        for _ in range(200):
            request.wfile.write(b"X" if _ else b"HTTP/1.1 200 OK\r\nX")
            request.wfile.flush()
            time.sleep(0.05)
    except OSError:
        pass  # the client has given up: what it should do


def silence(request: BaseHTTPRequestHandler) -> None:
    """No answer, for longer than anybody here waits."""
    time.sleep(3)


def certificate_for(name: str, folder: Path) -> tuple[Path, Path]:
    """A certificate for a name, signed by itself, and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if name == "localhost":
        names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, private
