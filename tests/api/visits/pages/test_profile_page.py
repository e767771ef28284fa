"""Pages at the visitors' server: codings, copies that browsers have, and the wait for a page."""

import gzip
import json
from datetime import UTC, datetime, timedelta

import brotli
import pytest
import trio

from actors.visits.forms.subscriptions import SUBSCRIPTIONS_OF_CLIENT
from engine.clicks.click import ClickKind
from engine.pages.blocks import ContactBlock, EmailFormBlock, EventBlock, HeadingBlock
from engine.pages.page import BlockChange, ProfilePage, Translation
from tests.kit.delayed_profiles import TENANT
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import Response, get, served_edge, shop

pytestmark = pytest.mark.trio(run=hosted_run)


async def test_a_page_comes_in_a_coding_that_the_browser_takes() -> None:
    async with served_edge() as edge:
        await shop(edge)
        visitor = await edge.visitor()
        plain = await visitor.request(get(b"/@shop"))
        assert "content-encoding" not in plain.headers
        assert plain.headers["vary"] == "Accept-Encoding, Accept-Language"
        for value, coding, decode in (
            (b"gzip, deflate, br", "br", brotli.decompress), (b"gzip", "gzip", gzip.decompress)
        ):  # fmt: skip
            response = await visitor.request(get(b"/@shop", b"Accept-Encoding: " + value))
            assert response.headers["content-encoding"] == coding
            assert decode(response.body) == plain.body
            assert response.headers["etag"] == plain.headers["etag"]
        head = await visitor.request(get(b"/@shop", b"Accept-Encoding: gzip", method=b"HEAD"))
        assert (head.headers["content-encoding"], head.body) == ("gzip", b"")


async def test_a_browser_that_has_the_page_gets_304_and_its_view_counts() -> None:
    async with served_edge() as edge:
        profile_id = await shop(edge)
        visitor = await edge.visitor()
        first = await visitor.request(get(b"/@shop"))
        tag = first.headers["etag"].encode()
        await visitor.send(get(b"/@shop", b"If-None-Match: " + tag) + get(b"/shop/a"))
        # 304 has no body, nor a length of one: the next response follows its head.
        lines = b""
        while lines.count(b"\r\n\r\n") < 2:
            with trio.fail_after(5):
                lines += await visitor.stream.receive_some()
        second, third = lines.split(b"\r\n\r\n")[:2]
        assert second.startswith(b"HTTP/1.1 304 Not Modified\r\n")
        assert b"Content-Length" not in second
        assert b"ETag: " + tag in second
        assert third.startswith(b"HTTP/1.1 302 ")
        views = [click for click in edge.journal.clicks if click.kind == ClickKind.VIEW]
        assert len(views) == 2
        assert edge.server.visits_by_status[304] == 1
        _, change = await edge.profiles.add_link(profile_id, "new")
        edge.registry.changed([change])
        await edge.until(lambda: edge.registry.counts["refreshed"] > 0)
        other = await edge.visitor()
        assert (await other.request(get(b"/@shop", b"If-None-Match: " + tag))).status == 200


async def test_many_visitors_wait_for_one_rendering() -> None:
    async with served_edge() as edge:
        await shop(edge)
        rendered = edge.registry.page_renders.rendered
        visitors = [await edge.visitor() for _ in range(20)]
        for visitor in visitors:
            await visitor.send(get(b"/@shop") * 2)
        responses = [await visitor.response() for visitor in visitors for _ in range(2)]
        assert {response.status for response in responses} == {200}
        assert edge.registry.page_renders.rendered == rendered + 1
        assert len(edge.journal.clicks) == 41


async def test_visitors_get_the_published_page_in_their_language() -> None:
    async with served_edge() as edge:
        profile_id = await shop(edge)
        visitor = await edge.visitor()
        change = BlockChange(block="b1", text="Arbeit")
        page = ProfilePage(
            name="Ada",
            blocks=(HeadingBlock(id="b1", text="Work"),),
            translations=(Translation(language="de", bio="Hallo", blocks=(change,)),),
        )
        await edge.publish(profile_id, page)
        for language, word, other in (
            (b"en", b"Work", b"Arbeit"),
            (b"de-AT,en;q=0.5", b"Arbeit", b"Work"),
        ):
            fields = b"Accept-Language: " + language
            body = (await visitor.request(get(b"/@shop", fields))).body
            assert word in body
            assert other not in body
        assert b"/shop/a" not in body  # the page shows the blocks that it has


