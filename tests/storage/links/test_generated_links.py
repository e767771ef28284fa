"""Links without slugs among other changes: each gets a free slug, and what one link has no other one loses."""

from collections.abc import Sequence

import pytest

from engine.common.errors import ConflictError
from engine.links.generated_slug import ALPHABET
from engine.links.link import LinkDraft
from engine.links.ports import LinkChange, LinkChangeResult
from engine.links.profile import Profile, ProfileDraft
from engine.links.rules import LinkRule, RuleConditions
from storage.links.profiles import PostgresProfileStore
from tests.kit.hosted import hosted_run
from tests.kit.stores import Stores

pytestmark = pytest.mark.trio(run=hosted_run)
TARGET = "https://example.com/"


def create(**fields: object) -> LinkChange:
    draft = LinkDraft(**{"target": TARGET} | fields)  # type: ignore[arg-type]
    return LinkChange("create", lambda _: draft)


async def changed(
    stores: Stores, profile: Profile, operations: Sequence[LinkChange]
) -> list[LinkChangeResult]:
    results, _ = await stores.profiles.change_links(stores.caller, profile.id, operations)
    return results


async def test_links_with_and_without_slugs_are_created_in_their_order(stores: Stores) -> None:
    profile = await stores.profiles.create_profile(stores.caller, ProfileDraft(handle="ada"))
    rule = LinkRule(when=RuleConditions(country=("DE",)), target=TARGET)
    operations = [
        create(title="one", tags=("a", "b"), rules=(rule,), opening_clicks=7),
        create(title="two", short=False, hidden=True, notes="n\nn"),
        create(title="three", slug="three"),
        create(title="four", position=5, external_id="e"),
        create(title="five", external_id="e"),
        create(title="six", short=True, paused=True, password="hash", status=301),
        create(title="seven", kind="mailto", target="mailto:ada@example.com", folder="f"),
    ]
    results = await changed(stores, profile, operations)
    assert [type(result.error) for result in results] == [
        ConflictError if n == 4 else type(None) for n in range(7)
    ]
    links = [result.link for result in results if result.link is not None]
    assert [link.title for link in links] == ["one", "two", "three", "four", "six", "seven"]
    assert sorted(link.id for link in links) == [link.id for link in links]
    assert [link.position for link in links] == [0, 0, 0, 5, 5, 5]
    assert [link.short for link in links] == [True, False, True, True, True, True]
    for link in links:
        assert await stores.profiles.link(stores.caller, link.id) == link
        if link.slug != "three":
            assert set(link.slug) <= set(ALPHABET)
    for link, operation in zip(
        links, (op for n, op in enumerate(operations) if n != 4), strict=True
    ):
        draft = operation.draft(None)
        for name in set(LinkDraft.__struct_fields__) - {"slug", "short", "position"}:
            assert getattr(link, name) == getattr(draft, name), name
    assert (await stores.profiles.profile(stores.caller, profile.id)).version == 2


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_a_slug_that_is_taken_anywhere_is_not_given(stores: Stores) -> None:
    assert isinstance(stores.profiles, PostgresProfileStore)
    store = PostgresProfileStore(stores.profiles._database, slug_length=1)
    mine = await store.create_profile(stores.caller, ProfileDraft(handle="mine"))
    theirs = await store.create_profile(stores.other, ProfileDraft(handle="theirs"))
    # Taken by another tenant at the default domain, and in the profile itself without a short address.
    for caller, profile, slugs, short in (
        (stores.other, theirs, ALPHABET[:5], True),
        (stores.caller, mine, ALPHABET[5:9], False),
    ):
        operations = [create(slug=slug, short=short) for slug in slugs]
        results, _ = await store.change_links(caller, profile.id, operations)
        assert all(result.link for result in results)
    results, _ = await store.change_links(stores.caller, mine.id, [create()] * 30)
    given = [result.link.slug for result in results if result.link is not None]
    assert len(given) == len(set(given))
    assert set(given) <= set(ALPHABET[9:])
    errors = [result.error for result in results if result.error is not None]
    assert len(errors) == 30 - len(given) >= 12
    assert all("WAYPOST_SLUG_LENGTH" in str(error) for error in errors)

    async def create_until_none_is_free() -> None:
        while True:
            await store.create_link(stores.caller, mine.id, LinkDraft(target=TARGET))

    with pytest.raises(ConflictError, match="WAYPOST_SLUG_LENGTH"):
        await create_until_none_is_free()
