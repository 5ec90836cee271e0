"""Running the service: on which address, with which settings, until when."""

from __future__ import annotations

import gc
import ipaddress
import multiprocessing
import multiprocessing.connection
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from cds.errors import ExowatchError
from cds.exchange import Exchange
from cds.exchange.backend import Backend
from cds.exchange.network import origin_of
from cds.intake.interfaces import load_interfaces
from cds.layers import Rules
from cds.reasoning.loading import load_rulebook, shipped_rules
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.releases import Published, read_current
from cds.record.adoption import adopt
from cds.record.audit import Checkpoints
from cds.record.database import Database, RecordUnavailable, SchemaMismatch, head
from cds.record.queue import Queue
from cds.record.recorder import Recorder
from cds.record.responses import Responses
from cds.service.access.gate import Gate
from cds.service.app import create_app
from cds.service.clients import Client, load_clients
from cds.service.connections import Punctual
from cds.service.editions import Editions, Watch
from cds.service.keys import KeyRing
from cds.service.leaving import LONGEST_ANSWER, Leaving
from cds.service.logs import ERROR, WARNING, configure_logs, note
from cds.service.metrics import Tally
from cds.service.mllp import Listener, server_tls
from cds.service.pages.local import local_pages
from cds.service.trust import Trust
from cds.settings import Settings, load_settings

AddPages = Callable[[Gate, Reasoner, Rules], None]
"""Adds pages of a later stage to the gate of a rule book that comes into use; a function of a module, so that workers find it."""


class CannotServe(ExowatchError):
    """The service cannot be started as asked; says why and what to do."""


def run_server(
    reasoner: Reasoner | None,
    *,
    host: str,
    port: int,
    dev: bool,
    workers: int = 1,
    rules: Path | None = None,
    mllp: int | None = None,
    pages: Sequence[AddPages] = (),
) -> None:
    """Serve until interrupted. Without `dev` only the clients of `EXOWATCH_CLIENTS_FILE` are answered, and only over TLS.

    Without a `reasoner` the published rule book in use is served, and each that is put into use later.
    With several `workers` each is a process of its own on the same address; `rules` is where they find the rule book.
    `mllp` is the port on which the first of them listens for HL7 v2 messages; None: on none. `pages` of later stages are
    added for each rule book that is served.
    Raises `CannotServe`, `ClientsError`, `RefusedToStart`, `ReleaseError`.
    """
    configure_logs(load_settings().log_level)
    server, editions, watch = _server(reasoner, host, dev, rules=rules, pages=pages)
    server.supervise()
    with (
        _receiving(editions, watch, host, mllp),
        _listening(host, port) as listening,
        _helped(workers - 1, rules, host, listening, dev, pages, server),
    ):
        bound = listening.getsockname()[1]
        if dev:
            note("open mode", WARNING, meaning="anybody on this machine is answered; never for patients")
        scheme = "https" if server.config.is_ssl else "http"
        address = f"{scheme}://{f'[{host}]' if ':' in host else host}:{bound}"
        note("serving", address=address, open=dev, workers=workers)
        server.run(sockets=[listening])


def run_pages(queue: Queue, tenant: str, *, port: int, say: Callable[[str], None]) -> None:
    """Show the queue's pages on loopback until interrupted; `say` is told the address that opens them. Raises `CannotServe`."""
    key = secrets.token_urlsafe(24)
    config = uvicorn.Config(
        local_pages(queue, tenant, key), http=Punctual, log_config=None, access_log=False, server_header=False, lifespan="off",
        proxy_headers=False,
    )  # fmt: skip
    with _listening("127.0.0.1", port) as listening:
        say(f"http://127.0.0.1:{listening.getsockname()[1]}/?key={key}")
        uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def _helped(
    count: int,
    rules: Path | None,
    host: str,
    listening: socket.socket,
    dev: bool,
    pages: Sequence[AddPages],
    first: Leaving,
) -> Iterator[None]:
    """Further processes that serve the same socket until the first one leaves, as they do then; one that ends is replaced."""
    context = multiprocessing.get_context("spawn")
    over = threading.Event()

    def keep(number: int) -> None:
        while not over.is_set():
            process = context.Process(target=_work, args=(rules, host, listening, dev, pages), daemon=True)
            process.start()
            ended = multiprocessing.connection.wait([process.sentinel, stop.fileno()])
            if process.sentinel in ended and not over.is_set():
                note("worker ended", ERROR, worker=number, code=process.exitcode)
                over.wait(1)  # one that cannot start is not tried again and again without a pause
            else:
                process.terminate()
                process.join(first.longest)

    def leave() -> None:
        over.set()
        stopping.close()

    stop, stopping = socket.socketpair()
    first.when_leaving.append(leave)
    keepers = [threading.Thread(target=keep, args=(number,), daemon=True) for number in range(2, count + 2)]
    for keeper in keepers:
        keeper.start()
    try:
        yield
    finally:
        leave()
        for keeper in keepers:
            keeper.join(first.longest + 5)
        stop.close()


