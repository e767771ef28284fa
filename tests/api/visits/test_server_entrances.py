"""The way of a visitor over the page to a link, as an edge records it."""

import pytest

from engine.clicks.click import MAX_REFERRER_BYTES, Click
from engine.clicks.record_items import TRIGGER, UTM, Trigger, items
from engine.visits.daily_key import DAY_US
from engine.visits.entrance import KEPT_US
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import ServedEdge, get, served_edge

pytestmark = pytest.mark.trio(run=hosted_run)

INSTAGRAM = b"https://l.instagram.com/"
CAMPAIGN = b"utm_source=ig&utm_campaign=spring"
PAGE = b"http://links.example/@shop"
BROWSER = b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0"
BOT = b"User-Agent: Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


class Walk:
    """Requests of one browser to an edge, and how each is recorded."""

    def __init__(self, edge: ServedEdge) -> None:
        self.edge = edge

    async def record(self, path: bytes, referrer: bytes = b"", agent: bytes = BROWSER) -> Click:
        fields = (b"Referer: " + referrer,) if referrer else ()
        visitor = await self.edge.visitor()
        await visitor.request(get(path, agent, *fields))
        assert await visitor.ends()
        return self.edge.journal.clicks[-1]

    async def way(self, path: bytes, referrer: bytes = b"") -> tuple[bytes, bytes]:
        """Return (the recorded referrer, the recorded campaign)."""
        click = await self.record(path, referrer)
        return click.referrer, items(click.items).get(UTM, b"")


async def test_a_click_has_the_way_of_its_visitors_entrance() -> None:
    async with served_edge() as edge:
        await edge.profiles.add_profile("shop", "a", "b")
        walk = Walk(edge)
        view = await walk.way(b"/@shop?x=1&" + CAMPAIGN, INSTAGRAM)
        assert view == (INSTAGRAM, CAMPAIGN)
        from_page = PAGE + b"?x=1&" + CAMPAIGN
        assert await walk.way(b"/shop/a?wp_t=page", from_page) == view
        assert await walk.way(b"/shop/a", from_page) == view
        # Browsers that send the origin only, or no referrer.
        assert await walk.way(b"/shop/b?wp_t=page", b"http://links.example/") == view
        assert await walk.way(b"/shop/b?wp_t=page") == view
        click = await walk.record(b"/shop/a?wp_t=page")
        assert items(click.items)[TRIGGER] == bytes((Trigger.PAGE,))


async def test_without_an_entrance_the_pages_query_names_the_campaign() -> None:
    async with served_edge() as edge:
        await edge.profiles.add_profile("shop", "a")
        walk = Walk(edge)
        assert await walk.way(b"/shop/a?wp_t=page", PAGE) == (b"", b"")
        assert await walk.way(b"/shop/a?wp_t=page", PAGE + b"?UTM_SOURCE=ig&x") == (
            b"",
            b"UTM_SOURCE=ig",
        )
        edge.keys.known = False
        assert await walk.way(b"/@shop?" + CAMPAIGN, INSTAGRAM) == (INSTAGRAM, CAMPAIGN)
        assert await walk.way(b"/shop/a?wp_t=page", PAGE) == (b"", b"")
        assert len(edge.registry.entrances.memory) == 0


async def test_the_last_entrance_counts_and_own_pages_are_none() -> None:
    async with served_edge() as edge:
        await edge.profiles.add_profile("shop", "a")
        await edge.profiles.add_profile("other", "a")
        walk = Walk(edge)
        first = await walk.way(b"/@shop?" + CAMPAIGN, INSTAGRAM)
        assert await walk.way(b"/@shop", PAGE + b"?" + CAMPAIGN) == first
        assert await walk.way(b"/@shop") == (b"", b"")  # typed: says nothing, forgets nothing
        assert await walk.way(b"/shop/a?wp_t=page", PAGE) == first
        assert await walk.way(b"/@shop", b"https://www.google.com/") == (
            b"https://www.google.com/",
            b"",
        )
        assert await walk.way(b"/shop/a?wp_t=page", PAGE) == (b"https://www.google.com/", b"")
        # Another tab, whose page still names its campaign.
        from_first_tab = PAGE + b"?" + CAMPAIGN
        assert await walk.way(b"/shop/a?wp_t=page", from_first_tab) == (b"", CAMPAIGN)
        # Another profile's page is a referrer.
        others = b"http://links.example/@other"
        assert await walk.way(b"/@shop", others) == (others, b"")
        assert await walk.way(b"/shop/a?wp_t=page", PAGE) == (others, b"")
        assert await walk.way(b"/other/a?wp_t=page") == (b"", b"")


async def test_a_click_from_elsewhere_has_its_own_way() -> None:
    async with served_edge() as edge:
        await edge.profiles.add_profile("shop", "a")
        walk = Walk(edge)
        await walk.way(b"/@shop?" + CAMPAIGN, INSTAGRAM)
        assert await walk.way(b"/shop/a") == (b"", b"")
        assert await walk.way(b"/shop/a", b"https://t.co/x") == (b"https://t.co/x", b"")
        # A link that was copied from the page.
        assert await walk.way(b"/shop/a?wp_t=page", b"https://t.co/x") == (b"https://t.co/x", b"")
        own = b"/shop/a?wp_t=page&utm_source=own"
        assert await walk.way(own, PAGE) == (INSTAGRAM, b"utm_source=own")


async def test_an_entrance_is_remembered_for_thirty_minutes_over_midnight() -> None:
    async with served_edge() as edge:
        await edge.profiles.add_profile("shop", "a")
        walk = Walk(edge)
        edge.registry.entrances._pseudonymiser = edge.keys.pseudonymiser
        edge.wall_us += DAY_US - KEPT_US // 2  # 15 minutes before midnight
        view = await walk.way(b"/@shop?" + CAMPAIGN, INSTAGRAM)
        edge.wall_us += KEPT_US
        assert await walk.way(b"/shop/a?wp_t=page", PAGE) == view
        edge.wall_us += 1
        assert await walk.way(b"/shop/a?wp_t=page", PAGE) == (b"", b"")


async def test_machines_are_not_remembered() -> None:
    async with served_edge() as edge:
        await edge.profiles.add_profile("shop", "a")
        walk = Walk(edge)
        await walk.record(b"/@shop?" + CAMPAIGN, INSTAGRAM, BOT)
        visitor = await edge.visitor()
        head = get(b"/@shop?" + CAMPAIGN, BROWSER, b"Referer: " + INSTAGRAM).replace(
            b"GET", b"HEAD"
        )
        assert (await visitor.request(head)).status == 200
        assert len(edge.registry.entrances.memory) == 0


async def test_the_longest_ways_fit_a_record() -> None:
    async with served_edge() as edge:
        await edge.profiles.add_profile("shop", "a")
        edge.places.set_place("127.0.0.1", "DE", "K" * 90)
        walk = Walk(edge)
        query = b"utm_source=" + b"s" * 90 + b"&utm_term=" + b"t" * 500
        referrer = b"https://long.example/" + b"r" * 500
        view = await walk.record(b"/@shop?" + query, referrer)
        assert len(view.referrer) == MAX_REFERRER_BYTES
        click = await walk.record(b"/shop/a?wp_t=page", PAGE + b"?" + query)
        assert click.referrer == view.referrer
        assert items(click.items)[UTM].startswith(b"utm_source=" + b"s" * 90 + b"&utm_term=t")
