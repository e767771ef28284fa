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
    """What was answered to creates that named a key; `now` is the clock."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._kept: dict[tuple[int, int, str], tuple[bytes, StoredResponse, datetime]] = {}

    def only_once(
        self, caller: Caller, once: IdempotentRequest[T] | None, work: Callable[[], T]
    ) -> T:
        """As storage.postgres.idempotency.only_once; `work` has no checkpoint, so calls take turns."""
        if once is None:
            return work()
        owner = caller.tenant_id, caller.user_id, once.key
        kept = self._kept.get(owner)
        if kept is not None and self._now() - kept[2] < RETENTION:
            raise error_for_used_key(kept[1], kept[0], once.request_sha256)
        result = work()
        self._kept[owner] = once.request_sha256, once.respond(result), self._now()
        return result
