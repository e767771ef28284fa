"""Lists of links by filter and order, external ids, order and generated slugs: one contract, in memory and in
Postgres."""

import itertools
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from engine.common.errors import ConflictError, NotFoundError
from engine.links.generated_slug import ALPHABET
from engine.links.link import Link, LinkDraft
from engine.links.link_query import ALL, LinkQuery, sort_value
from engine.links.options import Utm
from engine.links.profile import Profile, ProfileDraft
from engine.links.visitor_path import ParsedPath
from tests.kit.hosted import hosted_run
from tests.kit.stores import Stores

pytestmark = pytest.mark.trio(run=hosted_run)

SPRING = LinkDraft(slug="spring", target="https://example.com/")
NOW = datetime.now(UTC)
FULL = LinkDraft(
    slug="full", target="https://example.com/full", title="Full", external_id="sku-1", tags=("Print", "été"),
    folder="Shop", notes="two\nlines", hidden=True, position=7, password="hash", paused_reason="stock",
    active_from=NOW - timedelta(days=1), active_until=NOW + timedelta(days=1), click_limit=3,
    fallback_target="https://example.com/over", utm=Utm(source="bio"), noindex=True,
)  # fmt: skip


async def profile(stores: Stores, handle: str = "demo") -> Profile:
    return await stores.profiles.create_profile(stores.caller, ProfileDraft(handle=handle))


async def add(stores: Stores, profile: Profile, **fields: object) -> Link:
    draft = msgspec.structs.replace(SPRING, **fields)
    return (await stores.profiles.create_link(stores.caller, profile.id, draft))[0]


async def slugs(stores: Stores, profile: Profile, query: LinkQuery = ALL) -> list[str]:
    """Return the slugs of a question's links, read in pages of two."""
    names: list[str] = []
    after = 0
    for _ in range(20):
        page = await stores.profiles.list_links(stores.caller, profile.id, after, 2, query)
        names += [link.slug for link in page.items]
        if page.next_after is None:
            return names
        after = page.next_after
        query = query._replace(after_value=sort_value(page.items[-1], query.sort))
    raise AssertionError("the list has no end")


async def test_every_field_is_read_as_it_was_written(stores: Stores) -> None:
    demo = await profile(stores)
    link, _ = await stores.profiles.create_link(stores.caller, demo.id, FULL)
    fields = msgspec.structs.asdict(FULL)
    fields.pop("short")
    assert {name: getattr(link, name) for name in fields} == fields
    assert await stores.profiles.link(stores.caller, link.id) == link
    plain = LinkDraft(slug="full", target="https://example.com/full")
    changed, _ = await stores.profiles.update_link(stores.caller, link.id, plain)
    assert (changed.tags, changed.utm, changed.password, changed.position) == ((), None, None, 7)
    assert await stores.profiles.link(stores.caller, link.id) == changed
    (found,) = await stores.snapshots.find([b"/demo/full"])
    assert found is not None
    assert [edge.options for edge in found.links] == [None]


async def test_an_edge_reads_options(stores: Stores) -> None:
    demo = await profile(stores)
    await stores.profiles.create_link(stores.caller, demo.id, FULL)
    (found,) = await stores.snapshots.find([b"/demo/full"])
    assert found is not None
    (edge,) = found.links
    assert edge.options is not None
    assert (edge.options.click_limit, edge.options.utm) == (3, Utm(source="bio"))
    assert edge.options.active_from == FULL.active_from
    assert found.page == ()  # the link is hidden


async def test_filters(stores: Stores) -> None:
    demo = await profile(stores)
    await add(stores, demo, slug="a", title="Spring 100% off", tags=("Print",), folder="Shop")
    await add(stores, demo, slug="b", paused=True, hidden=True, notes="ask Ada")
    await add(stores, demo, slug="c", active_from=NOW + timedelta(hours=1), external_id="x1")
    await add(stores, demo, slug="d", active_until=NOW - timedelta(hours=1), kind="mailto",
              target="mailto:a@b.example")  # fmt: skip
    await add(stores, demo, slug="e", quarantined=True, target="https://bad.example/", hidden=True)
    await add(stores, demo, slug="f", quarantined=True, paused=True, target="https://bad.example/",
              hidden=True)  # fmt: skip
    for query, expected in (
        (ALL, "abcdef"),
        (LinkQuery(text="spring 100%"), "a"),
        (LinkQuery(text="10_%"), ""),
        (LinkQuery(text="ADA"), "b"),
        (LinkQuery(tag="print"), "a"),
        (LinkQuery(folder="Shop"), "a"),
        (LinkQuery(kind="mailto"), "d"),
        (LinkQuery(target="https://example.com/"), "abc"),
        (LinkQuery(external_id="x1"), "c"),
        (LinkQuery(hidden=False), "acd"),
        (LinkQuery(state="active"), "a"),
        (LinkQuery(state="paused"), "bf"),
        (LinkQuery(state="quarantined"), "e"),
        (LinkQuery(state="scheduled"), "c"),
        (LinkQuery(state="over"), "d"),
        (LinkQuery(health="unchecked"), "abcdef"),
        (LinkQuery(health="broken"), ""),
        (LinkQuery(state="active", tag="other"), ""),
    ):
        assert "".join(await slugs(stores, demo, query)) == expected, query


