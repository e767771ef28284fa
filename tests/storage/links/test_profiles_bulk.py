"""Bulk changes of one profile's links: each succeeds or fails by itself, and all are one version."""

from typing import Any

import msgspec
import pytest

from engine.accounts.access import Caller
from engine.common.errors import (
    ConflictError,
    FieldError,
    ForbiddenError,
    InvalidError,
    LostUpdateError,
    NotFoundError,
)
from engine.common.idempotency import AlreadyAnsweredError, IdempotentRequest, StoredResponse
from engine.links.link import Link, LinkDraft
from engine.links.ports import LinkChange
from engine.links.profile import Profile, ProfileChange, ProfileDraft
from tests.kit.hosted import hosted_run
from tests.kit.stores import Stores

pytestmark = pytest.mark.trio(run=hosted_run)


def create(slug: str, short: bool | None = None) -> LinkChange:
    draft = LinkDraft(slug=slug, target="https://example.com/", short=short)
    return LinkChange("create", lambda _: draft)


def update(link_id: int, if_version: int | None = None, **fields: object) -> LinkChange:
    def draft(stored: Link | None) -> LinkDraft:
        assert stored is not None
        stored_fields = {name: getattr(stored, name) for name in LinkDraft.__struct_fields__}
        return LinkDraft(**stored_fields | fields)

    return LinkChange("update", draft, link_id, if_version)


def delete(link_id: int, if_version: int | None = None) -> LinkChange:
    return LinkChange("delete", lambda _: pytest.fail("draft of a delete"), link_id, if_version)


async def profile_of(stores: Stores, caller: Caller, handle: str) -> Profile:
    return await stores.profiles.create_profile(caller, ProfileDraft(handle=handle))


async def slugs(stores: Stores, profile_id: int) -> dict[str, Link]:
    page = await stores.profiles.list_links(stores.caller, profile_id, 0, 200)
    return {link.slug: link for link in page.items}


async def test_all_changes_are_one_version(stores: Stores) -> None:
    profile = await profile_of(stores, stores.caller, "demo")
    outcomes, change = await stores.profiles.change_links(
        stores.caller, profile.id, [create("a"), create("b"), create("c")]
    )
    assert change == ProfileChange(profile.id, 2)
    a, b, c = (outcome.link for outcome in outcomes)
    assert a is not None
    assert b is not None
    assert c is not None
    outcomes, change = await stores.profiles.change_links(
        stores.caller,
        profile.id,
        [update(a.id, slug="b2"), delete(b.id), create("a"), update(c.id, title="C")],
    )
    assert [outcome.error for outcome in outcomes] == [None] * 4
    assert outcomes[1].link is None
    assert change == ProfileChange(profile.id, 3)
    links = await slugs(stores, profile.id)
    assert links.keys() == {"b2", "a", "c"}
    assert (links["b2"].id, links["b2"].version, links["c"].title) == (a.id, 2, "C")
    assert outcomes[0].link == links["b2"]
    assert (await stores.profiles.profile(stores.caller, profile.id)).version == 3
    difference = await stores.snapshots.refresh(profile.id, 2, 10)
    assert difference is not None
    assert {link.slug for link in difference.links} == {"b2", "a", "c"}
    assert difference.removed == (b.id,)


async def test_a_failed_change_changes_nothing_and_stops_no_other(stores: Stores) -> None:
    profile = await profile_of(stores, stores.caller, "demo")
    theirs = await profile_of(stores, stores.other, "theirs")
    elsewhere = await profile_of(stores, stores.caller, "elsewhere")
    foreign, _ = await stores.profiles.create_link(
        stores.other, theirs.id, LinkDraft(slug="taken", target="https://example.com/")
    )
    own_link, _ = await stores.profiles.create_link(
        stores.caller, elsewhere.id, LinkDraft(slug="mine", target="https://example.com/")
    )

    def bad(_: Link | None) -> LinkDraft:
        raise InvalidError([FieldError("slug", "is bad")])

    outcomes, change = await stores.profiles.change_links(
        stores.caller,
        profile.id,
        [
            create("a"),
            create("a"),
            create("taken", short=True),
            LinkChange("create", bad),
            update(foreign.id, title="x"),
            delete(own_link.id),
            delete(2**63),
            create("b"),
        ],
    )
    assert [type(outcome.error) for outcome in outcomes] == [
        type(None), ConflictError, ConflictError, InvalidError, NotFoundError, NotFoundError,
        NotFoundError, type(None),
    ]  # fmt: skip
    assert change == ProfileChange(profile.id, 2)
    assert (await slugs(stores, profile.id)).keys() == {"a", "b"}
    assert (await stores.profiles.link(stores.caller, own_link.id)) == own_link
    b = outcomes[7].link
    assert b is not None
    outcomes, _ = await stores.profiles.change_links(
        stores.caller, profile.id, [update(b.id, 7, title="x"), update(b.id, 1, title="y")]
    )
    assert isinstance(outcomes[0].error, LostUpdateError)
    changed = outcomes[1].link
    assert changed is not None
    assert changed == msgspec.structs.replace(
        b, title="y", version=2, updated_at=changed.updated_at
    )


async def test_changes_without_effect_make_no_version(stores: Stores) -> None:
    profile = await profile_of(stores, stores.caller, "demo")
    (result,), _ = await stores.profiles.change_links(stores.caller, profile.id, [create("a")])
    assert result.link is not None
    outcomes, change = await stores.profiles.change_links(
        stores.caller, profile.id, [update(result.link.id), create("a")]
    )
    assert outcomes[0].link == result.link
    assert change == ProfileChange(profile.id, 2)
    assert (await stores.profiles.profile(stores.caller, profile.id)).version == 2


async def test_callers_without_the_right_change_nothing(stores: Stores) -> None:
    profile = await profile_of(stores, stores.caller, "demo")
    with pytest.raises(NotFoundError):
        await stores.profiles.change_links(stores.other, profile.id, [create("a")])
    with pytest.raises(ForbiddenError):
        await stores.profiles.change_links(
            stores.caller._replace(scopes=("read",)), profile.id, [create("a")]
        )


async def test_a_repeated_request_changes_links_once(stores: Stores) -> None:
    profile = await profile_of(stores, stores.caller, "demo")
    request = IdempotentRequest[Any](
        "key", b"s" * 32, lambda result: StoredResponse(200, {}, str(result[1]).encode())
    )
    _, change = await stores.profiles.change_links(
        stores.caller, profile.id, [create("a")], request
    )
    with pytest.raises(AlreadyAnsweredError) as caught:
        await stores.profiles.change_links(stores.caller, profile.id, [create("a")], request)
    assert caught.value.response.body == str(change).encode()