def _work(rules: Path | None, host: str, listening: socket.socket, dev: bool, pages: Sequence[AddPages]) -> None:
    """A further process: serves until the first one ends it, or is gone itself."""
    configure_logs(load_settings().log_level)
    published = rules is None and load_settings().releases_dir is not None
    reasoner = None if published else Reasoner(load_rulebook(rules or shipped_rules()))
    server, _, watch = _server(reasoner, host, dev, rules=rules, pages=pages)
    if watch is not None:
        watch.start()
    first = multiprocessing.parent_process()
    assert first is not None  # it was started by one

    def end_with_it() -> None:
        multiprocessing.connection.wait([first.sentinel])
        server.should_exit = True

    threading.Thread(target=end_with_it, daemon=True).start()
    server.run(sockets=[listening])


@contextmanager
def _receiving(editions: Editions, watch: Watch | None, host: str, port: int | None) -> Iterator[None]:
    """What finds whose arrived results are and evaluates them, the listener for messages on `port` if there is one, and who

    watches for another release.
    """
    settings = load_settings()
    listener = None
    if port is not None:
        tls = None
        if settings.tls_certificate is not None:
            tls = server_tls(settings.tls_certificate, settings.tls_key, settings.mllp_clients)
        if not (_is_loopback(host) or settings.behind_proxy or (tls is not None and settings.mllp_clients is not None)):
            raise CannotServe(
                f"MLLP knows no tokens: on {host} anybody could send results. Set EXOWATCH_TLS_CERTIFICATE, EXOWATCH_TLS_KEY "
                "and EXOWATCH_MLLP_CLIENTS, or EXOWATCH_BEHIND_PROXY=true if something in front of it checks who sends"
            )
        listener = Listener(
            host, port, lambda *said: editions.reception.message(*said), most=settings.max_body_bytes, tls=tls
        )
    if listener is not None:
        listener.start()
        note("listening", mllp=listener.port, tls=listener.tls)
    editions.start()
    if watch is not None:
        watch.start()
    try:
        yield
    finally:
        if watch is not None:
            watch.stop()
        if listener is not None:
            listener.stop()
        editions.stop()


@contextmanager
def running(
    reasoner: Reasoner | None,
    *,
    port: int = 0,
    database: str | None = None,
    mllp: int | None = None,
    pages: Sequence[AddPages] = (),
    rules: Path | None = None,
) -> Iterator[str]:
    """The service on loopback in a thread of its own, for as long as the context lasts; yields its base URL.

    `database` is the address of the record, if not that of the settings; `rules` is where the rule book was read.
    """
    server, editions, watch = _server(reasoner, "127.0.0.1", dev=True, database=database, pages=pages, rules=rules)
    with _receiving(editions, watch, "127.0.0.1", mllp), _listening("127.0.0.1", port) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 30
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise CannotServe("the service did not start; run `exowatch doctor`")
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)


