"""Uses of keys and sessions: stored in bulk, off the answers' path, bounded."""

from collections.abc import Sequence

import pytest
import trio

from actors.accounts import last_used
from actors.accounts.last_used import LastUsed
from engine.accounts.access import Caller
from engine.common.errors import UnavailableError
from storage.accounts.memory_keys import MemoryApiKeyStore


class KeptUses(MemoryApiKeyStore):
    """Keeps what is noted; raises while `away`."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[list[int], list[int]]] = []
        self.away = False

    async def record_last_used(self, keys: Sequence[int], sessions: Sequence[int]) -> None:
        if self.away:
            raise UnavailableError("Postgres does not answer")
        self.noted.append((sorted(keys), sorted(sessions)))


ADA = Caller(1, 1)
KEY = ADA._replace(key_id=7)


async def test_many_uses_are_stored_together(autojump_clock: object) -> None:
    store = KeptUses()
    noted = LastUsed(store)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(noted.run)
        for _ in range(100):
            noted.note(KEY)
            noted.note(ADA, 9)
        assert store.noted == []
        await trio.sleep(last_used.EVERY_S * 3.5)
        assert store.noted == [([7], [9])]
        noted.note(KEY._replace(key_id=8))
        await trio.sleep(last_used.EVERY_S)
        assert store.noted[1:] == [([8], [])]
        nursery.cancel_scope.cancel()


async def test_no_more_than_the_bound_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_used, "MAX_NOTED", 2)
    store = KeptUses()
    noted = LastUsed(store)
    for key_id in (1, 2, 3, 1, 2):
        noted.note(KEY._replace(key_id=key_id))
    assert (noted.waiting, noted.dropped) == (2, 1)
    await noted.store()
    assert store.noted == [([1, 2], [])]


async def test_while_storage_is_away_uses_are_given_up() -> None:
    store = KeptUses()
    noted = LastUsed(store)
    store.away = True
    noted.note(KEY)
    await noted.store()
    assert (noted.waiting, noted.dropped) == (0, 1)
    store.away = False
    await noted.store()
    assert store.noted == []
