"""Erasure of profiles: their counts, logs, clicks and streamed batches.

Guarantees:
- the profile is deleted and its erasure requested in one transaction;
- Postgres refuses to erase a profile without a request (storage/migrations/0011_privacy.sql);
- a sweep may run any number of times and may stop anywhere: the next one resumes. Each table is a
  transaction of its own.

Clicks of the last moments, or of an edge that is offline, arrive after the first sweep; later sweeps erase
them. `profile_changes` announces the deletion to edges, so its row is deleted by the second sweep only.
Streams are deleted whole: shippers notice and ship again what is not folded. Edges delete folded segments
of their journals some minutes later (Journal.seal).
"""

import contextlib
from typing import Any, Final, NamedTuple
from uuid import UUID

import trio
from redis.exceptions import ResponseError

from engine.accounts.access import Action, Caller, require_scope
from engine.clicks.journal_format import without_profile
from engine.clicks.record_layout import profile_marker
from engine.common.errors import UnavailableError, WaypostError
from engine.common.list_page import ListPage
from engine.jobs.handler import repeatable
from engine.jobs.periodic import MINUTE, PeriodicJob
from engine.jobs.schedule import Every
from engine.links.profile import ProfileChange
from engine.privacy.erasure import FIRST_SWEEP_AFTER_S, SWEEP_INTERVALS_S, Erasure
from storage.accounts.access import MAX_ID, enter_profile
from storage.links.profiles import delete_entered
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.redis.client import RedisServer

STREAMS: Final = "waypost:{*}:clicks"
DELETE_TIMEOUT_S: Final = 600.0
_KEYS_AT_ONCE: Final = 500
_SQL: Final = queries.load("privacy/erasure")


class ProfileOwner(NamedTuple):
    """The tenant of a profile, and an owner as the caller that may erase it."""

    tenant_id: int
    profile_id: int
    caller: Caller


async def owner_of(database: Database, handle: str) -> ProfileOwner | None:
    """Return an owner of the profile with this handle, of any tenant, or None. For the operator's commands.

    `database` must be opened as waypost_aggregator.
    """

    async def work(connection: Connection) -> ProfileOwner | None:
        row = await connection.fetchrow(_SQL["owner_of"], handle)
        if row is None:
            return None
        caller = Caller(row["home_tenant_id"], row["user_id"])
        return ProfileOwner(row["tenant_id"], row["profile_id"], caller)

    return await database.transaction(work, read_only=True)


