"""The runtime: uvloop's asyncio loop as the host, trio as its guest, in one thread.

`run` starts every process of the engine. The first SIGTERM or SIGINT asks the trio side to drain and stop; the
second cancels it at once. `run` uses `loop.run_until_complete` instead of `asyncio.Runner`, because the latter
handles Ctrl-C itself and would end the process without trio's `finally` blocks.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import outcome
import trio
import uvloop

from actors.operations.guest import start_guest

T = TypeVar("T")


class Stop:
    """A request to stop the process: `await wait()`, or check `is_set()`."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self._scope: trio.CancelScope | None = None

    def is_set(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        await self._event.wait()

    def request(self) -> None:
        """Ask the process to drain; a second call cancels it."""
        if self._event.is_set() and self._scope is not None:
            self._scope.cancel()
        self._event.set()

    def bind(self, scope: trio.CancelScope) -> None:
        self._scope = scope


def run(main: Callable[[Stop], Awaitable[T]]) -> T:
    """Run `main(stop)` in trio on a new uvloop, and return its value or raise its error."""
    loop = uvloop.new_event_loop()
    try:
        return loop.run_until_complete(_run_host_loop(loop, main))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _run_host_loop(
    loop: asyncio.AbstractEventLoop, main: Callable[[Stop], Awaitable[T]]
) -> T:
    finished: asyncio.Future[outcome.Outcome[T]] = loop.create_future()

    async def guest() -> T:
        stop = Stop()
        token = trio.lowlevel.current_trio_token()

        def on_signal() -> None:
            try:
                token.run_sync_soon(stop.request)
            except trio.RunFinishedError:
                pass

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        try:
            with trio.CancelScope() as scope:
                stop.bind(scope)
                return await main(stop)
            raise KeyboardInterrupt
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    start_guest(loop, guest, finished.set_result)
    return (await finished).unwrap()
