"""Upkeep: small periodic chores that need no queue."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from engine.errors import UnavailableError

logger = logging.getLogger("waypost.upkeep")

PARTITION_INTERVAL_S: Final = 3600.0
_RETRY_S: Final = 2.0


async def keep_partitions(ensure: Callable[[int], Awaitable[int]], days_ahead: int) -> None:
    """Have partitions made ahead, every hour; a click of a day without one is kept all the same."""

    async def chore() -> None:
        if made := await ensure(days_ahead):
            logger.info("%d partitions made", made, extra={"event": "partitions_made"})

    await every(PARTITION_INTERVAL_S, chore)


async def every(interval_s: float, chore: Callable[[], Awaitable[None]]) -> None:
    """Do a chore now and each `interval_s` from then on; soon again when its server is away."""
    while True:
        try:
            await chore()
        except UnavailableError:
            await trio.sleep(_RETRY_S)
        else:
            await trio.sleep(interval_s)
