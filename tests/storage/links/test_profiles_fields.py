"""Each field of a link, whichever there are: a stranger does not change it, and the log has its changes."""

from typing import Any

import msgspec
import pytest

from engine.audit.audit_log import ActivityEntry, ActivityFilter
from engine.common.errors import ForbiddenError, NotFoundError
from engine.links.link import Link, LinkDraft
from engine.links.profile import Profile, ProfileDraft
from storage.audit.audit_log import PostgresActivityReader
from storage.links.profiles import PostgresProfileStore
from tests.kit.hosted import hosted_run
from tests.kit.link_fields import FIELDS, TARGET, body_of
from tests.kit.stores import Stores

pytestmark = pytest.mark.trio(run=hosted_run)


def draft_with(field: str) -> LinkDraft:
    body: dict[str, Any] = {"slug": "spring", "target": TARGET} | body_of(field)
    return msgspec.convert(body, LinkDraft)


async def created(stores: Stores) -> tuple[Profile, Link]:
    profile = await stores.profiles.create_profile(stores.caller, ProfileDraft(handle="ada"))
    draft = LinkDraft(slug="spring", target=TARGET, short=True)
    link, _ = await stores.profiles.create_link(stores.caller, profile.id, draft)
    return profile, link


async def test_no_field_is_changed_by_a_stranger_or_by_a_key_that_only_reads(
    stores: Stores,
) -> None:
    profile, link = await created(stores)
    reader = stores.caller._replace(scopes=("read",))
    for field in FIELDS:
        draft = draft_with(field)
        with pytest.raises(NotFoundError):
            await stores.profiles.update_link(stores.other, link.id, lambda _, d=draft: d)  # type: ignore[misc]
        with pytest.raises(ForbiddenError):
            await stores.profiles.update_link(reader, link.id, draft)
        with pytest.raises(NotFoundError):
            await stores.profiles.put_link(stores.other, profile.id, "e", draft)
    assert await stores.profiles.link(stores.caller, link.id) == link


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_a_change_of_each_field_is_in_the_log_with_before_and_after(stores: Stores) -> None:
    assert isinstance(stores.profiles, PostgresProfileStore)
    log = PostgresActivityReader(stores.profiles._database)
    profile, link = await created(stores)

    async def newest() -> ActivityEntry:
        page = await log.of_profile(stores.caller, profile.id, ActivityFilter(), 0, 1)
        entry: ActivityEntry = page.items[0]
        return entry

    plain = LinkDraft(slug="spring", target=TARGET, short=True, position=0)
    for field in FIELDS:
        before = await newest()
        await stores.profiles.update_link(stores.caller, link.id, draft_with(field))
        entry = await newest()
        assert entry.seq > before.seq, field
        assert entry.object_id == link.id
        assert body_of(field).keys() & names_in(entry), field
        await stores.profiles.update_link(stores.caller, link.id, plain)


def names_in(entry: ActivityEntry) -> set[str]:
    """Return the fields that differ in an entry, the options among them."""

    def flat(row: dict[str, Any] | None) -> dict[str, Any]:
        row = row or {}
        return row | (row.get("options") or {})

    before, after = flat(entry.before), flat(entry.after)
    names = before.keys() | after.keys()
    return {name for name in names if before.get(name) != after.get(name)}
