"""The record of a visit besides its link: place, host, campaign, trigger, pseudonym."""

import pytest

from engine.clicks import record_items
from engine.clicks.click import MAX_ITEMS_BYTES, Click
from engine.clicks.record_items import HOST, PLACE, TRIGGER, UTM, Trigger
from engine.operations.settings import Settings
from engine.visits.place import unpack_place
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import ServedEdge, get, served_edge

pytestmark = pytest.mark.trio(run=hosted_run)


async def recorded(edge: ServedEdge, path: bytes, *fields: bytes) -> Click:
    visitor = await edge.visitor()
    assert (await visitor.request(get(path, *fields))).status in (200, 302)
    return edge.journal.clicks[-1]


def items(click: Click) -> dict[int, bytes]:
    return record_items.items(click.items)


async def test_place_host_and_campaign() -> None:
    async with served_edge() as edge:
        await edge.profiles.add_profile("shop", "a")
        edge.places.set_place("127.0.0.1", "DE", "Köln")
        plain = await recorded(edge, b"/shop/a")
        assert unpack_place(items(plain)[PLACE]) == ("EU", "DE", "", "Köln")
        assert items(plain)[HOST] == b"links.example"
        assert items(plain).keys() == {PLACE, HOST}

        query = (
            b"x=1&utm_source=insta%20gram&UTM_medium=Bio&utm_term=a+b&utm_id=no&wp_t=qr&wp_t=page"
        )
        rich = items(await recorded(edge, b"/shop/a?" + query))
        assert rich[UTM] == b"utm_source=insta%20gram&UTM_medium=Bio&utm_term=a+b"
        assert rich[TRIGGER] == bytes((Trigger.QR,))

        visitor = await edge.visitor()
        for host, recorded_host in (
            (b"A.Example.:80", b"a.example"),
            (b"h" * 96, b"h" * 96),
            (b"h" * 97, None),
        ):
            head = b"GET /shop/a HTTP/1.1\r\nHost: %b\r\n\r\n" % host
            assert (await visitor.request(head)).status == 302
            assert items(edge.journal.clicks[-1]).get(HOST) == recorded_host

        long = await recorded(edge, b"/shop/a?utm_term=" + b"%41" * 2000)
        assert len(long.items) <= MAX_ITEMS_BYTES
        assert len(items(long)[UTM]) > 100
        assert items(long)[UTM].removeprefix(b"utm_term=").replace(b"%41", b"") == b""


async def test_another_geo_file_counts_from_the_next_request_of_an_open_connection() -> None:
    async with served_edge() as edge:
        await edge.profiles.add_profile("shop", "a")
        visitor = await edge.visitor()
        for country in ("DE", "FR"):
            edge.places.set_place("127.0.0.1", country)
            edge.server.places_changed()
            assert (await visitor.request(get(b"/shop/a"))).status == 302
            assert unpack_place(items(edge.journal.clicks[-1])[PLACE])[1] == country


@pytest.mark.parametrize(
    ("path", "fields", "trigger"),
    [
        (b"/shop/a", (), Trigger.LINK),
        (b"/shop/a?wp_t=page", (), Trigger.PAGE),
        (b"/shop/a?wp_t=other", (), Trigger.LINK),
        (b"/shop/a?awp_t=page", (), Trigger.LINK),
        (b"/shop/a", (b"Referer: https://LINKS.example:8443/@shop",), Trigger.PAGE),
        (b"/shop/a?utm_term=x", (b"Referer: http://links.example/@shop?x",), Trigger.PAGE),
        (b"/shop/a", (b"Referer: https://links.example/@other",), Trigger.LINK),
        (b"/shop/a", (b"Referer: https://evil.example/@shop",), Trigger.LINK),
        (b"/shop/a", (b"Referer: https://[bad/@shop",), Trigger.LINK),
    ],
)
async def test_the_trigger(path: bytes, fields: tuple[bytes, ...], trigger: Trigger) -> None:
    async with served_edge() as edge:
        await edge.profiles.add_profile("shop", "a")
        recorded_trigger = items(await recorded(edge, path, *fields)).get(TRIGGER, b"\0")
        assert recorded_trigger == bytes((trigger,))


async def test_the_trigger_is_not_passed_through() -> None:
    async with served_edge() as edge:
        shop = await edge.profiles.add_profile("shop")
        await edge.profiles.add_link(shop, "pass", "https://a.example/?own=1", passthrough=True)
        visitor = await edge.visitor()
        for query, location in (
            (b"wp_t=page", "https://a.example/?own=1"),
            (b"wp_t=page&utm_source=x", "https://a.example/?own=1&utm_source=x"),
            (b"a=b&wp_t=qr&&c", "https://a.example/?own=1&a=b&&c"),
            (b"wp_tx=1", "https://a.example/?own=1&wp_tx=1"),
        ):
            response = await visitor.request(get(b"/shop/pass?" + query))
            assert response.location == location


async def test_a_pseudonym_is_of_profile_network_and_agent() -> None:
    limits = Settings(trusted_hops=1, head_timeout_ms=10_000)
    async with served_edge(limits) as edge:
        await edge.profiles.add_profile("shop", "a", "b")
        await edge.profiles.add_profile("other", "a")

        async def visitor_id(path: bytes, address: bytes, agent: bytes = b"ua") -> bytes:
            fields = (b"X-Forwarded-For: 6.6.6.6, " + address, b"User-Agent: " + agent)
            return (await recorded(edge, path, *fields)).visitor_id

        first = await visitor_id(b"/shop/a", b"203.0.113.9")
        assert len(first) == 8
        assert await visitor_id(b"/shop/b", b"203.0.113.9") == first
        assert await visitor_id(b"/@shop", b"::ffff:203.0.113.9") == first
        line = await visitor_id(b"/shop/a", b"2001:db8:1:2::1")
        assert await visitor_id(b"/shop/a", b"2001:db8:1:2:ffff::9") == line
        others = [
            await visitor_id(b"/other/a", b"203.0.113.9"),
            await visitor_id(b"/shop/a", b"203.0.113.10"),
            await visitor_id(b"/shop/a", b"203.0.113.9", b"ub"),
            await visitor_id(b"/shop/a", b"2001:db8:1:3::1"),
        ]
        assert len({first, line, *others}) == 6
        edge.wall_us -= 1
        yesterday = await visitor_id(b"/shop/a", b"203.0.113.9")
        edge.wall_us += 1
        assert yesterday != first == await visitor_id(b"/shop/a", b"203.0.113.9")
        edge.keys.known = False
        assert await visitor_id(b"/shop/a", b"203.0.113.9") == b""
        assert edge.server.unidentified == 1
