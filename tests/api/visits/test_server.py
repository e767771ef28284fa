"""The visitors' door over real sockets: order, bounds, time limits, and how connections end."""

import re
import socket

import pytest
import trio

from api.visits import connection_set, server
from api.visits.head import MAX_HEAD_BYTES
from engine.clicks.click import RULES_VERSION_SHIFT, ClickKind, VisitorClass
from engine.operations.settings import Settings
from engine.visits.classifier import HEAD_RECORDED, RULES_VERSION
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import HEAD_S, IDLE_S, OpenDoor, Visitor, get, opened

UNKNOWN = VisitorClass.TOOL | RULES_VERSION << RULES_VERSION_SHIFT

pytestmark = pytest.mark.trio(run=hosted_run)

TITLE = "T" * 100


async def shop(door: OpenDoor, links: int = 2) -> int:
    """A resident profile `shop`, with the links `a`, `b`, ...; and `far`, which is cold."""
    profile_id = await door.profiles.made("shop", *"abcdefgh"[:links])
    await door.profiles.made("far", "x", "y")
    await door.warm(b"/shop/a")
    return profile_id


# ---- what is answered ------------------------------------------------------------------------------


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


# ---- order -----------------------------------------------------------------------------------------


async def test_pipelined_answers_keep_their_order_across_a_cold_profile() -> None:
    async with opened() as door:
        await shop(door)
        door.profiles.hold()
        visitor = await door.visitor()
        paths = [b"/shop/a", b"/far/x", b"/shop/b", b"/far/y", b"/none", b"/shop/a"]
        await visitor.send(b"".join(get(path) for path in paths))
        assert (await visitor.answer()).location == "https://a.example/"
        await door.profiles.is_holding()
        assert (await (await door.visitor()).asks(get(b"/shop/a"))).status == 302  # others go on
        await visitor.send(get(b"/shop/b"))  # read while the connection waits
        door.profiles.release()
        answers = [await visitor.answer() for _ in range(6)]
        assert [answer.location for answer in answers] == [
            "https://x.example/", "https://b.example/", "https://y.example/", "",
            "https://a.example/", "https://b.example/",
        ]  # fmt: skip
        assert len([1 for _, paths in door.profiles.asked if b"/far/x" in paths]) == 1


async def test_what_stands_before_the_last_request_is_answered_too() -> None:
    async with opened() as door:
        await shop(door)
        visitor = await door.visitor()
        await visitor.send(get(b"/shop/a") + get(b"/shop/b", b"Connection: close"))
        first, second = await visitor.answer(), await visitor.answer()
        assert (first.location, first.closes) == ("https://a.example/", False)
        assert (second.location, second.closes) == ("https://b.example/", True)
        assert await visitor.is_closed()


async def test_good_requests_before_a_bad_one_are_answered_and_so_is_that() -> None:
    async with opened() as door:
        await shop(door)
        visitor = await door.visitor()
        await visitor.send(get(b"/shop/a") + get(b"/none") + get(b"/", method=b"PUT") + b"body")
        assert [(await visitor.answer()).status for _ in range(3)] == [302, 404, 405]
        assert await visitor.ends()


async def test_a_visitor_who_only_stops_sending_gets_all_answers() -> None:
    async with opened() as door:
        await shop(door)
        for cold_path in (b"/far/x", b"/shop/a"):
            door.profiles.hold()
            visitor = await door.visitor()
            await visitor.send(get(cold_path) + get(b"/shop/b") + get(b"/shop/a"))
            await visitor.stream.send_eof()
            if cold_path == b"/far/x":
                await door.profiles.is_holding()
            door.profiles.release()
            assert [(await visitor.answer()).status for _ in range(3)] == [302] * 3
            assert await visitor.is_closed()
        await door.until(lambda: door.visitors.connections == 0)


async def test_a_visitor_who_stops_within_a_head_is_let_go() -> None:
    async with opened() as door:
        visitor = await door.visitor()
        await visitor.send(get(b"/shop/a")[:-2])
        assert await visitor.ends()
        assert door.visitors.connections == 0


