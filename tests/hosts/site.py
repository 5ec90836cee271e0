"""Three hosts as docs/deployment says: its very unit and nginx file, on loopback ports, with one PostgreSQL behind them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2
from joserfc.jwk import ECKey, KeySet

from cds.reasoning.releases import new_key
from cds.record.database import Database
from tests.exchange.servers import certificate_for
from tests.service.test_leaving import until
from tests.service.test_releases import public, shelved

ROOT = Path(__file__).parents[2]
DEPLOYMENT = ROOT / "docs" / "deployment"
ISSUER = "https://ehr.example/oauth2"
BASE = "https://cds.hospital.example/exowatch"
FAIL_TIMEOUT = 5.0
"""Seconds for which nginx leaves a host out that failed: as the file says."""
_CLIENTS = f"""
clients:
  - name: main-ehr
    issuer: {ISSUER}
    keys: keys.json
    may: [call, record]
"""


def nginx() -> str | None:
    """The program; None if it is not installed."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def free_ports(count: int) -> list[int]:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in taken]
    for one in taken:
        one.close()
    return ports


class Unit:
    """What systemd would run by docs/deployment/exowatch@.service: its command, settings and folder."""

    def __init__(self, instance: str, places: Mapping[str, str], state: Path, credentials: Path):
        text = (DEPLOYMENT / "exowatch@.service").read_text("utf-8")
        said = [line.split("=", 1) for line in text.splitlines() if re.match(r"[A-Za-z]+=", line)]
        for specifier, value in (("%i", instance), ("%S", str(state)), ("%d", str(credentials))):
            said = [[key, text.replace(specifier, value)] for key, text in said]

        def here(text: str) -> str:
            for place, other in places.items():
                text = text.replace(place, other)
            return text

        of = {key: here(text) for key, text in said}
        self.command = shlex.split(of["ExecStart"])
        self.folder = Path(of["WorkingDirectory"])
        self.credentials = {
            name: Path(here(path)) for key, text in said if key == "LoadCredential" for name, path in [text.split(":", 1)]
        }  # fmt: skip
        # With what the file offers: these hosts serve what was published.
        lines = here((DEPLOYMENT / "environment").read_text("utf-8").replace("#EXOWATCH_", "EXOWATCH_")).splitlines()
        self.environment = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        self.environment |= {
            name: value for key, text in said if key == "Environment" for name, value in [here(text).split("=", 1)]
        }  # fmt: skip


class Host:
    """One process of the service, as its unit starts it."""

    def __init__(self, name: str, port: int, unit: Unit, certificate: Path):
        self.name, self.port, self._unit = name, port, unit
        self.address = f"127.0.0.1:{port}"
        self.log = unit.folder / "log"
        self.checkpoints = Path(unit.environment["EXOWATCH_CHECKPOINT_FILE"])
        self.process: subprocess.Popen[bytes] | None = None
        self.client = httpx2.Client(base_url=f"https://{self.address}", verify=_trusting(certificate), timeout=20)
        for path in unit.credentials.values():
            assert path.exists(), f"the unit wants {path}"

    def begin(self) -> None:
        """Start it; `wait` says when it is up."""
        unit = self._unit
        unit.folder.mkdir(parents=True, exist_ok=True)
        plain = {name: value for name, value in os.environ.items() if not name.startswith("EXOWATCH_")}
        # A machine of tests has two cores for all three hosts, the database, nginx and the callers.
        more = {"PYTHONPATH": str(ROOT), "EXOWATCH_DEADLINE_MS": "3000"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                unit.command, env={**plain, **unit.environment, **more}, cwd=unit.folder, stdout=log, stderr=log
            )

    def wait(self) -> None:
        until(f"{self.name} is ready: {self.tail()}", lambda: self.ready().get("status") == "ready")

    def ready(self) -> dict[str, str]:
        """What it says of itself; {} if it does not answer."""
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} ended: {self.tail()}"
        try:
            found: dict[str, str] = self.client.get("/ready").json()
        except httpx2.HTTPError:
            return {}
        return found

    def tail(self) -> str:
        return self.log.read_text("utf-8")[-800:] if self.log.exists() else ""

    def kill(self) -> None:
        """As a machine would lose it."""
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()

    def leave(self) -> int:
        """As `systemctl stop` asks it to; its exit code."""
        self.signal(signal.SIGTERM)
        assert self.process is not None
        return self.process.wait(60)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def close(self) -> None:
        self.client.close()
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


