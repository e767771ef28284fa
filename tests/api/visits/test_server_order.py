"""The visitor server keeps the order of each connection's requests."""

import socket

import pytest

from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import get, served_edge, shop

pytestmark = pytest.mark.trio(run=hosted_run)


async def test_pipelined_responses_keep_their_order_across_a_cold_profile() -> None:
    async with served_edge() as edge:
        await shop(edge)
        edge.profiles.hold()
        visitor = await edge.visitor()
        paths = [b"/shop/a", b"/far/x", b"/shop/b", b"/far/y", b"/none", b"/shop/a"]
        await visitor.send(b"".join(get(path) for path in paths))
        assert (await visitor.response()).location == "https://a.example/"
        await edge.profiles.wait_until_held()
        assert (await (await edge.visitor()).request(get(b"/shop/a"))).status == 302  # others go on
        await visitor.send(get(b"/shop/b"))  # read while the connection waits
        edge.profiles.release()
        responses = [await visitor.response() for _ in range(6)]
        assert [response.location for response in responses] == [
            "https://x.example/", "https://b.example/", "https://y.example/", "",
            "https://a.example/", "https://b.example/",
        ]  # fmt: skip
        assert len([1 for _, paths in edge.profiles.queries if b"/far/x" in paths]) == 1


async def test_requests_before_the_last_one_are_answered_too() -> None:
    async with served_edge() as edge:
        await shop(edge)
        visitor = await edge.visitor()
        await visitor.send(get(b"/shop/a") + get(b"/shop/b", b"Connection: close"))
        first, second = await visitor.response(), await visitor.response()
        assert (first.location, first.closes) == ("https://a.example/", False)
        assert (second.location, second.closes) == ("https://b.example/", True)
        assert await visitor.is_closed()


async def test_good_requests_before_a_bad_one_are_answered_and_the_bad_one_too() -> None:
    async with served_edge() as edge:
        await shop(edge)
        visitor = await edge.visitor()
        await visitor.send(get(b"/shop/a") + get(b"/none") + get(b"/", method=b"PUT") + b"body")
        assert [(await visitor.response()).status for _ in range(3)] == [302, 404, 405]
        assert await visitor.ends()


async def test_a_visitor_who_only_stops_sending_gets_all_responses() -> None:
    async with served_edge() as edge:
        await shop(edge)
        for cold_path in (b"/far/x", b"/shop/a"):
            edge.profiles.hold()
            visitor = await edge.visitor()
            await visitor.send(get(cold_path) + get(b"/shop/b") + get(b"/shop/a"))
            await visitor.stream.send_eof()
            if cold_path == b"/far/x":
                await edge.profiles.wait_until_held()
            edge.profiles.release()
            assert [(await visitor.response()).status for _ in range(3)] == [302] * 3
            assert await visitor.is_closed()
        await edge.until(lambda: edge.server.connections == 0)


async def test_a_visitor_who_stops_within_a_head_is_closed() -> None:
    async with served_edge() as edge:
        visitor = await edge.visitor()
        await visitor.send(get(b"/shop/a")[:-2])
        assert await visitor.ends()
        assert edge.server.connections == 0


async def test_a_visitor_who_leaves_while_waiting_costs_others_nothing() -> None:
    async with served_edge() as edge:
        await shop(edge)
        edge.profiles.hold()
        leaves, stays = await edge.visitor(), await edge.visitor()
        await leaves.send(get(b"/far/x"))
        await stays.send(get(b"/far/x"))
        await edge.until(lambda: edge.registry.waiting == 2)
        leaves.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await leaves.stream.aclose()
        await edge.until(lambda: edge.server.connections == 1)
        edge.profiles.release()
        assert (await stays.response()).location == "https://x.example/"
        assert len(edge.journal.clicks) == 2  # the visitor that left was sent nowhere
        assert edge.registry.waiting == 0