async def test_a_visitor_who_leaves_while_waiting_costs_the_others_nothing() -> None:
    async with opened() as door:
        await shop(door)
        door.profiles.hold()
        leaves, stays = await door.visitor(), await door.visitor()
        await leaves.send(get(b"/far/x"))
        await stays.send(get(b"/far/x"))
        await door.until(lambda: door.registry.waiting == 2)
        leaves.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await leaves.stream.aclose()
        await door.until(lambda: door.visitors.connections == 1)
        door.profiles.release()
        assert (await stays.answer()).location == "https://x.example/"
        assert len(door.journal.clicks) == 2  # who left was not sent anywhere
        assert door.registry.waiting == 0


# ---- bounds ----------------------------------------------------------------------------------------


async def test_a_slow_reader_of_many_answers_gets_them_all_in_bounded_memory() -> None:
    async with opened(send_buffer_bytes=4096) as door:
        await door.profiles.made("shop", *"abcdefgh", title=TITLE)
        await door.warm(b"/@shop")
        visitor = await door.visitor(receive_buffer_bytes=4096)
        fast = await door.visitor()
        most = 0

        def watch() -> None:
            nonlocal most
            held = sum(len(answer) for _, answer in door.visitors._responses) + sum(
                len(c.unsent) for c in door.visitors._connections.by_descriptor.values()
            )
            most = max(most, held)

        door.journal.before_write = watch
        asked = 450
        await visitor.send((b"GET /@shop HTTP/1.1\r\nHost: a\r\n\r\n") * asked)
        assert (await fast.asks(get(b"/@shop"))).status == 200
        for _ in range(asked):
            assert (await visitor.answer()).status == 200
        page = len((await fast.asks(get(b"/@shop"))).body)
        assert asked * page > 2 * server.MAX_UNSENT_BYTES  # or nothing is shown by this
        assert most < server.MAX_UNSENT_BYTES + 4 * page
        assert len(door.journal.clicks) == asked + 3


async def test_who_takes_no_answers_is_read_no_more_and_closed_in_the_end() -> None:
    async with opened(send_buffer_bytes=4096) as door:
        await door.profiles.made("shop", *"abcdefgh", title=TITLE)
        await door.warm(b"/@shop")
        visitor, other = await door.visitor(receive_buffer_bytes=4096), await door.visitor()
        sent = 0
        with trio.move_on_after(0.3):
            while True:
                await visitor.send(get(b"/@shop") * 100)
                sent += 100
        answered = door.visitors.views
        assert answered < sent
        assert (await other.asks(get(b"/@shop"))).status == 200
        door.later(IDLE_S + 1)
        other_again = await door.visitor()
        assert (await other_again.asks(get(b"/@shop"))).status == 200
        assert await visitor.is_reset()
        assert door.visitors.connections == 1


async def test_requests_behind_a_cold_one_are_bounded() -> None:
    async with opened() as door:
        await shop(door)
        door.profiles.hold()
        visitor = await door.visitor()
        await visitor.send(get(b"/far/x"))
        await door.profiles.is_holding()
        # All of it must be taken by the kernel, or by us: nobody reads for now.
        size = 4 * server.MAX_QUEUED_REQUESTS
        async with trio.open_nursery() as nursery:
            nursery.start_soon(visitor.send, get(b"/shop/a") * size)
            (connection,) = door.visitors._connections.by_descriptor.values()
            await door.until(lambda: len(connection.queue) >= server.MAX_QUEUED_REQUESTS)
            most = server.MAX_QUEUED_REQUESTS + server.READ_BYTES // len(get(b"/shop/a")) + 1
            for _ in range(20):
                assert (await (await door.visitor()).asks(get(b"/shop/b"))).status == 302
                assert len(connection.queue) <= most < size
            door.profiles.release()
            assert (await visitor.answer()).location == "https://x.example/"
            for _ in range(size):
                assert (await visitor.answer()).location == "https://a.example/"


async def test_one_connection_too_many_is_told_so_and_counted() -> None:
    async with opened(Settings(max_connections=2)) as door:
        one, two = await door.visitor(), await door.visitor()
        await door.until(lambda: door.visitors.connections == 2)
        third = await door.visitor()
        answer = await third.answer()
        assert (answer.status, answer.closes) == (503, True)
        assert answer.headers["retry-after"] == "1"
        assert await third.is_closed()
        assert (door.visitors.refused, door.visitors.accepted) == (1, 3)
        assert await one.ends()
        assert (await (await door.visitor()).asks(get(b"/none"))).status == 404
        assert (await two.asks(get(b"/none"))).status == 404


