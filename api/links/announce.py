"""Announcement of a committed change to the edges, within a short time limit."""

from collections.abc import Sequence
from typing import Final

import trio

from engine.links.profile import ProfileChange
from engine.visits.ports import Announcer

LIMIT_S: Final = 0.1


async def announce(announcer: Announcer, changes: Sequence[ProfileChange]) -> None:
    """Announce the changes, for up to `LIMIT_S`. Edges find an announcement that was lost by polling.

    Shielded from cancellation, because a client may hang up right after its change.
    """
    with trio.move_on_after(LIMIT_S, shield=True):
        await announcer.announce(changes)
