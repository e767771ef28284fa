"""The visitor server over real sockets: what it answers and records."""

import socket

import pytest

from api.visits.head import MAX_HEAD_BYTES
from engine.clicks.click import RULES_VERSION_SHIFT, ClickKind, VisitorClass
from engine.visits.classifier import HEAD_RECORDED, RULES_VERSION
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import get, opened, raw_send, shop

UNKNOWN = VisitorClass.TOOL | RULES_VERSION << RULES_VERSION_SHIFT

pytestmark = pytest.mark.trio(run=hosted_run)


async def test_a_redirect_is_recorded_and_its_connection_kept() -> None:
    async with opened() as door:
        await shop(door)
        visitor = await door.visitor()
        for number in range(3):
            answer = await visitor.asks(get(b"/shop/b", b"User-Agent: ua%d" % number))
            assert (answer.status, answer.location) == (302, "https://b.example/")
            assert answer.headers["cache-control"] == "private, no-store"
            assert not answer.closes
        clicks = door.journal.clicks[1:]
        assert [click.user_agent for click in clicks] == [b"ua0", b"ua1", b"ua2"]
        assert all(click.kind == ClickKind.CLICK for click in clicks)


async def test_head_answers_the_same_without_a_body_and_is_kept_apart() -> None:
    async with opened() as door:
        await shop(door)
        visitor = await door.visitor()
        for path in (b"/shop/a", b"/@shop", b"/nothing"):
            got = await visitor.asks(get(path))
            headed = await visitor.asks(get(path, method=b"HEAD"))
            assert (headed.status, headed.headers, headed.body) == (got.status, got.headers, b"")
        assert [(click.kind, click.classification) for click in door.journal.clicks[1:]] == [
            (ClickKind.CLICK, UNKNOWN),
            (ClickKind.CLICK, HEAD_RECORDED),
            (ClickKind.VIEW, UNKNOWN),
            (ClickKind.VIEW, HEAD_RECORDED),
        ]


async def test_each_record_says_what_asked() -> None:
    async with opened() as door:
        await shop(door)
        visitor = await door.visitor()
        asked = [
            (VisitorClass.HUMAN, b"User-Agent: Mozilla/5.0 (Windows NT 10.0) Firefox/128.0"),
            (VisitorClass.BOT, b"User-Agent: Mozilla/5.0 (compatible; Googlebot/2.1)"),
            (VisitorClass.PREVIEW, b"User-Agent: WhatsApp/2.23.20.0 A"),
            (VisitorClass.TOOL, b"User-Agent: curl/8.5.0"),
            (VisitorClass.PREFETCH, b"Sec-Purpose: prefetch;prerender"),
            (VisitorClass.PREFETCH, b"purpose: prefetch"),
            (VisitorClass.TOOL, b"X-Purposely: prefetch"),
        ]
        for _, field in asked:
            assert (await visitor.asks(get(b"/shop/a", field))).status == 302
        recorded = [click.classification for click in door.journal.clicks[-len(asked) :]]
        assert recorded == [verdict | RULES_VERSION << RULES_VERSION_SHIFT for verdict, _ in asked]


async def test_the_page_shows_title_and_links_and_nothing_of_them_as_markup() -> None:
    async with opened() as door:
        profile_id = await door.profiles.made("demo", title="<b>&Tom")
        await door.profiles.linked(profile_id, "a", title="<script>")
        answer = await (await door.visitor()).asks(get(b"/@demo"))
        assert answer.status == 200
        assert b"<h1>&lt;b&gt;&amp;Tom</h1>" in answer.body
        assert b'<a href="/demo/a?wp_t=page" rel="nofollow">&lt;script&gt;</a>' in answer.body


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get(b"/a/b", method=b"POST"), 405),
        (get(b"/a/b", b"Content-Length: 3") + b"abc", 413),
        (b"nonsense\x00\r\n\r\n", 400),
        (get(b"/a/b", version=b"3.0"), 400),
        (get(b"/", b"X: " + b"a" * MAX_HEAD_BYTES), 431),
        (b"GET /" + b"a" * MAX_HEAD_BYTES, 414),
    ],
)
async def test_a_refusal_is_read_whole_and_then_the_connection_ends(
    request_: bytes, status: int
) -> None:
    async with opened() as door:
        visitor = await door.visitor()
        # More is on its way, which must neither be answered nor destroy the answer by a reset.
        await visitor.send(request_ + get(b"/smuggled") * 100)
        answer = await visitor.answer()
        assert (answer.status, answer.closes) == (status, True)
        assert ("allow" in answer.headers) is (status == 405)
        assert await visitor.ends()
        await door.until(lambda: door.visitors.connections == 0)
        assert door.visitors.refusals_by_status[status] == 1
        assert door.profiles.asked == []


