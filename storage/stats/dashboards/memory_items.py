"""Items that members keep for dashboards in memory: the twin of storage.stats.dashboards.items."""

import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Generic

import msgspec
import trio

from engine.accounts.access import Action, Caller
from engine.common.drafts import Change, draft_after
from engine.common.errors import NotFoundError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.common.versions import require_version
from storage.links.memory_profiles import MemoryProfiles
from storage.postgres.memory_idempotency import MemoryIdempotency
from storage.stats.dashboards.item_kinds import Draft, Item, ItemKind


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryItemStore(Generic[Draft, Item]):
    """DashboardItemStore of one kind without a server, over the profiles of another twin."""

    def __init__(
        self,
        profiles: MemoryProfiles,
        kind: ItemKind[Draft, Item],
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._profiles = profiles
        self._kind = kind
        self._now = now
        self._ids = itertools.count(1)
        self._idempotency = MemoryIdempotency(now)
        self._items: dict[tuple[int, int], Any] = {}  # (profile id, item id) → item

    async def create(
        self,
        caller: Caller,
        profile_id: int,
        draft: Draft,
        once: IdempotentRequest[Any] | None = None,
    ) -> Item:
        await trio.lowlevel.checkpoint()

        def work() -> Any:
            self._profiles.team(caller, profile_id, Action.EDIT)
            if len(self._of(profile_id)) >= self._kind.limit:
                raise self._kind.limit_error
            item_id = next(self._ids)
            item = self._kind.item(
                id=item_id, profile_id=profile_id, version=1, created_by=caller.user_id,
                created_at=self._now(), updated_at=self._now(), **msgspec.structs.asdict(draft),
            )  # fmt: skip
            self._items[profile_id, item_id] = item
            return item

        item: Item = self._idempotency.run_once(caller, once, work)
        return item

    async def list_items(self, caller: Caller, profile_id: int, after: int, limit: int) -> ListPage:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.READ)
        return ListPage.of([item for item in self._of(profile_id) if item.id > after], limit)

    async def item(self, caller: Caller, profile_id: int, item_id: int) -> Item:
        await trio.lowlevel.checkpoint()
        return self._find(caller, profile_id, item_id, Action.READ)

    async def update(
        self,
        caller: Caller,
        profile_id: int,
        item_id: int,
        draft: Change[Any, Any],
        if_version: int | None = None,
    ) -> Item:
        await trio.lowlevel.checkpoint()
        stored: Any = self._find(caller, profile_id, item_id, Action.EDIT)
        require_version(stored.version, if_version)
        changes = msgspec.structs.asdict(draft_after(draft, stored))
        changed: Item = msgspec.structs.replace(stored, **changes)
        if changed == stored:
            return changed
        changed = msgspec.structs.replace(
            changed, version=stored.version + 1, updated_at=self._now()
        )
        self._items[profile_id, item_id] = changed
        return changed

    async def delete(
        self, caller: Caller, profile_id: int, item_id: int, if_version: int | None = None
    ) -> None:
        await trio.lowlevel.checkpoint()
        stored: Any = self._find(caller, profile_id, item_id, Action.EDIT)
        require_version(stored.version, if_version)
        del self._items[profile_id, item_id]

    async def all_of(self, tenant_id: int, profile_id: int) -> Sequence[Item]:
        await trio.lowlevel.checkpoint()
        return self._of(profile_id)

    def _find(self, caller: Caller, profile_id: int, item_id: int, action: Action) -> Item:
        self._profiles.team(caller, profile_id, action)
        item: Item | None = self._items.get((profile_id, item_id))
        if item is None:
            raise NotFoundError.of(self._kind.noun)
        return item

    def _of(self, profile_id: int) -> list[Any]:
        return [item for (owner, _), item in self._items.items() if owner == profile_id]
