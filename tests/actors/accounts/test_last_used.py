"""Uses of API keys and sessions: stored in bulk, bounded, and never delaying a response."""

from collections.abc import Sequence

import pytest
import trio

from actors.accounts import last_used
from actors.accounts.last_used import LastUsed
from engine.accounts.access import Caller
from engine.common.errors import UnavailableError
from storage.accounts.memory_keys import MemoryApiKeyStore


class KeptUses(MemoryApiKeyStore):
    """A store that keeps the stored ids; raises UnavailableError while `away`."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: list[tuple[list[int], list[int]]] = []
        self.away = False

    async def record_last_used(self, keys: Sequence[int], sessions: Sequence[int]) -> None:
        if self.away:
            raise UnavailableError("Postgres does not answer")
        self.stored.append((sorted(keys), sorted(sessions)))


ADA = Caller(1, 1)
KEY = ADA._replace(key_id=7)


async def test_uses_are_stored_in_bulk(autojump_clock: object) -> None:
    store = KeptUses()
    uses = LastUsed(store)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(uses.run)
        for _ in range(100):
            uses.note(KEY)
            uses.note(ADA, 9)
        assert store.stored == []
        await trio.sleep(last_used.STORE_INTERVAL_S * 3.5)
        assert store.stored == [([7], [9])]
        uses.note(KEY._replace(key_id=8))
        await trio.sleep(last_used.STORE_INTERVAL_S)
        assert store.stored[1:] == [([8], [])]
        nursery.cancel_scope.cancel()


async def test_uses_beyond_the_bound_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_used, "MAX_WAITING", 2)
    store = KeptUses()
    uses = LastUsed(store)
    for key_id in (1, 2, 3, 1, 2):
        uses.note(KEY._replace(key_id=key_id))
    assert (uses.waiting, uses.dropped) == (2, 1)
    await uses.store()
    assert store.stored == [([1, 2], [])]


async def test_uses_are_dropped_while_storage_is_away() -> None:
    store = KeptUses()
    uses = LastUsed(store)
    store.away = True
    uses.note(KEY)
    await uses.store()
    assert (uses.waiting, uses.dropped) == (0, 1)
    store.away = False
    await uses.store()
    assert store.stored == []
