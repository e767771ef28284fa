"""Assets in Postgres, for the console."""

from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final, TypeVar

import asyncpg
import msgspec

from engine.accounts.access import Action, Caller
from engine.assets.asset import (
    KEPT_S,
    MAX_ASSETS,
    MAX_PROFILE_BYTES,
    Asset,
    AssetDraft,
    AssetUsage,
    Rendition,
    StoredPicture,
    source_content_type,
)
from engine.common.errors import ConflictError, NotFoundError, UnavailableError
from engine.common.list_page import ListPage
from storage.accounts.access import MAX_ID, ProfileAccess, enter_profile, validate_id
from storage.postgres import queries
from storage.postgres.database import Connection, Database

SQL: Final = queries.load("assets/assets")
T = TypeVar("T")


class PostgresAssetStore:
    """`AssetStore`, over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def enter(self, caller: Caller, profile_id: int) -> int:
        async def work(connection: Connection) -> int:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            require_room(*await _room(connection, access), 1)
            return access.tenant_id

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def existing(
        self, caller: Caller, profile_id: int, hash_: str
    ) -> Asset | StoredPicture | None:
        async def work(connection: Connection) -> Asset | StoredPicture | None:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            own = await connection.fetchrow(SQL["by_hash"], access.tenant_id, profile_id, hash_)
            if own is not None:
                return _asset(own)
            row = await connection.fetchrow(SQL["stored"], access.tenant_id, hash_, KEPT_S)
            if row is None:
                return None
            return StoredPicture(
                row["source"], row["width"], row["height"], _renditions(row["renditions"])
            )

        return await self._database.transaction(work, caller=caller)

    async def begin(self, caller: Caller, profile_id: int, draft: AssetDraft) -> bool:
        picture = draft.picture
        renditions = msgspec.json.encode(picture.renditions).decode()

        async def work(connection: Connection) -> bool:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            row = access.tenant_id, draft.hash, picture.source, picture.width, picture.height
            written = await connection.fetchval(SQL["begin"], *row, renditions, KEPT_S)
            if written is None:
                raise files_claimed()
            return bool(written)

        return await self._database.transaction(work, caller=caller)

    async def create(self, caller: Caller, profile_id: int, draft: AssetDraft) -> Asset:
        async def work(connection: Connection) -> Asset:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            key = access.tenant_id, profile_id
            await connection.execute(SQL["lock_profile"], *key)
            own = await connection.fetchrow(SQL["by_hash"], *key, draft.hash)
            if own is not None:
                return _asset(own)
            require_room(*await _room(connection, access), draft.picture.bytes)
            if await connection.fetchval(SQL["used"], access.tenant_id, draft.hash) is None:
                raise files_gone()
            content_type = source_content_type(draft.picture.source)
            row = draft.hash, draft.name, content_type, draft.picture.bytes
            await connection.execute(SQL["create"], *key, *row)
            return _asset(await connection.fetchrow(SQL["by_hash"], *key, draft.hash))

        return await self._database.transaction(work, caller=caller)

    async def asset(self, caller: Caller, profile_id: int, asset_id: int) -> Asset:
        async def work(connection: Connection) -> Asset:
            access = await enter_profile(connection, caller, profile_id, Action.READ)
            key = access.tenant_id, profile_id, validate_id(asset_id, "asset")
            row = await connection.fetchrow(SQL["asset"], *key)
            if row is None:
                raise NotFoundError.of("asset")
            return _asset(row)

        return await self._read(caller, work)

    async def list_assets(
        self, caller: Caller, profile_id: int, before: int, limit: int
    ) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            access = await enter_profile(connection, caller, profile_id, Action.READ)
            key = access.tenant_id, profile_id, before or MAX_ID
            rows = await connection.fetch(SQL["list"], *key, limit + 1)
            return ListPage.of([_asset(row) for row in rows], limit)

        return await self._read(caller, work)

    async def usage(self, caller: Caller, profile_id: int) -> AssetUsage:
        async def work(connection: Connection) -> AssetUsage:
            return await _room(
                connection, await enter_profile(connection, caller, profile_id, Action.READ)
            )

        return await self._read(caller, work)

    async def delete(self, caller: Caller, profile_id: int, asset_id: int) -> None:
        async def work(connection: Connection) -> None:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            key = access.tenant_id, profile_id, validate_id(asset_id, "asset")
            try:
                deleted = await connection.fetchval(SQL["delete"], *key)
            except asyncpg.ForeignKeyViolationError:
                raise asset_on_page() from None
            if deleted is None:
                raise NotFoundError.of("asset")

        await self._database.transaction(work, caller=caller)

    async def _read(self, caller: Caller, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self._database.transaction(work, caller=caller, read_only=True)


async def keep_page_assets(
    connection: Connection, access: ProfileAccess, page_version: int, asset_ids: Collection[int]
) -> set[int]:
    """Let a version of the profile's page (0: its draft) keep these assets, and no others.

    Returns those of `asset_ids` that are assets of the profile; a caller must refuse the version if one is
    missing. Call it in the transaction that writes the version; with no ids when it deletes one. An asset that
    is deleted at the same moment raises asyncpg.ForeignKeyViolationError.
    """
    key = access.tenant_id, access.profile_id, page_version
    await connection.execute(SQL["forget_page"], *key)
    if not asset_ids:
        return set()
    rows = await connection.fetch(SQL["keep_page"], *key, list(asset_ids))
    return {row["asset_id"] for row in rows}


def require_room(assets: int, bytes_: int, more_bytes: int) -> None:
    """Raise ConflictError if a profile with so many assets and bytes may not get another one."""
    if assets >= MAX_ASSETS:
        raise ConflictError("assets", f"the profile has {MAX_ASSETS}; delete one first")
    if bytes_ + more_bytes > MAX_PROFILE_BYTES:
        limit = MAX_PROFILE_BYTES // 1024**2
        raise ConflictError(
            "assets", f"the profile's pictures may have {limit} MiB; delete one first"
        )


def files_gone() -> UnavailableError:
    return UnavailableError("the upload took too long to store; send it again")


def files_claimed() -> UnavailableError:
    return UnavailableError("an equal picture is just being deleted; send it again in a minute")


def asset_on_page() -> ConflictError:
    return ConflictError(
        "asset", "is on the profile's page, in its draft or in a version that is kept"
    )


async def _room(connection: Connection, access: ProfileAccess) -> AssetUsage:
    row = await connection.fetchrow(SQL["room"], access.tenant_id, access.profile_id)
    assert row is not None
    return AssetUsage(row["assets"], row["bytes"])


def _renditions(text: str) -> tuple[Rendition, ...]:
    return msgspec.json.decode(text, type=tuple[Rendition, ...])


def _asset(row: Any) -> Asset:
    values = dict(row)
    renditions, versions = _renditions(values["renditions"]), tuple(values["page_versions"])
    return Asset(**values | {"renditions": renditions, "page_versions": versions})