def _server(
    reasoner: Reasoner | None,
    host: str,
    dev: bool,
    database: str | None = None,
    rules: Path | None = None,
    pages: Sequence[AddPages] = (),
) -> tuple[Leaving, Editions, Watch | None]:
    if dev and not _is_loopback(host):
        raise CannotServe(
            f"--dev answers anybody, so it listens on loopback only; {host} is none. Use --host 127.0.0.1"
        )
    settings = load_settings(open_mode=dev or None, database_url=database)
    published = _published(settings) if reasoner is None else None
    record, checkpoints = _record(settings), Checkpoints(settings.checkpoints)
    trust, backends = None, {}
    if not settings.open_mode and settings.clients_file is not None:
        clients = load_clients(settings.clients_file)
        trust = Trust(clients, KeyRing(), partial(_first_use, record, Responses(record, checkpoints)))
        backends = _backends(clients.values(), settings.tenant)
        if settings.tls_certificate is None and not settings.behind_proxy and not _is_loopback(host):
            raise CannotServe(
                f"without TLS tokens and results would cross the network in the clear: set EXOWATCH_TLS_CERTIFICATE and "
                f"EXOWATCH_TLS_KEY, or EXOWATCH_BEHIND_PROXY=true if a proxy in front of {host} ends TLS and nobody can go "
                "around it"
            )
    candidate = Reasoner(load_rulebook(settings.candidate_rules_dir)) if settings.candidate_rules_dir else None
    leaving, tally = threading.Event(), Tally()

    def edition(reasoner: Reasoner, files: Rules, version: str = "") -> FastAPI:
        return create_app(
            settings,
            reasoner,
            recorder=Recorder(record, reasoner.rulebook, checkpoints),
            trust=trust,
            interfaces=load_interfaces(files, reasoner.rulebook.catalogue.declarations),
            backends=backends,
            candidate=candidate,
            release=version,
            pages=[_for(add, reasoner, files) for add in pages],
            leaving=leaving,
            tally=tally,
        )

    def of_release(found: Published) -> FastAPI:
        return edition(Reasoner(found.book), found.files, found.release.version)

    if reasoner is not None:
        editions, watch = Editions(edition(reasoner, rules or shipped_rules())), None
    else:
        assert published is not None  # it was read above
        assert settings.releases_dir is not None  # so it was there
        assert settings.release_keys is not None  # which goes with it
        editions = Editions(of_release(published))
        watch = Watch(settings.releases_dir, settings.release_keys, editions, of_release)
    gc.freeze()  # the rule book lives as long as the process: no collection need look at it again
    config = uvicorn.Config(
        editions, http=Punctual, log_config=None, access_log=False, server_header=False, lifespan="off", proxy_headers=False,
        ssl_certfile=settings.tls_certificate, ssl_keyfile=settings.tls_key, timeout_graceful_shutdown=LONGEST_ANSWER,
    )  # fmt: skip
    return Leaving(config, drain=settings.drain_seconds, leaving=leaving), editions, watch


def _for(add: AddPages, reasoner: Reasoner, files: Rules) -> Callable[[Gate], None]:
    return lambda gate: add(gate, reasoner, files)


def _published(settings: Settings) -> Published:
    """The release in use. Raises `CannotServe` if no settings name it, `ReleaseError` if none is, or for one that cannot be trusted."""
    if settings.releases_dir is None or settings.release_keys is None:
        raise CannotServe("Which rules? Set EXOWATCH_RELEASES_DIR and EXOWATCH_RELEASE_KEYS, or name them with --rules")
    return read_current(settings.releases_dir, settings.release_keys)


def _backends(clients: Iterable[Client], tenant: str) -> dict[str, tuple[Backend, str]]:
    """The FHIR servers that clients' entries let us ask in our own name, by base URL."""
    found: dict[str, tuple[Backend, str]] = {}
    for client in clients:
        if client.backend is not None:
            origins = frozenset(
                origin_of(one, plain=client.fhir.plain) for one in (client.backend.server, client.backend.token)
            )
            exchange = Exchange(replace(client.fhir, origins=origins))
            found[client.backend.server] = Backend(client.backend, exchange), client.tenant or tenant
    return found


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    # With the protocol named, asyncio sends small packets at once; without, each answer waits 40 ms for an acknowledgement.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        try:
            listening.bind((host, port))
            listening.listen()  # who calls once the address is known waits, and is not refused
        except OSError as error:
            raise CannotServe(
                f"cannot listen on {host}:{port}: {error.strerror}. Another program may use the port: try --port 0"
            ) from error
        yield listening
    finally:
        listening.close()


def _first_use(database: Database, responses: Responses, issuer: str, token_id: str, expires: datetime) -> bool:
    return database.in_time(lambda: responses.first_use(issuer, token_id, expires))


def _record(settings: Settings) -> Database:
    """The record of this installation. An embedded database is made and kept up by the service itself."""
    database = Database(settings.database_url, deadline=settings.deadline_ms / 1000)
    try:
        if database.is_sqlite and database.revision() != head():
            database.upgrade()
            adopt(database)
        database.check()
    except (RecordUnavailable, SchemaMismatch) as error:
        raise CannotServe(f"The record cannot be used: {error}") from error
    return database


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
