"""Upkeep: what is done every few seconds, and needs no queue."""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from engine.common.errors import UnavailableError

_RETRY_S: Final = 2.0


async def run_every(interval_s: float, chore: Callable[[], Awaitable[object]]) -> None:
    """Do a chore now and each `interval_s` from then on; soon again when its server is away."""
    while True:
        try:
            await chore()
        except UnavailableError:
            await trio.sleep(_RETRY_S)
        else:
            await trio.sleep(interval_s)
