"""`waypost webhooks listen`: a receiver on this machine that verifies and prints, for development."""

import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

import click
import msgspec
import trio

from actors.operations.runtime import Stop
from api.processes.sockets import listen as bind
from api.processes.sockets import url_of
from api.webhooks.listener import Received, WebhookListener
from engine.common.errors import WaypostError
from engine.webhooks.signature import HMAC_PREFIX, PUBLIC_PREFIX, SignatureError, sign

CHECKED_ID: Final = "a"


def validate_secrets(secrets: Sequence[str]) -> None:
    """Raises WaypostError for what can verify nothing."""
    for secret in secrets:
        if not secret.startswith((HMAC_PREFIX, PUBLIC_PREFIX)):
            raise WaypostError(f"--secret must start with {HMAC_PREFIX} or {PUBLIC_PREFIX}")
        try:
            sign(HMAC_PREFIX + secret.partition("_")[2], CHECKED_ID, 0, b"")
        except SignatureError as error:
            raise WaypostError(f"--secret: {error}") from None


async def listen(
    stop: Stop, host: str, port: int, secrets: Sequence[str], count: int, status: int
) -> int:
    """Until `stop` is asked for, or `count` requests have come (0: any number); how many were not right."""
    validate_secrets(secrets)
    (found,) = bind(host, port, 1, "webhooks")
    wrong = 0
    left = count

    def say(received: Received) -> None:
        nonlocal wrong, left
        wrong += bool(received.problem)
        left -= 1
        click.echo(shown(received, bool(secrets)))
        if count and not left:
            stop.request()

    listener = WebhookListener(secrets, time.time, say, status)
    click.echo(
        f"listening on {url_of(found)}; the engine needs WAYPOST_WEBHOOK_LOOPBACK=1 to send here"
    )
    if not secrets:
        click.echo("without --secret nothing is verified")
    streams = trio.SocketListener(trio.socket.from_stdlib_socket(found))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(trio.serve_listeners, listener.serve, [streams]))
        await stop.wait()
        await trio.sleep(0.05)  # the last answer is still on its way
        nursery.cancel_scope.cancel()
    return wrong


def shown(received: Received, has_secrets: bool) -> str:
    """A line that says what came, and the body."""
    verdict = "verified" if received.verified else "not verified"
    if received.problem:
        verdict = f"REFUSED: {received.problem}"
    elif not has_secrets:
        verdict = "not verified"
    at = datetime.now().astimezone().strftime("%H:%M:%S")
    line = " ".join(
        part for part in (at, received.type or "?", received.id or "?", verdict) if part
    )
    return f"{line}\n{_pretty(received.body)}" if received.body else line


def _pretty(body: bytes) -> str:
    """JSON, indented; control characters are escaped in it. Anything else as Python writes bytes."""
    try:
        return msgspec.json.format(
            msgspec.json.encode(msgspec.json.decode(body)), indent=2
        ).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return repr(body[:1000])
