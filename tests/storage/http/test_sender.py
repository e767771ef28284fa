"""Requests to webhook receivers: hostile names, hostile responses, and good ones."""

import gc
import gzip
import socket
import ssl
import threading
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpcore
import pytest
import trio

from engine.webhooks.delivery import AttemptResult
from storage.http.public_network import PublicNetwork, deny_private, system_resolver
from tests.kit.webhook_receiver import (
    BODY,
    HEADERS,
    KEY_AND_CERTIFICATE,
    Receiver,
    names,
    running,
    sending,
)


async def test_a_request_is_what_the_receiver_expects() -> None:
    async with (
        running(Receiver()) as receiver,
        sending(loopback=True, resolver=names(hooks_example=["127.0.0.1"])) as sender,
    ):
        for _ in range(2):
            url = f"http://hooks.example:{receiver.port}/a/b?c=d"
            assert await sender.post(url, HEADERS, BODY) == AttemptResult(200, "", b"ok")
        assert receiver.connections == 1
        head, _, body = receiver.heads[0].partition(b"\r\n\r\n")
        assert body == BODY
        assert head.split(b"\r\n") == [
            b"POST /a/b?c=d HTTP/1.1",
            b"Host: hooks.example:%d" % receiver.port,
            b"Content-Length: 24",
            b"webhook-id: evt_1",
            b"content-type: application/json",
            b"Accept-Encoding: identity",
        ]


async def test_an_address_in_the_url_is_the_host() -> None:
    async with running(Receiver()) as receiver, sending(loopback=True) as sender:
        assert (
            await sender.post(f"http://127.0.0.1:{receiver.port}/", HEADERS, BODY)
        ).status == 200
        assert b"Host: 127.0.0.1:%d" % receiver.port in receiver.heads[0]


async def test_tls_goes_by_the_name_and_is_verified(tmp_path: Path) -> None:
    pem = tmp_path / "hooks.pem"
    pem.write_text(KEY_AND_CERTIFICATE)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    server_names: list[str | None] = []
    server.sni_callback = lambda _, name, __: server_names.append(name)
    client = ssl.create_default_context(cafile=str(pem))
    resolver = names(hooks_example=["127.0.0.1"], other_example=["127.0.0.1"])
    async with running(Receiver(tls=server)) as receiver:
        async with sending(loopback=True, resolver=resolver, tls=client) as sender:
            url = f"https://hooks.example:{receiver.port}/"
            assert (await sender.post(url, HEADERS, BODY)).status == 200
            result = await sender.post(url.replace("hooks", "other"), HEADERS, BODY)
            assert result.status is None
            assert "certificate" in result.error
        async with sending(loopback=True, resolver=resolver) as sender:
            assert "certificate" in (await sender.post(url, HEADERS, BODY)).error
    assert server_names == ["hooks.example", "other.example", "hooks.example"]
    assert len(receiver.heads) == 1


# ---- refused addresses ----------------------------------------------------------------------------
class Connector:
    """A connect function that records the addresses, and returns `stream` or refuses."""

    def __init__(self, stream: httpcore.AsyncNetworkStream | None = None) -> None:
        self.addresses: list[str] = []
        self.stream = stream

    async def __call__(
        self, address: str, port: int, timeout_s: float | None
    ) -> httpcore.AsyncNetworkStream:
        await trio.lowlevel.checkpoint()
        self.addresses.append(address)
        if self.stream is None:
            raise httpcore.ConnectError("refused")
        return self.stream


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"], ["::1"], ["10.1.2.3"], ["169.254.169.254"], ["::ffff:8.8.8.8"], ["64:ff9b::808:808"],
        ["fe80::1%eth0"], ["8.8.8.8", "192.168.0.1"], ["8.8.8.8", "2606:4700::1", "::"], ["0.0.0.0"],
        ["not an address"], ["08.8.8.8"],
    ],
)  # fmt: skip
async def test_a_name_with_one_bad_address_is_refused_as_a_whole(addresses: list[str]) -> None:
    connector = Connector()
    async with sending(resolver=names(hooks_example=addresses), connect=connector) as sender:
        result = await sender.post("https://hooks.example/", HEADERS, BODY)
    assert result == AttemptResult(
        None, "hooks.example has an address that is not on the public internet"
    )
    assert connector.addresses == []


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "2130706433", "0x7f.1", "017700000001", "[::1]", "[::ffff:127.0.0.1]", "localhost",
     "[fe80::1]", "10.0.0.1", "[fd00:ec2::254]"],
)  # fmt: skip
async def test_this_machine_is_refused_however_it_is_written(host: str) -> None:
    async with running(Receiver()) as receiver, sending() as sender:
        result = await sender.post(f"http://{host}:{receiver.port}/", HEADERS, BODY)
        assert result.status is None
        assert "not on the public internet" in result.error
        assert receiver.connections == 0


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", "0.0.0.0", "::ffff:127.0.0.1"])
async def test_loopback_opens_loopback_alone(address: str) -> None:
    connector = Connector()
    resolver = names(hooks_example=["127.0.0.1", address])
    async with sending(loopback=True, resolver=resolver, connect=connector) as sender:
        assert (
            "not on the public" in (await sender.post("http://hooks.example/", HEADERS, BODY)).error
        )
    assert connector.addresses == []


