"""Shares of stats in Postgres. A token is stored as its SHA-256."""

from typing import Any, Final

from engine.accounts.access import Action, Caller
from engine.common.errors import ConflictError, ExpiredError, NotFoundError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.links.profile import Profile
from engine.stats.dashboards.share import (
    MAX_SHARES,
    NewShare,
    ResolvedShare,
    Share,
    ShareDraft,
    SharePeriod,
)
from storage.accounts import tokens
from storage.accounts.access import MAX_ID, enter_profile, validate_id
from storage.accounts.members import lock_team
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.postgres.idempotency import run_once

_SQL: Final = queries.load("stats/dashboards/shares")


class PostgresShareStore:
    """ShareStore over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_share(
        self,
        caller: Caller,
        profile_id: int,
        draft: ShareDraft,
        once: IdempotentRequest[NewShare] | None = None,
    ) -> NewShare:
        token = tokens.new("wpr_")

        async def work(connection: Connection) -> NewShare:
            # The lock serialises creates, so that the limit holds.
            access = await lock_team(connection, caller, profile_id, Action.MANAGE_SHARES)
            if await connection.fetchval(_SQL["count_shares"], *access[:2]) >= MAX_SHARES:
                raise share_limit_error()
            row = await connection.fetchrow(
                _SQL["create_share"], *access[:2], tokens.require_digest(token),
                tokens.token_prefix(token), draft.label, draft.metrics, draft.dimensions,
                draft.period.from_, draft.period.to, draft.origins, draft.expires_at,
            )  # fmt: skip
            return NewShare(_share(row), token)

        return await self._database.transaction(run_once(caller, once, work), caller=caller)

    async def list_shares(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            access = await enter_profile(connection, caller, profile_id, Action.MANAGE_SHARES)
            rows = await connection.fetch(
                _SQL["list_shares"], *access[:2], min(after, MAX_ID), limit + 1
            )
            shares = [_share(row) for row in rows]
            return ListPage.of(shares, limit)

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def revoke_share(self, caller: Caller, profile_id: int, share_id: int) -> None:
        async def work(connection: Connection) -> None:
            access = await enter_profile(connection, caller, profile_id, Action.MANAGE_SHARES)
            key = *access[:2], validate_id(share_id, "share")
            if await connection.fetchval(_SQL["revoke_share"], *key) is None:
                raise NotFoundError.of("share")

        await self._database.transaction(work, caller=caller)

    async def allows_origin(self, origin: str) -> bool:
        async def work(connection: Connection) -> bool:
            return bool(await connection.fetchval(_SQL["allows_origin"], origin))

        return await self._database.transaction(work, read_only=True)

    async def share_of(self, token: str) -> ResolvedShare | None:
        digest = tokens.digest(token)

        async def work(connection: Connection) -> ResolvedShare | None:
            row = await connection.fetchrow(_SQL["share_of"], digest)
            if row is None:
                return None
            if row["expired"]:
                raise ExpiredError("this share has expired")
            return ResolvedShare(_share(row), _profile(row))

        return None if digest is None else await self._database.transaction(work, read_only=True)


def share_limit_error() -> ConflictError:
    return ConflictError("shares", f"must be at most {MAX_SHARES} in a profile; revoke one first")


def _share(row: Any) -> Share:
    return Share(
        id=row["id"], profile_id=row["profile_id"], prefix=row["prefix"], label=row["label"],
        metrics=tuple(row["metrics"]), dimensions=tuple(row["dimensions"]),
        period=SharePeriod(from_=row["starts_at"], to=row["ends_at"]), origins=tuple(row["origins"]),
        created_at=row["created_at"], expires_at=row["expires_at"],
    )  # fmt: skip


def _profile(row: Any) -> Profile:
    return Profile(
        id=row["profile_id"], tenant_id=row["tenant_id"], handle=row["handle"], title=row["title"],
        raw_retention_days=row["raw_retention_days"], version=row["version"],
        created_at=row["profile_created_at"], updated_at=row["profile_updated_at"],
    )  # fmt: skip
