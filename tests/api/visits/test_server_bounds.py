"""Bounds of the visitor server: memory, connections, waiting requests, and errors."""

import re
import socket

import pytest
import trio

from api.visits import server
from engine.operations.settings import Settings
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import (
    IDLE_S,
    get,
    opened,
    shop,
)

pytestmark = pytest.mark.trio(run=hosted_run)

TITLE = "T" * 100


async def test_a_slow_reader_of_many_answers_gets_them_all_in_bounded_memory() -> None:
    async with opened(send_buffer_bytes=4096) as door:
        await door.profiles.made("shop", *"abcdefgh", title=TITLE)
        await door.warm(b"/@shop")
        visitor = await door.visitor(receive_buffer_bytes=4096)
        fast = await door.visitor()
        most = 0

        def watch() -> None:
            nonlocal most
            held = sum(len(answer) for _, answer in door.visitors._responses) + sum(
                len(c.unsent) for c in door.visitors._connections.by_descriptor.values()
            )
            most = max(most, held)

        door.journal.before_write = watch
        asked = 450
        await visitor.send((b"GET /@shop HTTP/1.1\r\nHost: a\r\n\r\n") * asked)
        assert (await fast.asks(get(b"/@shop"))).status == 200
        for _ in range(asked):
            assert (await visitor.answer()).status == 200
        page = len((await fast.asks(get(b"/@shop"))).body)
        assert asked * page > 2 * server.MAX_UNSENT_BYTES  # or nothing is shown by this
        assert most < server.MAX_UNSENT_BYTES + 4 * page
        assert len(door.journal.clicks) == asked + 3


async def test_who_takes_no_answers_is_read_no_more_and_closed_in_the_end() -> None:
    async with opened(send_buffer_bytes=4096) as door:
        await door.profiles.made("shop", *"abcdefgh", title=TITLE)
        await door.warm(b"/@shop")
        visitor, other = await door.visitor(receive_buffer_bytes=4096), await door.visitor()
        sent = 0
        with trio.move_on_after(0.3):
            while True:
                await visitor.send(get(b"/@shop") * 100)
                sent += 100
        answered = door.visitors.views
        assert answered < sent
        assert (await other.asks(get(b"/@shop"))).status == 200
        door.later(IDLE_S + 1)
        other_again = await door.visitor()
        assert (await other_again.asks(get(b"/@shop"))).status == 200
        assert await visitor.is_reset()
        assert door.visitors.connections == 1


async def test_requests_behind_a_cold_one_are_bounded() -> None:
    async with opened() as door:
        await shop(door)
        door.profiles.hold()
        visitor = await door.visitor()
        await visitor.send(get(b"/far/x"))
        await door.profiles.is_holding()
        # All of it must be taken by the kernel, or by us: nobody reads for now.
        size = 4 * server.MAX_QUEUED_REQUESTS
        async with trio.open_nursery() as nursery:
            nursery.start_soon(visitor.send, get(b"/shop/a") * size)
            (connection,) = door.visitors._connections.by_descriptor.values()
            await door.until(lambda: len(connection.queue) >= server.MAX_QUEUED_REQUESTS)
            most = server.MAX_QUEUED_REQUESTS + server.READ_BYTES // len(get(b"/shop/a")) + 1
            for _ in range(20):
                assert (await (await door.visitor()).asks(get(b"/shop/b"))).status == 302
                assert len(connection.queue) <= most < size
            door.profiles.release()
            assert (await visitor.answer()).location == "https://x.example/"
            for _ in range(size):
                assert (await visitor.answer()).location == "https://a.example/"


async def test_one_connection_too_many_is_told_so_and_counted() -> None:
    async with opened(Settings(max_connections=2)) as door:
        one, two = await door.visitor(), await door.visitor()
        await door.until(lambda: door.visitors.connections == 2)
        third = await door.visitor()
        answer = await third.answer()
        assert (answer.status, answer.closes) == (503, True)
        assert answer.headers["retry-after"] == "1"
        assert await third.is_closed()
        assert (door.visitors.refused, door.visitors.accepted) == (1, 3)
        assert await one.ends()
        assert (await (await door.visitor()).asks(get(b"/none"))).status == 404
        assert (await two.asks(get(b"/none"))).status == 404


async def test_a_refused_connection_whose_request_is_there_already_ends_in_order() -> None:
    async with opened(Settings(max_connections=1)) as door:
        await door.warm(b"/none")
        assert (await (await door.visitor()).asks(get(b"/none"))).status == 404
        raw = socket.create_connection(door.listener.getsockname())
        raw.send(get(b"/none"))  # before the door has had a chance to accept
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(raw))
        async with stream:
            assert (await stream.receive_some(4096)).startswith(b"HTTP/1.1 503 ")
            assert await stream.receive_some(4096) == b""


async def test_too_many_who_wait_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.visits.registry.MAX_WAITING", 3)
    async with opened() as door:
        await shop(door)
        door.profiles.hold()
        crowd = [await door.visitor() for _ in range(3)]
        for number, visitor in enumerate(crowd):
            await visitor.send(get(b"/cold-%d" % number))
        await door.until(lambda: door.registry.waiting == 3)
        late = await door.visitor()
        answer = await late.asks(get(b"/cold"))
        assert (answer.status, answer.closes) == (503, False)
        assert (await late.asks(get(b"/shop/a"))).status == 302
        door.profiles.release()
        assert [(await visitor.answer()).status for visitor in crowd] == [404] * 3
        assert door.registry.counts["refused"] == 1


async def test_cold_profiles_get_503_while_storage_is_away_and_then_their_answer() -> None:
    async with opened() as door:
        await shop(door)
        door.profiles.away = True
        visitor = await door.visitor()
        answer = await visitor.asks(get(b"/far/x"))
        assert (answer.status, answer.closes) == (503, False)
        assert answer.headers["retry-after"] == "1"
        assert (await visitor.asks(get(b"/shop/a"))).status == 302
        door.profiles.away = False
        assert (await visitor.asks(get(b"/far/x"))).status == 302


async def test_a_mistake_of_ours_costs_one_visitor_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened() as door:
        await shop(door)
        await door.profiles.made("odd", "o")
        bad, good = await door.visitor(), await door.visitor()
        door.profiles.hold()
        await bad.send(get(b"/odd/o"))
        await good.send(get(b"/far/x"))
        await door.until(lambda: door.registry.waiting == 2)
        answer_route = door.visitors._answer_route

        def fails(connection: object, request: object, route: object) -> None:
            if re.search(rb"odd", request.path):  # type: ignore[attr-defined]
                raise RuntimeError("a mistake")
            answer_route(connection, request, route)  # type: ignore[arg-type]

        monkeypatch.setattr(door.visitors, "_answer_route", fails)
        door.profiles.release()
        assert (await good.answer()).status == 302
        assert await bad.is_closed()
        again = await door.visitor()  # resident by now: the other way in
        await again.send(get(b"/odd/o"))
        assert await again.is_closed()
        assert (await good.asks(get(b"/far/y"))).status == 302
        assert door.visitors.errors == 2
        assert [r.event for r in caplog.records] == ["visitor_error"] * 2  # type: ignore[attr-defined]
