"""The webhook receiver for development: accepted, refused and malformed requests."""

import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MemoryReceiveStream, MemorySendStream

from api.command.listen import text_of
from api.webhooks.receiver import MAX_BODY_BYTES, ReceivedRequest, WebhookReceiver, printable
from engine.webhooks.signature import headers, new_key_pair, new_secret

SECRET = new_secret(b"s" * 32)
OTHER = new_secret(b"o" * 32)
PRIVATE, PUBLIC = new_key_pair(b"k" * 32)
BODY = b'{"type": "link.created", "data": {}}'
AT = 1_790_000_000


class Heard:
    """A receiver, and the requests that it reports."""

    def __init__(self, *secrets: str) -> None:
        self.received: list[ReceivedRequest] = []
        self.receiver = WebhookReceiver(secrets, lambda: AT, self.received.append)

    async def status_lines(self, *requests: bytes) -> list[bytes]:
        """Send the requests on one connection, and return the status lines of the responses."""
        async with connected(self.receiver) as client:
            for request in requests:
                await client.send_all(request)
            await client.send_eof()
            data = b"".join([chunk async for chunk in client])
        return [line for line in data.split(b"\r\n") if line.startswith(b"HTTP/")]


@asynccontextmanager
async def connected(
    receiver: WebhookReceiver,
) -> AsyncIterator[trio.StapledStream[MemorySendStream, MemoryReceiveStream]]:
    client, server = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(receiver.serve, server)
        with trio.fail_after(100):
            yield client
        await client.aclose()


def request(secret: str = SECRET, body: bytes = BODY, method: bytes = b"POST") -> bytes:
    signed = headers([secret], "evt_1", AT, body) | {"content-length": str(len(body))}
    fields = "".join(f"{name}: {value}\r\n" for name, value in signed.items()).encode()
    return method + b" /hook HTTP/1.1\r\nhost: x\r\n" + fields + b"\r\n" + body


async def test_signed_requests_are_accepted_one_after_the_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    heard = Heard(OTHER, SECRET)
    assert await heard.status_lines(request(), request()) == [b"HTTP/1.1 204 "] * 2
    assert heard.received == [ReceivedRequest("evt_1", "link.created", True, "", BODY)] * 2


@pytest.mark.parametrize("secret", [OTHER, PRIVATE])
async def test_a_request_with_another_signature_is_refused(
    secret: str, autojump_clock: trio.testing.MockClock
) -> None:
    heard = Heard(SECRET)
    assert await heard.status_lines(request(secret)) == [b"HTTP/1.1 401 "]
    (received,) = heard.received
    assert (received.verified, received.problem) == (False, "no v1 signature matches")


async def test_a_public_key_verifies(autojump_clock: trio.testing.MockClock) -> None:
    heard = Heard(PUBLIC)
    assert await heard.status_lines(request(PRIVATE)) == [b"HTTP/1.1 204 "]
    assert heard.received[0].verified


async def test_without_secrets_nothing_is_verified(
    autojump_clock: trio.testing.MockClock,
) -> None:
    heard = Heard()
    assert await heard.status_lines(request(OTHER)) == [b"HTTP/1.1 204 "]
    assert (heard.received[0].verified, heard.received[0].problem) == (False, "")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\n\r\n", b"400"),
        (request(method=b"GET"), b"405"),
        (request(body=b"x" * (MAX_BODY_BYTES + 1)), b"413"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", b"401"),
        (request(body=b"\xff\x1b[2J"), b"204"),
        (request(body=b"[" * 50_000), b"204"),
    ],
    ids=["nonsense", "no host", "get", "too long", "empty", "no json", "no end"],
)
async def test_other_requests_get_their_status(
    data: bytes, status: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    heard = Heard(SECRET)
    (line,) = await heard.status_lines(data)
    assert line.split()[1] == status
    assert all(text.isprintable() for text in heard.received[0][:2])
    assert text_of(heard.received[0], has_secrets=True)


async def test_a_silent_client_is_disconnected(autojump_clock: trio.testing.MockClock) -> None:
    async with connected(Heard().receiver) as client:
        assert await client.receive_some() == b""


def test_a_terminal_gets_no_control_characters() -> None:
    assert printable("a\x1b[2J\u202eb\n") == "a�[2J�b�"


@pytest.mark.slow
def test_the_command_verifies_prints_and_ends_after_the_count() -> None:
    command = [
        sys.executable,
        "-m",
        "api.command",
        "webhooks",
        "listen",
        "--port",
        "0",
        "--count",
        "1",
    ]
    with subprocess.Popen(
        [*command, "--secret", SECRET], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split(";")[0].removeprefix("listening on ")
        import time

        signed = headers([SECRET], "evt_1", int(time.time()), BODY)
        urllib.request.urlopen(urllib.request.Request(url, BODY, signed)).close()
        text = process.stdout.read()
    assert process.returncode == 0
    assert "link.created evt_1 verified" in text
    assert '"type": "link.created"' in text


@pytest.mark.slow
@pytest.mark.parametrize("secret", ["hunter2", "whsec_", "whpk_!"])
def test_an_invalid_secret_ends_the_command_with_one_line(secret: str) -> None:
    command = [
        sys.executable,
        "-m",
        "api.command",
        "webhooks",
        "listen",
        "--port",
        "0",
        "--secret",
        secret,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("waypost: --secret")
    assert done.stderr.count("\n") == 1
