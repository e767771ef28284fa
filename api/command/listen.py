"""`waypost webhooks listen`: a webhook receiver for development, which verifies and prints requests."""

import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

import click
import msgspec
import trio

from actors.operations.runtime import Stop
from api.command.servers import run_until_stopped
from api.processes.sockets import listen as bind
from api.processes.sockets import url_of
from api.webhooks.receiver import ReceivedRequest, WebhookReceiver
from engine.common.errors import StoppedError, WaypostError
from engine.webhooks.signature import HMAC_PREFIX, PUBLIC_PREFIX, SignatureError, sign

CHECKED_ID: Final = "a"


def validate_secrets(secrets: Sequence[str]) -> None:
    """Raise WaypostError for a secret that cannot verify anything."""
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
    """Receive `count` requests (0: no limit). Returns the number refused.

    Raises StoppedError when it is stopped before, WaypostError for a wrong secret or a port in use.
    """
    validate_secrets(secrets)
    (socket,) = bind(host, port, 1, "webhooks")
    received_count = refused = 0

    def print_request(received: ReceivedRequest) -> None:
        nonlocal received_count, refused
        refused += bool(received.problem)
        received_count += 1
        click.echo(text_of(received, bool(secrets)))
        if received_count == count:
            enough.set()

    enough = trio.Event()
    receiver = WebhookReceiver(secrets, time.time, print_request, status)
    click.echo(
        f"listening on {url_of(socket)}; the engine needs WAYPOST_WEBHOOK_LOOPBACK=1 to send here"
    )
    if not secrets:
        click.echo("without --secret, no request is verified")
    streams = trio.SocketListener(trio.socket.from_stdlib_socket(socket))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(trio.serve_listeners, receiver.serve, [streams]))
        await run_until_stopped(enough.wait, stop)
        await trio.sleep(0.05)  # The last response is still in flight.
        nursery.cancel_scope.cancel()
    if not enough.is_set():
        raise StoppedError(f"stopped after {received_count} requests, {refused} refused")
    return refused


def text_of(received: ReceivedRequest, has_secrets: bool) -> str:
    """Return a line with time, type, id and result of the request, and its body below."""
    result = "verified" if received.verified else "not verified"
    if received.problem:
        result = f"REFUSED: {received.problem}"
    elif not has_secrets:
        result = "not verified"
    time_text = datetime.now().astimezone().strftime("%H:%M:%S")
    line = " ".join(
        part for part in (time_text, received.type or "?", received.id or "?", result) if part
    )
    return f"{line}\n{_pretty(received.body)}" if received.body else line


def _pretty(body: bytes) -> str:
    """Return JSON indented, with control characters escaped; another body as a bytes literal."""
    try:
        return msgspec.json.format(
            msgspec.json.encode(msgspec.json.decode(body)), indent=2
        ).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return repr(body[:1000])
