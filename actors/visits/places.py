"""Refresh of places: a replaced geo file is in use a few seconds later."""

from collections.abc import Callable
from typing import Final

import trio

from engine.visits.ports import PlaceLookup

INTERVAL_S: Final = 2.0


async def watch_places(places: PlaceLookup, changed: Callable[[], None]) -> None:
    """Refresh the geo file at an interval, for ever, and call `changed` when places may differ."""
    while True:
        if await places.refresh():
            changed()
        await trio.sleep(INTERVAL_S)
