"""The visitor server over real sockets: what it answers and records."""

import socket

import pytest

from api.visits.head import MAX_REQUEST_LINE_BYTES
from api.visits.head_memory import DEFAULT_HEAD_BYTES
from engine.clicks.click import RULES_VERSION_SHIFT, ClickKind, VisitorClass
from engine.clicks.record_items import UTM, items
from engine.operations.settings import Settings
from engine.visits.classifier import HEAD_RECORDED, RULES_VERSION
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import get, raw_send, served_edge, shop

UNKNOWN = VisitorClass.TOOL | RULES_VERSION << RULES_VERSION_SHIFT

pytestmark = pytest.mark.trio(run=hosted_run)


async def test_a_redirect_is_recorded_and_its_connection_kept() -> None:
    async with served_edge() as edge:
        await shop(edge)
        visitor = await edge.visitor()
        for number in range(3):
            response = await visitor.request(get(b"/shop/b", b"User-Agent: ua%d" % number))
            assert (response.status, response.location) == (302, "https://b.example/")
            assert response.headers["cache-control"] == "private, no-store"
            assert not response.closes
        clicks = edge.journal.clicks[1:]
        assert [click.user_agent for click in clicks] == [b"ua0", b"ua1", b"ua2"]
        assert all(click.kind == ClickKind.CLICK for click in clicks)


async def test_a_head_gets_the_response_without_its_body_and_is_counted_apart() -> None:
    async with served_edge() as edge:
        await shop(edge)
        visitor = await edge.visitor()
        for path in (b"/shop/a", b"/@shop", b"/nothing"):
            full = await visitor.request(get(path))
            headed = await visitor.request(get(path, method=b"HEAD"))
            assert (headed.status, headed.headers, headed.body) == (
                full.status,
                full.headers,
                b"",
            )
        assert [(click.kind, click.classification) for click in edge.journal.clicks[1:]] == [
            (ClickKind.CLICK, UNKNOWN),
            (ClickKind.CLICK, HEAD_RECORDED),
            (ClickKind.VIEW, UNKNOWN),
            (ClickKind.VIEW, HEAD_RECORDED),
        ]


async def test_each_record_has_its_classification() -> None:
    async with served_edge() as edge:
        await shop(edge)
        visitor = await edge.visitor()
        requests = [
            (VisitorClass.HUMAN, b"User-Agent: Mozilla/5.0 (Windows NT 10.0) Firefox/128.0"),
            (VisitorClass.BOT, b"User-Agent: Mozilla/5.0 (compatible; Googlebot/2.1)"),
            (VisitorClass.PREVIEW, b"User-Agent: WhatsApp/2.23.20.0 A"),
            (VisitorClass.TOOL, b"User-Agent: curl/8.5.0"),
            (VisitorClass.PREFETCH, b"Sec-Purpose: prefetch;prerender"),
            (VisitorClass.PREFETCH, b"purpose: prefetch"),
            (VisitorClass.TOOL, b"X-Purposely: prefetch"),
        ]
        for _, field in requests:
            assert (await visitor.request(get(b"/shop/a", field))).status == 302
        recorded = [click.classification for click in edge.journal.clicks[-len(requests) :]]
        assert recorded == [
            visitor_class | RULES_VERSION << RULES_VERSION_SHIFT for visitor_class, _ in requests
        ]


async def test_the_page_shows_title_and_links_and_nothing_of_them_as_markup() -> None:
    async with served_edge() as edge:
        profile_id = await edge.profiles.add_profile("demo", title="<b>&Tom")
        await edge.profiles.add_link(profile_id, "a", title="<script>")
        response = await (await edge.visitor()).request(get(b"/@demo"))
        assert response.status == 200
        assert b"<h1 dir=auto>&lt;b&gt;&amp;Tom</h1>" in response.body
        assert b'href="/demo/a?wp_t=page" rel=nofollow>' in response.body
        assert b"&lt;script&gt;" in response.body
        assert b"<script>" not in response.body


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get(b"/a/b", method=b"POST"), 405),
        (get(b"/a/b", b"Content-Length: 3") + b"abc", 413),
        (b"nonsense\x00\r\n\r\n", 400),
        (get(b"/a/b", version=b"3.0"), 400),
        (get(b"/", b"X: " + b"a" * DEFAULT_HEAD_BYTES), 431),
        (b"GET /" + b"a" * MAX_REQUEST_LINE_BYTES, 414),
    ],
)
async def test_a_refusal_is_read_whole_and_then_the_connection_ends(
    request_: bytes, status: int
) -> None:
    async with served_edge() as edge:
        visitor = await edge.visitor()
        # More is on its way, which must neither be answered nor destroy the response by a reset.
        await visitor.send(request_ + get(b"/smuggled") * 100)
        response = await visitor.response()
        assert (response.status, response.closes) == (status, True)
        assert ("allow" in response.headers) is (status == 405)
        assert await visitor.ends()
        await edge.until(lambda: edge.server.connections == 0)
        assert edge.server.refusals_by_status[status] == 1
        assert edge.profiles.queries == []


