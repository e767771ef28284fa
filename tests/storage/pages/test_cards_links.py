"""Cards of links with a preview: which are due, what becomes of older ones, and that edges name the same."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from actors.visits.profile_page import PageSource
from engine.links.domain import NewDomainDraft
from engine.links.link import LinkDraft
from engine.links.preview_card import PreviewCard
from engine.links.profile import Profile, ProfileDraft
from engine.links.slugs.link_path import link_path
from engine.links.slugs.slug_rules import FEATURES
from engine.pages.page import ProfilePage
from engine.pages.sharing.card import DueLinkCard, file_path
from storage.assets.unused import PostgresUnusedFilesStore
from storage.links.domains import PostgresDomainStore
from storage.pages.cards import PostgresLinkCardStore
from storage.pages.pages import PostgresPageStore
from storage.postgres import queries
from storage.postgres.database import Database
from tests.kit.hosted import hosted_run
from tests.kit.stores import Stores, opened

pytestmark = [pytest.mark.slow, pytest.mark.trio(run=hosted_run)]
PREVIEW = PreviewCard(title="Shop", text="Seeds")


class World:
    """The cards of a profile's links."""

    def __init__(self, stores: Stores, profile: Profile, app: Database, workers: Database) -> None:
        self.stores, self.profile, self.workers = stores, profile, workers
        self.pages, self.domains = PostgresPageStore(app), PostgresDomainStore(app)
        self.cards = PostgresLinkCardStore(workers)
        self.me = stores.caller

    async def link(self, slug: str = "shop", **fields: Any) -> int:
        draft = LinkDraft(slug=slug, target="https://shop.example/", **fields)
        made, _ = await self.stores.profiles.create_link(self.me, self.profile.id, draft)
        return made.id

    async def change(self, link_id: int, **fields: Any) -> None:
        shop: dict[str, Any] = {"slug": "shop", "target": "https://shop.example/"}
        fields = shop | {"preview": PREVIEW} | fields
        await self.stores.profiles.update_link(self.me, link_id, LinkDraft(**fields))

    async def publish(self, **fields: Any) -> None:
        await self.pages.put_draft(self.me, self.profile.id, ProfilePage(**fields))
        await self.pages.publish(self.me, self.profile.id)

    async def draw(self) -> DueLinkCard:
        """Note the one card that is due as drawn."""
        (card,) = await self.cards.due(10)
        await self.cards.drawn(card, has_file=True)
        assert await self.cards.due(10) == []
        return card

    async def unused(self) -> set[str]:
        """Return the hashes of the files that the collector may delete once no one can be writing."""
        expire = "UPDATE asset_files SET writable_until = now()"
        await self.workers.transaction(lambda connection: connection.execute(expire))
        return {files.hash for files in await PostgresUnusedFilesStore(self.workers).claim(10)}

    async def named_by_edges(self, slug: str = "shop") -> str:
        """Return the path that edges give messengers."""
        (snapshot,) = await self.stores.snapshots.find([link_path(self.profile.handle, slug)])
        assert snapshot is not None
        (link,) = [each for each in snapshot.links if each.slug == slug]
        return PageSource.of(snapshot).link_picture(snapshot.tenant_id, link)


@pytest.fixture
def place(database_url: str) -> str:
    """Let the stores be Postgres': cards have no twin."""
    return database_url


@pytest.fixture
async def world(place: str, stores: Stores) -> AsyncIterator[World]:
    async with opened(place) as open_database:
        app, workers = await open_database("waypost_app"), await open_database("waypost_aggregator")
        profile = await stores.profiles.create_profile(stores.caller, ProfileDraft(handle="ada"))
        yield World(stores, profile, app, workers)


async def test_a_link_with_a_preview_is_due_until_its_card_is_drawn(world: World) -> None:
    await world.link("plain")
    image = PreviewCard(image="https://shop.example/a.png")
    await world.link("own", preview=image)
    assert await world.cards.due(10) == []
    await world.link(preview=PREVIEW)
    card = await world.draw()
    assert card.card[2:5] == ("Shop", "shop.example", "ada/shop")
    assert file_path(card.hash) == await world.named_by_edges()
    assert await world.unused() == set()


async def test_the_card_of_a_slug_that_a_domain_allows_shows_the_path_that_leads_there(
    world: World,
) -> None:
    domain = NewDomainDraft(host="go.ada.example", slugs=FEATURES)
    await world.domains.create_domain(world.me, world.profile.id, domain)
    await world.link("Docs/v1.2", preview=PREVIEW)
    card = await world.draw()
    assert card.card.path == "~ada/Docs/v1.2"
    assert file_path(card.hash) == await world.named_by_edges("Docs/v1.2")


