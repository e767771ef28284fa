"""The one crossing between trio, which structures everything here, and asyncio, which the drivers need.

uvloop's event loop is the host and trio its guest, in the same thread (see `actors.operations.runtime`). A
crossing costs about 130 µs, so callers cross once a batch or a transaction, never once a click.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

import outcome
import trio

P = ParamSpec("P")
T = TypeVar("T")


async def in_asyncio(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `await function(*args, **kwargs)` as a task of the host loop and wait for it in trio.

    Values and errors come back as they are. Cancelling the trio side cancels the asyncio task and waits
    until that has finished, so that nothing the task owns (a connection, a transaction) outlives the
    call; if the task completes all the same, its value is delivered. An `asyncio.CancelledError` that
    trio did not ask for becomes a RuntimeError: it would otherwise look like trio's own cancellation.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    trio_task = trio.lowlevel.current_task()
    token = trio.lowlevel.current_trio_token()
    raise_cancel: Callable[[], Any] | None = None

    async def run() -> T:
        return await function(*args, **kwargs)

    host_task = asyncio.get_running_loop().create_task(run())

    def finish() -> None:
        result: outcome.Outcome[T]
        if host_task.cancelled():
            if raise_cancel is not None:
                result = outcome.capture(raise_cancel)
            else:
                result = outcome.Error(RuntimeError("a bridged asyncio task was cancelled"))
        elif (error := host_task.exception()) is not None:
            result = outcome.Error(error)
        else:
            result = outcome.Value(host_task.result())
        trio.lowlevel.reschedule(trio_task, result)

    def done(_: asyncio.Task[T]) -> None:
        try:
            token.run_sync_soon(finish)
        except trio.RunFinishedError:
            pass

    def abort(raise_cancelled: Callable[[], Any]) -> trio.lowlevel.Abort:
        nonlocal raise_cancel
        raise_cancel = raise_cancelled
        host_task.cancel()
        return trio.lowlevel.Abort.FAILED

    host_task.add_done_callback(done)
    return await trio.lowlevel.wait_task_rescheduled(abort)  # type: ignore[no-any-return]
