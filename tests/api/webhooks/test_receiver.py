"""The receiver for development: what it takes, what it refuses, and what it survives."""

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
    def __init__(self, *secrets: str) -> None:
        self.received: list[ReceivedRequest] = []
        self.receiver = WebhookReceiver(secrets, lambda: AT, self.received.append)

    async def answered(self, *requests: bytes) -> list[bytes]:
        """Status lines to what one connection sends."""
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


def request(
    secret: str = SECRET, body: bytes = BODY, method: bytes = b"POST", **more: str
) -> bytes:
    sent = headers([secret], "evt_1", AT, body) | more | {"content-length": str(len(body))}
    fields = "".join(f"{name}: {value}\r\n" for name, value in sent.items()).encode()
    return method + b" /hook HTTP/1.1\r\nhost: x\r\n" + fields + b"\r\n" + body


async def test_what_is_signed_is_taken_one_after_the_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    heard = Heard(OTHER, SECRET)
    assert await heard.answered(request(), request()) == [b"HTTP/1.1 204 "] * 2
    assert heard.received == [ReceivedRequest("evt_1", "link.created", True, "", BODY)] * 2


@pytest.mark.parametrize("secret", [OTHER, PRIVATE])
async def test_what_is_not_is_refused(secret: str, autojump_clock: trio.testing.MockClock) -> None:
    heard = Heard(SECRET)
    assert await heard.answered(request(secret)) == [b"HTTP/1.1 401 "]
    (one,) = heard.received
    assert (one.verified, one.problem) == (False, "no v1 signature matches")


async def test_public_keys_verify_too(autojump_clock: trio.testing.MockClock) -> None:
    heard = Heard(PUBLIC)
    assert await heard.answered(request(PRIVATE)) == [b"HTTP/1.1 204 "]
    assert heard.received[0].verified


async def test_without_secrets_nothing_is_verified(
    autojump_clock: trio.testing.MockClock,
) -> None:
    heard = Heard()
    assert await heard.answered(request(OTHER)) == [b"HTTP/1.1 204 "]
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
async def test_what_else_may_come(
    data: bytes, status: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    heard = Heard(SECRET)
    (line,) = await heard.answered(data)
    assert line.split()[1] == status
    assert all(text.isprintable() for text in heard.received[0][:2])
    assert text_of(heard.received[0], has_secrets=True)


async def test_who_says_nothing_is_left(autojump_clock: trio.testing.MockClock) -> None:
    async with connected(Heard().receiver) as client:
        assert await client.receive_some() == b""


def test_a_terminal_gets_no_control_characters() -> None:
    assert printable("a\x1b[2J\u202eb\n") == "a�[2J�b�"


@pytest.mark.slow
def test_the_command_verifies_prints_and_ends() -> None:
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

        sent = headers([SECRET], "evt_1", int(time.time()), BODY)
        urllib.request.urlopen(urllib.request.Request(url, BODY, sent)).close()
        text = process.stdout.read()
    assert process.returncode == 0
    assert "link.created evt_1 verified" in text
    assert '"type": "link.created"' in text


@pytest.mark.slow
@pytest.mark.parametrize("secret", ["hunter2", "whsec_", "whpk_!"])
def test_a_secret_that_is_none_is_said_in_one_line(secret: str) -> None:
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