async def test_a_change_that_shows_is_drawn_in_the_place_of_the_older_card(world: World) -> None:
    link_id = await world.link(preview=PREVIEW)
    first = await world.draw()
    await world.change(link_id, target="https://shop.example/elsewhere")
    same = await world.draw()
    assert (same.hash, same.drawn_hash) == (first.hash, first.hash)
    await world.change(link_id, preview=PreviewCard(title="Shops"))
    second = await world.draw()
    assert second.hash != first.hash
    assert file_path(second.hash) == await world.named_by_edges()
    assert await world.unused() == {first.hash}
    image = PreviewCard(image="https://shop.example/a.png")
    await world.change(link_id, preview=image)
    assert await world.cards.due(10) == []
    assert await world.unused() == {second.hash}


async def test_a_link_that_does_not_tell_its_target_has_a_card_without_it(world: World) -> None:
    link_id = await world.link(preview=PREVIEW, click_limit=3)
    card = await world.draw()
    assert card.card.target_host == ""
    assert file_path(card.hash) == await world.named_by_edges()
    await world.change(link_id)
    assert (await world.draw()).card.target_host == "shop.example"


async def test_cards_follow_the_look_of_the_page_and_the_handle(world: World) -> None:
    await world.link(preview=PREVIEW)
    first = await world.draw()
    await world.publish(name="Ada")  # looks as no page does
    assert (await world.draw()).hash == first.hash
    await world.publish(name="Eve")
    assert await world.cards.due(10) == []
    await world.publish(name="Eve", theme="night")
    second = await world.draw()
    assert (second.page.theme, second.hash != first.hash) == ("night", True)
    assert file_path(second.hash) == await world.named_by_edges()
    profile = await world.stores.profiles.profile(world.me, world.profile.id)
    draft = ProfileDraft(handle="eve")
    await world.stores.profiles.update_profile(world.me, profile.id, draft)
    world.profile = await world.stores.profiles.profile(world.me, profile.id)
    third = await world.draw()
    assert third.card.path == "eve/shop"
    assert file_path(third.hash) == await world.named_by_edges()


async def test_a_change_while_a_card_is_drawn_is_not_lost(world: World) -> None:
    link_id = await world.link(preview=PREVIEW)
    (card,) = await world.cards.due(10)
    await world.change(link_id, preview=PreviewCard(title="Shops"))
    await world.cards.drawn(card, has_file=True)
    (later,) = await world.cards.due(10)
    assert (later.card.title, later.drawn_hash) == ("Shops", card.hash)
    await world.cards.drawn(later._replace(due_since=card.due_since), has_file=False)
    assert await world.draw() == later


async def test_profiles_take_turns(world: World) -> None:
    for number in range(3):
        await world.link(f"a{number}", preview=PREVIEW)
    other = await world.stores.profiles.create_profile(world.me, ProfileDraft(handle="eve"))
    draft = LinkDraft(slug="b", target="https://shop.example/", preview=PREVIEW)
    await world.stores.profiles.create_link(world.me, other.id, draft)
    assert {card.profile_id for card in await world.cards.due(2)} == {world.profile.id, other.id}


async def test_a_link_or_profile_that_is_gone_leaves_its_card_to_the_collector(
    world: World,
) -> None:
    link_id = await world.link(preview=PREVIEW)
    first = await world.draw()
    await world.stores.profiles.delete_link(world.me, link_id)
    await world.cards.drawn(first, has_file=True)
    assert await world.unused() == {first.hash}
    await world.link("other", preview=PREVIEW)
    second = await world.draw()
    await world.stores.profiles.delete_profile(world.me, world.profile.id)
    assert second.hash in await world.unused()


def joined_rows(plan: dict[str, Any]) -> list[float]:
    """Return how many rows each join of a plan gives."""
    own = [plan["Actual Rows"]] if plan["Node Type"].endswith(("Join", "Loop")) else []
    return own + [rows for part in plan.get("Plans", []) for rows in joined_rows(part)]


async def test_only_the_cards_of_a_batch_read_their_page(world: World) -> None:
    """A page may have 256 KiB, and a profile any number of links that are due."""
    await world.publish(name="Ada")
    for number in range(12):
        await world.link(f"shop-{number}", preview=PREVIEW)
    query = queries.load("pages/cards")["due_links"]
    explain = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}"
    text = await world.workers.transaction(lambda connection: connection.fetchval(explain, 5))
    assert max(joined_rows(msgspec.json.decode(text)[0]["Plan"])) == 5
