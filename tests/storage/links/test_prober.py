"""Probes of targets over real connections: requests, responses, and refused addresses."""

import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpcore
import pytest
import trio

from engine.links.health import Probe, ProbeResult, TargetCheck
from storage.links.prober import USER_AGENT, HttpProber


class Target:
    """A server on the loopback. `answers` are by method and path; `heads` are the requests received."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self.answers = answers
        self.heads: list[str] = []
        self.sent_bytes = 0
        self.connections = 0
        self.port = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        async with stream:
            try:
                while True:
                    head = b""
                    while not head.endswith(b"\r\n\r\n"):
                        more = await stream.receive_some()
                        if not more:
                            return
                        head += more
                    self.heads.append(head.decode())
                    line = head.decode().partition(" HTTP/")[0]
                    answer = self.answers.get(line, b"HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n")
                    for start in range(0, len(answer), 65536):
                        await stream.send_all(answer[start : start + 65536])
                        self.sent_bytes += 65536
            except trio.BrokenResourceError:
                pass


@asynccontextmanager
async def running(answers: dict[str, bytes]) -> AsyncIterator[Target]:
    target = Target(answers)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    target.port = listener.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, target.serve, [listener])
        yield target
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def probing(**options: Any) -> AsyncIterator[HttpProber]:
    prober = HttpProber(**{"everywhere": True} | options)
    try:
        with trio.fail_after(10):
            yield prober
    finally:
        await prober.close()


async def checked(prober: HttpProber, url: str) -> TargetCheck:
    check = TargetCheck(url)
    while check.probe is not None:
        check.receive(await prober.send(check.probe))
    return check


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


async def test_a_head_names_the_engine_and_keeps_the_connection() -> None:
    async with running({"HEAD /a?b=c": OK}) as target, probing() as prober:
        for _ in range(2):
            answer = await prober.send(Probe("HEAD", f"http://127.0.0.1:{target.port}/a?b=c#d"))
            assert answer == ProbeResult(200)
        assert target.connections == 1
        assert target.heads[0].split("\r\n") == [
            "HEAD /a?b=c HTTP/1.1", f"Host: 127.0.0.1:{target.port}", f"User-Agent: {USER_AGENT}",
            "Accept: */*", "Accept-Encoding: identity", "", "",
        ]  # fmt: skip
        assert "Waypost" in USER_AGENT


async def test_a_get_asks_for_a_few_bytes_and_reads_no_body() -> None:
    huge = b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 50_000_000
    answers = {"HEAD /": b"HTTP/1.1 405 \r\nContent-Length: 0\r\n\r\n", "GET /": huge}
    async with running(answers) as target, probing() as prober:
        check = await checked(prober, f"http://127.0.0.1:{target.port}/")
        assert check.result is not None
        assert check.result.state == "ok"
        assert "Range: bytes=0-1023" in target.heads[1]
        await trio.sleep(0.05)
        assert (
            target.sent_bytes < 20_000_000
        )  # no more than fits into buffers before the prober closed the connection


async def test_redirects_are_followed_hop_by_hop() -> None:
    answers = {
        "HEAD /": b"HTTP/1.1 301 \r\nLocation: /two\r\nContent-Length: 0\r\n\r\n",
        "HEAD /two": b"HTTP/1.1 302 \r\nlocation: http://localhost.example/3\r\nContent-Length: 0\r\n\r\n",
    }
    hosts: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        await trio.lowlevel.checkpoint()
        hosts.append(host)
        return ["10.0.0.1"] if host == "localhost.example" else ["93.184.216.34"]

    async def connect(address: str, port: int, limit_s: float | None) -> Any:
        assert address == "93.184.216.34"
        return await httpcore.TrioBackend().connect_tcp("127.0.0.1", target.port, limit_s)

    async with (
        running(answers) as target,
        probing(everywhere=False, resolver=resolve, connect=connect) as prober,
    ):
        check = await checked(prober, "http://public.example/")
        assert check.result is not None
        assert check.result == ("unknown", None, "it is not on the public internet", False)
        assert hosts == ["public.example", "localhost.example"]
        assert len(target.heads) == 2  # no request was sent to the private address


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "169.254.169.254",
        "10.1.2.3",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
    ],
)
async def test_private_addresses_get_no_request(host: str) -> None:
    async with running({"HEAD /": OK}) as target, probing(everywhere=False) as prober:
        answer = await prober.send(Probe("HEAD", f"http://{host}:{target.port}/"))
        assert (answer.status, answer.local_error) == (None, True)
        assert target.heads == []


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "it does not answer in HTTP/1.1"),
        (b"SSH-2.0-OpenSSH_9\r\n", "it does not answer in HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, ""),
    ],
)
async def test_a_response_that_is_not_http_has_no_status(sent: bytes, reason: str) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            try:
                await stream.send_all(sent)
            except trio.BrokenResourceError:
                pass

    async with trio.open_nursery() as nursery, probing() as prober:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        port = listener.socket.getsockname()[1]
        answer = await prober.send(Probe("HEAD", f"http://127.0.0.1:{port}/"))
        assert answer.status is None
        assert not answer.local_error
        assert answer.reason == reason or not reason
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("error", "reason", "local_error"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "its host is not known", False),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "its host's name could not be looked up", True),
    ],
)
async def test_a_failed_lookup_of_a_host_is_told_from_an_unknown_host(
    error: OSError, reason: str, local_error: bool
) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        await trio.lowlevel.checkpoint()
        raise error

    async with probing(resolver=resolve) as prober:
        answer = await prober.send(Probe("HEAD", "http://a.example/"))
        assert (answer.reason, answer.local_error) == (reason, local_error)


@pytest.mark.parametrize(
    ("number", "local_error"), [(errno.ECONNREFUSED, False), (errno.ENETUNREACH, True)]
)
async def test_a_failed_connection_is_transient_unless_the_error_is_local(
    number: int, local_error: bool
) -> None:
    async def connect(address: str, port: int, limit_s: float | None) -> Any:
        await trio.lowlevel.checkpoint()
        try:
            raise OSError(number, "x")
        except OSError as error:
            raise httpcore.ConnectError("x") from error

    async with probing(connect=connect) as prober:
        answer = await prober.send(Probe("HEAD", "http://127.0.0.1/"))
        assert (answer.status, answer.local_error, answer.transient) == (
            None,
            local_error,
            not local_error,
        )
