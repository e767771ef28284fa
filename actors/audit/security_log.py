"""The security log's buffer: doors note events without waiting, a child of a supervisor writes them.

Bounds: `MAX_EVENTS` different (kind, tenant, user, key) wait at most. The same again is counted in
`times`; what comes beyond the bound is dropped, and counted. While storage is away all is kept for the
next try. At a stop, what waits is written once more, for `LAST_S` at most.
"""

from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import trio

from engine.accounts.access import Caller
from engine.audit.ports import SecurityStore
from engine.audit.security_event import NO_TENANT, SecurityEvent, SecurityEventKind, redact_detail
from engine.common.errors import UnavailableError
from engine.operations.metrics import Metric, Sample

FLUSH_S: Final = 1.0
MAX_EVENTS: Final = 10_000
MAX_WRITE: Final = 1_000  # events in one transaction
KEY_USED_S: Final = 3600.0
MAX_KEYS: Final = 10_000
LAST_S: Final = 2.0

_Key = tuple[str, int, int | None, int | None]

DROPPED_EVENTS: Final = Metric(
    "waypost_security_events_dropped_total",
    "Security events dropped, as too many waited to be written",
)


def _now() -> datetime:
    return datetime.now(UTC)


class BufferedSecurityLog:
    """SecurityLog over a store. `key.used` is noted once an hour for each key."""

    def __init__(self, store: SecurityStore, now: Callable[[], datetime] = _now) -> None:
        self._store = store
        self._now = now
        self._waiting: dict[_Key, SecurityEvent] = {}
        self._used: OrderedDict[int, float] = OrderedDict()
        self.dropped = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def samples(self) -> list[Sample]:
        return [DROPPED_EVENTS.sample(self.dropped)]

    def note(
        self, kind: SecurityEventKind, caller: Caller | None, request_id: str, **detail: str | int
    ) -> None:
        tenant_id, user_id, key_id = NO_TENANT, None, None
        if caller is not None:
            tenant_id, user_id, key_id = caller.tenant_id, caller.user_id, caller.key_id
        if kind == "key.used" and not self._is_news(key_id or 0):
            return
        key = (kind, tenant_id, user_id, key_id)
        known = self._waiting.get(key)
        if known is not None:
            self._waiting[key] = known._replace(times=known.times + 1)
        elif len(self._waiting) < MAX_EVENTS:
            self._waiting[key] = SecurityEvent(
                *key, request_id, self._now(), 1, redact_detail(detail)
            )
        else:
            self.dropped += 1

    async def run(self) -> None:
        try:
            while True:
                await trio.sleep(FLUSH_S)
                await self.flush()
        finally:
            with trio.move_on_after(LAST_S, shield=True):
                await self.flush()

    async def flush(self) -> None:
        """Write what waits; what cannot be written now goes on waiting."""
        keys = list(self._waiting)
        for start in range(0, len(keys), MAX_WRITE):
            taken = {key: self._waiting.pop(key) for key in keys[start : start + MAX_WRITE]}
            try:
                await self._store.write(list(taken.values()))
            except UnavailableError:
                self._put_back(taken)
                return
            except BaseException:
                self._put_back(taken)
                raise

    def _put_back(self, taken: dict[_Key, SecurityEvent]) -> None:
        """What was noted meanwhile adds to the times of the earlier one."""
        newer, self._waiting = self._waiting, taken
        for key, event in newer.items():
            known = self._waiting.get(key)
            if known is not None:
                self._waiting[key] = known._replace(times=known.times + event.times)
            elif len(self._waiting) < MAX_EVENTS:
                self._waiting[key] = event
            else:
                self.dropped += event.times

    def _is_news(self, key_id: int) -> bool:
        now = trio.current_time()
        if key_id in self._used and now < self._used[key_id] + KEY_USED_S:
            return False
        self._used.pop(key_id, None)
        self._used[key_id] = now
        if len(self._used) > MAX_KEYS:
            self._used.popitem(last=False)
        return True