async def test_a_block_comes_and_goes_at_its_time() -> None:
    async with served_edge() as edge:
        profile_id = await shop(edge)
        visitor = await edge.visitor()
        now = datetime.fromtimestamp(edge.wall_us / 1e6, UTC)
        start, end = now + timedelta(hours=1), now + timedelta(hours=2)
        block = HeadingBlock(id="b1", text="Sale", shown_from=start, shown_until=end)
        await edge.publish(profile_id, ProfilePage(blocks=(block,)))
        for hours, is_shown in ((0, False), (0.9, False), (1, True), (1.9, True), (2, False)):
            edge.wall_us = round((now + timedelta(hours=hours)).timestamp() * 1e6)
            assert (b"Sale" in (await visitor.request(get(b"/@shop"))).body) == is_shown, hours


async def test_a_page_has_files_of_its_contacts_and_events() -> None:
    async with served_edge() as edge:
        profile_id = await shop(edge)
        visitor = await edge.visitor()
        at = datetime(2026, 5, 1, 19, 30, tzinfo=UTC)
        blocks = (
            ContactBlock(id="c", name="Ada, Countess", email="ada@example.com"),
            EventBlock(id="e", title="Reading; live", starts_at=at, place="Long" * 30),
            ContactBlock(id="h", name="Hidden", email="h@example.com", hidden=True),
        )
        await edge.publish(profile_id, ProfilePage(blocks=blocks))
        card = await visitor.request(get(b"/@shop/contact-c.vcf"))
        assert card.headers["content-type"] == "text/vcard; charset=utf-8"
        assert card.headers["content-disposition"] == 'attachment; filename="contact-c.vcf"'
        assert b"FN:Ada\\, Countess\r\n" in card.body
        event = await visitor.request(get(b"/@shop/event-e.ics"))
        assert b"DTSTART:20260501T193000Z\r\nSUMMARY:Reading\\; live\r\n" in event.body
        assert max(map(len, event.body.split(b"\r\n"))) <= 75
        manifest = await visitor.request(get(b"/@shop/manifest.webmanifest"))
        assert json.loads(manifest.body)["start_url"] == "/@shop"
        for path in (b"contact-h.vcf", b"contact-e.vcf", b"event-c.ics", b"subscribe"):
            assert (await visitor.request(get(b"/@shop/" + path))).status == 404, path
        assert edge.server.files == 3
        assert len(edge.journal.clicks) == 1  # none of them is a visit


def form(path: bytes, body: bytes) -> bytes:
    fields = b"Content-Type: application/x-www-form-urlencoded", b"Content-Length: %d" % len(body)
    return get(path, *fields, method=b"POST") + body


async def test_a_visitor_leaves_an_address_that_members_read() -> None:
    async with served_edge() as edge:
        profile_id = await shop(edge)
        block = EmailFormBlock(id="b1", title="News")
        await edge.publish(profile_id, ProfilePage(blocks=(block,)))
        page = await (await edge.visitor()).request(get(b"/@shop"))
        assert b'action="/@shop/subscribe"' in page.body
        assert "form-action 'self'" in page.headers["content-security-policy"]

        async def send(body: bytes, path: bytes = b"/@shop/subscribe") -> Response:
            edge.seconds += 60
            return await (await edge.visitor()).request(form(path, body))

        for body, status in (
            (b"block=b1&email=Visitor%40EXAMPLE.com", 200), (b"block=b1&email=Visitor%40example.com", 200),
            (b"block=b1&email=nobody", 400), (b"block=b1", 400), (b"block=b2&email=a%40b.example", 404),
            (b"email=a%40b.example", 404), (b"block=b1&email=a%40b.example&email=c%40d.example", 400),
            (b"&" * 4_000, 404), (b"\xff=\xfe", 404),
        ):  # fmt: skip
            response = await send(body)
            assert (response.status, response.closes) == (status, True), body
        assert b"on the list" in (await send(b"block=b1&email=a%40b.example")).body
        assert (await send(b"block=b1&email=a%40b.example", b"/@shop")).status == 405
        assert (await send(b"block=b1&email=a%40b.example", b"/@far/subscribe")).status == 404
        listed = await edge.subscribers.list_subscribers(TENANT, profile_id, 0, 10)
        assert [(each.block, each.email) for each in listed.items] == [
            ("b1", "Visitor@example.com"), ("b1", "a@b.example"),
        ]  # fmt: skip


async def test_addresses_of_one_client_are_limited() -> None:
    async with served_edge() as edge:
        profile_id = await shop(edge)
        block = EmailFormBlock(id="b1", title="News")
        await edge.publish(profile_id, ProfilePage(blocks=(block,)))
        statuses = []
        for number in range(SUBSCRIPTIONS_OF_CLIENT.units + 1):
            body = b"block=b1&email=a%d%%40b.example" % number
            response = await (await edge.visitor()).request(form(b"/@shop/subscribe", body))
            statuses.append(response.status)
        assert statuses == [200] * SUBSCRIPTIONS_OF_CLIENT.units + [429]
        assert edge.registry.subscriptions.results["limited"] == 1
