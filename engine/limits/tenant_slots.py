"""Slots for long work, such as exports: a number at once in the process, and a smaller one of each tenant."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from engine.common.errors import TooSoonError, UnavailableError

RETRY_AFTER_S: Final = 10.0


class TenantSlots:
    """`total` slots, of which one tenant takes `each` at most. `work` is its name for errors, a plural."""

    def __init__(self, work: str, *, total: int, each: int) -> None:
        self._work = work
        self._total = total
        self._each = each
        self._taken: Counter[int] = Counter()

    def admit(self, tenant_id: int) -> None:
        """Raise TooSoonError if the tenant has no slot left, UnavailableError if the process has none."""
        if self._taken[tenant_id] >= self._each:
            raise TooSoonError(
                f"{self._each} of this tenant's {self._work} are running; try again when they have ended",
                RETRY_AFTER_S,
            )
        if self._taken.total() >= self._total:
            raise UnavailableError(f"{self._total} {self._work} are running; try again later")

    @contextmanager
    def taken(self, tenant_id: int) -> Iterator[None]:
        """Take a slot for the block. Raises what admit() raises."""
        self.admit(tenant_id)
        self._taken[tenant_id] += 1
        try:
            yield
        finally:
            self._taken[tenant_id] -= 1
            if not self._taken[tenant_id]:
                del self._taken[tenant_id]
