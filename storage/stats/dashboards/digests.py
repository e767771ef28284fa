"""Digests in Postgres: members' settings, and what is due."""

from datetime import datetime
from typing import Final

from engine.accounts.access import Action, Caller, require_scope
from engine.common.json_forms import time_text
from engine.stats.dashboards.digest import (
    ATTEMPTS,
    EVENT_JOB,
    MAIL_JOB,
    QUEUE,
    Cadence,
    DigestRecipient,
    DigestSettings,
)
from storage.accounts.access import enter_profile
from storage.postgres import queries
from storage.postgres.database import Connection, Database

_SQL: Final = queries.load("stats/dashboards/digests")


class PostgresDigestSettingsStore:
    """DigestSettingsStore over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def settings(self, caller: Caller, profile_id: int) -> DigestSettings:
        async def work(connection: Connection) -> DigestSettings:
            access = await enter_profile(connection, caller, profile_id, Action.READ)
            key = *access[:2], caller.user_id
            row = await connection.fetchrow(_SQL["settings"], *key)
            return DigestSettings() if row is None else DigestSettings(**dict(row))

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def store_settings(
        self, caller: Caller, profile_id: int, settings: DigestSettings
    ) -> DigestSettings:
        async def work(connection: Connection) -> DigestSettings:
            access = await enter_profile(connection, caller, profile_id, Action.READ)
            values = settings.weekly, settings.monthly, settings.tz
            key = *access[:2], caller.user_id
            await connection.execute(_SQL["store_settings"], *key, *values)
            return settings

        require_scope(caller, "write")
        return await self._database.transaction(work, caller=caller)


class PostgresDigestQueue:
    """DigestQueue over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def enqueue_due(
        self, connection: Connection, cadence: Cadence, due: datetime, *, mail: bool
    ) -> None:
        when = cadence, time_text(due)
        if mail:
            await connection.execute(_SQL["enqueue_mails"], *when, MAIL_JOB, QUEUE, ATTEMPTS)
        await connection.execute(_SQL["enqueue_events"], *when, EVENT_JOB, QUEUE, ATTEMPTS)

    async def recipient(
        self, tenant_id: int, profile_id: int, user_id: int, cadence: Cadence
    ) -> DigestRecipient | None:
        async def work(connection: Connection) -> DigestRecipient | None:
            key = tenant_id, profile_id, user_id, cadence
            row = await connection.fetchrow(_SQL["recipient"], *key)
            return None if row is None else DigestRecipient(*row)

        return await self._database.transaction(work, read_only=True)

    async def names(self, tenant_id: int, profile_id: int) -> tuple[str, str] | None:
        async def work(connection: Connection) -> tuple[str, str] | None:
            row = await connection.fetchrow(_SQL["names"], tenant_id, profile_id)
            return None if row is None else (row["handle"], row["title"])

        return await self._database.transaction(work, read_only=True)
