"""Addresses that visitors leave in the forms of pages, in Postgres."""

from typing import Final

from engine.accounts.access import Action, Caller
from engine.common.errors import NotFoundError
from engine.common.list_page import ListPage
from engine.pages.subscriber import Subscriber
from storage.accounts.access import MAX_ID, enter_profile
from storage.postgres import queries
from storage.postgres.database import Connection, Database

SQL: Final = queries.load("pages/subscribers")


class PostgresSubscriberStore:
    """SubscriberStore over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_subscribers(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            action = Action.MANAGE_SUBSCRIBERS
            access = await enter_profile(connection, caller, profile_id, action)
            key = access.tenant_id, profile_id, min(after, MAX_ID)
            rows = await connection.fetch(SQL["subscribers"], *key, limit + 1)
            return ListPage.of([Subscriber(**row) for row in rows], limit)

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def delete_subscriber(self, caller: Caller, profile_id: int, subscriber_id: int) -> None:
        async def work(connection: Connection) -> None:
            action = Action.MANAGE_SUBSCRIBERS
            access = await enter_profile(connection, caller, profile_id, action)
            key = access.tenant_id, profile_id, min(subscriber_id, MAX_ID)
            if await connection.execute(SQL["delete"], *key) != "DELETE 1":
                raise NotFoundError.of("subscriber")

        await self._database.transaction(work, caller=caller)


class PostgresSubscriptions:
    """SubscriptionSink over a database that was opened as waypost_edge."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def subscribe(self, tenant_id: int, profile_id: int, block: str, email: str) -> bool:
        async def work(connection: Connection) -> bool:
            key = tenant_id, profile_id, block, email
            return bool(await connection.fetchval(SQL["subscribe"], *key))

        return await self._database.transaction(work)