async def test_every_order_both_ways_over_pages(stores: Stores) -> None:
    demo = await profile(stores)
    titles = {"b": "same", "e": "Same", "a": "zebra", "d": "", "c": "Äpfel"}
    for number, (slug, title) in enumerate(titles.items()):
        await add(stores, demo, slug=slug, title=title, position=(number * 3) % 5)
    everything = (await stores.profiles.list_links(stores.caller, demo.id, 0, 100)).items

    def key(link: Link, sort: str) -> tuple[object, int]:
        value = sort_value(link, sort)
        return (int(value) if sort == "position" else value), link.id

    for sort, descending in itertools.product(
        ("created", "updated", "title", "slug", "position"), (False, True)
    ):
        expected = sorted(everything, key=lambda link: key(link, sort), reverse=descending)
        query = LinkQuery(sort=sort, descending=descending)
        assert await slugs(stores, demo, query) == [link.slug for link in expected], query


async def test_links_without_a_slug_get_different_ones(stores: Stores) -> None:
    demo = await profile(stores)
    made = [await add(stores, demo, slug=None) for _ in range(20)]
    assert len({link.slug for link in made}) == 20
    assert all(link.short and set(link.slug) <= set(ALPHABET) for link in made)
    kept, _ = await stores.profiles.update_link(
        stores.caller, made[0].id, msgspec.structs.replace(SPRING, slug=None)
    )
    assert kept.slug == made[0].slug


async def test_an_external_id_names_one_link(stores: Stores) -> None:
    demo = await profile(stores)
    other = await profile(stores, "other")

    def draft(**fields: object) -> LinkDraft:
        return msgspec.structs.replace(SPRING, external_id="sku", **fields)

    link, first, created = await stores.profiles.put_link(
        stores.caller, demo.id, "sku", lambda stored: draft(title="one" if stored is None else "")
    )
    assert (created, link.title) == (True, "one")
    same, change, created = await stores.profiles.put_link(
        stores.caller, demo.id, "sku", draft(title="one")
    )
    assert (same, change, created) == (link, first, False)
    changed, change, created = await stores.profiles.put_link(
        stores.caller, demo.id, "sku", draft(title="two")
    )
    assert (changed.id, changed.title, changed.version, created) == (link.id, "two", 2, False)
    assert change.version == first.version + 1
    with pytest.raises(ConflictError) as caught:
        await add(stores, demo, slug="second", external_id="sku")
    assert caught.value.field == "external_id"
    second = await add(stores, demo, slug="second")
    with pytest.raises(ConflictError):
        await stores.profiles.update_link(stores.caller, second.id, draft(slug="second"))
    assert (await add(stores, other, external_id="sku")).external_id == "sku"
    with pytest.raises(NotFoundError):
        await stores.profiles.put_link(stores.other, demo.id, "sku", draft())


async def test_an_order_places_links_before_the_others(stores: Stores) -> None:
    demo = await profile(stores)
    links = [await add(stores, demo, slug=slug) for slug in "abcd"]
    by_position = LinkQuery(sort="position")
    await stores.profiles.order_links(stores.caller, demo.id, [links[3].id, links[1].id])
    assert await slugs(stores, demo, by_position) == ["d", "b", "a", "c"]
    everything = [link.id for link in links]
    await stores.profiles.order_links(stores.caller, demo.id, everything)
    assert await slugs(stores, demo, by_position) == ["a", "b", "c", "d"]
    await add(stores, demo, slug="e")
    assert await slugs(stores, demo, by_position) == ["a", "b", "c", "d", "e"]
    version = (await stores.profiles.profile(stores.caller, demo.id)).version
    with pytest.raises(NotFoundError):
        await stores.profiles.order_links(stores.caller, demo.id, [links[0].id, 1])
    assert (await stores.profiles.profile(stores.caller, demo.id)).version == version
    assert await slugs(stores, demo, by_position) == ["a", "b", "c", "d", "e"]


async def test_a_link_is_found_at_its_addresses(stores: Stores) -> None:
    demo = await profile(stores)
    link = await add(stores, demo)
    for address in (ParsedPath("demo", "spring"), ParsedPath(None, "spring")):
        assert await stores.profiles.link_at(stores.caller, address) == link
        with pytest.raises(NotFoundError):
            await stores.profiles.link_at(stores.other, address)
    with pytest.raises(NotFoundError):
        await stores.profiles.link_at(stores.caller, ParsedPath("demo", "none"))


async def test_a_similar_link_has_the_slug_or_the_target(stores: Stores) -> None:
    demo = await profile(stores)
    link = await add(stores, demo)
    await add(stores, demo, slug="later")
    unnamed = LinkDraft(target="https://example.com/")
    for draft, expected in (
        (SPRING, link),
        (unnamed, link),
        (msgspec.structs.replace(SPRING, slug="none"), None),
        (LinkDraft(target="https://example.com/none"), None),
    ):
        assert await stores.profiles.similar_link(stores.caller, demo.id, draft) == expected
