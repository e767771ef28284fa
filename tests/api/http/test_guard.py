"""The console's server over real sockets: connections close, crashes end one connection, limits hold."""

import logging
import re
from typing import Any

import pytest
import trio
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.typing import LifespanState

from api.http import guard, serve
from api.http.connection import ConsoleLimits
from api.http.hypercorn_adapter import HypercornServer
from api.http.problems import CONTENT_TYPE
from api.http.serve import limits_of
from engine.operations.settings import Settings
from tests.kit.consoles import Console, exchange, served
from tests.kit.hosted import hosted_run

pytestmark = pytest.mark.trio(run=hosted_run)

ALIVE = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
KEPT = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def alive(port: int) -> bool:
    return (await exchange(port, ALIVE)).startswith(b"HTTP/1.1 200 ")


async def one_answer(stream: trio.SocketStream) -> bytes:
    """Return the whole response to `KEPT`. The connection stays open."""
    answer = b""
    with trio.fail_after(5):
        while not answer.endswith(b"ok\n"):
            answer += await stream.receive_some()
    return answer


async def until(condition: Any) -> None:
    with trio.fail_after(5):
        while not condition():
            await trio.lowlevel.checkpoint()


async def test_connection_close_closes_the_connection() -> None:
    console = Console()
    async with served(console.app, console.counters) as (port, _):
        for _ in range(3):
            assert (await exchange(port, ALIVE)).endswith(b"\r\n\r\nok\n")
        await until(lambda: console.counters.connections == 0)
    assert console.counters.crashes == 0


async def test_connections_are_kept_and_pipelined_requests_are_answered_in_order() -> None:
    console = Console()
    async with served(console.app, console.counters) as (port, _):
        answer = await exchange(port, KEPT + KEPT.replace(b"/healthz", b"/nothing") + ALIVE)
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"404", b"200"]


async def test_send_outlives_the_cancelling_of_its_request() -> None:
    """Quart-Trio cancels the last `send` by a `http.disconnect` during it."""
    sent: list[str] = []
    scope = trio.CancelScope()

    async def send(message: Any) -> None:
        scope.cancel()
        await trio.lowlevel.checkpoint()
        sent.append(message["type"])

    async def app(_: Any, receive: Any, send: Any) -> None:
        with scope:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    await guard.Guard(app, guard.ConsoleMetrics())({"type": "http"}, None, send)  # type: ignore[arg-type]
    assert sent == ["http.response.start", "http.response.body"]


@pytest.mark.parametrize("trailing", [b"\x81\x05hello", b"x", b"\0" * 70_000, KEPT])
async def test_an_upgrade_with_trailing_bytes_is_answered_and_does_not_crash(
    trailing: bytes,
) -> None:
    console = Console()
    async with served(console.app, console.counters, ConsoleLimits(head_s=0.1, idle_s=0.1)) as (
        port,
        _,
    ):
        answer = await exchange(port, UPGRADE + trailing)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert await alive(port)
    assert console.counters.crashes == 0


async def test_a_crash_in_one_connection_is_counted_and_ends_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """This request crashes Hypercorn's own transport; the guard around it catches the crash."""

    class Unguarded:
        def __init__(self, server: HypercornServer, stream: Any, *_: Any):
            self.run = TCPServer(*server, LifespanState({}), stream).run

    monkeypatch.setattr(serve, "ConsoleConnection", Unguarded)
    console = Console()
    async with served(console.app, console.counters) as (port, _):
        other = await trio.open_tcp_stream("127.0.0.1", port)
        await other.send_all(KEPT)
        assert (await one_answer(other)).startswith(b"HTTP/1.1 200 ")
        with caplog.at_level(logging.ERROR):
            await exchange(port, UPGRADE + b"\x81\x05hello")
            await until(lambda: console.counters.crashes == 1)
        assert await alive(port)
        await other.send_all(ALIVE)
        assert (await one_answer(other)).startswith(b"HTTP/1.1 200 ")
        await other.aclose()
    assert any(getattr(r, "event", "") == "console_connection_crashed" for r in caplog.records)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (POST + b"Content-Length: 1, 2\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", 431),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", 505),
    ],
)  # fmt: skip
async def test_malformed_requests_get_a_problem_and_close(request_: bytes, status: int) -> None:
    console = Console()
    async with served(console.app, console.counters) as (port, _):
        head, _, body = (await exchange(port, request_)).partition(b"\r\n\r\n")
        assert await alive(port)
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert CONTENT_TYPE.encode() in head
    assert b"x-request-id: " in head
    assert b'"status":%d' % status in body
    assert console.counters.crashes == 0