class Site:
    """Hosts behind nginx, for clients with signed tokens. `database` is the address of an empty one."""

    def __init__(self, folder: Path, database: str, hosts: int = 3):
        self.folder, self.shelf = folder, folder / "releases"
        self.key = ECKey.generate_key("P-384", {"kid": "ehr-1", "use": "sig", "alg": "ES384"})
        made = Database(database, deadline=30)
        made.upgrade()
        self.database = made
        self.signing = folder / "release.json"
        new_key(self.signing)
        secrets = folder / "secrets"
        secrets.mkdir()
        (folder / "keys.json").write_text(json.dumps(KeySet([self.key]).as_dict(private=False)), "utf-8")
        (folder / "clients.yaml").write_text(_CLIENTS, "utf-8")
        self.inner, inner_key = certificate_for("localhost", folder)
        (folder / "internal-ca.pem").write_bytes(self.inner.read_bytes())
        inner_key.rename(secrets / "tls.key")
        self.outer, outer_key = certificate_for("localhost", secrets)
        outer_key.rename(secrets / "proxy.key")
        (secrets / "pgpass").write_text("", "utf-8")
        (secrets / "pgpass").chmod(0o600)
        *ports, self.port = free_ports(hosts + 1)
        self._places = {
            re.search(r"^EXOWATCH_DATABASE_URL=(.*)$", (DEPLOYMENT / "environment").read_text(), re.MULTILINE)[1]: database,  # type: ignore[index]  # the file has it
            "/opt/exowatch/bin/exowatch": str(Path(sys.executable).parent / "exowatch"),
            "0.0.0.0": "127.0.0.1",  # noqa: S104 - it is what is not done
            "/etc/exowatch/tls.pem": str(self.inner),
            "/etc/exowatch/proxy.pem": str(self.outer),
            "/etc/exowatch/release-keys.json": str(public(self.signing)),
            "/etc/exowatch": str(folder),
            "/srv/exowatch/releases": str(self.shelf),
            "/var/log/nginx": str(folder),
            "exowatch.internal": "localhost",
        }  # fmt: skip
        self.hosts = [self._host(f"host-{number}", port) for number, port in enumerate(ports, 1)]
        self.proxy: subprocess.Popen[bytes] | None = None

    def _host(self, name: str, port: int) -> Host:
        state = self.folder / name
        return Host(name, port, Unit(str(port), self._places, state, self.folder / "secrets"), self.inner)

    def configured(self) -> Path:
        """nginx's file of docs/deployment with the addresses of this site, inside the least around it that nginx needs."""
        text = (DEPLOYMENT / "nginx.conf").read_text("utf-8")
        for place, other in self._places.items():
            text = text.replace(place, other)
        for number, host in enumerate(self.hosts, 1):
            text = text.replace(f"10.20.0.1{number}:8642", host.address)
        text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{self.port} ssl")
        assert "10.20.0." not in text
        (self.folder / "exowatch.conf").write_text(text, "utf-8")
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = " ".join(f"{kind}_temp_path {self.folder}/{kind};" for kind in kinds)
        user = "user root;" if os.geteuid() == 0 else ""
        around = f"""
            {user} worker_processes 2; daemon off; pid {self.folder}/nginx.pid; error_log {self.folder}/nginx-errors.log;
            events {{ worker_connections 512; }}
            http {{ {temporary} access_log off; include {self.folder}/exowatch.conf; }}
        """
        path = self.folder / "nginx.conf"
        path.write_text(around, "utf-8")
        return path

    @contextmanager
    def running(self) -> Iterator[None]:
        """All of it, for as long as the context lasts."""
        if not (self.shelf / "current").exists():
            shelved(self.shelf, self.signing, "1")
        program = nginx()
        assert program is not None
        try:
            for host in self.hosts:
                host.begin()
            self.proxy = subprocess.Popen([program, "-c", str(self.configured()), "-p", str(self.folder)])
            for host in self.hosts:
                host.wait()
            until("nginx listens", self._answers)
            yield
        finally:
            if self.proxy is not None:
                self.proxy.send_signal(signal.SIGQUIT)
                try:
                    self.proxy.wait(20)
                except subprocess.TimeoutExpired:
                    self.proxy.kill()
                    self.proxy.wait()
            for host in self.hosts:
                host.close()
            self.database.close()

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return client.get("/exowatch/cds-services").status_code == 200
        except httpx2.HTTPError:
            return False

    def client(self) -> httpx2.Client:
        """A client of the proxy."""
        return httpx2.Client(base_url=f"https://127.0.0.1:{self.port}", verify=_trusting(self.outer), timeout=30)

    def log(self) -> list[dict[str, object]]:
        """What nginx wrote of each call."""
        path = self.folder / "exowatch.log"
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def _trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)
