"""Cards of published pages: which are due, what becomes of older ones, and of those of deleted profiles."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from engine.links.profile import ProfileDraft
from engine.pages.page import ProfilePage
from engine.pages.sharing.card import DueCard, card_hash
from storage.assets.unused import PostgresUnusedFilesStore
from storage.pages.cards import PostgresCardStore
from storage.pages.pages import PostgresPageStore
from storage.postgres.database import Database
from tests.kit.hosted import hosted_run
from tests.kit.stores import Stores, opened

pytestmark = [pytest.mark.slow, pytest.mark.trio(run=hosted_run)]
EXPIRE = "UPDATE asset_files SET writable_until = now()"


class World(NamedTuple):
    cards: PostgresCardStore
    pages: PostgresPageStore
    workers: Database
    stores: Stores
    profile_id: int

    async def publish(self, name: str) -> DueCard:
        """Publish a page. Returns the one card that is due then."""
        caller = self.stores.caller
        await self.pages.put_draft(caller, self.profile_id, ProfilePage(name=name))
        await self.pages.publish(caller, self.profile_id)
        (card,) = await self.cards.due(10)
        return card

    async def unused(self) -> set[str]:
        """Return the hashes of the files that the collector may delete once no one can be writing."""
        await self.workers.transaction(lambda connection: connection.execute(EXPIRE))
        return {files.hash for files in await PostgresUnusedFilesStore(self.workers).claim(10)}


@pytest.fixture
def place(database_url: str) -> str:
    """Let the stores be Postgres': cards have no twin."""
    return database_url


@pytest.fixture
async def world(place: str, stores: Stores) -> AsyncIterator[World]:
    async with opened(place) as open_database:
        app, workers = await open_database("waypost_app"), await open_database("waypost_aggregator")
        profile = await stores.profiles.create_profile(stores.caller, ProfileDraft(handle="ada"))
        yield World(PostgresCardStore(workers), PostgresPageStore(app), workers, stores, profile.id)


async def test_a_published_page_is_due_until_its_card_is_drawn(world: World) -> None:
    assert await world.cards.due(10) == []
    card = await world.publish("Ada")
    assert (card.number, card.handle, card.page.name, card.face) == (1, "ada", "Ada", "")
    assert card.hash == card_hash(world.stores.caller.tenant_id, world.profile_id, 1)
    await world.cards.drawn(card, has_file=True)
    assert await world.cards.due(10) == []
    assert await world.unused() == set()


async def test_of_several_versions_the_newest_is_due_and_takes_the_place_of_the_older_card(
    world: World,
) -> None:
    first = await world.publish("Ada")
    await world.cards.drawn(first, has_file=True)
    second = await world.publish("Eve")
    third = await world.publish("Eva")
    assert third.number == 3
    await world.cards.drawn(third, has_file=True)
    assert await world.cards.due(10) == []
    # The second one's file was about to be written, too.
    assert await world.unused() == {first.hash, second.hash}


async def test_a_page_that_cannot_be_drawn_is_not_due_again(world: World) -> None:
    card = await world.publish("Ada")
    await world.cards.drawn(card, has_file=False)
    assert await world.cards.due(10) == []
    assert await world.unused() == {card.hash}


async def test_a_deleted_profile_leaves_its_card_to_the_collector(world: World) -> None:
    card = await world.publish("Ada")
    await world.cards.drawn(card, has_file=True)
    late = card._replace(number=2)
    await world.stores.profiles.delete_profile(world.stores.caller, world.profile_id)
    await world.cards.drawn(late, has_file=True)
    await world.cards.drawn(card, has_file=True)
    assert await world.unused() == {card.hash}
