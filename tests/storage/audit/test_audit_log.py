"""The log of changes: its entries after each kind of change, and its readers."""

import hashlib
import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import pytest

from engine.accounts.access import Caller
from engine.accounts.api_key import KeyDraft
from engine.accounts.member import InvitationDraft
from engine.audit.audit_log import ActivityEntry, ActivityFilter
from engine.common.errors import ConflictError, ForbiddenError, NotFoundError
from engine.links.link import LinkDraft
from engine.links.ports import ImportRow
from engine.links.profile import ProfileDraft
from engine.operations.settings import Settings
from storage.accounts.invitations import PostgresInvitationStore
from storage.accounts.keys import PostgresApiKeyStore, ensure_owner
from storage.accounts.members import PostgresMemberStore
from storage.accounts.passwords import PasswordHasher
from storage.audit.audit_log import PostgresActivityReader
from storage.audit.verification import AuditResult, verify
from storage.links.imports.import_rows import PostgresLinkImporter
from storage.links.profiles import PostgresProfileStore
from storage.postgres.database import Database
from tests.kit.consoles import Console
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, OpenDatabase, opened, second_owner

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

ALL = ActivityFilter()
SPRING = LinkDraft(slug="spring", target="https://example.com/", title="Spring")


class LogStores(NamedTuple):
    """An open database with its first owner, and the stores over it."""

    app: Database
    profiles: PostgresProfileStore
    log: PostgresActivityReader
    caller: Caller
    api_key: str
    url: str


@pytest.fixture
async def stores(open_database: OpenDatabase, database_url: str) -> LogStores:
    app = await open_database("waypost_app")
    owner = await ensure_owner(app, "owner@example.com", FAST)
    assert owner is not None
    caller = owner.caller._replace(request_id="r1")
    return LogStores(
        app,
        PostgresProfileStore(app),
        PostgresActivityReader(app),
        caller,
        owner.api_key,
        database_url,
    )


async def newest(stores: LogStores, profile_id: int, count: int = 100) -> list[ActivityEntry]:
    items: list[ActivityEntry] = (
        await stores.log.of_profile(stores.caller, profile_id, ALL, 0, count)
    ).items
    return items


async def all_entries(stores: LogStores, profile_id: int) -> list[ActivityEntry]:
    """Return all entries of a profile of the caller's tenant, deleted or not; with 0, those of the tenant."""
    entries: list[ActivityEntry] = []
    before = 0
    while True:
        page = await stores.log.of_tenant(stores.caller, profile_id, ALL, before, 100)
        entries += page.items
        if page.next_after is None:
            return entries
        before = page.next_after


async def test_each_kind_of_change_is_logged_with_before_and_after(stores: LogStores) -> None:
    store, caller = stores.profiles, stores.caller
    profile = await store.create_profile(caller, ProfileDraft(handle="demo", title="One"))
    await store.update_profile(caller, profile.id, ProfileDraft(handle="demo", title="Two"))
    link, _ = await store.create_link(caller, profile.id, SPRING)
    other = msgspec.structs.replace(SPRING, target="https://example.org/")
    await store.update_link(caller, link.id, other)
    await store.update_link(caller, link.id, msgspec.structs.replace(other, short=False))
    await store.update_link(caller, link.id, msgspec.structs.replace(other, short=True))
    await store.delete_link(caller, link.id)
    await store.delete_profile(caller, profile.id)
    entries = list(reversed(await all_entries(stores, profile.id)))
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    for entry in entries:
        assert (entry.user_id, entry.email) == (caller.user_id, "owner@example.com")
        assert (entry.key_id, entry.request_id) == (None, "r1")
    assert_recomputable(entries, profile.id)
    changes = [(entry.action, entry.object_id, entry.before, entry.after) for entry in entries]
    # Ids are texts: callers read them as they stand here.
    first = {"id": str(profile.id), "handle": "demo", "title": "One"}
    second = first | {"title": "Two"}
    row = {
        "id": str(link.id), "slug": "spring", "target": "https://example.com/", "title": "Spring",
        "status": 302, "kind": "url", "passthrough": False, "position": 0,
    }  # fmt: skip
    changed_row = row | {"target": "https://example.org/"}
    # Fields that later migrations add to a link are ignored here.
    changes = [(a, o, _of(b, row | first), _of(n, row | first)) for a, o, b, n in changes]
    short = {"short": "spring"}
    # A new version or position of a link alone is not logged.
    assert [entry for entry in changes if entry[2] != entry[3]] == changes
    assert changes == [
        ("profile.created", profile.id, None, first),
        ("profile.updated", profile.id, first, second),
        ("link.created", link.id, None, row),
        ("link.updated", link.id, row, changed_row),
        ("link.short_released", link.id, short, None),
        ("link.short_claimed", link.id, None, short),
        ("link.deleted", link.id, changed_row, None),
        ("profile.deleted", profile.id, second, None),
    ]
    assert (await verify(stores.url)).broken == ""


