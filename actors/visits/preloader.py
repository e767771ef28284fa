"""The preloader: loads the links of a large profile ahead of its visitors, once many of them are looked up.

A profile of more than MAX_WHOLE_LINKS links comes link by link, and each costs its first visitor a wait. When
MIN_LOOKUPS of its links were looked up within a second, the preloader reads the next ones in the order of their
ids. What it reads is bounded: for each link looked up PRELOADED_PER_LINK at most, so that a caller who tries
links out gains little memory by it; MAX_LINKS_A_QUERY a query, one query at a time, the profiles in turn. And
it makes nobody wait: the registry refuses links beyond its room, so no profile is passivated for them.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

import trio

from actors.visits.profile import ProfileActor
from engine.common.errors import UnavailableError
from engine.visits.ports import SnapshotSource
from engine.visits.snapshot import LinkBatch

MIN_LOOKUPS: Final = 16
WINDOW_S: Final = 1.0
PRELOADED_PER_LINK: Final = 4
MAX_LINKS_A_QUERY: Final = 500
MAX_PROFILES: Final = 1000
PRELOAD_INTERVAL_S: Final = 0.005
_RETRY_S: Final = 0.1


class _Progress:
    """How far the links of one profile are loaded, and how many more may be."""

    __slots__ = ("actor", "after", "budget", "finished", "lookups", "queued", "since")

    def __init__(self, actor: ProfileActor, now: float) -> None:
        self.actor = actor
        self.after = 0  # the id of the last link loaded ahead
        self.lookups = 0  # links looked up since `since`
        self.since = now
        self.budget = 0  # links that may be read ahead
        self.finished = False
        self.queued = False


class Preloader:
    """Loads links ahead. `room(actor)` is how many more links of the profile the registry takes;
    `admit(actor, batch)` gives them to it and returns False if they are not of the actor's version."""

    def __init__(
        self,
        source: SnapshotSource,
        room: Callable[[ProfileActor], int],
        admit: Callable[[ProfileActor, LinkBatch], bool],
    ) -> None:
        self._source = source
        self._room = room
        self._admit = admit
        self._profiles: dict[int, _Progress] = {}
        self._queue: deque[_Progress] = deque()
        self._wanted = trio.Event()

    def looked_up(self, actor: ProfileActor, links: int) -> None:
        """Take note that visitors had to wait for so many links of a large profile."""
        now = trio.current_time()
        progress = self._profiles.get(actor.profile_id)
        if progress is None or progress.actor is not actor:
            if len(self._profiles) >= MAX_PROFILES:
                self.forget(next(iter(self._profiles)))
            progress = self._profiles[actor.profile_id] = _Progress(actor, now)
        if now - progress.since > WINDOW_S:
            progress.since, progress.lookups, progress.budget = now, 0, 0
        progress.lookups += links
        if progress.finished or progress.lookups < MIN_LOOKUPS:
            return
        progress.budget += PRELOADED_PER_LINK * links
        if not progress.queued:
            self._enqueue(progress)

    def forget(self, profile_id: int) -> None:
        """Begin anew with a profile whose links have left memory."""
        self._profiles.pop(profile_id, None)

    def _enqueue(self, progress: _Progress) -> None:
        progress.queued = True
        self._queue.append(progress)
        self._wanted.set()

    async def run(self) -> None:
        """Load links ahead, for ever."""
        while True:
            while not self._queue:
                self._wanted = trio.Event()
                await self._wanted.wait()
            progress = self._queue.popleft()
            progress.queued = False
            try:
                await self._load(progress)
            except UnavailableError:
                progress.budget = 0
                await trio.sleep(_RETRY_S)
            await trio.sleep(PRELOAD_INTERVAL_S)

    async def _load(self, progress: _Progress) -> None:
        actor = progress.actor
        limit = min(progress.budget, MAX_LINKS_A_QUERY, self._room(actor))
        if limit <= 0 or self._profiles.get(actor.profile_id) is not progress:
            progress.budget = 0
            return
        progress.budget -= limit
        batch = await self._source.following_links(
            actor.tenant_id, actor.profile_id, progress.after, limit
        )
        if not batch.links:
            progress.finished = True
        elif self._admit(actor, batch):
            progress.after = batch.links[-1].id
            progress.finished = len(batch.links) < limit
        else:
            progress.budget = 0  # the actor is about to catch up; the next visits ask again
        if progress.budget and not progress.finished and not progress.queued:
            self._enqueue(progress)
