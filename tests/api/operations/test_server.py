"""The operations port: its three paths, and its bounds, in virtual time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio
from trio.testing import MockClock, memory_stream_pair

from api.operations.server import (
    FRESH_S,
    HEAD_BYTES,
    MAX_CONNECTIONS,
    RATE,
    REQUEST_S,
    OperationsServer,
)
from engine.operations.health import Component, Health
from engine.operations.metrics import Metric, ProcessMetrics

PENDING = Metric("waypost_journal_pending_clicks", "Clicks that wait")
GET = b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n"


class Machine:
    """The processes of a machine, and the server of its reports."""

    def __init__(self) -> None:
        self.health = Health((Component("edge-0", True),))
        self.reads = 0
        self.hangs = False
        self.fails = False
        self.server = OperationsServer(self._read_health, self._read_metrics)

    async def _read_health(self) -> Health:
        return self.health

    async def _read_metrics(self) -> list[ProcessMetrics]:
        self.reads += 1
        if self.hangs:
            await trio.sleep_forever()
        if self.fails:
            raise ValueError("not a number")
        return [
            ProcessMetrics("edge", 11, (PENDING.sample(3),)),
            ProcessMetrics("launcher", 0, (PENDING.sample(4),)),
        ]

    async def send(self, data: bytes, client: str = "127.0.0.1") -> bytes:
        """Send bytes over a connection of its own. Returns all that is answered."""
        async with self.connection(client) as stream:
            await stream.send_all(data)
            return await read_all(stream)

    @asynccontextmanager
    async def connection(self, client: str = "127.0.0.1") -> AsyncIterator[trio.abc.Stream]:
        ours, theirs = memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.server.serve_client, theirs, client)
            yield ours
            nursery.cancel_scope.cancel()


async def read_all(stream: trio.abc.Stream) -> bytes:
    data = b""
    while chunk := await stream.receive_some():
        data += bytes(chunk)
    return data


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def test_readiness_names_each_component(autojump_clock: MockClock) -> None:
    machine = Machine()
    answer = await machine.send(GET % b"/readyz")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert status(answer) == 200
    assert b"Connection: close" in head
    assert msgspec.json.decode(body) == {
        "ready": True,
        "components": {"edge-0": {"ready": True, "reason": ""}},
    }
    machine.health = Health((Component("edge-0/counting", False, "no progress for 11 s"),))
    await trio.sleep(FRESH_S)
    answer = await machine.send(GET % b"/readyz?verbose")
    assert status(answer) == 503
    assert b"no progress for 11 s" in answer


async def test_metrics_are_summed_and_the_launcher_has_no_role(autojump_clock: MockClock) -> None:
    answer = await Machine().send(GET % b"/metrics")
    assert status(answer) == 200
    assert b"\nwaypost_journal_pending_clicks 7\n" in answer
    assert b'waypost_process_info{role="edge",pid="11"} 1\n' in answer
    assert b'role="launcher"' not in answer


async def test_head_has_no_body_and_all_else_is_refused(autojump_clock: MockClock) -> None:
    machine = Machine()
    head = await machine.send(b"HEAD /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
    assert status(head) == 200
    assert head.endswith(b"\r\n\r\n")
    assert status(await machine.send(GET % b"/v1/profiles")) == 404
    assert status(await machine.send(b"DELETE /metrics HTTP/1.1\r\nHost: h\r\n\r\n")) == 405
    assert status(await machine.send(b"\x16\x03\x01 what is this?\r\n\r\n")) == 400
    assert machine.server.statuses == {200: 1, 404: 1, 405: 1, 400: 1}


async def test_a_head_that_is_too_long_is_refused(autojump_clock: MockClock) -> None:
    answer = await Machine().send(b"GET / HTTP/1.1\r\nX: " + b"x" * (2 * HEAD_BYTES))
    assert status(answer) == 431


async def test_a_client_that_sends_nothing_is_closed(autojump_clock: MockClock) -> None:
    machine = Machine()
    async with machine.connection() as stream:
        began = trio.current_time()
        assert await read_all(stream) == b""
        assert trio.current_time() - began == pytest.approx(REQUEST_S)


async def test_connections_that_wait_leave_room_for_no_more_than_the_bound(
    autojump_clock: MockClock,
) -> None:
    machine = Machine()
    async with trio.open_nursery() as nursery:
        for _ in range(MAX_CONNECTIONS):
            nursery.start_soon(machine.send, b"GET")
        await trio.sleep(0.1)
        assert status(await machine.send(GET % b"/healthz")) == 503
        await trio.sleep(REQUEST_S)
        assert status(await machine.send(GET % b"/healthz")) == 200


async def test_a_client_is_limited_and_no_other(autojump_clock: MockClock) -> None:
    machine = Machine()
    statuses = [status(await machine.send(GET % b"/healthz")) for _ in range(RATE.burst + 5)]
    assert statuses == [200] * RATE.burst + [429] * 5
    assert status(await machine.send(GET % b"/healthz", client="10.0.0.2")) == 200


async def test_processes_are_asked_once_for_all_who_ask(autojump_clock: MockClock) -> None:
    machine = Machine()
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(machine.send, GET % b"/metrics")
    assert machine.reads == 1
    await trio.sleep(FRESH_S)
    await machine.send(GET % b"/metrics")
    assert machine.reads == 2


async def test_processes_that_hang_are_503(autojump_clock: MockClock) -> None:
    machine = Machine()
    machine.hangs = True
    assert status(await machine.send(GET % b"/metrics")) == 503


async def test_a_report_that_fails_ends_its_request_and_no_more(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine()
    machine.fails = True
    assert await machine.send(GET % b"/metrics") == b""
    assert [record.getMessage() for record in caplog.records] == ["a request for reports failed"]
    machine.fails = False
    assert status(await machine.send(GET % b"/metrics")) == 200