@pytest.mark.parametrize("max_bytes", [4096, 16_384, 65_536])
@pytest.mark.parametrize("surplus", [0, 1])
async def test_a_head_may_be_as_long_as_set_and_no_byte_longer(
    max_bytes: int, surplus: int
) -> None:
    console = Console()
    limits = limits_of(Settings(max_head_bytes=max_bytes))
    head = ALIVE.replace(b"\r\n\r\n", b"\r\nCookie: %b\r\n\r\n")
    head %= b"c" * (max_bytes + surplus - len(head) + 2)
    assert len(head) == max_bytes + surplus
    async with served(console.app, console.counters, limits) as (port, _):
        answer = await exchange(port, head)
    assert answer.startswith(b"HTTP/1.1 431 " if surplus else b"HTTP/1.1 200 ")


@pytest.mark.parametrize("begun", [b"", b"GET /healthz HT", KEPT, KEPT + b"GET /heal"])
async def test_a_slow_head_or_an_idle_connection_times_out(begun: bytes) -> None:
    console = Console()
    limits = ConsoleLimits(head_s=0.05, idle_s=0.1)
    async with served(console.app, console.counters, limits) as (port, _):
        answer = await exchange(port, begun)
        assert answer.count(b"HTTP/1.1 200") == begun.count(b"\r\n\r\n")
        await until(lambda: console.counters.connections == 0)


async def test_a_connection_beyond_the_limit_is_refused_with_a_problem() -> None:
    console = Console()
    async with served(console.app, console.counters, ConsoleLimits(connections=1)) as (port, _):
        first = await trio.open_tcp_stream("127.0.0.1", port)
        await until(lambda: console.counters.connections == 1)
        answer = await exchange(port, ALIVE)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in answer
        assert CONTENT_TYPE.encode() in answer
        await first.aclose()
        await until(lambda: console.counters.connections == 0)
        assert await alive(port)
    assert console.counters.refused == 1


@pytest.mark.parametrize("trusted_hops", [0, 1])
async def test_the_connection_that_is_idle_for_longest_makes_room_for_a_new_one(
    trusted_hops: int,
) -> None:
    """Also behind a proxy, which all connections come from."""
    console = Console()
    limits = limits_of(Settings(trusted_hops=trusted_hops))
    fewer = limits.connections - 3
    each = limits.connections_each - fewer if trusted_hops else limits.connections_each
    limits = limits._replace(connections=3, connections_each=each)
    async with served(console.app, console.counters, limits) as (port, _):
        streams = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(3)]
        for stream in streams:
            await stream.send_all(KEPT)
            await one_answer(stream)
        await streams[0].send_all(KEPT)  # so the second is idle for longest
        await one_answer(streams[0])
        assert (await exchange(port, ALIVE)).startswith(b"HTTP/1.1 200 ")
        assert await streams[1].receive_some(1) == b""
        for stream in (streams[0], streams[2]):
            await stream.send_all(KEPT)
            assert (await one_answer(stream)).startswith(b"HTTP/1.1 200 ")
        for stream in streams:
            await stream.aclose()
        await until(lambda: console.counters.connections == 0)
    assert (console.counters.idle.closed, console.counters.refused) == (1, 0)
    assert len(console.counters.idle) == 0


async def test_one_address_cannot_take_all_connections() -> None:
    console = Console()
    limits = ConsoleLimits(connections=10, connections_each=2)
    async with served(console.app, console.counters, limits) as (port, _):
        streams = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(2)]
        for stream in streams:
            await stream.send_all(KEPT)
            await one_answer(stream)
        assert (await exchange(port, ALIVE)).startswith(b"HTTP/1.1 503 ")
        other = await trio.open_tcp_stream("127.0.0.1", port, local_address="127.0.0.2")
        await other.send_all(KEPT)
        assert (await one_answer(other)).startswith(b"HTTP/1.1 200 ")
        for stream in (*streams, other):
            await stream.aclose()
        await until(lambda: not console.counters.by_address)
        assert await alive(port)


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (("127.0.0.1", 5), "127.0.0.1"),
        (("2001:db8::1", 5, 0, 0), "2001:db8::/64"),
        (("::ffff:192.0.2.7", 5, 0, 0), "192.0.2.7"),
        ("", ""),
        (OSError(), ""),
    ],
)
async def test_connections_are_counted_per_client_address(peer: object, address: str) -> None:
    """On a socket for both IP versions, IPv4 clients have different addresses too."""

    class Socket:
        def getpeername(self) -> object:
            if isinstance(peer, OSError):
                raise peer
            return peer

    assert serve.address_of(Socket()) == address  # type: ignore[arg-type]