async def test_a_name_whose_addresses_change_gets_no_private_connection() -> None:
    """The connection goes to the checked address; the name is not looked up again."""
    answers = [["8.8.8.8"], ["127.0.0.1"], ["8.8.4.4"]]

    async def flipping(host: str, port: int) -> list[str]:
        await trio.lowlevel.checkpoint()
        return answers.pop(0)

    connector = Connector()
    async with sending(resolver=flipping, connect=connector) as sender:
        assert "could not connect" in (await sender.post("https://h.example/", HEADERS, BODY)).error
        assert "not on the public" in (await sender.post("https://h.example/", HEADERS, BODY)).error
        assert "could not connect" in (await sender.post("https://h.example/", HEADERS, BODY)).error
    assert connector.addresses == ["8.8.8.8", "8.8.4.4"]
    assert answers == []


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    addresses = [f"8.8.8.{n}" for n in range(9)]
    connector = Connector()
    async with sending(resolver=names(h_example=addresses), connect=connector) as sender:
        await sender.post("https://h.example/", HEADERS, BODY)
    assert connector.addresses == addresses[:4]


async def test_an_unknown_host_is_an_error() -> None:
    async def unknown(host: str, port: int) -> list[str]:
        raise OSError(-2, "Name or service not known")

    async def none(host: str, port: int) -> list[str]:
        return []

    for resolver in (unknown, none):
        async with sending(resolver=resolver) as sender:
            result = await sender.post("https://h.example/", HEADERS, BODY)
        assert result.error.startswith("could not connect: h.example ")


async def test_the_system_resolver_returns_plain_addresses() -> None:
    look_up = system_resolver()
    assert await look_up("127.0.0.1", 80) == ["127.0.0.1"]
    assert await look_up("2130706433", 80) == ["127.0.0.1"]


async def test_look_ups_that_hang_delay_no_other_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither while requests wait for them nor later, while the resolver's threads still hang."""
    hosts, given_up = set[str](), threading.Event()

    def getaddrinfo(host: str, port: int, type: int) -> list[Any]:
        hosts.add(host)
        if host.startswith("dead"):
            given_up.wait(30)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(0, 0, 0, "", ("8.8.8.8", port))]

    monkeypatch.setattr("storage.http.public_network.socket.getaddrinfo", getaddrinfo)
    checks = PublicNetwork(deny_private, system_resolver(4), Connector())
    webhooks = PublicNetwork(deny_private, connect=Connector())
    try:
        with trio.move_on_after(0.3):
            async with trio.open_nursery() as nursery:
                for n in range(60):
                    nursery.start_soon(checks.connect_tcp, f"dead{n}.example", 443)
                    nursery.start_soon(webhooks.connect_tcp, f"dead{n}.test", 443)
        with trio.fail_after(5), pytest.raises(httpcore.ConnectError, match="refused"):
            await webhooks.connect_tcp("good.example", 443)
        assert len(hosts) > 40
    finally:
        given_up.set()


# ---- responses ------------------------------------------------------------------------------------
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    async with running(Receiver()) as receiver, sending(loopback=True) as sender:
        receiver.answer = (
            b"HTTP/1.1 %d Over there\r\nLocation: http://127.0.0.1:%d/secret\r\n"
            b"Content-Length: 0\r\n\r\n" % (status, receiver.port)
        )
        result = await sender.post(f"http://127.0.0.1:{receiver.port}/", HEADERS, BODY)
        assert result == AttemptResult(status, "redirects are not followed")
        assert not result.delivered
        assert len(receiver.heads) == 1


async def test_nothing_is_decompressed_and_retry_after_is_kept() -> None:
    packed = gzip.compress(b"x" * 1_000_000)
    answer = b"HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    receiver = Receiver(answer % len(packed) + packed)
    async with running(receiver), sending(loopback=True) as sender:
        result = await sender.post(f"http://127.0.0.1:{receiver.port}/", HEADERS, BODY)
    assert result == AttemptResult(503, "", packed, "120")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", "did not answer in HTTP/1.1"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "did not answer in HTTP/1.1"),
        (b"HTTP/1.1 99999 No\r\n\r\n", "did not answer in HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "did not answer in HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nx: a\x00b\r\n\r\n", "did not answer in HTTP/1.1"),
    ],
)
async def test_a_response_that_is_not_http_is_an_error(answer: bytes, error: str) -> None:
    receiver = Receiver(answer)
    async with running(receiver), sending(loopback=True) as sender:
        result = await sender.post(f"http://127.0.0.1:{receiver.port}/", HEADERS, BODY)
    assert result.status is None
    assert result.error.startswith(error)
    assert result.error.isprintable()


