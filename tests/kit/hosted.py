"""Tests that cross to asyncio: trio as the guest of a uvloop host, as in production.

    pytestmark = pytest.mark.trio(run=hosted_run)

An autojump clock does not mix with bridged calls: trio sees nothing to do while the host works, and
jumps. Hypothesis tests call `hosted_run` themselves, as pytest-trio gives those `trio.run`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import outcome
import trio
import uvloop

from actors.operations.guest import start_guest

T = TypeVar("T")


def hosted_run(
    fn: Callable[[], Awaitable[T]],
    clock: trio.abc.Clock | None = None,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> T:
    """Run `fn()` in trio on a new uvloop. Returns its value or raises its error, as `trio.run` does."""
    loop = uvloop.new_event_loop()

    async def host() -> T:
        finished: asyncio.Future[outcome.Outcome[T]] = loop.create_future()
        start_guest(loop, fn, finished.set_result, clock=clock, instruments=instruments)
        return (await finished).unwrap()

    value = loop.run_until_complete(host())
    # Not after an error: the loop would wait for ever for connections that a failed test has left open.
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    return value
