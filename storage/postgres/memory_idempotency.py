"""Idempotency keys in memory: the twin of storage.postgres.idempotency."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from engine.accounts.access import Caller
from engine.common.idempotency import (
    RETENTION,
    IdempotentRequest,
    ResponseRow,
)

T = TypeVar("T")


class MemoryIdempotency:
    """Stored responses of creates with an idempotency key. `now` is the clock."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._responses: dict[tuple[int, int, str], tuple[ResponseRow, datetime]] = {}

    def run_once(
        self, caller: Caller, once: IdempotentRequest[T] | None, work: Callable[[], T]
    ) -> T:
        """Run `work` once per key, as storage.postgres.idempotency.run_once does. `work` must not yield."""
        if once is None:
            return work()
        self.raise_if_answered(caller, once)
        result = work()
        self._responses[caller.tenant_id, caller.user_id, once.key] = (
            once.row_of(result),
            self._now(),
        )
        return result

    def raise_if_answered(self, caller: Caller, once: IdempotentRequest[T]) -> None:
        """Raise the error for a used key, unless it is free."""
        stored = self._responses.get((caller.tenant_id, caller.user_id, once.key))
        if stored is not None and self._now() - stored[1] < RETENTION:
            raise once.error_for_used_key(stored[0])
