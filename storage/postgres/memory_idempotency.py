"""Idempotency keys in memory: the twin of storage.postgres.idempotency."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from engine.accounts.access import Caller
from engine.common.idempotency import (
    RETENTION,
    IdempotentRequest,
    StoredResponse,
    error_for_used_key,
)

T = TypeVar("T")


class MemoryIdempotency:
    """Stored responses of creates with an idempotency key. `now` is the clock."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._responses: dict[tuple[int, int, str], tuple[bytes, StoredResponse, datetime]] = {}

    def run_once(
        self, caller: Caller, once: IdempotentRequest[T] | None, work: Callable[[], T]
    ) -> T:
        """Run `work` once per key, as storage.postgres.idempotency.run_once does. `work` must not yield."""
        if once is None:
            return work()
        owner = caller.tenant_id, caller.user_id, once.key
        stored = self._responses.get(owner)
        if stored is not None and self._now() - stored[2] < RETENTION:
            raise error_for_used_key(stored[1], stored[0], once.request_sha256)
        result = work()
        self._responses[owner] = once.request_sha256, once.respond(result), self._now()
        return result
