"""Connections of the visitor server: no address takes them from the others, and idle ones make room."""

import pytest

from engine.operations.settings import Settings
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import ServedEdge, Visitor, get, served_edge, shop, unfinished

pytestmark = pytest.mark.trio(run=hosted_run)

HOLDER, OTHER = "127.0.0.2", "127.0.0.3"
LINK = get(b"/shop/a")


async def held_by_cold_paths(edge: ServedEdge, count: int) -> list[Visitor]:
    """Return connections of HOLDER whose requests wait for a profile."""
    edge.profiles.hold()
    visitors = [await edge.visitor(HOLDER) for _ in range(count)]
    for number, visitor in enumerate(visitors):
        await visitor.send(get(b"/cold-%d" % number))
    await edge.until(lambda: edge.registry.waiting == count)
    return visitors


async def kept_alive(edge: ServedEdge, address: str = OTHER) -> Visitor:
    """Return a connection on which a request was answered, a second ago."""
    visitor = await edge.visitor(address)
    assert (await visitor.request(LINK)).status == 302
    edge.advance(1)
    return visitor


async def test_an_address_gets_its_share_and_no_other_address_less() -> None:
    async with served_edge(Settings(max_connections=8, connections_per_address=2)) as edge:
        await shop(edge)
        visitors = await held_by_cold_paths(edge, 2)
        refused = await (await edge.visitor(HOLDER)).response()
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert (await (await edge.visitor(OTHER)).request(LINK)).status == 302
        assert edge.server.refused_by_reason == {"address": 1, "connections": 0, "descriptors": 0}
        edge.profiles.release()
        assert [(await visitor.response()).status for visitor in visitors] == [404, 404]


async def test_over_its_share_an_address_closes_its_own_longest_idle_connection() -> None:
    async with served_edge(Settings(max_connections=8, connections_per_address=2)) as edge:
        await shop(edge)
        other = await kept_alive(edge, OTHER)
        first, second = await kept_alive(edge, HOLDER), await kept_alive(edge, HOLDER)
        assert (await first.request(LINK)).status == 302
        third = await kept_alive(edge, HOLDER)
        assert await second.is_closed()
        for visitor in (other, first, third):
            assert (await visitor.request(LINK)).status == 302
        assert (edge.server.evicted, sum(edge.server.refused_by_reason.values())) == (1, 0)


async def test_a_connection_between_requests_is_closed_before_one_with_half_a_head() -> None:
    async with served_edge(Settings(max_connections=3)) as edge:
        await shop(edge)
        slow = await edge.visitor(HOLDER)
        await slow.send(LINK[:20])
        await edge.until(lambda: unfinished(edge) == 1)
        idle, newer = await kept_alive(edge), await kept_alive(edge)
        assert (await (await edge.visitor(OTHER)).request(LINK)).status == 302
        assert await idle.is_closed()
        await slow.send(LINK[20:])
        assert (await slow.response()).status == 302
        assert (await newer.request(LINK)).status == 302


async def test_of_heads_that_drip_the_oldest_makes_room() -> None:
    async with served_edge(Settings(max_connections=2)) as edge:
        await shop(edge)
        drips = []
        for number in range(2):
            drips.append(await edge.visitor(HOLDER))
            await drips[-1].send(LINK[:20])
            await edge.until(lambda: unfinished(edge) == number + 1)  # noqa: B023
            edge.advance(1)
        assert (await (await edge.visitor(OTHER)).request(LINK)).status == 302
        assert await drips[0].is_closed()
        await drips[1].send(LINK[20:])
        assert (await drips[1].response()).status == 302


async def test_a_visitor_that_takes_no_responses_is_closed_before_a_head_that_drips() -> None:
    async with served_edge(Settings(max_connections=2), send_buffer_bytes=4096) as edge:
        await shop(edge)
        await edge.profiles.add_profile("big", *"abcdefgh", title="T" * 100)
        drip = await edge.visitor(HOLDER)
        await drip.send(LINK[:20])
        await edge.until(lambda: unfinished(edge) == 1)
        taker = await edge.visitor(HOLDER, receive_buffer_bytes=4096)
        await taker.send(get(b"/@big") * 100)
        connections = edge.server._connections.by_descriptor
        await edge.until(lambda: any(c.unsent for c in connections.values()))
        edge.advance(1)
        assert (await (await edge.visitor(OTHER)).request(LINK)).status == 302
        await taker.is_reset()  # it takes what was sent before its end
        assert edge.server.evicted == 1
        await drip.send(LINK[20:])
        assert (await drip.response()).status == 302


async def test_behind_proxies_a_peer_has_no_share() -> None:
    limits = Settings(max_connections=8, connections_per_address=1, trusted_hops=1)
    async with served_edge(limits) as edge:
        await shop(edge)
        visitors = [await kept_alive(edge, HOLDER) for _ in range(3)]
        for visitor in visitors:
            assert (await visitor.request(LINK)).status == 302


async def test_a_search_that_finds_nothing_is_not_repeated_at_once() -> None:
    async with served_edge(Settings(max_connections=8, connections_per_address=2)) as edge:
        await shop(edge)
        visitors = await held_by_cold_paths(edge, 2)
        assert (await (await edge.visitor(HOLDER)).response()).status == 503
        edge.profiles.release()
        assert [(await visitor.response()).status for visitor in visitors] == [404, 404]
        assert (await (await edge.visitor(HOLDER)).response()).status == 503
        edge.advance(1)
        assert (await (await edge.visitor(HOLDER)).request(LINK)).status == 302
        assert edge.server.refused_by_reason["address"] == 2
