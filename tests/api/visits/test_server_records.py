"""What the door records of a visit besides its link: place, host, campaign, trigger, pseudonym."""

import pytest

from engine.clicks import record_items
from engine.clicks.click import MAX_ITEMS_BYTES, Click
from engine.clicks.record_items import HOST, PLACE, TRIGGER, UTM, Trigger
from engine.operations.settings import Settings
from engine.visits.place import unpack_place
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import OpenDoor, get, opened

pytestmark = pytest.mark.trio(run=hosted_run)


async def recorded(door: OpenDoor, path: bytes, *fields: bytes) -> Click:
    visitor = await door.visitor()
    assert (await visitor.asks(get(path, *fields))).status in (200, 302)
    return door.journal.clicks[-1]


def items(click: Click) -> dict[int, bytes]:
    return record_items.items(click.items)


async def test_place_host_and_campaign() -> None:
    async with opened() as door:
        await door.profiles.made("shop", "a")
        door.places.tell("127.0.0.1", "DE", "Köln")
        plain = await recorded(door, b"/shop/a")
        assert unpack_place(items(plain)[PLACE]) == ("EU", "DE", "", "Köln")
        assert items(plain)[HOST] == b"links.example"
        assert items(plain).keys() == {PLACE, HOST}

        query = (
            b"x=1&utm_source=insta%20gram&UTM_medium=no&utm_term=a+b&utm_id=no&wp_t=qr&wp_t=page"
        )
        rich = items(await recorded(door, b"/shop/a?" + query))
        assert rich[UTM] == b"utm_source=insta%20gram&utm_term=a+b"
        assert rich[TRIGGER] == bytes((Trigger.QR,))

        visitor = await door.visitor()
        for host, found in (
            (b"A.Example.:80", b"a.example"),
            (b"h" * 96, b"h" * 96),
            (b"h" * 97, None),
        ):
            asked = b"GET /shop/a HTTP/1.1\r\nHost: %b\r\n\r\n" % host
            assert (await visitor.asks(asked)).status == 302
            assert items(door.journal.clicks[-1]).get(HOST) == found

        long = await recorded(door, b"/shop/a?utm_term=" + b"%41" * 2000)
        assert len(long.items) <= MAX_ITEMS_BYTES
        assert len(items(long)[UTM]) > 100
        assert items(long)[UTM].removeprefix(b"utm_term=").replace(b"%41", b"") == b""


async def test_another_geo_file_counts_from_the_next_request_of_an_open_connection() -> None:
    async with opened() as door:
        await door.profiles.made("shop", "a")
        visitor = await door.visitor()
        for country in ("DE", "FR"):
            door.places.tell("127.0.0.1", country)
            door.visitors.places_changed()
            assert (await visitor.asks(get(b"/shop/a"))).status == 302
            assert unpack_place(items(door.journal.clicks[-1])[PLACE])[1] == country


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
    async with opened() as door:
        await door.profiles.made("shop", "a")
        found = items(await recorded(door, path, *fields)).get(TRIGGER, b"\0")
        assert found == bytes((trigger,))


async def test_the_trigger_is_not_passed_through() -> None:
    async with opened() as door:
        shop = await door.profiles.made("shop")
        await door.profiles.linked(shop, "pass", "https://a.example/?own=1", passthrough=True)
        visitor = await door.visitor()
        for query, location in (
            (b"wp_t=page", "https://a.example/?own=1"),
            (b"wp_t=page&utm_source=x", "https://a.example/?own=1&utm_source=x"),
            (b"a=b&wp_t=qr&&c", "https://a.example/?own=1&a=b&&c"),
            (b"wp_tx=1", "https://a.example/?own=1&wp_tx=1"),
        ):
            answer = await visitor.asks(get(b"/shop/pass?" + query))
            assert answer.location == location


async def test_a_pseudonym_is_of_profile_network_and_agent() -> None:
    limits = Settings(trusted_hops=1, head_timeout_ms=10_000)
    async with opened(limits) as door:
        await door.profiles.made("shop", "a", "b")
        await door.profiles.made("other", "a")

        async def seen(path: bytes, address: bytes, agent: bytes = b"ua") -> bytes:
            fields = (b"X-Forwarded-For: 6.6.6.6, " + address, b"User-Agent: " + agent)
            return (await recorded(door, path, *fields)).visitor_id

        one = await seen(b"/shop/a", b"203.0.113.9")
        assert len(one) == 8
        assert await seen(b"/shop/b", b"203.0.113.9") == one
        assert await seen(b"/@shop", b"::ffff:203.0.113.9") == one
        line = await seen(b"/shop/a", b"2001:db8:1:2::1")
        assert await seen(b"/shop/a", b"2001:db8:1:2:ffff::9") == line
        others = [
            await seen(b"/other/a", b"203.0.113.9"),
            await seen(b"/shop/a", b"203.0.113.10"),
            await seen(b"/shop/a", b"203.0.113.9", b"ub"),
            await seen(b"/shop/a", b"2001:db8:1:3::1"),
        ]
        assert len({one, line, *others}) == 6
        door.wall_us -= 1
        yesterday = await seen(b"/shop/a", b"203.0.113.9")
        door.wall_us += 1
        assert yesterday != one == await seen(b"/shop/a", b"203.0.113.9")
        door.keys.known = False
        assert await seen(b"/shop/a", b"203.0.113.9") == b""
        assert door.visitors.unidentified == 1
