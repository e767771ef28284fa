"""Pages elsewhere: pixel and script at the visitors' door, recorded as visits of the door are."""

from datetime import UTC, datetime

import pytest

from engine.clicks.click import CLASS_MASK, Click, ClickKind, VisitorClass
from engine.clicks.dimension_values import parse_items
from engine.clicks.own_event import MARK, OwnEvent, parse_event
from engine.clicks.record_items import HOST, PLACE, TRIGGER, UTM, Trigger, items
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import ServedEdge, get, served_edge

pytestmark = pytest.mark.trio(run=hosted_run)

BROWSER = b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0"
BOT = b"User-Agent: Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
PAGE = b"u=https%3A%2F%2Ffront.example%2Fbio%3Futm_source%3Dig"
INSTAGRAM = b"&r=https%3A%2F%2Fl.instagram.com%2F"


async def hit(edge: ServedEdge, path: bytes, query: bytes, agent: bytes = BROWSER) -> Click:
    visitor = await edge.visitor()
    response = await visitor.request(get(path + b"/pixel.gif?" + query, agent))
    assert (response.status, response.headers["content-type"]) == (200, "image/gif")
    assert response.headers["cache-control"] == "private, no-store"
    assert response.headers["cross-origin-resource-policy"] == "cross-origin"
    assert response.body[:6] == b"GIF89a"
    return edge.journal.clicks[-1]


async def test_a_view_and_a_click_of_a_page_elsewhere_are_records_as_of_the_door() -> None:
    async with served_edge() as edge:
        await edge.profiles.add_profile("shop", "a")
        edge.places.set_place("127.0.0.1", "DE")
        view = await hit(edge, b"/@shop", PAGE + INSTAGRAM)  # the profile is cold
        assert (view.kind, view.link_id, view.referrer) == (
            ClickKind.VIEW,
            0,
            b"https://l.instagram.com/",
        )
        assert view.classification & CLASS_MASK == VisitorClass.HUMAN
        assert items(view.items)[HOST] == b"front.example"
        assert items(view.items)[UTM] == b"utm_source=ig"
        assert items(view.items)[PLACE].startswith(b"EU\x1fDE")

        inside = b"u=https%3A%2F%2Ffront.example%2Fmore&r=https%3A%2F%2Ffront.example%2Fbio"
        click = await hit(edge, b"/shop/a", inside)
        assert (click.kind, click.link_id > 0) == (ClickKind.CLICK, True)
        assert (click.visitor_id, click.referrer) == (view.visitor_id, view.referrer)
        assert items(click.items)[UTM] == b"utm_source=ig"
        assert items(click.items)[TRIGGER] == bytes((Trigger.PAGE,))
        assert (edge.server.hits, sum(edge.server.visits_by_status.values())) == (2, 0)

        # A link of the door, from the page elsewhere with rel=noreferrer.
        visitor = await edge.visitor()
        assert (await visitor.request(get(b"/shop/a?wp_t=page", BROWSER))).status == 302
        assert edge.journal.clicks[-1].visitor_id == view.visitor_id
        assert edge.journal.clicks[-1].referrer == view.referrer


async def test_a_pixel_keeps_the_order_and_the_connection() -> None:
    async with served_edge() as edge:
        await edge.profiles.add_profile("shop", "a")
        visitor = await edge.visitor()
        await visitor.send(
            get(b"/@shop/pixel.gif") + get(b"/shop/a") + get(b"/@shop/pixel.gif", method=b"HEAD")
            + get(b"/shop/a/pixel.gif", b"Connection: close") + get(b"/shop/a")
        )  # fmt: skip
        statuses = [(await visitor.response()).status for _ in range(2)]
        head = await visitor.response(head=True)
        last = await visitor.response()
        assert (statuses, head.status, last.status) == ([200, 302], 200, 200)
        assert last.closes
        assert await visitor.is_closed()
        kinds = [click.kind for click in edge.journal.clicks]
        assert kinds == [ClickKind.VIEW, ClickKind.CLICK, ClickKind.VIEW, ClickKind.CLICK]
        classes = [click.classification & CLASS_MASK for click in edge.journal.clicks]
        assert classes[2] == VisitorClass.HEAD


async def test_an_own_event_is_a_record_of_its_own_with_the_way_of_its_visitor() -> None:
    async with served_edge() as edge:
        await edge.profiles.add_profile("shop", "a")
        view = await hit(edge, b"/@shop", PAGE + INSTAGRAM)
        query = b"u=https%3A%2F%2Ffront.example%2F&event=Sign+up&p.plan=pro%C3%A9&p.seats=3&p.b%20d=x&p.=y"
        event = await hit(edge, b"/@shop", query)
        assert (event.kind, event.link_id) == (ClickKind.EVENT, 0)
        assert (event.visitor_id, event.referrer) == (view.visitor_id, view.referrer)
        assert items(event.items)[UTM] == b"utm_source=ig"
        text = parse_items(event.items).event
        assert parse_event(text) == OwnEvent("Sign up", ("plan=pro\u00e9", "seats=3"))
        of_link = await hit(edge, b"/shop/a", b"event=copied")
        assert (of_link.kind, of_link.link_id > 0) == (ClickKind.EVENT, True)
        assert (await hit(edge, b"/@shop", b"event=%20")).kind == ClickKind.VIEW
        bounded = (
            b"event=" + b"n" * 90 + b"".join(b"&p.k%d=%b" % (n, b"v" * 300) for n in range(14))
        )
        name, *properties = parse_items((await hit(edge, b"/@shop", bounded)).items).event.split(
            MARK
        )
        assert (len(name), len(properties)) == (40, 10)
        assert {len(each.partition("=")[2]) for each in properties} == {120}


async def test_a_hit_of_a_closed_link_is_not_recorded() -> None:
    async with served_edge() as edge:
        profile_id = await edge.profiles.add_profile("shop")
        over = datetime(2025, 1, 1, tzinfo=UTC)
        await edge.profiles.add_link(profile_id, "over", active_until=over)
        visitor = await edge.visitor()
        assert (await visitor.request(get(b"/shop/over/pixel.gif"))).status == 200
        assert edge.journal.records == []


async def test_bots_are_kept_apart_and_unknown_pages_are_404() -> None:
    async with served_edge() as edge:
        await edge.profiles.add_profile("shop", "a")
        bot = await hit(edge, b"/@shop", PAGE + INSTAGRAM, BOT)
        assert bot.classification & CLASS_MASK == VisitorClass.BOT
        visitor = await edge.visitor()
        for path in (
            b"/@none/pixel.gif",
            b"/shop/none/pixel.gif",
            b"/pixel.gif",
            b"/a/b/c/pixel.gif",
        ):
            assert (await visitor.request(get(path))).status == 404
        assert len(edge.journal.clicks) == 1


async def test_the_script_is_small_and_counts_for_nobody() -> None:
    async with served_edge() as edge:
        visitor = await edge.visitor()
        script = await visitor.request(get(b"/waypost.js"))
        assert script.status == 200
        assert script.headers["content-type"] == "text/javascript; charset=utf-8"
        assert script.headers["cache-control"] == "public, max-age=3600"
        assert b"keepalive: true" in script.body
        assert len(script.body) < 1000
        assert (await visitor.request(get(b"/waypost.js", method=b"HEAD"))).body == b""
        assert edge.journal.records == []
