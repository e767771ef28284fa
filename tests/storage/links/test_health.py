"""LinkHealthStore: one suite for the twin and Postgres."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

from engine.accounts.access import Caller
from engine.links.health import CheckOutcome, DueCheck, LinkHealth
from engine.links.health_ports import START, LinkCursor, LinkHealthStore
from engine.links.link import Link, LinkDraft
from engine.links.ports import ProfileStore
from engine.links.profile import ProfileDraft
from storage.accounts.keys import ensure_owner
from storage.links.health import PostgresLinkHealthStore
from storage.links.memory_health import MemoryLinkHealthStore
from storage.links.memory_profiles import MemoryProfiles
from storage.links.profiles import PostgresProfileStore
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, opened, second_owner

pytestmark = pytest.mark.trio(run=hosted_run)


class Ports(NamedTuple):
    store: LinkHealthStore
    profiles: ProfileStore
    caller: Caller
    other: Caller

    async def link(
        self, slug: str, target: str, kind: str = "url", caller: Caller | None = None
    ) -> Link:
        caller = caller or self.caller
        profiles = (await self.profiles.list_profiles(caller, 0, 1)).items
        if not profiles:
            draft = ProfileDraft(handle=f"h{len(slug)}{caller.tenant_id % 1000}")
            profiles = [await self.profiles.create_profile(caller, draft)]
        draft_ = LinkDraft(slug=slug, target=target, kind=kind)
        return (await self.profiles.create_link(caller, profiles[0].id, draft_))[0]

    async def health(self, link: Link, caller: Caller | None = None) -> LinkHealth | None:
        caller = caller or self.caller
        health = (await self.profiles.link(caller, link.id)).health
        page = await self.profiles.list_links(caller, link.profile_id, 0, 100)
        assert [item.health for item in page.items if item.id == link.id] == [health]
        return health

    async def due(self, limit: int = 100) -> list[DueCheck]:
        return (await self.store.claim(limit))[0]


@pytest.fixture
async def ports(place: str) -> AsyncIterator[Ports]:
    if not place:
        profiles = MemoryProfiles()
        store = MemoryLinkHealthStore(profiles, lambda: datetime.now(UTC))
        yield Ports(store, profiles, Caller(1, 1), Caller(2, 2))
        return
    async with opened(place) as open_database:
        app, workers = await open_database("waypost_app"), await open_database("waypost_aggregator")
        owner = await ensure_owner(app, "owner@example.com", FAST)
        assert owner is not None
        other = await second_owner(place)
        yield Ports(
            PostgresLinkHealthStore(workers), PostgresProfileStore(app), owner.caller, other
        )


def checked(
    check: DueCheck, state: str = "ok", status: int | None = 200, **fields: object
) -> CheckOutcome:
    due = datetime.now(UTC) + timedelta(days=1)
    return CheckOutcome(check, state, status, "", 0, due)._replace(**fields)  # type: ignore[arg-type]


async def test_links_are_discovered_in_batches_and_their_targets_are_due_once(ports: Ports) -> None:
    links = [await ports.link(f"s{n}", f"https://a.example/{n % 4}") for n in range(5)]
    await ports.link("mail", "mailto:a@example.com", "mailto")
    await ports.link("repo", "https://github.com/a/b", "github")
    cursor = await ports.store.discover(START, 3)
    assert cursor == LinkCursor(ports.caller.tenant_id, links[2].id)
    cursor = await ports.store.discover(cursor, 3)
    assert await ports.store.discover(cursor, 3) == START
    first, now = await ports.store.claim(2)
    assert abs((now - datetime.now(UTC)).total_seconds()) < 5
    checks = first + await ports.due()
    assert sorted(check.target for check in set(checks)) == [
        "https://a.example/0", "https://a.example/1", "https://a.example/2", "https://a.example/3",
        "https://github.com/a/b",
    ]  # fmt: skip
    assert {(c.tenant_id, c.state, c.failures) for c in checks} == {
        (ports.caller.tenant_id, "unknown", 0)
    }
    assert await ports.due() == []
    assert await ports.store.discover(START, 100) == START
    assert await ports.due() == []


async def test_a_check_result_is_the_health_of_every_link_to_the_target(ports: Ports) -> None:
    first = await ports.link("one", "https://a.example/")
    second = await ports.link("two", "https://a.example/")
    other = await ports.link("one", "https://a.example/", caller=ports.other)
    await ports.store.discover(START, 100)
    assert await ports.health(first) is None
    checks = set(await ports.due())
    assert len(checks) == 2
    (own_check,) = [c for c in checks if c.tenant_id == ports.caller.tenant_id]
    await ports.store.record(
        [checked(own_check, "broken", 404, reason="it answers 404", failures=3)]
    )
    for link in (first, second):
        health = await ports.health(link)
        assert health is not None
        assert (health.state, health.status, health.reason) == ("broken", 404, "it answers 404")
        assert health.since == health.checked_at
    assert await ports.health(other, ports.other) is None
    # A later link to the target has its health at once, and needs no check.
    late = await ports.link("late", "https://a.example/")
    await ports.store.discover(START, 100)
    health = await ports.health(late)
    assert health is not None
    assert health.state == "broken"
    assert await ports.due() == []


async def test_since_is_the_time_of_the_last_change_of_state(ports: Ports) -> None:
    link = await ports.link("one", "https://a.example/")
    await ports.store.discover(START, 100)
    (check,) = await ports.due()
    healths = []
    for state in ("ok", "ok", "broken"):
        await ports.store.record([checked(check, state, None)])
        health = await ports.health(link)
        assert health is not None
        healths.append(health)
    assert healths[0].since == healths[1].since < healths[1].checked_at
    assert healths[2].since == healths[2].checked_at
    assert healths[2].status is None


async def test_a_check_that_is_released_is_due_again(ports: Ports) -> None:
    await ports.link("one", "https://a.example/")
    await ports.link("two", "https://b.example/")
    await ports.store.discover(START, 100)
    checks = {check.target: check for check in await ports.due()}
    await ports.store.record([checked(checks["https://a.example/"], failures=1)])
    await ports.store.release([checks["https://b.example/"]])
    assert await ports.due() == [checks["https://b.example/"]]


async def test_a_new_target_is_unknown_until_it_is_checked(ports: Ports) -> None:
    link = await ports.link("one", "https://a.example/")
    await ports.store.discover(START, 100)
    (check,) = await ports.due()
    await ports.store.record([checked(check, next_at=datetime.now(UTC))])
    draft = LinkDraft(slug="one", target="https://b.example/")
    changed, _ = await ports.profiles.update_link(ports.caller, link.id, draft)
    assert changed.health is None
    assert await ports.health(link) is None
    assert await ports.due() == []  # no link leads to the old target
    await ports.store.discover(START, 100)
    (check,) = await ports.due()
    assert check == DueCheck(ports.caller.tenant_id, "https://b.example/", "unknown", 0)
    await ports.profiles.delete_link(ports.caller, link.id)
    await ports.store.record([checked(check)])
    await ports.store.release([check])
    assert await ports.due() == []
