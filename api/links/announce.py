"""After a change has been committed, say so, without making its answer wait for that."""

from collections.abc import Sequence
from typing import Final

import trio

from engine.links.profile import ProfileChange
from engine.visits.ports import Announcer

LIMIT_S: Final = 0.1


async def announce(announcer: Announcer, changes: Sequence[ProfileChange]) -> None:
    """Takes `LIMIT_S` at most; edges find by polling what was not announced.

    Shielded: a client that hangs up right after its change must not keep the news from the edges.
    """
    with trio.move_on_after(LIMIT_S, shield=True):
        await announcer.announce(changes)
