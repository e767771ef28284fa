"""Erasing a profile for good: what was counted, logged, written and streamed of it.

Guarantees:
- the profile's deletion and the order to erase it are one transaction;
- nothing is erased that nobody asked to erase: the database refuses it (migration 0013);
- a sweep may run any number of times, and may end anywhere: the next one goes on. Each table is a
  transaction of its own.

A click that was answered just before, or by a machine that is off, arrives later: that is what the sweeps
after the first are for. `profile_changes` tells edges that the profile is gone, so its row goes with the
second sweep. Streams are deleted whole: shippers see that, and ship again what is not committed. Edges
delete what is committed of their journals some minutes later (Journal.seal).
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
LONGEST_S: Final = 600.0
_KEYS_AT_ONCE: Final = 500
_SQL: Final = queries.load("privacy/erasure")


class ProfileOwner(NamedTuple):
    """Where a profile lives, and who may erase it."""

    tenant_id: int
    profile_id: int
    caller: Caller


async def owner_of(database: Database, handle: str) -> ProfileOwner | None:
    """Of the profile with this handle, whatever tenant it is of: for the operator's commands, over a
    database that was opened as waypost_aggregator."""

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
            place = await enter_profile(connection, caller, profile_id, Action.DELETE)
            gone = await delete_entered(connection, place, if_version)
            await connection.execute(_SQL["request"], place.tenant_id, profile_id)
            return ProfileChange(gone.id, gone.version, True)

        return await self._database.transaction(work, caller=caller)

    async def list_erasures(self, caller: Caller, before: int, limit: int) -> ListPage:
        require_scope(caller, "read")

        async def work(connection: Connection) -> ListPage:
            rows = await connection.fetch(
                _SQL["mine"], caller.tenant_id, before or MAX_ID, limit + 1
            )
            return ListPage.of([Erasure(**dict(row)) for row in rows], limit, "profile_id")

        return await self._database.transaction(work, caller=caller, read_only=True)


class Eraser:
    """What the workers do, over a database that was opened as waypost_aggregator."""

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
        """Erase what there is now of each profile whose sweep's time has come."""

        async def look(connection: Connection) -> list[tuple[int, int, int]]:
            rows = await connection.fetch(_SQL["due"], list(SWEEP_INTERVALS_S), FIRST_SWEEP_AFTER_S)
            return [(row["tenant_id"], row["profile_id"], row["sweeps"]) for row in rows]

        for tenant_id, profile_id, sweeps in await self._database.transaction(look):
            await self.sweep(tenant_id, profile_id, everything=sweeps > 0)

    async def sweep(self, tenant_id: int, profile_id: int, *, everything: bool) -> int:
        """Erase what there is of a profile; how many rows. Without `everything`, edges still hear that it
        is gone. Raises WaypostError while the profile is there."""
        rows = 0
        for table in await self._tables(tenant_id, profile_id):
            if everything or table != "profile_changes":
                rows += await self._empty(table, tenant_id, profile_id)
        rows += await self._clean_set_aside(tenant_id, profile_id)
        await self._forget_streams()

        async def note(connection: Connection) -> int:
            answers: int = await connection.fetchval(_SQL["delete_stored_responses"], profile_id)
            await connection.execute(_SQL["swept"], tenant_id, profile_id, rows + answers)
            return rows + answers

        return await self._database.transaction(note)

    async def _tables(self, tenant_id: int, profile_id: int) -> list[str]:
        async def work(connection: Connection) -> list[str]:
            if await connection.fetchval(_SQL["exists"], tenant_id, profile_id):
                raise WaypostError(f"profile {profile_id} is there and cannot be erased")
            rows = await connection.fetch(_SQL["tables"])
            if kept := [row["of_table"] for row in rows if not row["erasable"]]:
                raise WaypostError(f"nobody may erase from {', '.join(kept)}")
            return [row["of_table"] for row in rows]

        return await self._database.transaction(work)

    async def _empty(self, table: str, tenant_id: int, profile_id: int) -> int:
        async def work(connection: Connection) -> int:
            # A profile of millions of clicks takes its time; nobody waits for it.
            await connection.execute(f"SET LOCAL statement_timeout = '{LONGEST_S:g}s'")
            done = await connection.execute(
                f"DELETE FROM {table} WHERE tenant_id = $1 AND profile_id = $2",  # noqa: S608  # of the catalogue
                tenant_id,
                profile_id,
                timeout=LONGEST_S,
            )
            return int(done.rpartition(" ")[2])

        return await self._database.transaction(work)

    async def _clean_set_aside(self, tenant_id: int, profile_id: int) -> int:
        """Take its clicks out of batches that could not be folded; how many batches had any."""
        ids, cleaned = profile_marker(tenant_id, profile_id), 0
        behind = (UUID(int=0), 0)

        async def work(connection: Connection) -> list[tuple[UUID, int]]:
            rows = await connection.fetch(_SQL["dead_letters_with"], ids, *behind)
            for journal_id, first, last, payload in rows:
                left = without_profile(payload, first, tenant_id, profile_id)
                if left:
                    await connection.execute(_SQL["replace_dead_letter"], journal_id, last, left)
                else:
                    await connection.execute(_SQL["delete_dead_letter"], journal_id, last)
            return [(row["journal_id"], row["last"]) for row in rows]

        while done := await self._database.transaction(work):
            cleaned += len(done)
            behind = done[-1]
        return cleaned

    async def _forget_streams(self) -> None:
        """Delete all streams of clicks, and have a server that keeps a log of its past write it anew."""
        client: Any = self._redis.commands

        async def delete() -> None:
            async for key in client.scan_iter(STREAMS, _KEYS_AT_ONCE):
                await client.unlink(key)

        await self._redis.run(delete)
        await trio.lowlevel.checkpoint()
        # Not allowed on some servers, or one is under way.
        with contextlib.suppress(UnavailableError, ResponseError):
            await self._redis.run(client.bgrewriteaof)
