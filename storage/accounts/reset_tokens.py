"""Reset tokens for the workers that mail them, in Postgres."""

from engine.accounts.recovery import IssuedToken
from storage.accounts.recovery import issue
from storage.postgres.database import Connection, Database


class PostgresResetTokenStore:
    """ResetTokenStore over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def issue_reset_token(self, tenant_id: int, user_id: int) -> IssuedToken | None:
        async def work(connection: Connection) -> IssuedToken | None:
            return await issue(connection, (tenant_id, user_id), "reset")

        return await self._database.transaction(work)
