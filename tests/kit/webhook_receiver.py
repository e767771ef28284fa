"""Webhook receiver on the loopback, and a sender that resolves names to it."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from storage.http.sender import HttpWebhookSender

HEADERS = {"webhook-id": "evt_1", "content-type": "application/json"}
BODY = b'{"type": "link.created"}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


# For hooks.example, valid until 2100; made for this test and good for nothing else.
KEY_AND_CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg+3Ht5Xtma+zunkI2
8aBCwMLFuSaoK3OBaUulZG8JSpOhRANCAARrEL+g09DRIqT3qdqe2sxyt+uyTVsQ
6/TnT5NpI+5z1j1CTUv5ywG9Zecc62LjrL8+MBJa7w4xCpMVcXMS8P3k
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBbTCCAROgAwIBAgIBATAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA1ob29rcy5l
eGFtcGxlMCAXDTIwMDEwMTAwMDAwMFoYDzIxMDAwMTAxMDAwMDAwWjAYMRYwFAYD
VQQDDA1ob29rcy5leGFtcGxlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxC/
oNPQ0SKk96nantrMcrfrsk1bEOv050+TaSPuc9Y9Qk1L+csBvWXnHOti46y/PjAS
Wu8OMQqTFXFzEvD95KNMMEowGAYDVR0RBBEwD4INaG9va3MuZXhhbXBsZTAPBgNV
HRMBAf8EBTADAQH/MB0GA1UdDgQWBBRa5tD9xEsFUfpXNlFG+XgrVWngYTAKBggq
hkjOPQQDAgNIADBFAiAIaDAufqqWa6b0EuIpwdIH7q71frfOEaFtYGC0rzuVjwIh
AKtENOtQQ+gLoY3b1Sru67mbYZRZNhT7SyjuaZEo21J8
-----END CERTIFICATE-----
"""


class Receiver:
    """A server on the loopback that records requests and responds with `answer`."""

    def __init__(self, answer: bytes = OK, *, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.tls = tls
        self.connections = 0
        self.heads: list[bytes] = []
        self.port = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        async with stream:
            try:
                await self._serve(
                    trio.SSLStream(stream, self.tls, server_side=True) if self.tls else stream
                )
            except trio.BrokenResourceError:
                pass

    async def _serve(self, stream: trio.abc.Stream) -> None:
        while True:
            data = b""
            while not data.endswith(BODY):
                more = await stream.receive_some()
                if not more:
                    return
                data += more
            self.heads.append(data)
            if not self.answer:
                return
            await stream.send_all(self.answer)


@asynccontextmanager
async def running(receiver: Receiver) -> AsyncIterator[Receiver]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    receiver.port = listener.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, receiver.serve, [listener])
        yield receiver
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def sending(**options: Any) -> AsyncIterator[HttpWebhookSender]:
    sender = HttpWebhookSender(**options)
    try:
        with trio.fail_after(10):
            yield sender
    finally:
        await sender.close()


def names(**addresses: list[str]) -> Callable[[str, int], Awaitable[list[str]]]:
    """Return a resolver of these names; `_` stands for a full stop."""

    async def resolve(host: str, port: int) -> list[str]:
        await trio.lowlevel.checkpoint()
        return addresses[host.replace(".", "_")]

    return resolve
