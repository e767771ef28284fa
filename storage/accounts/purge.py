"""Purge of sessions, recovery tokens, API keys and invitations that have ended."""

from typing import Final

from engine.jobs.handler import repeatable
from engine.jobs.periodic import HOUR, MINUTE, PeriodicJob
from engine.jobs.schedule import Cron, Every
from storage.postgres import queries
from storage.postgres.database import Connection, Database

_SQL: Final = queries.load("accounts/purge")
PURGED_AT_ONCE: Final = 1000


class AccountsPurge:
    """The purges, over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "sessions.purge",
                Every(HOUR, 10 * MINUTE),
                "delete sessions that have ended: they name browsers and times",
                repeatable(self.purge_sessions),
            ),
            PeriodicJob(
                "recovery-tokens.purge",
                Every(HOUR, 15 * MINUTE),
                "delete reset tokens and set-up codes that have expired",
                repeatable(self.purge_recovery_tokens),
            ),
            PeriodicJob(
                "keys.purge",
                Cron("10 3 * * *"),
                "delete API keys that ended 30 days ago",
                repeatable(self.purge_keys),
            ),
            PeriodicJob(
                "invitations.purge",
                Cron("20 3 * * *"),
                "delete invitations that have been accepted or have expired: they hold e-mail addresses",
                repeatable(self.purge_invitations),
            ),
        ]

    async def purge_sessions(self) -> None:
        await self._purge("purge_sessions")

    async def purge_recovery_tokens(self) -> None:
        await self._purge("purge_recovery_tokens")

    async def purge_keys(self) -> None:
        await self._purge("purge_keys")

    async def purge_invitations(self) -> None:
        await self._purge("purge_invitations")

    async def _purge(self, name: str) -> None:
        async def work(connection: Connection) -> str:
            return await connection.execute(_SQL[name], PURGED_AT_ONCE)

        while await self._database.transaction(work) == f"DELETE {PURGED_AT_ONCE}":
            pass