@pytest.mark.parametrize("surplus", [0, 1])
async def test_a_head_may_have_8_kib_and_no_byte_more(surplus: int) -> None:
    async with opened() as door:
        await shop(door)
        field = b"X: " + b"a" * (MAX_HEAD_BYTES - len(get(b"/shop/a", b"X: ")) + surplus)
        answer = await (await door.visitor()).asks(get(b"/shop/a", field))
        assert answer.status == (431 if surplus else 302)


@pytest.mark.parametrize(
    "request_",
    [get(b"/shop/a", b"Connection: close"), get(b"/shop/a", version=b"1.0")],
    ids=["close", "1.0"],
)
async def test_who_wants_one_answer_gets_one_and_the_end(request_: bytes) -> None:
    async with opened() as door:
        await shop(door)
        visitor = await door.visitor()
        answer = await visitor.asks(request_)
        assert (answer.status, answer.closes) == (302, True)
        assert await visitor.is_closed()


async def test_a_head_may_arrive_byte_by_byte() -> None:
    async with opened() as door:
        await shop(door)
        visitor = await door.visitor()
        for byte in get(b"/shop/a", b"User-Agent: slow"):
            await visitor.send(bytes([byte]))
        assert (await visitor.answer()).status == 302
        assert door.journal.clicks[-1].user_agent == b"slow"


async def test_other_spellings_of_a_path_are_the_same_link() -> None:
    async with opened() as door:
        await shop(door)
        visitor = await door.visitor()
        for path in (b"/Shop/A", b"/shop/%61", b"/shop/a/", b"/a", b"/A?q"):
            assert (await visitor.asks(get(path))).location == "https://a.example/", path
        for path in (b"/", b"//", b"/shop/a/b", b"/%ff", b"/%00", b"/" + b"a" * 8000):
            assert (await visitor.asks(get(path))).status == 404, path


async def test_a_query_is_passed_on_where_the_link_says_so() -> None:
    async with opened() as door:
        profile_id = await shop(door)
        await door.profiles.linked(profile_id, "q", "https://q.example/?a=1#f", passthrough=True)
        visitor = await door.visitor()
        answer = await visitor.asks(get(b"/@shop"))  # resident: it has to hear of the new link
        assert answer.status == 200
        door.registry.changed(None)
        assert (await visitor.asks(get(b"/shop/a?x=1"))).location == "https://a.example/"
        passed = await visitor.asks(get(b"/shop/q?x=%C3%A9&y='"))
        assert passed.location == "https://q.example/?a=1&x=%C3%A9&y='#f"


async def test_every_click_is_in_the_journal_before_any_answer_of_the_batch_leaves() -> None:
    async with opened() as door:
        await shop(door)
        crowd = [await door.visitor() for _ in range(20)]
        await door.until(lambda: door.visitors.connections == 20)
        received: list[bytes] = []
        writes = 0

        def before_write() -> None:
            nonlocal writes
            writes += 1
            for visitor in crowd:
                raw = socket.socket(fileno=visitor.stream.socket.fileno())
                try:
                    received.append(raw.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
                except BlockingIOError:
                    pass
                finally:
                    raw.detach()

        door.journal.before_write = before_write
        for visitor in crowd:
            raw_send(visitor, get(b"/shop/b"))  # so that all are ready together
        for visitor in crowd:
            assert (await visitor.answer()).status == 302
        assert received == []
        assert writes == 1
        assert len(door.journal.clicks) == 21