async def test_a_refused_connection_whose_request_is_there_already_ends_in_order() -> None:
    async with opened(Settings(max_connections=1)) as door:
        await door.warm(b"/none")
        assert (await (await door.visitor()).asks(get(b"/none"))).status == 404
        raw = socket.create_connection(door.listener.getsockname())
        raw.send(get(b"/none"))  # before the door has had a chance to accept
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(raw))
        async with stream:
            assert (await stream.receive_some(4096)).startswith(b"HTTP/1.1 503 ")
            assert await stream.receive_some(4096) == b""


async def test_too_many_who_wait_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.visits.registry.MAX_WAITING", 3)
    async with opened() as door:
        await shop(door)
        door.profiles.hold()
        crowd = [await door.visitor() for _ in range(3)]
        for number, visitor in enumerate(crowd):
            await visitor.send(get(b"/cold-%d" % number))
        await door.until(lambda: door.registry.waiting == 3)
        late = await door.visitor()
        answer = await late.asks(get(b"/cold"))
        assert (answer.status, answer.closes) == (503, False)
        assert (await late.asks(get(b"/shop/a"))).status == 302
        door.profiles.release()
        assert [(await visitor.answer()).status for visitor in crowd] == [404] * 3
        assert door.registry.counts["refused"] == 1


async def test_cold_profiles_get_503_while_storage_is_away_and_then_their_answer() -> None:
    async with opened() as door:
        await shop(door)
        door.profiles.away = True
        visitor = await door.visitor()
        answer = await visitor.asks(get(b"/far/x"))
        assert (answer.status, answer.closes) == (503, False)
        assert answer.headers["retry-after"] == "1"
        assert (await visitor.asks(get(b"/shop/a"))).status == 302
        door.profiles.away = False
        assert (await visitor.asks(get(b"/far/x"))).status == 302


async def test_a_mistake_of_ours_costs_one_visitor_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened() as door:
        await shop(door)
        await door.profiles.made("odd", "o")
        bad, good = await door.visitor(), await door.visitor()
        door.profiles.hold()
        await bad.send(get(b"/odd/o"))
        await good.send(get(b"/far/x"))
        await door.until(lambda: door.registry.waiting == 2)
        answer_route = door.visitors._answer_route

        def fails(connection: object, request: object, route: object) -> None:
            if re.search(rb"odd", request.path):  # type: ignore[attr-defined]
                raise RuntimeError("a mistake")
            answer_route(connection, request, route)  # type: ignore[arg-type]

        monkeypatch.setattr(door.visitors, "_answer_route", fails)
        door.profiles.release()
        assert (await good.answer()).status == 302
        assert await bad.is_closed()
        again = await door.visitor()  # resident by now: the other way in
        await again.send(get(b"/odd/o"))
        assert await again.is_closed()
        assert (await good.asks(get(b"/far/y"))).status == 302
        assert door.visitors.errors == 2
        assert [r.event for r in caplog.records] == ["visitor_error"] * 2  # type: ignore[attr-defined]


# ---- time ------------------------------------------------------------------------------------------


async def test_a_head_has_its_time_however_slowly_it_drips() -> None:
    async with opened() as door:
        visitor = await door.visitor()
        for byte in b"GET /":
            await visitor.send(bytes([byte]))
            await door.until(lambda: unfinished(door) == 1)
            door.later(HEAD_S / 5 - 0.1)
        assert door.visitors.timed_out == 0
        await visitor.send(b"s")
        door.later(1.0)
        answer = await visitor.answer()
        assert (answer.status, answer.closes) == (408, True)
        assert await visitor.ends()
        assert door.visitors.timed_out == 1


async def test_the_next_head_has_a_time_of_its_own() -> None:
    async with opened() as door:
        await shop(door)
        visitor = await door.visitor()
        for _ in range(3):
            await visitor.send(get(b"/shop/a")[:-1])
            await door.until(lambda: unfinished(door) == 1)
            door.later(HEAD_S - 1)
            assert (await visitor.asks(b"\n")).status == 302
            door.later(IDLE_S - 1)
        assert door.visitors.timed_out == 0


async def test_a_connection_that_says_nothing_ends_silently() -> None:
    async with opened() as door:
        visitor = await door.visitor()
        await door.until(lambda: door.visitors.connections == 1)
        door.later(HEAD_S + 0.1)
        assert await visitor.is_closed()


