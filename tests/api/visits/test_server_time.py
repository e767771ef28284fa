"""Time limits of the visitor server, and how it drains."""

import pytest
import trio

from api.visits import connection_set, gated_answers
from api.visits.server import DRAIN_GRACE_S
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import HEAD_S, IDLE_S, get, raw_send, served_edge, shop, unfinished

pytestmark = pytest.mark.trio(run=hosted_run)


async def test_a_head_has_its_time_limit_however_slowly_it_drips() -> None:
    async with served_edge() as edge:
        visitor = await edge.visitor()
        for byte in b"GET /":
            await visitor.send(bytes([byte]))
            await edge.until(lambda: unfinished(edge) == 1)
            edge.advance(HEAD_S / 5 - 0.1)
        assert edge.server.timed_out == 0
        await visitor.send(b"s")
        edge.advance(1.0)
        response = await visitor.response()
        assert (response.status, response.closes) == (408, True)
        assert await visitor.ends()
        assert edge.server.timed_out == 1


async def test_the_next_head_has_its_own_time_limit() -> None:
    async with served_edge() as edge:
        await shop(edge)
        visitor = await edge.visitor()
        for _ in range(3):
            await visitor.send(get(b"/shop/a")[:-1])
            await edge.until(lambda: unfinished(edge) == 1)
            edge.advance(HEAD_S - 1)
            assert (await visitor.request(b"\n")).status == 302
            edge.advance(IDLE_S - 1)
        assert edge.server.timed_out == 0


async def test_a_connection_that_sends_nothing_ends_silently() -> None:
    async with served_edge() as edge:
        visitor = await edge.visitor()
        await edge.until(lambda: edge.server.connections == 1)
        edge.advance(HEAD_S + 0.1)
        assert await visitor.is_closed()


async def test_an_idle_connection_ends_after_the_idle_time() -> None:
    async with served_edge() as edge:
        await shop(edge)
        visitor = await edge.visitor()
        assert (await visitor.request(get(b"/shop/a"))).status == 302
        edge.advance(IDLE_S - 0.1)
        assert (await visitor.request(get(b"/shop/a"))).status == 302
        edge.advance(IDLE_S - 0.1)
        assert edge.server.connections == 1
        edge.advance(0.2)
        assert await visitor.is_closed()
        assert edge.server.timed_out == 1


async def test_a_cold_response_that_takes_too_long_is_503() -> None:
    async with served_edge() as edge:
        await shop(edge)
        edge.profiles.hold()
        visitor = await edge.visitor()
        await visitor.send(get(b"/far/x"))
        await edge.profiles.wait_until_held()
        edge.advance(gated_answers.WAIT_LIMIT_S - 0.1)
        await visitor.send(get(b"/shop/a"))  # waits behind, and buys the first no time
        (connection,) = edge.server._connections.by_descriptor.values()
        await edge.until(lambda: connection.has_request)
        edge.advance(0.2)
        response = await visitor.response()
        assert (response.status, response.closes) == (503, True)
        edge.profiles.release()  # comes too late, and answers no visitor twice
        assert await visitor.ends()
        assert len(edge.journal.clicks) == 1


async def test_a_visitor_who_ignores_a_refusal_is_not_read_for_ever() -> None:
    async with served_edge() as edge:
        visitor = await edge.visitor()
        assert (await visitor.request(get(b"/", method=b"PUT"))).status == 405
        assert await visitor.is_closed()
        await visitor.send(b"more" * 1000)
        assert edge.server.connections == 1
        edge.advance(connection_set.LINGER_S + 0.1)
        assert edge.server.connections == 0
        assert edge.server.timed_out == 0  # it was answered long ago


async def test_a_drain_answers_what_is_in_flight_and_takes_no_new_visitor() -> None:
    async with served_edge() as edge:
        await shop(edge)
        idle, late, waiting, half, just_sent = [await edge.visitor() for _ in range(5)]
        for visitor in (idle, late, just_sent):
            assert (await visitor.request(get(b"/shop/a"))).status == 302
        edge.profiles.hold()
        await waiting.send(get(b"/far/x") + get(b"/shop/b"))
        await half.send(get(b"/shop/b")[:-1])
        await edge.until(lambda: unfinished(edge) == 1)
        await edge.profiles.wait_until_held()
        raw_send(just_sent, get(b"/shop/b"))  # in the kernel, where the server has not seen it

        edge.server.drain()
        new = await edge.visitor()  # by the kernel alone; the next process will find it there
        await new.send(get(b"/shop/a"))
        response = await just_sent.response()
        assert (response.location, response.closes) == ("https://b.example/", True)
        assert await just_sent.is_closed()
        response = await late.request(get(b"/shop/b"))  # on its way when the drain began
        assert (response.location, response.closes) == ("https://b.example/", True)
        assert await late.is_closed()
        assert edge.server.connections == 3
        edge.advance(DRAIN_GRACE_S + 0.1)
        assert await idle.is_closed()
        assert (edge.server.connections, edge.server.timed_out) == (2, 0)
        edge.profiles.release()
        response = await waiting.response()
        assert (response.location, response.closes) == ("https://x.example/", False)
        response = await waiting.response()
        assert (response.location, response.closes) == ("https://b.example/", True)
        response = await half.request(b"\n")
        assert (response.location, response.closes) == ("https://b.example/", True)
        assert await half.is_closed()
        assert await waiting.is_closed()
        assert (edge.server.connections, edge.server.accepted) == (0, 6)
        assert len(edge.journal.clicks) == 9
        with trio.move_on_after(0.05) as unanswered:
            await new.stream.receive_some(1)
        assert unanswered.cancelled_caught


async def test_a_drain_lets_a_refusal_be_read() -> None:
    async with served_edge() as edge:
        visitor = await edge.visitor()
        assert (await visitor.request(get(b"/none"))).status == 404
        raw_send(visitor, get(b"/", method=b"PUT") + b"body" * 10_000)
        edge.server.drain()
        assert (await visitor.response()).status == 405
        assert await visitor.ends()
