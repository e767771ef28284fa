"""The security log's buffer: request handlers note events without waiting, an actor writes them.

Bounds: at most `MAX_EVENTS` different (kind, tenant, user, API key) wait. A repeated event adds to the `times`
of the waiting one; events beyond the bound are dropped and counted. While storage is away, events keep waiting.
At a stop, waiting events are written once more, for at most `STOP_S`.
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
WRITE_EVENTS: Final = 1_000  # events in one transaction
KEY_USED_INTERVAL_S: Final = 3600.0
MAX_KEYS: Final = 10_000
STOP_S: Final = 2.0

_Key = tuple[str, int, int | None, int | None]

DROPPED_EVENTS: Final = Metric(
    "waypost_security_events_dropped_total",
    "Security events dropped, as too many waited to be written",
)


def _now() -> datetime:
    return datetime.now(UTC)


class BufferedSecurityLog:
    """SecurityLog over a store. `key.used` is noted once an hour for each API key."""

    def __init__(self, store: SecurityStore, now: Callable[[], datetime] = _now) -> None:
        self._store = store
        self._now = now
        self._waiting: dict[_Key, SecurityEvent] = {}
        self._key_used_s: OrderedDict[int, float] = OrderedDict()
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
        if kind == "key.used" and not self._is_due(key_id or 0):
            return
        key = (kind, tenant_id, user_id, key_id)
        earlier = self._waiting.get(key)
        if earlier is not None:
            self._waiting[key] = earlier._replace(times=earlier.times + 1)
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
            with trio.move_on_after(STOP_S, shield=True):
                await self.flush()

    async def flush(self) -> None:
        """Write the waiting events. Events keep waiting if storage is unavailable."""
        keys = list(self._waiting)
        for start in range(0, len(keys), WRITE_EVENTS):
            batch = {key: self._waiting.pop(key) for key in keys[start : start + WRITE_EVENTS]}
            try:
                await self._store.write(list(batch.values()))
            except UnavailableError:
                self._put_back(batch)
                return
            except BaseException:
                self._put_back(batch)
                raise

    def _put_back(self, batch: dict[_Key, SecurityEvent]) -> None:
        """Let a batch wait again. Events noted meanwhile add to the `times` of earlier ones."""
        newer, self._waiting = self._waiting, batch
        for key, event in newer.items():
            earlier = self._waiting.get(key)
            if earlier is not None:
                self._waiting[key] = earlier._replace(times=earlier.times + event.times)
            elif len(self._waiting) < MAX_EVENTS:
                self._waiting[key] = event
            else:
                self.dropped += event.times

    def _is_due(self, key_id: int) -> bool:
        now = trio.current_time()
        if key_id in self._key_used_s and now < self._key_used_s[key_id] + KEY_USED_INTERVAL_S:
            return False
        self._key_used_s.pop(key_id, None)
        self._key_used_s[key_id] = now
        if len(self._key_used_s) > MAX_KEYS:
            self._key_used_s.popitem(last=False)
        return True
