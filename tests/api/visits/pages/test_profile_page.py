"""Pages at the visitors' server: codings, copies that browsers have, and the wait for a page."""

import gzip

import brotli
import pytest
import trio

from engine.clicks.click import ClickKind
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import get, served_edge, shop

pytestmark = pytest.mark.trio(run=hosted_run)


async def test_a_page_comes_in_a_coding_that_the_browser_takes() -> None:
    async with served_edge() as edge:
        await shop(edge)
        visitor = await edge.visitor()
        plain = await visitor.request(get(b"/@shop"))
        assert "content-encoding" not in plain.headers
        assert plain.headers["vary"] == "Accept-Encoding"
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