@pytest.mark.parametrize("max_bytes", [4096, DEFAULT_HEAD_BYTES, 65_536])
@pytest.mark.parametrize("surplus", [0, 1])
async def test_a_head_may_have_16_kib_or_as_set_and_no_byte_more(
    max_bytes: int, surplus: int
) -> None:
    async with served_edge(Settings(max_head_bytes=max_bytes)) as edge:
        await shop(edge)
        field = b"Cookie: " + b"a" * (max_bytes - len(get(b"/shop/a", b"Cookie: ")) + surplus)
        response = await (await edge.visitor()).request(get(b"/shop/a", field))
        assert response.status == (431 if surplus else 302)


@pytest.mark.parametrize("surplus", [0, 1])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_a_request_line_may_have_8_kib_and_no_byte_more(method: bytes, surplus: int) -> None:
    async with served_edge() as edge:
        await shop(edge)
        line = b"%b /shop/a?%b HTTP/1.1" % (
            method,
            b"q" * (MAX_REQUEST_LINE_BYTES - len(method) - 18 + surplus),
        )
        assert len(line) == MAX_REQUEST_LINE_BYTES + surplus
        visitor = await edge.visitor()
        await visitor.send(line + b"\r\nHost: a\r\n\r\n")
        response = await visitor.response(head=method == b"HEAD" and not surplus)
        assert response.status == (414 if surplus else 302)


@pytest.mark.parametrize(
    "request_",
    [get(b"/shop/a", b"Connection: close"), get(b"/shop/a", version=b"1.0")],
    ids=["close", "1.0"],
)
async def test_a_visitor_that_wants_one_response_gets_one_and_the_end(request_: bytes) -> None:
    async with served_edge() as edge:
        await shop(edge)
        visitor = await edge.visitor()
        response = await visitor.request(request_)
        assert (response.status, response.closes) == (302, True)
        assert await visitor.is_closed()


async def test_a_head_may_arrive_byte_by_byte() -> None:
    async with served_edge() as edge:
        await shop(edge)
        visitor = await edge.visitor()
        for byte in get(b"/shop/a", b"User-Agent: slow"):
            await visitor.send(bytes([byte]))
        assert (await visitor.response()).status == 302
        assert edge.journal.clicks[-1].user_agent == b"slow"


async def test_other_spellings_of_a_path_are_the_same_link() -> None:
    async with served_edge() as edge:
        await shop(edge)
        visitor = await edge.visitor()
        for path in (b"/Shop/A", b"/shop/%61", b"/shop/a/", b"/a", b"/A?q"):
            assert (await visitor.request(get(path))).location == "https://a.example/", path
        for path in (b"/", b"//", b"/shop/a/b", b"/%ff", b"/%00", b"/" + b"a" * 8000):
            assert (await visitor.request(get(path))).status == 404, path


async def test_a_query_is_passed_on_where_the_link_says_so() -> None:
    async with served_edge() as edge:
        profile_id = await shop(edge)
        await edge.profiles.add_link(profile_id, "q", "https://q.example/?a=1#f", passthrough=True)
        visitor = await edge.visitor()
        response = await visitor.request(get(b"/@shop"))  # resident: it has to hear of the new link
        assert response.status == 200
        edge.registry.changed(None)
        assert (await visitor.request(get(b"/shop/a?x=1"))).location == "https://a.example/"
        passed = await visitor.request(get(b"/shop/q?x=%C3%A9&y='"))
        assert passed.location == "https://q.example/?a=1&x=%C3%A9&y='#f"


async def test_every_click_is_in_the_journal_before_any_response_of_the_batch_leaves() -> None:
    async with served_edge() as edge:
        await shop(edge)
        visitors = [await edge.visitor() for _ in range(20)]
        await edge.until(lambda: edge.server.connections == 20)
        received: list[bytes] = []
        writes = 0

        def before_write() -> None:
            nonlocal writes
            writes += 1
            for visitor in visitors:
                raw = socket.socket(fileno=visitor.stream.socket.fileno())
                try:
                    received.append(raw.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
                except BlockingIOError:
                    pass
                finally:
                    raw.detach()

        edge.journal.before_write = before_write
        for visitor in visitors:
            raw_send(visitor, get(b"/shop/b"))  # so that all are ready together
        for visitor in visitors:
            assert (await visitor.response()).status == 302
        assert received == []
        assert writes == 1
        assert len(edge.journal.clicks) == 21


async def test_raw_utf_8_in_a_target_is_read_as_browsers_encode_it() -> None:
    async with served_edge() as edge:
        profile_id = await shop(edge)
        await edge.profiles.add_link(profile_id, "привет")
        await edge.profiles.add_link(profile_id, "q", "https://q.example/", passthrough=True)
        visitor = await edge.visitor()
        for path in ("/привет", "/%D0%BF%D1%80ивет", "/shop/Привет?ключ=ü"):
            for method in (b"GET", b"HEAD"):
                request = get(path.encode(), method=method)
                assert (await visitor.request(request)).status == 302, path
        passed = await visitor.request(get("/shop/q?ü=%20é&utm_source=ü".encode()))
        assert passed.location == "https://q.example/?%C3%BC=%20%C3%A9&utm_source=%C3%BC"
        assert items(edge.journal.clicks[-1].items)[UTM] == b"utm_source=%C3%BC"
        for other in ("/привет".encode("cp1251"), b"/\xff"):
            assert (await visitor.request(get(other))).status == 404
