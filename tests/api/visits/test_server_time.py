"""Time limits of the visitor server, and how it drains."""

import pytest
import trio

from api.visits import connection_set, server
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import HEAD_S, IDLE_S, get, opened, raw_send, shop, unfinished

pytestmark = pytest.mark.trio(run=hosted_run)


async def test_a_head_has_its_time_however_slowly_it_drips() -> None:
    async with opened() as door:
        visitor = await door.visitor()
        for byte in b"GET /":
            await visitor.send(bytes([byte]))
            await door.until(lambda: unfinished(door) == 1)
            door.later(HEAD_S / 5 - 0.1)
        assert door.visitors.timed_out == 0
        await visitor.send(b"s")
        door.later(1.0)
        answer = await visitor.answer()
        assert (answer.status, answer.closes) == (408, True)
        assert await visitor.ends()
        assert door.visitors.timed_out == 1


async def test_the_next_head_has_a_time_of_its_own() -> None:
    async with opened() as door:
        await shop(door)
        visitor = await door.visitor()
        for _ in range(3):
            await visitor.send(get(b"/shop/a")[:-1])
            await door.until(lambda: unfinished(door) == 1)
            door.later(HEAD_S - 1)
            assert (await visitor.asks(b"\n")).status == 302
            door.later(IDLE_S - 1)
        assert door.visitors.timed_out == 0


async def test_a_connection_that_says_nothing_ends_silently() -> None:
    async with opened() as door:
        visitor = await door.visitor()
        await door.until(lambda: door.visitors.connections == 1)
        door.later(HEAD_S + 0.1)
        assert await visitor.is_closed()


async def test_an_idle_connection_ends_after_the_idle_time() -> None:
    async with opened() as door:
        await shop(door)
        visitor = await door.visitor()
        assert (await visitor.asks(get(b"/shop/a"))).status == 302
        door.later(IDLE_S - 0.1)
        assert (await visitor.asks(get(b"/shop/a"))).status == 302
        door.later(IDLE_S - 0.1)
        assert door.visitors.connections == 1
        door.later(0.2)
        assert await visitor.is_closed()
        assert door.visitors.timed_out == 1


async def test_a_cold_answer_that_takes_too_long_is_503() -> None:
    async with opened() as door:
        await shop(door)
        door.profiles.hold()
        visitor = await door.visitor()
        await visitor.send(get(b"/far/x"))
        await door.profiles.is_holding()
        door.later(server.WAIT_LIMIT_S - 0.1)
        await visitor.send(get(b"/shop/a"))  # waits behind, and buys the first no time
        (connection,) = door.visitors._connections.by_descriptor.values()
        await door.until(lambda: len(connection.queue) == 1)
        door.later(0.2)
        answer = await visitor.answer()
        assert (answer.status, answer.closes) == (503, True)
        door.profiles.release()  # comes too late, and answers nobody twice
        assert await visitor.ends()
        assert len(door.journal.clicks) == 1


async def test_a_visitor_who_ignores_a_refusal_is_not_listened_to_for_ever() -> None:
    async with opened() as door:
        visitor = await door.visitor()
        assert (await visitor.asks(get(b"/", method=b"PUT"))).status == 405
        assert await visitor.is_closed()
        await visitor.send(b"more" * 1000)
        assert door.visitors.connections == 1
        door.later(connection_set.LINGER_S + 0.1)
        assert door.visitors.connections == 0
        assert door.visitors.timed_out == 0  # it was answered long ago


async def test_a_drain_answers_what_is_in_flight_and_takes_nobody_new() -> None:
    async with opened() as door:
        await shop(door)
        idle, waiting, half, just_sent = [await door.visitor() for _ in range(4)]
        for visitor in (idle, just_sent):
            assert (await visitor.asks(get(b"/shop/a"))).status == 302
        door.profiles.hold()
        await waiting.send(get(b"/far/x") + get(b"/shop/b"))
        await half.send(get(b"/shop/b")[:-1])
        await door.until(lambda: unfinished(door) == 1)
        await door.profiles.is_holding()
        raw_send(just_sent, get(b"/shop/b"))  # in the kernel, where the door has not seen it

        door.visitors.drain()
        new = await door.visitor()  # by the kernel alone; the next process will find it there
        await new.send(get(b"/shop/a"))
        assert await idle.is_closed()
        answer = await just_sent.answer()
        assert (answer.location, answer.closes) == ("https://b.example/", True)
        assert await just_sent.is_closed()
        assert door.visitors.connections == 2
        door.profiles.release()
        answer = await waiting.answer()
        assert (answer.location, answer.closes) == ("https://x.example/", False)
        answer = await waiting.answer()
        assert (answer.location, answer.closes) == ("https://b.example/", True)
        answer = await half.asks(b"\n")
        assert (answer.location, answer.closes) == ("https://b.example/", True)
        assert await half.is_closed()
        assert await waiting.is_closed()
        assert (door.visitors.connections, door.visitors.accepted) == (0, 5)
        assert len(door.journal.clicks) == 7
        with trio.move_on_after(0.05) as unanswered:
            await new.stream.receive_some(1)
        assert unanswered.cancelled_caught


async def test_a_drain_lets_a_refusal_be_read() -> None:
    async with opened() as door:
        visitor = await door.visitor()
        assert (await visitor.asks(get(b"/none"))).status == 404
        raw_send(visitor, get(b"/", method=b"PUT") + b"body" * 10_000)
        door.visitors.drain()
        assert (await visitor.answer()).status == 405
        assert await visitor.ends()