def assert_recomputable(entries: list[ActivityEntry], profile_id: int) -> None:
    """Assert what docs/api.md says of a hash: whoever has the entries can compute it."""
    before = b""
    for entry in entries:
        before = hashlib.sha256(before + entry.hashed.encode()).digest()
        assert before == entry.hash
        at_us = (entry.at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        ids = [None if id_ is None else str(id_) for id_ in (entry.user_id, entry.key_id)]
        assert json.loads(entry.hashed) == [
            str(profile_id), entry.seq, at_us, *ids, entry.request_id, entry.action,
            entry.object_type, str(entry.object_id), entry.before, entry.after,
        ]  # fmt: skip


def _of(row: dict[str, Any] | None, fields: dict[str, Any]) -> dict[str, Any] | None:
    return row and {name: row[name] for name in row if name in fields or name == "short"}


async def test_a_failed_change_logs_nothing(stores: LogStores) -> None:
    store, caller = stores.profiles, stores.caller
    profile = await store.create_profile(caller, ProfileDraft(handle="demo"))
    await store.create_link(caller, profile.id, SPRING)
    before = await newest(stores, profile.id)
    with pytest.raises(ConflictError):
        await store.create_link(caller, profile.id, SPRING)
    reader = caller._replace(scopes=("read",))
    with pytest.raises(ForbiddenError):
        await store.update_profile(reader, profile.id, ProfileDraft(handle="x"))
    await store.update_profile(caller, profile.id, ProfileDraft(handle="demo"))
    assert await newest(stores, profile.id) == before


async def test_an_import_is_logged_link_by_link(stores: LogStores) -> None:
    rows = [ImportRow(n, f"h{n % 3}", f"s{n}", "https://example.com/", "") for n in range(300)]
    for _ in range(2):  # the second import changes nothing
        await PostgresLinkImporter(stores.app).import_rows(stores.caller, rows)
        page = await stores.profiles.list_profiles(stores.caller, 0, 10)
        logs = [await all_entries(stores, profile.id) for profile in page.items]
        actions = Counter(entry.action for log in logs for entry in log)
        assert actions == {"profile.created": 3, "link.created": 300}
    assert (await verify(stores.url)) == AuditResult(305, 4)


async def test_users_and_keys_are_logged_without_secrets(
    stores: LogStores,
) -> None:
    app, caller = stores.app, stores.caller
    new = await PostgresApiKeyStore(app).create_key(caller, KeyDraft(label="ci", scopes=["read"]))
    await PostgresApiKeyStore(app).revoke_key(caller, new.key.id)
    entries = await all_entries(stores, 0)
    kinds = Counter(entry.action for entry in entries)
    assert kinds == {"user.created": 1, "key.created": 2, "key.updated": 1}
    stored = msgspec.json.encode([[e.before, e.after] for e in entries]).decode()
    assert stores.api_key not in stored
    for word in ("sha256", "password", "argon2", "token", "secret", "\\\\x"):
        assert word not in stored


async def test_changes_of_a_team_are_in_the_profiles_log(database_url: str) -> None:
    async with opened(database_url) as open_role:
        await check_a_teams_log(await open_role("waypost_app"), database_url)


async def check_a_teams_log(app: Database, url: str) -> None:
    profiles, members = PostgresProfileStore(app), PostgresMemberStore(app)
    invitations = PostgresInvitationStore(app, PasswordHasher(FAST), 3600)
    ada = await second_owner(url, "ada@example.com")
    grace = await second_owner(url, "grace@example.com")
    profile = await profiles.create_profile(ada, ProfileDraft(handle="demo"))
    draft = InvitationDraft(email="grace@example.com", role="editor")
    _, token = await invitations.invite(ada, profile.id, draft)
    await invitations.accept(grace, token)
    await members.change_role(ada, profile.id, grace.user_id, "viewer")
    page = await PostgresActivityReader(app).of_profile(ada, profile.id, ALL, 0, 10)
    assert {e.email for e in page.items} == {"ada@example.com", "grace@example.com"}
    await members.remove_member(ada, profile.id, grace.user_id)
    page = await PostgresActivityReader(app).of_profile(ada, profile.id, ALL, 0, 10)
    entries = [(e.action, e.user_id, (e.after or e.before)["role"]) for e in page.items[:-1]]
    assert entries == [
        ("member.deleted", ada.user_id, "viewer"),
        ("member.updated", ada.user_id, "viewer"),
        ("member.created", grace.user_id, "editor"),
        ("invitation.created", ada.user_id, "editor"),
    ]
    # A user who has left is named by id only.
    assert {e.email for e in page.items} == {"ada@example.com", None}
    assert token not in repr(page.items)
    assert "token" not in repr(page.items)


async def test_only_members_read_a_profiles_log(stores: LogStores) -> None:
    store, caller = stores.profiles, stores.caller
    profile = await store.create_profile(caller, ProfileDraft(handle="demo"))
    other = await second_owner(stores.url)
    for attempt in (
        stores.log.of_profile(other, profile.id, ALL, 0, 10),
        stores.log.of_tenant(other, profile.id, ALL, 0, 10),
        stores.log.of_tenant(caller, 12345, ALL, 0, 10),
        stores.log.of_tenant(caller, 2**70, ALL, 0, 10),
        stores.log.of_profile(caller, 2**70, ALL, 0, 10),
    ):
        with pytest.raises(NotFoundError):
            await attempt
    assert {e.object_id for e in (await stores.log.of_tenant(other, 0, ALL, 0, 10)).items} == {
        other.user_id
    }
    # A user of the tenant who is no member reads the log only once the profile is deleted.
    colleague = await colleague_of(stores, caller.tenant_id)
    with pytest.raises(NotFoundError):
        await stores.log.of_tenant(colleague, profile.id, ALL, 0, 10)
    await store.delete_profile(caller, profile.id)
    assert len((await stores.log.of_tenant(colleague, profile.id, ALL, 0, 10)).items) == 2
    with pytest.raises(NotFoundError):
        await stores.log.of_tenant(other, profile.id, ALL, 0, 10)


async def colleague_of(stores: LogStores, tenant_id: int) -> Caller:
    async def work(connection: Any) -> int:
        return int(
            await connection.fetchval(
                "INSERT INTO users (tenant_id, email, password_hash) VALUES ($1, 'c@example.com', '') "
                "RETURNING id", tenant_id,
            )
        )  # fmt: skip

    return Caller(tenant_id, await stores.app.transaction(work, caller=stores.caller))


async def test_filters_and_pages(stores: LogStores) -> None:
    store, caller = stores.profiles, stores.caller
    profile = await store.create_profile(caller, ProfileDraft(handle="demo"))
    links = []
    for slug in "abcde":
        link, _ = await store.create_link(
            caller, profile.id, msgspec.structs.replace(SPRING, slug=slug)
        )
        links.append(link)
    await store.delete_link(caller, links[2].id)
    entries = await newest(stores, profile.id)
    assert [e.seq for e in entries] == [7, 6, 5, 4, 3, 2, 1]
    middle = entries[3].at
    for conditions in (
        ActivityFilter(action="link.created"),
        ActivityFilter(object_type="profile"),
        ActivityFilter(object_id=links[2].id),
        ActivityFilter(user_id=caller.user_id),
        ActivityFilter(user_id=1),
        ActivityFilter(start=middle),
        ActivityFilter(end=middle),
        ActivityFilter(start=middle, end=middle + timedelta(microseconds=1)),
        ActivityFilter("link.created", "link", links[1].id, caller.user_id, None, None),
    ):
        expected = [e for e in entries if conditions.matches(e)]
        page = await stores.log.of_profile(caller, profile.id, conditions, 0, 100)
        assert page.items == expected, conditions
        assert conditions == ActivityFilter(user_id=1) or expected
        pieces, before = [], 0
        while True:
            page = await stores.log.of_profile(caller, profile.id, conditions, before, 2)
            pieces += page.items
            if page.next_after is None:
                break
            before = page.next_after
        assert pieces == expected


@pytest.mark.parametrize("count", [250, pytest.param(1_000, marks=pytest.mark.large)])
async def test_each_change_by_the_api_is_an_entry(stores: LogStores, count: int) -> None:
    """Run through the console's app, over Postgres."""
    dice = random.Random(7)
    unlimited = Settings(
        visitors_url="https://go.example", api_reads_per_minute=0, api_writes_per_minute=0
    )
    console = Console(activity=stores.log, settings=unlimited)
    console.profiles = stores.profiles
    console.keys.add("real", stores.caller)
    console.app = console.create_app()
    changes = 0
    profiles: list[str] = []
    links: list[tuple[str, str]] = []

    async def call(method: str, path: str, body: Any = None) -> Any:
        response = await console.call(method, path, body, key="real")
        assert response.status in (200, 201, 204), response.body
        return response.json if response.body else None

    while changes < count:
        kind = dice.choices(
            ["profile", "rename", "drop", "link", "change", "delete"], [1, 2, 0.2, 6, 4, 2]
        )[0]
        if not profiles or kind == "profile":
            profiles.append((await call("POST", "/v1/profiles", {"handle": f"h{changes}"}))["id"])
        elif kind == "rename":
            path = f"/v1/profiles/{dice.choice(profiles)}"
            await call("PATCH", path, {"title": f"T{changes}"})
        elif kind == "drop":
            profile_id = profiles.pop(dice.randrange(len(profiles)))
            await call("DELETE", f"/v1/profiles/{profile_id}")
            links = [link for link in links if link[0] != profile_id]
        elif not links or kind == "link":
            body = {"slug": f"s{changes}", "target": "https://example.com/"}
            profile = dice.choice(profiles)
            link = await call("POST", f"/v1/profiles/{profile}/links", body)
            links.append((profile, link["id"]))
        elif kind == "change":
            body = {"target": f"https://example.com/{changes}", "slug": f"s{changes}"}
            await call("PATCH", f"/v1/links/{dice.choice(links)[1]}", body)
        else:
            _, link_id = links.pop(dice.randrange(len(links)))
            await call("DELETE", f"/v1/links/{link_id}")
        changes += 1
    audit = await verify(stores.url)
    assert audit.broken == ""
    assert audit.entries == count + 2  # two entries are of the first owner and their key
