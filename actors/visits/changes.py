"""Changes of profiles as an edge receives them: announcements, and polling for lost ones."""

import logging
from collections.abc import Callable, Iterable
from typing import Final

import trio

from engine.common.errors import UnavailableError
from engine.links.profile import ProfileChange
from engine.operations.metrics import Metric, Sample
from engine.visits.ports import Announcer, SnapshotSource

logger = logging.getLogger("waypost.changes")

_RETRY_S: Final = 0.5

PROFILE_RELOADS: Final = Metric(
    "waypost_profile_reloads_total",
    "Times that an edge loaded every profile anew, as Postgres had gone back or had too many changes",
)


async def follow_announcements(
    announcer: Announcer, changed: Callable[[Iterable[ProfileChange] | None], None]
) -> None:
    """Pass every announced change to `changed`, for ever; the announcer reconnects by itself."""
    async with announcer.listen() as changes:
        async for change in changes:
            changed([change])


class ChangePoller:
    """Reads changes from storage at an interval, so that edges show them within a second even without
    announcements."""

    def __init__(self, source: SnapshotSource, interval_s: float) -> None:
        self._source = source
        self._interval_s = interval_s
        self.polls = 0
        self.failures = 0
        self.reloads = 0
        self.last_error = ""

    async def run(self, changed: Callable[[Iterable[ProfileChange] | None], None]) -> None:
        """Pass changes to `changed`, for ever; None: too many to list."""
        cursor: str | None = None
        while True:
            try:
                changes, cursor = await self._source.changes(cursor)
                self.polls += 1
                self.last_error = ""
            except UnavailableError as error:
                self.failures += 1
                self.last_error = str(error)
                await trio.sleep(_RETRY_S)
                continue
            if changes is None:
                self.reloads += 1
                logger.warning(
                    "Postgres has another history than before (a failover, a restored backup), or more changes "
                    "than can be listed: every profile is loaded anew",
                    extra={"event": "profiles_reloaded"},
                )
            if changes is None or changes:
                changed(changes)
            await trio.sleep(self._interval_s)

    def samples(self) -> list[Sample]:
        return [PROFILE_RELOADS.sample(self.reloads)]
