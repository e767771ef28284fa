"""Items that members keep for dashboards, in Postgres: annotations and saved questions."""

from collections.abc import Sequence
from typing import Any, Generic

from engine.accounts.access import Action, Caller
from engine.common.drafts import Change, draft_after
from engine.common.errors import NotFoundError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.common.versions import require_version
from storage.accounts.access import MAX_ID, enter_profile, validate_id
from storage.accounts.members import lock_team
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.postgres.idempotency import run_once
from storage.stats.dashboards.item_kinds import Draft, Item, ItemKind


class PostgresItemStore(Generic[Draft, Item]):
    """DashboardItemStore of one kind, over a database that was opened as waypost_app."""

    def __init__(self, database: Database, kind: ItemKind[Draft, Item]) -> None:
        self._database = database
        self._kind = kind
        self._sql = queries.load(f"stats/dashboards/{kind.table}")

    async def create(
        self,
        caller: Caller,
        profile_id: int,
        draft: Draft,
        once: IdempotentRequest[Any] | None = None,
    ) -> Item:
        async def work(connection: Connection) -> Item:
            # The lock serialises creates, so that the limit holds.
            access = await lock_team(connection, caller, profile_id, Action.EDIT)
            if await connection.fetchval(self._sql["count"], *access[:2]) >= self._kind.limit:
                raise self._kind.limit_error
            values = caller.user_id, *self._kind.values(draft)
            return self._item(await connection.fetchrow(self._sql["create"], *access[:2], *values))

        return await self._database.transaction(run_once(caller, once, work), caller=caller)

    async def list_items(self, caller: Caller, profile_id: int, after: int, limit: int) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            access = await enter_profile(connection, caller, profile_id, Action.READ)
            key = *access[:2], min(after, MAX_ID)
            rows = await connection.fetch(self._sql["list"], *key, limit + 1)
            return ListPage.of([self._item(row) for row in rows], limit)

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def item(self, caller: Caller, profile_id: int, item_id: int) -> Item:
        async def work(connection: Connection) -> Item:
            access = await enter_profile(connection, caller, profile_id, Action.READ)
            key = *access[:2], validate_id(item_id, self._kind.noun)
            return self._item(await connection.fetchrow(self._sql["item"], *key))

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def update(
        self,
        caller: Caller,
        profile_id: int,
        item_id: int,
        draft: Change[Any, Any],
        if_version: int | None = None,
    ) -> Item:
        async def work(connection: Connection) -> Item:
            key, stored = await self._lock(connection, caller, profile_id, item_id, if_version)
            values = self._kind.values(draft_after(draft, stored))
            if values == self._kind.values(stored):
                return stored
            return self._item(await connection.fetchrow(self._sql["update"], *key, *values))

        return await self._database.transaction(work, caller=caller)

    async def delete(
        self, caller: Caller, profile_id: int, item_id: int, if_version: int | None = None
    ) -> None:
        async def work(connection: Connection) -> None:
            key, _ = await self._lock(connection, caller, profile_id, item_id, if_version)
            await connection.execute(self._sql["delete"], *key)

        await self._database.transaction(work, caller=caller)

    async def all_of(self, tenant_id: int, profile_id: int) -> Sequence[Item]:
        async def work(connection: Connection) -> list[Item]:
            key = tenant_id, profile_id, 0
            rows = await connection.fetch(self._sql["list"], *key, self._kind.limit)
            return [self._item(row) for row in rows]

        return await self._database.transaction(work, caller=Caller(tenant_id, 0), read_only=True)

    async def _lock(
        self,
        connection: Connection,
        caller: Caller,
        profile_id: int,
        item_id: int,
        if_version: int | None,
    ) -> tuple[tuple[int, int, int], Item]:
        """Lock an item that the caller may change. Returns its key and the item."""
        access = await enter_profile(connection, caller, profile_id, Action.EDIT)
        key = access.tenant_id, profile_id, validate_id(item_id, self._kind.noun)
        item: Any = self._item(await connection.fetchrow(self._sql["lock"], *key))
        require_version(item.version, if_version)
        return key, item

    def _item(self, row: Any) -> Item:
        if row is None:
            raise NotFoundError.of(self._kind.noun)
        return self._kind.item(**dict(row))