async def test_an_idle_connection_ends_after_the_idle_time() -> None:
    async with opened() as door:
        await shop(door)
        visitor = await door.visitor()
        assert (await visitor.asks(get(b"/shop/a"))).status == 302
        door.later(IDLE_S - 0.1)
        assert (await visitor.asks(get(b"/shop/a"))).status == 302
        door.later(IDLE_S - 0.1)
        assert door.visitors.connections == 1
        door.later(0.2)
        assert await visitor.is_closed()
        assert door.visitors.timed_out == 1


async def test_a_cold_answer_that_takes_too_long_is_503() -> None:
    async with opened() as door:
        await shop(door)
        door.profiles.hold()
        visitor = await door.visitor()
        await visitor.send(get(b"/far/x"))
        await door.profiles.is_holding()
        door.later(server.WAIT_LIMIT_S - 0.1)
        await visitor.send(get(b"/shop/a"))  # waits behind, and buys the first no time
        (connection,) = door.visitors._connections.by_descriptor.values()
        await door.until(lambda: len(connection.queue) == 1)
        door.later(0.2)
        answer = await visitor.answer()
        assert (answer.status, answer.closes) == (503, True)
        door.profiles.release()  # comes too late, and answers nobody twice
        assert await visitor.ends()
        assert len(door.journal.clicks) == 1


async def test_a_visitor_who_ignores_a_refusal_is_not_listened_to_for_ever() -> None:
    async with opened() as door:
        visitor = await door.visitor()
        assert (await visitor.asks(get(b"/", method=b"PUT"))).status == 405
        assert await visitor.is_closed()
        await visitor.send(b"more" * 1000)
        assert door.visitors.connections == 1
        door.later(connection_set.LINGER_S + 0.1)
        assert door.visitors.connections == 0
        assert door.visitors.timed_out == 0  # it was answered long ago


# ---- the end ---------------------------------------------------------------------------------------


async def test_a_drain_answers_what_is_in_flight_and_takes_nobody_new() -> None:
    async with opened() as door:
        await shop(door)
        idle, waiting, half, just_sent = [await door.visitor() for _ in range(4)]
        for visitor in (idle, just_sent):
            assert (await visitor.asks(get(b"/shop/a"))).status == 302
        door.profiles.hold()
        await waiting.send(get(b"/far/x") + get(b"/shop/b"))
        await half.send(get(b"/shop/b")[:-1])
        await door.until(lambda: unfinished(door) == 1)
        await door.profiles.is_holding()
        raw_send(just_sent, get(b"/shop/b"))  # in the kernel, where the door has not seen it

        door.visitors.drain()
        new = await door.visitor()  # by the kernel alone; the next process will find it there
        await new.send(get(b"/shop/a"))
        assert await idle.is_closed()
        answer = await just_sent.answer()
        assert (answer.location, answer.closes) == ("https://b.example/", True)
        assert await just_sent.is_closed()
        assert door.visitors.connections == 2
        door.profiles.release()
        answer = await waiting.answer()
        assert (answer.location, answer.closes) == ("https://x.example/", False)
        answer = await waiting.answer()
        assert (answer.location, answer.closes) == ("https://b.example/", True)
        answer = await half.asks(b"\n")
        assert (answer.location, answer.closes) == ("https://b.example/", True)
        assert await half.is_closed()
        assert await waiting.is_closed()
        assert (door.visitors.connections, door.visitors.accepted) == (0, 5)
        assert len(door.journal.clicks) == 7
        with trio.move_on_after(0.05) as unanswered:
            await new.stream.receive_some(1)
        assert unanswered.cancelled_caught


async def test_a_drain_lets_a_refusal_be_read() -> None:
    async with opened() as door:
        visitor = await door.visitor()
        assert (await visitor.asks(get(b"/none"))).status == 404
        raw_send(visitor, get(b"/", method=b"PUT") + b"body" * 10_000)
        door.visitors.drain()
        assert (await visitor.answer()).status == 405
        assert await visitor.ends()


def unfinished(door: OpenDoor) -> int:
    return sum(c.parser.unfinished for c in door.visitors._connections.by_descriptor.values())


def raw_send(visitor: Visitor, data: bytes) -> None:
    """Put bytes on the wire without letting the door's loop turn."""
    sock = socket.socket(fileno=visitor.stream.socket.fileno())
    try:
        sock.send(data)
    finally:
        sock.detach()
