"""Drafts and published versions of pages in Postgres, for the console.

Every change locks the profile's row first, so changes of one page are serial and no number of a version is used
twice. Publishing makes a new version of the profile, by which edges notice it; drafts do not.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import asyncpg
import msgspec

from engine.accounts.access import Action, Caller
from engine.common.errors import InvalidError, NotFoundError, UnavailableError
from engine.common.list_page import ListPage
from engine.common.versions import require_version
from engine.links.profile import ProfileChange
from engine.pages.default_page import default_page
from engine.pages.html.sources import PagePicture
from engine.pages.page import MAX_BLOCKS, ProfilePage
from engine.pages.page_link import PageLink
from engine.pages.pictures import asset_ids, encode_pictures, pictures_of, unknown_assets
from engine.pages.ports import PagePreview
from engine.pages.publication import (
    MAX_VERSIONS,
    PublishedVersion,
    StoredDraft,
    decode_page,
    encode_page,
    link_ids,
    page_digest,
    unknown_links,
)
from engine.webhooks.events import EventDraft, PagePublished
from storage.accounts.access import MAX_ID, ProfileAccess, enter_profile
from storage.assets.assets import keep_page_assets
from storage.links.profiles import lock_profile, next_version
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.webhooks.outbox import append_to_outbox

SQL: Final = queries.load("pages/pages")
_LINKS: Final = msgspec.json.Decoder(tuple[PageLink, ...])
T = TypeVar("T")


class PostgresPageStore:
    """PageStore over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def draft(self, caller: Caller, profile_id: int) -> StoredDraft:
        async def work(connection: Connection) -> StoredDraft:
            access = await enter_profile(connection, caller, profile_id, Action.READ)
            return await _draft(connection, access)

        return await self._read(caller, work)

    async def put_draft(
        self, caller: Caller, profile_id: int, page: ProfilePage, if_version: int | None = None
    ) -> StoredDraft:
        async def work(connection: Connection) -> StoredDraft:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            stored = await _lock(connection, access, if_version)
            await _require_links(connection, access, page)
            return await _put(connection, access, stored, page)

        return await self._database.transaction(work, caller=caller)

    async def publish(
        self, caller: Caller, profile_id: int, if_version: int | None = None
    ) -> tuple[PublishedVersion, ProfileChange]:
        async def work(connection: Connection) -> tuple[PublishedVersion, ProfileChange]:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            profile = await lock_profile(connection, access)
            stored = await _draft(connection, access)
            require_version(stored.version, if_version)
            if stored.published is not None and not stored.is_changed:
                version = await _version(connection, access, stored.published)
                return version, ProfileChange(profile_id, profile.version)
            change = await next_version(connection, access)
            return await _publish(connection, access, caller, stored.page), change

        return await self._database.transaction(work, caller=caller)

    async def list_versions(
        self, caller: Caller, profile_id: int, before: int, limit: int
    ) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            access = await enter_profile(connection, caller, profile_id, Action.READ)
            key = access.tenant_id, profile_id, before or MAX_ID
            rows = await connection.fetch(SQL["versions"], *key, limit + 1)
            return versions_page([published_version(row) for row in rows], limit)

        return await self._read(caller, work)

    async def page_version(self, caller: Caller, profile_id: int, number: int) -> PublishedVersion:
        async def work(connection: Connection) -> PublishedVersion:
            access = await enter_profile(connection, caller, profile_id, Action.READ)
            return await _version(connection, access, number)

        return await self._read(caller, work)

    async def restore(
        self, caller: Caller, profile_id: int, number: int, if_version: int | None = None
    ) -> StoredDraft:
        async def work(connection: Connection) -> StoredDraft:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            stored = await _lock(connection, access, if_version)
            version = await _version(connection, access, number)
            return await _put(connection, access, stored, version.page)

        return await self._database.transaction(work, caller=caller)

    async def preview(self, caller: Caller, profile_id: int) -> PagePreview:
        async def work(connection: Connection) -> PagePreview:
            access = await enter_profile(connection, caller, profile_id, Action.READ)
            page = (await _draft(connection, access)).page
            ids = [id_ for id_ in link_ids(page) if id_ <= MAX_ID]
            row = await connection.fetchrow(SQL["page_links"], access.tenant_id, profile_id, ids)
            if row is None:
                raise NotFoundError.of("profile")
            links = _LINKS.decode(row["links"])
            pictures = await read_pictures(connection, access, page)
            return PagePreview(row["handle"], row["title"], page, links, pictures)

        return await self._read(caller, work)

    async def _read(self, caller: Caller, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self._database.transaction(work, caller=caller, read_only=True)


def versions_page(versions: list[PublishedVersion], limit: int) -> ListPage:
    """Return a list page of versions, of which one more than `limit` was read."""
    shown = versions[:limit]
    return ListPage(shown, shown[-1].number if len(versions) > limit else None)


def published_version(row: asyncpg.Record) -> PublishedVersion:
    fields = dict(row)
    return PublishedVersion(page=decode_page(fields.pop("page")), **fields)


async def _draft(connection: Connection, access: ProfileAccess) -> StoredDraft:
    key = access.tenant_id, access.profile_id
    row = await connection.fetchrow(SQL["draft"], *key)
    if row is None:
        raise NotFoundError.of("profile")
    if row["version"] is None:
        links = await connection.fetch(SQL["shown_links"], *key, MAX_BLOCKS)
        page = default_page(link["id"] for link in links)
        return StoredDraft(profile_id=access.profile_id, page=page)
    return StoredDraft(
        profile_id=access.profile_id,
        page=decode_page(row["page"]),
        version=row["version"],
        updated_at=row["updated_at"],
        published=row["published"],
        is_changed=row["digest"] != row["published_digest"],
    )


async def _lock(
    connection: Connection, access: ProfileAccess, if_version: int | None
) -> StoredDraft:
    await lock_profile(connection, access)
    # In its own statement, because it must see what was committed during the wait for the lock.
    stored = await _draft(connection, access)
    require_version(stored.version, if_version)
    return stored


async def _require_links(connection: Connection, access: ProfileAccess, page: ProfilePage) -> None:
    ids = [id_ for id_ in link_ids(page) if id_ <= MAX_ID]
    rows = await connection.fetch(SQL["known_links"], access.tenant_id, access.profile_id, ids)
    if errors := unknown_links(page, [row["id"] for row in rows]):
        raise InvalidError(errors)


async def _keep_assets(
    connection: Connection, access: ProfileAccess, version: int, page: ProfilePage
) -> None:
    """Keep the assets that a version of the page (0: its draft) names. Raises InvalidError for others'."""
    ids = {id_ for id_ in asset_ids(page) if id_ <= MAX_ID}
    try:
        known = await keep_page_assets(connection, access, version, ids)
    except asyncpg.ForeignKeyViolationError:  # one was deleted at this moment
        raise UnavailableError("a picture is just being deleted; try again") from None
    if errors := unknown_assets(page, known):
        raise InvalidError(errors)


async def read_pictures(
    connection: Connection, access: ProfileAccess, page: ProfilePage
) -> dict[str, PagePicture]:
    """Return what the renderer needs of the pictures that a page names, by id of the asset."""
    ids = [id_ for id_ in asset_ids(page) if id_ <= MAX_ID]
    if not ids:
        return {}
    rows = await connection.fetch(SQL["pictures"], access.tenant_id, access.profile_id, ids)
    return pictures_of(rows)


async def _put(
    connection: Connection, access: ProfileAccess, stored: StoredDraft, page: ProfilePage
) -> StoredDraft:
    if stored.version and page == stored.page:
        return stored
    text = encode_page(page)
    key = access.tenant_id, access.profile_id
    await _keep_assets(connection, access, 0, page)
    await connection.execute(SQL["put_draft"], *key, text.decode(), page_digest(text))
    return await _draft(connection, access)


async def _publish(
    connection: Connection, access: ProfileAccess, caller: Caller, page: ProfilePage
) -> PublishedVersion:
    text = encode_page(page)
    key = access.tenant_id, access.profile_id
    pictures = await read_pictures(connection, access, page)
    number = await connection.fetchval(
        SQL["publish"],
        *key,
        text.decode(),
        page_digest(text),
        encode_pictures(pictures).decode(),
        list(link_ids(page)),
        caller.user_id,
    )
    await _keep_assets(connection, access, number, page)
    await connection.execute(SQL["forget_versions"], *key, number - MAX_VERSIONS)
    if number > MAX_VERSIONS:
        await keep_page_assets(connection, access, number - MAX_VERSIONS, ())
    event = PagePublished(
        profile_id=str(access.profile_id), user_id=str(caller.user_id), version=number
    )
    await append_to_outbox(connection, [EventDraft(*key, "page.published", event)])
    return await _version(connection, access, number)


async def _version(connection: Connection, access: ProfileAccess, number: int) -> PublishedVersion:
    key = access.tenant_id, access.profile_id, min(number, MAX_ID)
    row = await connection.fetchrow(SQL["version"], *key)
    if row is None:
        raise NotFoundError.of("version of the page")
    return published_version(row)
