"""Cards of published pages and of links in Postgres, for workers."""

from typing import Any, Final

import asyncpg

from engine.assets.asset import KEPT_S
from engine.links.slugs.link_path import shown_path
from engine.pages.page import ProfilePage
from engine.pages.pictures import decode_pictures
from engine.pages.publication import decode_page
from engine.pages.sharing.card import NO_LOOK, DueCard, DueLinkCard, link_card, look_of
from engine.pages.sharing.sharing_picture import HEIGHT, WIDTH
from storage.postgres import queries
from storage.postgres.database import Connection, Database

_SQL: Final = queries.load("pages/cards")


class PostgresCardStore:
    """`CardStore`, over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, limit: int) -> list[DueCard]:
        async def work(connection: Connection) -> list[DueCard]:
            cards = [_due_card(row) for row in await connection.fetch(_SQL["due"], limit)]
            for card in cards:
                key = card.tenant_id, card.hash
                await connection.execute(_SQL["begin"], *key, KEPT_S, WIDTH, HEIGHT)
            return cards

        return await self._database.transaction(work)

    async def drawn(self, card: DueCard, *, has_file: bool) -> None:
        profile = card.tenant_id, card.profile_id

        async def work(connection: Connection) -> None:
            if has_file:
                if await connection.fetchval(_SQL["used"], card.tenant_id, card.hash) is None:
                    return  # the collector deletes it, and it is drawn again
                await connection.execute(_SQL["keep"], *profile, card.hash)
                await connection.execute(_SQL["forget_others"], *profile, card.hash)
            await connection.execute(_SQL["done"], *profile, card.number)

        try:
            await self._database.transaction(work)
        except asyncpg.ForeignKeyViolationError:
            pass  # the profile is deleted, and the collector deletes the file


class PostgresLinkCardStore:
    """`LinkCardStore`, over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, limit: int) -> list[DueLinkCard]:
        async def work(connection: Connection) -> list[DueLinkCard]:
            cards = [
                _due_link_card(row) for row in await connection.fetch(_SQL["due_links"], limit)
            ]
            for card in cards:
                if card.hash != card.drawn_hash:
                    key = card.card.tenant_id, card.hash
                    await connection.execute(_SQL["begin"], *key, KEPT_S, WIDTH, HEIGHT)
            return cards

        return await self._database.transaction(work)

    async def drawn(self, card: DueLinkCard, *, has_file: bool) -> None:
        link = card.card.tenant_id, card.card.link_id

        async def work(connection: Connection) -> None:
            if not has_file or card.hash == card.drawn_hash:
                await connection.execute(_SQL["done_link"], *link, card.due_since)
            else:
                await connection.execute(_SQL["keep_link"], *link, card.hash, card.due_since)

        await self._database.transaction(work)


def _due_link_card(row: Any) -> DueLinkCard:
    page, face = ProfilePage(), None
    if row["page"] is not None:
        page = decode_page(row["page"])
        face = decode_pictures(row["pictures"].encode()).get(page.picture)
    return DueLinkCard(
        row["profile_id"],
        link_card(
            row["tenant_id"],
            row["link_id"],
            shown_path(row["handle"], row["slug"]),
            row["title"],
            "" if row["is_secret"] else row["target"],
            NO_LOOK if row["page"] is None else look_of(row["page"]),
        ),
        page,
        "" if face is None else face.hash,
        row["address"] or "",
        row["due_since"],
    )


def _due_card(row: Any) -> DueCard:
    page = decode_page(row["page"])
    face = decode_pictures(row["pictures"].encode()).get(page.picture)
    return DueCard(
        row["tenant_id"],
        row["profile_id"],
        row["number"],
        row["handle"],
        row["title"],
        page,
        "" if face is None else face.hash,
    )
