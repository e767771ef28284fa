"""When keys and sessions were last used: noted in memory as requests come, stored in bulk now and then.

Bounds: `MAX_NOTED` ids wait at most, what comes beyond them until the next `EVERY_S` is not noted, and
counted. While storage is away nothing is kept for later: the next use says it all again.
"""

from typing import Final

import trio

from engine.accounts.access import Caller
from engine.accounts.ports import ApiKeyStore
from engine.common.errors import UnavailableError
from engine.operations.metrics import Metric, Sample

EVERY_S: Final = 5.0
MAX_NOTED: Final = 10_000

DROPPED_USES: Final = Metric(
    "waypost_last_used_dropped_total",
    "Requests missing in last_used_at of their API key or session, as too many waited",
)


class LastUsed:
    """`note` costs a set's insertion; `run` stores, as a child of a supervisor."""

    def __init__(self, store: ApiKeyStore) -> None:
        self._store = store
        self._keys: set[int] = set()
        self._sessions: set[int] = set()
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Keys and sessions whose use is noted and not stored yet."""
        return len(self._keys) + len(self._sessions)

    def samples(self) -> list[Sample]:
        return [DROPPED_USES.sample(self.dropped)]

    def note(self, caller: Caller, session_id: int = 0) -> None:
        """A request of the caller's, by their key or this session."""
        noted, id_ = (self._sessions, session_id)
        if caller.key_id is not None:
            noted, id_ = (self._keys, caller.key_id)
        if len(noted) < MAX_NOTED:
            noted.add(id_)
        elif id_ not in noted:
            self.dropped += 1

    async def run(self) -> None:
        while True:
            await trio.sleep(EVERY_S)
            await self.store()

    async def store(self) -> None:
        """Store what has been noted since the last time."""
        keys, self._keys = self._keys, set()
        sessions, self._sessions = self._sessions, set()
        if not keys and not sessions:
            return
        try:
            await self._store.record_last_used(list(keys), list(sessions))
        except UnavailableError:
            self.dropped += len(keys) + len(sessions)
