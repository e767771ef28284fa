"""Work that is repeated every few seconds and needs no queue."""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from engine.common.errors import UnavailableError

_RETRY_S: Final = 2.0


async def run_every(interval_s: float, work: Callable[[], Awaitable[object]]) -> None:
    """Do `work` at once and `interval_s` after each end, or _RETRY_S after an UnavailableError."""
    while True:
        try:
            await work()
        except UnavailableError:
            await trio.sleep(_RETRY_S)
        else:
            await trio.sleep(interval_s)
