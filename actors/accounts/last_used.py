"""Times of the last use of API keys and sessions: noted in memory with each request, stored in bulk.

Bounds: at most `MAX_WAITING` ids wait; further ids are dropped and counted until the next store, at most
`STORE_INTERVAL_S` later. While storage is away, uses are dropped: the next use of a key stores a newer time.
"""

from typing import Final

import trio

from engine.accounts.access import Caller
from engine.accounts.ports import ApiKeyStore
from engine.common.errors import UnavailableError
from engine.operations.metrics import Metric, Sample

STORE_INTERVAL_S: Final = 5.0
MAX_WAITING: Final = 10_000

DROPPED_USES: Final = Metric(
    "waypost_last_used_dropped_total",
    "Requests missing in last_used_at of their API key or session, as too many waited",
)


class LastUsed:
    """Actor that stores the uses which `note` adds to a set."""

    def __init__(self, store: ApiKeyStore) -> None:
        self._store = store
        self._keys: set[int] = set()
        self._sessions: set[int] = set()
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """The number of keys and sessions whose use is not stored yet."""
        return len(self._keys) + len(self._sessions)

    def samples(self) -> list[Sample]:
        return [DROPPED_USES.sample(self.dropped)]

    def note(self, caller: Caller, session_id: int = 0) -> None:
        """Note a request of the caller, by its API key or by this session."""
        ids, used_id = (self._sessions, session_id)
        if caller.key_id is not None:
            ids, used_id = (self._keys, caller.key_id)
        if len(ids) < MAX_WAITING:
            ids.add(used_id)
        elif used_id not in ids:
            self.dropped += 1

    async def run(self) -> None:
        while True:
            await trio.sleep(STORE_INTERVAL_S)
            await self.store()

    async def store(self) -> None:
        """Store the uses noted since the last store; drop them if storage is unavailable."""
        keys, self._keys = self._keys, set()
        sessions, self._sessions = self._sessions, set()
        if not keys and not sessions:
            return
        try:
            await self._store.record_last_used(list(keys), list(sessions))
        except UnavailableError:
            self.dropped += len(keys) + len(sessions)