class PostgresErasureStore:
    """`ErasureStore`, over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def erase(
        self, caller: Caller, profile_id: int, if_version: int | None = None
    ) -> ProfileChange:
        async def work(connection: Connection) -> ProfileChange:
            access = await enter_profile(connection, caller, profile_id, Action.DELETE)
            deleted = await delete_entered(connection, access, if_version)
            await connection.execute(_SQL["request"], access.tenant_id, profile_id)
            return ProfileChange(deleted.id, deleted.version, True)

        return await self._database.transaction(work, caller=caller)

    async def list_erasures(self, caller: Caller, before: int, limit: int) -> ListPage:
        require_scope(caller, "read")

        async def work(connection: Connection) -> ListPage:
            rows = await connection.fetch(
                _SQL["list_erasures"], caller.tenant_id, before or MAX_ID, limit + 1
            )
            return ListPage.of([Erasure(**dict(row)) for row in rows], limit, "profile_id")

        return await self._database.transaction(work, caller=caller, read_only=True)


class Eraser:
    """The sweeps of workers, over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database, redis: RedisServer) -> None:
        self._database = database
        self._redis = redis

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "profiles.erase",
                Every(MINUTE),
                "erase requested profiles, including clicks that arrive late",
                repeatable(self.sweep_due),
            )
        ]

    async def sweep_due(self) -> None:
        """Sweep each profile that is due."""

        async def find_due(connection: Connection) -> list[tuple[int, int, int]]:
            rows = await connection.fetch(_SQL["due"], list(SWEEP_INTERVALS_S), FIRST_SWEEP_AFTER_S)
            return [(row["tenant_id"], row["profile_id"], row["sweeps"]) for row in rows]

        for tenant_id, profile_id, sweeps in await self._database.transaction(find_due):
            await self.sweep(tenant_id, profile_id, everything=sweeps > 0)

    async def sweep(self, tenant_id: int, profile_id: int, *, everything: bool) -> int:
        """Erase a profile's rows. Returns how many were erased. Without `everything`, keeps the row that
        announces the deletion to edges. Raises WaypostError if the profile exists."""
        rows = 0
        for table in await self._tables(tenant_id, profile_id):
            if everything or table != "profile_changes":
                rows += await self._delete_rows(table, tenant_id, profile_id)
        rows += await self._clean_dead_letters(tenant_id, profile_id)
        await self._delete_streams()

        async def record(connection: Connection) -> int:
            responses: int = await connection.fetchval(_SQL["delete_stored_responses"], profile_id)
            await connection.execute(_SQL["swept"], tenant_id, profile_id, rows + responses)
            return rows + responses

        return await self._database.transaction(record)

    async def _tables(self, tenant_id: int, profile_id: int) -> list[str]:
        async def work(connection: Connection) -> list[str]:
            if await connection.fetchval(_SQL["exists"], tenant_id, profile_id):
                raise WaypostError(
                    f"profile {profile_id} exists and cannot be erased; delete it first"
                )
            rows = await connection.fetch(_SQL["tables"])
            if protected := [row["of_table"] for row in rows if not row["erasable"]]:
                raise WaypostError(f"no role may erase from {', '.join(protected)}")
            return [row["of_table"] for row in rows]

        return await self._database.transaction(work)

    async def _delete_rows(self, table: str, tenant_id: int, profile_id: int) -> int:
        async def work(connection: Connection) -> int:
            # Millions of clicks take minutes to delete; no request waits for this.
            await connection.execute(f"SET LOCAL statement_timeout = '{DELETE_TIMEOUT_S:g}s'")
            status = await connection.execute(
                f"DELETE FROM {table} WHERE tenant_id = $1 AND profile_id = $2",  # noqa: S608  # from the catalogue
                tenant_id,
                profile_id,
                timeout=DELETE_TIMEOUT_S,
            )
            return int(status.rpartition(" ")[2])

        return await self._database.transaction(work)

    async def _clean_dead_letters(self, tenant_id: int, profile_id: int) -> int:
        """Remove the profile's clicks from dead letters. Returns the number of dead letters that had any."""
        marker, count = profile_marker(tenant_id, profile_id), 0
        last_key = (UUID(int=0), 0)

        async def work(connection: Connection) -> list[tuple[UUID, int]]:
            rows = await connection.fetch(_SQL["dead_letters_with"], marker, *last_key)
            for journal_id, first, last, payload in rows:
                remaining = without_profile(payload, first, tenant_id, profile_id)
                if remaining:
                    await connection.execute(
                        _SQL["replace_dead_letter"], journal_id, last, remaining
                    )
                else:
                    await connection.execute(_SQL["delete_dead_letter"], journal_id, last)
            return [(row["journal_id"], row["last"]) for row in rows]

        while letter_keys := await self._database.transaction(work):
            count += len(letter_keys)
            last_key = letter_keys[-1]
        return count

    async def _delete_streams(self) -> None:
        """Delete all streams of clicks, and let Redis rewrite its append-only file without them."""
        client: Any = self._redis.commands

        async def delete() -> None:
            async for key in client.scan_iter(STREAMS, _KEYS_AT_ONCE):
                await client.execute_command("UNLINK", key)

        await self._redis.run(delete)
        await trio.lowlevel.checkpoint()
        # Some servers refuse the rewrite, or have one in progress.
        with contextlib.suppress(UnavailableError, ResponseError):
            await self._redis.run(client.execute_command, "BGREWRITEAOF")
