"""Bounds of the visitor server: memory, connections, waiting requests, and errors."""

import socket

import pytest
import trio

from api.visits import server
from engine.operations.settings import Settings
from engine.visits import classifier
from engine.visits.classifier import Classification
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import (
    IDLE_S,
    get,
    served_edge,
    shop,
)

pytestmark = pytest.mark.trio(run=hosted_run)

TITLE = "T" * 100


async def test_a_slow_reader_of_many_responses_gets_them_all_in_bounded_memory() -> None:
    async with served_edge(send_buffer_bytes=4096) as edge:
        await edge.profiles.add_profile("shop", *"abcdefgh", title=TITLE)
        await edge.warm(b"/@shop")
        visitor = await edge.visitor(receive_buffer_bytes=4096)
        fast = await edge.visitor()
        most = 0

        def measure() -> None:
            nonlocal most
            unsent_bytes = sum(len(response) for _, response in edge.server._responses) + sum(
                len(c.unsent) for c in edge.server._connections.by_descriptor.values()
            )
            most = max(most, unsent_bytes)

        edge.journal.before_write = measure
        requests = 450
        await visitor.send((b"GET /@shop HTTP/1.1\r\nHost: a\r\n\r\n") * requests)
        assert (await fast.request(get(b"/@shop"))).status == 200
        for _ in range(requests):
            assert (await visitor.response()).status == 200
        page = len((await fast.request(get(b"/@shop"))).body)
        assert requests * page > 2 * server.MAX_UNSENT_BYTES  # otherwise the test proves nothing
        assert most < server.MAX_UNSENT_BYTES + 4 * page
        assert len(edge.journal.clicks) == requests + 3


async def test_a_visitor_that_takes_no_responses_is_read_no_more_and_closed_in_the_end() -> None:
    async with served_edge(send_buffer_bytes=4096) as edge:
        await edge.profiles.add_profile("shop", *"abcdefgh", title=TITLE)
        await edge.warm(b"/@shop")
        visitor, other = await edge.visitor(receive_buffer_bytes=4096), await edge.visitor()
        sent = 0
        with trio.move_on_after(0.3):
            while True:
                await visitor.send(get(b"/@shop") * 100)
                sent += 100
        answered = edge.server.visits_by_status[200]
        assert answered < sent
        assert (await other.request(get(b"/@shop"))).status == 200
        edge.advance(IDLE_S + 1)
        other_again = await edge.visitor()
        assert (await other_again.request(get(b"/@shop"))).status == 200
        assert await visitor.is_reset()
        assert edge.server.connections == 1


async def test_requests_behind_a_cold_one_are_bounded() -> None:
    async with served_edge() as edge:
        await shop(edge)
        edge.profiles.hold()
        visitor = await edge.visitor()
        await visitor.send(get(b"/far/x"))
        await edge.profiles.wait_until_held()
        # All of it must fit the kernel or the server: no responses are read for now.
        size = 512
        async with trio.open_nursery() as nursery:
            nursery.start_soon(visitor.send, get(b"/shop/a") * size)
            (connection,) = edge.server._connections.by_descriptor.values()
            await edge.until(lambda: connection.has_request)
            for _ in range(20):
                assert (await (await edge.visitor()).request(get(b"/shop/b"))).status == 302
                assert (
                    connection.parser.kept_bytes <= server.READ_BYTES < size * len(get(b"/shop/a"))
                )
            edge.profiles.release()
            assert (await visitor.response()).location == "https://x.example/"
            for _ in range(size):
                assert (await visitor.response()).location == "https://a.example/"


async def test_one_connection_too_many_gets_503_and_is_counted() -> None:
    async with served_edge(Settings(max_connections=2)) as edge:
        await shop(edge)
        edge.profiles.hold()
        one, two = await edge.visitor(), await edge.visitor()
        await one.send(get(b"/far/x"))
        await two.send(get(b"/far/y"))
        await edge.until(lambda: edge.registry.waiting == 2)
        third = await edge.visitor()
        response = await third.response()
        assert (response.status, response.closes) == (503, True)
        assert response.headers["retry-after"] == "1"
        assert await third.is_closed()
        assert edge.server.refused_by_reason == {"address": 0, "connections": 1, "descriptors": 0}
        assert edge.server.evicted == 0
        edge.profiles.release()
        assert [(await visitor.response()).status for visitor in (one, two)] == [302, 302]


async def test_a_refused_connection_whose_request_is_there_already_ends_in_order() -> None:
    async with served_edge(Settings(max_connections=1)) as edge:
        await edge.warm(b"/none")
        edge.profiles.hold()
        visitor = await edge.visitor()
        await visitor.send(get(b"/cold"))
        await edge.until(lambda: edge.registry.waiting == 1)
        raw = socket.create_connection(edge.listener.getsockname())
        raw.send(get(b"/none"))  # before the server has had a chance to accept
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(raw))
        async with stream:
            assert (await stream.receive_some(4096)).startswith(b"HTTP/1.1 503 ")
            assert await stream.receive_some(4096) == b""
        edge.profiles.release()
        assert (await visitor.response()).status == 404


async def test_too_many_waiting_visitors_get_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.visits.registry.MAX_WAITING", 3)
    async with served_edge() as edge:
        await shop(edge)
        edge.profiles.hold()
        visitors = [await edge.visitor() for _ in range(3)]
        for number, visitor in enumerate(visitors):
            await visitor.send(get(b"/cold-%d" % number))
        await edge.until(lambda: edge.registry.waiting == 3)
        late = await edge.visitor()
        response = await late.request(get(b"/cold"))
        assert (response.status, response.closes) == (503, False)
        assert (await late.request(get(b"/shop/a"))).status == 302
        edge.profiles.release()
        assert [(await visitor.response()).status for visitor in visitors] == [404] * 3
        assert edge.registry.counts["refused"] == 1


async def test_cold_profiles_get_503_while_storage_is_away_and_then_their_response() -> None:
    async with served_edge() as edge:
        await shop(edge)
        edge.profiles.away = True
        visitor = await edge.visitor()
        response = await visitor.request(get(b"/far/x"))
        assert (response.status, response.closes) == (503, False)
        assert response.headers["retry-after"] == "1"
        assert (await visitor.request(get(b"/shop/a"))).status == 302
        edge.profiles.away = False
        assert (await visitor.request(get(b"/far/x"))).status == 302


async def test_an_error_in_the_server_costs_one_visitor_and_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with served_edge() as edge:
        await shop(edge)
        await edge.profiles.add_profile("odd", "o")
        bad, good = await edge.visitor(), await edge.visitor()
        edge.profiles.hold()
        await bad.send(get(b"/odd/o", b"User-Agent: odd"))
        await good.send(get(b"/far/x"))
        await edge.until(lambda: edge.registry.waiting == 2)
        judge = classifier.judge

        def fails(user_agent: bytes) -> Classification:
            if user_agent == b"odd":
                raise RuntimeError("an error")
            return judge(user_agent)

        monkeypatch.setattr(classifier, "judge", fails)
        edge.profiles.release()
        assert (await good.response()).status == 302
        assert await bad.is_closed()
        again = await edge.visitor()  # resident by now: found without waiting
        await again.send(get(b"/odd/o", b"User-Agent: odd"))
        assert await again.is_closed()
        assert (await good.request(get(b"/far/y"))).status == 302
        assert edge.server.errors == 2
        assert [r.event for r in caplog.records] == ["visitor_error"] * 2  # type: ignore[attr-defined]
