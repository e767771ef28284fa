"""Bytes behind a request, empty lines before it, and malformed bodies: one answer each, whatever the phase."""

import random
import re
from typing import Any

import h11
import orjson
import pytest
import trio
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.trio.task_group import TaskGroup
from trio.testing import wait_all_tasks_blocked

from api.http.connection import MAX_DROPPED_BYTES, ConsoleConnection, ConsoleLimits, ConsoleProtocol
from api.http.guard import Guard
from api.http.hypercorn_adapter import HypercornServer
from api.http.protocol import STREAM_ID, origin_form
from tests.kit.consoles import Console, exchange, served
from tests.kit.hosted import hosted_run

pytestmark = pytest.mark.trio(run=hosted_run)

HEAD = b"%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer one\r\n"
JSON = b"Content-Type: application/json\r\n"
CLOSE = b"Connection: close\r\n"
KEPT = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
TRAILING = [b"\r\n", b"\r\n\r\n", b"\n", b"x", b"\0\r\n\r\n", KEPT, b"\xff" * 40_000]
CHUNKS = {
    "sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "prefix": b"0x2\r\n{}\r\n0\r\n\r\n",
    "size": b"f" * 30 + b"\r\n",
    "second": b"2\r\n{}\r\nzz\r\n",
    "behind a whole object": b'11\r\n{"handle":"anna"}\r\n+5\r\n',
    "footer": b"2\r\n{}XX0\r\n\r\n",
    "trailer": b"2\r\n{}\r\n0\r\nno colon\r\n\r\n",
    "long extension": b"2;" + b"a" * 40_000 + b"\r\n{}\r\n0\r\n\r\n",
    "long trailer": b"2\r\n{}\r\n0\r\nA: " + b"a" * 40_000 + b"\r\n\r\n",
}


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", answer)]


def post(body: bytes, more: bytes = CLOSE) -> bytes:
    head = HEAD % b"POST /v1/profiles" + JSON + more
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(target: bytes, body: bytes, more: bytes = b"") -> bytes:
    return HEAD % target + JSON + more + b"Transfer-Encoding: chunked\r\n\r\n" + body


