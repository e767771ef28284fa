"""Addresses that visitors leave in the forms of pages, in Postgres."""

from typing import Final

from engine.accounts.access import Action, Caller
from engine.common.errors import NotFoundError
from engine.common.list_page import ListPage
from engine.jobs.handler import repeatable
from engine.jobs.periodic import HOUR, MINUTE, PeriodicJob
from engine.jobs.schedule import Every
from engine.pages.subscriber import (
    UNCONFIRMED_KEPT_S,
    ConfirmOutcome,
    RequestOutcome,
    Subscriber,
    UnconfirmedAddress,
)
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

    async def request(
        self, tenant_id: int, profile_id: int, block: str, email: str
    ) -> RequestOutcome:
        key = tenant_id, profile_id, block, email
        return await self._database.transaction(
            lambda connection: connection.fetchval(SQL["request"], *key)
        )

    async def confirm(self, tenant_id: int, profile_id: int, request_id: int) -> ConfirmOutcome:
        key = tenant_id, profile_id, request_id
        return await self._database.transaction(
            lambda connection: connection.fetchval(SQL["confirm"], *key)
        )

    async def unsubscribe(self, tenant_id: int, profile_id: int, request_id: int) -> None:
        key = tenant_id, profile_id, request_id
        await self._database.transaction(
            lambda connection: connection.execute(SQL["unsubscribe"], *key)
        )

    async def token_secret(self) -> bytes:
        return await subscription_secret(self._database)


class PostgresUnconfirmedAddresses:
    """UnconfirmedAddresses over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "subscriptions.purge",
                Every(HOUR, 20 * MINUTE),
                "delete addresses of visitors who have not confirmed them",
                repeatable(self.purge),
            )
        ]

    async def unconfirmed(
        self, tenant_id: int, profile_id: int, request_id: int
    ) -> UnconfirmedAddress | None:
        async def work(connection: Connection) -> UnconfirmedAddress | None:
            key = tenant_id, profile_id, request_id
            row = await connection.fetchrow(SQL["unconfirmed"], *key)
            return None if row is None else UnconfirmedAddress(**row)

        return await self._database.transaction(work, read_only=True)

    async def token_secret(self) -> bytes:
        return await subscription_secret(self._database)

    async def purge(self) -> None:
        """Delete addresses that were not confirmed within UNCONFIRMED_KEPT_S. Raises UnavailableError."""
        await self._database.transaction(
            lambda connection: connection.execute(SQL["purge"], UNCONFIRMED_KEPT_S)
        )


async def subscription_secret(database: Database) -> bytes:
    """Return what links of mails to subscribers are signed with. Raises UnavailableError."""
    return await database.transaction(lambda connection: connection.fetchval(SQL["secret"]))