async def test_a_half_closed_client_gets_its_answer() -> None:
    console = Console()
    async with served(console.app, console.counters) as (port, _):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(KEPT)
        await stream.send_eof()
        with trio.fail_after(5):
            assert b"".join([chunk async for chunk in stream]).startswith(b"HTTP/1.1 200 ")
        await stream.aclose()


async def test_the_server_closes_although_the_client_keeps_its_side_open() -> None:
    console = Console()
    limits = ConsoleLimits(linger_s=0.05, answer_s=0.05)
    async with served(console.app, console.counters, limits) as (port, _):
        for request in (ALIVE, b"nonsense\r\n\r\n"):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            await stream.send_all(request)
            with trio.fail_after(5):
                assert b"".join([chunk async for chunk in stream]).startswith(b"HTTP/1.1 ")
            await until(lambda: console.counters.connections == 0)
            assert await alive(port)
            await stream.aclose()


async def test_a_refused_upload_gets_its_response_although_the_upload_is_not_read() -> None:
    console = Console()
    upload = (
        b"POST /v1/profiles HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer one\r\n"
        b"Content-Type: application/json\r\nContent-Length: 3000000\r\n\r\n"
    ) + b"x" * 3_000_000
    async with served(console.app, console.counters, ConsoleLimits(linger_s=0.5)) as (port, _):
        assert (await exchange(port, upload)).startswith(b"HTTP/1.1 413 ")


async def test_a_client_that_does_not_read_is_disconnected() -> None:
    console = Console()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 50_000_000})

    limits = ConsoleLimits(send_s=0.1, linger_s=0.1)
    async with served(guard.Guard(app, console.counters), console.counters, limits) as (port, _):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(KEPT)
        await until(lambda: console.counters.connections == 1)
        await until(lambda: console.counters.connections == 0)
        await stream.aclose()


async def test_a_stream_ends_with_its_client_even_if_a_second_request_waits() -> None:
    console = Console()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await trio.sleep(0.01)

    limits = ConsoleLimits(linger_s=0.1)
    async with served(guard.Guard(app, console.counters), console.counters, limits) as (port, stop):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(KEPT + KEPT)
        await stream.receive_some()
        await stream.aclose()
        await until(lambda: console.counters.connections == 0)
        stop.request()


async def test_stop_closes_idle_connections_and_lets_requests_finish() -> None:
    console = Console()
    begun, finish = trio.Event(), trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            begun.set()
            await finish.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with served(guard.Guard(app, console.counters), console.counters) as (port, stop):
        idle = await trio.open_tcp_stream("127.0.0.1", port)
        await idle.send_all(KEPT)
        assert (await idle.receive_some()).startswith(b"HTTP/1.1 204 ")
        slow = await trio.open_tcp_stream("127.0.0.1", port)
        await slow.send_all(KEPT.replace(b"/healthz", b"/slow"))
        await begun.wait()
        stop.request()
        with trio.fail_after(5):
            assert await idle.receive_some() == b""
            with pytest.raises(OSError, match="connect"):
                await trio.open_tcp_stream("127.0.0.1", port)
            finish.set()
            assert (await slow.receive_some()).startswith(b"HTTP/1.1 204 ")
            assert await slow.receive_some() == b""
        await idle.aclose()
        await slow.aclose()


async def test_a_request_that_hangs_is_cancelled_at_the_end_of_the_drain() -> None:
    console = Console()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await trio.sleep_forever()

    limits = ConsoleLimits(drain_s=0.05)
    async with served(guard.Guard(app, console.counters), console.counters, limits) as (port, stop):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(KEPT)
        await until(lambda: console.counters.connections == 1)
        stop.request()
        with trio.fail_after(5):
            assert await stream.receive_some() == b""
        await stream.aclose()


async def test_a_client_that_hangs_up_cancels_its_request() -> None:
    console = Console()
    begun, cancelled = trio.Event(), trio.Event()

    async def stuck(*_: object) -> object:
        begun.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    console.profiles.list_profiles = stuck
    limits = ConsoleLimits(answer_s=0.05)
    async with served(console.app, console.counters, limits) as (port, _):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(
            b"GET /v1/profiles HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer one\r\n\r\n"
        )
        await begun.wait()
        await stream.aclose()
        with trio.fail_after(5):
            await cancelled.wait()
    assert console.counters.crashes == 0


async def test_errors_outside_of_quart_get_a_problem(caplog: pytest.LogCaptureFixture) -> None:
    console = Console()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("broken")

    async with served(guard.Guard(app, console.counters), console.counters) as (port, _):
        answer = await exchange(port, ALIVE)
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert CONTENT_TYPE.encode() in answer
    assert b"broken" not in answer
    assert "RuntimeError: broken" in caplog.text