async def test_a_body_that_breaks_off_keeps_the_status() -> None:
    receiver = Receiver(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    async def once(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(receiver.answer)

    receiver.serve = once  # type: ignore[method-assign]
    async with running(receiver), sending(loopback=True) as sender:
        result = await sender.post(f"http://127.0.0.1:{receiver.port}/", HEADERS, BODY)
    assert result == AttemptResult(200, "", b"half")


async def test_a_refused_connection_is_an_error() -> None:
    async with running(Receiver()) as receiver:
        port = receiver.port
    async with sending(loopback=True) as sender:
        result = await sender.post(f"http://127.0.0.1:{port}/", HEADERS, BODY)
    assert result.status is None
    assert result.error.startswith("could not connect")


class Endless(httpcore.AsyncNetworkStream):
    """A stream that sends a head, and then `part` for ever."""

    def __init__(self, head: bytes, part: bytes) -> None:
        self.head, self.part = head, part
        self.sent_bytes = 0
        self.closed = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        await trio.lowlevel.checkpoint()
        data = (self.head or self.part)[:max_bytes]
        self.head = b""
        self.sent_bytes += len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        self.closed = True

    def get_extra_info(self, info: str) -> Any:
        return None


async def posted_to(stream: Endless) -> AttemptResult:
    resolver = names(hooks_example=["8.8.8.8"])
    async with sending(resolver=resolver, connect=Connector(stream)) as sender:
        result = await sender.post("http://hooks.example/", HEADERS, BODY)
        assert stream.closed
    return result


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_endless_body_is_cut_off(chunked: bool) -> None:
    if chunked:
        stream = Endless(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"400\r\n%b\r\n" % (b"x" * 1024),
        )
    else:
        stream = Endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1024)
    assert await posted_to(stream) == AttemptResult(200, "", b"x" * 4096)
    assert stream.sent_bytes <= 32 * 1024


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 ", b"O"),
        (b"HTTP/1.1 200 OK\r\nx: ", b"y"),
    ],
    ids=["fields", "informational", "reason", "field"],
)
async def test_an_endless_head_is_cut_off(head: bytes, part: bytes) -> None:
    stream = Endless(head, part * (4096 // len(part)))
    result = await posted_to(stream)
    assert result.status is None
    assert stream.sent_bytes <= 32 * 1024


async def test_a_connection_cancelled_in_its_handshake_is_closed() -> None:
    """The connection is closed when the request is cancelled, not when the garbage collector finds it."""
    closed = trio.Event()

    async def silent(stream: trio.SocketStream) -> None:
        async with stream:
            while await stream.receive_some():
                pass
            closed.set()

    receiver = Receiver()
    receiver.serve = silent  # type: ignore[method-assign]
    gc.disable()
    try:
        async with running(receiver), sending(loopback=True) as sender:
            with trio.move_on_after(0.1) as limit:
                await sender.post(f"https://127.0.0.1:{receiver.port}/", HEADERS, BODY)
            assert limit.cancelled_caught
            with trio.fail_after(1):
                await closed.wait()
    finally:
        gc.enable()


async def test_a_chunk_that_never_ends_its_size_is_cut_off() -> None:
    stream = Endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0" * 64)
    assert (await posted_to(stream)).status == 200
    assert stream.sent_bytes <= 32 * 1024


async def test_a_request_to_a_slow_receiver_can_be_cancelled() -> None:
    async def drip(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.send_all(b"HTTP/1.1 200 OK\r\nx: ")
            while True:
                await stream.send_all(b"y")
                await trio.sleep(0.01)

    async def silent(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    for behaviour in (drip, silent):
        receiver = Receiver()
        receiver.serve = behaviour  # type: ignore[method-assign]
        async with running(receiver), sending(loopback=True) as sender:
            with trio.move_on_after(0.05) as limit:
                await sender.post(f"http://127.0.0.1:{receiver.port}/", HEADERS, BODY)
            assert limit.cancelled_caught


async def test_connections_are_bounded_and_reused() -> None:
    receiver = Receiver()
    async with running(receiver), sending(loopback=True) as sender:
        answers: list[AttemptResult] = []

        async def one() -> None:
            answers.append(await sender.post(f"http://127.0.0.1:{receiver.port}/", HEADERS, BODY))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(one)
    assert [answer.status for answer in answers] == [200] * 20
    assert receiver.connections <= 20


async def test_unused_connections_are_closed() -> None:
    hanging = Receiver()

    async def silent(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    hanging.serve = silent  # type: ignore[method-assign]
    async with AsyncExitStack() as stack:
        first, second, _ = [
            await stack.enter_async_context(running(receiver))
            for receiver in (Receiver(), Receiver(), hanging)
        ]
        async with sending(loopback=True) as sender, trio.open_nursery() as nursery:
            urls = [f"http://127.0.0.1:{receiver.port}/" for receiver in (first, second, hanging)]
            for url in urls[:2]:
                await sender.post(url, HEADERS, BODY)
            nursery.start_soon(sender.post, urls[2], HEADERS, BODY)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert len(sender._pools) == 3
            for pool in sender._pools.values():
                pool.unused_since_s -= 3
            await sender.post(urls[1], HEADERS, BODY)
            # The first is gone, the third is in use, and the second was used again.
            assert [*sender._pools] == [url[:-1] for url in urls[2:0:-1]]
            nursery.cancel_scope.cancel()
