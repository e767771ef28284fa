"""An edge with its real bounds, while other addresses hold as many connections as they can."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from engine.operations.settings import Settings
from tests.kit.engines import Engine, eventually

pytestmark = [pytest.mark.slow, pytest.mark.large]

VISITOR = "127.0.0.99"
VISITS = 100
LIMIT_S = 0.1
LINK = b"GET /demo/spring HTTP/1.1\r\nHost: a\r\n\r\n"
SHARE = Settings().connections_per_address


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    started = Engine(tmp_path / "data", "--demo=links", "--edges", "1")
    try:
        yield started
    finally:
        started.kill()


class Holder:
    """An address that opens connections, and uses each of them now and then so that it stays open."""

    def __init__(self, engine: Engine, address: str) -> None:
        parts = urlsplit(engine.visitors)
        self._server = (str(parts.hostname), int(parts.port or 0))
        self._address = address
        self.sockets: list[socket.socket] = []

    def open(self, count: int) -> None:
        for _ in range(count):
            sock = socket.create_connection(self._server, 5, source_address=(self._address, 0))
            sock.sendall(LINK)
            self.sockets.append(sock)

    def held(self) -> int:
        """Use every connection once more. Returns how many of them were answered."""
        answered = 0
        for sock in self.sockets:
            try:
                sock.recv(65_536)
                sock.sendall(LINK)
                answered += sock.recv(65_536).startswith(b"HTTP/1.1 302")
            except OSError:
                pass
        return answered

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


def slowest_visit_s(engine: Engine) -> float:
    """Visit a link by VISITS new connections. Returns the longest time until an answer."""
    slowest = 0.0
    parts = urlsplit(engine.visitors)
    for _ in range(VISITS):
        began = time.perf_counter()
        with socket.create_connection(
            (str(parts.hostname), int(parts.port or 0)), 5, source_address=(VISITOR, 0)
        ) as sock:
            sock.sendall(LINK)
            assert sock.recv(4096).startswith(b"HTTP/1.1 302")
        slowest = max(slowest, time.perf_counter() - began)
    return slowest


def test_one_address_that_holds_what_it_can_takes_nothing_from_a_visitor(engine: Engine) -> None:
    holder = Holder(engine, "127.0.0.2")
    try:
        holder.open(3 * SHARE)
        assert slowest_visit_s(engine) < LIMIT_S
        assert holder.held() <= SHARE
        assert slowest_visit_s(engine) < LIMIT_S
        assert engine.metrics()["waypost_connections"] >= SHARE / 2
        # Room is searched for ten times a second: connections that come in between are refused.
        metrics = engine.metrics()
        refused = metrics['waypost_connections_refused_total{reason="address"}']
        assert metrics["waypost_connections_evicted_total"] + refused >= SHARE
    finally:
        holder.close()


def test_twenty_addresses_take_nothing_from_a_visitor_either(engine: Engine) -> None:
    holders = [Holder(engine, f"127.0.1.{n}") for n in range(1, 21)]
    try:
        for holder in holders:
            holder.open(SHARE * 9 // 10)
        opened = 20 * (SHARE * 9 // 10)
        eventually(lambda: engine.metrics()["waypost_connections_accepted_total"] >= opened)
        assert slowest_visit_s(engine) < LIMIT_S
        assert engine.metrics()["waypost_connections"] <= Settings().max_connections
        for holder in holders:
            holder.held()
            assert slowest_visit_s(engine) < LIMIT_S
    finally:
        for holder in holders:
            holder.close()
