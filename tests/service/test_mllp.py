"""Messages over MLLP, from a real client over a socket: each is acknowledged once it is stored, and stored once."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import hl7
import pytest
from hl7.client import MLLPClient
from hl7.mllp import open_hl7_connection
from sqlalchemy import func, select

from cds.intake.interfaces import load_interfaces
from cds.reasoning.loading import shipped_rules
from cds.reasoning.reasoner import Reasoner
from cds.record import tables
from cds.record.database import Database
from cds.record.recorder import Recorder
from cds.service.mllp import CannotListen, Listener, server_tls
from cds.service.reception import Reception
from cds.service.server import running
from tests.exchange.servers import certificate_for
from tests.intake.test_hl7v2 import obx
from tests.intake.test_labs import order

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
MESSAGES = 1000


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(f"sqlite:///{tmp_path}/record.sqlite", deadline=10)
    found.upgrade()
    yield found
    found.close()


@pytest.fixture
def reception(database: Database, reasoner: Reasoner) -> Reception:
    catalogue = reasoner.rulebook.catalogue
    interfaces = load_interfaces(shipped_rules(), catalogue.declarations)
    return Reception(Recorder(database, reasoner.rulebook).arrivals, interfaces, catalogue, "default", lambda: NOW)


@pytest.fixture
def listener(reception: Reception) -> Iterator[Listener]:
    found = Listener("127.0.0.1", 0, reception.message, most=100_000)
    found.start()
    yield found
    found.stop()


def numbered(number: int) -> bytes:
    """A message of its own, about one of ten patients."""
    message = order("2025-04-08", obx(f5=f"{number / 100:.2f}", f6="10*6{particles}/mL"))
    return message.replace(b"4711", b"%d" % (4711 + number % 10)).replace(b"20250408|", b"2025%d|" % number, 1).replace(
        b"F20250408", b"F%d" % number
    ).replace(b"^EV-20250408", b"^EV-%d" % number)  # fmt: skip


def code_of(answer: bytes) -> str:
    return str(hl7.parse(answer.decode())["MSA.F1"])


def stored(database: Database) -> tuple[int, int]:
    """How many deliveries, and how many results."""
    with database.reading() as connection:
        deliveries = connection.execute(select(func.count()).select_from(tables.delivery)).scalar_one()
        results = connection.execute(select(func.sum(tables.arrival.c.results))).scalar_one() or 0
    return deliveries, results


def test_a_thousand_messages_with_connections_that_drop(listener: Listener, database: Database) -> None:
    """Whoever has no acknowledgement sends again: every message is stored, and none twice."""
    chance = random.Random(7)
    acknowledged: set[int] = set()
    drops = resent = 0

    def connect() -> MLLPClient:
        return MLLPClient("127.0.0.1", listener.port)

    client = connect()
    for number in range(MESSAGES):
        message = numbered(number)
        while number not in acknowledged:
            fate = chance.random()
            if fate < 0.03:  # the line goes down before the answer has come, or in the middle of the message
                framed = b"\x0b" + message + b"\x1c\r"
                with socket.create_connection(("127.0.0.1", listener.port)) as line:
                    line.sendall(framed if fate < 0.015 else framed[: chance.randrange(len(framed) - 2)])
                drops += 1
                continue
            answer = client.send_message(message)
            assert code_of(answer.strip(b"\x0b\x1c\r")) == "AA", answer
            acknowledged.add(number)
            if fate > 0.97:  # sent again, though it was acknowledged
                assert b"MSA|AA" in client.send_message(message)
                resent += 1
            if fate > 0.99:
                client.close()
                client = connect()
    client.close()
    assert min(drops, resent) > 10
    deadline = time.monotonic() + 10
    while stored(database) != (MESSAGES, MESSAGES) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert stored(database) == (MESSAGES, MESSAGES)


def test_the_asynchronous_client_is_answered_too(listener: Listener, database: Database) -> None:
    async def talk() -> list[str]:
        reader, writer = await open_hl7_connection("127.0.0.1", listener.port)
        found = []
        for number in range(5):
            writer.writemessage(hl7.parse(numbered(number).decode()))
            await writer.drain()
            answer = await asyncio.wait_for(reader.readmessage(), 10)
            found.append(str(answer["MSA.F1"]))
        writer.close()
        await writer.wait_closed()
        return found

    assert asyncio.run(talk()) == ["AA"] * 5
    assert stored(database) == (5, 5)


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x0b" + b"x" * 200_000, b"\x16\x03\x01", b"\x00" * 100],
    ids=["no frame", "too long", "TLS", "zeros"],
)
def test_what_is_no_message_ends_the_connection_and_nothing_else(
    listener: Listener, database: Database, sent: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", listener.port), 10) as line:
        try:
            line.sendall(sent)
            assert line.recv(100) == b""
        except ConnectionError:
            pass  # it is gone before all was sent
    with MLLPClient("127.0.0.1", listener.port) as client:
        assert b"MSA|AA" in client.send_message(numbered(1))
    assert stored(database) == (1, 1)


def test_idle_connections_shut_nobody_out(listener: Listener, database: Database) -> None:
    with contextlib.ExitStack() as lines:
        idle = [lines.enter_context(socket.create_connection(("127.0.0.1", listener.port), 10)) for _ in range(64)]
        time.sleep(0.3)
        with MLLPClient("127.0.0.1", listener.port) as client:
            for number in range(3):
                assert b"MSA|AA" in client.send_message(numbered(number))
        assert stored(database) == (3, 3)
        assert idle[0].recv(1) == b""  # the one that was silent for longest had to go
        idle[-1].sendall(b"\x0b" + numbered(9) + b"\x1c\r")
        assert b"MSA|AA" in idle[-1].recv(4000)


def test_connections_that_are_all_in_the_middle_of_a_message_stay(listener: Listener) -> None:
    with contextlib.ExitStack() as lines:
        busy = [lines.enter_context(socket.create_connection(("127.0.0.1", listener.port), 10)) for _ in range(64)]
        for line in busy:
            line.sendall(b"\x0b" + numbered(1)[:100])
        time.sleep(0.3)
        with socket.create_connection(("127.0.0.1", listener.port), 10) as late:
            assert late.recv(1) == b""
        busy[0].sendall(numbered(1)[100:] + b"\x1c\r")
        assert b"MSA|AA" in busy[0].recv(4000)


CONNECTIONS = Path("/proc/net/tcp")


@pytest.mark.skipif(not CONNECTIONS.exists(), reason="the system does not tell of its connections")
def test_whether_a_silent_sender_is_still_there_is_asked(listener: Listener) -> None:
    with MLLPClient("127.0.0.1", listener.port) as client:
        assert b"MSA|AA" in client.send_message(numbered(1))
        time.sleep(0.3)  # what was said last is acknowledged
        lines = [line.split() for line in CONNECTIONS.read_text().splitlines()[1:]]
        ours = [fields for fields in lines if fields[1].endswith(f":{listener.port:04X}") and fields[3] == "01"]
        assert [fields[5].partition(":")[0] for fields in ours] == ["02"]  # the timer that keeps it alive


def test_a_nonsense_frame_is_rejected_and_the_next_answered(listener: Listener) -> None:
    with socket.create_connection(("127.0.0.1", listener.port), 10) as line:
        line.sendall(b"\x0bnonsense\x1c\r\x0b\x1c\r\r\n\x0b" + numbered(1) + b"\x1c\r")
        said = b""
        while said.count(b"\x1c\r") < 3:
            said += line.recv(4000)
    assert [code_of(one.strip(b"\x0b")) for one in said.split(b"\x1c\r")[:3]] == ["AR", "AR", "AA"]


@pytest.mark.parametrize("processing", [b"T", b"D", b"D^A", b"X"])
def test_what_is_for_tests_is_rejected_wherever_in_a_frame_it_stands(
    reception: Reception, database: Database, processing: bytes
) -> None:
    for_tests = numbered(1).replace(b"|P|", b"|%s|" % processing, 1)
    for frame in (for_tests, numbered(2) + for_tests):
        answer = reception.message(frame, "test")
        assert (code_of(answer), b"for training or tests" in answer) == ("AR", True)
    assert stored(database) == (0, 0)


def test_in_development_too_what_is_for_tests_is_rejected(reasoner: Reasoner, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    address = f"sqlite:///{tmp_path}/dev.sqlite"
    with running(reasoner, database=address, mllp=port), MLLPClient("127.0.0.1", port) as client:
        for processing in (b"T", b"D"):
            assert b"MSA|AR" in client.send_message(numbered(1).replace(b"|P|", b"|%s|" % processing, 1))
        assert b"MSA|AA" in client.send_message(numbered(2))
    with contextlib.closing(Database(address)) as database:
        assert stored(database) == (1, 1)


def test_while_the_record_is_away_nothing_is_taken_for_stored(reception: Reception, database: Database) -> None:
    with database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE arrival")
    answer = reception.message(numbered(1), "test")
    assert code_of(answer) == "AR"
    assert b"207^Application internal error" in answer


def stranger(port: int, context: ssl.SSLContext) -> None:
    with (
        socket.create_connection(("127.0.0.1", port), 10) as line,
        context.wrap_socket(line, server_hostname="localhost") as found,
    ):
        found.sendall(b"\x0b" + numbered(1) + b"\x1c\r")
        if found.recv(100) == b"":
            raise ConnectionError


def test_only_senders_with_a_certificate_are_answered(reception: Reception, tmp_path: Path) -> None:
    server, sender = certificate_for("localhost", tmp_path), certificate_for("lab.example", tmp_path)
    listener = Listener(
        "127.0.0.1", 0, reception.message, most=100_000, tls=server_tls(server[0], server[1], sender[0])
    )
    listener.start()
    try:
        context = ssl.create_default_context(cafile=server[0])
        with pytest.raises((ssl.SSLError, ConnectionError)):
            stranger(listener.port, context)
        context.load_cert_chain(*sender)
        with (
            socket.create_connection(("127.0.0.1", listener.port), 10) as line,
            context.wrap_socket(line, server_hostname="localhost") as known,
        ):
            known.sendall(b"\x0b" + numbered(1) + b"\x1c\r")
            assert b"MSA|AA" in known.recv(4000)
    finally:
        listener.stop()


def test_a_port_that_is_taken_is_named(reception: Reception) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        busy = Listener("127.0.0.1", other.getsockname()[1], reception.message, most=1000)
        with pytest.raises(CannotListen, match="Another program may use the port"):
            busy.start()
        busy.stop()
