"""Keeps places fresh: a geo file that was exchanged is in use a few seconds later."""

from collections.abc import Callable
from typing import Final

import trio

from engine.visits.ports import PlaceLookup

INTERVAL_S: Final = 2.0


async def watch_places(places: PlaceLookup, changed: Callable[[], None]) -> None:
    """Look again and again, and say so when places may differ."""
    while True:
        if await places.refresh():
            changed()
        await trio.sleep(INTERVAL_S)
