"""The visitor server keeps the order of each connection's requests."""

import socket

import pytest

from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import get, opened, shop

pytestmark = pytest.mark.trio(run=hosted_run)


async def test_pipelined_answers_keep_their_order_across_a_cold_profile() -> None:
    async with opened() as door:
        await shop(door)
        door.profiles.hold()
        visitor = await door.visitor()
        paths = [b"/shop/a", b"/far/x", b"/shop/b", b"/far/y", b"/none", b"/shop/a"]
        await visitor.send(b"".join(get(path) for path in paths))
        assert (await visitor.answer()).location == "https://a.example/"
        await door.profiles.is_holding()
        assert (await (await door.visitor()).asks(get(b"/shop/a"))).status == 302  # others go on
        await visitor.send(get(b"/shop/b"))  # read while the connection waits
        door.profiles.release()
        answers = [await visitor.answer() for _ in range(6)]
        assert [answer.location for answer in answers] == [
            "https://x.example/", "https://b.example/", "https://y.example/", "",
            "https://a.example/", "https://b.example/",
        ]  # fmt: skip
        assert len([1 for _, paths in door.profiles.asked if b"/far/x" in paths]) == 1


async def test_what_stands_before_the_last_request_is_answered_too() -> None:
    async with opened() as door:
        await shop(door)
        visitor = await door.visitor()
        await visitor.send(get(b"/shop/a") + get(b"/shop/b", b"Connection: close"))
        first, second = await visitor.answer(), await visitor.answer()
        assert (first.location, first.closes) == ("https://a.example/", False)
        assert (second.location, second.closes) == ("https://b.example/", True)
        assert await visitor.is_closed()


async def test_good_requests_before_a_bad_one_are_answered_and_so_is_that() -> None:
    async with opened() as door:
        await shop(door)
        visitor = await door.visitor()
        await visitor.send(get(b"/shop/a") + get(b"/none") + get(b"/", method=b"PUT") + b"body")
        assert [(await visitor.answer()).status for _ in range(3)] == [302, 404, 405]
        assert await visitor.ends()


async def test_a_visitor_who_only_stops_sending_gets_all_answers() -> None:
    async with opened() as door:
        await shop(door)
        for cold_path in (b"/far/x", b"/shop/a"):
            door.profiles.hold()
            visitor = await door.visitor()
            await visitor.send(get(cold_path) + get(b"/shop/b") + get(b"/shop/a"))
            await visitor.stream.send_eof()
            if cold_path == b"/far/x":
                await door.profiles.is_holding()
            door.profiles.release()
            assert [(await visitor.answer()).status for _ in range(3)] == [302] * 3
            assert await visitor.is_closed()
        await door.until(lambda: door.visitors.connections == 0)


async def test_a_visitor_who_stops_within_a_head_is_let_go() -> None:
    async with opened() as door:
        visitor = await door.visitor()
        await visitor.send(get(b"/shop/a")[:-2])
        assert await visitor.ends()
        assert door.visitors.connections == 0


async def test_a_visitor_who_leaves_while_waiting_costs_the_others_nothing() -> None:
    async with opened() as door:
        await shop(door)
        door.profiles.hold()
        leaves, stays = await door.visitor(), await door.visitor()
        await leaves.send(get(b"/far/x"))
        await stays.send(get(b"/far/x"))
        await door.until(lambda: door.registry.waiting == 2)
        leaves.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await leaves.stream.aclose()
        await door.until(lambda: door.visitors.connections == 1)
        door.profiles.release()
        assert (await stays.answer()).location == "https://x.example/"
        assert len(door.journal.clicks) == 2  # who left was not sent anywhere
        assert door.registry.waiting == 0