async def talk(port: int, *pieces: bytes, eof: bool = False) -> bytes:
    """Send each piece once the server has read the one before. Returns all bytes until the server closes."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        for piece in pieces:
            await stream.send_all(piece)
            await wait_all_tasks_blocked(0.002)
        if eof:
            await stream.send_eof()
        with trio.fail_after(5):
            return b"".join([chunk async for chunk in stream])


class Gate:
    """An app that answers `hello` in two halves; it waits before each, and does not read bodies."""

    def __init__(self) -> None:
        self.begun = trio.Event()
        self.first_half, self.second_half = trio.Event(), trio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun.set()
        await self.first_half.wait()
        headers = [(b"content-length", b"5")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"he", "more_body": True})
        await self.second_half.wait()
        await send({"type": "http.response.body", "body": b"llo"})


async def test_bytes_behind_the_last_request_are_ignored() -> None:
    console = Console()
    async with served(console.app, console.counters) as (port, _):
        for trailing in TRAILING:
            old = LAST.replace(b"/1.1", b"/1.0")
            assert statuses(await exchange(port, LAST + trailing)) == [200]
            assert statuses(await exchange(port, old + trailing)) == [200]
            answer = await exchange(port, post(b'{"handle":"anna"}') + trailing)
            assert statuses(answer) == [201]
            id_ = orjson.loads(answer.partition(b"\r\n\r\n")[2])["id"].encode()
            delete = HEAD % b"DELETE /v1/profiles/%s" % id_ + CLOSE + b"\r\n"
            assert statuses(await exchange(port, delete + trailing)) == [204]
            assert statuses(await exchange(port, delete + trailing)) == [404]
    assert (console.counters.malformed.requests, console.counters.crashes) == (0, 0)


@pytest.mark.parametrize("trailing", [TRAILING[i] for i in (0, 3, 5, 6)])
@pytest.mark.parametrize("phase", ["while the app runs", "during the answer"])
async def test_bytes_that_follow_later_are_ignored(phase: str, trailing: bytes) -> None:
    console, gate = Console(), Gate()
    async with served(Guard(gate, console.counters), console.counters) as (port, _):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(LAST)
        await gate.begun.wait()
        if phase == "during the answer":
            gate.first_half.set()
            await stream.receive_some()
        await stream.send_all(trailing)
        await wait_all_tasks_blocked(0.002)
        gate.first_half.set()
        gate.second_half.set()
        with trio.fail_after(5):
            answer = b"".join([chunk async for chunk in stream])
        assert answer.endswith(b"llo")
        await stream.aclose()
    assert (console.counters.malformed.requests, console.counters.crashes) == (0, 0)


async def test_empty_lines_before_a_request_are_ignored() -> None:
    console = Console()
    async with served(console.app, console.counters) as (port, _):
        sent = b"\r\n\r\n" + KEPT + b"\r\n" + KEPT + b"\r\n\r\n\r\n" + LAST
        assert statuses(await exchange(port, sent)) == [200, 200, 200]
        pieces = KEPT, b"\r", b"\n", b"\r", b"\n\r\n" + LAST
        assert statuses(await talk(port, *pieces)) == [200, 200]
        for malformed in (b"\n" + LAST, b"\r" + LAST, KEPT + b"\r\n\r" + LAST):
            assert statuses(await exchange(port, malformed))[-1] == 400
    assert console.counters.malformed.requests == 3


async def test_a_client_that_sends_only_an_empty_line_more_hears_of_no_error() -> None:
    console = Console()
    async with served(console.app, console.counters) as (port, _):
        assert statuses(await talk(port, KEPT + b"\r\n", eof=True)) == [200]
    assert console.counters.malformed.requests == 0


@pytest.mark.parametrize("later", [False, True])
async def test_a_malformed_body_is_answered_400_and_nothing_is_done(
    later: bool, caplog: pytest.LogCaptureFixture
) -> None:
    console = Console()
    head = chunked(b"POST /v1/profiles", b"")
    async with served(console.app, console.counters) as (port, _):
        for name, chunks in CHUNKS.items():
            answer = await talk(port, *([head, chunks] if later else [head + chunks]))
            assert statuses(answer) == [400], name
            assert b"connection: close" in answer.lower(), name
            assert b"application/problem+json" in answer, name
    assert (await console.call("GET", "/v1/profiles")).json["items"] == []
    assert (console.counters.malformed.requests, console.counters.crashes) == (len(CHUNKS), 0)
    levels = {r.levelname for r in caplog.records if r.name.startswith("waypost")}
    assert levels == {"WARNING"}


async def test_an_app_that_does_not_read_the_malformed_body_keeps_its_answer() -> None:
    console = Console()
    id_ = (await console.profile())["id"].encode()
    async with served(console.app, console.counters) as (port, _):
        answer = await exchange(port, chunked(b"DELETE /v1/profiles/%s" % id_, b"+5\r\n"))
        assert statuses(answer) == [204]
        # Nothing was done, so the answer names what is wrong with the request itself.
        refused = await exchange(port, chunked(b"DELETE /v1/profiles/%s" % id_, b"+5\r\n"))
        assert statuses(refused) == [400]
    assert (console.counters.malformed.requests, console.counters.crashes) == (2, 0)


async def test_a_malformed_body_during_the_answer_does_not_cut_the_answer() -> None:
    console, gate = Console(), Gate()
    gate.first_half.set()
    async with served(Guard(gate, console.counters), console.counters) as (port, _):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(chunked(b"POST /", b"2\r\n{}\r\n"))
        answer = await stream.receive_some()
        await stream.send_all(b"+5\r\n")
        await wait_all_tasks_blocked(0.002)
        gate.second_half.set()
        with trio.fail_after(5):
            answer += b"".join([chunk async for chunk in stream])
        await stream.aclose()
    assert b"connection: close" in answer.lower()
    assert answer.endswith(b"hello")


@pytest.mark.parametrize(
    "sent",
    [
        post(b'{"handle":"anna"}', b"")[:-1],
        chunked(b"POST /v1/profiles", b'11\r\n{"handle":"anna"}\r\n'),
        HEAD % b"POST /v1/profiles" + JSON + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        HEAD % b"POST /v1/profiles" + JSON + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
        HEAD % b"POST /v1/profiles",
    ],
)
async def test_a_request_that_its_client_cuts_short_is_answered_400(sent: bytes) -> None:
    console = Console()
    async with served(console.app, console.counters) as (port, _):
        assert statuses(await talk(port, sent, eof=True)) == [400]
    assert (await console.call("GET", "/v1/profiles")).json["items"] == []
    assert (console.counters.malformed.requests, console.counters.crashes) == (1, 0)


async def test_a_refused_head_request_is_answered_without_a_body() -> None:
    console = Console()
    async with served(console.app, console.counters) as (port, _):
        for head in (b"HEAD * HTTP/1.1\r\nHost: x\r\n\r\n", b"HEAD / HTTP/3.0\r\nHost: x\r\n\r\n"):
            answer = await exchange(port, head + KEPT)
            assert answer.endswith(b"\r\n\r\n")
            assert len(statuses(answer)) == 1
    assert (console.counters.malformed.requests, console.counters.crashes) == (2, 0)
    assert console.counters.requests == {"4xx": 1, "5xx": 1}


async def test_a_target_in_absolute_form_is_its_path_at_the_same_host() -> None:
    console = Console()
    async with served(console.app, console.counters) as (port, _):
        for target, host, status in (
            (b"http://x/healthz", b"x", 200),
            (b"HTTPS://X:80/healthz?y", b"x:80", 200),
            (b"http://x", b"x", 200),
            (b"http://x?y=/", b"x", 200),
            (b"http://y/healthz", b"x", 400),
            (b"http://[/healthz", b"x", 400),
            (b"http://u@x/healthz", b"x", 400),
            (b"ftp://x/healthz", b"x", 400),
        ):
            head = b"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (target, host)
            assert statuses(await exchange(port, head)) == [status], target
    assert console.counters.crashes == 0


async def test_the_origin_form_of_a_target() -> None:
    forms = {b"/a?b": b"/a?b", b"//a": b"//a", b"*": b"*", b"http://a": b"/", b"http://a?b": b"/?b"}
    assert {target: origin_form(target) for target in forms} == forms


class EndlessStream:
    """A stream of a client that never stops sending behind its request."""

    def __init__(self, request: bytes) -> None:
        self.received = 0
        self._next = request
        self.socket = self

    family = 2

    def getpeername(self) -> tuple[str, int]:
        return "127.0.0.1", 1

    getsockname = getpeername

    async def receive_some(self, size: int) -> bytes:
        await trio.lowlevel.checkpoint()
        data, self._next = self._next, b"x" * size
        self.received += len(data)
        return data


async def test_what_a_client_sends_behind_its_last_request_is_not_read_without_end() -> None:
    console, gate = Console(), Gate()
    server = HypercornServer.wrap(gate, head_bytes=16_384)
    stream: Any = EndlessStream(LAST)
    connection = ConsoleConnection(server, stream, ConsoleLimits(), console.counters)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        await gate.begun.wait()
        await wait_all_tasks_blocked(0.002)
        assert MAX_DROPPED_BYTES < stream.received < 2 * MAX_DROPPED_BYTES
        nursery.cancel_scope.cancel()


class Recorder:
    """A transport that keeps what was written and how it ended."""

    def __init__(self) -> None:
        self.written = b""
        self.finished = False
        self.reasons: list[str] = []

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        assert not self.finished
        self.written += data

    async def finish(self) -> None:
        await trio.lowlevel.checkpoint()
        self.finished = True

    def request_began(self) -> None: ...
    def head_began(self) -> None: ...
    def between_requests(self) -> None: ...
    def responded(self, status: int) -> None: ...

    def malformed(self, reason: str) -> None:
        self.reasons.append(reason)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with method, path and body; stop at a disconnect."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    body = b"%s %s %s" % (scope["method"].encode(), scope["path"].encode(), body)
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def conversation(pieces: list[bytes]) -> Recorder:
    """Send `pieces` and the end to a protocol in memory, and return what it did."""
    server, recorder, group = HypercornServer.wrap(echo, head_bytes=16_384), Recorder(), TaskGroup()

    def stream_of(send: Any) -> HTTPStream:
        own = ("127.0.0.1", 1)
        return HTTPStream(
            server.app, server.config, server.context, group, False, own, own, send, STREAM_ID
        )

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            group._nursery = nursery
            protocol = ConsoleProtocol(server, stream_of, recorder)
            for piece in (*pieces, b""):
                await protocol.receive(piece)
    return recorder


def responses(written: bytes) -> list[tuple[int, bytes]]:
    """Return status and body of each response. Fails if the bytes are not whole responses in a row."""
    client = h11.Connection(h11.CLIENT)
    client.receive_data(written)
    answers = []
    while client.trailing_data[0]:
        client.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
        client.send(h11.EndOfMessage())
        status, body = 0, b""
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            assert event is not h11.NEED_DATA, written
            if isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.Response):
                status = event.status_code
        answers.append((status, body))
        if client.trailing_data[0]:
            client.start_next_cycle()
    return answers


CONVERSATION = (
    b"\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n\r\n\r\n"
    b"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\none\r\n4;e=f\r\n two\r\n0\r\nT: u\r\n\r\n"
    b"PUT /c HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nthree"
    b"\r\nGET /d HTTP/1.1\r\n\r\n"
)
ANSWERS = [(200, b"GET /a "), (200, b"POST /b one two"), (200, b"PUT /c three")]


async def test_a_conversation_is_read_alike_wherever_it_is_cut() -> None:
    for cut in range(1, len(CONVERSATION)):
        recorder = await conversation([CONVERSATION[:cut], CONVERSATION[cut:]])
        assert responses(recorder.written) == ANSWERS, cut
        assert (recorder.finished, recorder.reasons) == (True, []), cut
    bytewise = await conversation([CONVERSATION[i : i + 1] for i in range(len(CONVERSATION))])
    assert responses(bytewise.written) == ANSWERS


async def test_a_mangled_conversation_gets_whole_answers_and_at_most_one_warning() -> None:
    random_ = random.Random(5)
    malformed = 0
    for _ in range(400):
        data = bytearray(CONVERSATION)
        for _ in range(random_.randint(1, 3)):
            at = random_.randrange(len(data))
            data[at : at + random_.randrange(3)] = random_.choice(
                [b"", b"\r", b"\n", b"\0", b" ", b"+", b";", b"9", b"\xff"]
            )
        cut = random_.randrange(1, len(data))
        recorder = await conversation([bytes(data[:cut]), bytes(data[cut:])])
        answers = responses(recorder.written)
        refused = [status for status, _ in answers if status != 200]
        assert len(refused) <= len(recorder.reasons) <= 1
        assert all(status == 200 for status, _ in answers[:-1])
        malformed += len(recorder.reasons)
    assert malformed > 100
